"""A ledger with resources, a clock the test moves, and readings it makes up."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from costmon import config
from costmon.monitor.compile import compile_config
from costmon.monitor.resources import resource_status
from costmon.monitor.snapshot import ResourceStatus
from costmon.pricing.files.resources import ResourcePrice, to_json
from costmon.shim.timestamps import to_us
from costmon.sources import resources
from costmon.sources.resources.probes import Host, ProbeError
from costmon.store import open_ledger

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SLOT = 900 * SECOND
NANO = 10**9


def at(text: str, zone: str = "UTC") -> int:
    """'2026-11-01 00:00' in `zone`, in µs UTC."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


class Readings(Host):
    """What the host says: a value per resource, an Exception to raise, or nothing new."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}

    def read(self, resource: Any) -> Any:
        value = self.values.get(resource.name)
        if isinstance(value, Exception):
            raise value
        return value

    def nic(self, name: str, sent: int, received: int = 0, boot: str = "b1", interface: str = "eth0") -> None:
        self.values[name] = {"boot": boot, "nics": {interface: [sent, received]}}

    def fail(self, name: str, why: str = "it is gone") -> None:
        self.values[name] = ProbeError(why)


class World:
    """One home. `now` is µs UTC; every tick is a moment of the engine."""

    def __init__(self, home: Path, text: str, now: str = "2026-11-01 00:00", zone: str = "UTC") -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        self.home = home
        self.zone = zone
        self.now = at(now, zone)
        self.ahead = 0  # how far the clock has jumped
        self.host = Readings()
        self.store = open_ledger(str(home))
        self.collector = self._collector()
        self.configure(text)

    def _collector(self) -> resources.Collector:
        """Time passes as the clock shows it, but for what `ahead` says."""
        return resources.Collector(self.host, lambda: (self.now - self.ahead) / SECOND)

    def configure(self, text: str) -> None:
        whole = f'time_zone = "{self.zone}"\n{text}'
        compile_config(self.store.db, config.parse(whole.encode(), str(self.home / "config.toml")), self.now)

    def price(self, *prices: ResourcePrice) -> None:
        """What the price files say."""
        self.store.db.execute(
            "insert into setting values ('resource_prices', ?) on conflict do update set value = excluded.value",
            (to_json({price.name: price for price in prices}),),
        )

    def tick(self, *, after: int = 0, times: int = 1) -> None:
        self.now += after
        for _ in range(times):
            self.collector.collect(self.store.db, self.now, measure=True)

    def catch_up(self) -> None:
        """Tick until nothing is left to do."""
        before = -1
        while before != (before := self.value("select count(*) from event")):
            self.tick()

    def restart(self) -> None:
        """Costmon ends without a word, and another one begins."""
        self.store.close()
        self.store = open_ledger(str(self.home))
        self.collector = self._collector()

    def start(self, name: str, ago: int = 0) -> Any:
        return resources.start(self.store.db, name, self.now - ago, self.now, "test")

    def stop(self, name: str, ago: int = 0) -> Any:
        return resources.stop(self.store.db, name, self.now - ago, self.now)

    def tell(self, name: str, ago: int, until_ago: int) -> Any:
        return resources.tell(self.store.db, name, self.now - ago, self.now - until_ago, self.now, "test")

    def rows(self, sql: str, *values: object) -> list[Any]:
        return self.store.db.execute(sql, values).fetchall()

    def value(self, sql: str, *values: object) -> Any:
        return self.rows(sql, *values)[0][0]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Oldest first; `amount` and `before` taken from its units."""
        columns = "id, created_at, duration_us, provider, model, app, api, source, cost, currency, cost_status, note, units"
        found = []
        for row in self.rows(f"select {columns} from event order by created_at, id"):
            event = dict(zip(columns.split(", "), row, strict=True))
            units = json.loads(event.pop("units"))
            event["before"] = units.pop("before")
            ((event["unit"], event["amount"]),) = units.items()
            if name is None or event["model"] == name:
                found.append(event)
        return found

    def cost(self, name: str, start: int = 0, end: int = 2**62) -> int:
        """Nano, of the events created in [start, end)."""
        return sum(e["cost"] for e in self.events(name) if start <= e["created_at"] < end)

    def amount(self, name: str) -> int:
        return sum(e["amount"] for e in self.events(name))

    def status(self, name: str) -> ResourceStatus:
        return next(one for one in resource_status(self.store.db, self.now) if one.name == name)

    def close(self) -> None:
        self.store.close()


def assert_tiled(events: list[dict[str, Any]], spans: list[tuple[int, int]]) -> None:
    """The events cover exactly these spans, none twice, and none lies in two quarter hours."""
    covered: list[list[int]] = []
    for event in events:
        start, end = event["created_at"], event["created_at"] + event["duration_us"]
        assert start < end
        assert start // SLOT == (end - 1) // SLOT
        if covered and covered[-1][1] == start:
            covered[-1][1] = end
        else:
            assert not covered or covered[-1][1] < start
            covered.append([start, end])
    joined: list[list[int]] = []
    for start, end in sorted(spans):
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        elif start < end:
            joined.append([start, end])
    assert covered == joined


def here(home: Path) -> dict[str, str]:
    """The environment of a child process that uses this home."""
    return {**os.environ, "COSTMON_HOME": str(home)}
