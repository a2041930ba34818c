"""`costmon jobs`: what is planned, what ran, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.monitor.schedule.judging import JobState
    from costmon.monitor.schedule.values import Schedule


@click.command()
@click.argument("job", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}, times are UTC."
)
def jobs(job: str | None, as_json: bool) -> None:
    """Every job: its plan, its next run, and what ran against what was planned. With JOB everything of that one.

    \b
    costmon jobs
    costmon jobs trade
    costmon jobs trade --json

    The plan of a job is what config.toml says ([jobs.trade] every = "60m"), else the longest plan any process announces
    for it. Runs beside it are unexpected; a rhythm nobody has confirmed is shown and never trusted.

    \b
    expected   as planned                  other plan   of a process with another plan
    early      before its time             doubled      a second process runs the same job
    late       after its time              extra        nobody planned it
    restart    its process had begun anew  restart loop again at every restart
    manual     a person started it         catch-up     owed from while nobody watched
    """
    from costmon import config, paths
    from costmon.cli import jobs_shown
    from costmon.cli.values import BadInput
    from costmon.errors import ConfigError
    from costmon.monitor.lock import holder
    from costmon.shim.events import clean

    home = paths.state_home()
    watching = holder(home) is not None
    try:
        loaded, problem = config.load(paths.config_file()), ""
    except ConfigError as error:
        loaded, problem = None, str(error)
    with ledger(home) as found:
        told, _, now, zone = read(found, home, watching, loaded)
    known = {one.name: one for one in told.jobs}
    if job is not None and job not in known:
        there = f"there is {', '.join(sorted(known)[:12])}" if known else "no job has been seen yet"
        raise BadInput(f"no job is called {clean(job, 60)!r}; {there}")
    if as_json:
        document = jobs_shown.to_json(told, watching=watching, only=job)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif job is not None:
        click.echo("\n".join(jobs_shown.details(known[job], now, zone, watching=watching)))
    else:
        click.echo("\n".join(jobs_shown.table(told, now, zone, watching=watching)))
    if problem:
        click.echo(f"warning: {problem}", err=True)


@contextmanager
def ledger(home: str) -> Iterator[Connection | None]:
    """The ledger, only to be read; None where there is none yet. Raises LedgerUnusable for one that is older than this
    costmon, which `costmon status` brings up to date."""
    import os
    import sqlite3
    from contextlib import closing

    from costmon import paths
    from costmon.errors import LedgerUnusable
    from costmon.shim import schema

    path = paths.ledger_file(home)
    if not os.path.exists(path):
        yield None
        return
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=2)) as db:
            if db.execute("pragma user_version").fetchone()[0] < schema.VERSION:
                raise LedgerUnusable(
                    f"{home}: the ledger was made by an older costmon; costmon status renews it"
                )
            yield db
    except sqlite3.Error as error:
        raise LedgerUnusable(
            f"{home}: the ledger cannot be read: {error}; costmon doctor tells what to do"
        ) from error


def read(
    db: Connection | None, home: str, watching: bool, loaded: Any
) -> tuple[Schedule, dict[str, JobState], int, str]:
    """(what front ends show, how each job stands, now in µs UTC, the operator's zone), with the config as it is now."""
    from costmon.config import machine_zone
    from costmon.config.schedules import JobsInForce
    from costmon.monitor.schedule.judging import Judging
    from costmon.monitor.schedule.shown import schedule
    from costmon.monitor.schedule.values import Schedule as Nothing
    from costmon.shim.clock import clock_of
    from costmon.store.queries import settings

    now = clock_of(home)()
    if db is None:
        return Nothing(), {}, now, loaded.time_zone if loaded is not None else machine_zone()
    in_force = JobsInForce(loaded.jobs, loaded.schedules, loaded.logs) if loaded is not None else None
    judging = Judging(in_force)
    states = judging.refresh(db, now, watching=watching)
    told = schedule(db, judging, now, watching=watching)
    return told, {state.name.name: state for state in states}, now, settings(db).get("time_zone") or "UTC"


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)
