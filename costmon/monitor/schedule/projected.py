"""What a job will cost if nothing changes: planned runs to come, and what goes on beside the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from costmon.budget.periods import period_at
from costmon.insight.schedule import costs, plans
from costmon.insight.schedule.costs import Going, PerRun
from costmon.insight.schedule.plans import Plan
from costmon.insight.schedule.values import FLOOR, UNEXPECTED, Watched
from costmon.monitor.schedule.load import LOOK_BACK_US
from costmon.shim.money import divide_half_even

_HOUR_US = 3600 * 1_000_000
_OFTEN_US = _HOUR_US // 2
_ABOUT = 4
"""A quarter more or less is about the same."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a job, or all of them, will cost from now until local midnight, the week's and the month's end if nothing
    changes; nano, None = unknown."""

    tonight: int | None
    this_week: int | None
    this_month: int | None


def misfires_every(watched: Watched) -> int | None:
    """How often a misfire's runs come: as their process announces, where that is about what was measured."""
    misfire = watched.misfire
    if misfire is None or not misfire.every_us:
        return None
    plan = plans.parse(misfire.plan, "", watched.plan.zone or "UTC")
    period = plans.period_us(plan, watched.now) if plan is not None else None
    if period is not None and _ABOUT * abs(period - misfire.every_us) <= period:
        return period
    return misfire.every_us


def going_on(watched: Watched, cost: PerRun) -> tuple[Going, ...]:
    """What goes on without a plan: a misfire, or a rhythm."""
    misfire, every = watched.misfire, misfires_every(watched)
    if misfire is not None and misfire.going_on and every:
        each = None if misfire.cost is None else divide_half_even(misfire.cost, misfire.runs)
        return (Going(every, misfire.last_at, each),)
    if watched.rhythm is not None and watched.judged:
        return (Going(watched.rhythm.every_us, watched.judged[-1].run.started_at, cost.median),)
    return ()


def look_ahead(watched: Watched, plan: Plan | None, cost: PerRun, going: Sequence[Going], zone: str) -> Ahead:
    now = watched.now
    planned = plan if is_planned(watched) else None
    sums = []
    for kind in ("day", "week", "month"):
        until = period_at(kind, zone, now).end_us
        runs = upcoming_runs(planned, watched.next_run_at, now, until)
        sums.append(costs.ahead(runs, cost.median, going, now, until))
    return Ahead(*sums)


def is_planned(watched: Watched) -> bool:
    """Whether a job has a plan that somebody keeps to, beside a misfire that goes on maybe."""
    return bool(watched.plan.plan) and watched.plan.said_by != FLOOR and _is_kept(watched)


def _is_kept(watched: Watched) -> bool:
    """Whether anybody still runs the job as planned beside a misfire that goes on."""
    misfire = watched.misfire
    if misfire is None or not misfire.going_on:
        return True
    return any(
        one.verdict not in UNEXPECTED and not one.run.manual and one.run.started_at >= misfire.first_at
        for one in watched.judged
    )


def upcoming_runs(plan: Plan | None, next_at: int | None, now: int, until: int) -> int:
    """How many planned runs begin in [now, until)."""
    if plan is None or next_at is None or next_at >= until:
        return 0
    if plan.kind in (plans.EVERY, plans.AFTER):
        first = next_at if next_at >= now else next_at + -(-(now - next_at) // plan.every_us) * plan.every_us
        return max(0, -(-(until - first) // plan.every_us))
    hour = now - now % _HOUR_US
    return _due(plan, hour, until) - len(plans.occurrences(plan, hour, now))


@lru_cache(maxsize=4096)
def _due(plan: Plan, since: int, until: int) -> int:
    """How often a plan is due in [since, until); of one that is due every few minutes the days after eight by its mean."""
    found = plans.gaps(plan, since)
    near = since + LOOK_BACK_US
    if found is None or found.mean >= _OFTEN_US or until <= near:
        return len(plans.occurrences(plan, since, until))
    return len(plans.occurrences(plan, since, near)) + (until - near) // found.mean
