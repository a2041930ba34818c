"""Apps that know nothing of costmon, and the environments they live in."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.cli import COSTMON, environ
from tests.harness.mock_server import MockServer, mock_server
from tests.harness.venvs import ROOT, environment, other_python

PACKAGES = ("httpx[brotli,zstd]==0.28.1",)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home(costmon_home: Path) -> Path:
    return costmon_home


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server() as running:
        yield running


@pytest.fixture(scope="session")
def foreign() -> str:
    """The interpreter of an environment of our own Python that has httpx and nothing of costmon's."""
    return environment("app", *PACKAGES)


@pytest.fixture(scope="session")
def other() -> str:
    """The same for a Python of another minor version."""
    return environment("app", *PACKAGES, python=other_python())


@pytest.fixture
def app(tmp_path: Path) -> Callable[[str], str]:
    """Write a script; its path."""

    def write(code: str, name: str = "agent.py") -> str:
        path = tmp_path / "app" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        return str(path)

    return write


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start `costmon run [OPTIONS] -- COMMAND` from a shell whose folder has costmon in it."""
    running: list[subprocess.Popen[str]] = []

    def begin(*command: str, options: tuple[str, ...] = ("--no-watch",), **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COSTMON, "run", *options, "--", *command],
            cwd=ROOT,
            env=environ(home, **env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start: Start) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Like `start`, and wait for the end."""

    def whole(*command: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        process = start(*command, **more)
        out, err = process.communicate(given, timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return whole


def followers(home: Path) -> list[int]:
    """Process ids of the background engines of `home`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            env = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--follow" in command and f"COSTMON_HOME={home}".encode() in env:
            found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds:g} s"
        time.sleep(0.02)
    return time.monotonic() - began
