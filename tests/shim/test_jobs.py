"""Jobs write their runs and plans, label their calls and never fail for our reasons."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import costmon
from costmon.errors import SpendBlocked
from costmon.shim import runtime
from costmon.shim.calls import Outcome
from costmon.shim.context import labels
from costmon.shim.jobs import books, celery, late, runs
from costmon.shim.jobs import job as job_module
from costmon.shim.jobs.intervals import interval_us, spell_interval
from tests.shim.battery import kit

SECOND = 1_000_000
HOUR = 3600 * SECOND


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, whoever runs the tests, and no job that has run before."""
    monkeypatch.setattr(job_module, "_in_terminal", lambda: False)
    job_module._first.clear()
    runs.forget()
    books.process.forget()


def job_runs(home: Path) -> list[dict[str, Any]]:
    return _dicts(home, "select * from job_run order by id")


def announced(home: Path) -> list[dict[str, Any]]:
    return _dicts(home, "select * from announcement order by job")


def _dicts(home: Path, sql: str) -> list[dict[str, Any]]:
    db = kit.connect(home)
    try:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]
    finally:
        db.close()


def call(cost: str = "0.01") -> None:
    """One metered call, now."""
    with costmon.track("coupang", cost_per_call=cost):
        pass


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ("60m", 3600), ("1h30m", 5400), ("45s", 45), ("90 s", 90), ("2d", 172_800), ("1w", 604_800), (90, 90),
        (0.5, 0.5), ("1.5h", 5400), ("30min", 1800), ("10 sec", 10), ("1 hour", 3600), ("1H", 3600),
    ],
)  # fmt: skip
def test_an_interval_people_would_write(every: str | float, seconds: float) -> None:
    """'60m' and 3600 mean the same."""
    assert interval_us(every) == seconds * SECOND


@pytest.mark.parametrize(
    "every",
    ["", " ", "soon", "m", "60", "1x", "-5m", "0m", "0s", 0, -1, float("nan"), float("inf"), True, None, [],
     "9" * 400 + "d", "1h 30", "60m; rm -rf /"],
)  # fmt: skip
def test_an_interval_nobody_can_read(every: object) -> None:
    """A typing error in every= is a clear ValueError when the program starts."""
    with pytest.raises(ValueError, match="is no interval"):
        interval_us(every)  # type: ignore[arg-type]


@given(st.integers(1, 10**15 - 1))
def test_a_spelled_interval_is_read_back(us: int) -> None:
    """What the ledger says of an interval is that interval, to the microsecond."""
    assert interval_us(spell_interval(us)) == us


def test_a_job_with_two_plans_or_none_anybody_can_read() -> None:
    """A typing error in a plan is said when the program starts, not at three in the night."""
    with pytest.raises(ValueError, match="give one of them"):
        costmon.job("trade", every="60m", cron="0 * * * *")
    with pytest.raises(ValueError, match="five fields"):
        costmon.job("trade", cron="hourly")
    with pytest.raises(TypeError, match="generator"):

        @costmon.job("trade")
        def pages() -> Any:
            yield 1


def test_a_run_is_written_from_its_start_to_its_end(costmon_home: Path) -> None:
    """The screen shows that the job runs, how it ended, and when it runs next."""
    before = kit.now_us()
    with costmon.context(app="trader"), costmon.job("trade", every="60m"):
        assert labels()[2] == "trade"
        (during,) = job_runs(costmon_home)
    assert labels()[2] == ""
    assert (during["app"], during["job"], during["source"], during["plan"]) == (
        "trader", "trade", "app", "every 60m",
    )  # fmt: skip
    assert (during["outcome"], during["ended_at"], during["manual"]) == ("running", None, 0)
    assert before <= during["started_at"] <= kit.now_us()
    assert f"pid {os.getpid()} of " in during["who"]
    (after,) = job_runs(costmon_home)
    assert after["outcome"] == "ok"
    assert after["started_at"] <= after["ended_at"] <= kit.now_us()
    (plan,) = announced(costmon_home)
    assert (plan["job"], plan["app"], plan["plan"], plan["ended_at"]) == (
        "trade",
        "trader",
        "every 60m",
        None,
    )
    assert plan["next_run_at"] == during["started_at"] + HOUR


def test_each_run_is_a_row_and_the_plan_is_one(costmon_home: Path) -> None:
    """A failed run is told from a good one, its exception passes through, and the plan stays one row."""
    good = [True, False, True]

    @costmon.job("trade", every=60)
    def run() -> None:
        if not good.pop():
            raise KeyError("secret text")

    run()
    with pytest.raises(KeyError):
        run()
    run()
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["ok", "error", "ok"]
    assert len({row["id"] for row in job_runs(costmon_home)}) == 3
    (plan,) = announced(costmon_home)
    assert plan["next_run_at"] == job_runs(costmon_home)[-1]["started_at"] + 60 * SECOND
    assert b"secret text" not in Path(costmon_home / "ledger.db").read_bytes()


def test_a_run_that_exits_well_is_no_failure(costmon_home: Path) -> None:
    """sys.exit() in a job is its end; sys.exit(1) and Ctrl-C are failures."""
    for code, outcome in ((0, "ok"), (None, "ok"), (1, "error")):
        with pytest.raises(SystemExit), costmon.job("trade"):
            sys.exit(code)
        assert job_runs(costmon_home)[-1]["outcome"] == outcome
    with pytest.raises(KeyboardInterrupt), costmon.job("trade"):
        raise KeyboardInterrupt
    assert job_runs(costmon_home)[-1]["outcome"] == "error"


@pytest.mark.parametrize(
    ("said", "plan", "zone"),
    [
        ({"cron": "0  9 * * mon-fri", "zone": "Asia/Seoul"}, "cron 0 9 * * mon-fri", "Asia/Seoul"),
        ({"cron": "0 * * * *"}, "cron 0 * * * *", "Europe/Paris"),  # the process's own zone, by name
        ({"every": "1h30m"}, "every 90m", ""),
        ({"every": 0.5}, "every 0.5s", ""),
        ({}, "", ""),
    ],
)
def test_a_plan_is_announced_as_it_was_said(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], plan: str, zone: str
) -> None:
    """What somebody planned is what the screen compares with."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    with costmon.job("trade", **said):
        pass
    (row,) = announced(costmon_home)
    assert (row["plan"], row["zone"]) == (plan, zone)
    assert (row["next_run_at"] is None) == ("every" not in said)


@pytest.mark.parametrize("value", ["1", "true", "yes", "on"])
def test_a_run_by_hand_is_no_plan(costmon_home: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """COSTMON_MANUAL and manual=True: somebody tries the job, which says nothing about its schedule."""
    with costmon.job("one", every="60m", manual=True):
        pass
    monkeypatch.setenv("COSTMON_MANUAL", value)
    for _ in range(2):
        with costmon.job("two", every="60m"):
            pass
    assert [row["manual"] for row in job_runs(costmon_home)] == [1, 1, 1]
    assert announced(costmon_home) == []
    with costmon.job("two", every="60m", manual=False):
        pass
    assert job_runs(costmon_home)[-1]["manual"] == 0


def test_in_a_terminal_one_run_is_by_hand_and_more_are_a_schedule(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying a job in a terminal is no misfire; a scheduler that happens to run in one is still watched."""
    monkeypatch.setattr(job_module, "_in_terminal", lambda: True)
    seen = []
    for _ in range(4):
        with costmon.job("trade", every="60m"):
            pass
        seen.append(([row["manual"] for row in job_runs(costmon_home)], len(announced(costmon_home))))
    assert seen == [([1], 0), ([0, 0], 1), ([0, 0, 0], 1), ([0, 0, 0, 0], 1)]


async def test_a_coroutine_job(costmon_home: Path) -> None:
    """An async job goes on for as long as it runs, not only until its first await; many at once are many runs."""

    @costmon.job("poll")
    async def run(number: int) -> str:
        await asyncio.sleep(0)
        call()
        return labels()[2]

    assert set(await asyncio.gather(*(run(number) for number in range(5)))) == {"poll"}
    rows = job_runs(costmon_home)
    assert [row["outcome"] for row in rows] == ["ok"] * 5
    calls = kit.rows(costmon_home, "select run_id from event")
    assert sorted(run for (run,) in calls) == [row["id"] for row in rows]
    async with costmon.job("poll"):
        assert job_runs(costmon_home)[-1]["outcome"] == "running"


async def test_a_cancelled_run_has_failed(costmon_home: Path) -> None:
    """A task that is cancelled in the middle of its run leaves no run that seems to go on."""

    @costmon.job("poll")
    async def run() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["error"]


def test_calls_belong_to_the_innermost_run(costmon_home: Path) -> None:
    """Cost per run: what was called inside a run, and nothing else."""
    call()
    with costmon.job("outer"):
        call()
        with costmon.context(route="/x"):
            call()
        with costmon.job("inner"):
            call("0.5")
        call()
    call()
    outer, inner = job_runs(costmon_home)
    assert (outer["job"], inner["job"]) == ("outer", "inner")
    sums = dict(kit.rows(costmon_home, "select run_id, cost from rollup_run"))
    assert sums == {outer["id"]: 30_000_000, inner["id"]: 500_000_000}
    ids = [run for (run,) in kit.rows(costmon_home, "select run_id from event order by id")]
    process = ids[0]
    assert process[0] == "p"
    assert ids == [process, outer["id"], outer["id"], inner["id"], outer["id"], process]


def test_sums_of_a_run_follow_corrections(costmon_home: Path) -> None:
    """A price that comes later, or a larger usage, changes what the run has cost; never is anything counted twice."""
    with costmon.job("trade"):
        held = runtime.recorder().admit(kit.priced(None))
        assert held is not None
        runtime.recorder().settle(held, Outcome("ok"))
        call("0.25")
    (run,) = job_runs(costmon_home)
    find = "select calls, cost, unpriced from rollup_run where run_id = ? and currency = 'USD'"
    assert kit.rows(costmon_home, find, run["id"]) == [(2, 250_000_000, 1)]
    db = kit.connect(costmon_home)
    db.execute("update event set cost = 7, cost_status = 'priced' where cost is null")
    db.commit()
    db.close()
    assert kit.rows(costmon_home, find, run["id"]) == [(2, 250_000_007, 0)]


def test_a_run_inside_itself_is_one(costmon_home: Path) -> None:
    """A decorated function that opens its own job again, or calls itself, runs once."""

    @costmon.job("trade", every="60m")
    def run(depth: int) -> None:
        if depth:
            run(depth - 1)
        with costmon.job("trade"):
            call()

    run(2)
    (row,) = job_runs(costmon_home)
    assert (row["outcome"], row["plan"]) == ("ok", "every 60m")
    assert kit.rows(costmon_home, "select calls from rollup_run") == [(3,)]


def test_one_job_object_serves_many_threads(costmon_home: Path) -> None:
    """A job made once and used everywhere keeps its runs apart."""
    trade = costmon.job("trade", every="60m")
    barrier = threading.Barrier(6)

    def work() -> None:
        with trade:
            barrier.wait(10)
            call()
            barrier.wait(10)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["ok"] * 6
    assert kit.rows(costmon_home, "select calls, cost from rollup_run") == [(1, 10_000_000)] * 6


async def _in_task() -> None:
    await asyncio.create_task(asyncio.to_thread(call))


def _in_thread() -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def _in_pool() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(call, ["0.01"]))


def _in_copied_context() -> None:
    with ThreadPoolExecutor(2) as pool:
        pool.submit(contextvars.copy_context().run, call).result()


@pytest.mark.parametrize("work", [_in_thread, _in_pool, _in_copied_context, lambda: asyncio.run(_in_task())])
def test_calls_in_threads_and_tasks_of_a_run_are_its_own(
    costmon_home: Path, work: Callable[[], None]
) -> None:
    """A job that asks several models at once costs what all of them cost."""
    with costmon.job("trade"):
        work()
    call()
    (run,) = job_runs(costmon_home)
    inside, outside = kit.rows(costmon_home, "select run_id, job from event order by id")
    assert inside == (run["id"], "trade")
    assert outside[0].startswith("p")


def test_a_thread_that_outlives_its_run_is_not_of_it(costmon_home: Path) -> None:
    """A pool whose threads a run began serves others later: those calls are not that run's."""
    with ThreadPoolExecutor(1) as pool:
        with costmon.job("trade"):
            pool.submit(call).result()
        pool.submit(call).result()
        with costmon.job("other"):
            pool.submit(call).result()
    trade, other = job_runs(costmon_home)
    found = [run for (run,) in kit.rows(costmon_home, "select run_id from event order by id")]
    assert found[0] == trade["id"]
    assert found[1].startswith("p")
    assert found[2] == other["id"]


def test_calls_without_a_job_belong_to_their_process(costmon_home: Path) -> None:
    """Each process that makes calls is told apart, once for each app; what it forks is another."""
    for app in ("shop", "shop", "desk"):
        with costmon.context(app=app):
            call()
    mine = {run for (run,) in kit.rows(costmon_home, "select run_id from event")}
    kit.forked(call)()
    rows = _dicts(costmon_home, "select * from process order by first_at")
    assert len(mine) == 1
    assert [(row["app"], row["id"] in mine) for row in rows[:2]] == [("shop", True), ("desk", True)]
    child = rows[2]
    assert child["id"][0] == "p"
    assert child["id"] not in mine
    assert child["owner"] != rows[0]["owner"]
    assert len(rows) == 3
    assert kit.one(costmon_home, "select count(*) from event where run_id = ?", child["id"]) == 1
    assert kit.one(costmon_home, "select count(*) from rollup_run") == 0


def test_a_process_is_written_even_if_its_first_write_was_undone(costmon_home: Path) -> None:
    """A settlement that is rolled back takes the process's row with it: the next one writes it again."""
    recorder = runtime.recorder()
    seen = []

    def undone(db: sqlite3.Connection) -> None:
        now = kit.now_us()
        process = books.process
        process.write(db, process.id(now), "shop", now)
        seen.append(db.execute("select count(*) from process").fetchone()[0])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        recorder.ledger.write(undone, 1)
    assert seen == [1]
    with costmon.context(app="shop"):
        call()
        call()
    assert kit.rows(costmon_home, "select app from process") == [("shop",)]


def test_a_fork_inside_a_run_works_for_it_and_does_not_end_it(costmon_home: Path) -> None:
    """What a child calls belongs to the run it was forked in; only the parent says when that is over."""
    trade = costmon.job("trade", every="60m")
    with trade:

        def child() -> str:
            call()
            trade.__exit__(None, None, None)
            with costmon.job("trade"):
                call("0.5")
            return str(job_runs(costmon_home)[0]["outcome"])

        assert kit.forked(child)() == "running"
    first, second = job_runs(costmon_home)
    assert (first["outcome"], second["outcome"]) == ("ok", "ok")
    assert first["owner"] != second["owner"]
    assert dict(kit.rows(costmon_home, "select run_id, cost from rollup_run")) == {
        first["id"]: 10_000_000,
        second["id"]: 500_000_000,
    }


EXITS = """
import os, sys, costmon
@costmon.job("trade", every="60m")
def trade():
    with costmon.track("x", cost_per_call="0.01"):
        pass
    {end}
with costmon.track("x", cost_per_call="0.01"):
    pass
trade()
"""


@pytest.mark.parametrize(
    ("end", "outcome", "told"),
    [("pass", "ok", True), ("sys.exit(3)", "error", True), ("os._exit(3)", "running", False)],
)
def test_the_end_of_a_process_ends_what_it_announced(
    costmon_home: Path, end: str, outcome: str, told: bool
) -> None:
    """A scheduler that was stopped is not one whose runs are missed."""
    done = kit.python(EXITS.format(end=end))
    assert done.stderr == ""
    (run,) = job_runs(costmon_home)
    assert run["outcome"] == outcome
    (plan,) = announced(costmon_home)
    assert (plan["ended_at"] is not None) == told
    assert (kit.one(costmon_home, "select ended_at from process") is not None) == told


HANGS = """
import threading, costmon
going = threading.Event()
def trade():
    with costmon.job("trade", every="60m", manual={manual}):
        going.set()
        threading.Event().wait()
threading.Thread(target=trade, daemon=True).start()
going.wait(10)
"""


@pytest.mark.parametrize("manual", [False, True])
def test_a_run_that_goes_on_at_exit_has_no_known_end(costmon_home: Path, manual: bool) -> None:
    """A run that was cut off is not a good one, and does not seem to go on for ever."""
    done = kit.python(HANGS.format(manual=manual))
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = job_runs(costmon_home)
    assert run["outcome"] == "unknown"
    assert run["ended_at"] >= run["started_at"]


def test_a_hostile_name_is_harmless(costmon_home: Path) -> None:
    """A job named with escape codes, or a megabyte long, is a short plain line; one with no name at all is 'job'."""
    for name in ("\x1b[31m\n" + "x" * 1_000_000, "\u202e\x00", 7, None):
        with costmon.job(name):  # type: ignore[arg-type]
            pass
    names = [row["job"] for row in job_runs(costmon_home)]
    assert names[0].startswith("[31mx")
    assert len(names[0]) == 200
    assert names[1:] == ["job"] * 3
    assert {row["job"] for row in announced(costmon_home)} == set(names)


def test_a_job_runs_without_a_ledger(costmon_home: Path) -> None:
    """Where the ledger cannot be made the job runs all the same."""
    costmon_home.write_text("a file where the folder should be")
    ran = []
    with costmon.job("trade", every="1h"):
        ran.append(labels()[2])
    assert ran == ["trade"]


def test_a_locked_ledger_holds_up_no_job_and_is_told_later(costmon_home: Path) -> None:
    """A run whose start could not be written is written whole at its end; one whose end could not, with the next."""
    with costmon.job("first"):
        pass
    other = kit.connect(costmon_home)
    other.isolation_level = None
    other.execute("begin immediate")
    with costmon.job("late", every="60m"):
        assert [row["job"] for row in job_runs(costmon_home)] == ["first"]
        other.execute("commit")
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["ok", "ok"]
    with costmon.job("cut", every="60m"):
        other.execute("begin immediate")
    other.execute("commit")
    assert job_runs(costmon_home)[-1]["outcome"] == "running"
    ended_by = kit.now_us()
    with costmon.job("next"):
        pass
    late, cut, following = job_runs(costmon_home)[1:]
    assert [row["job"] for row in (late, cut, following)] == ["late", "cut", "next"]
    assert cut["outcome"] == "ok"
    assert cut["ended_at"] <= ended_by
    assert late["started_at"] < late["ended_at"]
    other.close()


LOCKED = """
import sqlite3, sys, costmon
with costmon.job("first"):
    pass
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("begin immediate")
with costmon.job("trade", every="60m"):
    pass
other.execute("commit")
"""


def test_what_could_not_be_written_is_written_at_exit(costmon_home: Path) -> None:
    """A short program that ran while the ledger was locked has run."""
    done = kit.python(LOCKED, str(costmon_home / "ledger.db"))
    assert done.returncode == 0
    assert [(row["job"], row["outcome"]) for row in job_runs(costmon_home)] == [
        ("first", "ok"),
        ("trade", "ok"),
    ]


async def test_a_locked_ledger_does_not_stop_the_event_loop(costmon_home: Path) -> None:
    """A job on an event loop waits for no ledger: it and the app's other tasks run on, and it is written later."""
    with costmon.job("first"):
        pass
    other = kit.connect(costmon_home)
    other.isolation_level = None
    other.execute("begin immediate")
    gaps: list[float] = []

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.005)
            gaps.append(loop.time() - last)
            last = loop.time()

    @costmon.job("trade", every="60m")
    async def run() -> None:
        await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 0.2:
        await run()
        await asyncio.sleep(0.005)
    beating.cancel()
    assert len(job_runs(costmon_home)) == 1
    other.execute("commit")
    other.close()
    with costmon.job("next"):
        pass
    assert len(gaps) > 10
    assert max(gaps) < 0.1
    assert len(job_runs(costmon_home)) > 10


READ_ONLY = """
import sys, costmon
from costmon.shim import ledger
real = ledger.open_ledger
def read_only(*args, **kwargs):
    db, lock = real(*args, **kwargs)
    db.execute("pragma query_only = on")
    return db, lock
ledger.open_ledger = read_only
ran = []
for _ in range(2):
    with costmon.job("trade", every="60m"):
        ran.append(1)
print(len(ran))
"""


def test_a_ledger_that_takes_nothing_is_said_once(costmon_home: Path) -> None:
    """The job runs, and the log says that costmon could not write it; no exception of SQLite's reaches anybody."""
    done = kit.python(READ_ONLY)
    assert (done.returncode, done.stdout) == (0, "2\n")
    assert "costmon could not write a run's" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("write a run's start") == 1


def test_switched_off_it_writes_nothing(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COSTMON_ENABLED=0 leaves no trace of a job."""
    monkeypatch.setenv("COSTMON_ENABLED", "0")
    with costmon.job("trade", every="1h"):
        pass
    assert not costmon_home.exists()


def test_a_terminal_is_recognised(costmon_home: Path) -> None:
    """A program without standard input is in no terminal."""
    code = "import costmon, sys\nsys.stdin = None\nwith costmon.job('trade', every='1h'): pass"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(kit.PACKAGE)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["manual"] for row in job_runs(costmon_home)] == [0]


def test_a_run_of_which_a_call_was_refused_says_so(costmon_home: Path) -> None:
    """Caught by the app or not: what it cost is not what a run costs. The next run is itself again."""
    recorder = runtime.recorder()

    def call() -> None:
        held = recorder.admit(kit.priced(1_000))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=1_000))

    def outcomes() -> list[str]:
        return [row[0] for row in kit.rows(costmon_home, "select outcome from job_run order by id")]

    with costmon.job("trade", every="60m"):
        call()
    folder = costmon_home / "switch"
    folder.mkdir(exist_ok=True)
    (folder / "all").touch()
    with costmon.job("trade", every="60m"), pytest.raises(SpendBlocked):
        call()
    with pytest.raises(SpendBlocked), costmon.job("trade", every="60m"):
        call()
    assert outcomes() == ["ok", "refused", "refused"]
    (folder / "all").unlink()
    with costmon.job("trade", every="60m"):
        call()
    assert outcomes()[3:] == ["ok"]


def test_a_ledger_locked_for_long_holds_up_fifty_runs_by_next_to_nothing(costmon_home: Path) -> None:
    """One short wait, then none; all of it is written when the lock is gone, though no other run comes."""
    with costmon.job("first"):
        pass
    other = kit.connect(costmon_home)
    other.isolation_level = None
    other.execute("begin immediate")
    began = time.monotonic()
    for _ in range(50):
        with costmon.job("trade", every="60m"):
            pass
    took = time.monotonic() - began
    assert len(job_runs(costmon_home)) == 1
    other.execute("commit")
    other.close()
    until(lambda: [row["outcome"] for row in job_runs(costmon_home)] == ["ok"] * 51)
    assert took < 0.5
    assert [row["job"] for row in announced(costmon_home)] == ["first", "trade"]


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_no_ledger_takes_spoils_no_other_run(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time of another process's making that is no time, a name that is no text: the runs are told all the same."""
    said: list[str] = []
    monkeypatch.setattr(late, "report", lambda kind, _: said.append(kind))
    for number, at in enumerate((10**30, -1, 2**63, True, 5)):
        header = {"job": "x\ud800", "run": "zz", "plan": "every 1m\udc00", "planned_at": at}
        request = SimpleNamespace(costmon_job=header, headers={}, retries=0)
        celery._begin(str(number), SimpleNamespace(run=None, request=request))
        celery._end(str(number), "SUCCESS")
    assert [(row["job"], row["outcome"], row["planned_at"]) for row in job_runs(costmon_home)] == [
        *[("x", "ok", None)] * 4,
        ("x", "ok", 5),
    ]
    for value in (10**30, "\ud800", object()):
        late.mine().add(lambda db, value=value: db.execute("select ?", (value,)))  # type: ignore[misc]
    with costmon.job("next", every="1m", zone="\ud800"):
        pass
    assert said == ["write a row"] * 3
    assert job_runs(costmon_home)[-1]["outcome"] == "ok"
    assert [row["job"] for row in announced(costmon_home)] == ["next"]


def test_runs_beyond_what_can_be_kept_are_counted_and_said_once(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that takes nothing for days costs a bounded piece of memory."""
    said: list[str] = []
    monkeypatch.setattr(late, "report", lambda _, message: said.append(message))
    monkeypatch.setattr(late, "_MOST", 10)
    with costmon.job("first"):
        pass
    other = kit.connect(costmon_home)
    other.isolation_level = None
    other.execute("begin immediate")
    for _ in range(20):
        with costmon.job("trade"):
            pass
    assert len(late.mine().works) == 10
    assert late.mine().lost == 30
    assert len(said) == 1
    other.execute("commit")
    other.close()
    until(lambda: len(job_runs(costmon_home)) == 6)


def test_generators_in_turn_end_their_own_runs(costmon_home: Path) -> None:
    """Each leaves its own block, whichever was entered last; afterwards no label is left."""

    def steps(name: str) -> Any:
        with costmon.context(route=name), costmon.job(name, every="1h"):
            yield
            call()
        yield labels()[:3][1:]

    one, two = steps("a"), steps("b")
    next(one)
    next(two)
    assert next(one) == ("b", "b")
    assert {row["job"]: row["outcome"] for row in job_runs(costmon_home)} == {"a": "ok", "b": "running"}
    assert next(two) == ("", "")
    assert labels()[1:3] == ("", "")
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["ok", "ok"]


async def test_an_object_with_an_async_call_is_a_coroutine_job(costmon_home: Path) -> None:
    """The run lasts as long as what is awaited; a classmethod is refused when the program starts, in clear words."""

    class Work:
        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return labels()[2]

    run = costmon.job("trade", every="1h")(Work())
    assert await run() == "trade"
    labelled = costmon.context(job="other")(Work())
    assert await labelled() == "other"
    assert [row["outcome"] for row in job_runs(costmon_home)] == ["ok"]
    kinds: tuple[Any, ...] = (classmethod, staticmethod)
    for kind in kinds:
        for wrap in (costmon.job("trade"), costmon.context(job="trade")):
            with pytest.raises(TypeError, match=f"below @{kind.__name__}"):
                wrap(kind(call))
