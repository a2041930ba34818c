"""Hours of the week in which a rate differs: read from a price file, and turned into UTC minutes.

    when = [{ days = ["mon", "tue"], hours = ["09:00-12:00", "22:00-02:00"], tz = "Asia/Shanghai", multiply = 2 }]

`days` (default: all) and `hours` (default: all day; the end is excluded, "24:00" is midnight) are of the clock in
`tz` (default: UTC); hours over midnight belong to the day they begin on. In a zone whose clocks are changed, each
stretch between two changes becomes dated, from 2020 to 2039; outside those years such hours cost the plain rate.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.pricing.files.where import Where, shown, text

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

KEYS = ("days", "hours", "tz")
MOST = 50  # windows of a rate, and spans of a window
MOST_ROWS, MOST_SPANS, MOST_ZONES = 20_000, 100_000, 24  # of a file, compiled
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


class Room:
    """What is left of what a file may become: rows, and spans of hours in them. A zone whose clocks are changed makes
    forty rows of one window."""

    def __init__(self) -> None:
        self._rows, self._spans = MOST_ROWS, MOST_SPANS
        self._zones: set[str] = set()

    def zone(self, at: Where, name: str) -> None:
        """One more zone, if it is one."""
        self._zones.add(name)
        if len(self._zones) > MOST_ZONES:
            at.fail(f"is the file's time zone number {MOST_ZONES + 1}; write hours in fewer zones, or in UTC")
        if not _stretches(name):
            at.fail(f"{name!r} is no time zone known here; write one like Asia/Shanghai or UTC")

    def take(self, at: Where, windows: Sequence[Window], dates: tuple[str | None, str | None]) -> None:
        """The rows of some windows within [from, until); fails at `at` when there is no room for them."""
        compared = len(_offsets_together(_zones_of(windows)))
        for window in windows:
            rows = len(_within(window.zone, *dates))
            self._rows -= rows
            self._spans -= max(rows, compared) * len(window.minutes)
        if self._rows < 0 or self._spans < 0:
            at.fail(
                f"makes more than {MOST_ROWS:,} rows or {MOST_SPANS:,} spans of hours of this file; "
                "write fewer windows, or hours in UTC"
            )


class Window(NamedTuple):
    """The minutes of a zone's own week (sorted, apart, since Monday 00:00), and the zone's name."""

    minutes: Minutes
    zone: str


def read_window(at: Where, table: dict[str, Any], room: Room) -> Window:
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
    room.zone(at / "tz", zone)
    spans = [(day * _DAY + opens, day * _DAY + closes) for day in days for opens, closes in hours]
    return Window(_in_week(spans), zone)


def in_utc(
    window: Window, start: str | None, end: str | None
) -> list[tuple[str | None, str | None, Minutes]]:
    """The window as (from, until, minutes of the UTC week), within [start, end)."""
    parts = _within(window.zone, start, end)
    moved = {offset: _moved(window.minutes, offset) for offset in {part.offset for part in parts}}
    return [(part.start, part.end, moved[part.offset]) for part in parts]


@lru_cache(maxsize=256)
def _within(zone: str, start: str | None, end: str | None) -> tuple[Stretch, ...]:
    """The parts of a zone's stretches within [start, end)."""
    found = []
    for stretch in _stretches(zone):
        since = max(filter(None, (start, stretch.start)), default=None)
        until = min(filter(None, (end, stretch.end)), default=None)
        if since is None or until is None or since < until:
            found.append(Stretch(since, until, stretch.offset))
    return tuple(found)


def first_overlap(windows: Sequence[Window]) -> tuple[int, int] | None:
    """The positions of two windows that an instant lies in both of (the later one last), None without any.

    However many stretches there are, what counts is which offsets the zones have together: few combinations.
    """
    zones = _zones_of(windows)
    for offsets in _offsets_together(zones):
        shift = dict(zip(zones, offsets, strict=True))
        spans = sorted(
            (opens, closes, i)
            for i, window in enumerate(windows)
            for opens, closes in _moved(window.minutes, shift[window.zone])
        )
        for (_, closes, one), (opens, _, other) in pairwise(spans):
            if opens < closes:
                return min(one, other), max(one, other)
    return None


@lru_cache(maxsize=256)
def _offsets_together(zones: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Every combination of offsets that the zones ever have at one time."""
    starts = {zone: [stretch.start or "" for stretch in _stretches(zone)] for zone in zones}
    found = {
        tuple(_stretches(zone)[max(bisect_right(starts[zone], at) - 1, 0)].offset for zone in zones)
        for at in {start for each in starts.values() for start in each}
    }
    return tuple(sorted(found))


def _zones_of(windows: Iterable[Window]) -> tuple[str, ...]:
    return tuple(sorted({window.zone for window in windows}))


def _moved(minutes: Minutes, offset: int) -> Minutes:
    return _in_week((opens - offset, closes - offset) for opens, closes in minutes)


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
        at.fail(f"is {shown(name)!r}; write one of {', '.join(_DAYS)}")
    return _DAYS.index(name)


def _span(at: Where, span: object) -> tuple[int, int]:
    """(first, last) minute of the day; the last is over 1440 when the hours go on after midnight."""
    found = _HOURS.fullmatch(span) if isinstance(span, str) else None
    if found is None:
        at.fail(f'is {shown(span)!r}; write hours and minutes, like "09:00-12:00" or "22:00-06:00"')
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
    # No zone changes its clocks and back within so few days (Morocco's month of Ramadan is the shortest time).
    looks = [_FIRST + timedelta(days=day) for day in range(0, (_LAST - _FIRST).days, 5)] + [_LAST]
    offsets = [_offset(zone, at) for at in looks]
    changes = [
        _change(zone, looks[i], looks[i + 1]) for i in range(len(looks) - 1) if offsets[i] != offsets[i + 1]
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
