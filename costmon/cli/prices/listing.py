"""`costmon prices list` and `costmon prices compare`."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import BadInput, Name, Whole

if TYPE_CHECKING:
    from costmon.cli.values import Exchange
    from costmon.pricing.lookup.listing import Compared, Listed
    from costmon.pricing.lookup.show import Found

_WIDEST_NAME = 32
MAIN = ("input_tokens", "output_tokens", "cache_read_tokens")
_MOST = 9


@click.command("list")
@click.option("--provider", type=Name(), help="Only this one's.")
@click.option("--search", metavar="TEXT", default="", help="Words that must occur in provider and model.")
@click.option("--limit", type=Whole(1, 100_000), default=40, show_default=True, help="At most so many.")
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def list_prices(
    ctx: click.Context, provider: str | None, search: str, limit: int, at: str | None, as_json: bool
) -> None:
    """Models that have a price, in their currency per million tokens; with --search also servers, storage and traffic.
    Exits 1 when nothing fits.

    \b
    costmon prices list --search "haiku" --provider anthropic
    """
    from costmon.cli.prices import resources
    from costmon.cli.values import instant_us, now, open_catalogue
    from costmon.pricing.lookup.listing import listed

    at_us = instant_us(at, now())
    catalogue = open_catalogue(provider)
    rows = listed(catalogue, at_us, provider=provider, search=search[:200])
    others = resources.matching(catalogue.resources, search[:200]) if provider is None else []
    if as_json:
        document = {
            "models": [_listed_json(row) for row in rows[:limit]],
            "more": max(0, len(rows) - limit),
            "resources": [resources.to_json(one, at_us) for one in others],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif rows or others:
        lines = _listed_text(rows, limit) if rows else []
        if others and search.strip():
            lines += [*([""] if rows else []), *resources.listed(others, at_us)]
        elif others:
            lines.insert(-1, f"besides {len(others)} servers, storage and traffic: --search, such as egress")
        click.echo("\n".join(lines))
    else:
        click.echo(f"no model fits {search!r}" + (f" at {provider}" if provider else ""))
    if not rows and not others:
        ctx.exit(1)


def _listed_json(row: Listed) -> dict[str, Any]:
    from costmon.cli.prices.show import rates_json

    return {
        "provider": row.provider,
        "model": row.model,
        "layer": row.layer,
        "since": row.since or None,
        "deprecated": row.deprecated,
        "tiers": row.tiered,
        "rates": rates_json(row.rates, row.currency),
    }


def _listed_text(rows: list[Listed], limit: int) -> list[str]:
    from costmon.shim.events import clean

    shown = rows[:limit]
    names = [f"{clean(row.provider)} {clean(row.model)}" for row in shown]
    mixed = any(row.currency != "USD" for row in shown)
    widest = _WIDEST_NAME - (4 if mixed else 0)
    width = max(5, *(len(name) for name in names if len(name) <= widest), 0)
    money = "IN   " if mixed else ""
    lines = [f"{'MODEL':<{width}} {'INPUT':>7} {'OUTPUT':>7} {'CACHE':>8}   {money}{'LAYER':<7} SINCE"]
    for name, row in zip(names, shown, strict=True):
        if len(name) > width:
            lines.append(name)
            name = ""
        lines.append(f"{name:<{width}} {_cells(row, mixed=mixed)}".rstrip())
    if any(row.tiered for row in shown):
        lines.append("+ another price above a size: costmon prices show MODEL")
    said = f"{len(shown):,} of {len(rows):,}: --search, --provider and --limit show the rest"
    return [*lines, said if len(rows) > len(shown) else f"{len(rows):,} model{'' if len(rows) == 1 else 's'}"]


def _cells(row: Listed, *, mixed: bool) -> str:
    other = _other_units(row)
    prices = other or f"{_price(row, MAIN[0]):>7} {_price(row, MAIN[1]):>7} {_price(row, MAIN[2]):>8}"
    mark = "+" if row.tiered else " "
    money = f"{row.currency:<4} " if mixed else ""
    return f"{prices:<24} {mark} {money}{row.layer:<7} {row.since[:10]}"


def _price(row: Listed, unit: str) -> str:
    return str(row.rates[unit]["price"]) if unit in row.rates else "-"


def _other_units(row: Listed) -> str:
    """How a model is priced that is not by tokens."""
    if any(unit.endswith("_tokens") for unit in row.rates):
        return ""
    unit, rate = next(iter(row.rates.items()))
    words = {"seconds": "hour of audio", "pages": f"{rate['per']:,} pages"}
    per = words.get(unit.rpartition("_")[2], f"{rate['per']:,} {unit}")
    return f"{rate['price']:>7} per {per}"


# --- compare ------------------------------------------------------------------------------------------------


@click.command()
@click.argument("models", type=Name(), nargs=-1, required=True)
@click.option("--provider", type=Name(), help="Of all of them; or write provider:model.")
@click.option("--input-tokens", type=Whole(), default=1000, show_default=True, help="Of the sample call.")
@click.option("--output-tokens", type=Whole(), default=1000, show_default=True, help="Of the sample call.")
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def compare(
    ctx: click.Context,
    models: tuple[str, ...],
    provider: str | None,
    input_tokens: int,
    output_tokens: int,
    at: str | None,
    as_json: bool,
) -> None:
    """MODELS rate by rate, and what one sample call costs by each. Exits 1 when none has a price.

    \b
    costmon prices compare gpt-4o-mini claude-haiku-5-5 azure:gpt-4o-mini
    """
    from costmon.cli import values
    from costmon.pricing.lookup.listing import compared

    names = list(dict.fromkeys(models))
    if len(names) > _MOST:
        raise BadInput(f"{len(names)} models are too many to stand side by side; name at most {_MOST}")
    at_us = values.instant_us(at, values.now())
    exchange = values.exchange()
    catalogue = values.open_catalogue(provider)
    found = [catalogue.find(name, provider, at_us) for name in names]
    result = compared(tuple(one.card if one else None for one in found), input_tokens, output_tokens)
    best = _cheapest(result, exchange, at_us)
    if as_json:
        document = _compared_json(names, found, result, best, (input_tokens, output_tokens))
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        lines = _compared_text(names, found, result, best, (input_tokens, output_tokens))
        lines += [
            values.wrapped(
                f"{name}: no price is known; names like it: {', '.join(catalogue.similar(name)) or 'none'}",
                "",
            )
            for name, one in zip(names, found, strict=True)
            if one is None
        ]
        click.echo("\n".join(lines))
    if not any(found):
        ctx.exit(1)


def _cheapest(result: Compared, exchange: Exchange, at_us: int) -> tuple[int, ...]:
    """Which cost least, in one currency; none when a price is incomplete or there is no rate between them."""
    from costmon.pricing.calculators.scenario import converted
    from costmon.pricing.lookup.listing import cheapest

    currencies = {card.currency for card in result.cards if card is not None}
    quote = currencies.pop() if len(currencies) == 1 else "USD"
    costs: list[Fraction | None] = []
    for card, cost, gaps in zip(result.cards, result.costs, result.unpriced, strict=True):
        if card is None or cost is None or gaps:
            costs.append(None)
            continue
        rate = exchange.rate(card.currency, at_us, quote)
        if rate is None:
            return ()
        costs.append(converted(cost, rate))
    return cheapest(tuple(costs))


def _compared_json(
    names: list[str],
    found: list[Found | None],
    result: Compared,
    best: tuple[int, ...],
    size: tuple[int, int],
) -> dict[str, Any]:
    from costmon.cli.prices.show import rates_json
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.cards import price_version
    from costmon.shim.money import Money

    rows = []
    for place, (name, one, cost) in enumerate(zip(names, found, result.costs, strict=True)):
        card = one.card if one else None
        rows.append(
            {
                "model": name,
                "provider": card.provider if card else None,
                "priced_as": card.model if card else None,
                "layer": one.layer if one else None,
                "price_version": price_version(card) if card else None,
                "rates": rates_json(card.rates, card.currency) if card else {},
                "cost": Money(whole_nano(cost), card.currency).to_json()
                if card and cost is not None
                else None,
                "unpriced": list(result.unpriced[place]),
                "cheapest": place in best,
            }
        )
    return {"input_tokens": size[0], "output_tokens": size[1], "models": rows}


def _compared_text(
    names: list[str],
    found: list[Found | None],
    result: Compared,
    best: tuple[int, ...],
    size: tuple[int, int],
) -> list[str]:
    from costmon.cli.values import table

    letters = [chr(ord("A") + place) for place in range(len(names))]
    legend = [
        f"{letter}  {_legend(name, one)}" for letter, name, one in zip(letters, names, found, strict=True)
    ]
    mixed = len({one.card.currency for one in found if one is not None}) > 1
    rows = [["", *letters]]
    for unit in result.units:
        rows.append([_unit(result, unit), *(_rate_of(one, unit, mixed=mixed) for one in found)])
    rows.append(
        [f"a call of {size[0]:,} + {size[1]:,}", *(_cost_of(result, place) for place in range(len(names)))]
    )
    marks = ["", *("cheapest" if place in best else "" for place in range(len(names)))]
    lines = [*legend, "", *table([*rows, *([marks] if best else [])])]
    tiered = any("+" in cell for row in rows[1:-1] for cell in row[1:])
    return [*lines, *(["+ another price above a size: costmon prices show MODEL"] if tiered else [])]


def _legend(name: str, one: Found | None) -> str:
    from costmon.shim.cards import price_version

    if one is None:
        return f"{name}  (unknown)"
    money = "" if one.card.currency == "USD" else f", in {one.card.currency}"
    return f"{one.card.provider} {one.card.model}  {price_version(one.card)}{money}"


def _unit(result: Compared, unit: str) -> str:
    per = next(card.rates[unit]["per"] for card in result.cards if card is not None and unit in card.rates)
    short = {1_000_000: "1M", 1000: "1,000", 3600: "hour"}.get(per, f"{per:,}")
    return f"{unit} per {short}"


def _rate_of(one: Found | None, unit: str, *, mixed: bool) -> str:
    if one is None or unit not in one.card.rates:
        return "-"
    rate = one.card.rates[unit]
    more = "+" if "tiers" in rate or "graduated" in rate else ""
    return f"{rate['price']}{more}" + (f" {one.card.currency}" if mixed else "")


def _cost_of(result: Compared, place: int) -> str:
    from costmon.cli.values import money_of

    card, cost = result.cards[place], result.costs[place]
    if card is None or cost is None:
        return "unknown"
    return ("≥ " if result.unpriced[place] else "") + money_of(cost, card.currency)
