"""The engine: collect → price → budget → act → Snapshot, without a UI.

Any number of engines may run; the one that holds the engine lock acts (compiles the config, warns, settles orphans,
keeps the switch in step, checkpoints and syncs the ledger), the others only show.
"""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import replace

from costmon import config as configuration
from costmon import paths
from costmon.errors import ConfigError, CostmonError, LedgerError
from costmon.monitor.compile import compile_config, config_changed, record_config_error, refresh_horizon
from costmon.monitor.figures import FigureKeeper, register_sources
from costmon.monitor.lock import EngineLock
from costmon.monitor.prices import compile_prices
from costmon.monitor.rates import RateKeeper
from costmon.monitor.repeats import Repeats
from costmon.monitor.reprice.forgetting import Forgetting
from costmon.monitor.reprice.unknown import price_known
from costmon.monitor.schedule.judging import Judging
from costmon.monitor.schedule.keeper import ScheduleKeeper
from costmon.monitor.snapshot import Snapshot
from costmon.monitor.unlogged import Unlogged
from costmon.monitor.view import build_snapshot
from costmon.monitor.warner import Warner
from costmon.pricing import currency
from costmon.shim import blocks, booking, policy
from costmon.shim.clock import is_demo
from costmon.sources.resources import Collector
from costmon.store import Store, open_ledger
from costmon.store.queries import settings

POLL_S = 0.2
SHOW_EVERY_S = 2.0
CHORES_EVERY_S = 5.0
SYNC_WITHIN_S = 0.8
CATCH_UP_WITHIN_S = 60.0
CHECKPOINT_BYTES = 4 * 1024 * 1024


class Engine:
    """One monitor of one home. Not thread-safe: create, use and close it in one thread.

    Args:
        home: the state home.
        act: False for an engine that only ever shows.
    """

    def __init__(self, home: str, *, act: bool = True) -> None:
        self.home = home
        self._act = act
        self._store: Store | None = None
        self._lock: EngineLock | None = None
        self._warner: Warner | None = None
        self._rates: RateKeeper | None = None
        self._figures: FigureKeeper | None = None
        self._schedule: ScheduleKeeper | None = None
        self._judging = Judging()
        self._last: Snapshot | None = None
        self._seen: tuple[object, ...] = ()
        self._shown_at = -SHOW_EVERY_S
        self._chores_at = -CHORES_EVERY_S
        self._unsynced_since: float | None = None
        self._resources = Collector()
        self._behind_since: float | None = None
        self._forgetting = Forgetting()
        self._unlogged = Unlogged()
        self._repeats = Repeats()

    @property
    def mine(self) -> bool:
        """Whether this process is the one that acts."""
        return self._lock is not None and self._lock.mine

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        """The next snapshot worth showing within `timeout` seconds, or None. Faults come as a snapshot's problems."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                found = self.tick()
            except (CostmonError, sqlite3.Error, OSError) as error:
                self._forget()
                time.sleep(max(0.0, min(1.0, deadline - time.monotonic())))
                return self._broken(error)
            if found is not None or time.monotonic() >= deadline:
                return found
            time.sleep(max(0.0, min(POLL_S, deadline - time.monotonic())))

    def tick(self) -> Snapshot | None:
        """Do what is due; a snapshot if anything changed or 2 s have passed. Raises LedgerError, OSError, sqlite3.Error."""
        store = self._open()
        seen = self._look(store)
        changed = seen != self._seen
        if self.mine:
            self._work(store, changed=changed)
        if not changed and time.monotonic() - self._shown_at < SHOW_EVERY_S:
            return None
        self._seen = self._look(store)
        self._shown_at = time.monotonic()
        self._last = build_snapshot(
            store,
            mine=self.mine,
            warner=self._warner.trouble if self._warner else "",
            polling=self._figures.trouble if self._figures else "",
            judging=self._judging,
            scheduling=self._schedule.trouble if self._schedule else "",
        )
        return self._last

    def close(self) -> None:
        """Stop warning (a notification under way is awaited for up to 5 s) and let another engine take over."""
        if self._warner is not None:
            self._warner.stop()
            self._warner = None
        if self._rates is not None:
            self._rates.stop()
            self._rates = None
        if self._figures is not None:
            self._figures.stop()
            self._figures = None
        if self._schedule is not None:
            self._schedule.stop()
            self._schedule = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> Store:
        if self._store is not None and self._store.replaced():
            self._forget()
            if self._warner is not None:
                self._warner.stop()
                self._warner = Warner(self.home)
                self._warner.start()
        if self._store is None:
            configuration.ensure(paths.config_file())
            self._store = open_ledger(self.home)
        if self._act and self._lock is None:
            self._lock = EngineLock(self.home)
        if self._lock is not None and not self._lock.mine and self._lock.acquire():
            self._warner = Warner(self.home)
            self._warner.start()
            self._rates = RateKeeper(self.home)
            self._rates.start()
            self._figures = FigureKeeper(self.home)
            self._figures.start()
            self._schedule = ScheduleKeeper(self.home, self._judging, self._told)
            self._schedule.start()
            self._seen = ()
        return self._store

    def _told(self) -> None:
        """From another thread: there is something to tell."""
        warner = self._warner
        if warner is not None:
            warner.look()

    def _look(self, store: Store) -> tuple[object, ...]:
        """What tells that something changed, cheap enough for five times a second."""
        version = store.db.execute("pragma data_version").fetchone()[0]
        return (
            version,
            _mtime(paths.switch_dir(self.home)),
            _mtime(paths.config_file()),
            _mtime(paths.user_prices_file()),
            _mtime(currency.cache_file()),
        )

    def _work(self, store: Store, *, changed: bool) -> None:
        now = store.now()
        if changed:
            read_config(store)
            self._unsynced_since = self._unsynced_since or time.monotonic()
        if changed or self._behind_since or time.monotonic() - self._chores_at >= CHORES_EVERY_S:
            self._chores_at = time.monotonic()
            self._chores(store, now)
        if self._unsynced_since is not None and time.monotonic() - self._unsynced_since >= SYNC_WITHIN_S / 2:
            self._unsynced_since = None
            _sync(store)

    def _chores(self, store: Store, now: int) -> None:
        edited = None if is_demo(self.home) else _mtime(paths.config_file()) // 1000
        self._resources.collect(store.db, now, changed_us=edited)
        if self._resources.behind and self._catching_up():
            return  # half of what a resource used is no sum to warn of or to block for
        if not self._resources.behind:
            self._behind_since = None
        self._unlogged.refresh(store.db, now)
        store.db.execute("begin immediate")
        try:
            booking.settle_orphans(store.db, now)
            rules = policy.load(store.db)
            wanted = blocks.wanted(store.db, rules, now)
            store.db.execute("commit")
        except BaseException:
            store.db.execute("rollback")
            raise
        blocks.apply(paths.switch_dir(self.home), wanted, now)
        refresh_horizon(store.db, now)
        price_known(store)
        self._forgetting.forget(store)
        self._repeats.look(store.db, now)
        if self._warner is not None:
            self._warner.look()
        if _size(paths.ledger_file(self.home) + "-wal") > CHECKPOINT_BYTES:
            store.checkpoint()

    def _catching_up(self) -> bool:
        """Whether to wait for the accounts of resources to be complete; not for ever."""
        now = time.monotonic()
        self._behind_since = self._behind_since or now
        return now - self._behind_since < CATCH_UP_WITHIN_S

    def _forget(self) -> None:
        """Drop the connection; the next tick opens a new one."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._seen = ()

    def _broken(self, error: Exception) -> Snapshot | None:
        line = str(error) if isinstance(error, LedgerError) else f"the ledger cannot be read: {error}"
        problem = f"{line} · costmon doctor tells what to do"
        if self._last is None:
            from costmon.monitor.view import empty_snapshot

            return empty_snapshot(self.home, problem)
        return replace(self._last, problems=(problem, *self._last.problems[:2]))


def read_config(store: Store) -> str:
    """Compile config.toml and the price files into the ledger if they changed; a broken file keeps the last good one.

    Returns the problem in one sentence, '' when there is none.
    """
    path = paths.config_file()
    problem = ""
    try:
        if config_changed(store.db, path):
            found = configuration.load(path)
            compile_config(store.db, found, store.now())
            register_sources(store.db, found.sources)
    except ConfigError as error:
        problem = str(error)
        if settings(store.db).get("config_error") != problem:
            record_config_error(store.db, problem)
    compile_prices(store)
    return problem


def _sync(store: Store) -> None:
    """One FULL commit makes every earlier frame of the write-ahead log durable against a power cut."""
    store.db.execute("pragma synchronous = full")
    store.db.execute("begin immediate")
    try:
        store.db.execute(
            "insert into setting values ('engine_synced_at', ?) on conflict do update set value = excluded.value",
            (str(store.now()),),
        )
        store.db.execute("commit")
    except BaseException:
        store.db.execute("rollback")
        raise
    finally:
        store.db.execute("pragma synchronous = normal")


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
