"""A temporary home: marker, clock and config. Everything the demo leaves on disk is inside."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time

from costmon.shim.clock import CLOCK_FILE, MARKER

DAY_S = 86_400
BUDGET = "daily"

_CONFIG = """\
# The demo's own settings: a budget small enough to be spent in one simulated day.
time_zone = "UTC"

[budget.{budget}]
amount = "1.00 USD"
period = "day"

[budget.month]
amount = "40 USD"
period = "month"

[notify]
desktop = {popups}
"""


def make_home(day_s: float, *, popups: bool) -> str:
    """A new home whose clock starts now at today's midnight UTC; one of its days lasts `day_s` real seconds."""
    home = tempfile.mkdtemp(prefix="costmon-demo-")
    _write(home, MARKER, "This home belongs to `costmon demo`: its figures and its clock are made up.\n")
    popups_text = "true" if popups else "false"
    _write(home, "config.toml", _CONFIG.format(budget=BUDGET, popups=popups_text))
    start_clock(home, day_s)
    return home


def start_clock(home: str, day_s: float) -> None:
    """Let the clock of `home` show midnight now."""
    now = time.time_ns() // 1000
    midnight = now - now % (DAY_S * 1_000_000)
    _write(home, CLOCK_FILE, json.dumps({"real_at": now, "at": midnight, "rate": DAY_S / day_s}))


def clock_rate(home: str) -> float:
    """Simulated seconds in a real one."""
    with open(os.path.join(home, CLOCK_FILE), encoding="utf-8") as file:
        return float(json.load(file)["rate"])


def remove_home(home: str) -> None:
    """Remove it; a file that is still being written gets a second chance."""
    for _ in range(3):
        shutil.rmtree(home, ignore_errors=True)
        if not os.path.exists(home):
            return
        time.sleep(0.1)


def _write(home: str, name: str, text: str) -> None:
    with open(os.path.join(home, name), "w", encoding="utf-8") as file:
        file.write(text)
