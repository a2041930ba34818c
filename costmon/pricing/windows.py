"""Hours of the week in which a rate differs: read from a price file, and turned into UTC minutes.

    when = [{ days = ["mon", "tue"], hours = ["09:00-12:00", "22:00-02:00"], tz = "Asia/Shanghai", multiply = 2 }]

`days` (default: all) and `hours` (default: all day; the end is excluded, "24:00" is midnight) are of the clock in
`tz` (default: UTC); hours over midnight belong to the day they begin on. In a zone whose clocks are changed, each
stretch between two changes becomes dated, from 2020 to 2039; outside those years such hours cost the plain rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.pricing.where import Where, text

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

KEYS = ("days", "hours", "tz")
MOST = 50  # windows of a rate, and spans of a window
Minutes = list[list[int]]
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 1440
_WEEK = 7 * _DAY
_FIRST = datetime(2020, 1, 1, tzinfo=UTC)
_LAST = datetime(2040, 1, 1, tzinfo=UTC)
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")


class Stretch(NamedTuple):
    """A time in which a zone's clocks stay `offset` minutes ahead of UTC: half-open, ISO texts in UTC, None = for
    ever."""

    start: str | None
    end: str | None
    offset: int


class Window(NamedTuple):
    """The minutes of a zone's own week (sorted, apart, since Monday 00:00), and the zone's name."""

    minutes: Minutes
    zone: str


def read_window(at: Where, table: dict[str, Any]) -> Window:
    """`days`, `hours` and `tz` of a window."""
    if "days" not in table and "hours" not in table:
        at.fail('says neither days nor hours; add `days = ["sat", "sun"]` or `hours = ["22:00-06:00"]`')
    days = [
        _day(at / "days" / i, name) for i, name in enumerate(_list(at / "days", table.get("days", _DAYS)))
    ]
    hours = [
        _span(at / "hours" / i, span)
        for i, span in enumerate(_list(at / "hours", table.get("hours", ["00:00-24:00"])))
    ]
    zone = text(at / "tz", table.get("tz", "UTC"))
    if not _stretches(zone):
        (at / "tz").fail(f"{zone!r} is no time zone known here; write one like Asia/Shanghai or UTC")
    spans = [(day * _DAY + opens, day * _DAY + closes) for day in days for opens, closes in hours]
    return Window(_in_week(spans), zone)


def in_utc(
    window: Window, start: str | None, end: str | None
) -> list[tuple[str | None, str | None, Minutes]]:
    """The window as (from, until, minutes of the UTC week), within [start, end)."""
    found = []
    for stretch in _stretches(window.zone):
        since = max(filter(None, (start, stretch.start)), default=None)
        until = min(filter(None, (end, stretch.end)), default=None)
        if since is None or until is None or since < until:
            spans = ((opens - stretch.offset, closes - stretch.offset) for opens, closes in window.minutes)
            found.append((since, until, _in_week(spans)))
    return found


def meet(one: Window, other: Window) -> bool:
    """Whether an instant lies in both."""
    return any(
        _cross(minutes, more)
        for since, until, minutes in in_utc(one, None, None)
        for _, _, more in in_utc(other, since, until)
    )


def _cross(some: Minutes, others: Minutes) -> bool:
    return any(opens < last and first < closes for opens, closes in some for first, last in others)


def _in_week(spans: Iterable[tuple[int, int]]) -> Minutes:
    """Spans moved into [0, a week), cut at its end, sorted, and joined where they touch."""
    cut: list[tuple[int, int]] = []
    for opens, closes in spans:
        start = opens % _WEEK
        end = start + closes - opens
        cut += [(start, end)] if end <= _WEEK else [(start, _WEEK), (0, end - _WEEK)]
    joined: Minutes = []
    for start, end in sorted(cut):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return joined


def _list(at: Where, value: object) -> list[object]:
    if not isinstance(value, list | tuple) or not value:
        at.fail('must be a list of texts, like ["mon", "tue"] or ["09:00-12:00"]')
    if len(value) > MOST:
        at.fail(f"has over {MOST} entries; write fewer, longer spans")
    return list(value)


def _day(at: Where, name: object) -> int:
    if not isinstance(name, str) or name not in _DAYS:
        at.fail(f"is {str(name)[:40]!r}; write one of {', '.join(_DAYS)}")
    return _DAYS.index(name)


def _span(at: Where, span: object) -> tuple[int, int]:
    """(first, last) minute of the day; the last is over 1440 when the hours go on after midnight."""
    found = _HOURS.fullmatch(span) if isinstance(span, str) else None
    if found is None:
        at.fail(f'is {str(span)[:40]!r}; write hours and minutes, like "09:00-12:00" or "22:00-06:00"')
    hour, minute, last_hour, last_minute = map(int, found.groups())
    opens, closes = hour * 60 + minute, last_hour * 60 + last_minute
    if closes > _DAY or opens == closes:
        at.fail(f"is {found[0]!r}, which is no span of time; the whole day is 00:00-24:00")
    return opens, closes if closes > opens else closes + _DAY


@cache
def _stretches(name: str) -> tuple[Stretch, ...]:
    """The stretches of a zone; one without dates when its clocks are never changed; () for no zone."""
    from zoneinfo import ZoneInfo

    try:
        zone = ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder's name, a path, an unknown name
        return ()
    days = (_LAST - _FIRST).days
    changes = [
        _change(zone, _FIRST + timedelta(days=day), _FIRST + timedelta(days=day + 1))
        for day in range(days)
        if _offset(zone, _FIRST + timedelta(days=day)) != _offset(zone, _FIRST + timedelta(days=day + 1))
    ]
    if not changes:
        return (Stretch(None, None, _offset(zone, _FIRST)),)
    edges = [_FIRST, *changes, _LAST]
    return tuple(Stretch(_stamp(start), _stamp(end), _offset(zone, start)) for start, end in pairwise(edges))


def _offset(zone: ZoneInfo, at: datetime) -> int:
    """Minutes the zone is ahead of UTC; in the years looked at, every zone's are whole."""
    ahead = at.astimezone(zone).utcoffset()
    assert ahead is not None
    return int(ahead.total_seconds()) // 60


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first minute after `before` on which the clocks show what they show `after`."""
    low, high = 0, int((after - before).total_seconds()) // 60
    last = _offset(zone, after)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + timedelta(minutes=middle)) == last:
            high = middle
        else:
            low = middle
    return before + timedelta(minutes=high)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S").removesuffix("T00:00:00")
