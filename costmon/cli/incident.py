"""`costmon incident`: what happened, which job, how often, how much, who was told and who stopped it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from costmon.store import Store

_MOST_DAYS = 400


@click.command()
@click.option(
    "--since", metavar="TIME", help="From then on [default: the latest misfire, else the last 24 hours]."
)
@click.option("--until", metavar="TIME", help="Until then [default: now].")
@click.option("--job", metavar="NAME", help="Only this job.")
@click.option(
    "--md", metavar="FILE", help="Write Markdown to FILE; - is the terminal, where it goes without FILE too."
)
@click.option(
    "--html", metavar="FILE", help="Write one HTML file that needs nothing else; - is the terminal."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="For programs; money is {amount, currency}, times carry their offset.",
)
def incident(
    since: str | None, until: str | None, job: str | None, md: str | None, html: str | None, as_json: bool
) -> None:
    """Tell what happened: which job ran when nobody had planned it, how often, what it cost, who was told, what stopped it.

    \b
    costmon incident                               the latest misfire
    costmon incident --since 2026-11-20 --job trade
    costmon incident --since "2026-11-20 13:00" --until "2026-11-20 18:00"
    costmon incident --html incident.html

    A TIME is a date or a date and a time, in the time zone of the config; with an offset (2026-11-20T13:00+00:00) that one.

    Sums say what they lack: ≥ is at least. Nothing is asked of anybody.
    """
    from costmon import config, paths
    from costmon.cli.budget import opened
    from costmon.monitor.engine import read_config
    from costmon.report.incident import incident as build
    from costmon.report.reading import read

    if md and html and md != "-" and os.path.realpath(md) == os.path.realpath(html):
        raise click.UsageError("--md and --html name the same file; give each its own")
    config.ensure(paths.config_file())
    with opened() as store:
        problem = read_config(store)
        name = _known(store, job)
        start, end = _range(store, since, until)
        found = build(read(store, start, end, name))
    if problem:
        click.echo(f"warning: {problem}", err=True)
    if as_json:
        import json

        from costmon.report.as_json import to_json

        click.echo(json.dumps(to_json(found), indent=2, ensure_ascii=False))
    if md is None and html is None and as_json:
        return
    from costmon.report.html import html as to_html
    from costmon.report.markdown import markdown
    from costmon.report.telling import document

    told = document(found)
    if html is not None:
        _put(html, to_html(told))
    if md is not None or html is None:
        _put(md or "-", markdown(told))


def _known(store: Store, job: str | None) -> str:
    """'' for all. Raises BadInput for one nobody ever heard of."""
    from costmon.cli.values import BadInput
    from costmon.monitor.schedule.load import in_force
    from costmon.shim.events import clean
    from costmon.store import incidents, queries

    if job is None:
        return ""
    configured = {one.name for one in in_force(queries.settings(store.db)).jobs}
    if job in configured or incidents.names_job(store.db, job):
        return job
    jobs = store.db.execute(
        "select distinct job from job_run union select job from announcement limit 12"
    ).fetchall()
    names = sorted({clean(row[0], 60) for row in jobs} | configured)
    there = f"there is {', '.join(names[:12])}" if names else "no job is known yet"
    raise BadInput(f"--job {clean(job, 60)!r} is no job costmon knows; {there}")


def _range(store: Store, since: str | None, until: str | None) -> tuple[int | None, int | None]:
    from costmon.cli.values import BadInput
    from costmon.store import queries

    zone = queries.settings(store.db).get("time_zone") or "UTC"
    now = store.now()
    start, end = _instant(since, "--since", zone), _instant(until, "--until", zone, last=True)
    if start is not None and start > now:
        raise BadInput(f"--since {since} lies in the future; nothing has happened there yet")
    last = end if end is not None else now
    if start is not None and start >= last:
        raise BadInput(
            f"--since {since} does not lie before {'--until ' + until if until else 'now'}; swap them"
        )
    if start is not None and last - start > _MOST_DAYS * 86_400 * 1_000_000:
        raise BadInput(f"that is more than {_MOST_DAYS} days; ask for fewer")
    return start, end


def _instant(text: str | None, option: str, zone: str, *, last: bool = False) -> int | None:
    """A date, or a date and a time, in the operator's zone, in µs. A date alone is its beginning, or with `last` its end."""
    from datetime import date, datetime, time, timedelta

    from costmon.cli.values import BadInput
    from costmon.report.words import zone_of
    from costmon.shim.events import clean
    from costmon.shim.timestamps import to_us

    if text is None:
        return None
    try:
        if len(text.strip()) == 10:
            day = date.fromisoformat(text.strip())
            at = datetime.combine(day + timedelta(days=int(last)), time(), zone_of(zone))
        else:
            at = datetime.fromisoformat(text.strip())
            at = at if at.tzinfo is not None else at.replace(tzinfo=zone_of(zone))
        if not 2000 <= at.year < 2200:
            raise BadInput(f"{option} must lie in the years 2000 to 2199")
        return to_us(at)
    except (ValueError, OverflowError) as error:
        said = repr(clean(text, 60))
        raise BadInput(
            f'{option} {said} is no time; write it like 2026-11-20 or "2026-11-20 13:00"'
        ) from error


def _put(path: str, text: str) -> None:
    """To the terminal for '-', else into a file that is there whole or not at all."""
    import tempfile

    from costmon.errors import CostmonError

    if path == "-":
        click.echo(text, nl=False)
        return
    target = os.path.realpath(path)
    temporary = ""
    try:
        if os.path.exists(target) and not os.path.isfile(
            target
        ):  # a pipe or a device is written to, never replaced
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
            return
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".incident-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, target)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise CostmonError(f"{path} cannot be written: {error.strerror or type(error).__name__}") from error
    click.echo(f"wrote {path}", err=True)
