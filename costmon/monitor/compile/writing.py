"""One transaction of costmon's own processes on the ledger."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from costmon.errors import LedgerBusy
from costmon.shim.locks import jitter_s

BUSY_WAIT_S = 5.0
_T = TypeVar("_T")


def transaction(db: sqlite3.Connection, work: Callable[[], _T]) -> _T:
    """`work()` inside one BEGIN IMMEDIATE, undone as a whole if it raises.

    Raises LedgerBusy when others hold the ledger for 5 s.
    """
    _begin(db)
    try:
        result = work()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return result


def _begin(db: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_WAIT_S
    while True:
        try:
            db.execute("begin immediate")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            if time.monotonic() >= deadline:
                raise LedgerBusy("the ledger is busy in another process; try again") from error
            time.sleep(jitter_s())
        else:
            return
