"""How exact a schedule has to be, and when its next run is due. Times are µs since 1970 UTC."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from costmon.insight.schedule.plans import AFTER, EVERY, Plan, occurrences
from costmon.insight.schedule.timeline import Seen
from costmon.insight.schedule.values import Gap
from costmon.insight.schedule.zones import DAY, SECOND, next_change, offset_us, zone_of

MINUTE = 60 * SECOND
MOST = 20_000
"""Of planned times between two runs so many are looked at, the latest; a minutely job has 11,520 in eight days."""


def jitter(every: int) -> int:
    """How far a start may be off without meaning anything: a second, less for periods of seconds."""
    return min(SECOND, every // 5)


@lru_cache(maxsize=1024)
def tolerance(every: int) -> int:
    """How much too early a run may come: a tenth of the period, five minutes at most, never less than the jitter."""
    return max(min(every // 10, 5 * MINUTE), jitter(every))


@lru_cache(maxsize=1024)
def grace(every: int, lasts: int) -> int:
    """How long a run may be overdue before it is missed: a quarter of the period (at most 15 minutes, at least one minute
    or half a period, the lesser), and what most runs last, for a loop that waits only after its work."""
    least = min(MINUTE, max(every // 2, min(2 * every, 2 * SECOND)))
    return max(min(every // 4, 15 * MINUTE), least) + min(lasts, 2 * every)


def close(every: int) -> int:
    """Two runs nobody planned belong together if they are no further apart: two periods, and what clocks are off."""
    return 2 * every + 2 * tolerance(every)


def shifted(zone: str, since: int, at: int) -> int:
    """By how much the zone's clocks were put forward or back between two moments: some schedulers count by them."""
    found = zone_of(zone)
    if found is None or next_change(found, since, at) is None:
        return 0
    return abs(offset_us(found, at) - offset_us(found, since))


def lasting(seen: Sequence[Seen]) -> int:
    """The 95th percentile of how long runs lasted that no person started."""
    known = sorted(
        one.run.ended_at - one.run.started_at
        for one in seen
        if one.run.ended_at is not None
        and one.run.outcome not in ("running", "unknown", "refused")
        and not one.run.manual
    )
    return max(0, known[-(-95 * len(known) // 100) - 1]) if known else 0


def due_after(base: int, every: int, slack: int, gaps: Sequence[Gap]) -> int:
    """When the run after `base` is due at the latest, if the machine may have slept or nobody watched.

    A process that counts awake time comes later by as long as the machine slept, one that goes by the clock when it wakes,
    and one that drops what is late a period after that. Of stretches in which nobody watched only the first counts, so that
    looking now and then does not put it off for ever.
    """
    due = base + every
    touched = off = False
    for gap in gaps:
        if gap.start_at < due + slack and gap.end_at > base and not (gap.why == "off" and off):
            due = max(due + gap.end_at - max(gap.start_at, base), gap.end_at)
            touched, off = True, off or gap.why == "off"
    return due + every if touched else due


class Excuses:
    """Stretches in which nobody watched."""

    def __init__(self, gaps: Sequence[Gap]) -> None:
        self.gaps = sorted(gap for gap in gaps if gap.end_at > gap.start_at)
        self._reach: list[int] = []
        for gap in self.gaps:
            self._reach.append(max(gap.end_at, self._reach[-1] if self._reach else gap.end_at))

    def cover(self, start: int, end: int) -> bool:
        """Whether any of them touches start ≤ t ≤ end."""
        index = bisect_left(self.gaps, (end + 1,))
        return index > 0 and self._reach[index - 1] >= start

    def between(self, start: int, end: int) -> Sequence[Gap]:
        """Those that touch start ≤ t ≤ end."""
        if not self.cover(start, end):
            return ()
        return [gap for gap in self.gaps if gap.start_at <= end and gap.end_at >= start]


def is_interval(plan: Plan) -> bool:
    """Whether a plan counts from its last run, not by the clock."""
    return plan.kind in (EVERY, AFTER)


def slots(plan: Plan, start: int, end: int, usual: int) -> list[int]:
    """When a plan by the clock is due in start ≤ t < end; `usual` is how far apart its times are."""
    block = DAY if usual >= 5 * MINUTE else 60 * MINUTE
    found: list[int] = []
    for place in range(start // block, -(-end // block)):
        found += _block(plan, place, block)
    return found[bisect_left(found, start) : bisect_left(found, end)]


@lru_cache(maxsize=4096)
def _block(plan: Plan, place: int, block: int) -> tuple[int, ...]:
    return occurrences(plan, place * block, (place + 1) * block)
