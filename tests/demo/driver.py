"""The demo as a person runs it: a process of its own, and a look at everything it leaves behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "costmon", "demo"]
_NO_DESKTOP = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY")


def environment(temporary: Path, desktop: dict[str, str] | None = None) -> dict[str, str]:
    """For the demo's process: its homes go below `temporary`; pop-ups to `desktop`'s or to nowhere."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COSTMON_")}
    for name in _NO_DESKTOP:
        env.pop(name, None)
    if desktop is not None:
        env |= {name: desktop[name] for name in _NO_DESKTOP if name in desktop}
    search = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    return {**env, "TMPDIR": str(temporary), "PYTHONPATH": search, "HTTP_PROXY": "http://127.0.0.1:9"}


def start(env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`costmon demo ARGUMENTS` with its output in a pipe."""
    command = [*COMMAND, *arguments]
    return subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def homes(temporary: Path) -> list[Path]:
    return sorted(temporary.glob("costmon-demo-*"))


def processes(temporary: Path) -> list[int]:
    """The processes that were started for a demo home below `temporary`: its apps."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"COSTMON_HOME={temporary}/".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)


def first(pattern: str, lines: list[str], after: int = -1) -> int:
    """The position of the first line after `after` that contains `pattern`; fails the test if there is none."""
    for number, line in enumerate(lines):
        if number > after and re.search(pattern, line):
            return number
    raise AssertionError(f"no line after {after} has {pattern!r} in\n" + "\n".join(lines))
