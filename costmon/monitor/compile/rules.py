"""Rate limits in the ledger. Everything here runs inside the caller's transaction.

A rate limit keeps its id while its name stays in the file. One that is removed, or now counts something else, forgets
what it had counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from costmon.config import RateLimit

_Terms = tuple[str, str, int, str]


def compile_rules(db: sqlite3.Connection, limits: Iterable[RateLimit]) -> None:
    """Make the ledger's rate limits those of the configuration."""
    rows = db.execute("select name, id, scope_key, scope_value, calls, per from rate_limit")
    held: dict[str, tuple[int, _Terms]] = {row[0]: (row[1], row[2:]) for row in rows}
    wanted: dict[str, _Terms] = {
        limit.name: (limit.scope_key, limit.scope_value, limit.calls, limit.per) for limit in limits
    }
    for name in [name for name in held if name not in wanted]:
        limit_id, _ = held.pop(name)
        _forget_window(db, limit_id)
        db.execute("delete from rate_limit where id = ?", (limit_id,))
    for name, terms in wanted.items():
        if name not in held:
            db.execute(
                "insert into rate_limit (name, scope_key, scope_value, calls, per) values (?, ?, ?, ?, ?)",
                (name, *terms),
            )
        elif held[name][1] != terms:
            _update(db, *held[name], terms)


def _update(db: sqlite3.Connection, limit_id: int, old: _Terms, new: _Terms) -> None:
    """Take over new terms. Another number of calls keeps the count; another scope or window starts at none."""
    if (*old[:2], old[3]) != (*new[:2], new[3]):
        _forget_window(db, limit_id)
    db.execute(
        "update rate_limit set scope_key = ?, scope_value = ?, calls = ?, per = ? where id = ?",
        (*new, limit_id),
    )


def _forget_window(db: sqlite3.Connection, limit_id: int) -> None:
    db.execute("delete from rate_window where limit_id = ?", (limit_id,))
