"""Plan and fact of a job's last 24 hours in a row of signs, the oldest left. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from costmon.insight.schedule.values import EARLY, EXPECTED, LATE, UNEXPECTED, UNPLANNED
from costmon.monitor.schedule.values import RunStatus, ScheduledJob
from costmon.tui.lines import Line, Span

DAY = timedelta(hours=24)
SIGNS: dict[str, Span] = {
    "unexpected": ("!", "bad"),
    "failed": ("✗", "bad"),
    "refused": ("⊘", "warn"),
    "missed": ("○", "warn"),
    "running": ("»", "name"),
    "unknown": ("?", "warn"),
    "skipped": ("-", "warn"),
    "late": (">", "warn"),
    "early": ("<", "name"),
    "unplanned": ("▪", ""),
    "explained": ("◦", ""),
    "expected": ("●", "word-ok"),
}
"""What a cell may say, the gravest first: of several runs in one cell the gravest shows."""
NOTHING: Span = ("·", "dim")
MORE: Span = ("┄", "dim")
"""Before the oldest run that is kept here, though more are known."""
_RANK = {name: rank for rank, name in enumerate(SIGNS)}
_OUTCOMES = {"error": "failed"} | {one: one for one in ("refused", "running", "unknown", "skipped")}
_VERDICTS = {EXPECTED: "expected", EARLY: "early", LATE: "late", UNPLANNED: "unplanned"}


def sign_of(run: RunStatus) -> str:
    """A key of `SIGNS`. A run that a person, a restart, a catch-up or the clock explains is 'explained'."""
    if run.verdict in UNEXPECTED:
        return "unexpected"
    return _OUTCOMES.get(run.outcome) or _VERDICTS.get(run.verdict, "explained")


def strip(job: ScheduledJob, now: datetime, cells: int = 24) -> Line:
    """One sign for each `cells`-th of the last 24 hours. A run stands at the time it was planned for, if it was."""
    found: list[str | None] = [None] * cells
    for run in job.recent:
        _put(found, run.planned or run.at, now, sign_of(run))
    for at in job.missed:
        _put(found, at, now, "missed")
    spans = [SIGNS[sign] if sign else NOTHING for sign in found]
    if len(job.recent) < job.day.actual and job.recent:  # only the latest are here
        first = _cell(min(run.at for run in job.recent), now, cells)
        spans[: max(0, first)] = [MORE] * max(0, min(first, cells))
    return _merged(spans)


def _put(found: list[str | None], at: datetime, now: datetime, sign: str) -> None:
    cell = min(_cell(at, now, len(found)), len(found) - 1)
    if cell >= 0:
        old = found[cell]
        found[cell] = sign if old is None or _RANK[sign] < _RANK[old] else old


def _cell(at: datetime, now: datetime, cells: int) -> int:
    """Counted from 24 hours ago; below 0 before that. A time stands in the cell that ends with it or after it."""
    return cells - 1 - (now - at) // (DAY / cells)


def _merged(spans: list[Span]) -> Line:
    out: list[Span] = []
    for text, style in spans:
        if out and out[-1][1] == style:
            out[-1] = (out[-1][0] + text, style)
        else:
            out.append((text, style))
    return tuple(out)
