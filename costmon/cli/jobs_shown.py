"""Jobs as `costmon jobs` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from costmon.cli import values
from costmon.insight.schedule.values import Count
from costmon.monitor.schedule.values import AnnouncedPlan, RunStatus, Schedule, ScheduledJob
from costmon.monitor.schedule.wording import rough, said_by, spelled
from costmon.shim.money import NANO, Money, divide_half_even, fine_money
from costmon.shim.timestamps import to_datetime

NOBODY = "nobody watches: misfires are told only while costmon or costmon watch runs"
_LAST_RUNS = 20
_AHEAD = (("tonight", "tonight"), ("this_week", "this week"), ("this_month", "this month"))
_MARKS = {"bad": "!!", "warn": "!", "unconfirmed": "?", "ok": ""}


def table(told: Schedule, now: int, zone: str, *, watching: bool) -> list[str]:
    """Every job, two lines each, and what is to be said of it."""
    if not told.jobs:
        lines = ['No job has been seen yet. An app tells of its jobs with costmon.job("trade", every="60m").']
    else:
        rows = [["JOB", "PLAN", "NEXT RUN", "LAST RUN", "A RUN", "TONIGHT"]]
        rows += [_cells(job, now, zone) for job in told.jobs]
        head, *cells = values.table(rows, left=4)
        lines = [head]
        for job, line in zip(told.jobs, cells, strict=True):
            lines += [line, f"  ran {_counts(job)}"]
            lines += [_finding(one) for one in job.findings]
        if len(told.jobs) > 1:
            lines.append(values.wrapped(f"all jobs: {_all_ahead(told.jobs)}", ""))
    lines += [_finding(one) for one in told.problems]
    return lines if watching else [*lines, NOBODY]


def details(job: ScheduledJob, now: int, zone: str, *, watching: bool) -> list[str]:
    """One job: plan, money, who announces what, the last runs."""
    at = to_datetime(now)
    lines = [f"{job.name}: {_plan(job, zone) or 'no plan'}" + (f", {_why(job)}" if _why(job) else "")]
    lines.append(f"  next run   {_next(job, at, zone)}" + (f", by {job.next_who}" if job.next_who else ""))
    lines.append(f"  last run   {_last(job, at, zone)}")
    lines.append(f"  ran        {_counts(job)}")
    lines.append(f"  kept       {_plural(job.runs, 'run')}, {job.failures:,} failed")
    lines.append(f"  a run      {_per_run(job)}")
    lines.append(f"  today      {_money(job.today)} so far")
    lines.append(f"  ahead      {_ahead(job.tonight, job.this_week, job.this_month)}")
    lines += [_finding(one) for one in job.findings]
    if job.announced:
        lines += ["", "Announced by"]
        lines += [_hanging(_said(one, at, zone)) for one in job.announced[:_LAST_RUNS]]
        lines += [f"  and {len(job.announced) - _LAST_RUNS} more"] if len(job.announced) > _LAST_RUNS else []
    if job.recent:
        lines += ["", f"Last {min(len(job.recent), _LAST_RUNS)} runs of the last 24 hours, the newest first"]
        rows = [["  STARTED", "TOOK", "VERDICT", "OUTCOME", "COST", "CALLS", "BY"]]
        rows += [_run(run, at, zone) for run in reversed(job.recent[-_LAST_RUNS:])]
        lines += _aligned(rows)
    if job.missed:
        times = ", ".join(_clock(one, at, zone) for one in job.missed[-12:])
        lines += ["", f"Missed in the last 24 hours: {times}"]
    return lines if watching else [*lines, "", NOBODY]


def to_json(told: Schedule, *, watching: bool, only: str | None = None) -> dict[str, Any]:
    """The document of `costmon jobs --json`."""
    found = [job_json(job) for job in told.jobs if only in (None, job.name)]
    document: dict[str, Any] = {"watching": watching, "jobs": found, "problems": list(told.problems)}
    if only is None:
        document |= {
            "tonight": _amount(told.tonight),
            "this_week": _amount(told.this_week),
            "this_month": _amount(told.this_month),
            "at_least": {span: _amount(sum_known(told.jobs, span)[0]) for span, _ in _AHEAD},
            "unknown_jobs": {span: sum_known(told.jobs, span)[1] for span, _ in _AHEAD},
        }
    return document


def sum_known(jobs: Sequence[ScheduledJob], span: str) -> tuple[Money | None, int]:
    """What those jobs that tell will cost until the end of a span ('tonight', 'this_week', 'this_month'), None if none does;
    and how many do not."""
    parts = [getattr(job, span) for job in jobs]
    known = [part for part in parts if part is not None]
    total = Money(sum(part.nano for part in known), known[0].currency) if known else None
    return total, len(parts) - len(known)


def job_json(job: ScheduledJob) -> dict[str, Any]:
    """One job for programs."""
    return {
        "name": job.name,
        "apps": list(job.apps),
        "plan": job.plan,
        "said_by": job.said_by,
        "plan_who": job.plan_who,
        "time_zone": job.zone,
        "period_seconds": _seconds(job.period),
        "next_run": _time(job.next_run),
        "next_who": job.next_who,
        "level": job.level,
        "findings": list(job.findings),
        "runs": {
            "hour": job.hour._asdict(),
            "day": job.day._asdict(),
            "week": job.week._asdict(),
            "kept": job.runs,
            "failed": job.failures,
        },
        "outcome": job.outcome,
        "last_started": _time(job.last_started),
        "last_ended": _time(job.last_ended),
        "cost_per_run": {
            "median": _amount(job.median),
            "p95": _amount(job.p95),
            "trend": str(job.trend) if job.trend is not None else None,
        },
        "today": _amount(job.today),
        "tonight": _amount(job.tonight),
        "this_week": _amount(job.this_week),
        "this_month": _amount(job.this_month),
        "rhythm_seconds": _seconds(job.rhythm),
        "announced": [
            {
                "source": one.source,
                "who": one.who,
                "app": one.app,
                "plan": one.plan,
                "time_zone": one.zone,
                "next_run": _time(one.next_run),
                "seen": _time(one.seen),
                "agrees": one.agrees,
                "gone": one.gone,
                "note": one.note,
            }
            for one in job.announced
        ],
        "recent": [
            {
                "started": _time(run.at),
                "ended": _time(run.ended),
                "planned": _time(run.planned),
                "verdict": run.verdict,
                "outcome": run.outcome,
                "who": run.who,
                "cost": _amount(run.cost),
                "calls": run.calls,
            }
            for run in job.recent
        ],
        "missed": [_time(one) for one in job.missed],
        "upcoming": [_time(one) for one in job.upcoming],
    }


def line(job: ScheduledJob, at: datetime, zone: str) -> str:
    """One line of `costmon status`: 'job trade: every 60m · next 14:00 in 35m · last 13:00 ok · ran 12 of 1 this hour'."""
    parts = [
        f"job {job.name}: {_plan(job, zone) or 'no plan'}",
        f"next {_next(job, at, zone)}",
        f"last {_last(job, at, zone)}" if job.last_started is not None else "never ran",
        f"{_plural(job.day.actual, 'run')} in 24 h, {job.day.planned:,} planned",
    ]
    return " · ".join([*parts, *job.findings[:1]])


def status_json(job: ScheduledJob) -> dict[str, Any]:
    """One job in the document of `costmon status --json`."""
    return {
        "app": ", ".join(job.apps),
        "name": job.name,
        "plan": job.plan,
        "every_seconds": _seconds(job.period),
        "next_run": _time(job.next_run),
        "last_started": _time(job.last_started),
        "last_ended": _time(job.last_ended),
        "outcome": job.outcome,
        "runs": job.runs,
        "failures": job.failures,
        "level": job.level,
        "findings": list(job.findings),
    }


def _cells(job: ScheduledJob, now: int, zone: str) -> list[str]:
    at = to_datetime(now)
    mark = _MARKS[job.level]
    return [
        f"{_cut(job.name, 18)}{' ' + mark if mark else ''}",
        _cut(_plan(job, zone) or _no_plan(job), 20),
        _next(job, at, zone),
        _last(job, at, zone),
        _money(job.median),
        about(job.tonight),
    ]


def _plan(job: ScheduledJob, zone: str) -> str:
    if job.plan and job.said_by != "floor":
        return spelled(job.plan, job.zone, zone)
    if job.rhythm is not None:
        return f"~{rough(job.rhythm // timedelta(microseconds=1))}, unconfirmed"
    return ""


def _no_plan(job: ScheduledJob) -> str:
    """Whether nobody has a plan, or somebody whose plan cannot be read."""
    return "unknown" if any(not one.gone for one in job.announced) else "none"


def _why(job: ScheduledJob) -> str:
    return said_by(job.said_by, job.plan_who) if job.plan and job.said_by != "floor" else ""


def _next(job: ScheduledJob, at: datetime, zone: str) -> str:
    if job.next_run is None:
        return "not seen yet" if job.last_started is None else "unknown"
    wait = job.next_run - at
    when = _clock(job.next_run, at, zone)
    return f"{when} in {_span(wait)}" if wait > timedelta(0) else f"{when} overdue {_span(-wait)}"


def _last(job: ScheduledJob, at: datetime, zone: str) -> str:
    return f"{_clock(job.last_started, at, zone)} {job.outcome}" if job.last_started is not None else "never"


def _counts(job: ScheduledJob) -> str:
    parts = ((job.hour, "in 1 h"), (job.day, "in 24 h"), (job.week, "in 7 days"))
    return " · ".join(f"{_count(count)} {span}" for count, span in parts)


def _count(count: Count) -> str:
    return f"{count.actual:,} ({count.planned:,} planned)"


def _per_run(job: ScheduledJob) -> str:
    if job.median is None:
        return "cost unknown"
    trend = (
        f", {job.trend.normalize():f} times the week before"
        if job.trend is not None and job.trend != 1
        else ""
    )
    return f"{_money(job.median)} (median of 7 days), p95 {_money(job.p95)}{trend}"


def _ahead(tonight: Money | None, week: Money | None, month: Money | None) -> str:
    return f"{about(tonight)} tonight · {about(week)} this week · {about(month)} this month"


def _all_ahead(jobs: Sequence[ScheduledJob]) -> str:
    parts = []
    for span, words in _AHEAD:
        total, unknown = sum_known(jobs, span)
        if total is None or not unknown:
            parts.append(f"{about(total)} {words}")
        elif not total.nano:
            parts.append(f"unknown {words}")
        else:
            parts.append(f"≥ {about(total)} {words}, {_plural(unknown, 'job')} unknown")
    return " · ".join(parts)


def about(money: Money | None) -> str:
    """An estimate: of a sum below 1 four digits count."""
    if money is None or abs(money.nano) >= NANO:
        return _money(money)
    step = 10 ** max(0, len(str(abs(money.nano))) - 4)
    return _money(Money(divide_half_even(money.nano, step) * step, money.currency))


def _said(one: AnnouncedPlan, at: datetime, zone: str) -> str:
    plan = spelled(one.plan, one.zone, zone) or "no plan"
    state = "no more" if one.gone else f"seen {_span(at - one.seen)} ago"
    odd = "" if one.agrees or not one.plan or one.gone else " · not the plan of record"
    note = f" · {one.note}" if one.note else ""
    who = f" · {one.who}" if one.who else ""
    return f"{plan} · {one.source}{who} · app {one.app or '-'} · {state}{odd}{note}"


def _run(run: RunStatus, at: datetime, zone: str) -> list[str]:
    took = _span(run.ended - run.at) if run.ended is not None else "-"
    return [
        f"  {_clock(run.at, at, zone, seconds=True)}",
        took,
        run.verdict,
        run.outcome,
        _money(run.cost),
        f"{run.calls:,}",
        run.who,
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {4, 5}
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _finding(text: str) -> str:
    return "  ! " + values.wrapped(text, "    ").lstrip()


def _hanging(text: str) -> str:
    return "  " + values.wrapped(text, "    ").lstrip()


def _clock(moment: datetime, at: datetime, zone: str, *, seconds: bool = False) -> str:
    """The operator's wall clock, with the date unless it is today's."""
    local, today = _local(moment, zone), _local(at, zone)
    text = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return text if local.date() == today.date() else f"{local:%m-%d} {text}"


def _local(moment: datetime, zone: str) -> datetime:
    try:
        return moment.astimezone(ZoneInfo(zone))
    except (OSError, ValueError, KeyError):
        return moment


def _span(span: timedelta) -> str:
    """'35m', '1h 5m', '12s'."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit, smaller, lesser in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit}" + (f" {rest}{lesser}" if rest else "")
    return f"{seconds // 60}m" if seconds >= 60 else f"{seconds}s"


def _money(money: Money | None) -> str:
    return "unknown" if money is None else fine_money(*money)


def _amount(money: Money | None) -> dict[str, str] | None:
    return None if money is None else money.to_json()


def _seconds(span: timedelta | None) -> int | float | None:
    if span is None:
        return None
    seconds = span.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
