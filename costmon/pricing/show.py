"""Find the card of a model over all layers and providers, and say where it is from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.catalog import Compiled, Row, compiled, provider_for
from costmon.shim.cards import LAYERS, Card, Entry, find, find_card, resolve
from costmon.shim.catalogue import read_catalog
from costmon.shim.matching import names_of, served_by
from costmon.shim.prices import MAKERS
from costmon.shim.units import units

Layers = list[tuple[int, str, str, list[Entry]]]
_MAX_NAME = 200
_MOST_ALIASES = 10
_BEDROCK = re.compile(
    r"((us|eu|ap|apac|jp|au|ca|sa|global|us-gov)\.)?[a-z0-9]+\.[a-z][a-z0-9.-]*-v[0-9]+(:[0-9]+)?$",
    re.IGNORECASE,
)
"""The form of Bedrock's model and inference profile ids, 'us.anthropic.claude-…-v1:0'."""
_NO_CONTEXT: Mapping[str, str] = {}


class UnpricedError(PriceError):
    """No layer prices the model; the message says what to do."""


class Found(NamedTuple):
    """A card and where it stands: `layer` is a name of `LAYERS`, `entry` what it was resolved from, `via` the aliases
    that led there as 'provider model', `also` the other providers that price the same name."""

    card: Card
    layer: str
    entry: Entry
    via: tuple[str, ...]
    also: tuple[str, ...]

    def in_context(self, at_us: int, context: Mapping[str, str]) -> Card:
        """The same model's card for a context, such as processing=batch; what has no price is in its `unpriced`."""
        card = self.card
        varied = resolve(self.entry, card.provider, at_us, context, card.source, card.version)
        return varied if varied is not None else card


class Catalogue:
    """Every layer, read once; a provider's models are parsed when they are first asked for."""

    def __init__(self, everything: Compiled) -> None:
        self.problems = everything.problems
        self.source, self.version, self.checked = everything.source, everything.version, everything.checked
        self._rows: dict[str, list[Row]] = {}
        for row in sorted(everything.rows, key=lambda row: row[1]):
            self._rows.setdefault(row[0], []).append(row)
        self._layers: dict[str, Layers] = {}
        self._naming: dict[str, Any] | None = None

    @property
    def providers(self) -> list[str]:
        return list(self._rows)

    def layers(self, provider: str) -> Layers:
        """A provider's layers as `cards.lookup` reads them, user first; none for an unknown one."""
        if provider not in self._layers:
            rows = self._rows.get(provider, [])
            self._layers[provider] = [
                (layer, source, version, json.loads(models)) for _, layer, source, version, models in rows
            ]
        return self._layers[provider]

    def card(
        self, provider: str, model: str, at_us: int, context: Mapping[str, str] = _NO_CONTEXT
    ) -> Card | None:
        """The card of `model` at one provider, as the shim would find it."""
        return find_card(self.layers, provider, model, at_us, context)

    def find(self, model: str, provider: str | None, at_us: int) -> Found | None:
        """What `model` is priced by at `at_us` (µs UTC); without `provider`, by the one its name names ('azure/gpt-4o',
        'azure:gpt-4o'), its maker, or the first that has it."""
        head, colon, rest = model.partition(":")
        if provider is not None:
            return self._find(model, [provider.lower()], model, at_us)
        if colon and rest and head.lower() in self._rows:
            found = self._find(rest, [head.lower()], model, at_us)
            if found is not None:
                return found
        return self._find(model, self.providers, model, at_us)

    def _find(self, asked: str, providers: list[str], model: str, at_us: int) -> Found | None:
        found = {name: card for name in providers if (card := self.card(name, asked, at_us)) is not None}
        # A provider that prices whatever it is asked for (a local server) knows no model by its name.
        cards = {name: card for name, card in found.items() if len(providers) == 1 or card.model != "*"}
        if not cards:
            return self._by_id(asked, providers, at_us)
        name = self._preferred(model, asked, list(cards))
        card = cards.pop(name)
        layer, entry = self._place(card, at_us)
        return Found(card, layer, entry, self._via(name, asked), tuple(cards))

    def _by_id(self, name: str, providers: list[str], at_us: int) -> Found | None:
        """The entry of that very id: some stand for names of a form ('regional.anthropic.…') that no call bears."""
        for provider in providers:
            for layer, source, version, entries in self.layers(provider):
                for entry in entries:
                    if entry["id"].lower() != name.lower() or entry["id"] == "*" or "alias" in entry:
                        continue
                    card = resolve(entry, provider, at_us, _NO_CONTEXT, source, version)
                    if card is not None:
                        return Found(card, LAYERS[layer], entry, (), ())
        return None

    def similar(self, model: str, count: int = 3) -> tuple[str, ...]:
        """Names like `model`, to suggest; never to price by."""
        from difflib import get_close_matches

        names = {entry["id"].lower(): entry["id"] for name in self._rows for entry in self._models(name)}
        near = get_close_matches(model.lower()[:_MAX_NAME], names, n=count)
        return tuple(names[name] for name in near)

    def similar_providers(self, provider: str) -> tuple[str, ...]:
        """Providers with a name like `provider`."""
        from difflib import get_close_matches

        return tuple(get_close_matches(provider.lower()[:_MAX_NAME], self._rows, n=3))

    def _models(self, provider: str) -> Iterable[Entry]:
        for _, _, _, models in self.layers(provider):
            yield from (entry for entry in models if entry["id"] != "*")

    def _place(self, card: Card, at_us: int) -> tuple[str, Entry]:
        """(the layer, the entry) that `card` was resolved from."""
        layer, entries = next(
            (LAYERS[layer], models)
            for layer, source, version, models in self.layers(card.provider)
            if (source, version) == (card.source, card.version)
        )
        same = [entry for entry in entries if entry["id"] == card.model and "alias" not in entry]
        for entry in same:
            again = resolve(entry, card.provider, at_us, _NO_CONTEXT, card.source, card.version)
            if again is not None and again.hash == card.hash:
                return layer, entry
        return layer, same[0] if same else {"id": card.model, "prices": []}

    def _via(self, provider: str, model: str) -> tuple[str, ...]:
        """The aliases on the way, each as 'provider name'."""
        steps: list[str] = []
        while len(steps) < _MOST_ALIASES:
            entry = self._first(provider, model)
            if entry is None or "alias" not in entry:
                break
            steps.append(f"{provider} {model}")
            provider, model = entry["alias"]
        return tuple(steps)

    def _first(self, provider: str, model: str) -> Entry | None:
        """The first entry `find_card` meets."""
        spellings = names_of(provider, model, known=bool(self.layers(provider)))
        found = (
            find(models, spelling) for name, spelling in spellings for _, _, _, models in self.layers(name)
        )
        return next((entry for entry in found if entry is not None), None)

    def _preferred(self, model: str, asked: str, found: list[str]) -> str:
        """Of the providers that have a card, the one the name says, the maker, a maker's, or the first."""
        served = served_by(model)
        named = served[0] if served is not None else "aws" if _BEDROCK.match(model) else ""
        order = [named, self.maker(asked), *MAKERS]
        return next((name for name in order if name in found), found[0])

    def maker(self, model: str) -> str:
        """The provider whose naming rule `model` follows ('claude…' is anthropic's), '' if none does."""
        if self._naming is None:
            self._naming = _naming_rules()
        return provider_for(self._naming, model) or ""


def _naming_rules() -> dict[str, Any]:
    """catalog.json without its models; what `provider_for` needs of it."""
    try:
        parts = read_catalog(os.path.join(paths.bundled("pricing"), "catalog.json"))["providers"]
    except (OSError, ValueError):
        return {"providers": {}}
    return {"providers": {name: {"match": part["match"]} for name, part in parts.items() if "match" in part}}


def open_catalogue(user_file: str | None) -> Catalogue:
    """All price files as they are now; one that is wrong is left out and named in `problems`."""
    return Catalogue(compiled(user_file))


def find_or_fail(catalogue: Catalogue, model: str, provider: str | None, at_us: int) -> Found:
    """`catalogue.find`. Raises UnpricedError, with the file to edit, the lines to paste and names like it."""
    found = catalogue.find(model, provider, at_us)
    if found is not None:
        return found
    where = f" at {provider}" if provider else ""
    similar = catalogue.similar(model)
    hint = f"; names like it: {', '.join(similar)}" if similar else ""
    raise UnpricedError(
        f"no price for {model}{where} at that time; add it to {paths.user_prices_file()}, in USD per million "
        f"tokens{hint}:\n{stub(model, provider or catalogue.maker(model))}"
    )


def stub(model: str, provider: str | None, priced_units: Iterable[str] = ()) -> str:
    """The lines that price a model in prices.toml, to paste and fill in; by default of input and output tokens.

    `priced_units` are units of `costmon.shim.units`, such as 'audio_seconds'. A '?' left in prices nothing: the file is
    then refused with the place of it.
    """
    wanted = [unit for unit in priced_units if unit in units()] or ["input_tokens", "output_tokens"]
    keys = [unit.removesuffix("_tokens") for unit in wanted]
    rates = [f'{key} = "?"   # USD per {_per(unit)}' for key, unit in zip(keys, wanted, strict=True)]
    return "\n".join(
        (
            "schema = 1                # once, at the top",
            "[[price]]",
            f"provider = {json.dumps(provider or 'openai')}",
            f"model = {json.dumps(model, ensure_ascii=False)}",
            'currency = "USD"',
            "[[price.rate]]",
            *rates,
        )
    )


def _per(unit: str) -> str:
    if unit.endswith("_tokens"):
        return "million tokens"
    return "hour" if units()[unit].per == 3600 else f"{units()[unit].per:,}"
