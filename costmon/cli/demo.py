"""`costmon demo`: the whole loop in about a minute, with nothing real in it but costmon."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from costmon.cli.signals import Stop
from costmon.demo.stage import DAY_S, Stage

if TYPE_CHECKING:
    from textual.app import App

_TOO_LONG_DAYS = 3
_PATIENCE_S = 3.0
_SHORTEST_DAY_S = 30.0
_DAYS_PER_STORY = 1.1  # the last refusal comes at about 21 o'clock
_LOOK_S = 0.25


@click.command()
@click.option("--headless", is_flag=True, help="Tell the story as text; so it is without a terminal, too.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after so many seconds.")
@click.option(
    "--day",
    type=click.FloatRange(min=_SHORTEST_DAY_S, max=3600),
    help=f"Seconds that a simulated day lasts; default {DAY_S:g}, or so that the story fits into --seconds.",
)
@click.option("--keep", is_flag=True, help="Keep the simulation's home and print where it is.")
@click.option("--theme", default="", help="Start with this theme.")
def demo(headless: bool, seconds: float | None, day: float | None, keep: bool, theme: str) -> None:
    """A SIMULATION: made-up apps overspend on a made-up API, are warned about, refused, and freed the next day.

    Needs no key, no config and no network. Everything it writes is in a temporary home that goes with it.
    Press k to stop the apps and to free them, q to quit.
    """
    if seconds is not None and day is None:
        day = min(DAY_S, max(_SHORTEST_DAY_S, seconds * _DAYS_PER_STORY))
    day = DAY_S if day is None else day
    stage = Stage(day_s=day, keep=keep)
    stop = Stop(lambda: _hurry(stage))
    headless = headless or not sys.stdout.isatty()
    with stage:
        done = _tell(stage, stop, seconds, day) if headless else _show(stage, stop, seconds, theme)
    if keep:
        click.echo(f"the home is kept: {stage.home}")
    if not done:
        raise click.ClickException(
            "the story did not come to its end; costmon demo --keep leaves its logs to look at"
        )


def _hurry(stage: Stage) -> None:
    """A terminal that went away can keep the terminal app from ever ending: then everything is torn down without it."""

    def tear_down() -> None:
        try:
            stage.__exit__(None, None, None)
        finally:
            os._exit(1)

    patience = threading.Timer(_PATIENCE_S, tear_down)
    patience.daemon = True
    patience.start()


def _tell(stage: Stage, stop: Stop, seconds: float | None, day: float) -> bool:
    """Print the story; False when it could not be told within three simulated days."""
    from costmon.cli.story import Story
    from costmon.demo.telling import Telling
    from costmon.monitor.engine import Engine

    began = time.monotonic()
    deadline = began + (seconds if seconds is not None else _TOO_LONG_DAYS * day)
    engine = Engine(stage.home)
    telling = Telling(stage.home, click.echo, Story(click.echo).tell, day)
    try:
        while not stop and time.monotonic() < deadline and (seconds is not None or not telling.told):
            lines = stage.lines()
            telling.tell(engine.next_snapshot(min(_LOOK_S, max(0.0, deadline - time.monotonic()))), lines)
    finally:
        engine.close()
        telling.close(stage.complaints())
    return bool(stop) or seconds is not None or telling.told


def _show(stage: Stage, stop: Stop, seconds: float | None, theme: str) -> bool:
    """Run the terminal app until q, Ctrl-C or a signal; False when it failed."""
    from costmon.demo.screen import DemoApp, DemoFeed

    feed = DemoFeed(stage)
    app = DemoApp(feed, theme=theme)

    async def run() -> None:
        leaving = asyncio.create_task(_leave(app, stop, seconds))
        await app.run_async()
        leaving.cancel()

    try:
        asyncio.run(run())
    finally:
        feed.close()
    return not app.return_code


async def _leave(app: App[None], stop: Stop, seconds: float | None) -> None:
    """End the app after a signal or so many seconds; said more than once, for one that is still starting."""
    deadline = time.monotonic() + seconds if seconds is not None else math.inf
    while True:
        await asyncio.sleep(0.1)
        if stop or time.monotonic() >= deadline:
            app.exit()
