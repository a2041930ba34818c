"""`costmon prices check`: old prices, files left out, models in use without a price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import sqlite3

    from costmon.pricing.lookup.check import FileAge, Finding, Sample, Use

_DAY_US = 86_400_000_000
_NEWEST_EVENTS = 300_000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """What needs doing about the prices, with lines to paste. Exits 1 if anything does.

    Looks at the age of the base and of every price file, at files that were left out, at the models used in the last 90
    days (unpriced, partly priced, deprecated), and at gaps between the dates of your own prices. Where no costmon runs,
    it also puts price files you have edited into force.
    """
    from costmon import paths
    from costmon.cli.values import now
    from costmon.pricing.lookup.check import check as examine
    from costmon.pricing.lookup.show import open_catalogue

    at_us = now()
    catalogue = open_catalogue(paths.user_prices_file())
    uses, samples = _from_ledger(at_us)
    findings = examine(catalogue, _files(), catalogue.problems, uses, samples, at_us)
    todo = any(finding.state == "todo" for finding in findings)
    if as_json:
        click.echo(json.dumps(_to_json(findings, todo=todo, at_us=at_us), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_to_text(findings)))
    if todo:
        ctx.exit(1)


def _files() -> list[FileAge]:
    """Every good price file and when it was checked; bad ones are in the catalogue's problems."""
    import os

    from costmon import paths
    from costmon.errors import PriceError
    from costmon.pricing.catalog.layers import user_files
    from costmon.pricing.files.read import load_price_file
    from costmon.pricing.lookup.check import FileAge

    folder = paths.bundled("pricing")
    ours = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".toml")]
    try:
        theirs = user_files(paths.user_prices_file())
    except OSError:
        theirs = []
    found = []
    for path in (*theirs, *ours):
        try:
            file = load_price_file(path)
        except PriceError:
            continue
        found.append(
            FileAge(
                path if path in theirs else f"pricing/{os.path.basename(path)}", _checked(file), path in ours
            )
        )
    return found


def _checked(file: Any) -> Any:
    """The oldest of the days a file gives, None if it gives none."""
    from datetime import date

    days = [*file.checked.values()]
    days += [date.fromisoformat(price.checked) for price in file.resources.values() if price.checked]
    return min(days, default=None)


def _from_ledger(at_us: int) -> tuple[list[Use], list[Sample]]:
    """What was used in the last 90 days; nothing where no ledger is yet. Price files that have changed are taken over
    first, as a running costmon does."""
    import os
    import sqlite3

    from costmon import paths
    from costmon.errors import LedgerUnusable
    from costmon.monitor.prices import compile_prices
    from costmon.store import open_ledger

    home = paths.state_home()
    if not os.path.exists(paths.ledger_file(home)):
        return [], []
    store = open_ledger(home)
    try:
        if compile_prices(store):
            click.echo("The price files have changed; calls are priced by them from now on.", err=True)
        uses = _uses(store.db, at_us)
        return uses, _samples(store.db, at_us) if any(use.unpriced or use.partial for use in uses) else []
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{home}: the ledger cannot be read: {error}") from error
    finally:
        store.close()


def _uses(db: sqlite3.Connection, at_us: int) -> list[Use]:
    from costmon.pricing.lookup.check import USED_DAYS, Use

    rows = db.execute(
        """select provider, model, sum(calls), sum(unpriced), sum(partial), max(day_at) from rollup_day
           where day_at >= ? group by provider, model order by 4 desc, 5 desc, 1, 2""",
        (at_us - USED_DAYS * _DAY_US,),
    )
    return [Use(*row) for row in rows]


def _samples(db: sqlite3.Connection, at_us: int) -> list[Sample]:
    """The events of the last 90 days that have no whole cost, of the newest 300,000 events."""
    from costmon.pricing.lookup.check import USED_DAYS, Sample
    from costmon.shim.events import TOKEN_COLUMNS

    rows = db.execute(
        f"""select provider, model, source, created_at, coalesce(service_tier, ''), cost is null,
                   {", ".join(TOKEN_COLUMNS)}, units
            from (select * from event order by id desc limit {_NEWEST_EVENTS})
            where state = 'settled' and created_at >= ? and (cost is null or cost_status = 'partial')""",  # noqa: S608
        (at_us - USED_DAYS * _DAY_US,),
    )
    found = []
    for provider, model, source, created_at, tier, unpriced, *counts, units in rows:
        usage = {name: count for name, count in zip(TOKEN_COLUMNS, counts, strict=True) if count is not None}
        usage.update(_counts(units))
        found.append(Sample(provider, model, source, created_at, tier, usage, bool(unpriced)))
    return found


def _counts(units: str | None) -> dict[str, int]:
    """An event's other units; whatever else another writer put there is left out."""
    try:
        found = json.loads(units) if units else {}
    except ValueError:
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: count for name, count in pairs if isinstance(count, int)}


def _to_json(findings: list[Finding], *, todo: bool, at_us: int) -> dict[str, Any]:
    from costmon import paths
    from costmon.shim.timestamps import to_iso

    return {
        "at": to_iso(at_us),
        "ok": not todo,
        "prices_file": paths.user_prices_file(),
        "findings": [
            {
                "state": one.state,
                "kind": one.kind,
                "text": one.text,
                "provider": one.provider or None,
                "model": one.model or None,
                "calls": one.calls,
                "units": list(one.units),
                "stub": one.stub or None,
            }
            for one in findings
        ],
    }


def _to_text(findings: list[Finding]) -> list[str]:
    from costmon.shim.events import clean

    marks = {"ok": "ok  ", "note": "note", "todo": "TODO"}
    width = max(len(one.kind) for one in findings)
    lines: list[str] = []
    for one in findings:
        lines += _hanging(f"{marks[one.state]}  {one.kind:<{width}}  ", clean(one.text, 1000))
    return [*lines, *_stubs(findings)]


def _hanging(head: str, text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(
        text,
        80,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _stubs(findings: list[Finding]) -> list[str]:
    """The lines to paste, once for all models."""
    import os

    from costmon import paths

    stubs = [one.stub for one in findings if one.stub]
    if not stubs:
        return []
    path = paths.user_prices_file()
    head = [] if os.path.exists(path) else ["schema = 1"]
    return ["", f'Paste this into {path}, with a number for each "?":', "", *head, *stubs]
