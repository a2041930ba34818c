"""`costmon prices`: what a model costs and where that figure comes from. Commands load when they are used."""

from __future__ import annotations

import click

from costmon.cli.lazy import LazyGroup

# command → (module, attribute, one line for --help)
_COMMANDS = {
    "show": (
        "costmon.cli.prices.show",
        "show",
        "One model's rate card: prices, tiers, windows, history, source.",
    ),
    "list": (
        "costmon.cli.prices.listing",
        "list_prices",
        "Every model that has a price; --search narrows it.",
    ),
    "compare": ("costmon.cli.prices.listing", "compare", "A few models side by side, and one sample call."),
    "check": ("costmon.cli.prices.check", "check", "Old, missing and unpriced: what needs doing."),
    "update": ("costmon.cli.price_update", "update", "Fetch newer base prices, if you say so."),
    "build": ("costmon.cli.prices.build", "build", "For developers: make catalog.json."),
}


class _Prices(LazyGroup):
    listed = _COMMANDS


@click.command(cls=_Prices)
def prices() -> None:
    """Show, list, compare and check the rate cards costmon prices by."""
