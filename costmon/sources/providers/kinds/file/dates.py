"""Days, months and instants as bills write them, and the stretch of time a line is for.

Which of day and month comes first is decided for a whole file: the order with which every date in it is one. Where both
would do and say different days, nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.sources.providers.kinds.file.amounts import Cell
from costmon.sources.providers.kinds.file.problems import BillError, refuse, spell

DAY, MONTH, INSTANT = "day", "month", "instant"
_ORDERS = {"DD/MM/YYYY": (0, 1), "MM/DD/YYYY": (1, 0)}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_TIME = r"[T ]([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)"
_YMD = re.compile(r"([0-9]{4})\s?[-/.年년]\s?([0-9]{1,2})\s?[-/.月월]\s?([0-9]{1,2})\s?[.日일]?")
_YM = re.compile(r"([0-9]{4})\s?[-/.年년]\s?([0-9]{1,2})\s?[月월]?")
_COMPACT_MONTH = re.compile(r"(20[2-9][0-9])(0[1-9]|1[0-2])")
_EITHER = re.compile(rf"([0-9]{{1,2}})([-/.])([0-9]{{1,2}})\2([0-9]{{4}})(?:{_TIME})?")
_D_MON_Y = re.compile(rf"([0-9]{{1,2}})\.?[ -]{_NAMED}[ ,-]+([0-9]{{4}})")
_MON_D_Y = re.compile(rf"{_NAMED} ([0-9]{{1,2}}),? ([0-9]{{4}})")
_MON_Y = re.compile(rf"{_NAMED}[ ,-]+([0-9]{{4}})")
_ISO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:?[0-9]{2}.{0,25}")


class Moment(NamedTuple):
    """The beginning of a day or a month in the bill's zone, or an instant; `at` is aware."""

    at: datetime
    unit: str


class Span(NamedTuple):
    """[start, end), aware UTC."""

    start: datetime
    end: datetime


def read_moments(cells: Sequence[Cell], style: str, zone: ZoneInfo) -> list[Moment]:
    """What the cells of a file's date columns say; `zone` is that of times without one. `style` is a date_format such as
    "DD/MM/YYYY", or ''. Raises BillError."""
    if style:
        return [_by_style(cell, style, zone) for cell in cells]
    read = [_readings(cell, zone) for cell in cells]
    left = [order for order in _ORDERS if all(order in one for one in read)]
    if not left:
        pairs = zip(cells, read, strict=True)
        day_second = next(cell for cell, one in pairs if "DD/MM/YYYY" not in one)
        refuse(
            day_second.where, f"{spell(day_second.text)} has its day second, but other dates have it first"
        )
    if len(left) == 2:
        for cell, one in zip(cells, read, strict=True):
            day_first, month_first = (one[order].at for order in _ORDERS)
            if day_first != month_first:
                refuse(
                    cell.where,
                    f"{spell(cell.text)} may be {day_first:%Y-%m-%d} or {month_first:%Y-%m-%d}; write date_format = "
                    '"DD/MM/YYYY" or date_format = "MM/DD/YYYY"',
                )
    return [one[left[0]] for one in read]


def strptime_format(style: str) -> str:
    """`style` for strptime: "DD.MM.YYYY" or already "%d.%m.%Y"."""
    if "%" in style:
        return style
    for written, code in (
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("HH", "%H"),
        ("mm", "%M"),
        ("SS", "%S"),
    ):
        style = style.replace(written, code)
    return style


def span(start: Moment, end: Moment | None, inclusive: bool, zone: ZoneInfo) -> Span:
    """The stretch from `start` to `end`; without an end, the day or month itself. Parts of one day are that day.

    inclusive: an `end` that is a day is the last one, not the one after it.
    """
    first, last = start.at.astimezone(UTC), _end(end or start, inclusive or end is None).astimezone(UTC)
    day = first.astimezone(zone).date()
    opens, closes = (
        datetime(at.year, at.month, at.day, tzinfo=zone).astimezone(UTC)
        for at in (day, day + timedelta(days=1))
    )
    return Span(opens, closes) if opens <= first <= last <= closes else Span(first, last)


def _end(end: Moment, inclusive: bool) -> datetime:
    if end.unit == MONTH:
        return (end.at.replace(day=28) + timedelta(days=4)).replace(day=1)
    if end.unit == DAY:
        return end.at + timedelta(days=inclusive)
    last_second = (end.at.hour, end.at.minute, end.at.second) == (23, 59, 59)
    return end.at.replace(microsecond=0) + timedelta(seconds=1) if last_second else end.at


def ends_inclusive(pairs: Sequence[tuple[Moment, Moment]]) -> bool | None:
    """Whether ends that are days are the last ones, by what the file itself shows; None = it shows nothing, or both."""
    days = [(start.at.date(), end.at.date()) for start, end in pairs if end.unit == DAY and start.unit == DAY]
    shown = set()
    starts = {start for start, _ in days}
    for start, end in days:
        after = end + timedelta(days=1)
        if start == end or (start.day == 1 and after.day == 1):
            shown.add(True)
        elif (start.day == 1 and end.day == 1) or end in starts:
            shown.add(False)
        elif after in starts:
            shown.add(True)
    return shown.pop() if len(shown) == 1 else None


def from_name(name: str, zone: ZoneInfo) -> tuple[Moment, Moment | None] | None:
    """The period a file's name tells: two days (the last one included), one day, or a month. None = it tells none."""
    days = re.findall(r"(?<![0-9])(20[0-9]{2}-[0-9]{2}-[0-9]{2})(?![0-9])", name)
    months = re.findall(r"(?<![0-9-])(20[0-9]{2}-[0-9]{2})(?![0-9]|-[0-9])", name)
    found = days or months
    if not found or len(found) > (2 if days else 1):
        return None
    try:
        moments = [_readings(Cell(name, text), zone)["DD/MM/YYYY"] for text in found]
    except BillError:
        return None
    return moments[0], moments[1] if len(moments) == 2 else None


def _readings(cell: Cell, zone: ZoneInfo) -> dict[str, Moment]:
    """What `cell` says if the day, and if the month comes first; the same for what is written unmistakably."""
    text = " ".join(unicodedata.normalize("NFKC", cell.text).split())
    either = _EITHER.fullmatch(text)
    if either is None:
        return dict.fromkeys(_ORDERS, _plain(cell, text, zone))
    numbers = (int(either[1]), int(either[3]))
    found = {}
    for order, (day, month) in _ORDERS.items():
        try:
            day_at = datetime(int(either[4]), numbers[month], numbers[day], tzinfo=zone)
            at = datetime.combine(day_at, _clock(either[5]), tzinfo=zone)
            found[order] = Moment(at, INSTANT if either[5] else DAY)
        except ValueError:
            continue
    if not found:
        raise _no_date(cell)
    return found


def _clock(text: str | None) -> time:
    return time.fromisoformat(text.zfill(8 if text.count(":") == 2 else 5)) if text else time(0)


def _plain(cell: Cell, text: str, zone: ZoneInfo) -> Moment:
    try:
        if re.fullmatch("[0-9]{10}|[0-9]{13}", text):
            return Moment(datetime.fromtimestamp(int(text[:10]), UTC), INSTANT)
        if re.fullmatch("[0-9]{8}", text):
            return Moment(datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=zone), DAY)
        if _ISO_TIME.fullmatch(text):
            at = datetime.fromisoformat(re.sub(" ?(UTC|GMT)$", "+00:00", text))
            return Moment(at if at.tzinfo is not None else at.replace(tzinfo=zone), INSTANT)
        for pattern, make in _PATTERNS:
            found = pattern.fullmatch(text.casefold())
            if found:
                return make(zone, *found.groups())
    except (ValueError, OverflowError, OSError):
        raise _no_date(cell) from None
    raise _no_date(cell)


def _day(zone: ZoneInfo, year: str, month: int | str, day: str) -> Moment:
    return Moment(datetime(int(year), int(month), int(day), tzinfo=zone), DAY)


def _month(zone: ZoneInfo, year: str, month: int | str) -> Moment:
    return Moment(datetime(int(year), int(month), 1, tzinfo=zone), MONTH)


def _number(name: str) -> int:
    return _MONTHS.index(name) + 1


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[..., Moment]], ...] = (
    (_YMD, _day),
    (_YM, _month),
    (_COMPACT_MONTH, _month),
    (_D_MON_Y, lambda zone, day, name, year: _day(zone, year, _number(name), day)),
    (_MON_D_Y, lambda zone, name, day, year: _day(zone, year, _number(name), day)),
    (_MON_Y, lambda zone, name, year: _month(zone, year, _number(name))),
)


def _by_style(cell: Cell, style: str, zone: ZoneInfo) -> Moment:
    written = strptime_format(style)
    try:
        at = datetime.strptime(cell.text.strip(), written)  # noqa: DTZ007
    except ValueError:
        refuse(cell.where, f"{spell(cell.text)} is no date of the form {spell(style)} that date_format names")
    at = at if at.tzinfo is not None else at.replace(tzinfo=zone)
    if "%H" in written or "%I" in written:
        return Moment(at, INSTANT)
    return Moment(at, DAY if "%d" in written or "%j" in written else MONTH)


def _no_date(cell: Cell) -> BillError:
    return BillError(
        f"{cell.where}: {spell(cell.text)} is no date; write it 2026-11-03, or write date_format"
    )
