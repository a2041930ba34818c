"""What a front end shows of the rules beside budgets. Reads only."""

from __future__ import annotations

import sqlite3

from costmon.monitor.overrides import active_bypasses
from costmon.monitor.snapshot import (
    BreakerStatus,
    BypassStatus,
    RateLimitStatus,
    RefusedStatus,
    RulesStatus,
)
from costmon.shim.rules import Rules, rate
from costmon.shim.timestamps import to_datetime
from costmon.store import Store, queries

MOST_REFUSED = 8


def rules_status(store: Store, rules: Rules, now: int, day: int) -> RulesStatus:
    """The rules as of `now`; `day` is where the operator's local day began (µs UTC)."""
    db = store.db
    return RulesStatus(
        dry_run=rules.dry_run,
        bypasses=_bypasses(db, now),
        rate_limits=tuple(_rate_limit(db, limit, now) for limit in rules.limits),
        breakers=_breakers(db, rules, now),
        refused=_refused(db, day),
        excused_today=queries.refused_since(db, day, dry_run=True),
    )


def _bypasses(db: sqlite3.Connection, now: int) -> tuple[BypassStatus, ...]:
    return tuple(
        BypassStatus(row.scope, row.by, row.reason, to_datetime(row.created_at), to_datetime(row.until_at))
        for row in active_bypasses(db, now)
    )


def _rate_limit(db: sqlite3.Connection, limit: rate.RateLimit, now: int) -> RateLimitStatus:
    start, end = rate.window(db, limit.per, now)
    row = db.execute("select start_at, calls from rate_window where limit_id = ?", (limit.id,)).fetchone()
    # A clock set back stays in the window it had reached.
    calls = row[1] if row is not None and row[0] >= start else 0
    return RateLimitStatus(
        name=limit.name,
        scope=limit.scope,
        calls=calls,
        limit=limit.calls,
        per=limit.per,
        until=to_datetime(end),
    )


def _breakers(db: sqlite3.Connection, rules: Rules, now: int) -> tuple[BreakerStatus, ...]:
    """Those that are open or half-open."""
    if rules.breaker is None:
        return ()
    pause = rules.breaker.pause_us
    rows = db.execute(
        "select provider, failures, opened_at from breaker where opened_at is not null order by provider"
    )
    return tuple(
        BreakerStatus(provider, failures, to_datetime(opened_at), to_datetime(opened_at + pause))
        for provider, failures, opened_at in rows
        if opened_at - pause < now
    )


def _refused(db: sqlite3.Connection, day: int) -> tuple[RefusedStatus, ...]:
    return tuple(
        RefusedStatus(
            rule=row.rule,
            scope=row.scope,
            reason=row.reason,
            calls=row.calls,
            last_at=to_datetime(row.last_at),
            excused=bool(row.dry_run),
        )
        for row in queries.refused_by_rule(db, day, MOST_REFUSED)
    )
