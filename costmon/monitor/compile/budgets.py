"""Budgets and their periods in the ledger. Everything here runs inside the caller's transaction.

A budget keeps its id and totals while name, scope, period, zone and currency stay; a change of one of those
makes it another budget under a new id, which counts its period's events anew. Ids are never used twice: calls
in flight carry the id they were admitted under.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from costmon.budget.periods import period_at, period_before, periods_until
from costmon.config import Budget
from costmon.monitor.compile.adopt import adopt_events
from costmon.monitor.compile.days import horizon
from costmon.monitor.compile.settings import put, setting

_TERMS = ("amount", "levels", "mode", "at_95", "at_100", "count_unlogged")
_COLUMNS = (
    *("id", "name", "scope_key", "scope_value", "currency"),
    *("period", "time_zone", "limit_version", "definition", *_TERMS),
)


class BudgetChanges(NamedTuple):
    """Names of budgets."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class _Held(NamedTuple):
    """A budget as the ledger holds it; `terms` are what may change without counting anew."""

    id: int
    limit_version: int
    definition: str
    terms: tuple[object, ...]


class _History(NamedTuple):
    """What outlives a budget: the last id given, and each removed name's last limit version."""

    last_id: int
    limit_versions: dict[str, int]


def compile_budgets(db: sqlite3.Connection, budgets: Iterable[Budget], now_us: int) -> BudgetChanges:
    """Make the ledger's budgets those of the configuration."""
    held = _held(db)
    wanted = {budget.name: budget for budget in budgets}
    gone = [
        name for name, old in held.items() if name not in wanted or old.definition != definition(wanted[name])
    ]
    for name in gone:
        _remove(db, name, held.pop(name))
    kept = [name for name in wanted if name in held]
    updated = [name for name in kept if _update(db, held[name], wanted[name])]
    extend_periods(db, now_us)
    added = [name for name in wanted if name not in held]
    for name in added:
        _insert(db, wanted[name], now_us)
    removed = [name for name in gone if name not in wanted]
    return BudgetChanges(tuple(added), tuple(updated), tuple(removed))


def extend_periods(db: sqlite3.Connection, now_us: int) -> None:
    """Every budget's periods from the one before this to the horizon; totals stay as they are."""
    for budget_id, kind, zone in db.execute("select id, period, time_zone from budget").fetchall():
        _extend(db, budget_id, kind, zone, now_us)


def definition(budget: Budget) -> str:
    """What makes a budget that budget, as canonical JSON."""
    parts = {
        "name": budget.name,
        "scope": budget.scope,
        "period": budget.period,
        "time_zone": budget.time_zone,
        "currency": budget.amount.currency,
    }
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _held(db: sqlite3.Connection) -> dict[str, _Held]:
    rows = db.execute(f"select name, id, limit_version, definition, {', '.join(_TERMS)} from budget")  # noqa: S608
    return {row[0]: _Held._make((*row[1:4], tuple(row[4:]))) for row in rows}


def _terms(budget: Budget) -> tuple[object, ...]:
    return (
        budget.amount.nano,
        json.dumps(budget.levels),
        budget.mode,
        budget.at_95,
        budget.at_100,
        int(budget.count_unlogged),
    )


def _update(db: sqlite3.Connection, old: _Held, budget: Budget) -> bool:
    """Take over changed terms. A new amount or levels count `limit_version` up, which re-arms the alerts."""
    terms = _terms(budget)
    if terms == old.terms:
        return False
    version = old.limit_version + (terms[:2] != old.terms[:2])
    changes = ", ".join(f"{name} = ?" for name in _TERMS)
    db.execute(f"update budget set {changes}, limit_version = ? where id = ?", (*terms, version, old.id))  # noqa: S608
    return True


def _insert(db: sqlite3.Connection, budget: Budget, now_us: int) -> None:
    history = _history(db)
    budget_id = history.last_id + 1
    version = history.limit_versions.get(budget.name, 0) + 1
    _keep(db, history._replace(last_id=budget_id))
    values = (
        *(budget_id, budget.name, budget.scope_key, budget.scope_value, budget.amount.currency),
        *(budget.period, budget.time_zone, version, definition(budget), *_terms(budget)),
    )
    db.execute(f"insert into budget ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(values))})", values)  # noqa: S608
    _extend(db, budget_id, budget.period, budget.time_zone, now_us)
    adopt_events(db, budget_id, budget, period_at(budget.period, budget.time_zone, now_us))


def _remove(db: sqlite3.Connection, name: str, old: _Held) -> None:
    """Forget a budget, except its version: one of that name that comes back has alerts of its own."""
    history = _history(db)
    _keep(db, history._replace(limit_versions={**history.limit_versions, name: old.limit_version}))
    db.execute("delete from budget_period where budget_id = ?", (old.id,))
    db.execute("delete from budget where id = ?", (old.id,))


def _history(db: sqlite3.Connection) -> _History:
    known = setting(db, "budget_history")
    if known is not None:
        return _History(**json.loads(known))
    return _History(db.execute("select coalesce(max(id), 0) from budget").fetchone()[0], {})


def _keep(db: sqlite3.Connection, history: _History) -> None:
    put(db, "budget_history", json.dumps(history._asdict(), sort_keys=True))


def _extend(db: sqlite3.Connection, budget_id: int, kind: str, zone: str, now_us: int) -> None:
    first = period_before(kind, zone, period_at(kind, zone, now_us)).start_us
    wanted = {
        period.start_us: period.end_us for period in periods_until(kind, zone, first, horizon(zone, now_us))
    }
    found = dict(
        db.execute(
            "select start_at, end_at from budget_period where budget_id = ? and start_at >= ?",
            (budget_id, first),
        )
    )
    # A new edition of the time zones may move what lies ahead; what has begun keeps its start.
    stale = [(budget_id, start) for start in found if start not in wanted and now_us < start < max(wanted)]
    moved = [(end, budget_id, start) for start, end in wanted.items() if found.get(start, end) != end]
    fresh = [(budget_id, start, end) for start, end in wanted.items() if start not in found]
    db.executemany("delete from budget_period where budget_id = ? and start_at = ?", stale)
    db.executemany("update budget_period set end_at = ? where budget_id = ? and start_at = ?", moved)
    db.executemany("insert into budget_period (budget_id, start_at, end_at) values (?, ?, ?)", fresh)
