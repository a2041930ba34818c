"""Read the price table that genai-prices publishes (version 2 of its JSON) into the catalogue's own format.

Everything in it is checked: it comes from the network and is later read inside other people's apps. What is wrong
refuses the whole table; what is merely newer than this costmon (a unit, a matching rule) leaves that model as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from costmon.errors import PriceError
from costmon.shim.cards import Entry
from costmon.shim.events import clean
from costmon.shim.units import units

MOST_PRICE = 1_000_000
MAX_PROVIDERS = 500
MAX_FALLBACKS = 20
MAX_MODELS = 50_000
MAX_ROWS = 500
MAX_TEXT = 300
MAX_CLAUSES = 2000
_SIMPLE = re.compile(r"\^?(?:[A-Za-z0-9/_:@ -]|\\[.d/\[\]-]|\[[A-Za-z0-9@:_.-]{1,40}\]|\{[0-9]{1,2}\})*\$?")
_PLACES = Decimal("1e-9")
_PARTS = ("starts_with", "ends_with", "contains", "regex", "equals")
_SUFFIXES = (("_tokens", "_mtok"), ("_characters", "_mchars"), ("_pixels", "_gpixels"), ("_pages", "_kpages"))


class Published(NamedTuple):
    """`providers` as in catalog.json; `skipped`: {(provider, model): why it stays as it was}."""

    providers: dict[str, dict[str, Any]]
    skipped: dict[tuple[str, str], str]


class _Newer(Exception):  # noqa: N818 - no error: something this version does not know yet
    """A model says something this version has no word for."""


def read_published(data: bytes, name: str, patterns: frozenset[str]) -> Published:
    """The table in `data`; `name` is what messages call it.

    Args:
        patterns: regular expressions that are known. A new one could be slow inside an app; unless it is simple, its
            model stays as it was until a costmon comes with it.

    Raises:
        PriceError: it is no such table, or a price in it is none.
    """
    document = _document(data, name)
    reader = _Reader(name, patterns)
    if len(document) > MAX_PROVIDERS:
        reader.fail(f"holds more than {MAX_PROVIDERS} providers")
    providers = {}
    skipped: dict[tuple[str, str], str] = {}
    for raw in document:
        provider = reader.name_of(raw, "a provider")
        if provider in providers:
            reader.fail(f"names the provider {provider} twice")
        providers[provider] = reader.provider(raw, provider, skipped)
    if sum(len(part["models"]) for part in providers.values()) > MAX_MODELS:
        reader.fail(f"holds more than {MAX_MODELS:,} models")
    return Published(providers, skipped)


def patterns_in(catalog: Mapping[str, Any]) -> frozenset[str]:
    """Every regular expression of a catalogue."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("regex"), str):
                found.add(value["regex"])
            for part in value.values():
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    for part in catalog["providers"].values():
        walk(part.get("match"))
        for entry in part["models"]:
            walk(entry["match"])
    return frozenset(found)


def price_keys() -> dict[str, str]:
    """{what genai-prices calls a price: the unit it is for}, such as {"input_mtok": "input_tokens"}."""
    return {_price_key(key): key for key, unit in units().items() if "resource" not in unit.words}


def _price_key(unit: str) -> str:
    for ours, theirs in _SUFFIXES:
        if unit.endswith(ours):
            return unit.removesuffix(ours) + theirs
    return unit.removesuffix("_seconds") + "_hours" if unit.endswith("_seconds") else f"{unit}_kcount"


def _document(data: bytes, name: str) -> list[Any]:
    def refuse(text: str) -> NoReturn:
        raise PriceError(f'{name}: "{text}" is no price; nothing was changed')

    try:
        document = json.loads(data, parse_float=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError):
        page = b"<html" in data[:2000].lower() or b"<!doctype" in data[:2000].lower()
        what = "is a web page" if page else "is cut short or no JSON"
        raise PriceError(f"{name} {what}, not the price table of genai-prices; nothing was changed") from None
    if not isinstance(document, list) or not document:
        raise PriceError(
            f"{name} is not the price table of genai-prices (a list of providers); nothing was changed"
        )
    return document


class _Reader:
    """Reads one table; `fail` raises the sentence that refuses it."""

    def __init__(self, name: str, patterns: frozenset[str]) -> None:
        self._name = name
        self._patterns = patterns
        self._units = price_keys()

    def fail(self, text: str) -> NoReturn:
        raise PriceError(clean(f"{self._name}: {text}; nothing was changed", 600))

    def name_of(self, raw: object, what: str) -> str:
        """The id of a provider or model."""
        found = raw.get("id") if isinstance(raw, dict) else None
        if not isinstance(found, str) or not 0 < len(found) <= MAX_TEXT or not found.isprintable():
            self.fail(f"{what} has no id, or one that is too long or not printable")
        return found

    def provider(self, raw: dict[str, Any], name: str, skipped: dict[tuple[str, str], str]) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self._text(raw.get("name", name), name)}
        fallback = raw.get("fallback_model_providers")
        if fallback:
            if not isinstance(fallback, list) or len(fallback) > MAX_FALLBACKS:
                self.fail(f"{name}: fallback_model_providers is no list of at most {MAX_FALLBACKS}")
            found["fallback"] = [self._text(one, name) for one in fallback]
        if raw.get("model_match") is not None:
            try:
                found["match"] = self._clause(raw["model_match"], name)
            except _Newer:
                pass  # without the rule its models are still found by their provider
        models = raw.get("models")
        if not isinstance(models, list):
            self.fail(f"{name} has no list of models")
        found["models"] = []
        seen = set()
        for model in models:
            id_ = self.name_of(model, f"a model of {name}")
            if id_ in seen:
                self.fail(f"{name} names the model {id_} twice")
            seen.add(id_)
            try:
                found["models"].append(self._entry(model, id_, f"{name} {id_}"))
            except _Newer as newer:
                skipped[name, id_] = str(newer)
                found["models"].append({"id": id_})
        return found

    def _entry(self, raw: dict[str, Any], id_: str, at: str) -> Entry:
        entry: Entry = {"id": id_, "match": self._clause(raw.get("match"), at), "prices": self._rows(raw, at)}
        variants = raw.get("price_variants")
        if variants:
            if not isinstance(variants, list) or len(variants) > MAX_ROWS:
                self.fail(f"{at}: price_variants is no list of at most {MAX_ROWS}")
            entry["variants"] = [self._variant(variant, at) for variant in variants]
        if raw.get("deprecated"):
            entry["deprecated"] = True
        return entry

    def _rows(self, raw: dict[str, Any], at: str) -> list[dict[str, Any]]:
        prices = raw.get("prices")
        if isinstance(prices, dict):
            return [{"rates": self._rates(prices, at)}]
        if not isinstance(prices, list) or not 0 < len(prices) <= MAX_ROWS:
            self.fail(f"{at} has no prices")
        rows = []
        for row in prices:
            if not isinstance(row, dict):
                self.fail(f"{at}: a row of prices is no table")
            rows.append(
                {**self._when(row.get("constraint"), at), "rates": self._rates(row.get("prices"), at)}
            )
        # The first row holds when no other does.
        return [{"rates": rows[0]["rates"]}, *rows[1:]]

    def _variant(self, raw: object, at: str) -> dict[str, Any]:
        when = raw.get("when") if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or not isinstance(when, dict) or not when:
            self.fail(f"{at}: a price variant says not when it holds")
        conditions = {self._text(key, at): self._text(value, at) for key, value in when.items()}
        return {
            "when": conditions,
            **self._when(raw.get("constraint"), at),
            "rates": self._rates(raw.get("prices"), at),
        }

    def _when(self, raw: object, at: str) -> dict[str, Any]:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self.fail(f"{at}: a constraint is no table")
        try:
            if "start_date" in raw:
                return {"from": date.fromisoformat(raw["start_date"]).isoformat()}
            if "start_time" in raw:
                return {"time": [self._clock(raw["start_time"], at), self._clock(raw["end_time"], at)]}
        except (ValueError, TypeError, KeyError):
            self.fail(f"{at}: a constraint has no date or time")
        raise _Newer("it has a condition this version does not know")

    def _clock(self, text: str, at: str) -> str:
        moment = time.fromisoformat(text)
        if moment.utcoffset():
            self.fail(f"{at}: a time of day is not in UTC")
        return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")

    def _rates(self, raw: object, at: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            self.fail(f"{at}: prices is no table")
        found = {}
        for key, value in raw.items():
            if value is None:
                continue
            if key not in self._units:
                raise _Newer(f"it prices {clean(str(key), 60)}, which this version does not know")
            found[self._units[key]] = self._rate(value, f"{at} {key}")
        return found

    def _rate(self, value: object, at: str) -> str | list[Any]:
        if not isinstance(value, dict):
            return self._price(value, at)
        tiers = value.get("tiers")
        if not isinstance(tiers, list) or len(tiers) > MAX_ROWS:
            self.fail(f"{at}: tiers is no list")
        rate: list[Any] = [self._price(value.get("base"), at)]
        for tier in tiers:
            start = tier.get("start") if isinstance(tier, dict) else None
            if not isinstance(start, int) or isinstance(start, bool) or not 0 < start < 10**12:
                self.fail(f"{at}: a tier has no start above zero")
            rate.append([start, self._price(tier.get("price"), at)])
        return rate

    def _price(self, value: object, at: str) -> str:
        """At most 9 decimals: what lies beyond is the dust of a float (0.18000000000000002)."""
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self.fail(f"{at} is no number")
        if not 0 <= value <= MOST_PRICE:
            self.fail(f"{at} is not from 0 to {MOST_PRICE:,} USD")
        text = f"{Decimal(value).quantize(_PLACES):f}"
        return text.rstrip("0").rstrip(".")

    def _text(self, value: object, at: str) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            self.fail(f"{at}: a text is missing, too long or not printable")
        return value

    def _clause(self, raw: object, at: str, depth: int = 0) -> dict[str, Any]:
        """A matching clause; equalities side by side become one {"in": […]}."""
        if not isinstance(raw, dict) or len(raw) != 1 or depth > 5:
            self.fail(f"{at}: its matching rule is none")
        ((kind, value),) = raw.items()
        if kind in ("or", "and"):
            if not isinstance(value, list) or not 0 < len(value) <= MAX_CLAUSES:
                self.fail(f"{at}: its matching rule is none")
            return group(kind, [self._clause(part, at, depth + 1) for part in value])
        if kind not in _PARTS:
            raise _Newer("it has a matching rule this version does not know")
        if kind == "regex":
            if not isinstance(value, str) or (value not in self._patterns and not _is_simple(value)):
                raise _Newer("it is found by a new and intricate regular expression")
            return {"regex": value}
        return {kind: self._text(value, at).lower()}


def _is_simple(pattern: str) -> bool:
    """Whether a new pattern holds only characters, classes and fixed repetitions, so that no text makes it slow."""
    if len(pattern) > MAX_TEXT or not _SIMPLE.fullmatch(pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def group(name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Clauses under "or" or "and", its equalities gathered."""
    same = [part["equals"] for part in parts if "equals" in part]
    if name == "or" and len(same) > 1:
        # Within an "or" the order says nothing.
        parts = [{"in": list(dict.fromkeys(same))}, *(part for part in parts if "equals" not in part)]
    return parts[0] if len(parts) == 1 else {name: parts}
