"""Every source of a home, polled for as long as an engine runs: one long-lived task each, in one event loop.

Waiting is by the monotonic clock; a wall clock that jumped, or a machine that slept, wakes whoever is due by it. What fails
in one task stays there: it is logged by its type, said as the source's reason, and the task starts again.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from costmon import config as configuration
from costmon import paths
from costmon.errors import ConfigError, CostmonError, LedgerError
from costmon.shim.faults import report
from costmon.sources.providers.http import Traffic
from costmon.sources.providers.polling import books, breaker
from costmon.sources.providers.polling.breaker import transaction
from costmon.sources.providers.polling.rhythm import after_failure
from costmon.sources.providers.polling.rounds import Polled, may_ask, resolve
from costmon.sources.providers.polling.turns import Turner, keys_changed
from costmon.sources.providers.protocol import SourceError
from costmon.store import Store, open_ledger

LOOK_EVERY_S = 2.0
RESTART_S = 30.0
END_WITHIN_S = 1.5
LEDGER_WAIT_MS = 20
"""How long SQLite itself waits for the ledger: a task awaits it, so that the others go on."""


@dataclass(eq=False)
class _Running:
    """One source's task. `next_at` is when its next round is due by the wall clock, µs, None = when something changes."""

    polled: Polled
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    next_at: int | None = None
    failed_at: float | None = None


class Keeper:
    """Polls what config.toml names. `run` belongs to one thread and is called once; `stop` may come from any.

    `well`: it runs, and could look at the ledger and the config.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.well = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self._running: dict[str, _Running] = {}
        self._config_seen: tuple[int, int] | None = None
        self._keys_seen = ""

    def stop(self) -> None:
        """End `run` soon; a round under way is given up and leaves nothing behind."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._ending.set)
                return
        except RuntimeError:
            pass  # the loop has ended by itself
        self._ending.set()

    async def run(self) -> None:
        """Until `stop`. Raises LedgerError, OSError and sqlite3.Error when the ledger cannot be used."""
        self._loop = asyncio.get_running_loop()
        store = open_ledger(self.home)
        try:
            store.db.execute(f"pragma busy_timeout = {LEDGER_WAIT_MS}")
            turner = Turner(store)
            while not self._ending.is_set() and not store.replaced():
                await self._look(turner)
                self.well = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), LOOK_EVERY_S)
        finally:
            self.well = False
            await self._end(list(self._running.values()))
            self._running.clear()
            store.close()

    async def _look(self, turner: Turner) -> None:
        """Bring the tasks in step with the config, the keys and the clock."""
        store = turner.store
        wanted = self._changed_config()
        if wanted is not None:
            await transaction(store.db, lambda: books.register(store.db, wanted))
            await self._adopt([one for one in wanted if one.source.enabled and may_ask(self.home, one)])
            for running in self._running.values():
                running.wake.set()  # what one of them waited for may have changed with another
        keys = keys_changed(store.db)
        rekeyed, self._keys_seen = keys != self._keys_seen, keys
        for running in self._running.values():
            if running.task is None or running.task.done():
                await self._revive(turner, running)
            elif rekeyed or (running.next_at is not None and store.now() >= running.next_at):
                running.wake.set()

    def _changed_config(self) -> list[Polled] | None:
        """The config's sources if the file changed; one that is wrong keeps the last good one."""
        path = paths.config_file()
        try:
            status = os.stat(path)
            seen = (status.st_mtime_ns, status.st_size)
        except OSError:
            return None
        if seen == self._config_seen:
            return None
        self._config_seen = seen
        try:
            return [resolve(source) for source in configuration.load(path).sources]
        except ConfigError:
            return None

    async def _adopt(self, wanted: Iterable[Polled]) -> None:
        """End the tasks of sources that are gone or changed; the others go on undisturbed."""
        new = {polled.name: polled for polled in wanted}
        gone = [
            running
            for name, running in self._running.items()
            if name not in new or new[name].setup != running.polled.setup
        ]
        await self._end(gone)
        for running in gone:
            del self._running[running.polled.name]
        for name, polled in new.items():
            self._running.setdefault(name, _Running(polled))

    async def _end(self, those: list[_Running]) -> None:
        tasks = [running.task for running in those if running.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_WITHIN_S)

    async def _revive(self, turner: Turner, running: _Running) -> None:
        """Start a task, at once or, after a failure, some seconds later."""
        now = time.monotonic()
        if running.task is not None:
            fault = None if running.task.cancelled() else running.task.exception()
            running.task = None
            running.failed_at = now
            what = type(fault).__name__ if fault is not None else "cancelled"
            report(
                f"poll {running.polled.name}",
                f"polling {running.polled.name} failed ({what}); it starts again",
            )
            await _say_failed(turner.store, running.polled, what)
        elif running.failed_at is None or now - running.failed_at >= RESTART_S:
            running.task = asyncio.create_task(_follow(turner, running), name=f"poll {running.polled.name}")


async def _follow(turner: Turner, running: _Running) -> None:
    """The life of one source: a turn, the wait for the next one, and so on."""
    while True:
        running.wake.clear()
        try:
            turn = await turner.take(running.polled)
        except LedgerError:
            await asyncio.sleep(
                RESTART_S
            )  # nobody could write; the provider was not asked, or its answer is asked for again
            continue
        running.next_at = turn.next_at
        left = None if turn.next_at is None else max(0.0, (turn.next_at - turner.store.now()) / 1e6)
        with suppress(TimeoutError):
            await asyncio.wait_for(running.wake.wait(), left)


async def _say_failed(store: Store, polled: Polled, what: str) -> None:
    """Our own fault is the source's reason, and as far as the provider goes a failure like others: it is asked less."""
    db, now = store.db, store.now()
    error = SourceError("schema", f"costmon itself failed here ({what}) and tries again; please report it")

    def write() -> None:
        plan = after_failure(polled.rhythm, breaker.standing(db, polled.name), error.state, now, 0.0)
        db.execute("update source set probe = '', probe_until = null where name = ?", (polled.name,))
        books.book_failure(db, polled, error, now, "", plan, Traffic())

    with suppress(CostmonError, sqlite3.Error):
        await transaction(db, write, wait_s=1.0)
