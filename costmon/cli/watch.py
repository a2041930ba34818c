"""`costmon watch`: the engine without a screen."""

from __future__ import annotations

import os
import time

import click

from costmon import paths
from costmon.cli.signals import Stop


@click.command()
@click.option("--follow", type=int, hidden=True, help="End when this process ends (costmon run).")
@click.option("--seconds", type=float, help="End after so many seconds.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def watch(follow: int | None, seconds: float | None, quiet: bool) -> None:
    """Warn on the desktop, settle what crashed apps left open and keep the switch in step, until stopped.

    Prints one line for each change: levels crossed, blocks, problems.
    """
    if follow is not None and not _wait_for_turn(follow):
        return
    from costmon.cli.story import Story
    from costmon.monitor.engine import Engine

    stopped = Stop()
    deadline = time.monotonic() + seconds if seconds is not None else None
    engine = Engine(paths.state_home())
    story = Story(click.echo) if not quiet else None
    try:
        while not stopped and (deadline is None or time.monotonic() < deadline) and _alive(follow):
            snapshot = engine.next_snapshot(1.0)
            if snapshot is not None and story is not None:
                story.tell(snapshot)
    finally:
        engine.close()


def _wait_for_turn(process: int) -> bool:
    """Stand by, nearly for free, until nobody else is the engine; False when the followed process ended first."""
    from costmon.monitor.lock import holder

    while _alive(process):
        if holder(paths.state_home()) is None:
            return True
        time.sleep(2.0)
    return False


def _alive(process: int | None) -> bool:
    if process is None:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] != [b"Z"]
    except OSError:
        return True
