"""`costmon audit`: what compose, env, cron, unit and Python files declare, judged before anything runs."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import click

from costmon.cli.values import BadInput, Name

if TYPE_CHECKING:
    from costmon.audit.costs import Known, Pricing
    from costmon.audit.values import Report

_SEVERITIES = ("error", "warning", "note")
_TOKENS = re.compile(r"([0-9][0-9,_]{0,15})\s*[/:]\s*([0-9][0-9,_]{0,15})")


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--fail-on",
    type=click.Choice([*_SEVERITIES, "never"]),
    default="error",
    show_default=True,
    help="Exit 1 when there is a finding of this severity or a worse one.",
)
@click.option(
    "--floor",
    metavar="TIME",
    help="The shortest interval without a finding, such as 30m [default: config, 60m].",
)
@click.option(
    "--tokens", metavar="IN/OUT", help="What a run takes, as 4000/1000 [default: what the ledger knows]."
)
@click.option("--model", type=Name(), help="What a service asks that names no model.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="Compose profiles that are started; '*' is all.",
)
@click.option("--no-env", is_flag=True, help="As where no env file exists: every variable has its default.")
@click.option("--diff", "as_diff", is_flag=True, help="Print only the fixes that are sure, as one patch.")
@click.option("--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}.")
@click.option("--sarif", "as_sarif", is_flag=True, help="For code scanners: SARIF 2.1.0.")
@click.pass_context
def audit(
    ctx: click.Context,
    paths: tuple[str, ...],
    fail_on: str,
    floor: str | None,
    tokens: str | None,
    model: str | None,
    profiles: tuple[str, ...],
    no_env: bool,
    as_diff: bool,
    as_json: bool,
    as_sarif: bool,
) -> None:
    """Find what will cost too much before it runs: read the files of PATH (folders or files; default: here).

    \b
    costmon audit --tokens 4000/1000
    costmon audit docker-compose.yml --fail-on warning
    costmon audit --diff | patch -p1

    Compose and env files, crontabs, systemd units, Python and TOML are read; nothing is run, and no secret is printed.
    A line that says "# costmon: ignore RULE" is left alone.

    Exits 0, or 1 when something as bad as --fail-on was found, or 2 when it could not look.
    """
    from costmon import config
    from costmon import paths as places
    from costmon.audit.judge import audit as judge
    from costmon.cli import audited

    if as_diff + as_json + as_sarif > 1:
        raise BadInput("--diff, --json and --sarif exclude each other: give one of them")
    paths = paths or (".",)
    _check(paths)
    loaded = config.load(places.config_file())
    report = judge(
        paths,
        _pricing(_tokens(tokens), model),
        floor_us=_floor(floor) if floor is not None else loaded.schedules.floor_us,
        held=audited.held(loaded.jobs),
        profiles=profiles,
        env=not no_env,
    )
    _print(report, as_diff=as_diff, as_json=as_json, as_sarif=as_sarif)
    wanted = _SEVERITIES[: _SEVERITIES.index(fail_on) + 1] if fail_on != "never" else ()
    if any(report.count(severity) for severity in wanted):
        ctx.exit(1)


def _print(report: Report, *, as_diff: bool, as_json: bool, as_sarif: bool) -> None:
    from costmon.audit import sarif
    from costmon.cli import audited

    if as_json or as_sarif:
        document = sarif.document(report) if as_sarif else audited.document(report)
        click.echo(json.dumps(document, indent=2))
    elif as_diff:
        click.echo("".join(one.diff for one in report.patch), nl=False)
        click.echo(audited.said_of_patch(report), err=True)
    else:
        click.echo("\n".join(audited.lines(report)))


def _check(paths: tuple[str, ...]) -> None:
    from costmon.audit.files import kind_of_named
    from costmon.shim.events import clean

    for path in paths:
        if not os.path.exists(path):
            raise BadInput(f"there is no {clean(path, 200) or 'file without a name'}")
        if not os.path.isdir(path) and not kind_of_named(path):
            raise BadInput(
                f"what {clean(path, 200)} is cannot be told from its name; compose (.yml), .env, crontab, .timer, .service, "
                ".py and .toml files are read"
            )


def _floor(text: str) -> int:
    from costmon.shim.events import clean
    from costmon.shim.jobs.intervals import interval_us

    try:
        return interval_us(text)
    except ValueError:
        raise BadInput(f"--floor {clean(text, 60)!r} is no time; write it like 60m or 1h30m") from None


def _tokens(text: str | None) -> tuple[int, int] | None:
    from costmon.shim.events import clean

    if text is None:
        return None
    match = _TOKENS.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"--tokens {clean(text, 60)!r} is not input/output; write it like 4000/1000")
    first, second = (int(re.sub("[,_]", "", part)) for part in match.groups())
    if max(first, second) > 10**12:
        raise BadInput(f"--tokens {clean(text, 60)!r} is more than any run takes")
    return first, second


def _pricing(tokens: tuple[int, int] | None, model: str | None) -> Pricing:
    from costmon.audit.costs import NOTHING_KNOWN, Pricing
    from costmon.cli import values

    catalogue = values.open_catalogue()
    at_us = values.now()
    if model is not None and catalogue.find(model, None, at_us) is None:
        similar = ", ".join(catalogue.similar(model))
        raise BadInput(
            f"--model {model!r} has no known price" + (f"; names like it: {similar}" if similar else "")
        )
    return Pricing(catalogue, at_us, tokens, model or "", NOTHING_KNOWN if tokens else _known())


def _known() -> Known:
    """What the ledger knows of runs; nothing where there is no ledger, or it cannot be read."""
    import sqlite3

    from costmon import paths
    from costmon.audit.costs import NOTHING_KNOWN, known_of
    from costmon.errors import LedgerError
    from costmon.store import open_ledger

    if not os.path.exists(paths.ledger_file()):
        return NOTHING_KNOWN
    try:
        store = open_ledger(paths.state_home())
        try:
            return known_of(store.db)
        finally:
            store.close()
    except (LedgerError, sqlite3.Error):
        click.echo("warning: the ledger cannot be read, so what runs took is not known", err=True)
        return NOTHING_KNOWN
