"""Lists of prices: every model that has one, and a few side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from costmon.pricing.calculators.scenario import exact_nano
from costmon.pricing.lookup.show import Catalogue
from costmon.pricing.lookup.timetable import since_of
from costmon.shim.cards import LAYERS, Card, Entry, Rates, find, resolve

MAIN_UNITS = ("input_tokens", "output_tokens", "cache_read_tokens")


class Listed(NamedTuple):
    """One model of the list: its prices now, their layer, and since when they hold ('' = always or unknown)."""

    provider: str
    model: str
    layer: str
    currency: str
    rates: Rates
    since: str
    deprecated: bool

    @property
    def tiered(self) -> bool:
        """Whether a price depends on how much of it there is."""
        return any("tiers" in rate or "graduated" in rate for rate in self.rates.values())


def listed(
    catalogue: Catalogue, at_us: int, *, provider: str | None = None, search: str = ""
) -> list[Listed]:
    """Models with a price at `at_us` (µs UTC), by provider and name.

    Args:
        search: words that must all occur in 'provider model', in any case.
    """
    words = search.lower().split()
    names = [provider.lower()] if provider else catalogue.providers
    found = [row for name in names for row in _of_provider(catalogue, name, at_us, words)]
    return sorted(found, key=lambda row: (row.provider, row.model))


def _of_provider(catalogue: Catalogue, provider: str, at_us: int, words: list[str]) -> Iterator[Listed]:
    above: list[list[Entry]] = []
    seen: set[str] = set()  # a maker's model and its twin of another region: the shim takes the first
    for layer, source, version, entries in catalogue.layers(provider):
        for entry in entries:
            name = entry["id"]
            text = f"{provider} {name}".lower()
            if "alias" in entry or not all(word in text for word in words):
                continue
            card = resolve(entry, provider, at_us, {}, source, version)
            if card is None or name.lower() in seen or _hidden(above, name, provider, at_us):
                continue
            seen.add(name.lower())
            yield Listed(
                provider,
                name,
                LAYERS[layer],
                card.currency,
                card.rates,
                since_of(entry, at_us),
                bool(entry.get("deprecated")),
            )
        above.append(entries)


def _hidden(above: list[list[Entry]], model: str, provider: str, at_us: int) -> bool:
    """Whether a layer above prices the same name, so that this row never counts."""
    for entries in above:
        entry = find(entries, model)
        if entry is not None and (
            "alias" in entry or resolve(entry, provider, at_us, {}, "", "") is not None
        ):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Compared:
    """Cards side by side: `units` that any of them has a price for, what one sample call costs by each (exact nano,
    None = unknown), and the units of it that have no price."""

    cards: tuple[Card | None, ...]
    units: tuple[str, ...]
    costs: tuple[Fraction | None, ...]
    unpriced: tuple[tuple[str, ...], ...]


def compared(cards: tuple[Card | None, ...], input_tokens: int, output_tokens: int) -> Compared:
    """`cards` rate by rate, and the cost of a call of that size."""
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    priced = [(None, ()) if card is None else exact_nano(card, usage) for card in cards]
    units = {unit for card in cards if card is not None for unit in card.rates}
    order = sorted(units, key=lambda unit: (unit not in MAIN_UNITS, _place(unit), unit))
    return Compared(cards, tuple(order), tuple(cost for cost, _ in priced), tuple(gaps for _, gaps in priced))


def _place(unit: str) -> int:
    return MAIN_UNITS.index(unit) if unit in MAIN_UNITS else 0


def cheapest(costs: tuple[Fraction | None, ...]) -> tuple[int, ...]:
    """The places of the least cost, all in one currency; none when fewer than two are known or all are equal."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < 2 or min(known) == max(known):
        return ()
    return tuple(place for place, cost in enumerate(costs) if cost == min(known))
