"""What these tests share: programs of an operator's kind, run as he runs them, and an exact look at what they left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.cli import environ
from tests.harness.venvs import ROOT
from tests.shim.battery import kit

TESTS = str(Path(__file__).resolve().parents[2])
TRACK = """
import costmon
@costmon.track("x", cost_per_call="0.000000003")
def call(result=None): return result
"""


def start(
    home: Path, code: str, *arguments: str, python: str = sys.executable, **env: str
) -> subprocess.Popen[str]:
    """A program with pipes, as a script of its own so that spawned workers can import it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    script = home.parent / f"app-{time.monotonic_ns()}.py"
    script.write_text(code)
    return subprocess.Popen(
        [python, str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(home, PYTHONPATH=os.pathsep.join([ROOT, TESTS]), **env),
    )


def run(
    home: Path, code: str, *arguments: str, python: str = sys.executable, wait_s: float = 60, **env: str
) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a program that ends by itself within `wait_s`."""
    with start(home, code, *arguments, python=python, **env) as child:
        try:
            out, err = child.communicate(timeout=wait_s)
        finally:
            child.kill()
    return child.returncode, out, err


def settled(home: Path, calls: int, nano: int) -> None:
    """Exactly so many events and so much money, each once, nothing held, and every sum agrees."""
    found = kit.rows(home, "select count(*), count(distinct id), coalesce(sum(cost), 0) from event")
    assert found == [(calls, calls, nano)]
    assert kit.one(home, "select count(*) from reservation") == 0
    kit.assert_sums_agree(home)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Another process holds the ledger's write lock. (Not this one: SQLite's locks are confused by a fork.)"""
    kit.connect(home).close()
    child = start(
        home,
        """
import sqlite3, sys, os
db = sqlite3.connect(os.environ["COSTMON_HOME"] + "/ledger.db", isolation_level=None, timeout=20)
db.execute("begin immediate")
print("locked", flush=True)
sys.stdin.readline()
db.execute("rollback")
""",
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        _, err = child.communicate("\n", timeout=20)
        assert err == ""


def until(true: Callable[[], bool], what: str, wait_s: float = 20.0) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, f"no {what} within {wait_s} s"
        time.sleep(0.01)
