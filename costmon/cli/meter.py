"""`costmon meter`: what servers, storage, traffic and subscriptions cost, and when a server runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from costmon.monitor.snapshot import ResourceStatus
    from costmon.shim.money import Money
    from costmon.sources.resources.announce import Announced
    from costmon.sources.resources.rows import Run
    from costmon.store import Store

_JSON = click.option(
    "--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}, times are UTC."
)
_AT = click.option(
    "--at", metavar="TIME", help='When it was: "18:00", "2026-11-20 18:00" (your zone) [default: now].'
)


@click.group(invoke_without_command=True)
@_JSON
@click.pass_context
def meter(ctx: click.Context, as_json: bool) -> None:
    """What costs without a call: servers, storage, traffic and subscriptions.

    They are named in config.toml, as [resource.NAME]. A running costmon (or costmon watch) accounts for them every quarter
    hour, as events in the ledger that count against budgets. Without a command: costmon meter status.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(status, as_json=as_json)
    elif as_json:
        raise click.UsageError(
            f"--json belongs behind the word: costmon meter {ctx.invoked_subcommand} --json"
        )


@meter.command()
@click.argument("name")
@_AT
@click.option(
    "--until", metavar="TIME", help="When it stopped: tells of a whole run, before others too [needs --at]."
)
@click.option("--yes", is_flag=True, help="It did start more than 10 days ago; that cannot be taken back.")
@_JSON
def start(name: str, at: str | None, until: str | None, yes: bool, as_json: bool) -> None:
    """The server NAME runs from now on (or from --at on).

    \b
    costmon meter start gpu-box
    costmon meter start gpu-box --at "2026-11-20 10:00" --until "2026-11-20 12:30"

    With --until it is a run that is over. It may begin 10 days ago and lie before later runs, but within none, and not
    while the server runs: stop it first. Free amounts go to the runs in the order in which they are told.
    """
    if until is not None:
        if at is None:
            raise click.UsageError("--until needs --at, the time when it started")
        _tell(name, at, until, as_json)
        return
    from costmon.cli.switch import who
    from costmon.sources import resources

    with _opened() as store:
        zone, now = _zone(store), store.now()
        found = resources.start(store.db, name, _instant(at, zone, now), now, who(), _say(zone), long_ago=yes)
        if as_json:
            click.echo(_run_json(found))
        elif found.run is not None:
            since = _say(zone)(found.run.started_at)
            click.echo(
                f"{name} runs since {since}" if found.changed else f"{name} runs already, since {since}"
            )
            _say_nobody_counts(store)


@meter.command()
@click.argument("name")
@_AT
@_JSON
def stop(name: str, at: str | None, as_json: bool) -> None:
    """The server NAME stopped.

    What it cost until then is accounted at once. When it had stopped earlier than you said, say so with --at, within 10
    days: what was accounted for later is taken back, exactly.
    """
    from costmon.cli.budget import sync_switch
    from costmon.sources import resources

    with _opened() as store:
        zone, now = _zone(store), store.now()
        found = resources.stop(store.db, name, _instant(at, zone, now), now, _say(zone))
        sync_switch(store)
        if as_json:
            click.echo(_run_json(found))
        elif found.run is None:
            click.echo(
                f"{name} {'ran for less than a second' if found.changed else 'never ran'}: nothing is accounted"
            )
        elif not found.changed:
            click.echo(f"{name} does not run; it stopped at {_say(zone)(found.run.stopped_at or 0)}")
        else:
            click.echo(f"{name} stopped after {_span(found.run, now)}{_this_month(store, name)}")


def _tell(name: str, at: str, until: str, as_json: bool) -> None:
    from costmon.cli.budget import sync_switch
    from costmon.cli.switch import who
    from costmon.sources import resources

    with _opened() as store:
        zone, now = _zone(store), store.now()
        begun, ended = _instant(at, zone, now), _instant(until, zone, now, "--until")
        found = resources.tell(store.db, name, begun, ended, now, who(), _say(zone))
        sync_switch(store)
        if as_json:
            click.echo(_run_json(found))
        elif found.run is not None:
            since = _say(zone)(found.run.started_at)
            known = "" if found.changed else ", as was known already"
            click.echo(
                f"{name} ran for {_span(found.run, now)} from {since}{known}{_this_month(store, name)}"
            )


def _this_month(store: Store, name: str) -> str:
    status = _statuses(store, name)[0]
    return f"; this month: {_amount(status)}, {_cost(status)}"


@meter.command("list")
@click.argument("name", required=False)
@_JSON
def list_runs(name: str | None, as_json: bool) -> None:
    """When servers ran, newest first (of NAME, or of all)."""
    from costmon.sources.resources import rows

    with _opened() as store:
        zone, now = _zone(store), store.now()
        found = rows.runs(store.db, name, count=200)
    if as_json:
        click.echo(json.dumps({"runs": [_run_fields(run) for run in found]}, ensure_ascii=False))
    elif not found:
        click.echo("No run yet. Begin one: costmon meter start NAME")
    else:
        from costmon.cli.budget import table
        from costmon.shim.events import clean

        def say(at_us: int) -> str:
            return _say(zone)(at_us).rpartition(" ")[0]  # without the zone: it is the reader's own

        cells = [
            (
                *(clean(run.resource), say(run.started_at), say(run.stopped_at) if run.stopped_at else "-"),
                *(_span(run, now), clean(run.by, 30) + (", end estimated" if run.estimated else "")),
            )
            for run in found
        ]
        click.echo(table([("NAME", "FROM", "UNTIL", "LENGTH", "BY"), *cells]))


@meter.command()
@click.argument("name", required=False)
@_JSON
def status(name: str | None = None, as_json: bool = False) -> None:
    """What every resource (or NAME) used and cost this month."""
    from costmon import paths
    from costmon.cli.values import wrapped
    from costmon.monitor.resources import resource_json
    from costmon.shim.events import clean

    with _opened() as store:
        found = _statuses(store, name)
        if as_json:
            click.echo(
                json.dumps({"resources": [resource_json(one) for one in found]}, indent=2, ensure_ascii=False)
            )
            return
        if not found:
            click.echo(
                f"No resource yet. Add a [resource.NAME] table to {paths.config_file()}; examples are in it."
            )
            return
        _print_table(found)
        for one in found:
            for line in _remarks(one):
                click.echo(wrapped(f"{clean(one.name)}: {line}", "  "))
        _say_nobody_counts(store)


def _print_table(found: list[ResourceStatus]) -> None:
    from costmon.cli.budget import table
    from costmon.shim.events import clean

    cells = [
        (
            clean(one.name),
            one.kind,
            clean(one.provider),
            _state(one),
            _amount(one),
            _cost(one),
            _money(one.ahead),
        )
        for one in found
    ]
    click.echo(table([("NAME", "KIND", "PROVIDER", "STATE", "THIS MONTH", "COST", "PENDING"), *cells]))


def _remarks(one: ResourceStatus) -> Iterator[str]:
    from costmon.monitor.resources import between_text

    if one.problem:
        yield one.problem
    if one.note:
        yield one.note
    if one.estimated:
        hours = "1 quarter hour is" if one.estimated == 1 else f"{one.estimated} quarter hours are"
        yield f"{hours} estimated{between_text(one)}"


def _state(one: ResourceStatus) -> str:
    if one.problem:
        return "problem"
    if one.since is None:
        return "new"
    return "on" if one.running else "off"


def _amount(one: ResourceStatus) -> str:
    from costmon.monitor.resources import amount_text

    return amount_text(one)


def _cost(one: ResourceStatus) -> str:
    from costmon.monitor.resources import cost_text

    return cost_text(one)


def _money(money: Money | None) -> str:
    from costmon.shim.money import format_money

    return format_money(*money) if money is not None and money.nano else "-"


def _statuses(store: Store, name: str | None) -> list[ResourceStatus]:
    from costmon.errors import ConfigError
    from costmon.monitor.resources import resource_status

    found = resource_status(store.db, store.now())
    if name is None:
        return list(found)
    chosen = [one for one in found if one.name == name]
    if not chosen:
        names = ", ".join(one.name for one in found) or "none yet"
        raise ConfigError(f'no resource is named "{name}" (there are: {names})')
    return chosen


@contextmanager
def _opened() -> Iterator[Store]:
    """The ledger, after reading the config and the prices; a broken config earns a warning."""
    from costmon import config, paths
    from costmon.cli.budget import opened
    from costmon.monitor.prices import compile_prices

    config.ensure(paths.config_file())
    with opened() as store:
        compile_prices(store)
        yield store


def _say_nobody_counts(store: Store) -> None:
    from costmon.monitor.lock import holder

    if holder(store.home) is None:
        click.echo("Nobody accounts for it now: run costmon or costmon watch (what was missed is caught up).")


def _zone(store: Store) -> str:
    from costmon.monitor.compile.settings import setting

    return setting(store.db, "time_zone") or "UTC"


def _say(zone: str) -> Callable[[int], str]:
    from costmon.cli.budget import local_time

    return lambda at_us: local_time(at_us, zone)


def _instant(text: str | None, zone: str, now: int, option: str = "--at") -> int:
    """`--at` or `--until` in µs UTC."""
    from datetime import datetime, time
    from zoneinfo import ZoneInfo

    from costmon.shim.timestamps import to_datetime, to_us

    if text is None:
        return now
    home = ZoneInfo(zone)
    try:
        if len(text) <= len("18:00:00"):
            today = to_datetime(now).astimezone(home).date()
            return to_us(datetime.combine(today, time.fromisoformat(text), tzinfo=home))
        at = datetime.fromisoformat(text)
        return to_us(at if at.tzinfo else at.replace(tzinfo=home))
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f'must be a time such as "18:00" or "2026-11-20 18:00", not "{text[:60]}"', param_hint=option
        ) from error


def _span(run: Run, now: int) -> str:
    seconds = max(0, (run.stopped_at if run.stopped_at is not None else now) - run.started_at) // 1_000_000
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds % 60:02d} s"


def _run_json(found: Announced) -> str:
    fields = _run_fields(found.run) if found.run is not None else None
    return json.dumps({"changed": found.changed, "run": fields}, ensure_ascii=False)


def _run_fields(run: Run) -> dict[str, object]:
    from costmon.shim.timestamps import to_iso

    return {
        "resource": run.resource,
        "started_at": to_iso(run.started_at),
        "stopped_at": to_iso(run.stopped_at) if run.stopped_at is not None else None,
        "accounted_until": to_iso(run.accounted_until),
        "by": run.by,
        "estimated": run.estimated,
    }
