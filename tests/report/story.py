"""The incident as rows of a ledger: trade is planned every 60 minutes, and a second app runs it every 5."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

from costmon.shim.events import new_id

MINUTE = 60_000_000
HOUR = 60 * MINUTE
COST = 1_200_000
"""A run is one call of 4,000 and 1,000 tokens of gpt-4o-mini: $0.0012."""


def at(text: str) -> int:
    """'2026-11-21 13:45' in UTC as µs."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


START = at("2026-11-21 04:11:00")
"""13:11 in Seoul: the second app starts."""


def settings(db: sqlite3.Connection, **changes: str) -> None:
    values = {"time_zone": "Asia/Seoul", "display_currency": "USD", **changes}
    db.executemany(
        "insert into setting values (?, ?) on conflict do update set value = excluded.value", values.items()
    )


def add_run(
    db: sqlite3.Connection,
    start: int,
    app: str = "trader",
    *,
    job: str = "trade",
    plan: str = "every 60m",
    calls: int = 1,
    cost: int | None = COST,
    currency: str = "USD",
    outcome: str = "ok",
    who: str = "",
) -> str:
    """A run of eight seconds and its calls, as a shim writes them."""
    run = new_id(start)
    who = who or f"pid {1 if app == 'trader' else 977} of {app}"
    db.execute(
        "insert into job_run (id, app, job, source, owner, who, plan, started_at, ended_at, outcome)"
        " values (?, ?, ?, 'app', ?, ?, ?, ?, ?, ?)",
        (run, app, job, f"owner-{app}-{who}", who, plan, start, start + 8_000_000, outcome),
    )
    for number in range(calls):
        add_call(db, start + 1_000_000 + number, app, cost=cost, currency=currency, run=run, job=job)
    return run


def add_call(
    db: sqlite3.Connection,
    when: int,
    app: str,
    *,
    cost: int | None = COST,
    currency: str = "USD",
    run: str | None = None,
    job: str = "",
    outcome: str = "ok",
) -> None:
    db.execute(
        """insert into event (id, created_at, settled_at, local_day_at, machine, source, app, job, api, provider, model,
           state, outcome, usage_status, input_tokens, output_tokens, cost, currency, cost_status, run_id)
           values (?, ?, ?, ?, 'm', 'hook', ?, ?, 'chat', 'openai', 'gpt-4o-mini', 'settled', ?, 'reported', 4000, 1000, ?,
           ?, ?, ?)""",
        (
            *(new_id(when), when, when, when - when % (24 * HOUR), app, job, outcome, cost, currency),
            *("unknown" if cost is None else "priced", run),
        ),
    )


def announce(
    db: sqlite3.Connection,
    first: int,
    app: str,
    plan: str,
    *,
    job: str = "trade",
    who: str = "",
    ended: int | None = None,
    seen: int | None = None,
) -> None:
    who = who or f"pid {1 if app == 'trader' else 977} of {app}"
    db.execute(
        "insert into announcement (job, app, source, owner, who, plan, first_at, seen_at, ended_at)"
        " values (?, ?, 'app', ?, ?, ?, ?, ?, ?)",
        (job, app, f"owner-{app}-{who}", who, plan, first, seen or ended or first + 24 * HOUR, ended),
    )


def add_alert(
    db: sqlite3.Connection,
    when: int,
    title: str,
    *,
    kind: str = "misfire",
    subject: str = "trade",
    **more: object,
) -> None:
    values = {"level": 0, "state": "sent", "channel": "desktop", "attempts": 1, "detail": "", **more}
    db.execute(
        """insert into alert (kind, subject, limit_version, period_at, level, state, title, body, claimed_at, claimed_by,
           sent_at, channel, attempts, detail) values (?, ?, 1, 1, ?, ?, ?, '', ?, '4242', ?, ?, ?, ?)""",
        (
            *(kind, subject, values["level"], values["state"], title, when),
            *(when + 2_000_000 if values["state"] == "sent" else None, values["channel"] or None),
            *(values["attempts"], values["detail"]),
        ),
    )


def add_refusal(
    db: sqlite3.Connection, when: int, app: str, calls: int, reason: str = "stopped by hand", **more: object
) -> None:
    values = {"rule": "switch", "scope": "job=trade", "dry_run": 0, "model": "gpt-4o-mini", **more}
    db.execute(
        "insert into refusal (minute_at, app, provider, model, rule, scope, dry_run, reason, first_at, last_at, calls)"
        " values (?, ?, 'openai', ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(when - when % MINUTE, app, values["model"], values["rule"], values["scope"], values["dry_run"]),
            *(reason, when, when + 30_000_000, calls),
        ),
    )


def add_misfire(
    db: sqlite3.Connection, first: int, last: int, runs: int, *, state: str = "over", **more: object
) -> None:
    """As the engine records it."""
    evidence = {
        "kind": "other plan",
        "plan": "every 60m",
        "zone": "Asia/Seoul",
        "said_by": "config",
        "plan_who": "",
        "apps": ["backend", "trader"],
        "who": ["pid 977 of backend"],
        "announced": "every 5m",
        "every_us": 5 * MINUTE,
        "cost": runs * COST,
        "currency": "USD",
        **more,
    }
    db.execute(
        "insert into misfire (kind, job, first_at, last_at, runs, state, evidence)"
        " values ('misfire', 'trade', ?, ?, ?, ?, ?)",
        (first, last, runs, state, json.dumps(evidence)),
    )


def watched(db: sqlite3.Connection, start: int, end: int, gap: str = "") -> None:
    db.execute("insert into watch_span (start_at, end_at, gap) values (?, ?, ?)", (start, end, gap))


def tell(db: sqlite3.Connection) -> int:
    """The whole story, which ends with a kill at 14:09; now is an hour later. Returns now.

    24 planned runs of trader from 13:14 the day before on, and 11 of backend every 5 minutes from 13:11 to 14:01.
    """
    settings(db)
    watched(db, START - 48 * HOUR, START + 3 * HOUR)
    announce(db, START - 48 * HOUR, "trader", "every 60m")
    announce(db, START - MINUTE, "backend", "every 5m", ended=START + 60 * MINUTE)
    for number in range(24):
        add_run(db, START + 3 * MINUTE - (23 - number) * HOUR)
    for number in range(11):
        add_run(db, START + 5 * MINUTE * number, "backend", plan="every 5m")
    add_misfire(db, START, START + 50 * MINUTE, 11)
    add_alert(db, START + 5 * MINUTE + 20_000_000, "costmon: trade runs every 5m, planned every 60m")
    db.execute(
        "insert into switch_journal (at, action, scope, by, reason)"
        " values (?, 'kill', 'job=trade', 'jin at a shell', 'too often')",
        (START + 58 * MINUTE,),
    )
    add_refusal(db, START + 59 * MINUTE, "backend", 3)
    return START + 2 * HOUR
