"""Alerts about jobs: one that runs more often than anybody planned, and one that does not run.

Each is told once, and once more a day while it goes on. Texts are for the operator: times are of the operator's zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.act.alerts import Alert
from costmon.shim.money import Money, format_money

DAY_US = 86_400 * 1_000_000
MISFIRE, MISSED = "misfire", "missed"


class Misfired(NamedTuple):
    """Runs nobody planned: what its alert says.

    `id` is the ledger's; `first` and `last` are aware. `kind` is a verdict ('other plan', 'doubled', 'extra', 'restart
    loop'). `plan` and `fact` are plans for people ('every 60m'; '' = nobody knows), `said_by` who says the plan, in words.
    `who` ran it. `cost` is what the unplanned runs have cost, `tonight` and `month` what they will cost besides until local
    midnight and the month's end if nothing changes; None = unknown. `day`: how many days it has gone on. `twice`: the
    apps, or processes, a doubled job runs in; `accept`: how to accept it, a sentence without a full stop.
    """

    id: int
    job: str
    kind: str
    first: datetime
    last: datetime
    runs: int
    who: Sequence[str]
    plan: str
    fact: str
    said_by: str
    cost: Money | None
    tonight: Money | None
    month: Money | None
    zone: str
    day: int = 0
    over: bool = False
    twice: Sequence[str] = ()
    accept: str = ""


class Missed(NamedTuple):
    """A job that does not run: `last` is when it last did (None = never seen), `runs` how many planned ones did not come,
    the first of them at `first`; the rest as in `Misfired`."""

    id: int
    job: str
    first: datetime
    last: datetime | None
    runs: int
    plan: str
    said_by: str
    zone: str
    day: int = 0


def misfire_alert(found: Misfired) -> Alert:
    """One alert for each misfire and day of it."""
    return Alert(
        kind=MISFIRE,
        subject=found.job,
        limit_version=found.id,
        period_at=_us(found.first),
        level=found.day,
        title=f"costmon: {misfire_text(found)}",
        body=" ".join(
            filter(
                None,
                (_by(found), _plan(found.plan, found.said_by), _money(found), _stop(found), found.accept),
            )
        ),
        urgency="critical",
    )


def missed_alert(found: Missed) -> Alert:
    """One alert for each time a job stops, and day of it."""
    since = f"since {_local(found.last, found.zone, found.first)}" if found.last is not None else "yet"
    planned = f", planned {found.plan}" if found.plan else ""
    times = f"{found.runs} planned runs did not come." if found.runs > 1 else "A planned run did not come."
    return Alert(
        kind=MISSED,
        subject=found.job,
        limit_version=found.id,
        period_at=_us(found.first),
        level=found.day,
        title=f"costmon: {found.job} has not run {since}{planned}",
        body=f"{times} {_plan(found.plan, found.said_by)} costmon jobs {_quoted(found.job)} shows its last runs.",
        urgency="normal",
    )


def misfire_text(found: Misfired) -> str:
    """What goes wrong, in one clause: 'trade runs every 5m, planned every 60m'."""
    planned = f", planned {found.plan}" if found.plan else ""
    if found.kind == "doubled" and len(found.twice) > 1:
        return f"{found.job} runs twice: in {' and in '.join(found.twice[:2])}"
    if found.kind == "doubled":
        return f"{found.job} runs twice as often as planned" + (f" ({found.plan})" if found.plan else "")
    if found.kind == "restart loop":
        return f"{found.job} runs at every restart of its process{planned}"
    if found.fact and found.fact != found.plan:
        return f"{found.job} runs {found.fact}{planned}"
    return f"{found.job} ran {found.runs} times nobody planned{planned}"


def _by(found: Misfired) -> str:
    runs = f"{found.runs} run{'s' if found.runs != 1 else ''} nobody planned"
    who = f", by {', '.join(found.who[:3])}" if found.who else ""
    more = f" and {len(found.who) - 3} more" if len(found.who) > 3 else ""
    since = f"since {_local(found.first, found.zone, found.last)}"
    if found.over:
        since = f"from {_local(found.first, found.zone, found.last)} to {_local(found.last, found.zone, found.first)}"
    return f"{runs} {since}{who}{more}."


def _plan(plan: str, said_by: str) -> str:
    return f"The plan, {plan}, is {said_by}." if plan and said_by else ""


def _money(found: Misfired) -> str:
    so_far = (
        "What they cost is unknown: their calls have no price."
        if found.cost is None
        else f"They cost {format_money(*found.cost)} so far"
    )
    if found.cost is None:
        return so_far
    if found.over:
        return f"They cost {format_money(*found.cost)}."
    if found.tonight is None or found.month is None:
        return f"{so_far}."
    return (
        f"{so_far}; if nothing changes {format_money(*found.tonight)} more until tonight and "
        f"{format_money(*found.month)} until the month ends."
    )


def _stop(found: Misfired) -> str:
    if found.over:
        return f"costmon jobs {_quoted(found.job)} shows its runs."
    return f"To stop it: costmon kill {_quoted('job=' + found.job.rpartition('/')[2])}."


def _quoted(text: str) -> str:
    """One word for a shell."""
    from shlex import quote

    return quote(text)


def _local(moment: datetime, zone: str, other: datetime) -> str:
    """The operator's wall clock, with the date unless the other moment lies within a day."""
    try:
        info = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # a zone this machine does not know
        return f"{moment:%Y-%m-%d %H:%M} UTC"
    local = moment.astimezone(info)
    same = local.date() == other.astimezone(info).date()
    return f"{local:%H:%M}" if same else f"{local:%Y-%m-%d %H:%M}"


def _us(moment: datetime) -> int:
    from costmon.shim.timestamps import to_us

    return to_us(moment)
