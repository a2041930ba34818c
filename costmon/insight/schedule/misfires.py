"""Runs nobody planned that belong together, and the rhythm of a job nobody has a plan for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from costmon.insight.schedule.expected import close, grace
from costmon.insight.schedule.plans import Plan
from costmon.insight.schedule.values import Judged, Misfire, Rhythm

_NAMED = 8  # processes that cron starts are another each time
_RHYTHM_OF = 6
_RHYTHM_LAST = 24


class Unexpected(NamedTuple):
    """A run nobody planned: when it began, the period of the plan it was held to, how it was judged, and that plan."""

    at: int
    period: int
    judged: Judged
    plan: Plan | None


def latest_misfire(unexpected: Sequence[Unexpected], now: int, lasts: int) -> Misfire | None:
    """The last series of two or more of these runs, which come oldest first.

    A series goes on as long as each run is within two periods of the one before.
    """
    series: list[Unexpected] = []
    found: list[Unexpected] = []
    for one in unexpected:
        if series and one.at - series[-1].at > close(one.period):
            series = []
        series.append(one)
        if len(series) >= 2:
            found = series
    return _told(found, now, lasts) if found else None


def _told(series: Sequence[Unexpected], now: int, lasts: int) -> Misfire:
    runs = [one.judged.run for one in series]
    every = _median([later.at - earlier.at for earlier, later in pairwise(series)])
    costs = [run.cost for run in runs]
    period, plan = series[-1].period, series[-1].plan
    rhythm = min(every, period)
    return Misfire(
        kind=Counter(one.judged.verdict for one in series).most_common(1)[0][0],
        first_at=series[0].judged.run.started_at,
        last_at=series[-1].judged.run.started_at,
        runs=len(series),
        who=tuple(dict.fromkeys(run.who or run.owner or run.app for run in runs))[-_NAMED:],
        plan=Counter(run.plan for run in runs).most_common(1)[0][0],
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        every_us=every or None,
        going_on=now - series[-1].at <= 2 * rhythm + grace(rhythm, lasts),
        held_to=f"{plan.kind} {plan.expression}" if plan is not None else "",
        held_zone=plan.zone if plan is not None else "",
    )


def rhythm_of(starts: Sequence[int]) -> Rhythm | None:
    """The period of the latest six or more runs that came evenly: their distances vary by a tenth of their mean at most.

    While the latest runs do not (the rhythm has just changed, or one run came between), it is the one that they had before:
    of seven runs or more, or of six that were even to a twentieth.
    """
    last = starts[-_RHYTHM_LAST:]
    for end in range(len(last), _RHYTHM_OF - 1, -1):
        for start in range(end - _RHYTHM_OF + 1):
            of_mean = 20 if end < len(last) and end - start == _RHYTHM_OF else 10
            between = [later - earlier for earlier, later in pairwise(last[start:end])]
            if _is_even(between, of_mean):
                return Rhythm(_median(between), end - start)
    return None


def _is_even(between: Sequence[int], of_mean: int) -> bool:
    """Whether the deviation of these distances is one part in `of_mean` of their mean, or less."""
    count, total = len(between), sum(between)
    # variance ≤ (mean / of_mean)², in whole numbers
    spread = count * sum(one * one for one in between) - total * total
    return total > 0 and of_mean * of_mean * spread <= total * total


def _median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
