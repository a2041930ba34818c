"""The tables `meter` (a configured resource) and `meter_run` (when it cost by the clock). Times are µs UTC."""

from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.shim.events import id_floor
from costmon.shim.units import BEFORE


class Meter(NamedTuple):
    """A resource as it was last seen. Of what is measured, `pending` was counted from `since_at` to `counted_until` and is
    no event yet. `reading` is the last measurement, `note` what is wrong with it."""

    resource: str
    definition: str
    first_seen_at: int
    since_at: int
    counted_until: int
    pending: int
    estimated: bool
    reading: dict[str, Any]
    note: str


class Run(NamedTuple):
    """`stopped_at` None: it runs. `by` is 'config', 'host' or a person; `estimated`: nobody saw its end."""

    id: int
    resource: str
    started_at: int
    stopped_at: int | None
    accounted_until: int
    billed: int
    by: str
    estimated: bool

    def due(self, until_us: int) -> int:
        """Up to when it is to be accounted, as of `until_us`."""
        return until_us if self.stopped_at is None else min(self.stopped_at, until_us)


_METER = "resource, definition, first_seen_at, since_at, counted_until, pending, estimated, reading, note"
_RUN = "id, resource, started_at, stopped_at, accounted_until, billed, by, estimated"


def meters(db: Connection) -> dict[str, Meter]:
    """Every meter by its resource's name."""
    found = db.execute(f"select {_METER} from meter order by resource")  # noqa: S608 - names are ours
    return {row[0]: _meter(row) for row in found}


def put_meter(db: Connection, meter: Meter) -> None:
    """Write a meter, new or changed."""
    values = (*meter[:5], str(meter.pending), int(meter.estimated), json.dumps(meter.reading), meter.note)
    db.execute(f"insert or replace into meter ({_METER}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608


def newest(db: Connection) -> int | None:
    """The latest instant of which the ledger knows anything, None when it is empty."""
    found = db.execute(
        "select max(at) from (select max(counted_until) at from meter union all select max(accounted_until) from meter_run"
        " union all select * from (select created_at from event order by id desc limit 1))"
    ).fetchone()
    return None if found[0] is None else int(found[0])


def put_doubt(db: Connection, note: str, *, doubts: bool) -> None:
    """`note` is, or no longer is, what is wrong with every meter."""
    if doubts:
        db.execute("update meter set note = ?", (note,))
    else:
        db.execute("update meter set note = '' where note = ?", (note,))


def forget_meter(db: Connection, resource: str) -> None:
    """The resource is no longer configured; its runs stay on record."""
    db.execute("delete from meter where resource = ?", (resource,))


def runs(db: Connection, resource: str | None = None, *, count: int = -1) -> list[Run]:
    """The runs of one resource or of all, newest first."""
    where = "" if resource is None else "where resource = ?"
    values: tuple[object, ...] = (count,) if resource is None else (resource, count)
    sql = f"select {_RUN} from meter_run {where} order by started_at desc, id desc limit ?"  # noqa: S608
    return [_run(row) for row in db.execute(sql, values)]


def unaccounted(db: Connection) -> list[Run]:
    """The runs that are not accounted to their end, oldest first."""
    sql = f"select {_RUN} from meter_run where stopped_at is null or accounted_until < stopped_at order by started_at, id"  # noqa: S608
    return [_run(row) for row in db.execute(sql)]


def start_run(db: Connection, resource: str, started_at: int, stopped_at: int | None, by: str) -> None:
    """A new run, nothing of it accounted."""
    db.execute(
        "insert into meter_run (resource, started_at, stopped_at, accounted_until, by) values (?, ?, ?, ?, ?)",
        (resource, started_at, stopped_at, started_at, by),
    )


def stop_run(db: Connection, run: Run, stopped_at: int, *, estimated: bool = False) -> None:
    """End a run, but not before what is accounted already; one that never lasted is forgotten."""
    end = max(stopped_at, run.accounted_until)
    if end <= run.started_at:
        db.execute("delete from meter_run where id = ?", (run.id,))
        return
    db.execute(
        "update meter_run set stopped_at = ?, estimated = ? where id = ?", (end, int(estimated), run.id)
    )


def accounted(db: Connection, run_id: int, until_us: int, billed: int) -> None:
    """A run is accounted up to `until_us`."""
    db.execute(
        "update meter_run set accounted_until = ?, billed = ? where id = ?", (until_us, billed, run_id)
    )


def cut_run(db: Connection, run: Run, end_us: int, billed: int) -> None:
    """A run ended before what had been accounted of it, which has been taken back."""
    db.execute(
        "update meter_run set stopped_at = ?, accounted_until = ?, billed = ? where id = ?",
        (end_us, end_us, billed, run.id),
    )


def booked_after(db: Connection, run: Run, at_us: int) -> list[tuple[int, int, int, int]]:
    """(start, end, amount, what the month had used before) of a run's events that end after `at_us`, newest first."""
    first = max(run.started_at, at_us - at_us % 900_000_000)
    found = db.execute(
        "select created_at, created_at + duration_us, units from event where id >= ? and created_at >= ?"
        " and created_at < ? and source = 'meter' and model = ? and duration_us > 0 and created_at + duration_us > ?"
        " order by created_at desc",
        (id_floor(first), first, run.accounted_until, run.resource, at_us),
    )
    return [(start, end, _amount(units), int(json.loads(units)[BEFORE])) for start, end, units in found]


def _amount(units: str) -> int:
    return next(int(count) for unit, count in json.loads(units).items() if unit != BEFORE)


def locked_until(db: Connection) -> int:
    """Events before this keep their cost: their bill is settled."""
    row = db.execute("select coalesce(max(until_at), 0) from price_lock where lifted_at is null").fetchone()
    return int(row[0])


def used(db: Connection, resource: str, month: str, unit: str) -> int:
    """How much of a resource is accounted for in a month."""
    row = db.execute(
        "select used from meter_month where resource = ? and month = ? and unit = ?", (resource, month, unit)
    ).fetchone()
    return int(row[0]) if row is not None else 0


def put_used(db: Connection, resource: str, month: str, unit: str, amount: int) -> None:
    """The inverse of `used`."""
    db.execute("insert or replace into meter_month values (?, ?, ?, ?)", (resource, month, unit, str(amount)))


def _meter(row: tuple[Any, ...]) -> Meter:
    *facts, pending, estimated, reading, note = row
    return Meter._make((*facts, int(pending), bool(estimated), json.loads(reading), note))


def _run(row: tuple[Any, ...]) -> Run:
    return Run._make((*row[:7], bool(row[7])))
