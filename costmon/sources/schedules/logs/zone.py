"""In which zone a log writes its times: as the config says, or as its youngest line beside the clock tells.

A zone is an IANA name, or 'UTC+09:00' where only the offset is known.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.shim.timestamps import to_datetime, to_us

_MINUTE = 60_000_000
_QUARTER = 15 * _MINUTE
CLOSE_US = 5_000_000
"""A foreign offset is believed if the line is so fresh; the operator's own zone and UTC within two minutes."""
NEAR_US = 2 * _MINUTE
_FIXED = re.compile(r"UTC([+-])(\d\d):(\d\d)")
# Every offset in use that is no whole hour, in minutes.
_ODD_OFFSETS = {-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765}


class Zone(NamedTuple):
    """`how`: 'config', 'inferred' (its lines fit the clock so), or 'assumed' (nothing tells: the operator's)."""

    name: str
    how: str

    def sentence(self) -> str:
        """For people: how times of the log are read."""
        if self.how == "config":
            return f"times read as {self.name}"
        if self.how == "inferred":
            return f"times read as {self.name}, inferred from its newest line and the clock"
        return f"times read as {self.name}, the operator's zone, as nothing tells which it is; set zone if that is wrong"


def infer(naive: datetime, written_at: int, operator: str) -> Zone | None:
    """The zone in which `naive`, a line's time, is `written_at` (µs UTC); None if that fits none."""
    ahead = to_us(naive.replace(tzinfo=UTC)) - written_at
    for name in dict.fromkeys((operator, "UTC")):
        off = ahead - _offset_us(name, written_at)
        if -NEAR_US <= off <= CLOSE_US:
            return Zone(name, "inferred")
    rounded = (ahead + _QUARTER // 2) // _QUARTER * _QUARTER
    minutes = rounded // _MINUTE
    possible = -720 <= minutes <= 840 and (minutes % 60 == 0 or minutes in _ODD_OFFSETS)
    if not possible or not -CLOSE_US <= ahead - rounded <= CLOSE_US:
        return None
    return Zone(
        f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}", "inferred"
    )


def fits(name: str, naive: datetime, written_at: int) -> bool:
    """Whether a line with this time can have been written then: not later, and not over two minutes before."""
    at = to_us(naive.replace(tzinfo=tz(name)))
    return -NEAR_US <= at - written_at <= CLOSE_US


def tz(name: str) -> tzinfo:
    fixed = _FIXED.fullmatch(name)
    if fixed is None:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            return UTC
    size = timedelta(hours=int(fixed.group(2)), minutes=int(fixed.group(3)))
    return timezone(size if fixed.group(1) == "+" else -size)


def at_us(naive: datetime, name: str, after: int) -> int:
    """A local time in µs UTC; one that the clocks pass twice is the first at or after `after`, else the second."""
    zone = tz(name)
    first = to_us(naive.replace(tzinfo=zone, fold=0))
    second = to_us(naive.replace(tzinfo=zone, fold=1))
    return second if first < after <= second + 3600 * 1_000_000 and second > first else first


def local(at: int, name: str) -> datetime:
    """An instant as the log's own time, naive."""
    return to_datetime(at).astimezone(tz(name)).replace(tzinfo=None)


def _offset_us(name: str, at: int) -> int:
    offset = to_datetime(at).astimezone(tz(name)).utcoffset()
    return 0 if offset is None else offset // timedelta(microseconds=1)
