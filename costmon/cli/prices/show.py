"""`costmon prices show`: one model's rate card, and everything that is known of its price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import Name

if TYPE_CHECKING:
    from costmon.pricing.lookup.show import Catalogue, Found
    from costmon.pricing.lookup.timetable import PriceRow
    from costmon.shim.cards import Rates

_MOST_ROWS = 12


@click.command()
@click.argument("model", type=Name())
@click.option(
    "--provider", type=Name(), help="Who serves it (openai, openrouter …); default: the model's maker."
)
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def show(model: str, provider: str | None, at: str | None, as_json: bool) -> None:
    """Show MODEL's rate card, its source and the layer it is from; its tiers, windows, variants and history.

    MODEL may also be a resource, such as aws-ec2-egress (costmon prices list --search aws).
    """
    from costmon.cli.prices import resources
    from costmon.cli.values import instant_us, now, open_catalogue

    at_us = instant_us(at, now())
    catalogue = open_catalogue()
    resource = catalogue.resources.get(model) if provider is None else None
    if resource is not None:
        document, lines = resources.to_json(resource, at_us), resources.shown(resource, at_us)
    else:
        found = _found(catalogue, model, provider, at_us)
        origin = catalogue.origin(found)
        document, lines = _to_json(found, origin, at_us), _to_text(found, origin, at_us)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))


def _found(catalogue: Catalogue, model: str, provider: str | None, at_us: int) -> Found:
    from costmon.pricing.lookup.show import UnpricedError, find_or_fail

    found = catalogue.find(model, provider, at_us)
    if found is not None:
        return found
    served = provider.lower() if provider else _seen_at(model)
    try:
        return find_or_fail(catalogue, model, provider, at_us, seen=served)
    except UnpricedError as error:
        free = _free_said(served)
        raise click.ClickException(f"{free} Elsewhere: {error}" if free else str(error)) from error


def _seen_at(model: str) -> str:
    """The provider that served `model` last, as the ledger saw it; '' if it did not."""
    import os
    import sqlite3

    from costmon import paths
    from costmon.errors import LedgerError
    from costmon.store import open_ledger

    if not os.path.exists(paths.ledger_file()):
        return ""
    try:
        store = open_ledger(paths.state_home())
    except LedgerError:
        return ""
    try:
        row = store.db.execute(
            "select provider from rollup_day where model = ? order by day_at desc limit 1", (model,)
        ).fetchone()
    except sqlite3.Error:
        return ""
    finally:
        store.close()
    return str(row[0]) if row else ""


def _free_said(provider: str) -> str:
    """That calls to hosts of `provider` need no price, where that is so; '' elsewhere."""
    from costmon import config, paths
    from costmon.errors import ConfigError

    try:
        hosts = config.load(paths.config_file()).hosts
    except ConfigError:
        hosts = {}
    named = [name for name, host in hosts.items() if host.free and host.provider == provider]
    if named:
        which = f"{', '.join(named)}, marked free in [hosts] of config.toml,"
    elif provider == "ollama":
        which = "an Ollama of your own network, or to any host marked free in [hosts] of config.toml,"
    else:
        return ""
    return f"Calls to {which} cost nothing and need no price."


def _origin_json(origin: tuple[str, str]) -> dict[str, str | None]:
    return {"quoted_from": origin[0] or None, "checked": origin[1] or None}


def _origin_text(origin: tuple[str, str], layer: str) -> str:
    """Where the figures are from, and of which day."""
    page, day = origin
    if not page and not day:
        return "source: not said; `source` and `checked` in the price file would say it"
    when = f" ({'released' if layer == 'base' else 'checked'} {day})" if day else ""
    return f"source: {page or 'not said'}{when}"


def _to_json(found: Found, origin: tuple[str, str], at_us: int) -> dict[str, Any]:
    from costmon.pricing.lookup.timetable import next_change, price_rows, variant_rows
    from costmon.shim.cards import price_version
    from costmon.shim.timestamps import to_iso

    card = found.card
    change = next_change(found.entry, at_us)
    return {
        "provider": card.provider,
        "model": card.model,
        "layer": found.layer,
        "source": card.source,
        "version": card.version,
        **_origin_json(origin),
        "price_version": price_version(card),
        "hash": card.hash,
        "at": to_iso(at_us),
        "currency": card.currency,
        "rates": rates_json(card.rates, card.currency),
        "deprecated": bool(found.entry.get("deprecated")),
        "next_change": None if change is None else to_iso(change),
        "variants": [_row_json(row, card.currency) for row in variant_rows(found.entry, at_us)],
        "history": [_row_json(row, card.currency) for row in price_rows(found.entry, at_us)],
        "aliases": list(found.via),
        "also": list(found.also),
    }


def rates_json(rates: Rates, currency: str) -> dict[str, Any]:
    """{unit: {"per", "price": money, "tiers"?, "graduated"?}}."""
    return {unit: _rate_json(rate, currency) for unit, rate in rates.items()}


def _rate_json(rate: dict[str, Any], currency: str) -> dict[str, Any]:
    found: dict[str, Any] = {"per": rate["per"], "price": {"amount": rate["price"], "currency": currency}}
    for key, name in (("tiers", "above_input_tokens"), ("graduated", "above")):
        if key in rate:
            found[key] = [
                {name: above, "price": {"amount": price, "currency": currency}} for above, price in rate[key]
            ]
    return found


def _row_json(row: PriceRow, currency: str) -> dict[str, Any]:
    return {
        "context": row.context or None,
        "from": row.since or None,
        "until": row.until or None,
        "window": row.window or None,
        "holds": row.holds,
        "rates": rates_json(row.rates, currency),
    }


def _to_text(found: Found, origin: tuple[str, str], at_us: int) -> list[str]:
    from costmon.cli.values import wrapped
    from costmon.pricing.lookup.timetable import price_rows, variant_rows
    from costmon.shim.cards import price_version

    card = found.card
    lines = [f"{card.provider} {card.model}", f"  {price_version(card)}  (layer {found.layer})"]
    lines.append(wrapped(_origin_text(origin, found.layer)))
    lines += (
        [wrapped(f"alias followed: {' → '.join([*found.via, f'{card.provider} {card.model}'])}")]
        if found.via
        else []
    )
    lines += _rate_lines(card.rates, card.currency)
    if found.entry.get("deprecated"):
        lines.append("  deprecated: its maker no longer lists it")
    lines += _window_lines(found, at_us)
    variants = variant_rows(found.entry, at_us)
    if variants:
        lines += ["variants:", *_row_lines(variants)]
    history = price_rows(found.entry, at_us)
    if len(history) > 1:
        lines += ["prices by date (UTC):", *_row_lines(history)]
    if found.also:
        lines.append(wrapped(f"also at: {', '.join(found.also)}", ""))
    return lines


def _rate_lines(rates: Rates, currency: str) -> list[str]:
    width = max(len(unit) for unit in rates)
    lines = []
    for unit, rate in rates.items():
        per = "hour" if rate["per"] == 3600 else f"{rate['per']:,}"
        lines.append(f"  {unit:<{width}}  {rate['price']} {currency} per {per}")
        steps = [(above, price, "when the input is over {} tokens") for above, price in rate.get("tiers", ())]
        steps += [
            (above, price, "for what is over {} in a month") for above, price in rate.get("graduated", ())
        ]
        for above, price, words in steps:
            many = f"{above:,}" if isinstance(above, int) else above
            lines.append(f"  {'':<{width}}  {price} {currency} {words.format(many)}")
    return lines


def _window_lines(found: Found, at_us: int) -> list[str]:
    from costmon.pricing.lookup.timetable import next_change, price_rows
    from costmon.shim.timestamps import until_text

    rows = price_rows(found.entry, at_us)
    lines = []
    if any(row.window for row in rows):
        held = next((row.window for row in rows if row.holds), "")
        said = f"the window {held} holds" if held else "no window holds, so it is the usual price"
        lines.append(f"  at {until_text(at_us)} {said}")
    change = next_change(found.entry, at_us)
    return [*lines, *([f"  next change: {until_text(change)}"] if change is not None else [])]


def _row_lines(rows: tuple[PriceRow, ...]) -> list[str]:
    """The newest rows, each with what tells it apart and its prices; '*' marks what holds."""
    from costmon.cli.values import wrapped

    lines = []
    left_out = len(rows) - _MOST_ROWS
    if left_out > 0:
        lines.append(f"  ({left_out} older rows: --json has them all)")
    for row in rows[-_MOST_ROWS:]:
        dates = f"from {_date(row.since)}" if row.since else "from the beginning" if not row.context else ""
        parts = [row.context, dates, f"until {_date(row.until)}" if row.until else "", row.window]
        rates = ", ".join(
            f"{unit.removesuffix('_tokens')} {_brief(rate)}" for unit, rate in row.rates.items()
        )
        mark = "*" if row.holds else "-"
        text = f"{mark} {' '.join(part for part in parts if part)}: {rates}"
        lines.append(wrapped(text).replace("\n  ", "\n    "))
    return lines


def _date(text: str) -> str:
    """'2026-08-16 16:00' for an instant to the second; a date stays."""
    return text.replace("T", " ").removesuffix(":00") if text.endswith(":00") else text.replace("T", " ")


def _brief(rate: dict[str, Any]) -> str:
    steps = [*rate.get("tiers", ()), *rate.get("graduated", ())]
    return str(rate["price"]) + "".join(f" (over {above}: {price})" for above, price in steps)
