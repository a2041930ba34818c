"""`costmon kill`, `costmon allow`, `costmon check`: the switch from a shell."""

from __future__ import annotations

import os

import click

from costmon import paths
from costmon.errors import CostmonError
from costmon.shim import switch
from costmon.shim.clock import clock_of
from costmon.shim.events import clean
from costmon.shim.timestamps import to_datetime

_SCOPE = click.argument("scope", default="all")


@click.command()
@_SCOPE
@click.option("--why", default="", help="A reason that everybody refused will read.")
def kill(scope: str, why: str) -> None:
    """Block SCOPE: all (default), nonessential, or provider=…, model=…, app=…, route=…, job=….

    Holds until `costmon allow`, for every app that checks the switch, at its next call.
    """
    folder = paths.switch_dir()
    block = switch.Block(
        scope=_known(scope),
        reason=clean(why, 500) or "stopped by hand",
        by=who(),
        since=clock_of(paths.state_home())(),
    )
    try:
        switch.write(folder, block)
    except OSError as error:
        raise CostmonError(
            f"{folder} cannot be written, nothing is blocked: {error.strerror or error}"
        ) from error
    click.echo(f"blocked: {scope}. Lift it with: costmon allow{'' if scope == 'all' else ' ' + scope}")
    _journal("kill", scope, block.reason if why else "")


@click.command()
@_SCOPE
def allow(scope: str) -> None:
    """Lift the block of SCOPE (default: all).

    A budget that is used up goes on refusing by itself: raise it with `costmon budget set`, or let calls through for a
    while with `costmon bypass`.
    """
    folder = paths.switch_dir()
    standing = switch.read(folder, _known(scope))
    try:
        lifted = switch.lift(folder, scope)
    except OSError as error:
        raise CostmonError(f"{folder}: the block cannot be lifted: {error.strerror or error}") from error
    click.echo(f"allowed: {scope}" if lifted else f"{scope} was not blocked")
    if lifted:
        _journal("allow", scope, "")
    if standing is not None and standing.automatic:
        click.echo(
            f"{standing.by} set that block and will set it again while it is used up: costmon budget set NAME AMOUNT,"
            ' or for a while: costmon bypass --for 15m --why "…"'
        )
    for block in switch.blocks(folder):
        click.echo(f"still blocked: {block.scope} ({block.reason})")


@click.command()
@click.option(
    "--app",
    default="",
    envvar="COSTMON_APP",
    help="Check for this app too, and leave the trace that it looked.",
)
@click.option("--provider", default="", help="Check for calls to this provider too.")
@click.option("--model", default="", help="Check for calls to this model too.")
@click.option("--route", default="", envvar="COSTMON_ROUTE", help="Check for this route too.")
@click.option("--job", default="", envvar="COSTMON_JOB", help="Check for this job too.")
@click.option("--essential", is_flag=True, envvar="COSTMON_ESSENTIAL", help="The caller is essential.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing, only exit.")
@click.pass_context
def check(
    ctx: click.Context,
    app: str,
    provider: str,
    model: str,
    route: str,
    job: str,
    essential: bool,
    quiet: bool,
) -> None:
    """Exit 0 if calls may go out, 1 if they are blocked: `costmon check --app crawler || exit`."""
    folder = paths.switch_dir()
    if app:
        switch.touch_reader(folder, app)
    block = switch.check(
        folder,
        switch.scopes_of(provider, model, app, route, job),
        clock_of(paths.state_home())(),
        essential=essential,
        explicit=bool(os.environ.get("COSTMON_SWITCH")),
    )
    if block is None:
        if not quiet:
            click.echo("allowed")
        return
    if not quiet:
        until = f", until {to_datetime(block.until):%Y-%m-%d %H:%M} UTC" if block.until is not None else ""
        click.echo(f"blocked: {block.scope}{until}: {block.reason}")
    ctx.exit(1)


def _journal(action: str, scope: str, reason: str) -> None:
    from costmon.monitor.journal import journal

    home = paths.state_home()
    problem = journal(home, action, scope, who(), reason, clock_of(home)())
    if problem:
        click.echo(f"warning: {problem}", err=True)


def _known(scope: str) -> str:
    try:
        switch.scope_file(scope)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return scope


def who() -> str:
    """The user's name, for the record: 'jin at a shell'."""
    import getpass

    try:
        return f"{getpass.getuser()} at a shell"
    except (OSError, KeyError):
        return "somebody at a shell"
