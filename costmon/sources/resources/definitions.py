"""The configured resources and their prices, as compiled into the ledger."""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import lru_cache
from sqlite3 import Connection
from typing import NamedTuple

from costmon.budget.periods import day_start
from costmon.config.resources import resource_from_fields
from costmon.config.values import Resource
from costmon.pricing.files.resources import ResourcePrice, from_json, of_config
from costmon.shim.timestamps import to_us

NOTHING_COUNTS = "until then its cost is unknown, and budgets count nothing for it"
_KEYS = ("resources", "resource_prices", "time_zone")


class Definitions(NamedTuple):
    """`written` are the resources as JSON by name; `files` the prices of the price files by name."""

    written: dict[str, str]
    files: dict[str, ResourcePrice]
    zone: str

    def price_of(self, resource: Resource) -> ResourcePrice | None:
        """What it costs, None when no price file tells (or tells it of another kind)."""
        if not resource.price_of:
            return _own_price(resource)
        found = self.files.get(resource.price_of)
        return found if found is not None and found.kind == resource.kind else None

    def problem(self, resource: Resource) -> str:
        """Why it has no price, in one sentence; '' when it has one."""
        if self.price_of(resource) is not None:
            return ""
        found = self.files.get(resource.price_of)
        if found is None:
            why = f'"{resource.price_of}", which no price file has; add it to prices.toml'
        else:
            why = f'"{found.name}", a price of kind {found.kind}; it is of kind {resource.kind}'
        return f"its price_of names {why}; {NOTHING_COUNTS}"


def configured(db: Connection) -> Definitions:
    """The definitions as the ledger has them now."""
    found = dict(db.execute("select key, value from setting where key in (?, ?, ?)", _KEYS).fetchall())
    return _parsed(*(found.get(key, "") for key in _KEYS))


@lru_cache(maxsize=4)
def _parsed(resources: str, prices: str, zone: str) -> Definitions:
    written = {name: _text(fields) for name, fields in json.loads(resources or "{}").items()}
    return Definitions(written, from_json(prices), zone or "UTC")


@lru_cache(maxsize=256)
def parse(written: str) -> Resource:
    """A resource from its JSON."""
    return resource_from_fields(json.loads(written))


@lru_cache(maxsize=256)
def _own_price(resource: Resource) -> ResourcePrice:
    return of_config(resource)


def instant(text: str, zone: str) -> int | None:
    """`since` or `until` in µs UTC: a date is the start of that day in `zone`; None for ''."""
    if not text:
        return None
    if len(text) == len("2026-11-01"):
        return day_start(date.fromisoformat(text), zone)
    return to_us(datetime.fromisoformat(text))


def _text(fields: dict[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
