"""The operator's days: the table a shim finds an event's day in, and past sums moved when the zone changes.

Everything here runs inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable

from costmon.budget.periods import period_at, period_before, periods, periods_until
from costmon.shim.schema import SUMS as _SUMS
from costmon.store.corrections import corrections_paused

MONTHS_AHEAD = 25
_DIMENSIONS = ("provider", "model", "app", "route", "job", "currency")
# A made-up clock may have left events anywhere; outside 2000 to 2100 they keep the day they have.
_CALENDAR = (946_684_800_000_000, 4_102_444_800_000_000)
_QUARTER_US = 900_000_000
_TWO_DAYS_US = 2 * 86_400_000_000


def horizon(zone: str, now_us: int) -> int:
    """Up to when periods are computed: the end of the month 25 months after that of `now_us`."""
    return periods("month", zone, now_us, MONTHS_AHEAD + 1)[-1].end_us


def compile_days(db: sqlite3.Connection, zone: str, now_us: int, *, replace: bool = False) -> None:
    """Fill `local_day` from last month to the horizon; `replace` also removes the days of another zone."""
    first = period_before("month", zone, period_at("month", zone, now_us)).start_us
    last = horizon(zone, now_us)
    wanted = {tuple(day) for day in periods_until("day", zone, first, last)}
    since = 0 if replace else first
    found = set(db.execute("select start_at, end_at, label from local_day where start_at >= ?", (since,)))
    # Days beyond this horizon were computed by somebody whose clock is ahead: harmless in the same zone.
    stale = [(day[0],) for day in found - wanted if replace or day[0] < last]
    db.executemany("delete from local_day where start_at = ?", stale)
    db.executemany("insert into local_day (start_at, end_at, label) values (?, ?, ?)", sorted(wanted - found))


def move_days(db: sqlite3.Connection, zone: str) -> None:
    """Sum past days anew in `zone` as far back as the 15-minute rollup reaches; older days keep their zone.

    What a day's row holds beyond its 15-minute rows (those are pruned earlier) stays where it is, so that no
    sum over all days changes. Events move with their sums: a later correction must come from the right day.
    """
    day_of = _day_finder(db, zone)
    if day_of is None:
        return
    moves = _moves(db, day_of)
    _apply(db, moves)
    with corrections_paused(db):
        _move_events(db, day_of)


def _day_finder(db: sqlite3.Connection, zone: str) -> Callable[[int], int] | None:
    """A function from an instant to its day's start in `zone`, None if the ledger holds nothing to move."""
    first, last = db.execute(
        "select min(slot_at), max(slot_at) from rollup_quarter where slot_at between ? and ?",
        _CALENDAR,
    ).fetchone()
    if first is None:
        return None
    starts = [day.start_us for day in periods_until("day", zone, first, last + _QUARTER_US)]
    return lambda at: starts[bisect_right(starts, at) - 1]


def _moves(db: sqlite3.Connection, day_of: Callable[[int], int]) -> dict[tuple[object, ...], list[int]]:
    """(day, provider … currency) → what to add: minus where a 15-minute row was, plus where it belongs."""
    same_key = " and ".join(f"d.{name} = q.{name}" for name in _DIMENSIONS)
    # The day a 15-minute row was added to is the last one of its key that begins no later than it.
    same_day = f"d.day_at <= q.slot_at and d.day_at > q.slot_at - {_TWO_DAYS_US}"
    rows = db.execute(
        f"select q.slot_at, {_names('q', _DIMENSIONS)}, {_names('q', _SUMS)},"  # noqa: S608 - names are ours
        f" (select d.day_at from rollup_day d where {same_day} and {same_key} order by d.day_at desc limit 1)"
        f" from rollup_quarter q where q.slot_at between ? and ?",
        _CALENDAR,
    )
    moves: dict[tuple[object, ...], list[int]] = {}
    for slot, *rest, old in rows:
        key, sums = tuple(rest[: len(_DIMENSIONS)]), rest[len(_DIMENSIONS) :]
        new = day_of(slot)
        if old is not None and old != new:
            _add(moves, (old, *key), [-value for value in sums])
            _add(moves, (new, *key), sums)
    return moves


def _add(moves: dict[tuple[object, ...], list[int]], key: tuple[object, ...], sums: list[int]) -> None:
    moves[key] = [a + b for a, b in zip(moves.get(key, [0] * len(sums)), sums, strict=True)]


def _apply(db: sqlite3.Connection, moves: dict[tuple[object, ...], list[int]]) -> None:
    columns = ("day_at", *_DIMENSIONS, *_SUMS)
    updates = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
    db.executemany(
        f"insert into rollup_day ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"  # noqa: S608
        f" on conflict (day_at, {', '.join(_DIMENSIONS)}) do update set {updates}",
        [(*key, *sums) for key, sums in moves.items() if any(sums)],
    )
    empty = " and ".join(f"{name} = 0" for name in _SUMS)
    db.execute(f"delete from rollup_day where {empty}")  # noqa: S608


def _move_events(db: sqlite3.Connection, day_of: Callable[[int], int]) -> None:
    """Those settled into a 15-minute row that still exists."""
    same_key = " and ".join(f"q.{name} = event.{name}" for name in _DIMENSIONS)
    same_slot = f"q.slot_at = created_at - created_at % {_QUARTER_US}"
    summed = f"exists (select 1 from rollup_quarter q where {same_slot} and {same_key})"  # noqa: S608
    db.create_function("costmon_day_of", 1, day_of, deterministic=True)
    try:
        db.execute(
            f"update event set local_day_at = costmon_day_of(created_at)"  # noqa: S608
            f" where created_at between ? and ? and {summed}"
            f" and local_day_at <> costmon_day_of(created_at)",
            _CALENDAR,
        )
    finally:
        db.create_function("costmon_day_of", 1, None)


def _names(table: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
