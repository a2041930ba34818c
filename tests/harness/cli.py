"""The command line, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.venvs import ROOT

COSTMON = (sys.executable, "-m", "costmon")
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")


def environ(home: str | Path, **more: str) -> dict[str, str]:
    """The environment of a user whose state is in `home` and who has no desktop, so that no test pops up on a real one."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COSTMON_", "PYTHON")) and name not in _DESKTOP
    }
    return {**kept, "COSTMON_HOME": str(home), **more}


def costmon(home: str | Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `costmon ARGUMENTS`; it must succeed unless `check` is False. Its folder has costmon in it, installed or not."""
    done = subprocess.run(
        [*COSTMON, *arguments],
        cwd=ROOT,
        env=environ(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done
