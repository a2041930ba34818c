"""Find the card of a model over all layers and providers, and say where it is from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.calculators.estimate import BATCH
from costmon.pricing.calculators.scenario import Load, Scenario, over_week
from costmon.pricing.catalog.base import bundled_file
from costmon.pricing.catalog.layers import Compiled, compiled, provider_for
from costmon.pricing.lookup.timetable import Share, date_change, week_shares, windows_of
from costmon.shim.cards import LAYERS, Card, Entry, find, find_card, resolve
from costmon.shim.catalogue import read_catalog
from costmon.shim.matching import names_of, served_by
from costmon.shim.prices import MAKERS
from costmon.shim.timestamps import until_text
from costmon.shim.units import units

Layers = list[tuple[int, str, str, list[Entry]]]
_MAX_NAME = 200
_MOST_ALIASES = 10
_BEDROCK = re.compile(
    r"((us|eu|ap|apac|jp|au|ca|sa|global|us-gov)\.)?[a-z0-9]+\.[a-z][a-z0-9.-]*-v[0-9]+(:[0-9]+)?$",
    re.IGNORECASE,
)
"""The form of Bedrock's model and inference profile ids, 'us.anthropic.claude-…-v1:0'."""
_PICTURES = ("image", "imagen", "dall-e", "flux", "stable-diffusion", "sdxl", "sora", "veo-", "video")
_DAY_US = 86_400_000_000
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

    def week_shares(self, at_us: int) -> tuple[Share, ...]:
        """The cards of (list price, batch price) over the hours of a week, by the prices of that date."""
        card = self.card
        found = week_shares(self.entry, card.provider, at_us, (_NO_CONTEXT, BATCH), card.source, card.version)
        if any(one.cards[0] is not None for one in found):
            return found
        return (Share((card, self.in_context(at_us, BATCH)), Fraction(1)),)

    def cost_of(self, at_us: int, load: Load) -> Scenario:
        """What `load` costs by the prices of that date, spread evenly over the hours of the week."""
        found = over_week(self.week_shares(at_us), load, windows_of(self.entry, at_us))
        change = date_change(self.entry, at_us, at_us + load.days * _DAY_US)
        if change is None:
            return found
        note = f"from {until_text(change)} on another price holds, which is not counted here"
        return replace(found, notes=(*found.notes, note))


class Catalogue:
    """Every layer, read once. `resources` are servers, storage and traffic by name."""

    def __init__(self, everything: Compiled) -> None:
        self.problems = everything.problems
        self.source, self.version, self.checked = everything.source, everything.version, everything.checked
        self.resources = everything.resources
        self._everything = everything
        self._names = everything.providers
        self._layers: dict[str, Layers] = {}
        self._naming: dict[str, Any] | None = None

    @property
    def providers(self) -> list[str]:
        return list(self._names)

    def layers(self, provider: str) -> Layers:
        """A provider's layers as `cards.lookup` reads them, user first; none for an unknown one."""
        if provider not in self._layers:
            self._layers[provider] = self._everything.layers(provider)
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
        if colon and rest and head.lower() in self._names:
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

    def origin(self, found: Found) -> tuple[str, str]:
        """(the page or table a price is from, the day it was checked or released); '' = it does not say."""
        if found.layer == "base":
            return f"{self.source} {self.version}", str(self.checked or "")
        return str(found.entry.get("source", "")), str(found.entry.get("checked", ""))

    def similar(self, model: str, count: int = 3) -> tuple[str, ...]:
        """Names like `model`, to suggest; never to price by."""
        from difflib import get_close_matches

        names = {entry["id"].lower(): entry["id"] for name in self._names for entry in self._models(name)}
        near = get_close_matches(model.lower()[:_MAX_NAME], names, n=count)
        return tuple(names[name] for name in near)

    def similar_resources(self, name: str) -> tuple[str, ...]:
        """Resources with a name like `name`."""
        from difflib import get_close_matches

        return tuple(get_close_matches(name.lower()[:_MAX_NAME], self.resources, n=3))

    def similar_providers(self, provider: str) -> tuple[str, ...]:
        """Providers with a name like `provider`."""
        from difflib import get_close_matches

        return tuple(get_close_matches(provider.lower()[:_MAX_NAME], self._names, n=3))

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
            self._naming = _naming_rules(self._everything.base)
        return provider_for(self._naming, model) or ""


def _naming_rules(base: Mapping[str, Any]) -> dict[str, Any]:
    """What `provider_for` needs of the base; of the bundled one where an updated one has no rules."""
    found = _rules_of(base)
    if found or not base:
        return {"providers": found}
    try:
        return {"providers": _rules_of(read_catalog(bundled_file()))}
    except (OSError, ValueError):
        return {"providers": {}}


def _rules_of(base: Mapping[str, Any]) -> dict[str, Any]:
    parts = base.get("providers", {})
    return {name: {"match": part["match"]} for name, part in parts.items() if "match" in part}


def open_catalogue(user_file: str | None) -> Catalogue:
    """All price files as they are now; one that is wrong is left out and named in `problems`."""
    return Catalogue(compiled(user_file))


def find_or_fail(
    catalogue: Catalogue, model: str, provider: str | None, at_us: int, *, seen: str = ""
) -> Found:
    """`catalogue.find`. Raises UnpricedError, with the file to edit, the lines to paste and names like it.

    Args:
        seen: the provider that is known to have served it, for the lines to paste.
    """
    found = catalogue.find(model, provider, at_us)
    if found is not None:
        return found
    where = f" at {provider}" if provider else ""
    similar = (*catalogue.similar(model), *catalogue.similar_resources(model))
    hint = f"; names like it: {', '.join(similar)}" if similar else ""
    per = "" if _likely_units(model) == ["requests"] else ", in USD per million tokens"
    pasted = stub(model, provider or seen or catalogue.maker(model))
    raise UnpricedError(
        f"no price for {model}{where} at that time; add it to {paths.user_prices_file()}{per}{hint}:\n{pasted}"
    )


def stub(model: str, provider: str | None, priced_units: Iterable[str] = ()) -> str:
    """The lines that price a model in prices.toml, to paste and fill in; by default of input and output tokens.

    `priced_units` are units of `costmon.shim.units`, such as 'audio_seconds'. A '?' left in prices nothing: the file is
    then refused with the place of it, also for the provider where nobody knows it.
    """
    wanted = [unit for unit in priced_units if unit in units()] or _likely_units(model)
    keys = [unit.removesuffix("_tokens") for unit in wanted]
    rates = [f'{key} = "?"   # USD per {_per(unit)}' for key, unit in zip(keys, wanted, strict=True)]
    return "\n".join(
        (
            "schema = 1                # once, at the top",
            "[[price]]",
            f"provider = {json.dumps(provider or '?', ensure_ascii=False)}",
            f"model = {json.dumps(model, ensure_ascii=False)}",
            'currency = "USD"',
            "[[price.rate]]",
            *rates,
        )
    )


def _likely_units(model: str) -> list[str]:
    """What a model of that name is probably charged by: pictures and films by the call."""
    name = model.lower()
    return ["requests"] if any(word in name for word in _PICTURES) else ["input_tokens", "output_tokens"]


def _per(unit: str) -> str:
    if unit.endswith("_tokens"):
        return "million tokens"
    if unit == "requests":
        return "1,000 calls"
    return "hour" if units()[unit].per == 3600 else f"{units()[unit].per:,}"
