"""`costmon`: the terminal app over an engine."""

from __future__ import annotations

import os
import sys

import click

from costmon import config, paths
from costmon.errors import ConfigError


def open_terminal(theme: str) -> int:
    """Run the terminal app; returns the exit code."""
    if not sys.stdout.isatty() and not os.environ.get("TEXTUAL_DRIVER"):
        click.echo("costmon: this is no terminal; use `costmon status` or `costmon watch`", err=True)
        return 2
    from costmon.monitor.live import Live
    from costmon.tui.app import CostmonApp

    live = Live(paths.state_home())
    try:
        app = CostmonApp(live, theme=theme or _theme())
        app.run()
        return app.return_code or 0
    finally:
        live.close()


def _theme() -> str:
    try:
        return config.load(paths.config_file()).tui.theme
    except ConfigError:
        return ""  # the screen itself says what is wrong with the file
