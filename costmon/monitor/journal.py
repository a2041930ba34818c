"""Who moved the switch by hand, in the ledger. The switch is moved first and never waits for this."""

from __future__ import annotations

import os
import sqlite3

from costmon import paths
from costmon.errors import CostmonError
from costmon.shim.events import clean
from costmon.shim.ledger import is_busy
from costmon.store import open_ledger
from costmon.store.incidents import MoveRow, note_move

KILL, ALLOW = "kill", "allow"
WAIT_S = 1.0
"""So long a ledger that others hold is waited for."""


def journal(home: str, action: str, scope: str, by: str, reason: str, at: int) -> str:
    """Note that `by` did `action` to `scope` at `at` (µs UTC). Never raises: '' or why it is not in the journal.

    A home without a ledger has no journal either: none is made for this.
    """
    if not os.path.exists(paths.ledger_file(home)):
        return ""
    move = MoveRow(at, action, clean(scope, 200), clean(by, 200), clean(reason, 500))
    try:
        store = open_ledger(home)
        try:
            return "" if _write(store.db, move) else "this is not in the journal: the ledger is busy"
        finally:
            store.close()
    except (CostmonError, sqlite3.Error, OSError) as error:
        return f"this is not in the journal: {type(error).__name__}"


def _write(db: sqlite3.Connection, move: MoveRow) -> bool:
    db.execute(f"pragma busy_timeout = {round(WAIT_S * 1000)}")
    try:
        db.execute("begin immediate")
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    try:
        note_move(db, move)
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return True
