"""`costmon scenario`: what so many calls a day cost in a month."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import MAX_CALLS, BadInput, Every, Name, Number, Whole, plain

if TYPE_CHECKING:
    from costmon.cli.values import Exchange
    from costmon.pricing.calculators.scenario import Load, Scenario
    from costmon.pricing.lookup.show import Catalogue, Found


@click.command()
@click.option("--requests-per-day", type=Number(MAX_CALLS), help="How many calls a day.")
@click.option("--every", type=Every(), help="Or how often: 30s, 5m, 1h (--every 5m is 288 a day).")
@click.option("--input-tokens", type=Whole(), required=True, help="Of each call.")
@click.option("--output-tokens", type=Whole(), required=True, help="Of each call.")
@click.option("--model", "models", type=Name(), multiple=True, required=True, help="As often as you like.")
@click.option("--provider", type=Name(), help="Who serves it; default: the model's maker.")
@click.option(
    "--cached-share",
    type=Number(100, zero=True, percent=True),
    default="0",
    help="Input tokens read from a cache.",
)
@click.option(
    "--batch-share",
    type=Number(100, zero=True, percent=True),
    default="0",
    help="Calls through the batch API.",
)
@click.option("--days", type=Whole(1, 3660), default=30, show_default=True, help="How long.")
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def scenario(
    ctx: click.Context,
    requests_per_day: Fraction | None,
    every: Fraction | None,
    input_tokens: int,
    output_tokens: int,
    models: tuple[str, ...],
    provider: str | None,
    cached_share: Fraction,
    batch_share: Fraction,
    days: int,
    at: str | None,
    as_json: bool,
) -> None:
    """What so many calls cost in a day, a week and a month. Exits 1 when no model could be priced.

    \b
    costmon scenario --every 5m --input-tokens 4000 --output-tokens 1000 --model gpt-4o-mini
    """
    from costmon.cli import values
    from costmon.pricing.calculators.scenario import Load, calls_per_day

    if (requests_per_day is None) == (every is None):
        raise BadInput("say how many calls: either --requests-per-day N or --every TIME, such as 5m")
    calls = requests_per_day if requests_per_day is not None else calls_per_day(every or Fraction(1))
    load = Load(calls, input_tokens, output_tokens, cached_share, batch_share, days)
    at_us = values.instant_us(at, values.now())
    exchange = values.exchange()
    catalogue = values.open_catalogue(provider)
    rows = [(name, *_scenario_of(catalogue, name, provider, at_us, load)) for name in dict.fromkeys(models)]
    if as_json:
        document = [_scenario_json(*row, exchange, at_us) for row in rows]
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_scenario_text(rows, catalogue, load, exchange, at_us)))
    if all(result.call is None for _, _, result in rows):
        ctx.exit(1)


def _scenario_of(
    catalogue: Catalogue, name: str, provider: str | None, at_us: int, load: Load
) -> tuple[Found | None, Scenario]:
    from costmon.pricing.calculators.scenario import scenario as work_out

    found = catalogue.find(name, provider, at_us)
    if found is None:
        return None, work_out(None, None, load)
    return found, found.cost_of(at_us, load)


def _scenario_json(
    name: str, found: Found | None, result: Scenario, exchange: Exchange, at_us: int
) -> dict[str, Any]:
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.cards import price_version
    from costmon.shim.money import Money, convert

    load = result.load
    rate = exchange.rate(result.currency, at_us) if result.currency else None

    def amount(nano: int | None) -> dict[str, str] | None:
        return None if nano is None else Money(nano, result.currency).to_json()

    total = result.of_days(load.days)
    low, high = result.range_of_days(load.days) or (total, total)
    shown = None
    if total is not None and rate is not None and exchange.currency != result.currency:
        shown = Money(convert(total, rate), exchange.currency).to_json()
    return {
        "model": name,
        "provider": found.card.provider if found else None,
        "priced_as": found.card.model if found else None,
        "price_version": price_version(found.card) if found else None,
        "calls_per_day": plain(load.calls_per_day),
        "days": load.days,
        "per_call": amount(None if result.call is None else whole_nano(result.call)),
        "per_day": amount(result.of_days(1)),
        "per_week": amount(result.of_days(7)),
        "cost": amount(total),
        "low": amount(low),
        "high": amount(high),
        "display": shown,
        "unpriced": list(result.unpriced),
        "notes": list(result.notes),
    }


def _scenario_text(
    rows: list[tuple[str, Found | None, Scenario]],
    catalogue: Catalogue,
    load: Load,
    exchange: Exchange,
    at_us: int,
) -> list[str]:
    from costmon.cli import values
    from costmon.cli.values import decimal

    title = ["MODEL", "A CALL", "A DAY", "A WEEK", f"{load.days} DAYS"]
    shown = any(result.currency not in ("", exchange.currency) for _, _, result in rows)
    title += [f"{load.days} DAYS, {exchange.currency}"] if shown else []
    cells = [_scenario_cells(name, result, exchange, at_us, shown=shown) for name, _, result in rows]
    share = [
        f"{decimal(part * 100)} % {of}"
        for part, of in (
            (load.cached_share, "of the input cached"),
            (load.batch_share, "of the calls in batches"),
        )
        if part
    ]
    head = (
        f"{decimal(load.calls_per_day)} calls a day of {load.input_tokens:,} input and {load.output_tokens:,} output "
        f"tokens" + "".join(f", {one}" for one in share)
    )
    lines = [values.wrapped(head, ""), *values.table([title, *cells])]
    for name, found, result in rows:
        lines += [
            values.wrapped(f"{name}: {note}", "") for note in _scenario_notes(name, found, result, catalogue)
        ]
    return lines


def _scenario_cells(name: str, result: Scenario, exchange: Exchange, at_us: int, *, shown: bool) -> list[str]:
    from costmon.cli import values
    from costmon.shim.money import convert

    more = [""] if shown else []
    if result.call is None:
        return [name, "unknown", "", "", "", *more]
    bound = "≥ " if _missing(result) else ""
    sums = [result.of_days(days) or 0 for days in (1, 7, result.load.days)]
    if shown:
        rate = exchange.rate(result.currency, at_us)
        more = [
            "no rate" if rate is None else bound + values.money(convert(sums[2], rate), exchange.currency)
        ]
    texts = [
        values.money_of(result.call, result.currency, digits=6),
        *(values.money(nano, result.currency) for nano in sums),
    ]
    return [name, *(bound + text for text in texts), *more]


def _scenario_notes(name: str, found: Found | None, result: Scenario, catalogue: Catalogue) -> list[str]:
    if found is None:
        similar = catalogue.similar(name)
        return [
            "no price is known for this name" + (f"; names like it: {', '.join(similar)}" if similar else "")
        ]
    missing = _missing(result)
    return [*result.notes, *_range_said(result), *([f"no price for {', '.join(missing)}"] if missing else [])]


def _range_said(result: Scenario) -> list[str]:
    """What the span costs with all calls in the cheapest or the dearest hours."""
    from costmon.cli.values import money

    found = result.range_of_days(result.load.days)
    if found is None:
        return []
    low, high = (money(nano, result.currency) for nano in found)
    return [f"{result.load.days} days of calls in the cheapest hours alone are {low}, in the dearest {high}"]


def _missing(result: Scenario) -> list[str]:
    return [unit for unit in result.unpriced if unit != "processing=batch"]
