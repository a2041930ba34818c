"""What the ledger tells of a stretch of time: alerts, refusals, overrides, notices, what was spent, who moved the switch.

Every function takes the connection first; times are µs since 1970 UTC, a stretch is [since, until], money is nano of the
named currency.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.shim.events import id_floor
from costmon.store.queries import NoticeRow
from costmon.store.schedules import RUN, RunSums

MOST = 500
"""Rows of each kind at most; the oldest ones are kept, because an incident is about how it began."""
MOST_RUNS = 20_000
_AHEAD_US = 60 * 1_000_000


class AlertRow(NamedTuple):
    """One alert. `state` is 'claimed' (somebody is about to show it, or died doing so), 'sent' or 'failed'."""

    kind: str
    subject: str
    level: int
    state: str
    title: str
    claimed_at: int
    sent_at: int | None
    channel: str
    attempts: int
    detail: str


class RefusedRow(NamedTuple):
    """The calls of one app to one model that one rule refused; `dry_run`: it would have, and let them go."""

    app: str
    provider: str
    model: str
    rule: str
    scope: str
    dry_run: int
    reason: str
    first_at: int
    last_at: int
    calls: int


class OverrideRow(NamedTuple):
    """A bypass, as a person set it."""

    kind: str
    scope: str
    by: str
    reason: str
    created_at: int
    until_at: int
    lifted_at: int | None
    lifted_by: str


class SpentRow(NamedTuple):
    """What one app's calls came to in one currency; `cost` lacks a part, or all, of what the `unpriced` calls cost, and
    rests on estimates for the `estimated` ones."""

    app: str
    currency: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: int
    unpriced: int
    estimated: int


class MoveRow(NamedTuple):
    """A person moved the switch: `action` is 'kill' or 'allow'."""

    at: int
    action: str
    scope: str
    by: str
    reason: str


def alerts(db: Connection, since: int, until: int) -> list[AlertRow]:
    """Those claimed or sent in the stretch, oldest first."""
    rows = db.execute(
        """select kind, subject, level, state, title, claimed_at, sent_at, coalesce(channel, ''), attempts,
                  coalesce(detail, '')
           from alert where claimed_at between ?1 and ?2 or sent_at between ?1 and ?2
           order by coalesce(sent_at, claimed_at), level limit ?3""",
        (since, until, MOST),
    )
    return [AlertRow(*row) for row in rows]


def refusals(db: Connection, since: int, until: int) -> list[RefusedRow]:
    """By app, model, rule and scope, each with its newest reason, oldest first."""
    rows = db.execute(
        """select app, provider, model, rule, scope, dry_run, reason, min(first_at), max(last_at), sum(calls)
           from refusal where last_at >= ? and first_at <= ?
           group by app, provider, model, rule, scope, dry_run order by min(first_at) limit ?""",
        (since, until, MOST),
    )
    return [RefusedRow(*row) for row in rows]


def overrides(db: Connection, since: int, until: int) -> list[OverrideRow]:
    """Those that held at any time of the stretch, oldest first."""
    rows = db.execute(
        """select kind, scope, by, reason, created_at, until_at, lifted_at, coalesce(lifted_by, '') from override
           where created_at <= ? and min(until_at, coalesce(lifted_at, until_at)) >= ? order by created_at limit ?""",
        (until, since, MOST),
    )
    return [OverrideRow(*row) for row in rows]


def notices(db: Connection, since: int, until: int) -> list[NoticeRow]:
    """Oldest first."""
    rows = db.execute(
        """select kind, subject, app, day_at, detail, first_at, last_at, calls from notice
           where last_at >= ? and first_at <= ? order by first_at limit ?""",
        (since, until, MOST),
    )
    return [NoticeRow(*row) for row in rows]


def spent(db: Connection, since: int, until: int) -> list[SpentRow]:
    """What every app's calls came to, by app and currency, of the events that are kept."""
    rows = db.execute(
        """select app, currency, sum(source <> 'meter'), sum(outcome <> 'ok'), sum(coalesce(input_tokens, 0)),
                  sum(coalesce(output_tokens, 0)), sum(coalesce(cost, 0)),
                  sum(cost is null or cost_status = 'partial'), sum(cost_status = 'estimated')
           from event where id >= ? and id < ? and created_at between ? and ? and state = 'settled'
           group by app, currency order by app, currency""",
        (id_floor(since - _AHEAD_US), id_floor(until + _AHEAD_US), since, until),
    )
    return [SpentRow(*row) for row in rows]


def jobs_that_ran(db: Connection, since: int, until: int) -> list[tuple[str, str]]:
    """(app, job) of the runs that began in the stretch."""
    return db.execute(
        "select distinct app, job from job_run where id >= ? and started_at between ? and ? order by job, app",
        (id_floor(since - _AHEAD_US), since, until),
    ).fetchall()


def runs(db: Connection, job: str, since: int, until: int) -> list[tuple[Any, ...]]:
    """Rows of `schedules.RUN` that began in the stretch, oldest first: `MOST_RUNS`, and one more if there are more."""
    return db.execute(
        f"select {RUN} from job_run where job = ? and started_at between ? and ? order by started_at limit ?",  # noqa: S608
        (job, since, until, MOST_RUNS + 1),
    ).fetchall()


def sums(db: Connection, job: str, since: int, until: int) -> list[RunSums]:
    """What the calls of those runs came to, one for each run and currency."""
    rows = db.execute(
        """select run_id, currency, s.calls, s.errors, s.input_tokens, s.output_tokens, s.cost,
                  s.unpriced + s.partial, s.estimated
           from job_run r join rollup_run s on s.run_id = r.id where r.job = ? and r.started_at between ? and ?""",
        (job, since, until),
    )
    return [RunSums(*row) for row in rows]


def ended(db: Connection, job: str, since: int, until: int) -> int:
    """When the last of the runs that began in the stretch ended, 0 without one."""
    row = db.execute(
        "select max(coalesce(ended_at, started_at)) from job_run where job = ? and started_at between ? and ?",
        (job, since, until),
    ).fetchone()
    return row[0] or 0


def moves(db: Connection, since: int, until: int) -> list[MoveRow]:
    """Who moved the switch, oldest first."""
    rows = db.execute(
        "select at, action, scope, by, reason from switch_journal where at between ? and ? order by at, id limit ?",
        (since, until, MOST),
    )
    return [MoveRow(*row) for row in rows]


def note_move(db: Connection, move: MoveRow) -> None:
    """Inside the caller's transaction."""
    db.execute("insert into switch_journal (at, action, scope, by, reason) values (?, ?, ?, ?, ?)", move)


def names_job(db: Connection, job: str) -> bool:
    """Whether anybody ever ran, announced or misfired a job of this name."""
    sql = """select exists (select 1 from job_run where job = ?1) or exists (select 1 from announcement where job = ?1)
        or exists (select 1 from misfire where job = ?1)"""
    return bool(db.execute(sql, (job,)).fetchone()[0])
