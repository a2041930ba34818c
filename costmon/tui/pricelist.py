"""The list of prices as cells: made once, searched with every key. Pure functions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from rich.cells import cell_len

from costmon.pricing.lookup.listing import MAIN_UNITS, Listed
from costmon.shim.money import format_money
from costmon.tui.format import safe

_MILLION = 1_000_000
COLUMNS = ("provider", "model", "input", "output", "cache read", "since", "layer", "other")
# What gives way first when there is little room.
_ORDER = ("model", "input", "output", "provider", "cache read", "since", "layer", "other")
RIGHT = frozenset(("input", "output", "cache read"))
_GAP = 2
_LEAST_MODEL, _FAIR_MODEL = 16, 30
_WIDEST = {"provider": 16, "model": 44, "other": 40}


class PriceLine(NamedTuple):
    """One model: `key` to search in, one text per column."""

    key: str
    cells: tuple[str, ...]
    listed: Listed


def price_lines(rows: tuple[Listed, ...]) -> tuple[PriceLine, ...]:
    return tuple(_line(row) for row in rows)


def matching(lines: tuple[PriceLine, ...], typed: str) -> tuple[PriceLine, ...]:
    """Those whose provider and name hold every word that is typed, in any case."""
    words = typed.lower().split()
    return tuple(one for one in lines if all(word in one.key for word in words)) if words else lines


def widths(lines: tuple[PriceLine, ...], width: int) -> dict[str, int]:
    """{column: cells} of the columns there is room for, in order. Prices are never cut."""
    needed = {
        name: min(
            max([cell_len(name) + (name in RIGHT), *(cell_len(one.cells[place]) for one in lines)]),
            _WIDEST.get(name, 999),
        )
        for place, name in enumerate(COLUMNS)
    }
    chosen: dict[str, int] = {}
    left = width
    beside = sum(needed[name] + _GAP for name in ("input", "output")) + _GAP
    fair = min(_FAIR_MODEL, max(_LEAST_MODEL, width - beside))
    for name in _ORDER:
        least = min(needed[name], fair) if name == "model" else needed[name]
        if least + _GAP <= left:
            chosen[name] = least
            left -= least + _GAP
    if "model" in chosen:
        chosen["model"] += min(left, needed["model"] - chosen["model"])
    return {name: chosen[name] for name in COLUMNS if name in chosen}


def _line(row: Listed) -> PriceLine:
    main = tuple(_main(row.rates.get(unit), row.currency) for unit in MAIN_UNITS)
    provider, model = safe(row.provider), safe(row.model)
    old = " (deprecated)" if row.deprecated else ""
    cells = (provider, model + old, *main, row.since[:10], row.layer, _other(row))
    return PriceLine(f"{provider} {model}".lower(), cells, row)


def _main(rate: dict[str, Any] | None, currency: str) -> str:
    if rate is None:
        return "– "
    per = "" if rate["per"] == _MILLION else f"/{rate['per']:,}"
    return price_text(rate["price"], currency) + per + ("*" if depends(rate) else " ")


def depends(rate: dict[str, Any]) -> bool:
    """Whether the price changes with how much of it there is."""
    return "tiers" in rate or "graduated" in rate


def price_text(price: str, currency: str) -> str:
    """'$0.15': every digit of the price as it is written, at least two decimals of a currency that has them."""
    value = Decimal(price)
    digits = f"{value.normalize():f}" if value else "0"
    decimals = len(digits.partition(".")[2])
    usual = len(format_money(0, currency).partition(".")[2])
    whole = format_money(0, safe(currency), places=0).removesuffix("0")
    number = f"{value:,.{max(decimals, usual)}f}"
    return whole + number


def _other(row: Listed) -> str:
    """What a model without a price for tokens is paid by."""
    if "input_tokens" in row.rates or "output_tokens" in row.rates:
        return ""
    return " · ".join(
        f"{price_text(rate['price'], row.currency)} per {per_text(unit, rate['per'])}"
        for unit, rate in row.rates.items()
        if unit not in MAIN_UNITS
    )


def per_text(unit: str, per: int) -> str:
    """'million input tokens', 'hour of audio seconds', '1,000 web searches'."""
    words = unit.replace("_", " ")
    if unit.endswith("_seconds") and per in (60, 3600):
        return f"{'minute' if per == 60 else 'hour'} ({words})"
    amount = "million" if per == _MILLION else f"{per:,}"
    return words.removesuffix("s") if per == 1 else f"{amount} {words}"
