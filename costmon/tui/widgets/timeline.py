"""The next 24 hours: a row for each job with a mark at each planned run, and what they will cost."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import var

from costmon.monitor.schedule.values import Schedule, ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.shim.money import Money
from costmon.tui.format import cut, every, fit, moment, zone
from costmon.tui.lines import Line, line
from costmon.tui.widgets.jobtext import mark_of, money_text, name_of, ordered
from costmon.tui.widgets.panel import Panel

DAY = timedelta(hours=24)
KEPT = 500
"""So many planned runs of a job are known at most; after the last of them nothing is drawn."""
_ONE, _MANY, _OVER, _MORE = "•", "■", "!", "…"
_STEPS = (1, 2, 3, 4, 6, 12)
_LEAST_AXIS = 16


class Timeline(Panel):
    """As many jobs as fit, the chosen one among them."""

    BORDER_TITLE = "Next 24 hours"
    can_focus = False

    chosen: var[tuple[object, ...]] = var(())
    worst_first: var[bool] = var(True)

    def __init__(self) -> None:
        super().__init__()
        self._costs = ""

    def watch_chosen(self) -> None:
        self.redraw()

    def watch_worst_first(self) -> None:
        self.redraw()

    def watch_snapshot(self) -> None:
        self._say_costs()
        super().watch_snapshot()

    def on_resize(self) -> None:
        self._say_costs()
        super().on_resize()

    def _say_costs(self) -> None:
        text = costs(self.snapshot.schedule, self.size.width) if self.snapshot is not None else ""
        if text != self._costs:
            self._costs = text
            self.border_subtitle = Content(text)

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        jobs = ordered(snapshot.schedule.jobs, worst_first=self.worst_first)
        return timeline(jobs, now, width, snapshot.time_zone, rows_for(self.screen.size.height), self.chosen)


def rows_for(height: int) -> int:
    """How many jobs a terminal of so many lines has room for here."""
    return 0 if height < 14 else max(2, min(20, (height - 12) // 4))


def costs(schedule: Schedule, width: int) -> str:
    """'tonight $0.04 · this week $0.20 · this month $0.87', as many as fit; '' without a job."""
    if not schedule.jobs:
        return ""
    jobs = schedule.jobs
    parts = (
        ("tonight", schedule.tonight, [job.tonight for job in jobs]),
        ("this week", schedule.this_week, [job.this_week for job in jobs]),
        ("this month", schedule.this_month, [job.this_month for job in jobs]),
    )
    texts = [f"{name} {_sum_text(value, of)}" for name, value, of in parts]
    return next((text for n in (3, 2, 1) if cell_len(text := " · ".join(texts[:n])) <= width), "")


def _sum_text(whole: Money | None, parts: list[Money | None]) -> str:
    """The sum; where a part of it is not known, the least it is."""
    known = [part for part in parts if part is not None]
    if whole is not None or not known or len({part.currency for part in known}) > 1:
        return money_text(whole)
    return "≥ " + money_text(Money(sum(part.nano for part in known), known[0].currency))


def timeline(
    jobs: list[ScheduledJob],
    now: datetime,
    width: int,
    zone_name: str,
    most: int,
    chosen: tuple[object, ...] = (),
) -> list[Line]:
    """The hours, then at most `most` jobs with their planned runs; '+3 more' where there are more."""
    if not jobs or most <= 0:
        return []
    shown, hidden = _window(jobs, most, chosen)
    name = min(max(cell_len(name_of(job)) for job in shown), max(6, min(24, width // 4)))
    axis = width - name - 3
    if axis < _LEAST_AXIS:
        return []
    more = f"+{hidden} more" if hidden else ""
    lines = [line(" " * (name + 3) if not more else fit(more, name + 3), *hours(now, axis, zone_name))]
    for job in shown:
        here = (job.name, job.apps) == chosen
        head = (mark_of(job), " ", (fit(name_of(job), name), "name" if here else ""), " ")
        lines.append(line(*head, *_row(job, now, axis, zone_name)))
    return lines


def _window(
    jobs: list[ScheduledJob], most: int, chosen: tuple[object, ...]
) -> tuple[list[ScheduledJob], int]:
    """`most` of the jobs with the chosen one among them, and how many are left out."""
    at = next((place for place, job in enumerate(jobs) if (job.name, job.apps) == chosen), 0)
    first = max(0, min(at - most // 2, len(jobs) - most)) if at >= most else 0
    shown = jobs[first : first + most]
    return shown, len(jobs) - len(shown)


def hours(now: datetime, axis: int, zone_name: str) -> Line:
    """'now' and the whole hours of the zone, as many as have room; midnight stands out."""
    marks = list(_whole_hours(now, zone_name))
    step = next((each for each in _STEPS if axis * each // 24 >= 4), _STEPS[-1])
    text: list[tuple[str, str]] = [("now", "dim")]
    used = 3
    for at, hour in marks:
        cell = _cell(at, now, axis)
        if hour % step or cell < used + 1 or cell + 2 > axis:
            continue
        text += [(" " * (cell - used), ""), (f"{hour:02}", "strong" if hour == 0 else "dim")]
        used = cell + 2
    return tuple(text)


def _whole_hours(now: datetime, zone_name: str) -> list[tuple[datetime, int]]:
    """(instant, hour on the wall) of the next 24 hours; zones differ by quarters of an hour."""
    local = zone(zone_name)
    quarter = timedelta(minutes=15)
    first = (
        now - timedelta(minutes=now.minute % 15, seconds=now.second, microseconds=now.microsecond) + quarter
    )
    walls = [(at, at.astimezone(local)) for at in (first + quarter * n for n in range(96))]
    return [(at, wall.hour) for at, wall in walls if wall.minute == 0]


def _cell(at: datetime, now: datetime, axis: int) -> int:
    return int((at - now) * axis // DAY)


def _row(job: ScheduledJob, now: datetime, axis: int, zone_name: str) -> Line:
    """The marks of one job, or in words why there are none."""
    cells = [0] * axis
    for at in job.upcoming:
        cell = _cell(at, now, axis)
        if 0 <= cell < axis:
            cells[cell] += 1
    over = job.next_run is not None and job.next_run < now and job.outcome != "running"
    if not any(cells):
        return line(
            (
                cut((f"{_OVER} " if over else "") + _nothing(job, now, zone_name), axis),
                "warn" if over else "dim",
            )
        )
    # One sign for the whole row: a mixture says no more than that cells begin in the middle of an interval.
    sign = _MANY if sum(cells) >= 2 * sum(map(bool, cells)) else _ONE
    text = "".join(sign if number else " " for number in cells)
    if len(job.upcoming) >= KEPT:
        last = _cell(max(job.upcoming), now, axis)
        text = (text[: last + 1] + _MORE * (axis - last - 1))[:axis]
    style = {"bad": "bad", "warn": "warn"}.get(job.level, "name")
    if over:
        return line((_OVER, "warn"), (text[1:], style))
    return line((text, style))


def _nothing(job: ScheduledJob, now: datetime, zone_name: str) -> str:
    if job.next_run is not None:
        return "overdue" if job.next_run < now else f"next {moment(job.next_run, now, zone_name)}"
    if job.rhythm is not None:
        return f"no plan; seems to run {every(job.rhythm)}, unconfirmed"
    return "no run is announced" if job.plan else "no plan"
