"""One connection to the ledger for costmon's own processes. Not shared between threads."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from costmon import paths
from costmon.errors import LedgerBusy, LedgerUnusable
from costmon.shim.clock import clock_of
from costmon.shim.ledger import CREATE_WAIT_S, is_busy
from costmon.shim.ledger import open_ledger as connect
from costmon.shim.locks import FileLock

BUSY_WAIT_S = 2.0


class Connection(sqlite3.Connection):
    """Holds the checkpoint lock shared from `begin` to `commit` or `rollback`, on a SQLite that needs it.

    Raises sqlite3.OperationalError ("locked") at `begin` while a checkpoint runs for over 2 s.
    """

    checkpoint_lock: FileLock | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        word = sql.lstrip()[:8].lower()
        if self.checkpoint_lock is None or not word.startswith(("begin", "commit", "rollback")):
            return super().execute(sql, parameters)
        if word.startswith("begin"):
            if not self.checkpoint_lock.acquire(exclusive=False, wait_s=BUSY_WAIT_S):
                raise sqlite3.OperationalError("database is locked by a checkpoint")
            try:
                return super().execute(sql, parameters)
            except BaseException:
                self.checkpoint_lock.release()
                raise
        try:
            return super().execute(sql, parameters)
        finally:
            if not self.in_transaction:
                self.checkpoint_lock.release()


class Store:
    """`db` is in autocommit mode: write only inside an explicit `begin immediate`. `now()` is µs UTC."""

    def __init__(self, home: str, db: sqlite3.Connection, lock: FileLock | None = None) -> None:
        self.home = home
        self.db = db
        self._lock = lock
        self._inode = os.stat(paths.ledger_file(home)).st_ino
        self.now = clock_of(home)

    def replaced(self) -> bool:
        """Whether the ledger's file was removed or another one put in its place; this connection then reads a ghost."""
        try:
            return os.stat(paths.ledger_file(self.home)).st_ino != self._inode
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the database; False when somebody is writing. Alone where SQLite needs that."""
        lock = self._lock
        if lock is not None and not lock.acquire(exclusive=True):
            return False
        try:
            return bool(self.db.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0)
        except sqlite3.OperationalError:
            return False
        finally:
            if lock is not None:
                lock.release()

    def close(self) -> None:
        self.db.close()
        if self._lock is not None:
            self._lock.close()


def open_ledger(home: str) -> Store:
    """Open, create or migrate the ledger of `home`.

    Raises LedgerBusy when somebody else is creating it for over 10 s, LedgerUnusable when it cannot be used.
    """
    try:
        db, lock = connect(home, Connection)
    except (sqlite3.Error, OSError) as error:
        if is_busy(error):
            raise LedgerBusy(f"{home}: the ledger is busy: {error}") from error
        raise LedgerUnusable(f"{home}: the ledger cannot be opened: {error}") from error
    try:
        if isinstance(db, Connection):
            db.checkpoint_lock = lock
        db.execute(f"pragma busy_timeout = {int(BUSY_WAIT_S * 1000)}")
        _migrate(db, home)
    except sqlite3.OperationalError as error:
        db.close()
        raise LedgerBusy(f"{home}: the ledger is busy: {error}") from error
    except sqlite3.Error as error:
        db.close()
        raise LedgerUnusable(f"{home}: the ledger cannot be read: {error}") from error
    return Store(home, db, lock)


def _migrate(db: sqlite3.Connection, home: str) -> None:
    """Apply what is pending, alone: parallel first starts would otherwise fail on the journal switch."""
    from costmon.shim import schema

    recorded = "select count(*) from sqlite_master where name = '_sqlite_migrations'"
    done = "select count(*) from _sqlite_migrations where migration_set = 'costmon'"
    if db.execute(recorded).fetchone()[0] and db.execute(done).fetchone()[0] >= schema.VERSION:
        return
    from sqlite_utils import Database

    from costmon.store.migrations import migrations

    lock = FileLock(os.path.join(home, "ledger.lock"))
    try:
        if not lock.acquire(exclusive=True, wait_s=CREATE_WAIT_S):
            raise LedgerBusy(f"{home}: another process is migrating the ledger")
        # sqlite-utils begins deferred transactions, which a busy app's write makes fail at once; inside ours it uses
        # savepoints.
        db.execute("begin immediate")
        try:
            migrations.apply(Database(db, execute_plugins=False))
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise
    finally:
        lock.close()
