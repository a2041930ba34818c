"""Sub-interpreters work, each instrumented by itself; a free-threaded build is told of before anybody trusts a figure."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from costmon.shim import runtime
from tests.harness.venvs import missing, other_pythons, version_of
from tests.life.kit import run, settled

MANY = """
import sys, threading
try:
    import _interpreters
    new = lambda: _interpreters.create("isolated")
    execute = lambda number, code: _interpreters.exec(number, code)
except ImportError:
    import _xxsubinterpreters as _interpreters
    new = lambda: _interpreters.create(isolated=True)
    execute = lambda number, code: _interpreters.run_string(number, code)
CODE = '''
import sys
sys.path[:] = %r
import costmon
costmon.instrument(app="sub")
@costmon.track("x", cost_per_call="0.000000003")
def call(): return 1
for _ in range(25): call()
''' % (sys.path,)
faults = []
def work():
    number = new()
    try:
        fault = execute(number, CODE)
        if fault is not None: faults.append(fault)
    except BaseException as error:
        faults.append(error)
    _interpreters.destroy(number)
exec(CODE)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
exec(CODE)
assert faults == [], faults
"""


@pytest.mark.system
@pytest.mark.parametrize("minor", ["3.12", "3.13"])
def test_sub_interpreters(costmon_home: Path, minor: str) -> None:
    """Four interpreters with a lock each, in threads of one process, beside the main one: every call, once."""
    pythons = [python for python in (sys.executable, *other_pythons()) if version_of(python) == minor]
    python = pythons[0] if pythons else missing(f"Python {minor}")
    status, _, err = run(costmon_home, MANY, python=python)
    # The C library of `decimal` says so itself when a second interpreter loads it (CPython 3.12).
    said = [line for line in err.splitlines() if line and "mpd_setminalloc" not in line]
    assert (status, said) == (0, [])
    settled(costmon_home, 150, 450)


def test_a_free_threaded_python_is_told_of(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the global lock the app's log says that costmon is not tested there and what to do."""
    caplog.set_level(logging.WARNING, "costmon")
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    runtime.recorder()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "free-threaded" in said
    assert "PYTHON_GIL=1" in said
    caplog.clear()
    runtime.recorder()
    assert caplog.records == []
