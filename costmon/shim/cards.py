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
instants to the second, half-open; `time` is a daily UTC window ["16:30", "00:30"], `week` a list of [from, until]
in minutes since Monday 00:00 UTC. The last active row of `prices` holds; variants (the first active one that
names a unit) replace single rates. These are the semantics of genai-prices 0.2.3, whose table the base layer is
made from; `week`, aliases and graduated rates are ours.

An alias has no prices of its own: {"id": "prod-chat-*", "match": …, "prices": [], "alias": ["azure", "gpt-4o"]}. A graduated
rate is {"price": "0", "graduated": [[100, "0.09"]]}: above 100 units (of what the rate is per, a decimal text if not
whole; counted from the start of the month) each further unit costs the second price. An entry of a price file names
that `file`, and may say the `source` of its figures and the day they were `checked`.

Usage is inclusive: `input_tokens` contains cache reads and writes, `output_tokens` contains reasoning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from costmon.shim.matching import Entry as Entry
from costmon.shim.matching import find as find
from costmon.shim.matching import matches as matches
from costmon.shim.matching import names_of, odd
from costmon.shim.money import NANO, amount, divide_half_even
from costmon.shim.units import BEFORE, REASONING, Shape, shape_of, units

Rates = dict[str, dict[str, Any]]
Layers = Iterable[tuple[int, str, str, Iterable[Entry]]]
LAYERS = ("user", "builtin", "base")
_hashes: list[Callable[[bytes], Any]] = []
_THURSDAY = 3 * 1440  # 1970-01-01, in minutes since Monday
_WEEK = 7 * 1440
PLAIN_CONTEXTS = frozenset({"", "default", "auto", "standard", "standard_only", "on_demand"})
"""Values of a context that ask for the list price: a provider without a variant for them still prices
them."""


class Moment(NamedTuple):
    """An instant in UTC: `stamp` '2026-11-20T09:30:00', `minute` since Monday 00:00."""

    stamp: str
    minute: int


class Plan(NamedTuple):
    """A card as integers. A step is (unit, count if not reported, parts, rate, ((above, rate), … highest
    first)); rates are nano / `divisor` of one unit."""

    steps: tuple[tuple[str, int, tuple[int, ...], int, tuple[tuple[int, int], ...]], ...]
    divisor: int
    shape: Shape
    free: bool
    graduated: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """(position of the step, ((above, further rate), …)): what each count above a threshold costs beyond the rate."""


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
    rows: Layers,
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
        card = None if entry is None else _sound_card(entry, provider, at_us, context, source, version)
        if card is not None:
            return card
    return None


def find_card(
    layers_of: Callable[[str], Layers], provider: str, model: str, at_us: int, context: Mapping[str, str]
) -> Card | None:
    """The card of `model` at `provider`, under its name or without the prefixes of gateways and clouds (see
    `names_of`), following aliases; `layers_of` gives a provider's rows. None = unknown, also when aliases lead in a
    circle."""
    return _find_card(layers_of, provider, model, at_us, context, ())


def _find_card(
    layers_of: Callable[[str], Layers],
    provider: str,
    model: str,
    at_us: int,
    context: Mapping[str, str],
    seen: tuple[tuple[str, str], ...],
) -> Card | None:
    if (provider, model) in seen:
        return None
    for name, spelling in names_of(provider, model, known=bool(layers_of(provider))):
        for _, source, version, models in layers_of(name):
            entry = find(models, spelling)
            if entry is None:
                continue
            if "alias" in entry:
                aimed = _aim(entry)
                if aimed is None:
                    continue
                return _find_card(layers_of, *aimed, at_us, context, (*seen, (provider, model)))
            card = _sound_card(entry, name, at_us, context, source, version)
            if card is not None:
                return card
    return None


def _aim(entry: Entry) -> tuple[str, str] | None:
    """(provider, model) an alias means, None if it is none."""
    aim = entry["alias"]
    if isinstance(aim, list | tuple) and len(aim) == 2 and all(isinstance(name, str) for name in aim):
        return aim[0], aim[1]
    odd(TypeError())
    return None


def _sound_card(
    entry: Entry, provider: str, at_us: int, context: Mapping[str, str], source: str, version: str
) -> Card | None:
    """`resolve`, and None for an entry that is none: whatever wrote it, calls go on."""
    try:
        return resolve(entry, provider, at_us, context, source, version)
    except Exception as error:
        odd(error)
        return None


def resolve(
    entry: Entry, provider: str, at_us: int, context: Mapping[str, str], source: str, version: str
) -> Card | None:
    """The card of `entry` at `at_us` (µs UTC) for `context` ({"service_tier": "flex"}, {"processing":
    "batch"} …).

    A service tier 'batch', as Anthropic reports it, is processing=batch, and 'speed=fast' is speed=fast.
    None when the entry names no price then.
    """
    moment = moment_of(at_us)
    rates = rates_at(entry, moment)
    if not rates:
        return None
    chosen: tuple[tuple[str, str], ...] = ()
    unpriced: tuple[str, ...] = ()
    if context:
        rates, chosen, unpriced = _vary(entry, moment, rates, _asked(context))
    known = {key: _rate(key, value) for key, value in sorted(rates.items()) if key in units()}
    model, currency = entry["id"], entry.get("currency", "USD")
    if not (isinstance(model, str) and isinstance(currency, str) and len(currency) == 3):
        raise TypeError("an entry of the catalogue has no id, or no currency")
    return make_card(provider, model, currency, known, source, version, chosen, unpriced)


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
    import json

    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    digest = _sha256(canonical.encode())[:12]
    missing = () if plan.free else unpriced
    return Card(provider, model, currency, context, rates, source, version, digest, canonical, missing, plan)


def _sha256(data: bytes) -> str:
    """Hex digits. hashlib loads OpenSSL, which takes as long as all the rest of a first price: not for this alone."""
    if not _hashes:
        _hashes.append(_sha256_maker())
    return str(_hashes[0](data).hexdigest())


def _sha256_maker() -> Callable[[bytes], Any]:
    import sys
    from importlib import import_module

    if "hashlib" not in sys.modules:
        for name in ("_sha2", "_sha256"):  # of Python 3.12 and later, of 3.11
            try:
                found: Callable[[bytes], Any] = import_module(name).sha256
            except ImportError:
                continue
            return found
    import hashlib

    return hashlib.sha256


def price_version(card: Card) -> str:
    """'genai-prices@0.2.3:c964c789d97b': where the price came from, and exactly which card it was."""
    return f"{card.source}@{card.version}:{card.hash}"


def rates_at(entry: Entry, moment: Moment) -> dict[str, Any]:
    """The standard rates that hold at `moment`; the last active row wins. An alias has none."""
    for row in reversed(entry.get("prices", ())):
        if _active(row, moment):
            return dict(row["rates"])
    return {}


def _vary(
    entry: Entry, moment: Moment, rates: dict[str, Any], asked: dict[str, str]
) -> tuple[dict[str, Any], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(rates, the part of the context that has a price, the part that has none)."""
    overrides: dict[str, Any] = {}
    chosen: dict[str, str] = {}
    for variant in entry.get("variants", ()):
        when = variant["when"]
        if _active(variant, moment) and all(asked.get(key) == value for key, value in when.items()):
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


def _active(row: Mapping[str, Any], moment: Moment) -> bool:
    # ISO texts compare as the instants they name: a date is a prefix of, and so before, every second of its
    # day.
    stamp, minute = moment
    start, end = row.get("from"), row.get("until")
    if (start is not None and stamp < start) or (end is not None and stamp >= end):
        return False
    if "week" in row:
        return any(opens <= minute < closes for opens, closes in row["week"])
    if "time" not in row:
        return True
    opens, closes = row["time"]
    now = stamp[11:]
    return bool(opens <= now < closes if opens <= closes else (now >= opens or now < closes))


def moment_of(at_us: int) -> Moment:
    """An instant (µs UTC) as rows are compared with it."""
    seconds = at_us // 1_000_000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return Moment(stamp, (seconds // 60 + _THURSDAY) % _WEEK)


def _rate(key: str, value: str | list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A rate as the catalogue writes it in its canonical form."""
    if isinstance(value, dict):
        steps = [[above, amount(nano_of(price))] for above, price in value["graduated"]]
        return {"per": units()[key].per, "price": amount(nano_of(value["price"])), "graduated": steps}
    base, tiers = (value, []) if isinstance(value, str) else (value[0], value[1:])
    rate: dict[str, Any] = {"per": units()[key].per, "price": amount(nano_of(base))}
    if tiers:
        rate["tiers"] = sorted([above, amount(nano_of(price))] for above, price in tiers)
    return rate


def nano_of(price: str) -> int:
    """A decimal text with at most 9 places as an integer of 1e-9. Raises ValueError for any other text."""
    whole, _, places = price.partition(".")
    if whole.startswith("-"):
        raise ValueError("a price is below zero")
    return int(whole) * NANO + int(f"{places:0<9}"[:9])


# --- price --------------------------------------------------------------------------------------------------


def price(card: Card, usage: Mapping[str, int]) -> Priced:
    """What `usage` costs by `card`: exact integers, rounded once, half to even. Never raises on odd counts.

    Each unit is charged for what its more specific priced units leave of it. Counts that contradict each
    other (more cache reads than input) count as zero remainder and make the result 'partial'.
    """
    steps, divisor, shape, free, graduated = card.plan
    if BEFORE in usage:
        return _further(card, usage)
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
    for position, further in graduated:
        total += sum(max(0, remainders[position] - above) * rate for above, rate in further)
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


def _further(card: Card, usage: Mapping[str, int]) -> Priced:
    """What `usage` costs after `before` units of the same kind in its month: the difference of two sums from zero, so
    that the parts of a month add up to the whole to the nano, however it was cut."""
    before = usage[BEFORE]
    counts = {key: count for key, count in usage.items() if key != BEFORE}
    whole = price(card, {key: before + count for key, count in counts.items()})
    past = price(card, dict.fromkeys(counts, before))
    if whole.nano is None or past.nano is None:
        return whole
    return whole._replace(nano=whole.nano - past.nano)


def _plan(rates: Rates) -> Plan:
    from math import lcm

    shape = shape_of(tuple(sorted(rates)))
    divisor = lcm(*(rate["per"] for rate in rates.values()))
    steps = []
    for key, parts in shape.order:
        scale = divisor // rates[key]["per"]
        tiers = [(above, nano_of(dearer) * scale) for above, dearer in rates[key].get("tiers", ())]
        absent = (
            1 if key == "requests" else 0
        )  # every event is one request; a provider never reports the count
        steps.append((key, absent, parts, nano_of(rates[key]["price"]) * scale, tuple(reversed(tiers))))
    graduated = tuple(
        (position, tuple(_increases(rates[key], divisor)))
        for position, (key, _) in enumerate(shape.order)
        if "graduated" in rates[key]
    )
    free = not graduated and not any(rate or any(dearer for _, dearer in tiers) for *_, rate, tiers in steps)
    return Plan(tuple(steps), divisor, shape, free, graduated)


def _increases(rate: dict[str, Any], divisor: int) -> Iterable[tuple[int, int]]:
    """(count above which, what each further one costs more, nano / divisor); a price may fall again."""
    last = nano_of(rate["price"])
    for above, price in rate["graduated"]:
        yield _count(above, rate["per"]), (nano_of(price) - last) * (divisor // rate["per"])
        last = nano_of(price)


def _count(above: int | str, per: int) -> int:
    """A threshold in single units; a text is a part of what the rate is per."""
    return above * per if isinstance(above, int) else nano_of(above) * per // NANO
