"""What is wrong with the prices, by what was used: pure functions on values that the caller read from the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from costmon.pricing.lookup.show import Catalogue, stub
from costmon.shim.cards import Card, Entry, find, price
from costmon.shim.prices import MAKERS
from costmon.shim.timestamps import from_iso
from costmon.shim.units import BEFORE, OUTPUT_BYTES, units

OLD_DAYS = 45
USED_DAYS = 90
METER = "meter"
"""The source of a resource's events."""
_NOT_PRICED = frozenset({"total_tokens", "requests", "reasoning_tokens", OUTPUT_BYTES, BEFORE})
_WINDOWS = ("time", "week")


class Use(NamedTuple):
    """What the ledger's days say of one model: calls, those without a cost, those with a part unpriced, and the last
    day (µs UTC)."""

    provider: str
    model: str
    calls: int
    unpriced: int
    partial: int
    last_at: int


class Sample(NamedTuple):
    """One event without a whole cost; `usage` its units and counts, empty when the answer told none."""

    provider: str
    model: str
    source: str
    at_us: int
    tier: str
    usage: Mapping[str, int]
    unpriced: bool


class FileAge(NamedTuple):
    """A price file and the oldest day one of its providers' prices were last checked (None: it does not say)."""

    name: str
    checked: date | None
    ours: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is 'ok', 'note' or 'todo' (something needs doing); `kind` is base, file, left-out, unpriced, partial, gap
    or deprecated. `stub` holds lines for prices.toml without the `schema` line, '' if that is not the cure."""

    state: str
    kind: str
    text: str
    provider: str = ""
    model: str = ""
    calls: int = 0
    units: tuple[str, ...] = ()
    stub: str = ""


def check(
    catalogue: Catalogue,
    files: Iterable[FileAge],
    problems: Iterable[str],
    uses: Iterable[Use],
    samples: Iterable[Sample],
    now_us: int,
) -> list[Finding]:
    """Every finding, the most pressing kind first.

    Args:
        problems: a sentence for each file that was left out.
    """
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
    uses, samples = list(uses), list(samples)
    return [
        *(Finding("todo", "left-out", problem) for problem in problems),
        *(finding for use in uses if use.unpriced for finding in _unpriced(catalogue, use, samples, now_us)),
        *(finding for use in uses if use.partial for finding in _partial(catalogue, use, samples)),
        *_gaps(catalogue, now_us),
        _base(catalogue, today),
        *(_file(file, today) for file in files),
        *_deprecated(catalogue, uses),
    ]


# --- age ----------------------------------------------------------------------------------------------------


def _base(catalogue: Catalogue, today: date) -> Finding:
    if catalogue.checked is None:
        fix = "reinstall costmon"
        return Finding("todo", "base", f"there is no base catalogue, so most models are unpriced; {fix}")
    days = (today - catalogue.checked).days
    text = f"{catalogue.source} {catalogue.version} of {catalogue.checked}, {_days(days)} old"
    if days > OLD_DAYS:
        return Finding("todo", "base", f"{text}: upgrade costmon, or run `costmon prices update`")
    return Finding("ok", "base", text)


def _file(file: FileAge, today: date) -> Finding:
    if file.checked is None:
        return Finding(
            "ok", "file", f"{file.name}: says nothing of when it was checked (`checked = {today}`)"
        )
    days = (today - file.checked).days
    text = f"{file.name}: checked {file.checked}, {_days(days)} ago"
    if days <= OLD_DAYS:
        return Finding("ok", "file", text)
    fix = (
        "upgrade costmon"
        if file.ours
        else f"compare it with the provider's page, then set `checked = {today}`"
    )
    return Finding("note", "file", f"{text}: {fix}")


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


# --- used but unpriced --------------------------------------------------------------------------------------


def _unpriced(catalogue: Catalogue, use: Use, samples: list[Sample], now_us: int) -> Iterator[Finding]:
    mine = [one for one in samples if one.unpriced and (one.provider, one.model) == (use.provider, use.model)]
    tracked = [one for one in mine if one.source != "shim"]
    rest = [one for one in mine if one.source == "shim"]
    # The days hold the true count; events may be gone by now, and are then taken for calls the shim saw.
    if tracked:
        calls = min(len(tracked), use.unpriced) if rest else use.unpriced
        yield _unmetered(use, calls) if tracked[0].source == METER else _unstated(use, calls)
    if rest or not tracked:
        yield _without_price(catalogue, use, rest, use.unpriced - (len(tracked) if rest else 0), now_us)


def _unmetered(use: Use, calls: int) -> Finding:
    text = (
        f"{_calls(calls)} of the resource {use.model} without a price: add [[price]] with "
        f"resource = {json.dumps(use.model, ensure_ascii=False)} to prices.toml"
    )
    return Finding("todo", "unpriced", text, use.provider, use.model, calls)


def _unstated(use: Use, calls: int) -> Finding:
    name = json.dumps(use.provider, ensure_ascii=False)
    text = (
        f"{_calls(calls)} of {use.provider} {use.model} without a cost: state it where the call is tracked, "
        f'@costmon.track({name}, cost_per_call="…") (or cost_per_token, per_minute, cost)'
    )
    return Finding("todo", "unpriced", text, use.provider, use.model, calls)


def _without_price(catalogue: Catalogue, use: Use, samples: list[Sample], calls: int, now_us: int) -> Finding:
    where = f"{_calls(calls)} of {use.provider} {use.model}"
    card = card_now(catalogue, use.provider, use.model, now_us)
    if card is None:
        found = reported_units(samples)
        text = f"{where} without a price"
        pasted = _body(stub(use.model, use.provider, found)) if use.model else ""
        return Finding("todo", "unpriced", text, use.provider, use.model, calls, found, pasted)
    if samples and not any(one.usage for one in samples):
        text = (
            f"{where} answered without telling their usage, so the cost is unknown though the price is not; for streams "
            "of OpenAI's kind ask for it with stream_options = {include_usage: true}"
        )
        return Finding("note", "unpriced", text, use.provider, use.model, calls)
    text = f"{where} had no price then and have one now: `costmon reprice --only-unknown` puts it on them"
    return Finding("todo", "unpriced", text, use.provider, use.model, calls)


def card_now(catalogue: Catalogue, provider: str, model: str, at_us: int, tier: str = "") -> Card | None:
    """The card a call would be priced by; a provider nobody lists (a proxy) serves any maker's models."""
    names = [provider] if provider in catalogue.providers else [provider, *MAKERS]
    context = {"service_tier": tier} if tier else {}
    cards = (catalogue.card(name, model, at_us, context) for name in names)
    return next((card for card in cards if card is not None), None)


def reported_units(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The units a price is needed for, by what the answers told: the whole ones where they were told, and all others
    that are no part of them. `requests` for an API that told nothing but that it was called."""
    samples = list(samples)
    told = {unit for one in samples for unit, count in one.usage.items() if count and unit in units()}
    told -= _NOT_PRICED
    wholes = {unit for unit in told if not any(units()[other].words < units()[unit].words for other in told)}
    order = ("input_tokens", "output_tokens")
    found = sorted(wholes, key=lambda unit: (unit not in order, unit))
    if not found and samples and any(one.usage for one in samples):
        return ("requests",)
    return tuple(found)


# --- partly priced ------------------------------------------------------------------------------------------


def _partial(catalogue: Catalogue, use: Use, samples: list[Sample]) -> Iterator[Finding]:
    mine = [
        one for one in samples if not one.unpriced and (one.provider, one.model) == (use.provider, use.model)
    ]
    missing: dict[str, None] = {}
    odd: dict[str, None] = {}
    for one in mine:
        card = card_now(catalogue, use.provider, use.model, one.at_us, one.tier)
        if card is None:
            continue
        for unit in price(card, one.usage).unpriced_units:
            (odd if unit in card.plan.shape.covered and "=" not in unit else missing)[unit] = None
    where = f"{_calls(use.partial)} of {use.provider} {use.model}"
    name = use.provider, use.model, use.partial
    if missing:
        text = f"{where} with a part unpriced: no price for {', '.join(missing)}"
        card = card_now(catalogue, use.provider, use.model, mine[0].at_us)
        pasted = completed_stub(card, use.provider, use.model, tuple(missing)) if card is not None else ""
        yield Finding("todo", "partial", text, *name, tuple(missing), pasted)
    if odd and not missing:
        text = f"{where} told counts that contradict each other ({', '.join(odd)}); the cost is the least it can be"
        yield Finding("note", "partial", text, *name, tuple(odd))
    if not missing and not odd:
        done = (
            "priced in full by now: `costmon reprice` puts it on them"
            if mine
            else "the detail is gone by now"
        )
        yield Finding("note", "partial", f"{where} with a part unpriced; {done}", *name)


def completed_stub(card: Card, provider: str, model: str, missing: tuple[str, ...]) -> str:
    """`card` as lines for prices.toml with a '?' for what is missing: a user's price replaces the whole card, so the
    rates that are known must be there as well."""
    lines = [
        "[[price]]",
        f"provider = {json.dumps(provider, ensure_ascii=False)}",
        f"model = {json.dumps(model, ensure_ascii=False)}",
        f"currency = {json.dumps(card.currency)}",
        "# It replaces the card there is; prices of other contexts (batch, flex …) must be added too.",
        "[[price.rate]]",
    ]
    lines += [f"{_key(unit)} = {rate['price']}" for unit, rate in card.rates.items()]
    lines += [f'{_key(unit)} = "?"' for unit in missing if "=" not in unit]
    lines += _tiers(card)
    for context in missing:
        key, equals, value = context.partition("=")
        if equals:
            lines += ["[[price.rate]]", f"context = {{ {key} = {json.dumps(value)} }}"]
            lines += [
                f'{_key(unit)} = "?"' for unit in ("input_tokens", "output_tokens") if unit in card.rates
            ]
    return "\n".join(lines)


def _tiers(card: Card) -> list[str]:
    steps: dict[int, list[str]] = {}
    for unit, rate in card.rates.items():
        for above, dearer in rate.get("tiers", ()):
            steps.setdefault(above, []).append(f"{_key(unit)} = {dearer}")
    if not steps:
        return []
    tables = ", ".join(f"{{ above = {above}, {', '.join(rates)} }}" for above, rates in sorted(steps.items()))
    return [f"tiers = [{tables}]"]


def _key(unit: str) -> str:
    return unit.removesuffix("_tokens")


def _body(text: str) -> str:
    return text.partition("\n")[2]


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


# --- gaps and leavers ---------------------------------------------------------------------------------------


def _gaps(catalogue: Catalogue, now_us: int) -> Iterator[Finding]:
    """Times in which a user's price leaves a model to the layers below, or to nobody."""
    for provider in catalogue.providers:
        for layer, _, _, entries in catalogue.layers(provider):
            for entry in entries if layer == 0 else ():
                yield from _gaps_of(catalogue, provider, entry, now_us)


def _gaps_of(catalogue: Catalogue, provider: str, entry: Entry, now_us: int) -> Iterator[Finding]:
    for start, end in gaps(entry, now_us):
        at_us = from_iso(f"{start if 'T' in start else start + 'T00:00:00'}+00:00") or now_us
        model = entry["id"]
        below = None if model == "*" else catalogue.card(provider, model, at_us)
        instead = f"{below.source} prices it" if below is not None else "it is unpriced"
        until = f"until {end}" if end else "on"
        text = f"{entry.get('file', 'prices.toml')}: {provider} {model} has no price from {start} {until} (UTC); {instead}"
        yield Finding("todo", "gap", text, provider, model)


def gaps(entry: Entry, now_us: int) -> list[tuple[str, str]]:
    """[(from, until)] between the dated prices of an entry, and after the last one if that has ended ('' = open)."""
    rows = [row for row in entry.get("prices", ()) if not any(key in row for key in _WINDOWS)]
    spans = sorted((row.get("from", ""), row.get("until", "")) for row in rows)
    found: list[tuple[str, str]] = []
    reached = spans[0][1] if spans else ""
    for start, end in spans[1:]:
        if not reached:
            return found
        if start > reached:
            found.append((reached, start))
        reached = "" if not end else max(reached, end)
    if reached and reached <= datetime.fromtimestamp(now_us // 1_000_000, UTC).isoformat()[:19]:
        found.append((reached, ""))
    return found


def _deprecated(catalogue: Catalogue, uses: list[Use]) -> Iterator[Finding]:
    for use in uses:
        entry = _entry(catalogue, use)
        if entry is not None and entry.get("deprecated"):
            day = datetime.fromtimestamp(use.last_at // 1_000_000, UTC).date()
            text = f"{use.provider} {use.model} is deprecated by its maker; last used {day}"
            yield Finding("note", "deprecated", text, use.provider, use.model, use.calls)


def _entry(catalogue: Catalogue, use: Use) -> dict[str, Any] | None:
    for _, _, _, entries in catalogue.layers(use.provider):
        entry = find(entries, use.model)
        if entry is not None:
            return entry
    return None
