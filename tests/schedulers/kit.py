"""Real scheduler processes, and what a ledger says of them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from costmon.monitor.schedule.judging import Judging
from costmon.store import open_ledger
from tests.shim.battery import kit

_T = TypeVar("_T")
SECOND = 1_000_000
PRELUDE = """
import sys, costmon
costmon.instrument(app="trader")
@costmon.track("coupang", cost_per_call="0.01")
def call():
    pass
"""
"""What the scripts of these tests begin with."""


@contextmanager
def running(
    script: Path, code: str, *command: str, stop: signal.Signals = signal.SIGTERM, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """`code` as a script of its own (or `command` beside it), stopped in the end if it has not ended by itself."""
    script.write_text(code)
    child = subprocess.Popen(
        list(command) or [sys.executable, "-W", "error", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(kit.PACKAGE), "TZ": "UTC", **env},
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, stop) if stop == signal.SIGKILL else child.send_signal(stop)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()


def finished(child: subprocess.Popen[str], wait_s: float = 60) -> list[Any]:
    """Each line the process printed, as JSON, once it has ended well."""
    out, _ = child.communicate(timeout=wait_s)
    assert child.returncode == 0, out
    return [json.loads(line) for line in out.splitlines() if line.startswith(("{", "["))]


def ask(child: subprocess.Popen[str], line: str) -> str:
    """Give the process a line and wait for its answer."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def until(look: Callable[[], _T], wait_s: float = 20) -> _T:
    """What `look` returns as soon as it is something."""
    deadline = time.monotonic() + wait_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {wait_s} s"
        time.sleep(0.01)


def table(home: Path, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Rows as dicts; none while there is no ledger yet."""
    if not (home / "ledger.db").exists():
        return []
    db = kit.connect(home)
    try:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql, values)]
    except sqlite3.OperationalError:  # it is being made
        return []
    finally:
        db.close()


def job_runs(home: Path, job: str | None = None) -> list[dict[str, Any]]:
    return table(home, "select * from job_run where job = coalesce(?, job) order by started_at, id", job)


def plans(home: Path) -> dict[str, dict[str, Any]]:
    """What is announced and not taken back, by job."""
    return {row["job"]: row for row in table(home, "select * from announcement where ended_at is null")}


def next_run(home: Path, job: str) -> int:
    found = plans(home).get(job)
    return (found["next_run_at"] or 0) if found else 0


def assert_attributed(home: Path, calls: int = 1) -> None:
    """Every run that happened made so many calls, every call was made in a run, and no run is written twice."""
    rows = table(
        home,
        """select r.id, r.job, r.outcome, r.planned_at, coalesce(s.calls, 0) as calls, coalesce(s.cost, 0) as cost
           from job_run r left join rollup_run s on s.run_id = r.id""",
    )
    # a run that its process was killed in may not have come to its call
    happened = [row for row in rows if row["outcome"] not in ("skipped", "running")]
    assert {(row["calls"], row["cost"]) for row in happened} == {(calls, calls * 10_000_000)}
    times = [(row["job"], row["planned_at"]) for row in happened]
    assert len(times) == len(set(times))
    outside = table(home, "select id from event where run_id is null or run_id >= 'p' or job = ''")
    assert outside == []
    kit.assert_sums_agree(home)


def assert_as_planned(home: Path) -> None:
    """What costmon says of it all: every run that happened answers its plan, and nobody is to be told anything."""
    store = open_ledger(str(home))
    try:
        states = Judging().refresh(store.db, store.now(), watching=True)
    finally:
        store.close()
    for state in states:
        watched = state.watched
        assert watched.misfire is None, (state.name, watched.misfire)
        assert watched.week.unexpected == 0
        assert watched.week.actual == sum(one.run.outcome != "skipped" for one in watched.judged)
        fits = sum(one.verdict in ("expected", "late", "early", "restart") for one in watched.judged)
        assert fits >= 0.98 * len(watched.judged), [one.verdict for one in watched.judged]
