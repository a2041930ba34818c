"""`costmon reconcile`: what providers billed beside what apps logged, and what nobody logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from costmon.config import Config
    from costmon.store import Store

_DAYS = 7
_MOST_DAYS = 400


@click.command()
@click.option(
    "--since", metavar="DATE", help="The first UTC day, such as 2026-11-01 [default: six days ago]."
)
@click.option("--until", metavar="DATE", help="The last UTC day [default: today].")
@click.option("--provider", metavar="NAME", help="Only this provider.")
@click.option(
    "--by",
    type=click.Choice(["day", "model"]),
    help="One row a day (all models), or one a model (all days) [default: one for each of both].",
)
@click.option(
    "--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}, times are UTC."
)
def reconcile(
    since: str | None, until: str | None, provider: str | None, by: str | None, as_json: bool
) -> None:
    """Compare what providers say you spent with what your apps logged.

    \b
    costmon reconcile                              the last seven days
    costmon reconcile --since 2026-11-01 --by day
    costmon reconcile --provider openai --by model

    Days are UTC days, as providers count them. UNLOGGED is BILLED less LOGGED: spend of something that costmon does not
    see. Below zero, apps logged more than was billed, or the bill is not complete yet.

    \b
    final     the figure is what will be billed
    settling  the day is over, and its figure may still grow
    partial   the day is not over, was read before it was, or lacks something
    stale     the source has not been read for three times its rhythm
    unknown   there is no figure of the provider

    ~ is estimated, ≥ is at least, ≤ is at most, ? is unknown. Nobody is asked anything: costmon poll --once reads anew.
    """
    from costmon import config, paths
    from costmon.cli.budget import opened
    from costmon.monitor.engine import read_config
    from costmon.monitor.reconciled import reconcile as compare

    config.ensure(paths.config_file())
    with opened() as store:
        problem = read_config(store)
        loaded = config.load(paths.config_file()) if not problem else None
        now = store.now()
        start, end = _range(since, until, now)
        name = _provider(store, loaded, provider)
        found = compare(store.db, now, start, end, name)
        silent = _silent(store, loaded, start, end, name)
        if as_json:
            from costmon.cli.reconciled_json import to_json

            click.echo(
                json.dumps(to_json(store, found, silent, start, end, by), indent=2, ensure_ascii=False)
            )
        else:
            from costmon.cli.reconciled import to_text

            click.echo("\n".join(to_text(store, found, silent, by)))
        if problem:
            click.echo(f"warning: {problem}", err=True)


def _range(since: str | None, until: str | None, now: int) -> tuple[int, int]:
    """[start, end) in µs UTC, whole UTC days."""
    from datetime import UTC, datetime, time, timedelta

    from costmon.cli.values import BadInput, day_of
    from costmon.shim.timestamps import to_datetime, to_us

    today = to_datetime(now).date()
    last = day_of(until, "--until") or today
    first = day_of(since, "--since") or last - timedelta(days=_DAYS - 1)
    if first > last:
        raise BadInput(f"--since {first} lies after {'--until' if until else 'today,'} {last}; swap them")
    if first > today:
        raise BadInput(f"--since {first} lies in the future; there is nothing to compare yet")
    if first.year < 2000 or last.year > 2199:
        raise BadInput("--since and --until must lie in the years 2000 to 2199")
    if (last - first).days >= _MOST_DAYS:
        raise BadInput(f"{first} to {last} are more than {_MOST_DAYS} days; ask for fewer")
    midnight = time(tzinfo=UTC)
    return (
        to_us(datetime.combine(first, midnight)),
        to_us(datetime.combine(last + timedelta(days=1), midnight)),
    )


def _provider(store: Store, loaded: Config | None, provider: str | None) -> str:
    """'' for all. Raises BadInput for one nobody ever heard of."""
    from costmon.cli.values import BadInput
    from costmon.monitor.bills import read_traits

    if provider is None:
        return ""
    name = provider.strip().lower()
    known = {one.row.provider for one in read_traits(store.db)} | _configured(loaded)
    known |= {row[0] for row in store.db.execute("select distinct provider from rollup_day")}
    if name in known:
        return name
    there = f"there is {', '.join(sorted(known)[:12])}" if known else "no app has called one yet"
    from costmon.shim.events import clean

    raise BadInput(f"--provider {clean(provider, 60)!r}: nothing is known of it; {there}")


def _configured(loaded: Config | None) -> set[str]:
    """The providers whose figures the config asks for."""
    from costmon.sources.providers.protocol import SourceError
    from costmon.sources.providers.registry import kind

    found = set()
    for source in loaded.sources if loaded is not None else ():
        try:
            found.add(source.provider or kind(source.kind).provider)
        except SourceError:
            found.add(source.kind)
    return found


def _silent(store: Store, loaded: Config | None, start: int, end: int, name: str) -> list[dict[str, object]]:
    """The providers apps called that no source tells figures of: how often, why, and how to get them."""
    from costmon.monitor.bills import read_traits
    from costmon.sources.providers import absent
    from costmon.store.figures import providers_seen

    told = {one.row.provider for one in read_traits(store.db)}
    awaited = _configured(loaded)
    found: list[dict[str, object]] = []
    for provider, calls in providers_seen(store.db, start, end):
        if provider in told or name not in ("", provider):
            continue
        why, how = absent.why(provider), _way(provider)
        if provider in awaited:
            why, how = "Its source is in the config and was never read", "costmon poll --once"
        found.append({"provider": provider, "calls": calls, "why": why, "how": how})
    return found


def _way(provider: str) -> str:
    """The command that adds a source of `provider`, '' where there is none."""
    from costmon.sources.providers.protocol import SourceError
    from costmon.sources.providers.registry import kind, names

    for name in names():
        try:
            if provider in (name, kind(name).provider):
                return f"costmon keys set {name}"
        except SourceError:
            continue
    return ""
