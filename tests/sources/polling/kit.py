"""A home whose sources answer on loopback, and whose clock the test sets."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from costmon import config
from costmon.shim.timestamps import to_datetime, to_us
from costmon.sources.providers.polling import books, breaker
from costmon.sources.providers.polling.rounds import Polled, resolve
from costmon.sources.providers.polling.turns import Turn, Turner
from costmon.sources.providers.protocol import Bucket, Figure
from costmon.store import Store, open_ledger

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


class Home:
    """`now` is µs UTC. Sources are registered from the config's text; `turn` takes a turn of one."""

    def __init__(self, folder: Path, text: str, now: datetime = NOW) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.now = to_us(now)
        self.store = self._open()
        self.chance = random.Random(5)
        self.polled: dict[str, Polled] = {}
        self.configure(text)

    def _open(self) -> Store:
        store = open_ledger(str(self.folder))
        store.now = lambda: self.now
        return store

    def configure(self, text: str) -> None:
        path = self.folder / "config.toml"
        path.write_text(text)
        loaded = config.load(str(path))
        found = [resolve(source) for source in loaded.sources]
        self.polled = {one.name: one for one in found}
        self.write(lambda: books.register(self.store.db, found))

    def write_now(self, work: Any) -> None:
        """The same inside an event loop."""
        self.store.db.execute("begin immediate")
        work()
        self.store.db.execute("commit")

    def write(self, work: Any) -> Any:
        return asyncio.run(breaker.transaction(self.store.db, work))

    def turner(self, **how: Any) -> Turner:
        return Turner(self.store, chance=self.chance, **how)

    def turn(self, name: str = "openai", *, by_hand: bool = False, after: int = 0, **how: Any) -> Turn:
        self.now += after
        return asyncio.run(self.turner(**how).take(self.polled[name], by_hand=by_hand))

    def due(self, name: str = "openai") -> None:
        """Let the time pass until the source's next round."""
        at = self.source(name)["next_at"]
        assert at is not None
        self.now = max(self.now, at)

    def source(self, name: str = "openai") -> dict[str, Any]:
        cursor = self.store.db.execute("select * from source where name = ?", (name,))
        return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))

    def rows(self, sql: str, *values: object) -> list[Any]:
        return self.store.db.execute(sql, values).fetchall()

    def value(self, sql: str, *values: object) -> Any:
        return self.rows(sql, *values)[0][0]

    def total(self, name: str = "openai", line: str = "usage") -> Decimal:
        """Dollars of every bucket."""
        nano = self.value(
            "select coalesce(sum(amount), 0) from figure where source = ? and line = ?", name, line
        )
        return Decimal(nano).scaleb(-9)

    def dump(self) -> list[Any]:
        """Every figure there is, without when it was read."""
        return [
            self.rows(f"select * from {table} order by 1, 2, 3, 4, 5, 6, 7, 8, 9")
            for table in ("figure", "figure_usage", "balance")
        ] + [
            self.rows(
                "select source, start_at, end_at, grew_at, fetched_at, revisions, complete from figure_bucket"
            )
        ]

    def close(self) -> None:
        self.store.close()


def bucket(day: int = 20, days: int = 1) -> Bucket:
    """A UTC day of November 2026, or several."""
    start = datetime(2026, 11, day, tzinfo=UTC)
    return Bucket(start, start + timedelta(days=days))


def figure(amount: str, model: str = "m", day: int = 20, **more: Any) -> Figure:
    span = bucket(day)
    return Figure(span.start, span.end, Decimal(amount), more.pop("currency", "USD"), model, **more)


def moment(us: int) -> datetime:
    return to_datetime(us)
