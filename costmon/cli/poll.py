"""`costmon poll`: what providers say was spent, as last read, or read now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costmon.config import Config
    from costmon.config.values import Source
    from costmon.sources.providers.polling.byhand import Done
    from costmon.sources.providers.polling.rounds import Polled
    from costmon.store import Store


@click.command()
@click.option("--once", is_flag=True, help="Read every source now, one round each, and print all figures.")
@click.option(
    "--source", "names", multiple=True, metavar="NAME", help="Only this source; may be given again."
)
@click.option("--kinds", is_flag=True, help="List the kinds of sources there are, and what each needs.")
@click.option(
    "--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}, times are UTC."
)
@click.pass_context
def poll(ctx: click.Context, once: bool, names: tuple[str, ...], kinds: bool, as_json: bool) -> None:
    """Figures of providers themselves: their own account of what was spent, and balances.

    \b
    costmon poll                          how each source stands; asks nobody
    costmon poll --once                   read them all now
    costmon poll --once --source openai   read one
    costmon poll --kinds                  which kinds there are

    Sources are the [source.NAME] tables of config.toml (costmon keys set adds one). A running costmon, or costmon watch,
    polls them by itself. A source whose requests cost money is read by hand only when it is named.

    Exits 0 when every source could be read, 1 when one could not, 2 when a setting is wrong.
    """
    from costmon import config, paths
    from costmon.cli.budget import opened

    if kinds:
        _show_kinds(as_json=as_json)
        return
    config.ensure(paths.config_file())
    with opened() as store:
        loaded = config.load(paths.config_file())
        sources = _chosen(loaded, names)
        if not loaded.sources:
            _say_none(loaded.path, as_json=as_json)
        elif once:
            ctx.exit(_read_now(store, loaded, sources, named=bool(names), as_json=as_json))
        else:
            _show(store, loaded, sources, as_json=as_json)


def _show_kinds(*, as_json: bool) -> None:
    from costmon.cli.kinds_shown import kinds_json, kinds_text

    click.echo(json.dumps({"kinds": kinds_json()}, indent=2, ensure_ascii=False) if as_json else kinds_text())


def _chosen(loaded: Config, names: Sequence[str]) -> list[Source]:
    """The sources that are switched on, or those named. Raises BadInput."""
    from costmon.cli.values import BadInput
    from costmon.config.source import meant

    by_name = {source.name: source for source in loaded.sources}
    for name in names:
        if name not in by_name:
            hint = meant(name, tuple(by_name)) if by_name else f"there is none yet in {loaded.path}"
            raise BadInput(f"--source: there is no [source.{name[:60]}] in the config; {hint}")
        if not by_name[name].enabled:
            raise BadInput(f"--source: {name} is switched off (enabled = false under [source.{name}])")
    return [source for source in loaded.sources if source.enabled and (not names or source.name in names)]


def _read_now(store: Store, loaded: Config, sources: list[Source], *, named: bool, as_json: bool) -> int:
    """One round of them; the exit code."""
    from costmon.cli import polled as shown
    from costmon.cli import polled_json as as_data
    from costmon.sources.providers.polling.rounds import may_ask, resolve

    every = [resolve(source) for source in loaded.sources]
    names = {source.name for source in sources}
    chosen, skipped = [], {}
    for one in every:
        if one.name in names:
            why = "" if may_ask(store.home, one) else "this is a simulation, which asks only this machine"
            why = why or ("" if named else _fee(one))
            if why:
                skipped[one.name] = why
            else:
                chosen.append(one)
    done = _rounds(store, every, chosen)
    _count(store)
    found = [shown.round_of(store, one) for one in done]
    if as_json:
        document = {
            "at": as_data.time_of(store.now()),
            "sources": [as_data.to_json(one) for one in found],
            "skipped": skipped,
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(["\n".join(shown.to_text(one)) for one in found] + _skips(skipped)))
    return _exit_code([one.status.state for one in found])


def _rounds(store: Store, every: list[Polled], chosen: list[Polled]) -> list[Done]:
    """A round of each; one that is told to end (SIGTERM, SIGHUP) leaves its sources free for the next."""
    import asyncio
    import signal
    from contextlib import suppress

    from costmon.sources.providers.polling.byhand import poll as poll_once

    told: list[int] = []

    def end(number: int, task: asyncio.Task[object]) -> None:
        told.append(number)
        task.cancel()

    async def run() -> list[Done]:
        task = asyncio.ensure_future(poll_once(store, every, chosen, _say_waiting))
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, end, number, task)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if not told:
            raise
        click.echo("Ended before all was read; the figures on file are kept.", err=True)
        raise SystemExit(128 + told[0]) from None


def _say_waiting(name: str) -> None:
    click.echo(f"{name}: another costmon is reading it now; waiting for that round to end …", err=True)


def _count(store: Store) -> None:
    """What was read counts in budgets and in the switch at once, as no engine may be running."""
    from costmon import paths
    from costmon.errors import CostmonError
    from costmon.monitor import unlogged
    from costmon.shim import blocks, policy

    try:
        unlogged.refresh(store.db, store.now())
        blocks.sync(store.db, policy.load(store.db), paths.switch_dir(store.home), store.now())
    except (CostmonError, OSError) as error:
        click.echo(f"Budgets do not count these figures yet: {error}", err=True)


def _fee(one: Polled) -> str:
    from costmon.shim.money import format_money, to_nano

    if one.kind is None or one.kind.fee is None:
        return ""
    fee = format_money(to_nano(one.kind.fee[0]), one.kind.fee[1])
    return f"each request costs {fee}; read it with: costmon poll --once --source {one.name}"


def _skips(skipped: dict[str, str]) -> list[str]:
    from costmon.cli.values import wrapped

    return [wrapped(f"{name} was not read: {why}", "") for name, why in skipped.items()]


def _exit_code(states: list[str]) -> int:
    if any(state == "config" for state in states):
        return 2
    return int(any(state != "ok" for state in states))


def _show(store: Store, loaded: Config, sources: list[Source], *, as_json: bool) -> None:
    from costmon.cli import polled as shown
    from costmon.cli import polled_json as as_data
    from costmon.cli.values import wrapped
    from costmon.monitor.figures import source_status
    from costmon.monitor.lock import holder

    now = store.now()
    by_name = {status.name: status for status in source_status(store.db, now)}
    known = [by_name[source.name] for source in sources if source.name in by_name]
    new = [source.name for source in sources if source.name not in by_name]
    if as_json:
        document = {
            "at": as_data.time_of(now),
            "polling": holder(store.home) is not None,
            "sources": [as_data.status_json(status, now) for status in known],
            "never_polled": new,
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if known:
        click.echo(shown.status_table(known, now))
    for status in known:
        for line in shown.remarks(status, now):
            click.echo(wrapped(f"{status.name}: {line}", "  "))
    if new:
        click.echo(f"Never read: {', '.join(new)}. Read it now: costmon poll --once")
    off = [source.name for source in loaded.sources if not source.enabled]
    if off:
        click.echo(f"Switched off: {', '.join(off)}.")
    if holder(store.home) is None:
        click.echo("Nobody polls now: run costmon or costmon watch.")


def _say_none(path: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"sources": []}))
    else:
        click.echo(
            f"No source yet. costmon keys set openai adds one, or add a [source.NAME] table to {path}."
        )
