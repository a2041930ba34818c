"""Read a ledger the way a suspicious outsider would: with sqlite3 alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def events(home: str | Path) -> list[dict[str, Any]]:
    """Every event of the ledger in `home`, oldest first; none when there is no ledger."""
    return rows(home, "select * from event order by created_at, id")


def rows(home: str | Path, sql: str) -> list[dict[str, Any]]:
    """What a query finds, as dicts; nothing when there is no ledger."""
    path = Path(home) / "ledger.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=5)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]
