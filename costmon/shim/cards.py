"""Rate cards: find a model in a provider's catalogue, resolve its prices at an instant, price a usage
exactly.

A catalogue is a list of entries in JSON, one list per provider and layer:

    {"id": "o3", "match": {"in": ["o3", "o3-2025-04-16"]},
     "prices": [{"rates": {"input_tokens": "10", "output_tokens": "40"}},
                {"from": "2025-06-10", "rates": {"input_tokens": "2", "output_tokens": "8"}}],
     "variants": [{"when": {"service_tier": "flex"}, "from": "2026-10-12", "rates": {"input_tokens": "1"}}],
     "deprecated": true, "currency": "KRW"}

A clause is {"equals" | "starts_with" | "ends_with" | "contains" | "regex": text}, {"in": [texts]} or {"or" |
"and": [clauses]}; its texts are lower case. A rate is a decimal text in `currency` (default USD) for the
unit's usual amount (see `units`: a million tokens, a thousand searches, an hour), or ["2.5", [272000, "5"]]:
above 272,000 input tokens in all, every token costs the second price. `from` and `until` are UTC dates or
instants to the second, half-open; `time` is a daily UTC window ["16:30", "00:30"]. The last active row of
`prices` holds; variants (the first active one that names a unit) replace single rates. These are the
semantics of genai-prices 0.2.3, whose table the base layer is made from.

Usage is inclusive: `input_tokens` contains cache reads and writes, `output_tokens` contains reasoning.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from costmon.shim.matching import Entry as Entry
from costmon.shim.matching import find as find
from costmon.shim.matching import matches as matches
from costmon.shim.money import NANO, amount, divide_half_even
from costmon.shim.units import REASONING, Shape, shape_of, units

Rates = dict[str, dict[str, Any]]
LAYERS = ("user", "builtin", "base")
PLAIN_CONTEXTS = frozenset({"", "default", "auto", "standard", "standard_only", "on_demand"})
"""Values of a context that ask for the list price: a provider without a variant for them still prices
them."""
_NOT_TEXT = (
    "audio",
    "image",
    "realtime",
    "embed",
    "tts",
    "transcribe",
    "speech",
    "voice",
    "video",
    "rerank",
    "ocr",
)


class Plan(NamedTuple):
    """A card as integers. A step is (unit, count if not reported, parts, rate, ((above, rate), … highest
    first)); rates are nano / `divisor` of one unit."""

    steps: tuple[tuple[str, int, tuple[int, ...], int, tuple[tuple[int, int], ...]], ...]
    divisor: int
    shape: Shape
    free: bool


class Card(NamedTuple):
    """The prices of one model at one instant and in one context.

    `rates` maps a unit to {"per": amount, "price": decimal text, "tiers"?: [[above, price], …]}; `context`
    holds what selected a variant, `unpriced` what was asked for and has no price ('service_tier=flex').
    `hash` is of `canonical` (the JSON of provider, model, currency, context and rates), so that 2.5 and 2.50
    are one card.
    """

    provider: str
    model: str
    currency: str
    context: tuple[tuple[str, str], ...]
    rates: Rates
    source: str
    version: str
    hash: str
    canonical: str
    unpriced: tuple[str, ...]
    plan: Plan


class Priced(NamedTuple):
    """`nano` of the card's currency; `status` 'priced', 'free' or 'partial' (something in `unpriced_units`
    has no price or contradicts the rest; `nano` is the part that is known, None if nothing is)."""

    nano: int | None
    status: str
    unpriced_units: tuple[str, ...]


# --- resolve ------------------------------------------------------------------------------------------------


def lookup(
    rows: Iterable[tuple[int, str, str, list[Entry]]],
    provider: str,
    model: str,
    at_us: int,
    context: Mapping[str, str],
) -> Card | None:
    """The card of the first layer that prices `model` at `at_us`; `rows` are (layer, source, version, models)
    sorted by layer. An entry whose dates leave `at_us` out passes the question on to the next layer. None =
    unknown."""
    for _, source, version, models in rows:
        entry = find(models, model)
        card = None if entry is None else resolve(entry, provider, at_us, context, source, version)
        if card is not None:
            return card
    return None


def resolve(
    entry: Entry, provider: str, at_us: int, context: Mapping[str, str], source: str, version: str
) -> Card | None:
    """The card of `entry` at `at_us` (µs UTC) for `context` ({"service_tier": "flex"}, {"processing":
    "batch"} …).

    A service tier 'batch', as Anthropic reports it, is processing=batch, and 'speed=fast' is speed=fast.
    None when the entry names no price then.
    """
    stamp = _stamp(at_us)
    rates = rates_at(entry, stamp)
    if not rates:
        return None
    chosen: tuple[tuple[str, str], ...] = ()
    unpriced: tuple[str, ...] = ()
    if context:
        rates, chosen, unpriced = _vary(entry, stamp, rates, _asked(context))
    known = {key: _rate(key, value) for key, value in sorted(rates.items()) if key in units()}
    return make_card(
        provider, entry["id"], entry.get("currency", "USD"), known, source, version, chosen, unpriced
    )


def make_card(
    provider: str,
    model: str,
    currency: str,
    rates: Rates,
    source: str,
    version: str,
    context: tuple[tuple[str, str], ...] = (),
    unpriced: tuple[str, ...] = (),
) -> Card | None:
    """A card from canonical rates; None without any rate."""
    if not rates:
        return None
    plan = _plan(rates)
    facts = {
        "provider": provider,
        "model": model,
        "currency": currency,
        "context": dict(context),
        "rates": rates,
    }
    import hashlib
    import json

    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    missing = () if plan.free else unpriced
    return Card(provider, model, currency, context, rates, source, version, digest, canonical, missing, plan)


def price_version(card: Card) -> str:
    """'genai-prices@0.2.3:c964c789d97b': where the price came from, and exactly which card it was."""
    return f"{card.source}@{card.version}:{card.hash}"


def rates_at(entry: Entry, stamp: str) -> dict[str, Any]:
    """The standard rates that hold at `stamp` ('2026-11-20T09:30:00', UTC); the last active row wins."""
    for row in reversed(entry["prices"]):
        if _active(row, stamp):
            return dict(row["rates"])
    return {}


def _vary(
    entry: Entry, stamp: str, rates: dict[str, Any], asked: dict[str, str]
) -> tuple[dict[str, Any], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(rates, the part of the context that has a price, the part that has none)."""
    overrides: dict[str, Any] = {}
    chosen: dict[str, str] = {}
    for variant in entry.get("variants", ()):
        when = variant["when"]
        if _active(variant, stamp) and all(asked.get(key) == value for key, value in when.items()):
            chosen.update({key: value for key, value in when.items() if value not in PLAIN_CONTEXTS})
            overrides = {**variant["rates"], **overrides}
    missing = [
        f"{key}={value}"
        for key, value in sorted(asked.items())
        if key not in chosen and value not in PLAIN_CONTEXTS
    ]
    return {**rates, **overrides}, tuple(sorted(chosen.items())), tuple(missing)


def _asked(context: Mapping[str, str]) -> dict[str, str]:
    asked = dict(context)
    tier = asked.get("service_tier", "")
    if tier == "batch":
        del asked["service_tier"]
        asked["processing"] = "batch"
    elif tier.startswith("speed="):  # Anthropic's fast mode
        del asked["service_tier"]
        asked["speed"] = tier.removeprefix("speed=")
    return asked


def _active(row: Mapping[str, Any], stamp: str) -> bool:
    # ISO texts compare as the instants they name: a date is a prefix of, and so before, every second of its
    # day.
    start, end, window = row.get("from"), row.get("until"), row.get("time")
    if (start is not None and stamp < start) or (end is not None and stamp >= end):
        return False
    if window is None:
        return True
    opens, closes = window
    now = stamp[11:]
    return bool(opens <= now < closes if opens <= closes else (now >= opens or now < closes))


def _stamp(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // 1_000_000))


def _rate(key: str, value: str | list[Any]) -> dict[str, Any]:
    """A rate as the catalogue writes it in its canonical form."""
    base, tiers = (value, []) if isinstance(value, str) else (value[0], value[1:])
    rate: dict[str, Any] = {"per": units()[key].per, "price": amount(_nano(base))}
    if tiers:
        rate["tiers"] = sorted([above, amount(_nano(price))] for above, price in tiers)
    return rate


def _nano(price: str) -> int:
    """A decimal text with at most 9 places as an integer of 1e-9."""
    whole, _, places = price.partition(".")
    return int(whole) * NANO + int(f"{places:0<9}"[:9])


# --- price --------------------------------------------------------------------------------------------------


def price(card: Card, usage: Mapping[str, int]) -> Priced:
    """What `usage` costs by `card`: exact integers, rounded once, half to even. Never raises on odd counts.

    Each unit is charged for what its more specific priced units leave of it. Counts that contradict each
    other (more cache reads than input) count as zero remainder and make the result 'partial'.
    """
    steps, divisor, shape, free = card.plan
    if "reasoning_tokens" in usage:
        usage = {REASONING: usage["reasoning_tokens"], **usage}
    covered, missing, odd = shape.covered, [], []
    for key, count in usage.items():
        if count < 0:
            odd.append(key)
        elif count and key not in covered:
            missing.append(key)
    remainders: list[int] = []
    total, known = 0, False
    context_size = usage.get("input_tokens", 0)
    for key, absent, parts, rate, tiers in steps:
        rest = usage.get(key, absent)
        for part in parts:
            rest -= remainders[part]
        if rest < 0:
            odd.append(key)
            rest = 0
        remainders.append(rest)
        if rest:
            known = True
            for above, dearer in tiers:
                if context_size > above:
                    rate = dearer
                    break
            total += rest * rate
    if shape.joins:
        odd.extend(
            join
            for join, one, other in shape.joins
            if join not in usage and usage.get(one) and usage.get(other)
        )
    nano = divide_half_even(total, divisor)
    if missing or odd or card.unpriced:
        gaps = tuple(dict.fromkeys((*missing, *odd, *card.unpriced)))
        return Priced(None if missing and not known else nano, "partial", gaps)
    return Priced(nano, "free" if free else "priced", ())


def _plan(rates: Rates) -> Plan:
    from math import lcm

    shape = shape_of(tuple(sorted(rates)))
    divisor = lcm(*(rate["per"] for rate in rates.values()))
    steps = []
    for key, parts in shape.order:
        scale = divisor // rates[key]["per"]
        tiers = [(above, _nano(dearer) * scale) for above, dearer in rates[key].get("tiers", ())]
        absent = (
            1 if key == "requests" else 0
        )  # every event is one request; a provider never reports the count
        steps.append((key, absent, parts, _nano(rates[key]["price"]) * scale, tuple(reversed(tiers))))
    free = not any(rate or any(dearer for _, dearer in tiers) for *_, rate, tiers in steps)
    return Plan(tuple(steps), divisor, shape, free)


# --- the catalogue as a whole -------------------------------------------------------------------------------


def dearest(models: Iterable[Entry], provider: str, at_us: int, source: str, version: str) -> Card | None:
    """The dearest current text model: what enforcement assumes of a model it has no price for.

    By the list price of one input plus one output token (below any tier). Text: both are priced, and the id
    names no audio, image, embedding or the like. Current: not marked deprecated; and where a quarter of the
    candidates have variants (the base keeps batch and tier prices only of models on the maker's present price
    list), one that does.
    """
    stamp = _stamp(at_us)
    found = [(_token_sum(rates_at(entry, stamp)), entry) for entry in models if _is_text(entry)]
    priced = [(cost, entry) for cost, entry in found if cost]
    listed = [(cost, entry) for cost, entry in priced if "variants" in entry]
    chosen = listed if 4 * len(listed) >= len(priced) else priced
    if not chosen:
        return None
    _, entry = max(chosen, key=lambda item: (item[0], item[1]["id"]))
    return resolve(entry, provider, at_us, {}, source, version)


def _is_text(entry: Entry) -> bool:
    return not entry.get("deprecated") and not any(word in entry["id"].lower() for word in _NOT_TEXT)


def _token_sum(rates: Mapping[str, Any]) -> int:
    """Nano of a million input and a million output tokens; 0 unless both have a price."""
    pair = [rates.get("input_tokens"), rates.get("output_tokens")]
    nanos = [_nano(rate if isinstance(rate, str) else rate[0]) for rate in pair if rate]
    return sum(nanos) if len(nanos) == 2 and all(nanos) else 0


def models_of(catalog: Mapping[str, Any], provider: str) -> list[Entry]:
    """A provider's own models, then those of the providers it falls back to (one step, list prices only: a
    fallback never offers the maker's variants, as in genai-prices)."""
    providers = catalog["providers"]
    models: list[Entry] = list(providers[provider]["models"])
    for other in providers[provider].get("fallback", ()):
        for entry in providers.get(other, {}).get("models", ()):
            models.append({key: value for key, value in entry.items() if key != "variants"})
    return models


def read_catalog(path: str) -> dict[str, Any]:
    """catalog.json. Raises OSError, or ValueError for anything that is not a catalogue of schema 1."""
    import json

    with open(path, "rb") as file:
        catalog = json.loads(file.read())
    if (
        not isinstance(catalog, dict)
        or catalog.get("schema") != 1
        or not isinstance(catalog.get("providers"), dict)
    ):
        raise ValueError("not a costmon price catalogue of schema 1")
    return catalog


def seed_rows(path: str) -> list[tuple[str, int, str, str, str]]:
    """catalog.json as rows (provider, layer, source, version, models as JSON) of the ledger's table
    `catalog`."""
    catalog = read_catalog(path)
    builtin = [
        (provider, 1, part["source"], part["version"], compact_json(part["models"]))
        for provider, part in catalog.get("builtin", {}).items()
    ]
    return base_rows(catalog) + builtin


def base_rows(catalog: Mapping[str, Any]) -> list[tuple[str, int, str, str, str]]:
    """The base layer of `seed_rows`."""
    source, version = str(catalog["source"]), str(catalog["version"])
    return [
        (name, 2, source, version, compact_json(models_of(catalog, name))) for name in catalog["providers"]
    ]


def compact_json(value: object) -> str:
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
