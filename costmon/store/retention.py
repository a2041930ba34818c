"""What the ledger forgets: events and 15-minute sums after some months, sums of a day after a year; by default.

Small batches, each a short transaction of its own: an app that writes meanwhile hardly waits. A day's sums outlive its
events unchanged. Times are µs since 1970 UTC.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from costmon.shim.booking import SLOT_US
from costmon.shim.events import id_floor
from costmon.shim.policy import load as load_policy
from costmon.shim.policy import local_day_at, period_at
from costmon.store.folding import fold, forget_folded

BATCH = 250
DAY_US = 86_400_000_000
POLLS_KEPT_US = 30 * DAY_US
ANNOUNCED_US = 30 * DAY_US
KEEP_US = 11 * DAY_US
"""No event goes before: a resource may be said to have stopped ten days ago, and what it cost since is taken back."""


class Cutoffs(NamedTuple):
    """Events (and 15-minute sums) before `events` go, sums of days before `aggregates`; 0 = none go."""

    events: int
    aggregates: int


class Pruned(NamedTuple):
    """How many rows one step has removed; `more`: there is more to do."""

    events: int
    quarters: int
    days: int
    more: bool


def cutoffs(
    db: sqlite3.Connection, now: int, event_days: int, aggregate_days: int, keep_from: int
) -> Cutoffs:
    """What goes at `now`, in whole local days. 0 days = kept for ever.

    Nothing goes of a budget's current period, nor from `keep_from` on (the period a new budget would count), nor any
    event of the last eleven days.
    """
    periods = [period_at(db, budget, now).start for budget in load_policy(db).budgets]
    newest = min([keep_from, *periods])
    events = _day_before(db, min(now - max(event_days * DAY_US, KEEP_US), newest)) if event_days else 0
    days = _day_before(db, min(now - aggregate_days * DAY_US, newest)) if aggregate_days else 0
    return Cutoffs(max(0, events), max(0, days))


def prune(db: sqlite3.Connection, at: Cutoffs, batch: int = BATCH) -> Pruned:
    """Inside the caller's transaction: remove up to `batch` rows of what is due.

    Sums go only after the events they sum: while one is left, of a run of repricing that is not finished say, its rows
    stay. Day sums stay as long as 15-minute ones, which a new time zone makes them from.
    """
    events = _prune_events(db, at.events, batch)
    if events == batch:
        return Pruned(events, 0, 0, True)
    quarters = _prune_sums(db, "rollup_quarter", "slot_at", _oldest_slot(db, at.events), batch)
    if quarters:
        return Pruned(events, quarters, 0, True)
    days = _prune_sums(db, "rollup_day", "day_at", _oldest_day(db, at.aggregates), batch)
    if days:
        kept = db.execute("select min(day_at) from rollup_day").fetchone()[0]
        forget_folded(db, at.aggregates if kept is None else kept)
    return Pruned(events, 0, days, bool(days))


def prune_figures(db: sqlite3.Connection, at: Cutoffs, now: int, batch: int = BATCH) -> bool:
    """Inside the caller's transaction: remove up to `batch` buckets of providers, and what else of polling is due.

    Figures and balances go like sums of a day; how much was polled in an hour after a month. Whether there is more to do.
    """
    rows = db.execute(
        "select source, start_at, end_at from figure_bucket where end_at <= ? limit ?", (at.aggregates, batch)
    ).fetchall()
    for table in ("figure", "figure_usage", "figure_bucket"):
        db.executemany(f"delete from {table} where source = ? and start_at = ? and end_at = ?", rows)  # noqa: S608
    found = len(rows)
    for table, key, column, before in (
        # What was told of days that no bucket covers.
        ("figure_usage", "source, start_at, end_at, model, project, api_key", "end_at", at.aggregates),
        ("balance", "source, label, unit, first_at", "last_at", at.aggregates),
        ("poll_hour", "source, hour_at", "hour_at", now - POLLS_KEPT_US),
    ):
        found += db.execute(
            f"delete from {table} where ({key}) in (select {key} from {table} where {column} <= ? limit ?)",  # noqa: S608
            (before, batch),
        ).rowcount
    return found >= batch


def prune_schedules(db: sqlite3.Connection, at: Cutoffs, now: int, batch: int = BATCH) -> bool:
    """Inside the caller's transaction: remove up to `batch` rows each of runs, processes and who announced what.

    Runs and processes go with the events of their time, but for the newest run of each job; announcements a month after they
    ended; when somebody watched, and misfires that are over, like sums of a day. Whether there is more to do.
    """
    if at.events:
        runs = db.execute(
            "select id from job_run r where id < ? and started_at < ? and outcome <> 'running' and exists"
            " (select 1 from job_run n where n.job = r.job and n.started_at > r.started_at) order by id limit ?",
            (f"r{id_floor(at.events)}", at.events, batch),
        ).fetchall()
        db.executemany("delete from rollup_run where run_id = ?", runs)
        db.executemany("delete from job_run where id = ?", runs)
    found = len(runs) if at.events else 0
    for table, key, column, before in (
        ("process", "id, app", "ended_at", at.events),
        ("announcement", "job, app, source, owner", "ended_at", now - ANNOUNCED_US),
        ("watch_span", "start_at", "end_at", at.aggregates),
        ("misfire", "id", "iif(state = 'over', last_at, null)", at.aggregates),
        ("log_position", "path", "read_at", at.aggregates),
    ):
        found += db.execute(
            f"delete from {table} where ({key}) in (select {key} from {table} where {column} < ? limit ?)",  # noqa: S608
            (before, batch),
        ).rowcount
    return found >= batch


def _day_before(db: sqlite3.Connection, at: int) -> int:
    """The beginning of the local day of `at`: a day goes as a whole."""
    return local_day_at(db, at)


def _prune_events(db: sqlite3.Connection, before: int, batch: int) -> int:
    running = db.execute("select id from reprice_run where state = 'running'").fetchall()
    # One look-up by the key for each: a join would read every revision there is, for each event.
    untouched = " and not exists (select 1 from cost_revision where run_id = ? and event_id = event.id)"
    rows = db.execute(
        "select id from event where id < ? and created_at < ? and state = 'settled'"  # noqa: S608
        f"{untouched * len(running)} order by id limit ?",
        (id_floor(before), before, *(run for (run,) in running), batch),
    ).fetchall()
    if not rows:
        return 0
    fold(db, [row[0] for row in rows])
    db.executemany("delete from event where id = ?", rows)
    runs = db.execute("select id from reprice_run").fetchall()
    db.executemany(
        "delete from cost_revision where run_id = ? and event_id = ?",
        [(run, row[0]) for (run,) in runs for row in rows],
    )
    return len(rows)


def _oldest_slot(db: sqlite3.Connection, before: int) -> int:
    """Up to where 15-minute sums may go: not past the oldest event that is left."""
    oldest = _oldest_event(db)
    return before if oldest is None else min(before, oldest[0] - oldest[0] % SLOT_US)


def _oldest_day(db: sqlite3.Connection, before: int) -> int:
    """Up to where sums of days may go."""
    oldest = _oldest_event(db)
    slot = db.execute("select min(slot_at) from rollup_quarter").fetchone()[0]
    limits = [before]
    if oldest is not None:
        limits.append(oldest[1])
    if slot is not None:
        limits.append(
            local_day_at(db, slot) - 2 * DAY_US
        )  # a zone may have been another when its day was made
    return min(limits)


def _oldest_event(db: sqlite3.Connection) -> tuple[int, int] | None:
    """(created_at, local day) of the oldest events; ids sort by time."""
    rows = db.execute(
        "select created_at, local_day_at from event where state = 'settled' order by id limit 1"
    ).fetchone()
    return None if rows is None else (int(rows[0]), int(rows[1]))


def _prune_sums(db: sqlite3.Connection, table: str, slot: str, before: int, batch: int) -> int:
    """Whole slots, so many that about `batch` rows go."""
    last = db.execute(
        f"select {slot} from {table} where {slot} < ? order by {slot} limit 1 offset ?",  # noqa: S608 - names are ours
        (before, batch - 1),
    ).fetchone()
    bound = before if last is None else min(before, int(last[0]) + 1)
    return db.execute(f"delete from {table} where {slot} < ?", (bound,)).rowcount  # noqa: S608
