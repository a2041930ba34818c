"""When each job runs next, for the overview."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.schedule.values import ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import fit, safe
from costmon.tui.lines import Line, Span, apart, line, wrapped
from costmon.tui.widgets.jobtext import (
    fact_text,
    mark_of,
    misfiring,
    name_of,
    ordered,
    plan_text,
    record,
    when,
)
from costmon.tui.widgets.panel import Panel

_EMPTY = (
    (("No scheduled job yet. In your app:", "dim"),),
    (('@costmon.job("trade", every="60m")', "key"),),
)
_MOST_PLAN = 20


class Jobs(Panel):
    BORDER_TITLE = "Next runs"
    BORDER_SUBTITLE = "j: plan and fact"

    def watch_snapshot(self) -> None:
        bad = bool(self.snapshot and misfiring(self.snapshot.schedule))
        if bad != self.has_class("-misfire"):
            self.border_title = "Next runs · MISFIRE" if bad else "Next runs"
            self.set_class(bad, "-misfire")
        super().watch_snapshot()

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return jobs(snapshot.schedule.jobs, now, width)


def jobs(found: tuple[ScheduledJob, ...], now: datetime, width: int) -> list[Line]:
    """Name, plan, next run and record in columns, or on two lines if too wide. What misfires is first, then the soonest."""
    if not found:
        return list(_EMPTY)
    by_next = ordered(found, worst_first=False)
    by_next.sort(key=lambda job: job.level != "bad")
    if width < 58:
        return [one for job in by_next for one in (*_two_lines(job, now, width), *_misfire(job, width))]
    whens = [when(job, now) for job in by_next]
    widths = (
        min(max(cell_len(name_of(job)) + 2 * (job.level == "bad") for job in by_next), max(8, width // 3)),
        max(cell_len(plan_text(job, _MOST_PLAN)) for job in by_next),
        max(cell_len(text) for text, _ in whens),
    )
    rows = zip(by_next, whens, strict=True)
    return [one for job, due in rows for one in (_job(job, due, widths), *_misfire(job, width))]


def _job(job: ScheduledJob, due: Span, widths: tuple[int, int, int]) -> Line:
    name, plan, time = widths
    return line(
        *_mark(job),
        (fit(name_of(job), name - (2 if job.level == "bad" else 0)), "strong"),
        (f"  {fit(plan_text(job, _MOST_PLAN), plan)}", "dim"),
        (f"  {fit(due[0], time)}", due[1]),
        "  ",
        *record(job),
    )


def _two_lines(job: ScheduledJob, now: datetime, width: int) -> list[Line]:
    plan = (plan_text(job, _MOST_PLAN) + " · ", "dim") if job.plan or job.rhythm else ("", "dim")
    return [
        apart(line(*_mark(job), (name_of(job), "strong")), line(when(job, now)), width),
        line("  ", plan, *record(job)),
    ]


def _mark(job: ScheduledJob) -> tuple[Span | str, ...]:
    return (mark_of(job), " ") if job.level == "bad" else ()


def _misfire(job: ScheduledJob, width: int) -> list[Line]:
    """Below a job that misfires: what runs, and what was planned."""
    if job.level != "bad":
        return []
    return [line("  ", *one) for one in wrapped(safe(fact_text(job)), max(1, width - 2), "bad", most=2)]
