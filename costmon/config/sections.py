"""From the file's tables to a Config: one function per table, each naming the key it refuses."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType

from costmon.config.money import EXAMPLE, parse_money, shorten
from costmon.config.resources import read_resources
from costmon.config.retention import read_retention
from costmon.config.rules import read_breaker, read_rate_limits, read_repeat, read_retry_loop
from costmon.config.schedules import read_jobs, read_logs, read_schedules
from costmon.config.scopes import NAME, checked, parse_scope
from costmon.config.source import Section, is_whole, spell
from costmon.config.sources import read_sources, read_unlogged
from costmon.config.values import (
    DEFAULT_LEVELS,
    PERIODS,
    Budget,
    Config,
    ExchangeRate,
    Host,
    Limits,
    Notify,
    Tui,
    Unlogged,
)
from costmon.config.zones import is_zone, machine_zone, similar_zones
from costmon.shim.money import Money, Rate

MAX_BUDGETS = 100
MAX_LEVELS = 20
_THEME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_PROVIDER = re.compile(r"[a-z0-9._-]{1,60}")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,250})|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
FETCHED = frozenset(
    (
        *(
            "AUD",
            "BRL",
            "CAD",
            "CHF",
            "CNY",
            "CZK",
            "DKK",
            "EUR",
            "GBP",
            "HKD",
            "HUF",
            "IDR",
            "ILS",
            "INR",
            "ISK",
        ),
        *("JPY", "KRW", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "ZAR"),
    )
)
"""What the European Central Bank publishes beside the dollar."""
_TABLES = (
    *("time_zone", "currency", "budget", "rate_limit", "breaker", "repeat", "retry_loop"),
    *(
        "resource",
        "source",
        "unlogged",
        "jobs",
        "schedules",
        "log",
        "hosts",
        "limits",
        "notify",
        "tui",
        "retention",
    ),
)


def read_config(top: Section, content_hash: str) -> Config:
    """The whole document. Raises ConfigError."""
    top.only(*_TABLES)
    zone = _zone(top, machine_zone())
    currency = top.section("currency")
    currency.only("display", "rate", "fetch")
    fetch = currency.choice("fetch", "", ("ecb",)) if "fetch" in currency.data else ""
    rates = tuple(_rate(section) for section in currency.sections("rate"))
    _refuse_repeated_rates(currency, rates)
    known = (*rates, *_promised(fetch))
    budgets = _budgets(top.section("budget"), zone, known)
    return Config(
        path=top.source.path,
        content_hash=content_hash,
        time_zone=zone,
        display_currency=_display(currency, known),
        rates=rates,
        fetch_rates=fetch,
        budgets=budgets,
        resources=read_resources(top.section("resource"), known, budgets),
        sources=read_sources(top.section("source")),
        jobs=read_jobs(top.section("jobs"), zone),
        schedules=read_schedules(top.section("schedules")),
        logs=read_logs(top.section("log")),
        unlogged=_unlogged(top.section("unlogged"), known),
        rate_limits=read_rate_limits(top.section("rate_limit")),
        breaker=read_breaker(top),
        repeat=read_repeat(top),
        retry_loop=read_retry_loop(top),
        hosts=_hosts(top.section("hosts")),
        limits=_limits(top.section("limits")),
        notify=_notify(top.section("notify")),
        tui=_tui(top.section("tui")),
        retention=read_retention(top),
    )


def check_levels(levels: object) -> tuple[int, ...]:
    """Alert levels in percent. Raises ValueError with half a sentence, as `parse_money` does."""
    if not isinstance(levels, list) or not all(is_whole(level) for level in levels):
        raise ValueError(
            f"must be a list of whole percentages, such as [70, 80, 90, 95, 100], not {spell(levels)}"
        )
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"may have {MAX_LEVELS} levels at most, not {len(levels)}")
    outside = next((level for level in levels if not 1 <= level <= 1000), None)
    if outside is not None:
        raise ValueError(f"must hold percentages from 1 to 1000, not {spell(outside)}")
    if any(low >= high for low, high in itertools.pairwise(levels)):
        raise ValueError(f"must rise from level to level; write {sorted(set(levels))}")
    return tuple(levels)


def convertible(currency: str, rates: Iterable[ExchangeRate]) -> bool:
    """Whether dollars can be turned into `currency` with these rates, in either direction."""
    return currency == "USD" or any({rate.base, rate.quote} == {"USD", currency} for rate in rates)


def _zone(section: Section, default: str) -> str:
    name = section.text("time_zone", default, '"Asia/Seoul"')
    if name == "local":
        return machine_zone()
    if not is_zone(name):
        similar = " or ".join(f'"{zone}"' for zone in similar_zones(name))
        hint = f"did you mean {similar}?" if similar else 'write a name such as "Asia/Seoul", or "local"'
        section.fail("time_zone", f"is no known time zone: {shorten(name)}; {hint}")
    return name


def _currency(section: Section, key: str, default: str) -> str:
    code = section.text(key, default, '"USD"')
    if not re.fullmatch("[A-Za-z]{3}", code):
        section.fail(key, f'must be a currency code of three letters, such as "USD", not {shorten(code)}')
    return code.upper()


def _display(section: Section, rates: tuple[ExchangeRate, ...]) -> str:
    code = _currency(section, "display", "USD")
    _require_rate(section, "display", code, rates)
    return code


def _unlogged(section: Section, rates: tuple[ExchangeRate, ...]) -> Unlogged:
    found = read_unlogged(section)
    if found.alert is not None and "alert" in section.data:
        _require_rate(section, "alert", found.alert.currency, rates)
    return found


def _require_rate(section: Section, key: str, currency: str, rates: tuple[ExchangeRate, ...]) -> None:
    if not convertible(currency, rates):
        section.fail(
            key,
            f"is in {currency}, but no exchange rate between USD and {currency} is on file; add a "
            f'[[currency.rate]] table with the lines base = "USD", quote = "{currency}", '
            f"rate = <{currency} for 1 USD>, "
            f"date = <its day, such as 2026-11-20>"
            + ('; or add fetch = "ecb" under [currency]' if currency in FETCHED else ""),
        )


def _promised(fetch: str) -> tuple[ExchangeRate, ...]:
    """Stand-ins for rates that are fetched: what they are is not known here, and a currency that has none yet is refused
    where budgets are compiled."""
    day = date(1970, 1, 1)
    return tuple(ExchangeRate("USD", code, Rate(1, 1), day) for code in sorted(FETCHED)) if fetch else ()


def _rate(section: Section) -> ExchangeRate:
    section.only("base", "quote", "rate", "date", "source")
    for key in ("base", "quote", "rate", "date"):
        if key not in section.data:
            section.fail(None, f"has no {key}; it needs base, quote, rate and date")
    base, quote = _currency(section, "base", ""), _currency(section, "quote", "")
    if base == quote:
        section.fail("quote", f"must be another currency than base, not {base} again")
    billion = Decimal(1_000_000_000)
    rate = section.number("rate", Decimal(0), 1 / billion, billion, "1385.2")
    numerator, denominator = rate.as_integer_ratio()
    source = section.text("source", "not named", '"the central bank"')
    return ExchangeRate(base, quote, Rate(numerator, denominator), _day(section), source)


def _day(section: Section) -> date:
    value = section.data["date"]
    if not isinstance(value, date) or isinstance(value, datetime) or not 1970 <= value.year <= 2200:
        section.fail("date", f"must be a day without quotes, such as 2026-11-20, not {spell(value)}")
    return value


def _refuse_repeated_rates(currency: Section, rates: tuple[ExchangeRate, ...]) -> None:
    seen = set()
    for index, rate in enumerate(rates):
        key = (rate.base, rate.quote, rate.day)
        if key in seen:
            currency.source.fail(
                ("currency", "rate", index), f"repeats {rate.base} to {rate.quote} of {rate.day}; keep one"
            )
        seen.add(key)


def _budgets(section: Section, zone: str, rates: tuple[ExchangeRate, ...]) -> tuple[Budget, ...]:
    if len(section.data) > MAX_BUDGETS:
        section.fail(None, f"holds {len(section.data)} budgets, {MAX_BUDGETS} at most are kept; remove some")
    return tuple(_budget(section, name, zone, rates) for name in section.data)


def _budget(parent: Section, name: str, zone: str, rates: tuple[ExchangeRate, ...]) -> Budget:
    if not isinstance(parent.data[name], dict):
        parent.fail(
            name, f"must be a table with a name, written [budget.total], not {spell(parent.data[name])}"
        )
    section = parent.section(name)
    if not NAME.fullmatch(name):
        section.fail(
            None,
            "is no name for a budget; use 1 to 60 of A-Z a-z 0-9, space, dot, - and _",
        )
    section.only(
        "amount", "period", "time_zone", "scope", "levels", "at_95", "at_100", "mode", "count_unlogged"
    )
    amount = _amount(section, rates)
    scope = section.text("scope", "all", '"app=trader"')
    scope_key, scope_value = checked(section, "scope", parse_scope, scope)
    return Budget(
        name=name,
        amount=amount,
        period=section.choice("period", "month", PERIODS),
        time_zone=_zone(section, zone),
        scope_key=scope_key,
        scope_value=scope_value,
        levels=checked(section, "levels", check_levels, section.data.get("levels", list(DEFAULT_LEVELS))),
        at_95=section.choice("at_95", "block-nonessential", ("block-nonessential", "warn")),
        at_100=section.choice("at_100", "block", ("block", "warn")),
        mode=section.choice("mode", "default", ("default", "strict")),
        count_unlogged=_counts_unlogged(section, scope_key),
    )


def _counts_unlogged(section: Section, scope_key: str) -> bool:
    wanted = section.flag("count_unlogged", False)
    if wanted and scope_key not in ("all", "provider"):
        section.fail(
            "count_unlogged",
            f"is for a budget over everything or over one provider; no provider says which {scope_key} spent it",
        )
    if wanted and section.data.get("period", "month") == "day":
        section.fail(
            "count_unlogged",
            'is for weeks and months: a provider\'s day counts once it is over; write period = "month"',
        )
    return wanted


def _amount(section: Section, rates: tuple[ExchangeRate, ...]) -> Money:
    if "amount" not in section.data:
        section.fail(None, 'has no amount; add a line such as amount = "10 USD"')
    value = section.data["amount"]
    if not isinstance(value, str):
        section.fail("amount", f"must be a text with its currency, {EXAMPLE}, not {spell(value)}")
    amount: Money = checked(section, "amount", parse_money, value)
    _require_rate(section, "amount", amount.currency, rates)
    return amount


def _hosts(section: Section) -> MappingProxyType[str, Host]:
    hosts: dict[str, Host] = {}
    for written in section.data:
        host = written.lower()
        if not _HOST.fullmatch(host):
            section.fail(written, 'is no host; write name and port alone, such as "127.0.0.1:11434"')
        if host in hosts:
            section.fail(written, "names a host twice (capitals do not count); keep one")
        hosts[host] = _host(section, written)
    return MappingProxyType(hosts)


def _host(section: Section, key: str) -> Host:
    value = section.data[key]
    if isinstance(value, str):
        return Host(_provider(section, key))
    if not isinstance(value, dict):
        example = '"openai" or { provider = "ollama", free = true }'
        section.fail(key, f"must be a provider, such as {example}, not {spell(value)}")
    table = section.section(key)
    table.only("provider", "free")
    if "provider" not in value:
        table.fail(None, 'has no provider; write { provider = "ollama", free = true }')
    return Host(_provider(table, "provider"), table.flag("free", False))


def _provider(section: Section, key: str) -> str:
    name = section.text(key, "", '"openai"')
    if not _PROVIDER.fullmatch(name):
        section.fail(key, f'must be a provider in lower case, such as "openai", not {shorten(name)}')
    return name


def _limits(section: Section) -> Limits:
    section.only(
        *("assumed_output", "unknown_price", "strict", "admit_wait", "synchronous"),
        *("dry_run", "warn_prompt_tokens", "warn_repeats", "warn_retries"),
    )
    usual = Limits()
    return Limits(
        assumed_output=section.whole("assumed_output", 1000, 1, 10_000_000),
        unknown_price=_unknown_price(section),
        strict=section.flag("strict", False),
        admit_wait=float(section.number("admit_wait", Decimal(0), Decimal(0), Decimal(3600), "2.5")),
        synchronous=section.choice("synchronous", "normal", ("normal", "full")),
        dry_run=section.flag("dry_run", False),
        warn_prompt_tokens=section.whole("warn_prompt_tokens", 0, 0, 1_000_000_000),
        warn_repeats=section.whole("warn_repeats", usual.warn_repeats, 0, 10_000),
        warn_retries=section.whole("warn_retries", usual.warn_retries, 0, 10_000),
    )


def _unknown_price(section: Section) -> str:
    value = section.data.get("unknown_price", "dearest")
    if value in ("dearest", "refuse"):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", value):
        return value
    if isinstance(value, Decimal) or is_whole(value):
        return f"{section.number('unknown_price', Decimal(0), Decimal(0), Decimal(999_999), '10'):f}"
    problem = 'must be "dearest", "refuse", or USD per million tokens such as "10"'
    return section.fail("unknown_price", f"{problem}, not {spell(value)}")


def _notify(section: Section) -> Notify:
    section.only("desktop")
    return Notify(section.flag("desktop", True))


def _tui(section: Section) -> Tui:
    section.only("theme")
    name = section.text("theme", "costmon-dark", '"costmon-dark"')
    if not _THEME.fullmatch(name):
        section.fail("theme", f'must be the name of a theme, such as "costmon-dark", not {shorten(name)}')
    return Tui(name)
