"""What resources cost: servers by the hour, storage by the GB-month, traffic by the GB, subscriptions.

    [[price]]
    resource = "aws-ec2-egress"
    kind = "transfer"                 # time, storage, transfer, flat
    currency = "USD"
    source = "https://…"
    checked = 2026-11-20
    month = "calendar"                # or "730h"; what a price per month is spread over
    [[price.rate]]
    from = 2024-02-01                 # half-open [from, until), UTC; either may be missing
    per = "GB"                        # time: hour, day, month · storage: GB-month, GiB-month · transfer: GB, GiB
    amount = 0.09                     # · flat: month, year, day
    free = 100                        # so much of it is free in each calendar month
    tiers = [{ above = 10_240, amount = 0.085 }]   # graduated: what is above, counted from the start of the month
    increment_s = 60                  # time: the smallest step that is billed

A resource that config.toml prices by itself is read there and comes here as a `config.values.Resource`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from costmon.config.values import MONTHS, RESOURCE_PERS, Resource
from costmon.pricing.files.where import Where, only, shown, tables, text
from costmon.shim.cards import Card, make_card
from costmon.shim.money import amount, to_nano
from costmon.shim.timestamps import to_datetime, to_us

HOUR_S = 3600
MONTH_S = 730 * HOUR_S
_DAY_S = 86_400
_MOST = 10**9  # an integer: to compare a Decimal with a huge integer takes seconds
_DEAREST = Decimal(_MOST)
_MOST = 10**12  # the highest threshold of a tier
UNITS = {
    "time": "resource_seconds",
    "storage": "storage_byte_seconds",
    "transfer": "transfer_bytes",
    "flat": "subscription_seconds",
}
"""What each kind is counted in (see `shim.units`)."""
_BYTES = {"GB": 10**9, "GiB": 2**30, "GB-month": 10**9, "GiB-month": 2**30}
_KEYS = ("resource", "kind", "currency", "source", "checked", "month", "rate")
_RATE_KEYS = ("from", "until", "per", "amount", "free", "tiers", "increment_s", "month")


class ResourceRate(NamedTuple):
    """One dated price: `price` nano per `per`; of a month's amount the first `free` cost nothing, and what is above a
    tier's threshold costs the tier's price. Times are µs UTC, half-open, None = open."""

    from_us: int | None
    until_us: int | None
    per: str
    price: int
    free: int = 0
    tiers: tuple[tuple[int, int], ...] = ()
    increment_s: int = 1
    month: str = "calendar"

    def holds(self, at_us: int) -> bool:
        """Whether it is the price of `at_us`."""
        return (self.from_us is None or at_us >= self.from_us) and (
            self.until_us is None or at_us < self.until_us
        )


class ResourcePrice(NamedTuple):
    """The prices of one resource, oldest first. `source` and `version` name where they are from ('builtin',
    '2026.11.20'); `url` is the page or table of the figures; `file` the name of the price file."""

    name: str
    kind: str
    currency: str
    rates: tuple[ResourceRate, ...]
    source: str = "user"
    version: str = ""
    checked: str = ""
    url: str = ""
    file: str = ""

    @property
    def unit(self) -> str:
        """What its amounts are counted in."""
        return UNITS[self.kind]

    def rate_at(self, at_us: int) -> ResourceRate | None:
        """The rate that holds at `at_us`, None when none does."""
        return next((rate for rate in self.rates if rate.holds(at_us)), None)

    def next_change(self, at_us: int) -> int | None:
        """The next instant after `at_us` at which a rate begins or ends."""
        edges = [edge for rate in self.rates for edge in (rate.from_us, rate.until_us) if edge is not None]
        return min((edge for edge in edges if edge > at_us), default=None)


def card_at(
    price: ResourcePrice, at_us: int, month_s: int = MONTH_S, *, provider: str = "own", model: str = ""
) -> Card | None:
    """The rate card of `price` at `at_us` (µs UTC), None when it has none then.

    Args:
        month_s: the length in seconds of the calendar month that contains `at_us`.
        provider, model: whose card it is; default: the resource's own name.
    """
    rate = price.rate_at(at_us)
    if rate is None:
        return None
    per, factor = _per(rate, at_us, month_s)
    steps = [(above, amount(nano * factor)) for above, nano in _steps(rate)]
    entry: dict[str, Any] = {"per": per, "price": steps[0][1]}
    if len(steps) > 1:
        entry["graduated"] = [list(step) for step in steps[1:]]
    return make_card(
        provider, model or price.name, price.currency, {price.unit: entry}, price.source, price.version
    )


def _steps(rate: ResourceRate) -> list[tuple[int, int]]:
    """((above, nano), …) from 0 on."""
    first = [(0, 0), (rate.free, rate.price)] if rate.free else [(0, rate.price)]
    return [*first, *rate.tiers]


def _per(rate: ResourceRate, at_us: int, month_s: int) -> tuple[int, int]:
    """(how much of the unit a price is for, how many of the price that is)."""
    month = MONTH_S if rate.month == "730h" else month_s
    if rate.per in ("GB-month", "GiB-month"):
        return _BYTES[rate.per] * month, 1
    if rate.per in _BYTES:
        return _BYTES[rate.per], 1
    if rate.per == "month":
        return month, 1
    if rate.per == "year":
        year = to_datetime(at_us).year
        return (366 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 365) * _DAY_S, 1
    if rate.per == "day" and rate.month == "calendar":
        # A day of 23 hours costs as much as any other: a month costs its days.
        return month, round(month / _DAY_S)
    return (_DAY_S if rate.per == "day" else HOUR_S), 1


def measure_of(rate: ResourceRate, at_us: int, month_s: int) -> tuple[str, Fraction]:
    """(what the price of `rate` is per: 'h', 'd', 'month', 'year', 'GB', 'GiB-month' …; how much of the unit that is).

    Args as in `card_at`: amounts so counted, times the price, are what they cost.
    """
    per, factor = _per(rate, at_us, month_s)
    return {"hour": "h", "day": "d"}.get(rate.per, rate.per), Fraction(per, factor)


def of_config(resource: Resource) -> ResourcePrice:
    """The price that config.toml itself gives a resource; it holds whenever the resource does."""
    rate = ResourceRate(
        None,
        None,
        resource.per,
        resource.price,
        resource.free,
        resource.tiers,
        resource.increment_s,
        resource.month,
    )
    facts = [resource.kind, resource.currency, rate]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    return ResourcePrice(resource.name, resource.kind, resource.currency, (rate,), "config", digest)


# --- files --------------------------------------------------------------------------------------------------


def read_resource(where: Where, table: Mapping[str, Any], *, dated: bool) -> ResourcePrice:
    """One `[[price]]` table with the key `resource`.

    Args:
        where: its place in the file.
        dated: demand `source` and `checked` (our own files).

    Raises:
        PriceError: it is wrong, in one sentence.
    """
    only(where, table, _KEYS)
    for key in ("resource", "kind", "currency", *(("source", "checked") if dated else ())):
        if key not in table:
            where.fail(f"has no {key}; add `{key} = …`")
    name = text(where / "resource", table["resource"])
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in RESOURCE_PERS:
        (where / "kind").fail(f"is {shown(kind)!r}; write {_choices(RESOURCE_PERS)}")
    currency = table["currency"]
    if (
        not isinstance(currency, str)
        or len(currency) != 3
        or not currency.isalpha()
        or not currency.isupper()
    ):
        (where / "currency").fail(f"is {shown(currency)!r}; write three capital letters, like USD or KRW")
    if "source" in table:
        text(where / "source", table["source"])
    checked = table.get("checked", "")
    if checked != "" and (not isinstance(checked, date) or isinstance(checked, datetime)):
        (where / "checked").fail("must be a date without quotes, like 2026-11-20")
    rates = _rates(where, table, kind)
    return ResourcePrice(name, kind, currency, rates, checked=str(checked), url=table.get("source", ""))


def _rates(where: Where, table: Mapping[str, Any], kind: str) -> tuple[ResourceRate, ...]:
    found = [
        (spot, _rate(spot, rate, table, kind)) for spot, rate in tables(where / "rate", table.get("rate", []))
    ]
    if not found:
        where.fail("has no [[price.rate]]; add one with `per` and `amount`")
    found.sort(key=lambda item: -1 if item[1].from_us is None else item[1].from_us)
    for (first, one), (second, other) in pairwise(found):
        if one.until_us is None or other.from_us is None or other.from_us < one.until_us:
            second.fail(f"overlaps {first.key} in time; end one where the other starts (until = from)")
    return tuple(rate for _, rate in found)


def _rate(at: Where, rate: Mapping[str, Any], table: Mapping[str, Any], kind: str) -> ResourceRate:
    only(at, rate, _RATE_KEYS)
    for key in ("per", "amount"):
        if key not in rate:
            at.fail(f"has no {key}; add `{key} = …`")
    per = rate["per"]
    if not isinstance(per, str) or per not in RESOURCE_PERS[kind]:
        (at / "per").fail(f"is {shown(per)!r}; a price of kind {kind} is per {_choices(RESOURCE_PERS[kind])}")
    start, end = (_instant(at / key, rate[key]) if key in rate else None for key in ("from", "until"))
    if start is not None and end is not None and start >= end:
        (at / "until").fail("is not after from; prices hold from `from` up to, not including, `until`")
    free = _whole(at / "free", rate.get("free", 0), 0)
    increment = _whole(at / "increment_s", rate.get("increment_s", 1), 1)
    if increment != 1 and kind != "time":
        (at / "increment_s").fail(f"is for kind time, not {kind}; remove it")
    if increment > 31 * _DAY_S:
        (at / "increment_s").fail("is over a month; write seconds, like 3600")
    month = rate.get("month", table.get("month", "730h" if kind == "storage" else "calendar"))
    if month not in MONTHS:
        (at / "month").fail(f"is {shown(month)!r}; write {_choices(MONTHS)}")
    price = _price(at / "amount", rate["amount"])
    return ResourceRate(start, end, per, price, free, _tiers(at / "tiers", rate, free), increment, month)


def _tiers(at: Where, rate: Mapping[str, Any], free: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    last = free
    for spot, tier in tables(at, rate.get("tiers", [])):
        only(spot, tier, ("above", "amount"))
        for key in ("above", "amount"):
            if key not in tier:
                spot.fail(f"has no {key}; write {{ above = 10_240, amount = 0.085 }}")
        above = _whole(spot / "above", tier["above"], 1)
        if above <= last:
            (spot / "above").fail(f"is {above}, not above {last}; tiers rise, and lie above what is free")
        last = above
        found.append((above, _price(spot / "amount", tier["amount"])))
    return tuple(found)


def _price(at: Where, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        at.fail(f"is {shown(value)!r}; write a number, like 2.5")
    if isinstance(value, int) and abs(value) > _MOST:
        at.fail(f"is over {_DEAREST:,}, or below zero; check the amount and `per`")
    price = Decimal(value)
    if not price.is_finite():
        at.fail(f"is {price}; write a number, like 2.5")
    if price < 0:
        at.fail(f"is {price}, below zero; write 0 or more")
    if price > _DEAREST:
        at.fail(f"is over {_DEAREST:,}; check the amount and `per`")
    nano = to_nano(price)
    if price != Decimal(nano).scaleb(-9):
        at.fail("has more than 9 decimals; round it")
    return nano


def _whole(at: Where, value: object, lowest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= _MOST:
        at.fail(f"is {shown(value)!r}; write a whole number from {lowest} on")
    return value


def _instant(at: Where, value: object) -> int:
    """A date or aware time as µs UTC."""
    if not isinstance(value, date):
        at.fail("must be a date or time without quotes, like 2026-10-07")
    if not isinstance(value, datetime):
        return to_us(datetime.combine(value, time.min, tzinfo=UTC))
    if value.tzinfo is None:
        at.fail("has no time zone; write it like 2026-10-07T00:00:00Z, or as a date")
    if value.microsecond:
        at.fail("has a fraction of a second; prices change on whole seconds")
    return to_us(value)


def _choices(names: Any) -> str:
    return " or ".join(f'"{name}"' for name in names)


# --- in the ledger ------------------------------------------------------------------------------------------


def to_json(prices: Mapping[str, ResourcePrice]) -> str:
    """Prices by name as the ledger keeps them."""
    return json.dumps(dict(sorted(prices.items())), separators=(",", ":"))


def from_json(document: str) -> dict[str, ResourcePrice]:
    """The inverse of `to_json`."""
    return {name: _revived(fields) for name, fields in json.loads(document or "{}").items()}


def _revived(fields: list[Any]) -> ResourcePrice:
    price = ResourcePrice(*fields)  # a ledger of an earlier version has fewer
    rates = tuple(
        ResourceRate._make((*rate[:5], tuple((above, nano) for above, nano in rate[5]), *rate[6:]))
        for rate in price.rates
    )
    return price._replace(rates=rates)
