"""`costmon bypass`: let calls through for a while that budgets and rules would refuse, on the record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from costmon.monitor.overrides import BypassRow
    from costmon.store import Store

MAX_US = 24 * 3600 * 1_000_000
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs; times are UTC.")


@click.group(invoke_without_command=True)
@click.option("--for", "span", help="How long: 15m, 1h30m; 24h at most.")
@click.option("--why", help="The reason, for the record.")
@click.option(
    "--scope", help="Only for provider=…, model=…, app=…, route=…, job=… [default: all].", default=None
)
@_JSON
@click.pass_context
def bypass(ctx: click.Context, span: str | None, why: str | None, scope: str | None, as_json: bool) -> None:
    """Let calls through for a while, whatever budgets, rate limits, the breaker and the guards say.

    `costmon bypass --for 15m --why "the market crashed"` begins one; it ends by itself. What a person has blocked stays
    blocked. Every call is still recorded, and who did this when and why stays on record. Without options it lists what
    there is and was.
    """
    given = [value for value in (span, why, scope) if value is not None]
    if ctx.invoked_subcommand is not None:
        if given:
            raise click.UsageError(
                f"these options belong behind the word: costmon bypass {ctx.invoked_subcommand}"
            )
    elif given:
        _begin(span, why, scope, as_json)
    else:
        _list(as_json)


@bypass.command()
@click.option("--scope", help="Only the bypass of this scope [default: every one].", default=None)
@_JSON
@click.pass_context
def end(ctx: click.Context, scope: str | None, as_json: bool) -> None:
    """End what is active now; budgets and rules hold again from the next call on."""
    from costmon.cli.budget import opened, sync_switch
    from costmon.cli.switch import who
    from costmon.monitor.overrides import end_bypasses

    wanted = None if scope is None else _scope(scope)
    with opened() as store:
        ended = end_bypasses(store.db, scope=wanted, by=who(), now_us=store.now())
        if as_json or (ctx.parent is not None and ctx.parent.params["as_json"]):
            click.echo(
                json.dumps({"ended": [_as_json(row, store.now()) for row in ended]}, ensure_ascii=False)
            )
        else:
            for row in ended:
                click.echo(f"ended: the bypass of {_covered(row.scope)}. Budgets and rules hold again.")
            if not ended:
                click.echo("no bypass is active" + (f" for {wanted}" if wanted else ""))
        sync_switch(store)


def _begin(span: str | None, why: str | None, scope: str | None, as_json: bool) -> None:
    from costmon.cli.budget import opened, sync_switch
    from costmon.cli.switch import who
    from costmon.monitor.overrides import active_bypasses, start_bypass
    from costmon.shim.events import clean

    length = _length(span)
    reason = clean(why or "", 500).strip()
    if not reason:
        raise click.UsageError('say why, for the record: --why "the market crashed"')
    wanted = _scope(scope or "all")
    with opened() as store:
        now = store.now()
        others = [row for row in active_bypasses(store.db, now) if row.scope == wanted]
        row = start_bypass(store.db, scope=wanted, by=who(), reason=reason, now_us=now, until_us=now + length)
        blocked = _blocked_by_hand(now)
        if as_json:
            document = {"bypass": _as_json(row, now), "still_blocked": blocked}
            click.echo(json.dumps(document, ensure_ascii=False))
        else:
            _say_begun(row, others, blocked, _zone(store))
        sync_switch(store)


def _say_begun(row: BypassRow, others: list[BypassRow], blocked: list[dict[str, str]], zone: str) -> None:
    click.echo(
        f"bypass: {_calls_of(row.scope)} go out until {_local(row.until_at, zone)}, whatever budgets, rate limits, the"
        " breaker and the guards say. They are recorded as ever. End it: costmon bypass end"
    )
    for other in others:
        if other.until_at > row.until_at:
            click.echo(f"an earlier bypass of it holds longer: until {_local(other.until_at, zone)}")
    for entry in blocked:
        command = "costmon allow" + ("" if entry["scope"] == "all" else f" {entry['scope']}")
        click.echo(f"still blocked by hand: {entry['scope']} ({entry['reason']}); lift it with: {command}")


def _list(as_json: bool) -> None:
    from costmon.cli.budget import opened
    from costmon.monitor.overrides import bypasses

    with opened() as store:
        now, rows, zone = store.now(), bypasses(store.db), _zone(store)
    if as_json:
        click.echo(json.dumps({"bypasses": [_as_json(row, now) for row in rows]}, ensure_ascii=False))
    elif not rows:
        click.echo('No bypass yet. Begin one: costmon bypass --for 15m --why "the market crashed"')
    else:
        from costmon.cli.budget import table

        click.echo(table([_TITLES, *(_cells(row, now, zone) for row in rows)]))


_TITLES = ("SCOPE", "STATE", "FROM", "UNTIL", "BY", "WHY", "ENDED BY")


def _cells(row: BypassRow, now: int, zone: str) -> tuple[str, ...]:
    from costmon.shim.events import clean

    until = row.until_at if row.lifted_at is None else row.lifted_at
    return (
        *(clean(row.scope), _state(row, now), _local(row.created_at, zone), _local(until, zone)),
        *(clean(row.by), clean(row.reason, 500), clean(row.lifted_by or "-")),
    )


def _state(row: BypassRow, now: int) -> str:
    if row.lifted_at is not None:
        return "ended"
    if now < row.created_at:
        return "ahead"  # the clock was set back since
    return "ACTIVE" if row.active(now) else "over"


def _as_json(row: BypassRow, now: int) -> dict[str, object]:
    from costmon.shim.timestamps import to_iso

    return {
        "id": row.id,
        "scope": row.scope,
        "active": row.active(now),
        "by": row.by,
        "reason": row.reason,
        "since": to_iso(row.created_at),
        "until": to_iso(row.until_at),
        "lifted_at": to_iso(row.lifted_at) if row.lifted_at is not None else None,
        "lifted_by": row.lifted_by,
    }


def _length(span: str | None) -> int:
    """`--for` in µs: from a second to 24 hours."""
    from costmon.shim.jobs.intervals import interval_us

    if span is None:
        raise click.UsageError("say for how long: --for 15m")
    try:
        length = interval_us(span)
    except ValueError:
        length = 0
    if not 1_000_000 <= length <= MAX_US:
        raise click.BadParameter(
            f'must be from 1 s to 24 h, such as 15m or 1h30m, not "{span}"', param_hint="--for"
        )
    return length


def _scope(text: str) -> str:
    from costmon.config import scope_text
    from costmon.config.scopes import parse_scope

    try:
        return scope_text(*parse_scope(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--scope") from error


def _covered(scope: str) -> str:
    return "everything" if scope == "all" else scope


def _calls_of(scope: str) -> str:
    return "all calls" if scope == "all" else f"calls of {scope}"


def _blocked_by_hand(now: int) -> list[dict[str, str]]:
    """What `costmon kill` has blocked: a bypass does not touch it."""
    from costmon import paths
    from costmon.shim import switch
    from costmon.shim.events import clean

    return [
        {"scope": clean(block.scope), "reason": clean(block.reason, 300), "by": clean(block.by)}
        for block in switch.standing(paths.switch_dir(), now)
        if not block.automatic
    ]


def _zone(store: Store) -> str:
    from costmon.monitor.compile.settings import setting

    return setting(store.db, "time_zone") or "UTC"


def _local(at_us: int, zone: str) -> str:
    from costmon.cli.budget import local_time

    return local_time(at_us, zone)
