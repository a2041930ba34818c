"""The rows of runs, announcements and processes. The caller holds the transaction; times are µs since 1970 UTC."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from costmon.shim import clock
from costmon.shim.owner import owner
from costmon.shim.process import process, who

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.ledger import Ledger


class Plan(NamedTuple):
    """What a process announces: `plan` as in the table of announcements, `zone` an IANA name, `next_run_at` in µs."""

    plan: str = ""
    zone: str = ""
    next_run_at: int | None = None


class Start(NamedTuple):
    """A run that begins: `source` as in the table of runs; `planned_at` where its scheduler says; `elapsed_at` µs since the
    machine's start."""

    id: str
    app: str
    job: str
    source: str
    started_at: int
    plan: str = ""
    planned_at: int | None = None
    elapsed_at: int | None = None
    manual: bool = False


def elapsed_us(home: str) -> int | None:
    """µs since the machine's start, sleep included; None where that cannot be told, or where time is injected."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    if boot_time is None or clock.is_demo(home):
        return None
    return time.clock_gettime_ns(boot_time) // 1000


def begin(db: Connection, run: Start) -> None:
    """A run has begun. To write it twice, or after its end, changes nothing."""
    process.tell(run.started_at)
    db.execute(
        _BEGIN,
        (
            run.id, run.app, run.job, run.source, owner(), who(), run.plan, run.planned_at, run.started_at, "running",
            run.elapsed_at, int(run.manual),
        ),
    )  # fmt: skip


def go_on(db: Connection, run: Start) -> bool:
    """A run goes on after a retry, maybe in another process; False if the ledger does not know it."""
    process.tell(run.started_at)
    return db.execute(_GO_ON, (owner(), who(), run.id)).rowcount == 1


def end(db: Connection, run: Start, ended_at: int, outcome: str) -> None:
    """A run has ended: 'ok', 'error', 'skipped' or 'unknown'; one whose start could not be written is written whole."""
    if (
        db.execute(
            "update job_run set ended_at = ?, outcome = ? where id = ?", (ended_at, outcome, run.id)
        ).rowcount
        != 1
    ):
        begin(db, run)
        end(db, run, ended_at, outcome)


def announce(db: Connection, job: str, app: str, source: str, plan: Plan, now: int) -> None:
    """This process says that it will run the job."""
    process.tell(now)
    db.execute(
        _ANNOUNCE, (job, app, source, owner(), who(), plan.plan, plan.zone, plan.next_run_at, now, now)
    )


def withdraw(db: Connection, now: int, job: str | None = None, source: str | None = None) -> None:
    """This process will not run the job (any job) any more."""
    values = {"now": now, "owner": owner(), "job": job, "source": source}
    db.execute(_WITHDRAW if job is None else _WITHDRAW_JOB, values)


def leave(ledger: Ledger) -> None:
    """This process ends: it announces nothing any more, and a run that goes on has no end anybody will see."""
    now = ledger.now()
    late = sys.modules.get("costmon.shim.jobs.late")
    write_late = late.leaving() if late is not None else None

    def write(db: Connection) -> int:
        if write_late is not None:
            write_late(db)
        withdraw(db, now)
        db.execute("update process set ended_at = ? where id = ?", (now, process.id(now)))
        return db.execute(_ABANDON, {"now": now, "owner": owner()}).rowcount

    ledger.write(write, 0.25)


_BEGIN = """insert into job_run (id, app, job, source, owner, who, plan, planned_at, started_at, outcome, elapsed_at, manual)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing"""
_GO_ON = "update job_run set outcome = 'running', ended_at = null, owner = ?, who = ? where id = ?"
_ANNOUNCE = """insert into announcement (job, app, source, owner, who, plan, zone, next_run_at, first_at, seen_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict do update set who = excluded.who, plan = excluded.plan, zone = excluded.zone,
        next_run_at = excluded.next_run_at, seen_at = excluded.seen_at, ended_at = null"""
_WITHDRAW = """update announcement set ended_at = :now where owner = :owner and ended_at is null
    and source = coalesce(:source, source)"""
_WITHDRAW_JOB = _WITHDRAW + " and job = :job"
_ABANDON = """update job_run set ended_at = :now, outcome = 'unknown' where owner = :owner and outcome = 'running'
    and started_at <= :now"""
