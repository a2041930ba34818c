"""The log of repricings, the locked periods, and the lock that lets one process reprice at a time."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from costmon.errors import CostmonError
from costmon.monitor.compile.writing import transaction
from costmon.monitor.reprice.report import Report
from costmon.monitor.reprice.scope import Scope
from costmon.shim.locks import FileLock

CORRECTION, CHANGE, UNKNOWN_ONLY, REVERT = "correction", "change", "unknown", "revert"
ENGINE = "costmon"
"""Who began a run that nobody asked for: unknown events whose price became known."""
_LOCK_FILE = "reprice.lock"


class RepriceError(CostmonError):
    """A repricing cannot be done; the message says why and what to do."""


class Run(NamedTuple):
    """One repricing; times are µs UTC. `events`: how many it has changed. `reverts`: the run it takes back."""

    id: int
    at: int
    kind: str
    reason: str
    by: str
    scope: Scope
    state: str
    events: int
    old_total: dict[str, int]
    new_total: dict[str, int]
    reverts: int | None
    ended_at: int | None
    done_to: str
    report: Report


class Lock(NamedTuple):
    """Events before `until_at` (µs UTC) keep their cost."""

    id: int
    until_at: int
    reason: str
    by: str
    created_at: int
    lifted_at: int | None


_COLUMNS = (
    "id, at, kind, reason, by, scope, state, events, old_total, new_total, reverts, ended_at, done_to, report"
)


def runs(db: sqlite3.Connection, count: int = -1) -> list[Run]:
    """The newest runs (-1: all), newest first."""
    rows = db.execute(f"select {_COLUMNS} from reprice_run order by id desc limit ?", (count,))  # noqa: S608
    return [_run(row) for row in rows]


def run_of(db: sqlite3.Connection, run_id: int) -> Run:
    """Raises RepriceError when there is no such run."""
    row = db.execute(f"select {_COLUMNS} from reprice_run where id = ?", (run_id,)).fetchone()  # noqa: S608
    if row is None:
        raise RepriceError(f"there is no run {run_id}; costmon reprice log lists them")
    return _run(row)


def interrupted(db: sqlite3.Connection) -> Run | None:
    """A run of a person's that was stopped in the middle; only of interest to who holds the lock."""
    row = db.execute(
        f"select {_COLUMNS} from reprice_run where state = 'running' and by <> ? order by id limit 1",  # noqa: S608
        (ENGINE,),
    ).fetchone()
    return None if row is None else _run(row)


def unfinished_revert(db: sqlite3.Connection, run_id: int) -> Run | None:
    """A run that was to take `run_id` back and was stopped in the middle."""
    row = db.execute(
        f"select {_COLUMNS} from reprice_run where state = 'running' and reverts = ?",  # noqa: S608
        (run_id,),
    ).fetchone()
    return None if row is None else _run(row)


def begin(
    db: sqlite3.Connection,
    kind: str,
    scope: Scope,
    *,
    reason: str,
    by: str,
    now: int,
    reverts: int | None = None,
) -> Run:
    """Inside a transaction: enter a new run into the log."""
    run_id = db.execute(
        "insert into reprice_run (at, kind, reason, by, scope, state, reverts) values (?, ?, ?, ?, ?, 'running', ?)"
        " returning id",
        (now, kind, reason, by, scope.to_json(), reverts),
    ).fetchone()[0]
    return run_of(db, run_id)


def record(db: sqlite3.Connection, run: Run) -> None:
    """Inside a transaction: how far the run has come."""
    db.execute(
        "update reprice_run set state = ?, events = ?, old_total = ?, new_total = ?, ended_at = ?, done_to = ?,"
        " report = ? where id = ?",
        (
            *(run.state, run.events, json.dumps(run.old_total), json.dumps(run.new_total), run.ended_at),
            *(run.done_to, run.report.to_json(), run.id),
        ),
    )


def _run(row: tuple[object, ...]) -> Run:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values["scope"] = Scope.from_json(str(values["scope"]))
    values["report"] = Report.from_json(str(values["report"]))
    for name in ("old_total", "new_total"):
        values[name] = json.loads(str(values[name]))
    return Run(**values)  # type: ignore[arg-type]


# --- one at a time ---


@contextmanager
def alone(home: str, wait_s: float = 1.0) -> Iterator[None]:
    """Hold the lock of repricings. Raises RepriceError when another process does."""
    lock = FileLock(os.path.join(home, _LOCK_FILE))
    try:
        if not lock.acquire(exclusive=True, wait_s=wait_s):
            raise RepriceError("another process is repricing this ledger; try again when it is done")
        yield
    finally:
        lock.close()


# --- locked periods ---


def locked_until(db: sqlite3.Connection) -> int:
    """Events created before this (µs UTC) keep their cost; 0 = none do."""
    row = db.execute("select coalesce(max(until_at), 0) from price_lock where lifted_at is null").fetchone()
    return int(row[0])


def locks(db: sqlite3.Connection) -> list[Lock]:
    """Every lock there ever was, newest first."""
    rows = db.execute(
        "select id, until_at, reason, by, created_at, lifted_at from price_lock order by id desc"
    )
    return [Lock(*row) for row in rows]


def lock_until(db: sqlite3.Connection, until: int, *, reason: str, by: str, now: int) -> Lock:
    """Lock everything before `until`. Raises LedgerBusy."""

    def work() -> int:
        return int(
            db.execute(
                "insert into price_lock (until_at, reason, by, created_at) values (?, ?, ?, ?) returning id",
                (until, reason, by, now),
            ).fetchone()[0]
        )

    return Lock(transaction(db, work), until, reason, by, now, None)


def unlock(db: sqlite3.Connection, now: int) -> list[Lock]:
    """Lift every lock that holds; returns them. Raises LedgerBusy."""

    def work() -> list[Lock]:
        held = [lock for lock in locks(db) if lock.lifted_at is None]
        db.execute("update price_lock set lifted_at = ? where lifted_at is null", (now,))
        return held

    return transaction(db, work)
