"""Prices of resources (servers, storage, traffic, subscriptions) in `costmon prices list` and `costmon prices show`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costmon.pricing.files.resources import ResourcePrice, ResourceRate


def matching(resources: Mapping[str, ResourcePrice], search: str) -> list[ResourcePrice]:
    """Those in whose name, kind or page all words of `search` occur, by name."""
    words = search.lower().split()
    found = []
    for name in sorted(resources):
        price = resources[name]
        text = f"{name} {price.kind} {price.url}".lower()
        if all(word in text for word in words):
            found.append(price)
    return found


def to_json(price: ResourcePrice, at_us: int) -> dict[str, Any]:
    """One resource; `price` and what belongs to it are None when it has none at `at_us`."""
    from costmon.shim.money import Money
    from costmon.shim.timestamps import to_iso

    def rate_json(rate: ResourceRate) -> dict[str, Any]:
        return {
            "price": Money(rate.price, price.currency).to_json(),
            "per": rate.per,
            "free": rate.free,
            "tiers": [
                {"above": above, "price": Money(nano, price.currency).to_json()} for above, nano in rate.tiers
            ],
            "increment_s": rate.increment_s if price.kind == "time" else None,
            "month": rate.month,
            "from": None if rate.from_us is None else to_iso(rate.from_us),
            "until": None if rate.until_us is None else to_iso(rate.until_us),
            "holds": rate.holds(at_us),
        }

    rate = price.rate_at(at_us)
    return {
        "resource": price.name,
        "kind": price.kind,
        "layer": price.source,
        "version": price.version,
        "quoted_from": price.url or None,
        "checked": price.checked or None,
        "currency": price.currency,
        "price": None if rate is None else Money(rate.price, price.currency).to_json(),
        "per": None if rate is None else rate.per,
        "history": [rate_json(one) for one in price.rates],
    }


def listed(prices: Iterable[ResourcePrice], at_us: int) -> list[str]:
    """A table: name, kind, price, layer; and how to see more."""
    from costmon.cli.values import table

    rows = [["RESOURCE", "KIND", "PRICE", "LAYER"]]
    for price in prices:
        rate = price.rate_at(at_us)
        said = "none at that time" if rate is None else _brief(price, rate)
        rows.append([price.name, price.kind, said, price.source])
    return [*table(rows, left=4), "costmon prices show NAME has its source, and how to use it in config.toml"]


def shown(price: ResourcePrice, at_us: int) -> list[str]:
    """Everything known of one resource, and the lines that use it."""
    import json

    from costmon.cli.values import wrapped
    from costmon.shim.timestamps import until_text

    checked = f" (checked {price.checked})" if price.checked else ""
    lines = [f"{price.name}: {price.kind}", f"  {price.source}@{price.version}"]
    if price.rate_at(at_us) is None:
        lines.append(f"  no price at {until_text(at_us)}")
    for rate in price.rates:
        since = f" from {until_text(rate.from_us)}" if rate.from_us is not None else ""
        until = f" until {until_text(rate.until_us)}" if rate.until_us is not None else ""
        mark = "*" if rate.holds(at_us) else "-"
        lines.append(wrapped(f"{mark}{since}{until}: {_said(price, rate)}".replace("*:", "* always:")))
        lines += [
            f"    what is above {above:,}: {_amount(nano, price.currency)}" for above, nano in rate.tiers
        ]
    lines.append(wrapped(f"source: {price.url}{checked}" if price.url else "source: not said"))
    key = price.name if price.name.replace("-", "").replace("_", "").isalnum() else json.dumps(price.name)
    return [
        *lines,
        "in config.toml:",
        f"  [resource.{key}]",
        f'  kind = "{price.kind}"',
        f"  price_of = {json.dumps(price.name, ensure_ascii=False)}",
    ]


def _brief(price: ResourcePrice, rate: ResourceRate) -> str:
    free = f", {rate.free:,} free a month" if rate.free else ""
    return f"{_amount(rate.price, price.currency)} per {rate.per}{free}" + (", tiers" if rate.tiers else "")


def _said(price: ResourcePrice, rate: ResourceRate) -> str:
    free = f"; the first {rate.free:,} {rate.per} of a month cost nothing" if rate.free else ""
    return f"{_amount(rate.price, price.currency)} per {rate.per}{free}"


def _amount(nano: int, currency: str) -> str:
    from costmon.shim.money import amount

    return f"{amount(nano)} {currency}"
