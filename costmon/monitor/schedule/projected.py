"""What a job will cost if nothing changes: planned runs to come, and what goes on beside the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from costmon.budget.periods import period_at
from costmon.insight.schedule import costs, plans
from costmon.insight.schedule.costs import Going, PerRun
from costmon.insight.schedule.plans import Plan
from costmon.insight.schedule.record import FILES
from costmon.insight.schedule.values import FLOOR, UNEXPECTED, Announcement, Misfire, Run, Watched
from costmon.monitor.schedule.load import LOOK_BACK_US
from costmon.shim.money import divide_half_even

_HOUR_US = 3600 * 1_000_000
_OFTEN_US = _HOUR_US // 2
_PACE_OF, _PACE_LEAST = 12, 3
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
        return (Going(every, misfire.last_at, _each(watched, misfire, cost)),)
    if watched.rhythm is not None and watched.judged:
        return (Going(watched.rhythm.every_us, watched.judged[-1].run.started_at, cost.median),)
    return ()


def paid(run: Run) -> bool:
    """Whether a run tells what runs of its job cost: it is over, was not skipped, and costmon refused none of its calls."""
    return run.outcome in ("ok", "error", "unknown")


def _each(watched: Watched, misfire: Misfire, cost: PerRun) -> int | None:
    """What one more run of a misfire costs: the mean of those that tell; of none that does, what the job's runs cost."""
    ran = [one.run for one in watched.judged if one.verdict in UNEXPECTED]
    told = [run.cost for run in ran if run.started_at >= misfire.first_at and paid(run)]
    if None in told:
        return None
    return divide_half_even(sum(one or 0 for one in told), len(told)) if told else cost.median


def pace_of(watched: Watched, plan: Plan | None) -> Plan | None:
    """The rhythm of a job whose runs take longer than its period and wait for one another; None where it keeps its plan."""
    period = plans.period_us(plan, watched.now) if plan is not None else None
    ran = [one for one in watched.judged if not one.run.manual and one.verdict not in UNEXPECTED][-_PACE_OF:]
    if period is None or len(ran) < _PACE_LEAST or any(one.overlaps for one in ran):
        return None
    if 2 * sum(one.too_long for one in ran) <= len(ran):
        return None
    between = sorted(b.run.started_at - a.run.started_at for a, b in pairwise(ran))
    middle = between[len(between) // 2]
    return Plan(plans.EVERY, "", every_us=middle) if middle > period else None


def next_told(announced: Iterable[Announcement], now: int) -> int | None:
    """The soonest run to come that anybody announces."""
    told = [one.next_run_at for one in announced if one.ended_at is None and one.next_run_at is not None]
    return min((at for at in told if at > now), default=None)


def begins(runs: Sequence[Run], plan: Plan | None, announced: Sequence[Announcement]) -> bool:
    """Whether the next run follows from anything: of an interval that only a file asks for nobody knows since when."""
    if runs or plan is None or plan.kind not in (plans.EVERY, plans.AFTER):
        return True
    return any(one.ended_at is None and one.source not in FILES for one in announced)


def look_ahead(
    watched: Watched,
    plan: Plan | None,
    cost: PerRun,
    going: Sequence[Going],
    zone: str,
    next_at: int | None,
    *,
    unread: bool = False,
) -> Ahead:
    """`next_at`: when the job runs next, None if nobody knows; `unread`: a file plans it, nobody here can read how often."""
    now = watched.now
    planned = plan if is_planned(watched) and not watched.deserted else None
    sums: list[int | None] = []
    for kind in ("day", "week", "month"):
        until = period_at(kind, zone, now).end_us
        lost = unread and planned is None and next_at is None and not going
        if lost or _is_open(planned, going, next_at, until):
            sums.append(None)
            continue
        runs = upcoming_runs(planned, next_at, now, until)
        sums.append(costs.ahead(runs, cost.median, going, now, until))
    return Ahead(*sums)


def _is_open(plan: Plan | None, going: Sequence[Going], next_at: int | None, until: int) -> bool:
    """Whether nobody can tell how many runs come until then: of a plan that was not seen to begin, of one nobody can read,
    or of a next run without a plan."""
    if plan is not None and next_at is None:
        return plan.kind in (plans.EVERY, plans.AFTER, plans.OPAQUE)
    unread = plan is None or plan.kind == plans.OPAQUE
    return unread and not going and next_at is not None and next_at < until


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
