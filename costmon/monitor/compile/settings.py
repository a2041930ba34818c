"""The ledger's key/value table."""

from __future__ import annotations

import sqlite3


def setting(db: sqlite3.Connection, key: str) -> str | None:
    """The text the ledger keeps under `key`, or None."""
    row = db.execute("select value from setting where key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def put(db: sqlite3.Connection, key: str, value: str) -> None:
    """Keep `value` under `key`; a row that says so already is not touched."""
    db.execute(
        "insert into setting (key, value) values (?, ?)"
        " on conflict (key) do update set value = excluded.value where value <> excluded.value",
        (key, value),
    )


def bump(db: sqlite3.Connection) -> None:
    """Count `generation` up: every shim reads its policy anew at its next call."""
    put(db, "generation", str(int(setting(db, "generation") or 0) + 1))
