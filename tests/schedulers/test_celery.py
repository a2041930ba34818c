"""Real Celery beat and worker processes, over a broker made of files."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.schedulers import kit
from tests.shim.battery.kit import now_us

SECOND = kit.SECOND
TASKS = """
import costmon, os, sys
costmon.instrument(app="shop")
from celery import Celery
from celery.schedules import crontab, schedule
app = Celery("tasks", broker="filesystem://")
here = os.path.dirname(os.path.abspath(__file__))
app.conf.update(
    broker_transport_options={{
        "data_folder_in": here + "/queue", "data_folder_out": here + "/queue", "control_folder": here + "/control",
        "polling_interval": 0.05,
    }},
    timezone="Asia/Seoul",
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_redirect_stdouts=False,
)

@costmon.track("coupang", cost_per_call="0.01")
def call():
    pass

@app.task
def work():
    call()

@app.task
def other():
    call()

@app.task
@costmon.job("momentum", every="60m")
def named():
    call()

@app.task(bind=True, max_retries=1, default_retry_delay=0)
def moody(self):
    if not self.request.retries:
        call()
        raise self.retry()

@app.task
def bad():
    call()
    raise KeyError("secret text")

app.conf.beat_schedule = {schedule}
"""


@contextmanager
def celery(tmp_path: Path, schedule: str, *, worker: bool = True) -> Iterator[None]:
    """A beat and, with a `worker`, one of two processes, until the block ends."""
    (tmp_path / "queue").mkdir(exist_ok=True)
    code = TASKS.format(schedule=schedule)
    command = (sys.executable, "-m", "celery", "-A", "tasks")
    with ExitStack() as stack:
        if worker:
            work = (*command, "worker", "-c", "2", "-l", "error", "--without-gossip", "--without-mingle")
            # its warm shutdown takes seconds
            stack.enter_context(kit.running(tmp_path / "tasks.py", code, *work, stop=signal.SIGKILL))
        beat = (*command, "beat", "-l", "error", "-s", str(tmp_path / "beat"))
        stack.enter_context(kit.running(tmp_path / "tasks.py", code, *beat))
        yield


ENTRIES = """{
    "trade": {"task": "tasks.work", "schedule": 0.3},
    "own name": {"task": "tasks.named", "schedule": schedule(0.7)},
    "flaky": {"task": "tasks.moody", "schedule": 0.8},
    "broken": {"task": "tasks.bad", "schedule": 0.9},
    "nightly": {"task": "tasks.work", "schedule": crontab(minute=0, hour="3,15", day_of_week="mon-fri")},
    "both": {"task": "tasks.work", "schedule": crontab(minute=0, hour=3, day_of_week=1, day_of_month=1)},
}"""


def test_beat_announces_and_workers_run(costmon_home: Path, tmp_path: Path) -> None:
    """Entries with their plans and next runs; runs in the workers' processes, each once, with what they cost."""
    with celery(tmp_path, ENTRIES):
        kit.until(lambda: len(kit.plans(costmon_home)) == 6, 30)
        found = {job: (row["plan"], row["zone"]) for job, row in kit.plans(costmon_home).items()}
        assert found.pop("both")[0].startswith("celery <crontab")
        assert found == {
            "trade": ("every 0.3s", ""),
            "momentum": ("every 60m", ""),
            "flaky": ("every 0.8s", ""),
            "broken": ("every 0.9s", ""),
            "nightly": ("cron 0 3,15 * * 1-5", "Asia/Seoul"),
        }
        assert kit.next_run(costmon_home, "nightly") % (3600 * SECOND) == 0
        assert 0 < kit.next_run(costmon_home, "nightly") - now_us() < 3 * 86_400 * SECOND
        done = "select * from job_run where job = ? and outcome <> 'running'"
        for job in ("momentum", "flaky", "broken", "trade"):
            kit.until(lambda job=job: len(kit.table(costmon_home, done, job)) >= 2, 30)  # type: ignore[misc]
        assert abs(kit.next_run(costmon_home, "trade") - now_us()) < 2 * SECOND
    assert kit.plans(costmon_home) == {}
    outcomes = {
        row["job"]: row["outcome"] for row in kit.job_runs(costmon_home) if row["outcome"] != "running"
    }
    assert outcomes == {"trade": "ok", "momentum": "ok", "flaky": "ok", "broken": "error"}
    rows = kit.job_runs(costmon_home)
    assert {row["source"] for row in rows} == {"celery"}
    assert {row["plan"] for row in rows if row["job"] == "momentum"} == {"every 60m"}
    beats = {row["owner"] for row in kit.table(costmon_home, "select owner from announcement")}
    assert beats.isdisjoint({row["owner"] for row in rows})
    assert all(row["started_at"] >= row["planned_at"] - SECOND // 10 for row in rows)
    kit.assert_attributed(costmon_home)


@pytest.mark.slow
def test_two_hundred_runs(costmon_home: Path, tmp_path: Path) -> None:
    """Two hundred runs by two processes are two hundred rows, 100 ms apart in plan."""
    with celery(tmp_path, '{"trade": {"task": "tasks.work", "schedule": 0.1}}'):
        done = "select * from job_run where outcome = 'ok'"
        kit.until(lambda: len(kit.table(costmon_home, done)) >= 200, 120)
    rows = kit.job_runs(costmon_home)
    planned = sorted(row["planned_at"] for row in rows)
    gaps = [b - a for a, b in itertools.pairwise(planned)]
    assert sorted(gaps)[len(gaps) // 2] in range(95_000, 140_000)
    assert len({row["owner"] for row in rows}) == 2
    kit.assert_attributed(costmon_home)
    kit.assert_as_planned(costmon_home)
