"""Plan texts ('every 60m', 'cron 0 * * * *', 'timer daily', 'at …'): when they are due, how often, and which is longer.

Everything is pure. Times are µs since 1970 UTC. A text nobody can read is None here, an unknown plan, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from costmon.insight.schedule import timers
from costmon.insight.schedule.zones import (
    DAY,
    SECOND,
    after_gap,
    instant,
    next_change,
    offset_us,
    shown,
    wall,
    wall_us,
    zone_of,
)
from costmon.shim.jobs.intervals import interval_us, spell_interval

EVERY, CRON, TIMER, AFTER, AT, OPAQUE = "every", "cron", "timer", "after", "at", "opaque"
_SCHEDULERS = ("apscheduler", "schedule", "celery")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_TEXT = 500
_WEEK = 7 * DAY
# Enough to hold three of anything that comes at least monthly, or yearly.
_HORIZONS = (_WEEK, 5 * _WEEK, 1461 * DAY)
_SAMPLE = 10_081  # one more than a week has minutes
_ANY = datetime(2026, 1, 1, tzinfo=UTC)


class Plan(NamedTuple):
    """When a job is due. `expression` is what follows the kind; `zone` the IANA name it is read in.

    EVERY: every `every_us` from an anchor on · AFTER: the same, counted from the last activation · CRON and TIMER: by the
    zone's clock · AT: once, at `at_us` · OPAQUE: a plan somebody has and nobody here can compute.
    """

    kind: str
    expression: str
    zone: str = "UTC"
    every_us: int = 0
    at_us: int = 0


class Gaps(NamedTuple):
    """Time between two runs of a plan, in µs: the `typical` one is the median, the `mean` that over a week (or, of rarer
    plans, over four years); changes of the clock left out."""

    shortest: int
    typical: int
    mean: int
    longest: int


@lru_cache(maxsize=2048)
def parse(text: str, zone: str = "", operator_zone: str = "UTC") -> Plan | None:
    """The plan a text tells; None for '' and for one that nobody can read (then the plan is unknown).

    `zone` is the IANA name announced beside the text; '' = unknown, so `operator_zone` holds. A zone written in a timer's
    expression wins over both.
    """
    kind, _, expression = text.strip().partition(" ")
    expression = " ".join(expression.split())
    if not expression or len(text) > _LONGEST_TEXT:
        return None
    if kind in (EVERY, AFTER):
        return _interval(kind, expression)
    if kind in _SCHEDULERS:
        return Plan(OPAQUE, f"{kind} {expression}")
    if kind == TIMER:
        expression, own = timers.split_zone(expression)
        zone = own or zone
    zone = zone or operator_zone
    if zone_of(zone) is None:
        return None
    if kind == CRON:
        return _cron(expression, zone)
    if kind == TIMER:
        return Plan(TIMER, expression, zone) if timers.parse_calendar(expression) is not None else None
    return _at(expression, zone) if kind == AT else None


def next_after(plan: Plan, after_us: int, anchor_us: int | None = None) -> int | None:
    """The first time the plan is due after a time; None if never, or if nobody can tell.

    `anchor_us` is a time an interval counts from (a run's start); without one it counts from `after_us`.
    """
    return next(_walk(plan, after_us, anchor_us), None)


def occurrences(
    plan: Plan, start_us: int, end_us: int, anchor_us: int | None = None, limit: int = 100_000
) -> tuple[int, ...]:
    """When the plan is due in start ≤ t < end, oldest first, the first `limit` of them.

    Without an anchor an interval counts from `start_us`, so that its first time is one interval later.
    """
    anchor = start_us if anchor_us is None else anchor_us
    first = start_us if anchor_us is None and plan.kind in (EVERY, AFTER) else start_us - 1
    return tuple(islice(takewhile(lambda due: due < end_us, _walk(plan, first, anchor)), limit))


def latest_until(plan: Plan, until_us: int, anchor_us: int | None = None) -> int | None:
    """The last time the plan was due at or before a time, at most four years back; None if it was not, or nobody can tell
    (an interval without an anchor)."""
    if plan.kind in (EVERY, AFTER):
        if anchor_us is None:
            return None
        return until_us - (until_us - anchor_us) % plan.every_us
    for back in (120 * SECOND, 7200 * SECOND, 2 * DAY, *_HORIZONS):
        found = occurrences(plan, until_us - back, until_us + 1)
        if found:
            return found[-1]
    return None


def gaps(plan: Plan, at_us: int) -> Gaps | None:
    """How far apart a plan's runs are, in the week of `at_us`; None for a plan that runs once, never, or unknown."""
    if plan.kind in (EVERY, AFTER):
        return Gaps(plan.every_us, plan.every_us, plan.every_us, plan.every_us)
    if plan.kind not in (CRON, TIMER):
        return None
    return _gaps(plan._replace(zone="UTC"), at_us - at_us % _WEEK)


def period_us(plan: Plan, at_us: int) -> int | None:
    """The usual time between two runs: an interval itself, else the median gap. None as with `gaps`."""
    found = gaps(plan, at_us)
    return None if found is None else found.typical


def longest_gap(plan: Plan, at_us: int) -> int | None:
    """The most time between two runs. None as with `gaps`."""
    found = gaps(plan, at_us)
    return None if found is None else found.longest


def more_often(one: Plan, other: Plan, at_us: int) -> bool:
    """Whether `one` runs more often than `other`, by the mean over a week; False where that cannot be told. A plan that
    runs once, or never, is less often than any that repeats."""
    mine, theirs = _rarity(one, at_us), _rarity(other, at_us)
    return mine is not None and theirs is not None and mine < theirs


def longest(plans: Iterable[Plan], at_us: int) -> Plan | None:
    """The plan that runs least often, of several the first; None if nothing can be told of any."""
    best: Plan | None = None
    for plan in plans:
        if _rarity(plan, at_us) is not None and (best is None or more_often(best, plan, at_us)):
            best = plan
    return best


def spelled(plan: Plan, operator_zone: str = "") -> str:
    """The plan for people; its zone where it is not the operator's."""
    if plan.kind == EVERY:
        return f"every {spell_interval(plan.every_us)}"
    if plan.kind == AFTER:
        return f"{spell_interval(plan.every_us)} after the last"
    if plan.kind == AT:
        return f"once at {_EPOCH + timedelta(microseconds=plan.at_us):%Y-%m-%d %H:%M} UTC"
    if plan.kind == OPAQUE:
        return plan.expression
    told = f"{plan.kind} {plan.expression}"
    return told if plan.zone == operator_zone else f"{told} ({plan.zone})"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = 2**62


def _rarity(plan: Plan, at_us: int) -> int | None:
    if plan.kind == OPAQUE:
        return None
    found = gaps(plan, at_us)
    return _NEVER if found is None else found.mean


@lru_cache(maxsize=512)
def _gaps(plan: Plan, start: int) -> Gaps | None:
    for horizon in _HORIZONS:
        due = occurrences(plan, start, start + horizon, limit=_SAMPLE)
        if len(due) >= 3:
            break
    else:
        due = tuple(islice(_walk(plan, start, None), 3))
        horizon = 0
    if len(due) < 2:
        return None
    between = sorted(later - earlier for earlier, later in pairwise(due))
    mean = horizon // len(due) if horizon else sum(between) // len(between)
    if len(due) == _SAMPLE:
        mean = _mean_of_many(plan, start)
    return Gaps(between[0], between[len(between) // 2], mean, between[-1])


def _mean_of_many(plan: Plan, start: int) -> int:
    """The mean gap over a week of a timer too frequent to be counted through: matching days x times a day."""
    calendar = timers.parse_calendar(plan.expression)
    if calendar is None:
        return _WEEK
    days = sum(bool(occurrences(plan, day, day + DAY, limit=1)) for day in range(start, start + _WEEK, DAY))
    return max(_WEEK // max(days * timers.per_day(calendar), 1), 1)


def _interval(kind: str, expression: str) -> Plan | None:
    try:
        every = interval_us(expression)
    except ValueError:
        return None
    return Plan(kind, expression, every_us=every) if every > 0 else None


def _cron(expression: str, zone: str) -> Plan | None:
    expression = _MACROS.get(expression.lower(), expression)
    if len(expression.split()) != 5 or not expression.isascii():
        return None
    try:
        CronSim(expression, _ANY)
    except (CronSimError, ValueError, RecursionError):
        return None
    return Plan(CRON, expression, zone)


def _at(expression: str, zone: str) -> Plan | None:
    try:
        moment = datetime.fromisoformat(expression)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone_of(zone))
        return Plan(AT, expression, zone, at_us=(moment - _EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return None


def _walk(plan: Plan, after: int, anchor: int | None) -> Iterator[int]:
    """When the plan is due after a time, oldest first; without end for one that repeats."""
    try:
        if plan.kind in (EVERY, AFTER):
            yield from _steps(plan.every_us, after, after if anchor is None else anchor)
        elif plan.kind == AT:
            if plan.at_us > after:
                yield plan.at_us
        elif plan.kind == TIMER:
            calendar, zone = timers.parse_calendar(plan.expression), zone_of(plan.zone)
            if calendar is not None and zone is not None:
                yield from timers.walk(calendar, zone, after)
        elif plan.kind == CRON:
            zone = zone_of(plan.zone)
            if zone is not None:
                by_clock = any(field.startswith("*") for field in plan.expression.split()[:2])
                yield from (_by_clock if by_clock else _at_times)(plan.expression, zone, after)
    except (OverflowError, ValueError):  # beyond the years a clock can show
        return


def _steps(every: int, after: int, anchor: int) -> Iterator[int]:
    due = after + every - (after - anchor) % every
    while True:
        yield due
        due += every


def _at_times(expression: str, zone: ZoneInfo, after: int) -> Iterator[int]:
    """A cron job at set times. Debian's cron runs what the clock skips as soon as it goes on, and nothing twice."""
    last = after
    for moment in CronSim(expression, wall(zone, after)):
        due = instant(zone, moment)
        if due is None:
            due = after_gap(zone, moment)
        if due > last:
            last = due
            yield due


def _by_clock(expression: str, zone: ZoneInfo, after: int) -> Iterator[int]:
    """A cron job with a star for its minute or hour: it runs whenever the clock shows its time, even twice."""
    while True:
        # As long as the offset stays, the wall clock is just UTC moved by it.
        offset = offset_us(zone, after)
        change = None
        for moment in CronSim(expression, shown(after + offset)):
            due = wall_us(moment) - offset
            change = next_change(zone, after, due)
            if change is not None:
                break
            yield due
            after = due
        else:
            return
        after = change - 1
        # A microsecond before the change still has the old offset; what is due at the very change belongs to the new one.
        offset = offset_us(zone, change)
        start = shown(change + offset)
        at_once = next(iter(CronSim(expression, start - timedelta(seconds=1))), None)
        if at_once == start:
            yield change
        after = change
