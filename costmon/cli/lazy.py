"""A command group that imports only the command that runs: `costmon check` must not pay for the terminal app."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click

Listed = Mapping[str, tuple[str, str, str]]
"""Command → (module, attribute, one line for --help), in the order of --help."""


class LazyGroup(click.Group):
    """`listed` names its commands."""

    listed: ClassVar[Listed] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.listed:
            return None
        module, attribute, _ = self.listed[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.listed.items()])
