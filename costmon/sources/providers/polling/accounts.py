"""Which account a source reads, told by a keyed hash: none may count twice, and no two be mixed under one name.

`claim` and `drop` work inside their caller's transaction.
"""

from __future__ import annotations

import json
import sqlite3

from costmon.credentials import Secret
from costmon.sources.providers import access
from costmon.sources.providers.polling.breaker import about, note
from costmon.sources.providers.polling.rounds import Polled
from costmon.sources.providers.protocol import SourceError

_SAME_ACCOUNT = frozenset(("api_version", "pay_per_request", "currency"))
"""Options that change how an account is read, not which one."""
_TABLES = ("figure", "figure_bucket", "figure_usage", "balance")


def fingerprint(db: sqlite3.Connection, polled: Polled, secret: Secret | None) -> str:
    """A hash of kind, host, key and the options that choose an account; '' for a source without a key.

    It finds the same account again, and tells nothing to whoever lacks the ledger's key.
    """
    kind, settings = polled.kind, polled.settings
    if secret is None or kind is None or settings is None:
        return ""
    row = db.execute("select value from setting where key = 'hash_key'").fetchone()
    options = sorted(item for item in settings.options.items() if item[1] and item[0] not in _SAME_ACCOUNT)
    host = access.host_of(settings.base_url) if settings.base_url else ""
    account = json.dumps([kind.name, host, options]).encode() + b"\n"
    return secret.fingerprint(account, (row[0] if row is not None else "").encode())


def claim(db: sqlite3.Connection, name: str, account: str) -> None:
    """The source `name` reads `account` from now on; the first one to claim it keeps it for as long as it has a row.

    Nothing is raised inside, so that what is written stays: see `taken_by`.
    """
    taken = bool(taken_by(db, name, account))
    if taken and about(db, name).get("figures_of") in (None, account):
        drop(db, name)
        db.execute("update source set ok_at = null where name = ?", (name,))
    note(db, name, account=None if taken else account or None, enabled=not taken)


def taken_by(db: sqlite3.Connection, name: str, account: str) -> str:
    """The other source that reads `account`, or ''."""
    others = db.execute("select name, about from source where name <> ? order by name", (name,)).fetchall()
    for other, text in others:
        known = json.loads(text)
        if account and isinstance(known, dict) and known.get("account") == account:
            return str(other)
    return ""


def twice(other: str) -> SourceError:
    """Why a source whose account `other` reads is not read."""
    return SourceError(
        "config",
        f"reads the same account as [source.{other}], and would count twice; remove one of the two",
    )


def is_other(db: sqlite3.Connection, name: str, account: str) -> bool:
    """Whether the figures on file are of another account than `account`."""
    return bool(account) and about(db, name).get("figures_of") not in (None, account)


def drop(db: sqlite3.Connection, name: str) -> None:
    """Forget every figure and balance of the source, but not what it was asked."""
    for table in _TABLES:
        db.execute(f"delete from {table} where source = ?", (name,))  # noqa: S608 - names are ours
