"""`costmon reprice`: price past calls anew, on the record and so that it can be taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.reprice_shown import calls, local, lock_json, run_json, run_lines, say, say_run
from costmon.cli.values import BadInput, Name

if TYPE_CHECKING:
    from costmon.monitor.reprice import Run, Scope
    from costmon.store import Store

_JSON = click.option("--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}.")
_REASON = click.option("--reason", metavar="TEXT", help="Why, for the record.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_REASONS = {
    "correction": "the old price was wrong",
    "change": "the price has changed",
    "unknown": "price became known",
}


@click.group(invoke_without_command=True)
@click.option("--since", metavar="DATE", help="Only calls from that day on (your time zone).")
@click.option("--until", metavar="DATE", help="Only calls before that day.")
@click.option("--provider", type=Name(), help="Only calls to this provider.")
@click.option(
    "--model", type=Name(), help="Only calls that asked for this model; or a resource, by its name."
)
@click.option("--app", type=Name(), help="Only calls of this app.")
@click.option("--only-unknown", is_flag=True, help="Only calls whose cost is unknown.")
@click.option("--allow-unknown", is_flag=True, help="Let a cost become unknown where its price is gone.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["correction", "change"]),
    help="The old price was wrong: all in scope; or it changed: only from --from on. [default: correction]",
)
@click.option("--from", "changed_from", metavar="DATE", help="The day a changed price holds from.")
@_REASON
@_YES
@_JSON
@click.pass_context
def reprice(
    ctx: click.Context, /, as_json: bool, yes: bool, dry_run: bool, reason: str | None, **options: Any
) -> None:
    """Price past calls anew by the prices of now.

    What a call used is a fact, what it cost a judgement: after a price file was corrected, this brings costs, sums and
    budgets in line with it. It shows first what would change, and asks. Costs that an app or a provider stated stay as
    they are, and so do locked periods. A resource keeps the price it had unless --model names it. Every run is in the
    log and can be taken back.

    \b
    costmon reprice --dry-run
    costmon reprice --model gpt-4o --since 2026-11-01 --reason "wrong in prices.toml"
    costmon reprice --as change --from 2026-11-15
    """
    if ctx.invoked_subcommand is not None:
        if yes or dry_run or reason or any(options.values()):
            raise click.UsageError(
                f"these options belong behind the word: costmon reprice {ctx.invoked_subcommand} …"
            )
        return
    from costmon.monitor.reprice import preview
    from costmon.monitor.reprice import reprice as work

    with _opened() as store:
        kind, scope = _scope(store, **options)
        if dry_run or not yes:
            found = preview(store, scope)
            if dry_run or not found.events:
                say(
                    found, as_json, {"dry_run": True, "run": None}, "would change" if dry_run else "to change"
                )
                return
            if not as_json:
                say(found, as_json, {}, "would change")
            _ask(f"Reprice {calls(found.events)}?")
        run = work(
            store,
            kind,
            scope,
            reason=_text(reason) or _REASONS[kind],
            by=_who(),
            told=_progress(as_json, "repriced"),
        )
        _after(store)
        say_run(run, as_json, table=yes)


@reprice.command()
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@_JSON
def log(count: int, as_json: bool) -> None:
    """Every repricing there was, newest first, and the locked periods."""
    from costmon.monitor.reprice import runs

    with _opened() as store:
        found = runs.runs(store.db, count)
        held = [lock for lock in runs.locks(store.db) if lock.lifted_at is None]
        zone = _zone(store)
        if as_json:
            document = {
                "runs": [run_json(run) for run in found],
                "locks": [lock_json(lock) for lock in runs.locks(store.db)],
            }
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return
    if not found:
        click.echo("Nothing was repriced yet. See what would change: costmon reprice --dry-run")
    for run in found:
        for line in run_lines(run, zone):
            click.echo(line)
    for lock in held:
        click.echo(
            f"locked: calls before {local(lock.until_at, zone)} keep their cost ({lock.reason}; {lock.by})"
        )


@reprice.command()
@click.argument("run", type=click.IntRange(1))
@_REASON
@_YES
@_JSON
def revert(run: int, reason: str | None, yes: bool, as_json: bool) -> None:
    """Take RUN back: its calls cost again what they did before it."""
    from costmon.monitor.reprice import revert as work
    from costmon.monitor.reprice.runs import run_of

    with _opened() as store:
        old = run_of(store.db, run)
        if not yes and old.state != "reverted":
            _ask(f"Take run {run} back ({calls(old.events)}, {old.reason})?")
        done = work(
            store, run, reason=_text(reason) or "taken back", by=_who(), told=_progress(as_json, "taken back")
        )
        _after(store)
        say_run(done, as_json, table=False)
        gone = old.events - done.events - done.report.reasons().get("locked", 0)
        if gone > 0 and not as_json and done.scope == old.scope:
            click.echo(
                f"{calls(gone)} of run {run} could not be taken back: they are older than what the ledger keeps sums of"
            )


@reprice.command("continue")
@click.argument("run", type=click.IntRange(1))
@_JSON
def resume(run: int, as_json: bool) -> None:
    """Go on with RUN, which was stopped in the middle."""
    from costmon.monitor.reprice import resume as work

    with _opened() as store:
        done = work(store, run, told=_progress(as_json, "done"))
        _after(store)
        say_run(done, as_json, table=True)


@reprice.command()
@click.option(
    "--until", metavar="DATE", required=True, help="Calls before that day keep their cost (your time zone)."
)
@click.option("--reason", metavar="TEXT", required=True, help='Why, for the record: "invoice paid".')
@_JSON
def lock(until: str, reason: str, as_json: bool) -> None:
    """Lock a period whose bill is settled: no repricing and no revert touches it."""
    from costmon.monitor.reprice.runs import lock_until

    why = _text(reason)
    if not why:
        raise BadInput('--reason is empty; say why, such as --reason "invoice paid"')
    with _opened() as store:
        at, now, zone = _day("--until", until, _zone(store)), store.now(), _zone(store)
        if at > now:
            raise BadInput(f"--until {until} lies ahead; only what is past can be locked")
        made = lock_until(store.db, at, reason=why, by=_who(), now=now)
    if as_json:
        click.echo(json.dumps({"lock": lock_json(made)}, ensure_ascii=False))
    else:
        click.echo(f"Calls before {local(at, zone)} keep their cost. Lift it: costmon reprice unlock")


@reprice.command()
@_JSON
def unlock(as_json: bool) -> None:
    """Lift the locks: every period can be repriced again."""
    from costmon.monitor.reprice.runs import unlock as lift

    with _opened() as store:
        lifted, zone = lift(store.db, store.now()), _zone(store)
    if as_json:
        click.echo(json.dumps({"lifted": [lock_json(lock) for lock in lifted]}, ensure_ascii=False))
        return
    for found in lifted:
        click.echo(f"lifted: calls before {local(found.until_at, zone)} ({found.reason})")
    if not lifted:
        click.echo("Nothing is locked.")


# --- what is asked for ---


@contextmanager
def _opened() -> Iterator[Store]:
    """The ledger with the config and the price files of now; what is wrong with them earns a warning."""
    from costmon.cli.budget import opened
    from costmon.monitor.prices import compile_prices
    from costmon.store.queries import settings

    with opened() as store:
        compile_prices(store)
        problem = settings(store.db).get("prices_error")
        if problem:
            click.echo(f"warning: {problem}. The last good prices stay in force.", err=True)
        yield store


def _scope(
    store: Store,
    kind: str | None,
    changed_from: str | None,
    since: str | None,
    until: str | None,
    **more: Any,
) -> tuple[str, Scope]:
    from costmon.monitor.reprice import Scope

    zone = _zone(store)
    if kind == "change" and changed_from is None:
        raise BadInput("--as change needs --from DATE, the day the new price holds from")
    if changed_from is not None and kind != "change":
        raise BadInput("--from belongs to --as change; use --since to bound a correction")
    if more["only_unknown"] and kind is not None:
        raise BadInput("--only-unknown gives calls their first price: leave --as out")
    begin = None if since is None else _day("--since", since, zone)
    end = None if until is None else _day("--until", until, zone)
    if changed_from is not None:
        begin = max(begin or 0, _day("--from", changed_from, zone))
    if begin is not None and end is not None and begin >= end:
        raise BadInput(
            "the scope is empty: it ends before it begins; --until is the first day that is left out"
        )
    return "unknown" if more["only_unknown"] else kind or "correction", Scope(begin, end, **more)


def _day(option: str, text: str, zone: str) -> int:
    """The first moment of a day in the operator's zone, or an instant with its zone; µs UTC."""
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from costmon.shim.events import clean
    from costmon.shim.timestamps import to_us

    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadInput(f"{option} {clean(text, 40)!r} is no date; write it like 2026-11-20") from error
    if not date(1970, 1, 2) <= at.date() <= date(2200, 1, 1):
        raise BadInput(f"{option} {clean(text, 40)!r} must lie in the years 1970 to 2199")
    return to_us(at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone)))


def _ask(question: str) -> None:
    import sys

    if not sys.stdin.isatty():
        raise BadInput("nothing is changed without a yes: add --yes, or look with --dry-run")
    if not click.confirm(question, err=True):
        click.echo("Nothing is changed.", err=True)
        raise click.exceptions.Exit(1)


def _progress(as_json: bool, done: str) -> Callable[[Run], None]:
    """Tell how far it is, on a terminal, once a second."""
    import sys
    import time

    told = time.monotonic()

    def tell(run: Run) -> None:
        nonlocal told
        if not as_json and sys.stderr.isatty() and time.monotonic() - told > 1:
            told = time.monotonic()
            click.echo(f"  {run.events:,} calls {done} …", err=True)

    return tell


def _after(store: Store) -> None:
    """A budget that is below a level now lifts the block it had set, or sets one."""
    from costmon.cli.budget import sync_switch

    sync_switch(store)


def _who() -> str:
    from costmon.cli.switch import who

    return who()


def _text(value: str | None) -> str:
    from costmon.shim.events import clean

    return clean(value or "", 500)


def _zone(store: Store) -> str:
    from costmon.monitor.compile.settings import setting

    return setting(store.db, "time_zone") or "UTC"
