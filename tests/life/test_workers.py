"""Task queues and pools whose workers are forked, recycled and thrown away: no task's call is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.cli import environ
from tests.harness.venvs import ROOT
from tests.life.kit import TESTS, TRACK, run, settled, until
from tests.shim.battery import kit

TASKS = """
import os, costmon
from celery import Celery
folder = os.environ["BROKER"]
app = Celery("tasks", broker="filesystem://", backend=None)
app.conf.update(
    broker_transport_options={"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "-control"},
    worker_max_tasks_per_child=1, worker_prefetch_multiplier=1, worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True, task_ignore_result=True,
)
costmon.instrument(app="crawler")
@costmon.track("start", cost_per_call="0.000000001")
def start(): pass
@costmon.track("x", cost_per_call="0.000000003")
def spend(): pass
@app.task
def work():
    spend()
if os.environ.get("ROLE") == "worker":
    start()  # the parent has the ledger open when it forks its children
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_celery_with_a_child_per_task(costmon_home: Path) -> None:
    """20 tasks, each in a forked child of its own that then ends: 20 rows. (The ledger of an exporter thread has none.)"""
    pytest.importorskip("celery")
    folder = costmon_home.parent / "celery"
    (folder / "broker").mkdir(parents=True)
    (folder / "broker-control").mkdir()
    (folder / "tasks.py").write_text(TASKS)
    env = environ(
        costmon_home,
        PYTHONPATH=os.pathsep.join([str(folder), ROOT, TESTS]),
        BROKER=str(folder / "broker"),
        PYTHONWARNINGS="ignore",
    )
    subprocess.run(
        [sys.executable, "-c", "import tasks\nfor _ in range(20): tasks.work.delay()"],
        env=env, cwd=folder, check=True, timeout=60,
    )  # fmt: skip
    options = ["--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    with open(folder / "log", "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", *options, "--loglevel", "WARNING"],
            env={**env, "ROLE": "worker"}, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            count = "select count(*) from event where provider = 'x' and state = 'settled'"
            until(lambda: (costmon_home / "ledger.db").exists(), "ledger", 60)
            until(lambda: kit.one(costmon_home, count) >= 20, "20 rows", 60)
        finally:
            worker.terminate()
            worker.wait(30)
    assert "costmon" not in (folder / "log").read_text()
    settled(costmon_home, 21, 61)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_concurrent_futures(costmon_home: Path, method: str) -> None:
    """ProcessPoolExecutor, however it starts its workers."""
    code = (
        TRACK
        + f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    call()
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context({method!r})) as pool:
        assert list(pool.map(call, range(40))) == list(range(40))
"""
    )
    status, _, err = run(costmon_home, code)
    assert (status, err) == (0, "")
    settled(costmon_home, 41, 123)


def test_daemon_processes_that_are_terminated(costmon_home: Path) -> None:
    """multiprocessing's daemons are killed with their parent: what each settled before is there."""
    code = (
        TRACK
        + """
import multiprocessing, time
def work(done):
    for _ in range(20): call()
    done.release()
    time.sleep(60)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    done = context.Semaphore(0)
    workers = [context.Process(target=work, args=(done,), daemon=True) for _ in range(4)]
    for worker in workers: worker.start()
    for worker in workers: assert done.acquire(timeout=20)
"""
    )
    status, _, err = run(costmon_home, code)
    assert (status, err) == (0, "")
    settled(costmon_home, 80, 240)
