"""`costmon rates`: what currencies are converted by, and where those figures come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import BadInput

if TYPE_CHECKING:
    from datetime import date

    from costmon.config import Config, ExchangeRate
    from costmon.pricing.currency import Found

_Shown = tuple[str, str, "Found"]


@click.group()
def rates() -> None:
    """Exchange rates: your own of config.toml, and fetched ones if you opted in.

    A rate you wrote always wins over a fetched one of the same two currencies. New rates move no past charge: a call
    counts at the rate of the moment it was admitted.
    """


@rates.command()
@click.option("--url", help="Fetch from here, a mirror of the bank's file, instead of www.ecb.europa.eu.")
@click.option("--from", "file", metavar="FILE", help="Read the bank's file from FILE; nothing is fetched.")
@click.option("--yes", is_flag=True, help="Also take rates that moved by more than 20 %, or look wrong.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def update(url: str | None, file: str | None, yes: bool, as_json: bool) -> None:
    """Fetch today's reference rates of the European Central Bank.

    The file is a table of some thirty currencies for one euro, at most 1 MB; a rate from the dollar is made of two of
    them, exactly. The bank's longer file of 90 days is taken too, and fills in days that are missing.

    A rate that moves by more than 20 % from one day to the next, or for a day that is on file, is refused; so is a first
    one that is less than half or more than twice your own.
    """
    from costmon.pricing import currency
    from costmon.shim.clock import system_clock

    if url and file:
        raise click.UsageError("--url and --from exclude each other; give one")
    source = file or url or currency.URL
    click.echo(f"reading {source}" if file else f"fetching {source}", err=True)
    own = _own_rates()
    kept = currency.update(system_clock(), url=url or currency.URL, file=file, yes=yes, own=own)
    config, problem = _applied()
    day, table = kept.days[-1]
    if as_json:
        click.echo(_dump({"date": day.isoformat(), "source": currency.SOURCE, "currencies": len(table) + 1}))
    else:
        text = f"{len(table) + 1} currencies of {day} on file"
        used = (
            "costmon rates list shows them"
            if config.fetch_rates
            else 'add fetch = "ecb" under [currency] to use them'
        )
        click.echo(f"{text}: {used}")
    if problem:
        click.echo(f"warning: {problem}", err=True)
    elif not config.fetch_rates:
        click.echo(f'not used yet: add fetch = "ecb" under [currency] in {config.path}', err=True)


@rates.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_(as_json: bool) -> None:
    """List the newest rate of each pair, its date, source and age."""
    from costmon.pricing import currency

    config = _config()
    today = _today(config)
    found = _newest(config, today)
    if as_json:
        wanted = currency.needed(config)
        listed = [
            {**currency.to_json(rate, base, quote, today), "used": bool(wanted & {base, quote})}
            for base, quote, rate in found
        ]
        kept = currency.held()
        fetched = {"source": config.fetch_rates or None, "problem": kept.problem or None}
        click.echo(_dump({"fetch": fetched, "stale_after_days": currency.STALE_DAYS, "rates": listed}))
        return
    if not found:
        click.echo(_nothing(config))
        return
    click.echo(_table(found, today))
    kept = currency.held()
    if config.fetch_rates and kept.problem:
        click.echo(f"the last attempt to fetch failed: {kept.problem}", err=True)


@rates.command()
@click.argument("base")
@click.argument("quote")
@click.option("--at", metavar="DATE", help="The rate of that day, such as 2026-11-20; default: today.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def show(base: str, quote: str, at: str | None, as_json: bool) -> None:
    """Show what one BASE costs in QUOTE: costmon rates show USD KRW."""
    from datetime import date

    from costmon.pricing import currency

    base, quote = _code(base), _code(quote)
    config = _config()
    today = _today(config)
    try:
        day = today if at is None else date.fromisoformat(at)
    except ValueError as error:
        raise BadInput(f"--at {at!r} is no day; write it like 2026-11-20") from error
    found = currency.find(currency.in_force(config), base, quote, day)
    if found is None:
        raise BadInput(f"no rate from {base} to {quote}; {_how(config, base, quote)}")
    if as_json:
        click.echo(_dump({**currency.to_json(found, base, quote, today), "at": day.isoformat()}))
        return
    if base == quote:
        click.echo(f"1 {base} = 1 {quote}")
        return
    mark = " · stale" if at is None and currency.is_stale(found.day, today) else ""
    mark = " · the oldest on file" if found.day > day else mark
    click.echo(f"1 {base} = {_figure(found)} {quote}  ({found.day}, {_source(found.source)}{mark})")


def _config() -> Config:
    from costmon import config, paths

    return config.load(paths.config_file())


def _own_rates() -> tuple[ExchangeRate, ...]:
    """Those of the config; without one there are none."""
    from costmon import config, paths

    config.ensure(paths.config_file())
    return _config().rates


def _applied() -> tuple[Config, str]:
    """Compile what came into the ledger; (config, what is wrong with it)."""
    from costmon import config, paths
    from costmon.monitor.engine import read_config
    from costmon.store import open_ledger

    config.ensure(paths.config_file())
    found = _config()
    store = open_ledger(paths.state_home())
    try:
        return found, read_config(store)
    finally:
        store.close()


def _today(config: Config) -> date:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(config.time_zone)).date()


def _newest(config: Config, today: date) -> list[_Shown]:
    """The rate in force of each pair that is on file, the used ones and the operator's own first."""
    from costmon.pricing import currency

    on_file = currency.in_force(config)
    pairs = list(dict.fromkeys((rate.base, rate.quote) for rate in on_file))
    wanted = currency.needed(config)
    own = {(rate.base, rate.quote) for rate in config.rates}
    pairs.sort(key=lambda pair: (not wanted & set(pair), pair not in own, pair))
    by_pair: dict[tuple[str, str], list[Any]] = {}
    for rate in on_file:
        by_pair.setdefault((rate.base, rate.quote), []).append(rate)
    found = [(base, quote, currency.find(by_pair[base, quote], base, quote, today)) for base, quote in pairs]
    return [(base, quote, rate) for base, quote, rate in found if rate is not None]


def _table(found: list[_Shown], today: date) -> str:
    from costmon.pricing.currency import is_stale

    rows = [("pair", "rate", "date", "age", "source")]
    for base, quote, rate in found:
        age = (today - rate.day).days
        mark = " · stale" if is_stale(rate.day, today) else ""
        when = "today" if age == 0 else "ahead" if age < 0 else f"{age} d{mark}"
        rows.append((f"{base} {quote}", _figure(rate), str(rate.day), when, _source(rate.source)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        f"{pair:<{widths[0]}}  {rate:>{widths[1]}}  {day:<{widths[2]}}  {age:<{widths[3]}}  {source[:30]}"
        for pair, rate, day, age, source in rows
    )


def _figure(found: Found) -> str:
    """The rate to six digits that matter or two decimals, whichever says more; `--json` has nine decimals."""
    from decimal import Decimal

    value = Decimal(found.rate.numerator) / Decimal(found.rate.denominator)
    places = max(2, 5 - value.adjusted())
    text = f"{value:,.{min(places, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _source(source: str) -> str:
    from costmon.shim.events import clean

    return "own, source not named" if source in ("", "not named") else clean(source, 60)


def _code(text: str) -> str:
    if len(text) != 3 or not text.isascii() or not text.isalpha():
        raise BadInput(f"{text!r} is no currency; write its code of three letters, such as KRW")
    return text.upper()


def _nothing(config: Config) -> str:
    return f"no rates on file; {_how(config)}"


def _how(config: Config, *codes: str) -> str:
    from costmon.config.sections import FETCHED

    fetchable = set(codes) <= FETCHED | {"USD"}
    if config.fetch_rates and fetchable:
        return "run costmon rates update"
    opt_in = ', or fetch = "ecb" under [currency],' if fetchable else ""
    return f"add a [[currency.rate]] table{opt_in} to {config.path}"


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
