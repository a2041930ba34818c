"""What a log told, in the ledger. Every function works inside its caller's transaction; times are µs UTC."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from sqlite3 import Connection
from typing import Any

from costmon.insight.schedule.values import Run
from costmon.shim.events import clean
from costmon.sources.schedules.logs.follow import Position
from costmon.sources.schedules.logs.told import SOURCE, Facts
from costmon.sources.schedules.values import Planned

Kept = tuple[str, str, str]
"""Path, app and job of an announcement that holds."""


def load(db: Connection, path: str) -> tuple[Position | None, dict[str, Any]]:
    """Where reading stopped, and the state then; (None, {}) for a log nobody has read."""
    row = db.execute(
        "select device, inode, head, offset, state from log_position where path = ?", (path,)
    ).fetchone()
    if row is None:
        return None, {}
    try:
        state = json.loads(row[4])
        file = state.pop("file", {})
        position = Position(
            row[0], row[1], row[2], row[3], file["mark"], file["mtime"], bool(file["skipping"])
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, {}
    return position, state


def save(db: Connection, path: str, position: Position, state: Mapping[str, Any], now: int) -> None:
    """How far the log has been read, and what was understood so far."""
    file = {"mark": position.mark, "mtime": position.mtime_ns, "skipping": position.skipping}
    text = json.dumps({**state, "file": file}, separators=(",", ":"), ensure_ascii=False)
    db.execute(_SAVE, (path, position.device, position.inode, position.head, position.offset, text, now))


def write(db: Connection, facts: Facts, owner: str, app: str, note: str, now: int) -> None:
    """Runs and announcements. A run that has ended is never opened again."""
    for run in facts.runs.values():
        db.execute(_RUN, _row(run))
    for planned, seen_at in facts.planned.values():
        _announce(db, planned, seen_at or now, note)
    for job, at in facts.withdrawn.items():
        db.execute(
            "update announcement set ended_at = ? where job = ? and app = ? and source = ? and owner = ?",
            (at, job, app, SOURCE, owner),
        )


def withdraw_others(db: Connection, kept: Collection[Kept], now: int) -> None:
    """Nobody reads the log any more that said so, or not as that job."""
    for job, app, owner in db.execute(
        "select job, app, owner from announcement where source = ? and ended_at is null", (SOURCE,)
    ).fetchall():
        if (owner, app, job) not in kept:
            db.execute(
                "update announcement set ended_at = ? where job = ? and app = ? and source = ? and owner = ?",
                (now, job, app, SOURCE, owner),
            )


def forget(db: Connection, path: str, since: int, *, announced: bool = False) -> None:
    """Runs that began since then, and with `announced` what the log says of plans, are told anew in the same transaction,
    under another config or in another zone."""
    if announced:
        db.execute("delete from announcement where source = ? and owner = ?", (SOURCE, path))
    db.execute(
        "delete from job_run where source = ? and owner = ? and started_at >= ?", (SOURCE, path, since)
    )


def _announce(db: Connection, planned: Planned, seen_at: int, note: str) -> None:
    db.execute(
        _ANNOUNCE,
        (
            planned.job, planned.app, planned.source, planned.owner, clean(planned.who), planned.plan, planned.zone,
            planned.next_run_at, seen_at, seen_at, note,
        ),
    )  # fmt: skip


def _row(run: Run) -> tuple[Any, ...]:
    return (
        run.id, run.app, run.job, run.source, run.owner, clean(run.who), run.plan, run.planned_at, run.started_at,
        run.ended_at, run.outcome,
    )  # fmt: skip


_SAVE = """insert into log_position (path, device, inode, head, offset, state, read_at) values (?, ?, ?, ?, ?, ?, ?)
    on conflict (path) do update set device = excluded.device, inode = excluded.inode, head = excluded.head,
        offset = excluded.offset, state = excluded.state, read_at = excluded.read_at"""
_RUN = """insert into job_run (id, app, job, source, owner, who, plan, planned_at, started_at, ended_at, outcome)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (id) do update set ended_at = excluded.ended_at, outcome = excluded.outcome
    where excluded.outcome <> 'running'"""
_ANNOUNCE = """insert into announcement (job, app, source, owner, who, plan, zone, next_run_at, first_at, seen_at, note)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict do update set who = excluded.who, plan = excluded.plan, zone = excluded.zone,
        next_run_at = excluded.next_run_at, seen_at = excluded.seen_at, note = excluded.note, ended_at = null"""
