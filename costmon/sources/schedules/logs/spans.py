"""Lengths of time as logs write them: '60분', '1 h 30 min', '70.23초', '1:00:00', '1 day, 0:00:00'."""

from __future__ import annotations

import re
from decimal import Decimal

from costmon.shim.jobs.intervals import spell_interval

_SECOND = 1_000_000
_SIZES = {
    "ms": 1000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "d": 86_400 * _SECOND,
    "w": 604_800 * _SECOND,
}
_KOREAN = {"밀리초": "ms", "초": "s", "분": "m", "시간": "h", "일": "d", "주": "w"}
UNIT = (
    r"(?:밀리초|초|분|시간|일|주|"
    r"(?:milliseconds?|millis|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|hr|h|days?|d|weeks?|w)(?![a-z]))"
)
SPAN = rf"\d{{1,9}}(?:\.\d{{1,9}})?\s?-?{UNIT}(?:,?\s?\d{{1,9}}(?:\.\d{{1,9}})?\s?{UNIT})*"
"""A pattern of a length of time with its unit, to be used ignoring case."""
CLOCK = r"(?:\d{1,5} days?, )?\d{1,3}:\d\d:\d\d(?:\.\d{1,6})?"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s?-?({UNIT})", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,5}) days?, )?(\d{1,3}):(\d\d):(\d\d(?:\.\d{1,6})?)", re.IGNORECASE)
_ONE = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}
_MOST = 400 * 86_400 * _SECOND


def span_us(text: str) -> int | None:
    """A length of time in µs; None for anything else, nothing, or over 400 days."""
    text = text.strip()
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = clock.groups(default="0")
        us = ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 * _SECOND + int(
            Decimal(seconds) * _SECOND
        )
    elif (one := text.lower()) in _ONE:
        us = _SIZES[_ONE[one]]
    else:
        parts = _PART.findall(text)
        us = sum(int(Decimal(number) * _SIZES[_unit(unit)]) for number, unit in parts)
    return us if 0 < us <= _MOST else None


def of_unit(number: str, unit: str) -> int | None:
    """`number` of a unit such as 'minutes', in µs."""
    return span_us(f"{number} {unit}")


def every(us: int | None) -> str:
    """The plan of an interval, 'every 60m'; '' without one."""
    return f"every {spell_interval(us)}" if us else ""


def _unit(unit: str) -> str:
    if unit in _KOREAN:
        return _KOREAN[unit]
    unit = unit.lower()
    return "ms" if unit.startswith("mil") or unit == "ms" else unit[0]
