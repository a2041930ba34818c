"""The one clock of the ledger: integer microseconds since 1970 UTC.

An injected clock (the demo, tests) is a JSON file `clock.json` in the home, beside the marker file `DEMO`:
`{"real_at": µs, "at": µs, "rate": 720.0}` means that one real second counts as `rate` seconds since `real_at`.
Without the marker the file is ignored, so that nobody's budget runs on a made-up time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

Clock = Callable[[], int]
MARKER = "DEMO"
CLOCK_FILE = "clock.json"
_MAX_RATE = 1e6
_MAX_AT = 4_102_444_800_000_000  # the year 2100


def system_clock() -> int:
    """Now, in µs since 1970 UTC."""
    return time.time_ns() // 1000


def clock_of(home: str) -> Clock:
    """The clock that holds in `home`: the system's, or the injected one of a demo home."""
    convert = from_system(home)
    return system_clock if convert is None else lambda: convert(system_clock())


def from_system(home: str) -> Callable[[int], int] | None:
    """What turns a time of the system's clock into one of the clock injected in `home`; None where that is the same."""
    path = os.path.join(home, CLOCK_FILE)
    if not os.path.exists(path):
        return None
    if not is_demo(home):
        from costmon.shim.faults import report

        report("clock", f"{path} is ignored: only a demo home may have its own clock")
        return None
    try:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        real_at, at, rate = int(spec["real_at"]), int(spec["at"]), float(spec["rate"])
        if not (0 <= rate <= _MAX_RATE and 0 <= real_at <= _MAX_AT and 0 <= at <= _MAX_AT):
            raise ValueError("real_at, at or rate is out of range")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        from costmon.shim.faults import report

        report("clock", f"{path} is ignored: {error}")
        return None
    return lambda real: at + int((real - real_at) * rate)


def is_demo(home: str) -> bool:
    """Whether `home` is a simulation's, by its marker file."""
    return os.path.exists(os.path.join(home, MARKER))
