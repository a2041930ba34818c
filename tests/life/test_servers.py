"""Web servers that fork, preload, recycle and kill their workers: a row for each call, and never two."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.cli import environ
from tests.harness.ports import free_port
from tests.harness.venvs import ROOT
from tests.life.kit import TESTS, until
from tests.shim.battery import kit

pytest.importorskip("gunicorn")
# An event loop does not wait for another worker's write; the settlement follows with the next call or at the end.
BUSY = "costmon keeps a settlement in memory: the ledger is busy in another process"
WORKERS = {
    "sync": ("sync", "tests.life.apps:wsgi"),
    "gthread": ("gthread", "tests.life.apps:wsgi"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "tests.life.apps:asgi"),
}


@contextmanager
def gunicorn(home: Path, worker: str, *, preload: bool) -> Iterator[str]:
    """The address of a gunicorn of 2 workers that recycles each after 5 requests."""
    kind, application = WORKERS[worker]
    url = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--worker-class", kind, "--threads", "4"]
    command += ["--max-requests", "5", "--bind", url, "--graceful-timeout", "20", "--log-level", "critical"]
    command += ["--preload"] if preload else []
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.parent / "gunicorn.log", "wb") as log:
        process = subprocess.Popen(
            [*command, application],
            env=environ(
                home, PYTHONPATH=os.pathsep.join([ROOT, TESTS]), JOURNAL=str(home.parent / "journal")
            ),
            cwd=home.parent,
            stderr=log,
        )
        try:
            yield f"http://{url}"
        finally:
            process.terminate()
            process.wait(60)


def answer(url: str) -> int | None:
    """The process id of the worker that answered, None when none did."""
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return int(response.read())
    except (OSError, ValueError):
        return None


def serve(home: Path, worker: str, *, preload: bool, requests: int, terms: int) -> None:
    """Ask `requests` times and TERM a worker at `terms` random moments; then compare journal, answers and rows."""
    chance = random.Random(requests)
    with gunicorn(home, worker, preload=preload) as url, ThreadPoolExecutor(4) as pool:
        until(lambda: answer(url) is not None, "answer of gunicorn", 30)
        asked = [pool.submit(answer, url) for _ in range(requests)]
        for _ in range(terms):
            time.sleep(chance.uniform(0.05, 0.4))
            term(asked)
        answers = [one.result() for one in asked]
    good = sum(pid is not None for pid in answers)
    made = len((home.parent / "journal").read_bytes())
    assert good + 1 <= made
    assert good >= requests // 2  # uvicorn hangs up on some when it is recycled
    seen = {pid for pid in answers if pid is not None}
    # Recycled; uvicorn takes its time to notice, and may hang up on whoever the next worker would have answered.
    assert len(seen) >= (1 if worker == "uvicorn" else requests // 10)
    rows = (
        "select count(*), count(distinct id), sum(cost) from event where provider = 'x' and state = 'settled'"
    )
    assert kit.rows(home, rows) == [(made, made, 3 * made)]
    assert kit.one(home, "select count(*) from reservation") == 0
    starts = kit.one(home, "select count(*) from event where provider = 'start'")
    assert starts == 1 if preload else starts > 2
    kit.assert_sums_agree(home)
    log = (home.parent / "gunicorn.log").read_text().replace(BUSY, "")
    assert "costmon" not in log, log


def term(asked: list[Future[int | None]]) -> None:
    """TERM the worker that answered last."""
    done = [one.result() for one in asked if one.done()]
    pids = [pid for pid in done if pid is not None]
    try:
        if pids:
            os.kill(pids[-1], signal.SIGTERM)
    except ProcessLookupError:
        pass  # it was recycled meanwhile


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("worker", "preload"), [("sync", True), ("gthread", False), ("uvicorn", True)])
def test_forty_requests(costmon_home: Path, worker: str, preload: bool) -> None:
    """Workers recycled after 5 requests each and one of them told to stop: each call is there, once."""
    serve(costmon_home, worker, preload=preload, requests=40, terms=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("worker", WORKERS)
def test_two_hundred_requests(costmon_home: Path, worker: str, preload: bool) -> None:
    """200 requests and 8 TERMs at random on every kind of worker, with and without preload."""
    serve(costmon_home, worker, preload=preload, requests=200, terms=8)
