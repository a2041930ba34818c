"""Exchange rates: those of the config, and the European Central Bank's when the operator opts in.

The bank publishes one table each working day around 16:00 Central European Time: what one euro costs in some thirty
currencies (https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml). A rate from the dollar is made of two of
them, as an exact fraction. Tables are kept in the state home, with their days, so that a failing feed leaves the last
good rates in place and their age can be told.

A rate the operator wrote always wins: fetched rates only serve pairs of which the config says nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from costmon import paths
from costmon.config.sections import FETCHED
from costmon.config.values import Config, ExchangeRate
from costmon.errors import PriceError
from costmon.pricing.fetch import FetchError, fetch, read_file
from costmon.pricing.kept import replace_text
from costmon.shim.money import Rate

SOURCE = "ecb"
NAME = "European Central Bank"
URL = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"
STALE_DAYS = 7
MAX_BYTES = 1_000_000
TIMEOUT_S = 10.0
KEEP_DAYS = 100
MOST_CHANGE = Fraction(1, 5)
LEAST, MOST = Fraction(1, 10_000), Fraction(1_000_000)
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")  # a fraction of two such fits SQLite's integers
_CODE = re.compile(r"[A-Z]{3}")
_STAY = "the rates on file stay"

Table = Mapping[str, str]
"""What one euro costs: {"USD": "1.1355", "KRW": "1539.06", …}."""
Days = tuple[tuple[date, Table], ...]
"""Tables by their days, ascending."""


class RateError(PriceError):
    """Exchange rates cannot be had or used; the message says why and what stays."""


class Held(NamedTuple):
    """What is kept of a source. `days` is ascending; times are µs UTC, 0 = never; `problem` is why the last attempt
    failed, '' if it did not."""

    days: Days = ()
    fetched_at: int = 0
    tried_at: int = 0
    problem: str = ""


class Found(NamedTuple):
    """A rate, the day it is of (of its older half, if it was made of two), and its sources."""

    rate: Rate
    day: date
    source: str


# --- the bank's table ----------------------------------------------------------------------------------------


def parse(data: bytes, name: str) -> Days:
    """The days of the bank's XML, ascending; `name` is what messages call it.

    Raises:
        RateError: it is something else, is cut short, or holds what is no rate.
    """
    from xml.parsers import expat

    days: dict[date, dict[str, str]] = {}
    current: list[dict[str, str]] = []

    def refuse(*_: object) -> None:
        raise RateError(f"{name} declares a document type, which a table of rates has not; {_STAY}")

    def element(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] != "Cube":
            return
        if "time" in attributes:
            current[:] = [days.setdefault(_day(attributes["time"], name), {})]
        if "currency" in attributes or "rate" in attributes:
            if not current:
                raise RateError(f"{name} gives a rate before its day; {_STAY}")
            code, rate = _checked(attributes.get("currency", ""), attributes.get("rate", ""), name)
            current[0][code] = rate

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = element
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        # A web page often says so, and often is no XML.
        page = b"<html" in data[:2000].lower() or b"<!doctype html" in data[:2000].lower()
        what = "is a web page" if page else "is cut short or no XML"
        raise RateError(f"{name} {what}, not the {NAME}'s table of rates; {_STAY}") from None
    except RateError:
        if b"<!doctype html" in data[:2000].lower():
            raise RateError(f"{name} is a web page, not the {NAME}'s table of rates; {_STAY}") from None
        raise
    if not days:
        raise RateError(f"{name} holds no rates: it is not the {NAME}'s table; {_STAY}")
    for day, table in days.items():
        if "USD" not in table:
            raise RateError(f"{name} has no rate for USD on {day}, and every price needs one; {_STAY}")
    return tuple(sorted(days.items()))


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise RateError(f"{name} has a day that is none; {_STAY}") from None
    if not 1999 <= day.year <= 2200:
        raise RateError(f"{name} is dated {day}; {_STAY}")
    return day


def _checked(code: str, rate: str, name: str) -> tuple[str, str]:
    if not _CODE.fullmatch(code):
        raise RateError(f"{name} has a currency that is no code of three capitals; {_STAY}")
    if not _RATE.fullmatch(rate) or not Decimal(rate):
        found = rate if len(rate) <= 20 and rate.isprintable() else "something else"
        raise RateError(
            f'{name} gives "{found}" for {code}, which is no rate above zero and below a million; {_STAY}'
        )
    return code, rate


# --- what is kept --------------------------------------------------------------------------------------------


def cache_file(home: str | None = None) -> str:
    return os.path.join(home or paths.state_home(), "rates", f"{SOURCE}.json")


def held(home: str | None = None) -> Held:
    """What is kept; nothing if the file is missing or damaged (the next fetch replaces it)."""
    try:
        with open(cache_file(home), "rb") as file:
            document = json.loads(file.read(4 * MAX_BYTES))
        days = tuple(sorted((_day(day, ""), _table(table)) for day, table in document["days"].items()))
        return Held(
            days, int(document["fetched_at"]), int(document["tried_at"]), str(document["problem"])[:500]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PriceError):
        return Held()


def _table(table: Mapping[str, str]) -> Table:
    return dict(_checked(code, rate, "") for code, rate in table.items())


def stamp(home: str | None = None) -> str:
    """Changes whenever the kept rates may have; '' while there are none."""
    try:
        status = os.stat(cache_file(home))
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def keep(kept: Held, home: str | None = None) -> None:
    """Replace the file in one step. Raises RateError when it cannot be written."""
    path = cache_file(home)
    days = {day.isoformat(): dict(table) for day, table in kept.days[-KEEP_DAYS:]}
    text = json.dumps({"source": SOURCE, **kept._asdict(), "days": days}, indent=1)
    try:
        replace_text(path, text)
    except OSError as error:
        raise RateError(f"{path} cannot be written ({error.strerror}); {_STAY}") from None


# --- update --------------------------------------------------------------------------------------------------


def update(
    now_us: int,
    *,
    url: str = URL,
    file: str | None = None,
    yes: bool = False,
    home: str | None = None,
    own: Iterable[ExchangeRate] = (),
) -> Held:
    """Fetch the bank's table (or read it from `file`) and keep it; returns what is kept then.

    Args:
        yes: also take rates that moved by more than a fifth, in the past too, and those that are not plausible.
        own: the operator's rates; a currency's first one is compared with them.

    Raises:
        RateError: nothing changed but the note of why.
    """
    before = held(home)
    try:
        name = file or url
        data = read_file(file, limit=MAX_BYTES) if file else fetch(url, limit=MAX_BYTES, timeout_s=TIMEOUT_S)
        fresh = parse(data, name)
        _refuse_future(fresh, now_us, name)
        _refuse_older(fresh, before, name)
        if not yes:
            _refuse_implausible(fresh, before, tuple(own), name)
            _refuse_jumps(fresh, before, name)
    except PriceError as error:
        problem = f"{error}; {_STAY}" if isinstance(error, FetchError) else str(error)
        with suppress(RateError):
            keep(before._replace(tried_at=now_us, problem=problem), home)
        raise RateError(problem) from None
    merged = tuple(sorted((dict(before.days) | dict(fresh)).items()))[-KEEP_DAYS:]
    kept = Held(merged, now_us, now_us, "")
    keep(kept, home)
    return kept


def due(kept: Held, now_us: int) -> bool:
    """Whether the engine should fetch: a day after the last success, an hour after the last failure. A clock that was
    set back counts as due."""
    wait = _HOUR_US if kept.problem else _DAY_US
    last = kept.tried_at if kept.problem else kept.fetched_at
    return not last or not 0 <= now_us - last < wait


def _refuse_future(fresh: Days, now_us: int, name: str) -> None:
    today = _utc_day(now_us)
    if fresh[-1][0] > today:
        raise RateError(
            f"{name} is of {fresh[-1][0]}, but this machine's clock says {today}: set the clock; {_STAY}"
        )


def _refuse_older(fresh: Days, before: Held, name: str) -> None:
    # A longer table (the bank's 90 days) also fills in the days before.
    if before.days and fresh[-1][0] < before.days[-1][0]:
        raise RateError(
            f"{name} is of {fresh[-1][0]}, older than what is on file ({before.days[-1][0]}); {_STAY}"
        )


def _refuse_jumps(fresh: Days, before: Held, name: str) -> None:
    """A broken feed must not move budgets: neither by its newest day, nor by one in the past."""
    stored = dict(before.days)
    merged = tuple(sorted((stored | dict(fresh)).items()))
    came = {day for day, _ in fresh}
    for day, table in fresh:
        _compare(from_dollar(stored[day]) if day in stored else {}, from_dollar(table), day, name)
    last: dict[str, Fraction] = {}
    touched: dict[str, bool] = {}
    for day, table in merged:
        found = from_dollar(table)
        # What was on file before may jump: a person took it.
        known = {code: rate for code, rate in last.items() if day in came or touched[code]}
        _compare(known, found, day, name)
        last |= found
        touched |= dict.fromkeys(found, day in came)


def _compare(old: Mapping[str, Fraction], new: Mapping[str, Fraction], day: date, name: str) -> None:
    for code, rate in new.items():
        known = old.get(code)
        if known is not None and abs(rate - known) > known * MOST_CHANGE:
            raise RateError(
                f"{name} moves the rate from USD to {code} by more than 20 % at once, from {digits(known)} to "
                f"{digits(rate)} on {day}; if that is right, run costmon rates update --yes; {_STAY}"
            )


def _refuse_implausible(fresh: Days, before: Held, own: tuple[ExchangeRate, ...], name: str) -> None:
    """No rate is beyond what any currency of the world costs; one that is new here is near the operator's own."""
    known = _newest(before.days)
    for day, table in fresh:
        for code, rate in from_dollar(table).items():
            if not LEAST <= rate <= MOST:
                raise RateError(
                    f"{name} gives {digits(rate)} {code} for a dollar on {day}, which no currency costs; if that is right,"
                    f" run costmon rates update --yes; {_STAY}"
                )
            mine = None if code in known else find(own, "USD", code, day)
            if mine is not None and not Fraction(1, 2) <= rate / Fraction(*mine.rate) <= 2:
                raise RateError(
                    f"{name} gives {digits(rate)} {code} for a dollar on {day}, and your own rate is {digits(mine.rate)}; "
                    f"if both are right, run costmon rates update --yes; {_STAY}"
                )


def _newest(days: Days) -> dict[str, Fraction]:
    """The newest rate of each currency from the dollar."""
    newest: dict[str, Fraction] = {}
    for _, table in days:
        newest |= from_dollar(table)
    return newest


def _utc_day(now_us: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)).date()


# --- rates ---------------------------------------------------------------------------------------------------


def from_dollar(table: Table) -> dict[str, Fraction]:
    """What one dollar costs in every other currency of a table of euros, exactly."""
    dollar = Fraction(table["USD"])
    crosses = {code: Fraction(rate) / dollar for code, rate in table.items() if code != "USD"}
    return crosses | {"EUR": 1 / dollar}


def needed(config: Config) -> set[str]:
    """The currencies the config counts, shows and prices in, beside the dollar."""
    named = {config.display_currency, *(budget.amount.currency for budget in config.budgets)}
    named |= {resource.currency for resource in config.resources}
    return named - {"USD", ""}


def fetched_rates(config: Config, kept: Held) -> tuple[ExchangeRate, ...]:
    """The fetched rates that hold: from USD to each currency, for pairs the config says nothing of. Currencies the
    config uses have all days that are kept, others the newest alone."""
    own = {frozenset((rate.base, rate.quote)) for rate in config.rates}
    wanted = needed(config)
    rates: dict[tuple[str, date], ExchangeRate] = {}
    newest: dict[str, ExchangeRate] = {}
    for day, table in kept.days:
        for code, rate in from_dollar(table).items():
            if frozenset(("USD", code)) in own:
                continue
            found = ExchangeRate("USD", code, Rate(rate.numerator, rate.denominator), day, SOURCE)
            newest[code] = found
            if code in wanted:
                rates[code, day] = found
    rates |= {(code, found.day): found for code, found in newest.items()}
    return tuple(rates.values())


def in_force(config: Config, home: str | None = None) -> tuple[ExchangeRate, ...]:
    """Every rate sums are converted by: the config's, and with `fetch` what was fetched for the other pairs."""
    fetched = fetched_rates(config, held(home)) if config.fetch_rates else ()
    return (*config.rates, *fetched)


def without_rate(config: Config, rates: Iterable[ExchangeRate]) -> list[str]:
    """Currencies the config needs and leaves to be fetched, but to which no rate leads from the dollar yet."""
    have = {code for rate in rates for code in (rate.base, rate.quote) if "USD" in (rate.base, rate.quote)}
    return sorted((needed(config) & FETCHED) - have) if config.fetch_rates else []


def find(rates: Iterable[ExchangeRate], base: str, quote: str, day: date) -> Found | None:
    """The rate that holds on `day`, as the shim finds it: the newest not after it, else the oldest; the inverse pair
    and the way over USD serve too. None = there is none."""
    rates = tuple(rates)
    if base == quote:
        return Found(Rate(1, 1), day, "")
    direct = _pair(rates, base, quote, day)
    if direct is not None:
        return direct
    first, second = _pair(rates, base, "USD", day), _pair(rates, "USD", quote, day)
    if first is None or second is None:
        return None
    numerator = first.rate.numerator * second.rate.numerator
    rate = Fraction(numerator, first.rate.denominator * second.rate.denominator)
    sources = dict.fromkeys((first.source, second.source))
    return Found(
        Rate(rate.numerator, rate.denominator), min(first.day, second.day), ", ".join(filter(None, sources))
    )


def _pair(rates: tuple[ExchangeRate, ...], base: str, quote: str, day: date) -> Found | None:
    """The rate of one pair, written in either direction; on one day the direction that was asked for wins."""
    if base == quote:
        return Found(Rate(1, 1), day, "")
    dated: dict[date, Found] = {}
    for rate in rates:
        if (rate.base, rate.quote) == (quote, base):
            turned = Rate(rate.rate.denominator, rate.rate.numerator)
            dated.setdefault(rate.day, Found(turned, rate.day, rate.source))
        elif (rate.base, rate.quote) == (base, quote):
            dated[rate.day] = Found(rate.rate, rate.day, rate.source)
    if not dated:
        return None
    return dated[max((known for known in dated if known <= day), default=min(dated))]


def is_stale(day: date, today: date) -> bool:
    """Whether a rate of `day` is too old to be taken for today's."""
    return (today - day).days > STALE_DAYS


def digits(rate: Fraction | Rate) -> str:
    """A rate as people and JSON read it: at most nine decimals, at least six digits that matter."""
    value = Decimal(rate.numerator) / Decimal(rate.denominator)
    places = 9 if value >= Decimal("0.001") else 15
    text = f"{value:.{places}f}".rstrip("0").rstrip(".")
    return text or "0"


def to_json(found: Found, base: str, quote: str, today: date) -> dict[str, Any]:
    """{"base", "quote", "rate", "date", "source", "age_days", "stale"}: what one `base` costs in `quote`."""
    return {
        "base": base,
        "quote": quote,
        "rate": digits(found.rate),
        "date": found.day.isoformat(),
        "source": found.source,
        "age_days": (today - found.day).days,
        "stale": is_stale(found.day, today),
    }
