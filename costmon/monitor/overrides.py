"""The emergency bypass in the ledger: who let calls through, since when, until when, and why. Rows are never deleted.

A shim reads them with its policy and compares the times itself, so that a bypass ends without anybody's help.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from costmon.budget.status import BudgetRow, Standing
from costmon.monitor.compile.settings import bump, setting
from costmon.monitor.compile.writing import transaction

BYPASS = "bypass"
_COLUMNS = "id, scope, by, reason, created_at, until_at, lifted_at, lifted_by"


class BypassRow(NamedTuple):
    """One bypass; times are µs UTC, `lifted_at` is None unless somebody ended it early."""

    id: int
    scope: str
    by: str
    reason: str
    created_at: int
    until_at: int
    lifted_at: int | None
    lifted_by: str | None

    def active(self, now_us: int) -> bool:
        """Whether it holds; after a clock was set back it holds again only from its beginning on, as in a shim."""
        return self.lifted_at is None and self.created_at <= now_us < self.until_at


def bypasses(db: sqlite3.Connection, count: int = -1) -> list[BypassRow]:
    """The newest `count` (-1: all) bypasses there ever were, newest first."""
    rows = db.execute(
        f"select {_COLUMNS} from override where kind = ? order by id desc limit ?",  # noqa: S608 - names are ours
        (BYPASS, count),
    )
    return [BypassRow(*row) for row in rows]


def active_bypasses(db: sqlite3.Connection, now_us: int) -> list[BypassRow]:
    """Those that hold at `now_us`, the longest first."""
    rows = db.execute(
        f"select {_COLUMNS} from override where kind = ? and lifted_at is null and created_at <= ?"  # noqa: S608
        " and until_at > ? order by until_at desc, id",
        (BYPASS, now_us, now_us),
    )
    return [BypassRow(*row) for row in rows]


def start_bypass(
    db: sqlite3.Connection, *, scope: str, by: str, reason: str, now_us: int, until_us: int
) -> BypassRow:
    """Begin a bypass; every shim sees it at its next call. Raises LedgerBusy."""

    def work() -> int:
        bump(db)
        return int(
            db.execute(
                "insert into override (kind, scope, by, reason, created_at, until_at) values (?, ?, ?, ?, ?, ?)"
                " returning id",
                (BYPASS, scope, by, reason, now_us, until_us),
            ).fetchone()[0]
        )

    return BypassRow(transaction(db, work), scope, by, reason, now_us, until_us, None, None)


def end_bypasses(db: sqlite3.Connection, *, scope: str | None, by: str, now_us: int) -> list[BypassRow]:
    """End what is active, or only that of `scope`; what was ended, longest first. Raises LedgerBusy."""

    def work() -> list[BypassRow]:
        ended = [row for row in active_bypasses(db, now_us) if scope in (None, row.scope)]
        for row in ended:
            db.execute("update override set lifted_at = ?, lifted_by = ? where id = ?", (now_us, by, row.id))
        if ended:
            bump(db)
        return [row._replace(lifted_at=now_us, lifted_by=by) for row in ended]

    return transaction(db, work)


def unenforced(db: sqlite3.Connection, now_us: int) -> frozenset[str]:
    """The scopes in which nothing is refused by costmon itself; `all` in dry run."""
    scopes = {row.scope for row in active_bypasses(db, now_us)}
    return frozenset(scopes | ({"all"} if dry_run(db) else set()))


def enforced(budget: BudgetRow, at: Standing, free: frozenset[str]) -> Standing:
    """`at` with what the budget really blocks now: nothing, where `free` (see `unenforced`) covers all of it."""
    return at._replace(blocks="") if {"all", budget.scope} & free else at


def dry_run(db: sqlite3.Connection) -> bool:
    """Whether rules are only tried out."""
    return setting(db, "dry_run") == "1"
