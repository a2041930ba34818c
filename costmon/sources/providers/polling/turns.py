"""One turn of a source: begin a round if one may, read, and book what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from costmon.errors import LedgerBusy
from costmon.shim.timestamps import to_datetime
from costmon.sources.providers.http import Traffic
from costmon.sources.providers.polling import accounts, books, breaker
from costmon.sources.providers.polling.breaker import transaction
from costmon.sources.providers.polling.rhythm import NotNow, after_failure, after_success
from costmon.sources.providers.polling.rounds import LIMIT_S, Polled, key, key_version, read
from costmon.sources.providers.polling.windows import is_wide, window
from costmon.sources.providers.protocol import Reading, SourceError, Window
from costmon.store import Store

RENEW_S = 15.0
_PROCESS = uuid.uuid4().hex
KEYS_CHANGED = "keys_changed"


class Turn(NamedTuple):
    """What came of a turn: `refused` when no round began; else `reading`, or `error`. `next_at` is µs UTC, or None while
    it waits for a person. `booked` False: another round had taken over, and nothing of this one was written."""

    refused: NotNow | None = None
    reading: Reading | None = None
    error: SourceError | None = None
    next_at: int | None = None
    traffic: Traffic = Traffic()
    booked: bool = False


@dataclass
class Turner:
    """Takes turns for the sources of one ledger; `store` belongs to the thread of the event loop.

    chance: a random number from -1 to 1.
    """

    store: Store
    limit_s: float = LIMIT_S
    renew_s: float = RENEW_S
    chance: random.Random = field(default_factory=random.Random)

    async def take(self, polled: Polled, *, by_hand: bool = False) -> Turn:
        """One turn; `polled` has its row. Raises LedgerError and sqlite3.Error; what the provider does is never raised."""
        db, probe = self.store.db, breaker.new_probe()
        keys = key_version(polled, keys_changed(db), _PROCESS)
        begun = self.store.now()
        refused = await transaction(
            db,
            lambda: breaker.take(
                db, polled.name, polled.rhythm, begun, probe, setup=polled.setup, keys=keys, by_hand=by_hand
            ),
        )
        if refused is not None:
            return Turn(refused, next_at=refused.until)
        traffic = Traffic()
        try:
            async with self._holding(polled.name, probe, traffic):
                try:
                    secret = await key(polled, self.limit_s)
                    account = await self._claim(polled, accounts.fingerprint(db, polled, secret))
                    asked, wide = self._window(polled, account)
                    reading = await read(polled, secret, asked, traffic, self.limit_s)
                    return await self._book(polled, reading, probe, traffic, wide=wide, account=account)
                except SourceError as error:
                    return await self._fail(polled, error, probe, traffic)
        except BaseException:
            # Cancelled, or the ledger failed: what was sent was sent, and the next round need not wait for the lease.
            with contextlib.suppress(sqlite3.Error):
                self._give_up(polled.name, probe, traffic)
            raise

    async def _claim(self, polled: Polled, account: str) -> str:
        """`account` itself, unless another source reads it."""
        db = self.store.db
        await transaction(db, lambda: accounts.claim(db, polled.name, account))
        other = accounts.taken_by(db, polled.name, account)
        if other:
            raise accounts.twice(other)
        return account

    def _window(self, polled: Polled, account: str) -> tuple[Window, bool]:
        if polled.kind is None:
            raise polled.problem or SourceError("config", f'the source "{polled.name}" has no kind')
        now = to_datetime(self.store.now())
        at = breaker.about(self.store.db, polled.name).get("wide_at")
        wide_at: datetime | None = to_datetime(at) if isinstance(at, int) else None
        since = None
        if accounts.is_other(self.store.db, polled.name, account):
            wide_at, since = None, books.oldest(self.store.db, polled.name)
        return window(now, wide_at, polled.kind.settles_after, since), is_wide(now, wide_at)

    async def _book(
        self, polled: Polled, reading: Reading, probe: str, traffic: Traffic, *, wide: bool, account: str
    ) -> Turn:
        now = self.store.now()
        plan = after_success(polled.rhythm, now, self._chance())
        booked = await transaction(
            self.store.db,
            lambda: books.book(
                self.store.db, polled, reading, now, probe, plan, traffic, wide=wide, account=account
            ),
        )
        return Turn(reading=reading, next_at=plan.next_at, traffic=traffic, booked=booked)

    async def _fail(self, polled: Polled, error: SourceError, probe: str, traffic: Traffic) -> Turn:
        now = self.store.now()
        before = breaker.standing(self.store.db, polled.name)
        plan = after_failure(polled.rhythm, before, error.state, now, self._chance(), error.retry_after)
        booked = await transaction(
            self.store.db,
            lambda: books.book_failure(self.store.db, polled, error, now, probe, plan, traffic),
        )
        return Turn(error=error, next_at=plan.next_at, traffic=traffic, booked=booked)

    def _give_up(self, name: str, probe: str, traffic: Traffic) -> None:
        """One try: this may be the end of the program."""
        db = self.store.db
        if db.in_transaction:
            db.execute("rollback")
        db.execute("begin immediate")
        try:
            breaker.free(db, name, probe)
            books.count(db, name, self.store.now(), traffic, failed=True)
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise

    @asynccontextmanager
    async def _holding(self, name: str, probe: str, traffic: Traffic) -> AsyncIterator[None]:
        """Renew the lease for as long as answers come in."""
        renewing = asyncio.create_task(self._renew(name, probe, traffic))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self, name: str, probe: str, traffic: Traffic) -> None:
        seen = (traffic.requests, traffic.bytes)
        while True:
            await asyncio.sleep(self.renew_s)
            if (traffic.requests, traffic.bytes) == seen:
                continue
            seen = (traffic.requests, traffic.bytes)
            with contextlib.suppress(LedgerBusy, sqlite3.Error):
                await transaction(
                    self.store.db, lambda: breaker.renew(self.store.db, name, probe, self.store.now())
                )

    def _chance(self) -> float:
        return self.chance.uniform(-1, 1)


def keys_changed(db: sqlite3.Connection) -> str:
    """What the ledger says of the last key that was set or removed."""
    row = db.execute("select value from setting where key = ?", (KEYS_CHANGED,)).fetchone()
    return "" if row is None else str(row[0])
