"""The connection to the ledger: one per process, opened lazily, created by whoever comes first.

Only `BEGIN IMMEDIATE` (a deferred read-then-write fails at once under WAL). Waiting is our own short jittered retry, so
that an event loop can await it. No connection crosses a fork: it is closed before one, and a process id check on every
use catches forks that Python does not see. Only SQLite opens the database files; the locks are files of their own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from costmon import paths
from costmon.errors import LedgerBusy, LedgerUnusable
from costmon.shim import schema
from costmon.shim.clock import clock_of
from costmon.shim.locks import FileLock, jitter_s
from costmon.shim.patience import Patience

if TYPE_CHECKING:
    import sqlite3
    from threading import Lock
    from weakref import WeakSet

    Connection = sqlite3.Connection

_T = TypeVar("_T")

ADMIT_WAIT_S = 0.25
SETTLE_WAIT_S = 2.0
FORK_WAIT_S = 2.0
CREATE_WAIT_S = 10.0
REOPEN_AFTER_S = 5.0
STALE_S = 5.0
CHECKPOINT_BYTES = 16 * 1024 * 1024
_CHECKPOINT_EVERY = 256
CREATION_LOCK = "ledger.lock"
CHECKPOINT_LOCK = "checkpoint.lock"
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse", "virtiofs", "ceph", "glusterfs", "afs", "vboxsf")
_inherited: list[Any] = []
_forking: WeakSet[Ledger] | None = None


def wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can lose a commit when a checkpoint races a write.

    Fixed in 3.51.3, and in the branches 3.50.7 and 3.44.6 (SQLite forum, 2026; litestream issue 1432). The fault is the
    checkpoint's: it misses a commit that restarts the log meanwhile, of whatever version the writer is.
    """
    if version >= (3, 51, 3):
        return False
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    return True


class Ledger:
    """One process's door to the ledger in `home`.

    `write` runs a function inside one transaction and returns its result, or raises LedgerBusy or LedgerUnusable.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.path = paths.ledger_file(home)
        self.now = clock_of(home)
        self.opened = 0  # counts connections: another one may be to another file
        self._full = False
        self._pid = -1
        self._db: Connection | None = None
        self._failed_at = -REOPEN_AFTER_S
        self._failure = ""
        self._writes = 0
        self._inode = 0
        self._look_again_at = 0.0
        self._forker = 0
        self._fork_waits = False
        self._taken_at = 0.0
        self._no_longer_than = float("inf")
        self._checkpoint_lock: FileLock | None = None
        self._lock: Lock
        self._own_process()

    def write(self, work: Callable[[Connection], _T], wait_s: float, *, synced: bool = True) -> _T:
        """Run `work(connection)` in one `BEGIN IMMEDIATE` transaction, waiting for the lock as `Patience` says.

        `synced` False: with synchronous = full, this commit reaches the disk with the next one that is.
        """
        began = time.monotonic()
        patience: Patience | None = None
        while True:
            try:
                left = patience.left() if patience is not None else min(wait_s, self._no_longer_than - began)
                return self.write_once(work, max(0.01, min(wait_s, left)), synced=synced)
            except LedgerBusy:
                if patience is None:
                    patience = Patience(self.path, wait_s, self._no_longer_than, began)
                left = patience.left()
                if left <= 0:
                    raise
                time.sleep(patience.pause(left))
                patience.woke()

    async def write_async(
        self, work: Callable[[Connection], _T], wait_s: float, *, synced: bool = True
    ) -> _T:
        """Like `write`, but a busy ledger is awaited, so the event loop runs on."""
        began = time.monotonic()
        patience: Patience | None = None
        while True:
            try:
                return self.write_once(work, 0.005, synced=synced)
            except LedgerBusy:
                if patience is None:
                    patience = Patience(self.path, wait_s, self._no_longer_than, began)
                left = patience.left()
                if left <= 0 or not await async_sleep(patience.pause(left)):
                    raise
                patience.woke()

    def write_once(
        self, work: Callable[[Connection], _T], lock_wait_s: float = 0.01, *, synced: bool = True
    ) -> _T:
        """One try at a transaction. Raises LedgerBusy at once when another process or thread holds the ledger."""
        lock = self._take(lock_wait_s)
        try:
            return self._transaction(self._connect(lock_wait_s), work, synced=synced)
        finally:
            lock.release()

    def read(self, work: Callable[[Connection], _T], wait_s: float = ADMIT_WAIT_S) -> _T:
        """Run `work(connection)` outside a transaction; no writer holds it up. Raises LedgerBusy or LedgerUnusable."""
        lock = self._take(wait_s)
        try:
            return work(self._connect(wait_s))
        except Exception as error:
            self._raise(error)
        finally:
            lock.release()

    def checkpoint_if_large(self) -> None:
        """Move the write-ahead log into the database once it passes 16 MB; never on an event loop."""
        self._writes += 1
        if self._writes % _CHECKPOINT_EVERY:
            return
        try:
            if os.stat(self.path + "-wal").st_size > CHECKPOINT_BYTES:
                self.checkpoint()
        except (OSError, LedgerBusy, LedgerUnusable):
            pass  # the event is written; the log is made smaller another time

    def checkpoint(self) -> bool:
        """Checkpoint now, alone. False when somebody else is writing."""
        lock = self._take(ADMIT_WAIT_S)
        alone: FileLock | None = None
        try:
            db = self._connect()
            alone = self._checkpoint_lock
            if alone is not None and not alone.acquire(exclusive=True):
                return False
            return bool(db.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0)
        except Exception as error:
            self._raise(error)
        finally:
            if alone is not None:
                alone.release()
            lock.release()

    def hurry(self, wait_s: float) -> None:
        """The process is ending: all the writes from now on may wait for the lock for `wait_s` together, not each."""
        self._no_longer_than = time.monotonic() + wait_s

    def retry_now(self) -> None:
        """Forget that the ledger was unusable a moment ago."""
        self._failed_at = -REOPEN_AFTER_S

    def close(self) -> None:
        """Close this process's connection; the next use opens a new one."""
        if self._pid != os.getpid():
            self._own_process()
        with self._lock:
            self._drop()

    def _take(self, wait_s: float) -> Lock:
        """Take this process's lock on the connection. Raises LedgerBusy.

        A lock held for 5 s was left behind by an interrupt in the wrong instant, or its thread hangs: we start afresh.
        """
        if self._pid != os.getpid():
            self._own_process()
        lock = self._lock
        if self._fork_waits:
            time.sleep(
                0.002
            )  # a lock is not fair: threads that write without a pause would starve the one that forks
        if lock.acquire(timeout=wait_s):
            self._taken_at = time.monotonic()
            return lock
        if time.monotonic() - self._taken_at > STALE_S and lock is self._lock:
            self._db = self._checkpoint_lock = None  # whoever still uses them has them
            self._own_process()
        raise LedgerBusy("the ledger is busy in another thread")

    def close_for_fork(self) -> None:
        """Close the connection and let no other thread open one until `after_fork`.

        SQLite keeps its file locks in process memory: a child that inherits an open connection believes it holds locks
        that only the parent has, and once the parent is gone its commits go to a deleted write-ahead log. A write that
        takes longer than we may hold up a fork leaves the child without the ledger: to it the lock stays held.
        """
        from threading import get_ident

        self._fork_waits = True
        try:
            if self._lock.acquire(timeout=FORK_WAIT_S):
                self._forker = get_ident()
                self._drop()
        finally:
            self._fork_waits = False

    def after_fork(self) -> None:
        """The parent goes on."""
        from threading import get_ident

        if self._forker == get_ident():
            self._forker = 0
            self._lock.release()

    def _drop(self) -> None:
        """Close what is open; how a broken connection takes that is of no interest."""
        db, self._db = self._db, None
        lock, self._checkpoint_lock = self._checkpoint_lock, None
        try:
            if db is not None:
                db.close()
        except Exception:
            pass
        if lock is not None:
            lock.close()

    def _own_process(self) -> None:
        """Start afresh in this process; an inherited connection is kept referenced, never used, never closed."""
        from threading import Lock

        if self._db is not None:
            _inherited.append(self._db)
        if self._checkpoint_lock is not None and self._pid != os.getpid():
            self._checkpoint_lock.close()  # else the parent's lock would live as long as this child
        self._db = None
        self._checkpoint_lock = None
        self._lock = Lock()
        self._forker = 0
        self._fork_waits = False
        self._no_longer_than = float("inf")
        self._pid = os.getpid()

    def _connect(self, wait_s: float = ADMIT_WAIT_S) -> Connection:
        if self._db is not None and self._still_there():
            return self._db
        if time.monotonic() - self._failed_at < REOPEN_AFTER_S:
            raise LedgerUnusable(self._failure)
        try:
            self._db, self._checkpoint_lock = open_ledger(self.home, create_wait_s=wait_s)
            self._inode = os.stat(self.path).st_ino
            self.opened += 1
            self._full = waits_for_disk(self._db)
        except Exception as error:
            self._raise(error)
        _watch_forks(self)
        return self._db

    def _still_there(self) -> bool:
        """Whether the open file still is the ledger; looked up once a second. A removed one would swallow every event."""
        now = time.monotonic()
        if now < self._look_again_at:
            return True
        self._look_again_at = now + 1.0
        try:
            if os.stat(self.path).st_ino == self._inode:
                return True
        except OSError:
            pass
        self._drop()
        return False

    def _transaction(self, db: Connection, work: Callable[[Connection], _T], *, synced: bool) -> _T:
        if synced or not self._full:
            return self._committed(db, work)
        db.execute("pragma synchronous = normal")
        try:
            return self._committed(db, work)
        finally:
            if self._db is db:
                db.execute("pragma synchronous = full")

    def _committed(self, db: Connection, work: Callable[[Connection], _T]) -> _T:
        shared = self._checkpoint_lock
        try:
            if shared is not None and not shared.acquire(exclusive=False):
                raise LedgerBusy("a checkpoint is running")
            try:
                db.execute("begin immediate")
                result = work(db)
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                raise
            return result
        except Exception as error:
            self._raise(error)
        finally:
            if shared is not None:
                shared.release()

    def _raise(self, error: Exception) -> NoReturn:
        diagnosed = self._diagnose(error)
        if diagnosed is error:
            raise error
        raise diagnosed from error

    def _diagnose(self, error: Exception) -> Exception:
        """SQLite's and the system's errors as ours; anything else as it is. A broken connection is dropped."""
        import sqlite3

        if isinstance(error, (LedgerBusy, LedgerUnusable)) or not isinstance(error, (sqlite3.Error, OSError)):
            return error
        if isinstance(error, sqlite3.IntegrityError):
            return error
        if isinstance(error, sqlite3.OperationalError) and is_busy(error):
            return LedgerBusy("the ledger is busy in another process")
        self._failure = f"{self.path}: {error}"
        self._failed_at = time.monotonic()
        self._drop()
        return LedgerUnusable(self._failure)


def _watch_forks(ledger: Ledger) -> None:
    """Have `ledger` closed before this process forks."""
    global _forking
    if _forking is None:
        from weakref import WeakSet

        _forking = WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
    _forking.add(ledger)


def _before_fork() -> None:
    for ledger in list(_forking or ()):
        ledger.close_for_fork()


def _after_fork() -> None:
    for ledger in list(_forking or ()):
        ledger.after_fork()


def _in_child() -> None:
    for ledger in list(_forking or ()):
        ledger._own_process()


def open_ledger(
    home: str, connection_class: type[Connection] | None = None, *, create_wait_s: float = CREATE_WAIT_S
) -> tuple[Connection, FileLock]:
    """A connection to the ledger of `home`, created and migrated if need be, and the lock checkpoints need.

    Writers hold it shared, a checkpoint exclusively. On every SQLite: the apps of one ledger may each bring another one,
    and a writer without the WAL-reset bug can lose its commit to a checkpoint with it.
    `create_wait_s` is how long another process may take to create it. Raises sqlite3.Error, OSError, LedgerBusy or
    LedgerUnusable.
    """
    import sqlite3

    paths.make_private(home)
    path = paths.ledger_file(home)
    _create_private(path)
    _refuse_links(home, path)
    db = sqlite3.connect(
        path,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
        factory=connection_class or sqlite3.Connection,
    )
    try:
        _prepare(db, home, create_wait_s)
        return db, FileLock(os.path.join(home, CHECKPOINT_LOCK))
    except BaseException:
        db.close()
        raise


def waits_for_disk(db: Connection) -> bool:
    """Whether a commit in this write-ahead log waits for the disk (synchronous = full)."""
    full = db.execute("pragma synchronous").fetchone()[0] >= 2
    return full and bool(db.execute("pragma journal_mode").fetchone()[0] == "wal")


def _create_private(path: str) -> None:
    """An empty file of the home's mode: SQLite gives its -wal and -shm the same. An existing one is not opened."""
    try:
        os.close(paths.open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass


def _refuse_links(home: str, path: str) -> None:
    """Raise LedgerUnusable for a link in a shared home, which anyone of the group may have planted: SQLite would follow
    it with this user's rights. In a private home the owner may have moved the ledger elsewhere."""
    if not paths.is_shared(home):
        return
    locks = (os.path.join(home, name) for name in (CREATION_LOCK, CHECKPOINT_LOCK))
    for found in (path, path + "-wal", path + "-shm", path + "-journal", *locks):
        if os.path.islink(found):
            raise LedgerUnusable(
                f"{found} is a symbolic link in a folder shared with a group: remove the link"
            )


def _prepare(db: Connection, home: str, create_wait_s: float) -> None:
    """Make a connection ready. Processes that open a new write-ahead log at once exclude each other for a moment."""
    deadline = time.monotonic() + create_wait_s
    while True:
        try:
            _set_up(db, home, create_wait_s)
            return
        except Exception as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(jitter_s())


def _set_up(db: Connection, home: str, create_wait_s: float) -> None:
    if db.execute("pragma user_version").fetchone()[0] < schema.VERSION:
        creation = FileLock(os.path.join(home, CREATION_LOCK))
        try:
            if not creation.acquire(exclusive=True, wait_s=create_wait_s):
                raise LedgerBusy("another process is creating the ledger")
            _create(db, home)
        finally:
            creation.close()
    db.execute("pragma wal_autocheckpoint = 0")
    durable = db.execute("select value from setting where key = 'synchronous'").fetchone()
    wal = db.execute("pragma journal_mode").fetchone()[0] == "wal"
    db.execute("pragma synchronous = " + ("full" if not wal or durable == ("full",) else "normal"))


def _create(db: Connection, home: str) -> None:
    """Bring the schema up to date; the caller holds the creation lock. Foreign files are refused, never changed."""
    version = db.execute("pragma user_version").fetchone()[0]
    if version >= schema.VERSION:
        return
    tables = {row[0] for row in db.execute("select name from sqlite_master where type = 'table'")}
    if tables and not tables & {"event", "_sqlite_migrations"}:
        raise LedgerUnusable(f"{paths.ledger_file(home)} is a database of something else; move it away")
    if not tables:
        # An event changes half a dozen pages; writing each costs the app's call time.
        db.execute("pragma page_size = 2048")
        if not on_network_file_system(home):
            db.execute("pragma journal_mode = wal")
    for number, (_, statements) in enumerate(schema.STEPS[version:], start=version + 1):
        db.execute("begin immediate")
        try:
            for statement in statements:
                db.execute(statement)
            if number == 1:
                _seed(db)
            db.execute(f"pragma user_version = {number}")
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise


def _seed(db: Connection) -> None:
    """What a new ledger knows before costmon itself ever ran: its machine's name and the bundled prices."""
    settings = {"machine": os.urandom(4).hex(), "generation": "1"}
    db.executemany("insert or ignore into setting values (?, ?)", settings.items())
    catalog = os.path.join(paths.bundled("pricing"), "catalog.json")
    try:
        from costmon.shim.catalogue import seed_rows

        rows = seed_rows(catalog)
    except (OSError, ValueError) as error:
        from costmon.shim.faults import report

        report(
            "seed prices",
            f"{catalog} cannot be read ({error}); every model is unpriced until `costmon prices build`",
        )
        return
    db.executemany(
        "insert or ignore into catalog (provider, layer, source, version, models) values (?, ?, ?, ?, ?)",
        rows,
    )


def on_network_file_system(folder: str) -> bool:
    """Whether `folder` lies on a file system where WAL's shared memory does not work (SQLite, "Write-Ahead Logging")."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return False
    target = os.path.realpath(folder)
    best, kind = "", ""
    for fields in mounts:
        point = fields[4].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[fields.index("-") + 1]
    return kind.startswith(_NETWORK_FILE_SYSTEMS) and kind != "fuse.fuse-overlayfs"


def is_busy(error: Exception) -> bool:
    """Whether SQLite only asks to come back later."""
    name = str(getattr(error, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in str(error)


async def async_sleep(seconds: float) -> bool:
    """Sleep on a running asyncio loop; False under any other kind of loop (where only a short wait is harmless)."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    await asyncio.sleep(seconds)
    return True
