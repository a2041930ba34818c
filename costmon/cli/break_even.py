"""`costmon break-even`: when a server of one's own is cheaper than an API."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import MAX_CALLS, BadInput, Name, Number, Whole, plain

if TYPE_CHECKING:
    from costmon.cli.values import Exchange
    from costmon.pricing.calculators.breakeven import BreakEven, Comparison
    from costmon.pricing.calculators.scenario import Scenario
    from costmon.pricing.lookup.show import Found


@click.command("break-even")
@click.option(
    "--server-price", metavar="MONEY", required=True, help='Of an hour, such as "1.20 USD" or ₩2450.'
)
@click.option(
    "--tokens-per-second",
    type=Number(10**9),
    required=True,
    help="What the server can do, all requests together.",
)
@click.option(
    "--hours-on", type=Number(24), default="24", show_default=True, help="Hours a day it runs and is paid."
)
@click.option("--model", type=Name(), required=True, help="The model of the API it would replace.")
@click.option("--provider", type=Name(), help="Who serves it; default: the model's maker.")
@click.option("--input-tokens", type=Whole(), required=True, help="Of each request.")
@click.option("--output-tokens", type=Whole(), required=True, help="Of each request.")
@click.option(
    "--counts",
    type=click.Choice(["output", "all"]),
    default="output",
    show_default=True,
    help="What --tokens-per-second counts: output tokens, or input and output.",
)
@click.option("--requests-per-day", type=Number(MAX_CALLS), help="Also compare at this number.")
@click.option("--at", metavar="DATE", help="Prices and rates of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def break_even(
    server_price: str,
    tokens_per_second: Fraction,
    hours_on: Fraction,
    model: str,
    provider: str | None,
    input_tokens: int,
    output_tokens: int,
    counts: str,
    requests_per_day: Fraction | None,
    at: str | None,
    as_json: bool,
) -> None:
    """From how many requests a day on a server of your own is cheaper than the API.

    The server costs its price for every hour it is on, busy or not; power, people and a second server as a spare are
    not counted, and the answers are taken to be as good.

    \b
    costmon break-even --server-price "1.20 USD" --tokens-per-second 1500 --model gpt-4o \\
      --input-tokens 2000 --output-tokens 500 --requests-per-day 20000
    """
    from costmon.cli import values
    from costmon.pricing.calculators import breakeven
    from costmon.pricing.calculators.scenario import Load
    from costmon.pricing.lookup.show import find_or_fail

    counted = output_tokens if counts == "output" else input_tokens + output_tokens
    if not counted:
        raise BadInput(
            "a request without tokens that --tokens-per-second counts; give --output-tokens, or --counts all"
        )
    at_us = values.instant_us(at, values.now())
    exchange = values.exchange()
    found = find_or_fail(values.open_catalogue(provider), model, provider, at_us)
    request = found.cost_of(at_us, Load(Fraction(1), input_tokens, output_tokens))
    api, gaps = request.call, request.unpriced
    if api is None or gaps:
        raise click.ClickException(
            f"{found.card.provider} {found.card.model} has no price for {', '.join(gaps)}, so there is nothing to compare"
        )
    price, written = _server_price(server_price, found.card.currency, exchange, at_us)
    server = breakeven.Server(price, tokens_per_second, hours_on)
    result = breakeven.break_even(server, api, counted)
    at_load = None if requests_per_day is None else breakeven.compare(result, requests_per_day)
    if as_json:
        document = _break_even_json(found, result, at_load, counts, request)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        lines = _break_even_text(found, result, at_load, written, counts)
        lines += _hours_said(request)
        click.echo("\n".join([*lines, *_in_display(result, at_load, found.card.currency, exchange, at_us)]))


def _server_price(text: str, currency: str, exchange: Exchange, at_us: int) -> tuple[Fraction, str]:
    """(nano of `currency` an hour, the price as given)."""
    from costmon.cli import values
    from costmon.config import parse_money
    from costmon.pricing.calculators.scenario import converted

    try:
        given = parse_money(text)
    except ValueError as error:
        raise BadInput(f"--server-price {error}") from error
    rate = exchange.rate(given.currency, at_us, currency)
    if rate is None:
        raise BadInput(
            f"--server-price is in {given.currency}, but no exchange rate to {currency} is on file; add a "
            f'[[currency.rate]] table with base = "{currency}" and quote = "{given.currency}" to config.toml'
        )
    return converted(Fraction(given.nano), rate), values.money(*given)


def _break_even_json(
    found: Found, result: BreakEven, at_load: Comparison | None, counts: str, request: Scenario
) -> dict[str, Any]:
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.cards import price_version
    from costmon.shim.money import Money

    def amount(nano: Fraction | None) -> dict[str, str] | None:
        return None if nano is None else Money(whole_nano(nano), found.card.currency).to_json()

    load = None
    if at_load is not None:
        load = {
            "requests_per_day": plain(at_load.requests),
            "servers": at_load.servers,
            "hosted_per_day": amount(at_load.hosted),
            "api_per_day": amount(at_load.api),
            "cheaper": at_load.cheaper,
        }
    return {
        "model": found.card.model,
        "provider": found.card.provider,
        "price_version": price_version(found.card),
        "counts": counts,
        "api_per_request": amount(result.api_request),
        "api_per_request_low": amount(result.api_request if request.low is None else request.low),
        "api_per_request_high": amount(result.api_request if request.high is None else request.high),
        "server_per_day": amount(result.server.day),
        "capacity_requests_per_day": result.capacity,
        "hosted_per_request_when_full": amount(result.full_request),
        "break_even_requests_per_day": result.from_requests,
        "never": result.reason or None,
        "needed_requests_per_day": result.needed,
        "utilisation_percent": None
        if result.utilisation is None
        else plain(round(result.utilisation * 100, 2)),
        "at_load": load,
        "notes": list(request.notes),
    }


def _hours_said(request: Scenario) -> list[str]:
    """That the API's price depends on the hour, and between what."""
    from costmon.cli.values import money_of, wrapped

    lines = [wrapped(note, "") for note in request.notes]
    if request.low is not None and request.high is not None:
        low, high = (money_of(nano, request.currency, digits=6) for nano in (request.low, request.high))
        lines.append(f"a request is {low} in the API's cheapest hours, {high} in the dearest")
    return lines


def _break_even_text(
    found: Found, result: BreakEven, at_load: Comparison | None, price: str, counts: str
) -> list[str]:
    from costmon.cli.values import decimal, money_of, table, wrapped

    currency = found.card.currency
    server = result.server
    what = "output tokens" if counts == "output" else "input and output tokens"
    rows = [
        (
            "API, a request",
            money_of(result.api_request, currency, digits=6),
            f"{found.card.provider} {found.card.model}",
        ),
        (
            "server, a day",
            money_of(server.day, currency),
            f"{price} an hour, {decimal(server.hours_on)} hours on",
        ),
        (
            "server, requests a day",
            f"{result.capacity:,}",
            f"{decimal(server.tokens_per_second)} {what} a second",
        ),
    ]
    if result.full_request is not None:
        rows.append(("server, a request", money_of(result.full_request, currency), "when it is always busy"))
    width = max(len(left) for left, _, _ in rows)
    number = max(len(middle) for _, middle, _ in rows)
    lines = [f"{left:<{width}}  {middle:>{number}}  {right}" for left, middle, right in rows]
    lines.append(wrapped(_verdict(result), ""))
    if at_load is not None:
        title = ["AT YOUR LOAD", "REQUESTS", "A DAY", "30 DAYS"]
        hosted = f"{at_load.servers} server{'' if at_load.servers == 1 else 's'}"
        load = [
            [name, decimal(at_load.requests), money_of(cost, currency), money_of(30 * cost, currency)]
            for name, cost in (("API", at_load.api), (hosted, at_load.hosted))
        ]
        cheaper = {"server": f"{hosted}: cheaper", "api": "the API is cheaper", "same": "both cost the same"}
        lines += [*table([title, *load]), cheaper[at_load.cheaper]]
    return lines


def _verdict(result: BreakEven) -> str:
    from costmon.cli.values import decimal

    if result.reason == "free":
        return "never: the API is free"
    if result.reason == "capacity":
        return (
            f"never: it takes {result.needed:,} requests a day to be cheaper than the API, and the server can do "
            f"{result.capacity:,}"
        )
    used = decimal((result.utilisation or Fraction(0)) * 100, 1)
    return f"cheaper from {result.from_requests:,} requests a day on, which use {used} % of the server"


def _in_display(
    result: BreakEven, at_load: Comparison | None, currency: str, exchange: Exchange, at_us: int
) -> list[str]:
    from costmon.cli.values import money_of
    from costmon.pricing.calculators.scenario import converted

    rate = exchange.rate(currency, at_us)
    if currency == exchange.currency or rate is None:
        return []
    server = money_of(converted(result.server.day, rate), exchange.currency)
    api = money_of(converted(result.api_request, rate), exchange.currency)
    lines = [f"in {exchange.currency}: a request {api}, the server {server} a day"]
    if at_load is not None:
        costs = [
            money_of(converted(30 * cost, rate), exchange.currency) for cost in (at_load.api, at_load.hosted)
        ]
        lines.append(f"in {exchange.currency}, 30 days: API {costs[0]}, server {costs[1]}")
    return lines
