"""Real APScheduler processes: the next run is known at once, each run is one row, and what it called is its cost."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest

from tests.schedulers import kit
from tests.shim.battery.kit import now_us

SECOND = kit.SECOND
# Prints the times APScheduler itself says it ran the job for, and ends.
ACCELERATED = (
    kit.PRELUDE
    + """
import asyncio, json, threading
from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.blocking import BlockingScheduler

KIND, STORE, RUNS = {kind!r}, {store!r}, {runs}
enough, times = threading.Event(), []

def work():
    call()

async def work_async():
    await asyncio.sleep(0)
    call()

def executed(event):
    times.append(round(event.scheduled_run_time.timestamp() * 1e6))
    if len(times) == RUNS:
        scheduler.remove_job("trade")
        enough.set()
        if KIND == "blocking":
            threading.Thread(target=scheduler.shutdown).start()

def set_up(kind):
    global scheduler
    scheduler = kind(**({{"jobstores": {{"default": {{"type": "sqlalchemy", "url": STORE}}}}}} if STORE else {{}}))
    scheduler.add_listener(executed, EVENT_JOB_EXECUTED)
    function = work_async if KIND == "asyncio" else work
    scheduler.add_job(function, "interval", seconds=0.06, id="trade", max_instances=10, misfire_grace_time=None,
                      coalesce=False)

async def loop():
    set_up(AsyncIOScheduler)
    scheduler.start()
    while not enough.is_set():
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    scheduler.shutdown()

if KIND == "asyncio":
    asyncio.run(loop())
elif KIND == "blocking":
    set_up(BlockingScheduler)
    scheduler.start()
else:
    set_up(BackgroundScheduler)
    scheduler.start()
    enough.wait(60)
    scheduler.shutdown()
print(json.dumps(times))
"""
)


def follow(home: Path, tmp_path: Path, kind: str, runs: int, *, stored: bool = False) -> None:
    """Let a scheduler run, look at its next run meanwhile, and compare the rows with what APScheduler says."""
    store = f"sqlite:///{tmp_path}/jobs.db" if stored else ""
    code = ACCELERATED.format(kind=kind, store=store, runs=runs)
    with kit.running(tmp_path / "app.py", code) as child:
        # planned before it has run, and again after each run, with no delay anybody could see
        first = kit.until(lambda: kit.next_run(home, "trade"))
        seen = first
        while child.poll() is None and len(kit.job_runs(home)) < runs - 2:
            soon = kit.until(lambda: kit.next_run(home, "trade") or child.poll() is not None)
            if soon is True:
                break
            seen = max(seen, soon)
            assert now_us() - soon < 2 * SECOND
            time.sleep(0.05)  # to look is work too
        (times,) = kit.finished(child)
    rows = kit.job_runs(home)
    assert {row["source"] for row in rows} == {"apscheduler"}
    assert {row["outcome"] for row in rows} == {"ok"}
    # A run or two may have begun before the job was removed; those are told too.
    assert len(rows) == len(times) >= runs
    assert sorted(row["planned_at"] for row in rows) == sorted(times)
    assert all(row["started_at"] - row["planned_at"] >= -SECOND // 1000 for row in rows)
    assert {row["plan"] for row in rows} == {"every 0.06s"}
    assert seen > first
    assert kit.plans(home) == {}
    kit.assert_attributed(home)


@pytest.mark.parametrize(("kind", "stored"), [("background", True), ("asyncio", False)])
def test_runs_and_plans_of_a_scheduler(costmon_home: Path, tmp_path: Path, kind: str, stored: bool) -> None:
    """Threads and a database, or an event loop and memory: eight runs are eight rows."""
    follow(costmon_home, tmp_path, kind, 8, stored=stored)


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("kind", ["background", "asyncio", "blocking"])
def test_two_hundred_runs_of_a_scheduler(costmon_home: Path, tmp_path: Path, kind: str, stored: bool) -> None:
    """The same with every kind of scheduler and store, two hundred times."""
    follow(costmon_home, tmp_path, kind, 200, stored=stored)
    kit.assert_as_planned(costmon_home)


CHANGES = (
    kit.PRELUDE
    + """
from apscheduler.schedulers.background import BackgroundScheduler
def work(ticker="A"):
    call()
scheduler = BackgroundScheduler(timezone="Europe/Paris")
scheduler.add_job(work, "interval", minutes=60, id="trade")
scheduler.add_job(work, "interval", minutes=60, id="never", next_run_time=None)
def here():
    import datetime
    return datetime.datetime.now(datetime.timezone.utc)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
)


def test_the_ledger_follows_every_change_of_plan(costmon_home: Path, tmp_path: Path) -> None:
    """Added, modified, rescheduled, paused, resumed, removed, shut down: what is said is what will happen."""
    with kit.running(tmp_path / "app.py", CHANGES) as child:

        def after(line: str) -> dict[str, tuple[str, str]]:
            assert kit.ask(child, line) == "done"
            return {job: (row["plan"], row["zone"]) for job, row in kit.plans(costmon_home).items()}

        hourly = {"trade": ("every 60m", "")}
        assert after("pass") == {}  # not started yet
        assert after("scheduler.start()") == hourly
        assert after("scheduler.add_job(work, 'cron', day_of_week='mon-fri', hour=9, id='open')") == {
            **hourly,
            "open": ("cron 0 9 * * 1-5", "Europe/Paris"),
        }
        assert after("scheduler.remove_job('open')") == hourly
        assert after("scheduler.reschedule_job('trade', trigger='interval', minutes=5)") == {
            "trade": ("every 5m", "")
        }
        assert after("scheduler.pause_job('trade')") == {}
        assert after("scheduler.resume_job('trade')") == {"trade": ("every 5m", "")}
        assert after("scheduler.pause()") == {}
        assert after("scheduler.add_job(work, 'interval', hours=2, id='more')") == {}
        assert after("scheduler.resume()") == {"trade": ("every 5m", ""), "more": ("every 2h", "")}
        assert after("scheduler.remove_all_jobs()") == {}
        assert after("scheduler.add_job(work, 'date', run_date='2099-12-01 10:00:00')") == {
            "work": ("at 2099-12-01T09:00:00Z", "")
        }
        for row in kit.plans(costmon_home).values():
            assert row["next_run_at"] == 4_099_798_800 * SECOND
        assert after("scheduler.shutdown()") == {}


def test_jobs_without_an_id_have_names_that_tell_them_apart(costmon_home: Path, tmp_path: Path) -> None:
    """One function for two tickers is two jobs; the same job added twice is one, and runs twice as often."""
    with kit.running(tmp_path / "app.py", CHANGES) as child:
        for line in (
            "scheduler.start()",
            "scheduler.remove_job('trade')",
            "scheduler.add_job(work, 'interval', minutes=5, args=['BTC'])",
            "scheduler.add_job(work, 'interval', minutes=5, args=['ETH'])",
            "scheduler.add_job(work, 'interval', minutes=5, args=['ETH'])",
        ):
            assert kit.ask(child, line) == "done"
        assert {job: row["plan"] for job, row in kit.plans(costmon_home).items()} == {
            "work": "every 5m",
            "work 2": "every 5m",
        }
        assert (
            kit.ask(child, "[job.modify(next_run_time=here()) for job in scheduler.get_jobs()[:3]]") == "done"
        )
        kit.until(lambda: len([r for r in kit.job_runs(costmon_home) if r["ended_at"]]) == 3)
    assert sorted(row["job"] for row in kit.job_runs(costmon_home)) == ["work", "work 2", "work 2"]


def test_a_function_that_names_its_job_runs_once(costmon_home: Path, tmp_path: Path) -> None:
    """@costmon.job on a scheduled function: one row with its name and plan, at the scheduler's time."""
    code = CHANGES.replace(
        'def work(ticker="A"):', '@costmon.job("momentum", every="60m")\ndef work(ticker="A"):'
    )
    with kit.running(tmp_path / "app.py", code) as child:
        assert kit.ask(
            child, "scheduler.start(); scheduler.reschedule_job('trade', trigger='interval', seconds=0.1)"
        )
        kit.until(lambda: len(kit.job_runs(costmon_home)) >= 3)
        assert list(kit.plans(costmon_home)) == ["momentum"]
        assert kit.ask(child, "scheduler.shutdown()") == "done"
    rows = kit.job_runs(costmon_home)
    assert {(row["job"], row["plan"], row["source"]) for row in rows} == {
        ("momentum", "every 60m", "apscheduler")
    }
    gaps = {b["planned_at"] - a["planned_at"] for a, b in itertools.pairwise(rows)}
    assert all(99_900 <= gap <= 100_100 for gap in gaps)
    kit.assert_attributed(costmon_home)


ONCE = """
import datetime, json, threading
from apscheduler.schedulers.background import BackgroundScheduler
enough, done = threading.Event(), []
def send(number):
    call()
    done.append(number)
    if len(done) == 300:
        enough.set()
scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": None})
scheduler.start()
at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=0.5)
for number in range(300):
    scheduler.add_job(send, "date", run_date=at, args=[number])
enough.wait(30)
scheduler.shutdown()
print(json.dumps(sorted(done)))
"""


def test_three_hundred_tasks_that_run_once_are_one_job(costmon_home: Path, tmp_path: Path) -> None:
    """A queue made of dates, each with its own argument: one line on the screen, and every run of it."""
    with kit.running(tmp_path / "app.py", kit.PRELUDE + ONCE) as child:
        assert kit.finished(child) == [list(range(300))]
    rows = kit.job_runs(costmon_home)
    assert {(row["job"], row["outcome"]) for row in rows} == {("send", "ok")}
    assert len(rows) == 300
    assert [row["job"] for row in kit.table(costmon_home, "select job from announcement")] == ["send"]


LOCKED = """
import os, sqlite3, threading, time, json
from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler
seen = {EVENT_JOB_EXECUTED: 0, EVENT_JOB_MISSED: 0, EVENT_JOB_MAX_INSTANCES: 0}
def count(event):
    seen[event.code] += 1
scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": 1, "coalesce": False})
scheduler.add_listener(count, sum(seen))
def work(number):
    pass
for number in range(20):
    scheduler.add_job(work, "interval", seconds=0.2, args=[number], id=f"job {number}")
scheduler.start()
time.sleep(0.1)
other = sqlite3.connect(os.environ["COSTMON_HOME"] + "/ledger.db", isolation_level=None)
other.execute("begin immediate")
time.sleep(2)
held = list(seen.values())
other.execute("rollback")
scheduler.shutdown()
print(json.dumps(held))
print(json.dumps([seen[EVENT_JOB_EXECUTED]]))
"""


@pytest.mark.slow
def test_a_locked_ledger_lets_every_job_run_in_time(costmon_home: Path, tmp_path: Path) -> None:
    """Twenty jobs five times a second while somebody sits on the ledger: none is missed, and all are told after it."""
    code = kit.PRELUDE + LOCKED
    with kit.running(tmp_path / "app.py", code, COSTMON_HOME=str(costmon_home)) as child:
        (executed, missed, full), (ran,) = kit.finished(child)
    assert (missed, full) == (0, 0)
    assert executed >= 150
    assert [row["outcome"] for row in kit.job_runs(costmon_home)] == ["ok"] * ran
    assert len(kit.table(costmon_home, "select * from announcement where ended_at is not null")) == 20


FAILS = (
    kit.PRELUDE
    + """
import threading, time
from apscheduler.schedulers.background import BackgroundScheduler
gate = threading.Event()
def slow():
    call()
    gate.wait(10)
def bad():
    call()
    raise KeyError("secret text")
scheduler = BackgroundScheduler({"apscheduler.executors.one": {"type": "threadpool", "max_workers": 1}})
scheduler.add_job(slow, "interval", seconds=0.1, id="slow", executor="one")
scheduler.add_job(bad, "interval", seconds=0.1, id="bad")
scheduler.start()
import logging
logging.disable()
time.sleep(0.65)
gate.set()
time.sleep(0.1)
scheduler.shutdown()
"""
)


def test_failed_and_left_out_runs_are_told_apart(costmon_home: Path, tmp_path: Path) -> None:
    """A run that raised has failed; one APScheduler left out is told, and is no run that cost anything."""
    with kit.running(tmp_path / "app.py", FAILS) as child:
        kit.finished(child)
    assert {row["outcome"] for row in kit.job_runs(costmon_home, "bad")} == {"error"}
    slow = [row["outcome"] for row in kit.job_runs(costmon_home, "slow")]
    assert slow.count("skipped") >= 3
    assert slow.count("ok") >= 1
    skipped = [row for row in kit.job_runs(costmon_home) if row["outcome"] == "skipped"]
    assert all(row["planned_at"] and row["ended_at"] >= row["started_at"] for row in skipped)
    kit.assert_attributed(costmon_home)


LATE = """
import datetime, threading
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.executors.debug import DebugExecutor
scheduler = BlockingScheduler(executors={"default": DebugExecutor()})
now = datetime.datetime.now(datetime.timezone.utc)
def work():
    call()
    threading.Timer(0.1, scheduler.shutdown).start()
scheduler.add_job(call, "interval", minutes=60, id="late", next_run_time=now - datetime.timedelta(minutes=9),
                  misfire_grace_time=60)
scheduler.add_job(work, "date", run_date=now + datetime.timedelta(seconds=0.2), id="once")
import logging
logging.disable()
scheduler.start()
"""


def test_a_run_that_came_too_late_is_left_out(costmon_home: Path, tmp_path: Path) -> None:
    """APScheduler's grace has passed: it says so, and so does the ledger."""
    with kit.running(tmp_path / "app.py", kit.PRELUDE + LATE) as child:
        kit.finished(child)
    rows = {row["job"]: row for row in kit.job_runs(costmon_home)}
    assert {job: row["outcome"] for job, row in rows.items()} == {"late": "skipped", "once": "ok"}
    assert rows["once"]["plan"].startswith("at 20")
    assert rows["late"]["started_at"] - rows["late"]["planned_at"] >= 540 * SECOND
    kit.assert_attributed(costmon_home)


STORED = """
import logging, os
from apscheduler.schedulers.background import BackgroundScheduler
def work():
    call()
def passing():
    call()
scheduler = BackgroundScheduler(jobstores={{"default": {{"type": "sqlalchemy", "url": "sqlite:///{store}"}}}})
if {add}:
    scheduler.add_job(work, "cron", hour=3, minute="*/20", id="trade", timezone="Asia/Seoul")
    scheduler.add_job(passing, "interval", hours=1, id="gone")
else:
    del passing
    logging.disable()
scheduler.start()
print("[]", flush=True)
sys.stdin.readline()
scheduler.shutdown()
"""


def test_jobs_a_database_has_kept_are_announced_at_the_start(costmon_home: Path, tmp_path: Path) -> None:
    """After a restart nobody adds the job again, and its next run is known all the same. What cannot be restored stays."""
    store = tmp_path / "jobs.db"
    for add, names in ((True, ["gone", "trade"]), (False, ["trade"])):
        code = kit.PRELUDE + STORED.format(store=store, add=add)
        with kit.running(tmp_path / "app.py", code) as child:
            assert child.stdout is not None
            assert json.loads(child.stdout.readline()) == []
            found = kit.plans(costmon_home)
            assert sorted(found) == names
            assert (found["trade"]["plan"], found["trade"]["zone"]) == ("cron */20 3 * * *", "Asia/Seoul")
            assert found["trade"]["next_run_at"] > now_us()
            kit.finished(child)
        import sqlite3

        db = sqlite3.connect(store)
        assert db.execute("select count(*) from apscheduler_jobs").fetchone() == (2,)
        db.close()


POOL = """
import time
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
def work():
    {watched}
    call()
if __name__ == "__main__":
    {main}
    scheduler = BackgroundScheduler(executors={{"default": ProcessPoolExecutor(1)}})
    scheduler.add_job(work, "interval", seconds=0.25, id="trade", misfire_grace_time=None, coalesce=False,
                      max_instances=20)
    scheduler.start()
    time.sleep(2.1)
    scheduler.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False])
def test_runs_in_other_processes(costmon_home: Path, tmp_path: Path, watched: bool) -> None:
    """A pool of processes: written by the child that runs it, or by the parent if costmon is not in the child."""
    prelude = kit.PRELUDE if watched else kit.PRELUDE.replace('costmon.instrument(app="trader")', "")
    main = "pass" if watched else 'costmon.instrument(app="trader")'
    code = prelude + POOL.format(watched="pass", main=main)
    with kit.running(tmp_path / "app.py", code) as child:
        kit.finished(child)
    rows = kit.job_runs(costmon_home)
    assert len(rows) >= 3
    assert {row["outcome"] for row in rows} == {"ok"}
    assert len({row["planned_at"] for row in rows}) == len(rows)
    if watched:
        kit.assert_attributed(costmon_home)


def test_a_host_that_is_not_watched_is_left_alone(costmon_home: Path, tmp_path: Path) -> None:
    """COSTMON_ENABLED=0: the scheduler runs, and nothing is written."""
    code = ACCELERATED.format(kind="background", store="", runs=3)
    with kit.running(tmp_path / "app.py", code, COSTMON_ENABLED="0") as child:
        (times,) = kit.finished(child)
    assert len(times) >= 3
    assert not costmon_home.exists()
