"""When somebody watched: the engine notes it, so that what happened while nobody did is no fault of a schedule.

A machine that slept is told from one that was off by the two clocks that count from its start, of which one goes on in its
sleep; a clock that was set is told by the second of them too. Times are µs since 1970 UTC.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from sqlite3 import Connection
from typing import NamedTuple

from costmon.insight.schedule.values import Gap
from costmon.monitor.compile.writing import transaction
from costmon.shim.clock import Clock, is_demo
from costmon.store.schedules import Span

SECOND_US = 1_000_000
EXTEND_US = 30 * SECOND_US
SIMULATED_US = SECOND_US // 2
"""By a clock that runs fast half a real second is long: what is written is no older than that."""
GAP_US = 60 * SECOND_US
STEP_US = 5 * SECOND_US
_TELL_RATE_S = 0.01


class Clocks(NamedTuple):
    """The machine's clocks in µs: the ledger's, one that counts through sleep, and one that does not."""

    wall: int
    elapsed: int
    awake: int


class Watch:
    """Notes that this engine watches. Not thread-safe."""

    def __init__(self, home: str, now: Clock) -> None:
        self._now = now
        self._simulated = is_demo(home)
        self._rate = _rate(now) if self._simulated else 1
        self._extend_us = SIMULATED_US * self._rate if self._rate > 1 else EXTEND_US
        self._start: int | None = None
        self._written = 0
        self._last: Clocks | None = None

    def note(self, db: Connection, clocks: Clocks | None = None) -> bool:
        """Inside no transaction: extend the span, or begin another; whether there is something new to judge by."""
        seen = clocks or read_clocks(self._now)
        last, self._last = self._last, seen
        if self._start is None or last is None:
            self._resume(db, seen.wall)
            return True
        why, step = self._broken(last, seen)
        if why:
            self._extend(db, last.wall)
            self._begin(db, seen.wall, why, step)
        elif seen.wall - self._written >= self._extend_us or seen.wall < self._written:
            self._extend(db, seen.wall)
        return bool(why)

    def close(self, db: Connection) -> None:
        """This engine stops watching."""
        if self._last is not None:
            self._extend(db, self._last.wall)

    def _broken(self, last: Clocks, seen: Clocks) -> tuple[str, int]:
        """Why watching was interrupted since the last look, '' if it was not, and by how much the clock was set."""
        elapsed, awake = seen.elapsed - last.elapsed, seen.awake - last.awake
        step = 0 if self._simulated else (seen.wall - last.wall) - elapsed
        if abs(step) > STEP_US:
            return "clock", step
        if elapsed - awake > GAP_US:
            return "suspended", 0
        return ("off", 0) if awake > GAP_US else ("", 0)

    def _resume(self, db: Connection, now: int) -> None:
        """Go on with the span of an engine that ended a moment ago, or begin the first."""
        row = db.execute("select start_at, end_at from watch_span order by start_at desc limit 1").fetchone()
        if row is not None and 0 <= now - row[1] <= GAP_US * self._rate:
            self._start = row[0]
            self._extend(db, now)
        else:
            self._begin(db, now, "" if row is None else "off", 0)

    def _begin(self, db: Connection, now: int, why: str, step: int) -> None:
        self._start = self._written = now
        _write(
            db,
            "insert into watch_span (start_at, end_at, gap, step) values (?, ?, ?, ?)"
            " on conflict do update set end_at = max(end_at, excluded.end_at), gap = excluded.gap, step = excluded.step",
            now,
            now,
            why,
            step,
        )

    def _extend(self, db: Connection, now: int) -> None:
        self._written = now
        _write(
            db, "update watch_span set end_at = ? where start_at = ? and end_at < ?", now, self._start, now
        )


def _write(db: Connection, sql: str, *values: object) -> None:
    transaction(db, lambda: db.execute(sql, values))


def read_clocks(now: Clock) -> Clocks:
    """All three, as near to one moment as can be."""
    awake = time.monotonic_ns() // 1000
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    elapsed = time.clock_gettime_ns(boot_time) // 1000 if boot_time is not None else awake
    return Clocks(now(), elapsed, awake)


def gaps(spans: Sequence[Span], since: int, now: int, *, watching: bool) -> tuple[Gap, ...]:
    """While nobody watched in [since, now], oldest first. Without an engine now, since the last one ended."""
    if not spans:
        return (Gap(since, now, "off"),) if since < now else ()
    found = [Gap(since, spans[0].start_at, "off")] if spans[0].start_at > since else []
    for before, after in pairwise([None, *spans]):
        if after is not None and after.gap == "clock":
            low, high = sorted((after.start_at - after.step, after.start_at))
            found.append(Gap(low, high, "clock", after.step))
        elif before is not None and after is not None and before.end_at < after.start_at:
            found.append(Gap(before.end_at, after.start_at, after.gap or "off"))
    found.sort()
    if not watching and spans[-1].end_at < now:
        found.append(Gap(spans[-1].end_at, now, "off"))
    return tuple(found)


def _rate(now: Clock) -> int:
    """How much faster than real an injected clock runs, at least 1."""
    first, real = now(), time.monotonic()
    time.sleep(_TELL_RATE_S)
    passed = time.monotonic() - real
    return max(1, round((now() - first) / (passed * SECOND_US)))
