"""When each announced job runs next."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.snapshot import JobStatus, Snapshot
from costmon.tui.format import coarse, duration, every, fit, safe
from costmon.tui.lines import Line, Span, apart, line
from costmon.tui.widgets.panel import Panel

_EMPTY = (
    (("No scheduled job yet. In your app:", "dim"),),
    (('@costmon.job("trade", every="60m")', "key"),),
)


class Jobs(Panel):
    BORDER_TITLE = "Next runs"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return jobs(snapshot.jobs, now, width)


def jobs(found: tuple[JobStatus, ...], now: datetime, width: int) -> list[Line]:
    """Name, interval, next run and record in columns, or on two lines if too wide; the soonest first."""
    if not found:
        return list(_EMPTY)
    ordered = sorted(found, key=lambda job: (job.next_run is None, job.next_run or now, job.name))
    if width < 58:
        return [one for job in ordered for one in _two_lines(job, now, width)]
    whens = {job: when(job, now) for job in ordered}
    widths = (
        min(max(cell_len(_name(job)) for job in ordered), max(8, width // 3)),
        max(len(_every(job)) for job in ordered),
        max(len(text) for text, _ in whens.values()),
    )
    return [_job(job, whens[job], widths) for job in ordered]


def _job(job: JobStatus, due: Span, widths: tuple[int, int, int]) -> Line:
    name, interval, time = widths
    return line(
        (fit(_name(job), name), "strong"),
        (f"  {_every(job):<{interval}}" if interval else "", "dim"),
        (f"  {due[0]:<{time}}", due[1]),
        "  ",
        *_record(job),
    )


def _two_lines(job: JobStatus, now: datetime, width: int) -> list[Line]:
    interval = (_every(job) + " · ", "dim") if job.every else ("", "dim")
    return [
        apart(line((_name(job), "strong")), line(when(job, now)), width),
        line("  ", interval, *_record(job)),
    ]


def _name(job: JobStatus) -> str:
    return safe(job.name) or safe(job.app) or "(no name)"


def _every(job: JobStatus) -> str:
    return every(job.every) if job.every else ""


def when(job: JobStatus, now: datetime) -> Span:
    """'next in 12m 03s', 'overdue 3m', 'running 8s', or that nothing is planned."""
    if job.outcome == "running":
        return (f"running {coarse(now - job.last_started)}" if job.last_started else "running", "name")
    if job.next_run is None:
        return ("not planned", "dim")
    if job.next_run < now:
        return (f"overdue {coarse(now - job.next_run)}", "warn")
    return (f"next in {duration(job.next_run - now)}", "")


def _record(job: JobStatus) -> tuple[Span, ...]:
    runs = "1 run" if job.runs == 1 else f"{job.runs:,} runs"
    if not job.failures:
        return ((runs, "dim"),)
    return ((f"{runs}, ", "dim"), (f"{job.failures:,} failed", "bad" if job.outcome == "error" else "warn"))
