"""The list of jobs as lines: a table where it fits, else a few lines for each job. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len

from costmon.monitor.schedule.values import ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import fit, safe
from costmon.tui.lines import Line, Span, apart, line, wrapped
from costmon.tui.widgets.jobstrip import strip
from costmon.tui.widgets.jobtext import (
    count_text,
    is_planned,
    last_text,
    mark_of,
    money_text,
    name_of,
    plan_text,
    trend_text,
    when,
)

GAP = 2
_MOST_NAME, _MOST_PLAN = 24, 24
_RIGHT = frozenset({"1 h", "24 h", "7 d", "a run", "95 %", "tonight"})
_HEADS = {"strip": "24 h ago … now", "1 h": "1 h", "24 h": "24 h", "7 d": "7 d"}


class Cell(NamedTuple):
    """What one column says of one job. `label` is said beside it where there is no heading; `column` is its heading."""

    column: str
    spans: Line
    label: str = ""

    @property
    def width(self) -> int:
        return sum(cell_len(text) for text, _ in self.spans)


Cells = tuple[Cell, ...]


def aged(found: Cells, job: ScheduledJob, now: datetime) -> Cells:
    """The same some seconds later: only how long ago it ran has changed."""
    return tuple(one._replace(spans=(last_text(job, now),)) if one.column == "last" else one for one in found)


def cells(job: ScheduledJob, now: datetime) -> Cells:
    """Every column after name, plan and next run."""
    planned = is_planned(job)
    return (
        Cell("strip", strip(job, now)),
        Cell("1 h", (count_text(job.hour, planned=planned),), "1h "),
        Cell("24 h", (count_text(job.day, planned=planned),), "24h "),
        Cell("7 d", (count_text(job.week, planned=planned),), "7d "),
        Cell("last", (last_text(job, now),)),
        Cell("a run", ((money_text(job.median), "strong"),), "a run "),
        Cell("95 %", ((money_text(job.p95), ""),), "95 % "),
        Cell("trend", (trend_text(job.trend),)),
        Cell("tonight", ((money_text(job.tonight), "strong"),), "tonight "),
    )


class Layout(NamedTuple):
    """How wide each column is, and which of them stand on one line; `table`: all of them, under one heading."""

    name: int
    plan: int
    due: int
    columns: dict[str, int]
    rows: tuple[tuple[int, ...], ...]
    table: bool


def layout(jobs: Sequence[ScheduledJob], found: Sequence[Cells], now: datetime, width: int) -> Layout:
    """One for all jobs, so that their figures stand below each other."""
    name = min(_MOST_NAME, max((cell_len(name_of(job)) for job in jobs), default=0))
    plan = min(_MOST_PLAN, max((cell_len(plan_text(job)) for job in jobs), default=0))
    due = max((cell_len(when(job, now)[0]) for job in jobs), default=0)
    heads = (
        {cell.column: max(cell_len(_HEADS.get(cell.column, cell.column)), 0) for cell in found[0]}
        if found
        else {}
    )
    bare = {
        head: max(least, *(one[at].width for one in found)) for at, (head, least) in enumerate(heads.items())
    }
    if not any(one.width for row in found for one in row if one.column == "trend"):
        bare["trend"] = 0
    whole = (
        2
        + max(name, 3)
        + GAP
        + max(plan, 4)
        + GAP
        + max(due, 8)
        + sum(GAP + each for each in bare.values() if each)
    )
    if whole <= width:
        return Layout(max(name, 3), max(plan, 4), max(due, 8), bare, (), table=True)
    labelled = {
        head: max((cell_len(one[at].label) + one[at].width for one in found), default=0)
        for at, head in enumerate(heads)
    }
    return _cards(Layout(name, plan, due, labelled, (), table=False), width - 2)


def _cards(made: Layout, width: int) -> Layout:
    """On as few lines as there can be: what the details say too is left out where that saves a line."""
    best = _packed(list(made.columns.values()), width)
    for less in (("95 %",), ("95 %", "trend")):
        kept = [0 if head in less else each for head, each in made.columns.items()]
        rows = _packed(kept, width)
        if len(rows) < len(best):
            best = rows
    return made._replace(rows=best)


def _packed(widths: list[int], width: int) -> tuple[tuple[int, ...], ...]:
    """Which columns stand on which line: as many as fit, in order."""
    rows: list[list[int]] = [[]]
    used = 0
    for at, each in enumerate(widths):
        if not each:
            continue
        need = each + (GAP if rows[-1] else 0)
        if rows[-1] and used + need > width:
            rows.append([])
            used, need = 0, each
        rows[-1].append(at)
        used += need
    return tuple(tuple(row) for row in rows if row)


def heading(made: Layout) -> Line:
    """The first line of a table."""
    names = [fit("", 2) + fit("job", made.name), fit("plan", made.plan), fit("next run", made.due)]
    names += [
        fit(_HEADS.get(head, head), each, right=head in _RIGHT) for head, each in made.columns.items() if each
    ]
    return line(((" " * GAP).join(names), "head"))


def entry(job: ScheduledJob, found: Cells, made: Layout, now: datetime, width: int) -> list[Line]:
    """One job: a row of the table or a few lines, and below it what is wrong with it, if anything."""
    due = when(job, now)
    if made.table:
        lines = [_table_row(job, found, made, due)]
    else:
        head = line(mark_of(job), " ", (name_of(job), "strong"), "  ", (plan_text(job), "dim"))
        lines = [apart(head, line(due), width)]
        lines += [line("  ", *_beside(found, row, made)) for row in made.rows]
    if job.level in ("bad", "warn") and job.findings:
        style = "bad" if job.level == "bad" else "warn"
        lines += [
            line("  ", *one) for one in wrapped(safe(job.findings[0]), max(1, width - 2), style, most=2)
        ]
    return lines


def _table_row(job: ScheduledJob, found: Cells, made: Layout, due: Span) -> Line:
    spans: list[Span | str] = [mark_of(job), " ", (fit(name_of(job), made.name), "strong"), " " * GAP]
    spans += [(fit(plan_text(job), made.plan), "dim"), " " * GAP, (fit(due[0], made.due), due[1])]
    for cell in found:
        each = made.columns[cell.column]
        if each:
            pad: Line = ((" " * max(0, each - cell.width), ""),)
            spans += [" " * GAP, *(pad + cell.spans if cell.column in _RIGHT else cell.spans + pad)]
    return line(*spans)


def _beside(found: Cells, row: tuple[int, ...], made: Layout) -> Line:
    spans: list[Span | str] = []
    for at in row:
        cell = found[at]
        pad = " " * (made.columns[cell.column] - cell_len(cell.label) - cell.width)
        spans += [" " * GAP] if spans else []
        spans += [(cell.label, "dim"), *cell.spans, pad]
    return line(*spans)


def nothing(snapshot: Snapshot, width: int) -> list[Line]:
    """Where there is no job: how jobs come here."""
    if not snapshot.readable:
        return wrapped("The ledger cannot be read: nothing is known.", width, "bad")
    lines: list[Line] = wrapped("No scheduled job is known yet. costmon sees jobs", width)
    ways = (
        ("in an app that says so:", '@costmon.job("trade", every="60m")'),
        ("of APScheduler, schedule and Celery beat, run with:", "costmon run -- python app.py"),
        ("in crontabs and systemd timers, compose files and logs:", "[schedules] in config.toml"),
    )
    for said, what in ways:
        lines += [
            line("· ", *one) if not at else line("  ", *one)
            for at, one in enumerate(wrapped(said, width - 2))
        ]
        lines += [line("    ", (what, "key"))]
    return lines
