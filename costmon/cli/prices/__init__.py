"""`costmon prices`: what a model costs and where that figure comes from. Commands load when they are used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

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


class _Lazy(click.Group):
    """Imports only the command that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (module, _, _) in _COMMANDS.items() if find_spec(module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.command(cls=_Lazy)
def prices() -> None:
    """Show, list, compare and check the rate cards costmon prices by."""
