"""Days, weeks and months as a zone's calendar cuts them. Instants are µs since 1970 UTC.

A period begins at the first instant of its first local day: where the clock skips midnight, the first instant
after the gap; where midnight comes twice, the first of the two. Periods tile time: each ends where the next
begins, and a day the calendar skipped (Pacific/Apia, 2011-12-30) has no period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.shim.timestamps import to_datetime, to_us

_DAY = timedelta(days=1)
_SECOND_US = 1_000_000


class Period(NamedTuple):
    """`start_us` <= instant < `end_us`; the label is '2026-11-20', '2026-W47' or '2026-11'."""

    start_us: int
    end_us: int
    label: str


def period_at(kind: str, zone: str, at_us: int) -> Period:
    """The period of `kind` (day, week, month) that contains `at_us`. Raises KeyError for another kind."""
    return next(_walk(kind, zone, at_us))


def periods(kind: str, zone: str, from_us: int, count: int) -> list[Period]:
    """`count` periods in order, the first of which contains `from_us`."""
    walk = _walk(kind, zone, from_us)
    return [next(walk) for _ in range(count)]


def periods_until(kind: str, zone: str, from_us: int, until_us: int) -> list[Period]:
    """The periods that overlap [from_us, until_us)."""
    found = []
    for period in _walk(kind, zone, from_us):
        if period.start_us >= until_us:
            break
        found.append(period)
    return found


def period_before(kind: str, zone: str, period: Period) -> Period:
    """The period that ends where `period` starts."""
    return period_at(kind, zone, period.start_us - 1)


def day_start(day: date, zone: str) -> int:
    """The first instant of the local day `day`; of a day the zone skips, the instant of the jump."""
    info = ZoneInfo(zone)
    midnight = datetime.combine(day, time.min, tzinfo=info)
    at = midnight.astimezone(UTC)
    if at.astimezone(info).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return to_us(at)
    return _jump(midnight)


def _jump(missing: datetime) -> int:
    """The instant at which the clock jumps over the local time `missing`."""
    before = missing.replace(fold=0).utcoffset()
    after = missing.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    wall = missing.replace(tzinfo=UTC)
    low, high = to_us(wall - after) // _SECOND_US, to_us(wall - before) // _SECOND_US
    while low < high:
        middle = (low + high) // 2
        if to_datetime(middle * _SECOND_US).astimezone(missing.tzinfo).utcoffset() == before:
            low = middle + 1
        else:
            high = middle
    return low * _SECOND_US


def _walk(kind: str, zone: str, from_us: int) -> Iterator[Period]:
    first = _first_day(kind, zone, from_us)
    start = day_start(first, zone)
    while True:
        following = _NEXT[kind](first)
        end = day_start(following, zone)
        if end > start:
            yield Period(start, end, _LABEL[kind](first))
        first, start = following, end


def _first_day(kind: str, zone: str, at_us: int) -> date:
    """The first local day of the period that contains `at_us`."""
    first = _FIRST[kind](to_datetime(at_us).astimezone(ZoneInfo(zone)).date())
    # Where the clock was set back across midnight, an instant's date can lie before the day it counts to.
    while day_start(_NEXT[kind](first), zone) <= at_us:
        first = _NEXT[kind](first)
    return first


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _week_label(monday: date) -> str:
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02d}"


_Day = Callable[[date], date]
_FIRST: dict[str, _Day] = {"day": lambda day: day, "week": _monday, "month": lambda day: day.replace(day=1)}
_NEXT: dict[str, _Day] = {
    "day": lambda day: day + _DAY,
    "week": lambda monday: monday + 7 * _DAY,
    "month": _next_month,
}
_LABEL: dict[str, Callable[[date], str]] = {
    "day": date.isoformat,
    "week": _week_label,
    "month": lambda first: f"{first:%Y-%m}",
}
