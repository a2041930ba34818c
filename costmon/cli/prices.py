"""`costmon prices`: what a model costs and where that figure comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import date

    from costmon.pricing.show import Shown


@click.group()
def prices() -> None:
    """Show the rate cards costmon prices by."""


@prices.command()
@click.option("--output", type=click.Path(dir_okay=False), help="Default: the bundled catalog.json.")
@click.option("--checked", metavar="DATE", help="When that genai-prices came out; default: as last built.")
def build(output: str | None, checked: str | None) -> None:
    """For developers: make catalog.json from genai-prices and pricing/*.toml."""
    import os

    from costmon import paths
    from costmon.errors import PriceError
    from costmon.pricing import build as builder

    folder = paths.bundled("pricing")
    path = output or os.path.join(folder, "catalog.json")
    try:
        catalog = builder.build(folder, _day(checked, "--checked") or builder.release_day(folder))
        builder.write(catalog, path)
    except (PriceError, OSError) as error:
        raise click.ClickException(str(error)) from error
    count = sum(len(part["models"]) for part in catalog["providers"].values())
    click.echo(f"{path}: {count} models, genai-prices {catalog['version']} of {catalog['checked']}")


@prices.command()
@click.argument("model")
@click.option("--provider", help="Who serves it (openai, openrouter …); default: the model's maker.")
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def show(model: str, provider: str | None, at: str | None, as_json: bool) -> None:
    """Show MODEL's rate card, its source and the layer it is from."""
    from costmon import paths
    from costmon.pricing.show import UnpricedError, show_card

    try:
        shown = show_card(model, provider, _instant_us(at), paths.user_prices_file())
    except UnpricedError as error:
        raise click.ClickException(str(error)) from error
    for problem in shown.problems:
        click.echo(f"warning: {problem}", err=True)
    click.echo(json.dumps(_to_json(shown), indent=2, ensure_ascii=False) if as_json else _to_text(shown))


def _day(text: str | None, option: str) -> date | None:
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise click.ClickException(f"{option} {text!r} is no date; write it like 2026-11-20") from error


def _instant_us(text: str | None) -> int:
    """A date (its first moment, UTC) or an ISO instant in µs; None = now."""
    from datetime import UTC, datetime

    from costmon.shim.clock import system_clock
    from costmon.shim.timestamps import to_us

    if text is None:
        return system_clock()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.ClickException(f"--at {text!r} is no date; write it like 2026-11-20") from error
    return to_us(at if at.tzinfo else at.replace(tzinfo=UTC))


def _to_json(shown: Shown) -> dict[str, Any]:
    from costmon.shim.cards import price_version

    card = shown.card
    return {
        "provider": card.provider,
        "model": card.model,
        "layer": shown.layer,
        "source": card.source,
        "version": card.version,
        "price_version": price_version(card),
        "hash": card.hash,
        "currency": card.currency,
        "rates": {unit: _rate_json(rate, card.currency) for unit, rate in card.rates.items()},
        "also": list(shown.also),
    }


def _rate_json(rate: dict[str, Any], currency: str) -> dict[str, Any]:
    found: dict[str, Any] = {"per": rate["per"], "price": {"amount": rate["price"], "currency": currency}}
    if "tiers" in rate:
        found["tiers"] = [
            {"above_input_tokens": above, "price": {"amount": price, "currency": currency}}
            for above, price in rate["tiers"]
        ]
    return found


def _to_text(shown: Shown) -> str:
    from costmon.shim.cards import price_version

    card = shown.card
    lines = [f"{card.provider} {card.model}", f"  {price_version(card)}  (layer {shown.layer})"]
    width = max(len(unit) for unit in card.rates)
    for unit, rate in card.rates.items():
        tiers = "".join(f", above {above:,} input tokens {price}" for above, price in rate.get("tiers", ()))
        lines.append(f"  {unit:<{width}}  {rate['price']} {card.currency} per {rate['per']:,}{tiers}")
    if shown.also:
        lines.append(f"  also at: {', '.join(shown.also)}")
    return "\n".join(lines)
