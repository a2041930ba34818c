"""What costs without a call: `[resource.NAME]` tables of servers, storage, traffic and subscriptions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from costmon.config.money import parse_money
from costmon.config.scopes import NAME, checked
from costmon.config.source import Section, spell
from costmon.config.values import MONTHS, RESOURCE_PERS, Budget, ExchangeRate, Resource
from costmon.shim.money import Money

MAX_RESOURCES = 100
_MOST = 10**12
_GB, _GIB = 10**9, 2**30
_KINDS = tuple(RESOURCE_PERS)
_PRICE_KEYS = ("per", "free", "tiers", "increment_s", "month")
_KEYS = (
    *("kind", "provider", "app", "price", "price_of", *_PRICE_KEYS),
    *("always_on", "since", "until", "measure", "count", "gb", "gib"),
)
_MEASURES = {
    "time": ('"uptime"', '"gpu"'),
    "storage": ('"disk:/path"', '"folder:/path"'),
    "transfer": ('"network"', '"network:eth0"'),
}


def read_resources(
    section: Section, rates: Iterable[ExchangeRate], budgets: Iterable[Budget]
) -> tuple[Resource, ...]:
    """Every `[resource.NAME]`. Raises ConfigError."""
    for name in list(section.data)[MAX_RESOURCES:]:
        section.fail(name, f"is one resource too many; {MAX_RESOURCES} at most are kept, remove some")
    found = []
    for name in section.data:
        resource = _resource(section, name)
        _require_rates(section.section(name), resource, tuple(rates), budgets)
        found.append(resource)
    return tuple(found)


def resources_to_json(resources: Iterable[Resource]) -> str:
    """Resources as the ledger keeps them: {name: fields}."""
    table = {resource.name: asdict(resource) for resource in resources}
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def resource_from_fields(fields: dict[str, Any]) -> Resource:
    """One of them back."""
    return Resource(**{**fields, "tiers": tuple((above, nano) for above, nano in fields["tiers"])})


def _resource(parent: Section, name: str) -> Resource:
    if not isinstance(parent.data[name], dict):
        written = spell(parent.data[name])
        parent.fail(name, f"must be a table with a name, written [resource.gpu-box], not {written}")
    section = parent.section(name)
    if not NAME.fullmatch(name):
        section.fail(None, "is no name for a resource; use 1 to 60 of A-Z a-z 0-9, space, dot, - and _")
    section.only(*_KEYS)
    if "kind" not in section.data:
        section.fail(None, 'has no kind; add a line such as kind = "time" (time, storage, transfer or flat)')
    kind = section.choice("kind", "", _KINDS)
    follows, target = _follows(section, kind)
    _only_for(section, kind, "count", "transfer")
    return Resource(
        name=name,
        kind=kind,
        follows=follows,
        provider=section.text("provider", "own", '"hetzner"').lower(),
        app=section.text("app", "resources", '"trader"'),
        target=target,
        count=section.choice("count", "sent", ("sent", "received", "both")),
        held=_held(section),
        since=_instant(section, "since"),
        until=_until(section),
        **_priced(section, kind),
    )


# --- what moves it ------------------------------------------------------------------------------------------


def _follows(section: Section, kind: str) -> tuple[str, str]:
    """(what its amount follows, the path or interface)."""
    _only_for(section, kind, "always_on", "time")
    for key in ("gb", "gib"):
        _only_for(section, kind, key, "storage", "transfer")
    announced = [key for key in ("always_on", "gb", "gib", "measure") if _given(section, key)]
    if len(announced) > 1:
        section.fail(announced[1], f"cannot stand beside {announced[0]}; keep one of the two")
    if "measure" in section.data:
        for key in ("since", "until"):
            if key in section.data:
                section.fail(
                    key, "is for what is announced; what is measured counts from when costmon sees it"
                )
        return _measure(section, kind)
    if kind == "flat" or announced:
        return "clock", ""
    if kind == "time":
        for key in ("since", "until"):
            if key in section.data:
                section.fail(
                    key, "needs always_on = true; without it, costmon meter start tells when it runs"
                )
        return "runs", ""
    usual = _MEASURES[kind][0]
    return section.fail(None, f"says not how much it is; add gb = 50 or measure = {usual}")


def _given(section: Section, key: str) -> bool:
    return section.flag(key, False) if key == "always_on" else key in section.data


def _measure(section: Section, kind: str) -> tuple[str, str]:
    value = section.text("measure", "", '"uptime"')
    if kind not in _MEASURES:
        section.fail("measure", f"is for kind time, storage or transfer, not {kind}; remove it")
    what, _, target = value.partition(":")
    known = {choice.strip('"').partition(":")[0] for choice in _MEASURES[kind]}
    wants_path = kind == "storage"
    if what not in known or (wants_path and not target.startswith(("/", "~"))) or (kind == "time" and target):
        choices = " or ".join(_MEASURES[kind])
        section.fail("measure", f"must be {choices} for kind {kind}, not {spell(value)}")
    return what, target


def _held(section: Section) -> int:
    """Bytes announced: stored, or sent in each month."""
    key = "gib" if "gib" in section.data else "gb"
    if key not in section.data:
        return 0
    amount = section.number(key, Decimal(0), Decimal(0), Decimal(1_000_000_000), "50")
    return int(amount * (_GIB if key == "gib" else _GB))


def _instant(section: Section, key: str) -> str:
    value = section.data.get(key)
    if value is None:
        return ""
    example = "2026-11-01 or 2026-11-01T09:00:00+09:00"
    if not isinstance(value, date) or not 1970 <= value.year <= 2200:
        section.fail(key, f"must be a day or time without quotes, such as {example}, not {spell(value)}")
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        section.fail(key, f"has no time zone; write it like {example}")
    return value.astimezone(UTC).replace(microsecond=0).isoformat()


def _until(section: Section) -> str:
    since, until = section.data.get("since"), section.data.get("until")
    same = type(since) is type(until) and isinstance(until, date)
    text = _instant(section, "until")
    if same and since is not None and until is not None and until <= since:
        section.fail("until", "is not after since; it is the first day or instant that is no longer paid")
    return text


# --- what it costs ------------------------------------------------------------------------------------------


def _priced(section: Section, kind: str) -> dict[str, Any]:
    if "price_of" in section.data:
        for key in ("price", *_PRICE_KEYS):
            if key in section.data:
                section.fail(
                    key, "cannot stand beside price_of, which names a price with all of this; keep one"
                )
        return {"price_of": section.text("price_of", "", '"aws-ec2-egress"')}
    if "price" not in section.data:
        section.fail(
            None, f'has no price; add a line such as price = "2450 KRW" with per = "{RESOURCE_PERS[kind][0]}"'
        )
    _only_for(section, kind, "increment_s", "time")
    money = _money(section, "price")
    free = section.whole("free", 0, 0, _MOST)
    return {
        "price": money.nano,
        "currency": money.currency,
        "per": _per(section, kind),
        "free": free,
        "tiers": _tiers(section, money.currency, free),
        "increment_s": section.whole("increment_s", 1, 1, 31 * 86_400),
        "month": section.choice("month", "730h" if kind == "storage" else "calendar", MONTHS),
    }


def _per(section: Section, kind: str) -> str:
    choices = RESOURCE_PERS[kind]
    if "per" not in section.data:
        section.fail(None, f'has no per; add a line such as per = "{choices[0]}"')
    value = section.data["per"]
    if value not in choices:
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        section.fail("per", f"must be {allowed} for kind {kind}, not {spell(value)}")
    return str(value)


def _money(section: Section, key: str) -> Money:
    value = section.data[key]
    if not isinstance(value, str):
        section.fail(key, f'must be a text with its currency, such as "2450 KRW", not {spell(value)}')
    money: Money = checked(section, key, parse_money, value)
    return money


def _tiers(section: Section, currency: str, free: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    last = free
    for tier in section.sections("tiers"):
        tier.only("above", "price")
        for key in ("above", "price"):
            if key not in tier.data:
                tier.fail(None, f'has no {key}; write {{ above = 10240, price = "0.085 {currency}" }}')
        above = tier.whole("above", 1, 1, _MOST)
        if above <= last:
            tier.fail("above", f"must be more than {last}; tiers rise, and lie above what is free")
        money = _money(tier, "price")
        if money.currency != currency:
            tier.fail("price", f"is in {money.currency}, the resource in {currency}; write one currency")
        last = above
        found.append((above, money.nano))
    return tuple(found)


def _only_for(section: Section, kind: str, key: str, *kinds: str) -> None:
    if key in section.data and kind not in kinds:
        section.fail(key, f"is for kind {' or '.join(kinds)}, not {kind}; remove it")


def _require_rates(
    section: Section, resource: Resource, rates: tuple[ExchangeRate, ...], budgets: Iterable[Budget]
) -> None:
    """A budget that counts the resource must be able to convert its price."""
    pairs = {frozenset((rate.base, rate.quote)) for rate in rates}
    labels = {"provider": resource.provider, "model": resource.name, "app": resource.app}
    for budget in budgets:
        quote = budget.amount.currency
        counts = budget.scope_key == "all" or labels.get(budget.scope_key) == budget.scope_value
        if counts and resource.currency and not _reachable(resource.currency, quote, pairs):
            section.fail(
                "price",
                f'is in {resource.currency}, but budget "{budget.name}" is in {quote} and no rate leads there; add a '
                f'[[currency.rate]] table with base = "USD", quote = "{resource.currency}", rate and date',
            )


def _reachable(base: str, quote: str, pairs: set[frozenset[str]]) -> bool:
    def pair(one: str, other: str) -> bool:
        return one == other or frozenset((one, other)) in pairs

    return pair(base, quote) or (pair(base, "USD") and pair("USD", quote))
