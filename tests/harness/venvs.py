"""Other Python environments for tests, made once and kept in `.cache` below the project."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import costmon

CACHE = Path(__file__).resolve().parents[2] / ".cache"
ROOT = str(Path(costmon.__file__).resolve().parents[1])
"""The folder that has costmon in it: a checkout, or site-packages of an installed one."""


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one test process at a time prepares `name`."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def environment(name: str, *packages: str, python: str = sys.executable) -> str:
    """The interpreter of a virtual environment with exactly `packages`, made by `python` if it is not there yet."""
    wanted = "\n".join((version_of(python) or "", *packages))
    folder = CACHE / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:10]}"
    interpreter, done = str(folder / "bin" / "python"), folder / "done"
    with locked(name):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([python, "-m", "venv", str(folder)])
            _run([interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])
            done.touch()
    return interpreter


def other_python() -> str:
    """A Python from 3.11 on of another minor version than ours; skips when there is none."""
    ours = version_of(sys.executable)
    newer = (python for python in _pythons(range(11, 16)) if version_of(python) not in (None, ours))
    return next(newer, None) or missing("a second Python (3.11 or newer, of another minor version)")


def other_pythons() -> list[str]:
    """One Python of every other minor version from 3.11 on; skips when there is none."""
    found = {version_of(python): python for python in _pythons(range(11, 16))}
    for version in (None, version_of(sys.executable)):
        found.pop(version, None)
    return list(found.values()) or [missing("a second Python (3.11 or newer, of another minor version)")]


def old_python() -> str:
    """A Python 3 from before 3.11; skips when there is none."""
    older = (python for python in _pythons(range(7, 11)) if version_of(python) is not None)
    return next(older, None) or missing("a Python older than 3.11")


def missing(what: str) -> str:
    """Skip for want of `what`; with COSTMON_TEST_NO_SKIP=1 fail."""
    if os.environ.get("COSTMON_TEST_NO_SKIP") == "1":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


@functools.cache
def version_of(python: str) -> str | None:
    """'3.12' of an interpreter that works, else None."""
    code = "import sys, venv, sqlite3; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _pythons(minors: range) -> Iterator[str]:
    names = [f"python3.{minor}" for minor in minors]
    yield from filter(None, map(shutil.which, names))
    for folder in sorted((Path.home() / ".pyenv" / "versions").glob("3.*")):
        yield from (str(folder / "bin" / name) for name in names if (folder / "bin" / name).exists())


def _run(command: list[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environ, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stderr[-2000:]}")
