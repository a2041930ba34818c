"""Wall-clock time of a zone and back, where clocks are put forward or back. Times are µs since 1970 UTC."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WALL = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; None for a name nobody knows."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def offset_us(zone: ZoneInfo, us: int) -> int:
    """How far the wall clock is ahead of UTC."""
    offset = (_EPOCH + timedelta(microseconds=us)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(microseconds=1)


def wall(zone: ZoneInfo, us: int) -> datetime:
    """What the zone's clocks show, without a zone."""
    return shown(us + offset_us(zone, us))


def shown(wall_us: int) -> datetime:
    """µs of a wall clock as a datetime without a zone."""
    return _EPOCH_WALL + timedelta(microseconds=wall_us)


def wall_us(moment: datetime) -> int:
    """A datetime without a zone as µs of a wall clock."""
    return (moment - _EPOCH_WALL) // timedelta(microseconds=1)


def instant(zone: ZoneInfo, moment: datetime) -> int | None:
    """When the zone's clocks show this (the first time, where they show it twice); None where they skip it."""
    us = _utc(zone, moment, 0)
    return us if wall(zone, us) == moment else None


def after_gap(zone: ZoneInfo, moment: datetime) -> int:
    """When the clocks go on that skip `moment`."""
    return _change(zone, _utc(zone, moment, 1), _utc(zone, moment, 0))


def next_change(zone: ZoneInfo, after: int, until: int) -> int | None:
    """The first time in (after, until] at which the zone's offset changes."""
    day = after // DAY
    while day * DAY <= until:
        block = day // _BLOCK
        changes = _changes(zone, block)
        index = bisect_right(changes, after)
        if index < len(changes):
            return changes[index] if changes[index] <= until else None
        day = (block + 1) * _BLOCK
    return None


_BLOCK = 366  # days looked at and remembered together


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, block: int) -> tuple[int, ...]:
    """The changes of the offset in (start, end] of a block of days. A zone that changes twice within a day is missed."""
    start = block * _BLOCK * DAY
    edges = range(start, start + (_BLOCK + 1) * DAY, DAY)
    offsets = [offset_us(zone, edge) for edge in edges]
    return tuple(
        _change(zone, edge, edge + DAY)
        for edge, before, behind in zip(edges, offsets, offsets[1:], strict=False)
        if before != behind
    )


def _change(zone: ZoneInfo, before: int, behind: int) -> int:
    """The change of the offset in (before, behind], to the second."""
    old = offset_us(zone, before)
    low, high = before // SECOND, -(-behind // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_us(zone, middle * SECOND) == old:
            low = middle
        else:
            high = middle
    return high * SECOND


def _utc(zone: ZoneInfo, moment: datetime, fold: int) -> int:
    return (moment.replace(tzinfo=zone, fold=fold) - _EPOCH) // timedelta(microseconds=1)
