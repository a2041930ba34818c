"""Runs nobody planned that belong together, and the rhythm of a job nobody has a plan for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from costmon.insight.schedule.expected import close, grace
from costmon.insight.schedule.values import Judged, Misfire, Rhythm

_NAMED = 8  # processes that cron starts are another each time
_RHYTHM_OF = 6
_RHYTHM_LAST = 24


def latest_misfire(unexpected: Sequence[tuple[int, int, Judged]], now: int, lasts: int) -> Misfire | None:
    """The last series of two or more; each run with when it began and the period of the plan it was held to, oldest first.

    A series goes on as long as each run is within two periods of the one before.
    """
    series: list[tuple[int, int, Judged]] = []
    found: list[tuple[int, int, Judged]] = []
    for one in unexpected:
        if series and one[0] - series[-1][0] > close(one[1]):
            series = []
        series.append(one)
        if len(series) >= 2:
            found = series
    return _told(found, now, lasts) if found else None


def _told(series: Sequence[tuple[int, int, Judged]], now: int, lasts: int) -> Misfire:
    runs = [judged.run for _, _, judged in series]
    every = _median([later[0] - earlier[0] for earlier, later in pairwise(series)])
    costs = [run.cost for run in runs]
    period = series[-1][1]
    rhythm = min(every, period)
    return Misfire(
        kind=Counter(judged.verdict for _, _, judged in series).most_common(1)[0][0],
        first_at=series[0][2].run.started_at,
        last_at=series[-1][2].run.started_at,
        runs=len(series),
        who=tuple(dict.fromkeys(run.who or run.owner or run.app for run in runs))[-_NAMED:],
        plan=Counter(run.plan for run in runs).most_common(1)[0][0],
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        every_us=every or None,
        going_on=now - series[-1][0] <= 2 * rhythm + grace(rhythm, lasts),
    )


def rhythm_of(starts: Sequence[int]) -> Rhythm | None:
    """The period of at least six runs that came evenly: their distances vary by a tenth of their mean at most."""
    last = starts[-_RHYTHM_LAST:]
    between = [later - earlier for earlier, later in pairwise(last)]
    if len(last) < _RHYTHM_OF or sum(between) <= 0:
        return None
    count, total = len(between), sum(between)
    # variance ≤ (mean / 10)², in whole numbers
    spread = count * sum(one * one for one in between) - total * total
    return Rhythm(_median(between), len(last)) if 100 * spread <= total * total else None


def _median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
