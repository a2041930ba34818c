"""systemd's calendar expressions, as systemd.time(7) has them: 'Mon..Fri *-*-* 09..17:00', '*:0/15', 'daily'.

systemd goes by the wall clock: what the clock skips does not happen, and of an hour shown twice only the first counts.
This is what the manual says; some versions miss the first time of a day, month or year after a step that does not come out
even ('*:0/25' at midnight: issues 22665 and 40260 of systemd/systemd).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.insight.schedule.zones import SECOND, after_gap, instant, shown, wall, zone_of

_SHORTHAND = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MAX_YEAR = 2199
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_DECIMAL = re.compile(r"(\d{1,9})(?:\.(\d{1,18}))?", re.ASCII)
_MAX_PARTS = 240
_MANY = 10_000  # more often than that within a minute is all the same


class Span(NamedTuple):
    """`first`, and every `step` more up to `last`; last None: as far as the field goes, step 0: `first` alone."""

    first: int
    last: int | None
    step: int


Field = tuple[Span, ...]
"""Any of these; none: every value."""


class Calendar(NamedTuple):
    """A calendar expression. `second` is in µs; `from_end`: days count back from the month's last, 1 being the last."""

    weekdays: frozenset[int]
    year: Field
    month: Field
    day: Field
    from_end: bool
    hour: Field
    minute: Field
    second: Field


def split_zone(text: str) -> tuple[str, str]:
    """An expression and the zone written at its end, '' if none is."""
    body, _, last = text.strip().rpartition(" ")
    if body and last.upper() == "UTC":
        return body.strip(), "UTC"
    if body and "/" in last and not last[0].isdigit() and last[0] != "*" and zone_of(last) is not None:
        return body.strip(), last
    return text.strip(), ""


@lru_cache(maxsize=512)
def parse_calendar(text: str) -> Calendar | None:
    """The expression (its zone split off); None for one nobody can read."""
    text = " ".join(text.split())
    text = _SHORTHAND.get(text.lower(), text)
    try:
        weekdays, rest = _weekdays(text)
        return _fields(weekdays, rest)
    except ValueError:
        return None


def walk(calendar: Calendar, zone: ZoneInfo, after: int) -> Iterator[int]:
    """When it elapses after a time, in µs since 1970 UTC, oldest first."""
    moment, last = wall(zone, after), after
    while True:
        found = _next_wall(calendar, moment + timedelta(microseconds=1))
        if found is None:
            return
        us = instant(zone, found)
        if us is None:
            # Nothing in the gap counts: go on just before the time the clocks go on at.
            moment = wall(zone, after_gap(zone, found)) - timedelta(microseconds=1)
            continue
        moment = found
        if us > last:
            last = us
            yield us


def per_day(calendar: Calendar) -> int:
    """How often it elapses on a day that matches."""
    return (
        _count(calendar.hour, 23)
        * _count(calendar.minute, 59)
        * _count(calendar.second, 60 * SECOND - 1, SECOND)
    )


def _count(field: Field, top: int, unit: int = 1) -> int:
    found, value = 0, _ceiling(field, 0, top, unit)
    while value is not None:
        found, value = found + 1, _ceiling(field, value + 1, top, unit)
        if found == _MANY:
            break
    return found


def _next_wall(calendar: Calendar, start: datetime) -> datetime | None:
    day = start.date()
    time = start - datetime.combine(day, datetime.min.time())
    found = _next_time(calendar, time // timedelta(microseconds=1)) if _matches(calendar, day) else None
    if found is None:
        following = _next_day(calendar, day)
        found = _next_time(calendar, 0)
        if following is None or found is None:
            return None
        day = following
    return datetime.combine(day, datetime.min.time()) + timedelta(microseconds=found)


def _matches(calendar: Calendar, day: date) -> bool:
    return (
        day.weekday() in calendar.weekdays
        and _ceiling(calendar.year, day.year, _MAX_YEAR) == day.year
        and _ceiling(calendar.month, day.month, 12) == day.month
        and day.day in _days(calendar.day, calendar.from_end, monthrange(day.year, day.month)[1])
    )


def _next_day(calendar: Calendar, after: date) -> date | None:
    """The first matching day after a day."""
    year = _ceiling(calendar.year, after.year, _MAX_YEAR)
    start = (after.month, after.day) if year == after.year else (1, 0)
    while year is not None:
        month = _ceiling(calendar.month, start[0], 12)
        while month is not None:
            day = _day_of_month(calendar, year, month, start[1] if month == start[0] else 0)
            if day is not None:
                return day
            month = _ceiling(calendar.month, month + 1, 12)
        year, start = _ceiling(calendar.year, year + 1, _MAX_YEAR), (1, 0)
    return None


def _day_of_month(calendar: Calendar, year: int, month: int, after: int) -> date | None:
    first, length = monthrange(year, month)
    for day in _days(calendar.day, calendar.from_end, length):
        if day > after and (first + day - 1) % 7 in calendar.weekdays:
            return date(year, month, day)
    return None


@lru_cache(maxsize=4096)
def _days(field: Field, from_end: bool, length: int) -> tuple[int, ...]:
    if not field:
        return tuple(range(1, length + 1))
    found: set[int] = set()
    for span in field:
        end = span.first if not span.step else length if span.last is None else span.last
        if from_end and span.last is None:
            start = length + 1 - span.first
            found.update(range(start, (length if span.step else start) + 1, span.step or 1))
        else:  # '~1..10/3' are the last, the fourth last …: counted from the end
            found.update(
                length + 1 - one if from_end else one for one in range(span.first, end + 1, span.step or 1)
            )
    found.intersection_update(range(1, length + 1))
    return tuple(sorted(found))


def _next_time(calendar: Calendar, start: int) -> int | None:
    """The first matching time of a day, in µs since its midnight, from `start` on."""
    hour, rest = divmod(start, 3600 * SECOND)
    minute, second = divmod(rest, 60 * SECOND)
    while (found_hour := _ceiling(calendar.hour, hour, 23)) is not None:
        if found_hour != hour:
            hour, minute, second = found_hour, 0, 0
        while (found_minute := _ceiling(calendar.minute, minute, 59)) is not None:
            if found_minute != minute:
                minute, second = found_minute, 0
            found = _ceiling(calendar.second, second, 60 * SECOND - 1, SECOND)
            if found is not None:
                return (hour * 3600 + minute * 60) * SECOND + found
            minute, second = minute + 1, 0
        hour, minute, second = hour + 1, 0, 0
    return None


def _ceiling(field: Field, value: int, top: int, unit: int = 1) -> int | None:
    """The least matching value of at least `value` and at most `top`; a field of every value knows multiples of `unit`."""
    if not field:
        found = -(-value // unit) * unit
        return found if found <= top else None
    best: int | None = None
    for first, last, step in field:
        if value <= first:
            found = first
        elif step:
            found = first + -(-(value - first) // step) * step
        else:
            continue
        if found <= (top if last is None else min(last, top)) and (best is None or found < best):
            best = found
    return best


def _weekdays(text: str) -> tuple[frozenset[int], str]:
    """The days named at the start, every day if none is, and what follows."""
    named = re.match(r"[A-Za-z][A-Za-z.,-]*(?: |$)", text)
    if named is None:
        return frozenset(range(7)), text
    found: set[int] = set()
    for one in named.group().strip().rstrip(",").split(","):
        first, dots, last = one.replace("-", "..").partition("..")
        start, end = _weekday(first), _weekday(last) if dots else _weekday(first)
        if end < start:
            raise ValueError("a range of days that runs backwards")
        found.update(range(start, end + 1))
    return frozenset(found), text[named.end() :]


def _weekday(text: str) -> int:
    for number, name in enumerate(_DAYS):
        if text.lower() in (name, name[:3]):
            return number
    raise ValueError("no day of the week")


def _fields(weekdays: frozenset[int], text: str) -> Calendar:
    if text.startswith("@"):
        return _epoch(text[1:])
    day, time = _date_and_time(text)
    if not text and len(weekdays) == 7:
        raise ValueError("nothing is said")
    year, month, number, from_end = _date(day)
    hour, minute, second = _time(time)
    return Calendar(weekdays, year, month, number, from_end, hour, minute, second)


def _epoch(text: str) -> Calendar:
    if _NUMBER.fullmatch(text) is None and re.fullmatch(r"\d{10,11}", text, re.ASCII) is None:
        raise ValueError("no time")
    moment = shown(int(text) * SECOND)
    one = [
        (Span(value, None, 0),)
        for value in (moment.year, moment.month, moment.day, moment.hour, moment.minute)
    ]
    return Calendar(
        frozenset(range(7)),
        one[0],
        one[1],
        one[2],
        False,
        one[3],
        one[4],
        (Span(moment.second * SECOND, None, 0),),
    )


def _date_and_time(text: str) -> tuple[str, str]:
    parts = text.split(" ") if text else []
    if not parts:
        return "", ""
    if len(parts) == 1:
        return ("", parts[0]) if ":" in parts[0] else (parts[0], "")
    if len(parts) > 2 or ":" not in parts[1] or ":" in parts[0]:
        raise ValueError("neither a date nor a time")
    return parts[0], parts[1]


def _date(text: str) -> tuple[Field, Field, Field, bool]:
    if not text:
        return (), (), (), False
    from_end = "~" in text
    if text.count("~") > 1 or (from_end and "-" in text.partition("~")[2]):
        raise ValueError("a ~ that stands before no day")
    parts = text.replace("~", "-").split("-")
    if len(parts) not in (2, 3):
        raise ValueError("no date")
    *years, month, day_field = (_field(part) for part in parts)
    year = tuple(_four_digits(span) for span in years[0]) if years else ()
    for field, low, high in ((year, 1970, _MAX_YEAR), (month, 1, 12), (day_field, 1, 28 if from_end else 31)):
        _within(field, low, high)
    if from_end and any(last is None and step >= first for first, last, step in day_field):
        raise ValueError("a step beyond the month's end")
    return year, month, day_field, from_end


def _four_digits(span: Span) -> Span:
    def full(year: int) -> int:
        return year + 2000 if year < 70 else year + 1900 if year < 100 else year

    return Span(full(span.first), None if span.last is None else full(span.last), span.step)


def _time(text: str) -> tuple[Field, Field, Field]:
    if not text:
        zero = (Span(0, None, 0),)
        return zero, zero, zero
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError("no time")
    hour, minute = _field(parts[0]), _field(parts[1])
    second = _field(parts[2], SECOND) if len(parts) == 3 else (Span(0, None, 0),)
    if any(first == last for first, last, _ in second):
        raise ValueError("a range of one")  # systemd refuses it of seconds alone
    for field, high in ((hour, 23), (minute, 59), (second, 60 * SECOND - 1)):
        _within(field, 0, high)
    return hour, minute, second


def _field(text: str, unit: int = 1) -> Field:
    if text == "*":
        return ()
    parts = text.split(",")
    if len(parts) > _MAX_PARTS:
        raise ValueError("too many values")
    return tuple(_span(part, unit) for part in parts)


def _span(text: str, unit: int) -> Span:
    values, slash, step_text = text.partition("/")
    first_text, dots, last_text = values.partition("..")
    first = _value(first_text, unit)
    last = _value(last_text, unit) if dots else None
    step = _value(step_text, unit) if slash else unit if dots else 0
    if slash and not step:
        raise ValueError("a step of nothing")
    return Span(first, last, step)


def _value(text: str, unit: int) -> int:
    if unit == 1:
        if _NUMBER.fullmatch(text) is None:
            raise ValueError("no number")
        return int(text)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("no number")
    fraction = match.group(2) or "0"
    digits = (fraction + "0" * 7)[:7]
    return int(match.group(1)) * SECOND + (int(digits) + 5) // 10


def _within(field: Field, low: int, high: int) -> None:
    for first, last, step in field:
        if not low <= first <= high:
            raise ValueError("out of range")
        if last is None and first + step > high:
            raise ValueError("a step beyond the last value")
        if last is not None and not first <= last <= high:
            raise ValueError("no range")
