"""Find the card of a model over all layers and providers, and say where it is from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.catalog import Row, compiled, provider_for
from costmon.shim.cards import LAYERS, Card, Entry, find_card
from costmon.shim.catalogue import read_catalog

Layers = list[tuple[int, str, str, list[Entry]]]


class UnpricedError(PriceError):
    """No layer prices the model; the message says what to do."""


class Shown(NamedTuple):
    """A card, the layer it is from, the other providers that price the same name, and files that were left
    out."""

    card: Card
    layer: str
    also: tuple[str, ...]
    problems: tuple[str, ...]


def show_card(model: str, provider: str | None, at_us: int, user_file: str | None) -> Shown:
    """The card `model` is priced by at `at_us` (µs UTC); without `provider`, by its maker or the first that
    has it.

    Raises:
        UnpricedError: nobody prices it.
    """
    everything = compiled(user_file)
    layers = by_provider(everything.rows)
    names = [provider.lower()] if provider else list(layers)
    found = {}
    for name in names:
        card = find_card(lambda name: layers.get(name, []), name, model, at_us, {})
        if card is not None:
            found[name] = card
    if not found:
        where = f" at {provider}" if provider else ""
        raise UnpricedError(
            f"no price for {model}{where} at that time; add it to {paths.user_prices_file()}, in USD per million "
            f"tokens:\n{stub(model, provider)}"
        )
    name = _preferred(model, list(found))
    card = found.pop(name)
    return Shown(card, _layer_of(card, layers[name]), tuple(found), everything.problems)


def stub(model: str, provider: str | None) -> str:
    """The lines that price a model in prices.toml, to paste and fill in."""
    return "\n".join(
        (
            "schema = 1                # once, at the top",
            "[[price]]",
            f"provider = {json.dumps(provider or 'openai')}",
            f"model = {json.dumps(model)}",
            'currency = "USD"',
            "[[price.rate]]",
            'input = "?"   # USD per million tokens',
            'output = "?"',
        )
    )


def by_provider(rows: Iterable[Row]) -> dict[str, Layers]:
    """Rows of `compiled` as `cards.lookup` reads them."""
    layers: dict[str, Layers] = {}
    for provider, layer, source, version, models in sorted(rows, key=lambda row: row[1]):
        layers.setdefault(provider, []).append((layer, source, version, json.loads(models)))
    return layers


def _preferred(model: str, found: list[str]) -> str:
    try:
        maker = provider_for(read_catalog(os.path.join(paths.bundled("pricing"), "catalog.json")), model)
    except (OSError, ValueError):
        maker = None
    return maker if maker in found else found[0]


def _layer_of(card: Card, layers: Layers) -> str:
    return next(
        LAYERS[layer]
        for layer, source, version, _ in layers
        if (source, version) == (card.source, card.version)
    )
