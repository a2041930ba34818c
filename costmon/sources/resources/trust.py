"""Whether the wall clock is to be believed: a moment of a wrong clock must not cost what lies ahead of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from costmon.sources.resources.pieces import SECOND_US

TOLERANCE_US = 60 * SECOND_US
"""So much ahead of what has passed, a clock was only put right."""
STEADY_S = 60.0
"""A jump that lasts so long is true: the machine was suspended, or its clock was set."""
FIRST_US = 86_400 * SECOND_US
"""So much after the newest that the ledger knows, the first look of a process believes the clock at once."""


class _Look(NamedTuple):
    passed_s: float
    wall_us: int

    def at(self, passed_s: float) -> int:
        """What the wall clock shows later, if it goes on as it did."""
        return self.wall_us + round((passed_s - self.passed_s) * SECOND_US)


def passed() -> float:
    """Seconds that pass whatever is done to the clock; where the system can tell, those of a suspended machine too."""
    found = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if found is None else time.clock_gettime(found)


class ClockTrust:
    """Compares the wall clock with the time that has passed since it was last believed. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = passed) -> None:
        self._clock = clock
        self._believed: _Look | None = None
        self._jumped: _Look | None = None

    @property
    def first(self) -> bool:
        """Whether nothing was believed yet."""
        return self._believed is None

    def believes(self, wall_us: int, known_us: int | None) -> bool:
        """Whether it is `wall_us` (µs UTC) now. `known_us`: the newest that is known, None = nothing; it matters for the
        first time only."""
        now = _Look(self._clock(), wall_us)
        expected = wall_us if self._believed is None else self._believed.at(now.passed_s)
        if self._believed is None:
            plausible = known_us is None or wall_us <= known_us + FIRST_US
        else:
            plausible = wall_us <= expected + TOLERANCE_US
        if plausible or self._is_steady(now):
            # A clock that was set back may come back to where it was: that is no jump.
            self._believed, self._jumped = now._replace(wall_us=max(wall_us, expected)), None
            return True
        return False

    def _is_steady(self, now: _Look) -> bool:
        since = self._jumped
        if since is None or abs(now.wall_us - since.at(now.passed_s)) > TOLERANCE_US:
            self._jumped = now
            return False
        return now.passed_s - since.passed_s >= STEADY_S
