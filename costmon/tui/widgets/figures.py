"""The figures of the day in a row, and the last six hours as a sparkline."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.schedule.values import ScheduledJob
from costmon.monitor.snapshot import Snapshot, Spend
from costmon.shim.money import Money
from costmon.tui.format import columns, count, cut, duration, fit, short_money
from costmon.tui.lines import EMPTY, Line, apart, line
from costmon.tui.widgets.panel import Panel

_LEAST = 10
"""The narrowest column."""
Figure = tuple[str, str, str] | tuple[str, str, str, str]
"""Label, value, style of the value, and what is not certain about it, if anything."""


class Figures(Panel):
    BORDER_TITLE = "Spend"

    def watch_snapshot(self) -> None:
        age = prices_age(self.snapshot) if self.snapshot else ""
        if age != self.border_subtitle:
            self.border_subtitle = age
        super().watch_snapshot()

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        height = self.screen.size.height
        shown = row(figures(snapshot, now), width, details=height >= 24)
        if height < 30 or not any(snapshot.hour_bars):
            return shown
        return [*shown, EMPTY, *sparkline(snapshot, width, 2 if height < 50 else 4)]


def prices_age(snapshot: Snapshot) -> str:
    """'prices 11d old': what the sums rest on."""
    if snapshot.prices_checked is None:
        return ""
    days = max(0, (snapshot.at - snapshot.prices_checked).days)
    return f"prices {days}d old" if days else "prices of today"


def figures(snapshot: Snapshot, now: datetime) -> list[Figure]:
    if not snapshot.readable:
        return [(label, "unknown", "warn") for label in ("today", "this hour", "burn rate", "calls")]
    today = snapshot.today
    found = [
        ("today", spend(today), "strong", band(today)),
        ("this hour", spend(snapshot.hour), "strong", band(snapshot.hour)),
        ("burn rate", f"{short_money(snapshot.burn_rate)}/h", "strong"),
        ("calls", count(today.calls), "strong", _uncertain(today)),
        ("in flight", count(snapshot.in_flight), "name" if snapshot.in_flight else "strong", _held(today)),
        *_refused(snapshot),
    ]
    due = next_due(snapshot.schedule.jobs)
    if due and due.next_run:
        late = due.next_run < now
        found.append(
            ("next run", "overdue" if late else duration(due.next_run - now), "warn" if late else "strong")
        )
    if today.errors:
        found.append(("errors", count(today.errors), "warn"))
    return found


def _refused(snapshot: Snapshot) -> list[Figure]:
    """What was refused, and what a dry run let go; the one that is nothing gives way to the other."""
    refused, excused = snapshot.refused_today, snapshot.rules.excused_today
    shown = [("refused", count(refused), "bad" if refused else "strong")] if refused or not excused else []
    let_go = [("dry run", f"{count(excused)} let go", "warn")] if excused else []
    return [*let_go, *shown] if snapshot.rules.dry_run else [*shown, *let_go]


def spend(part: Spend) -> str:
    """'≥ $1.20' where a part is missing, '~$1.20' where a part rests on estimates."""
    more = "".join(f" + {short_money(money)}" for money in part.unconverted)
    return part.mark + short_money(part.cost) + more


def band(part: Spend) -> str:
    """'$1.14–$1.38': what the sum may be at least and at most; '' where that reads the same."""
    low, high = short_money(part.low), short_money(part.high) if part.high else "?"
    return f"{low}–{high}" if low != high and (part.high or part.mark == "~") else ""


def _uncertain(part: Spend) -> str:
    counts = ((part.unpriced, "unpriced"), (part.partial, "partly priced"), (part.estimated, "estimated"))
    return next((f"{count(number)} {what}" for number, what in counts if number), "")


def _held(part: Spend) -> str:
    return f"{short_money(Money(part.reserved, part.cost.currency))} held" if part.reserved else ""


def next_due(jobs: tuple[ScheduledJob, ...]) -> ScheduledJob | None:
    planned = [(job.next_run, number) for number, job in enumerate(jobs) if job.next_run]
    return jobs[min(planned)[1]] if planned else None


def row(found: list[Figure], width: int, *, details: bool = False) -> list[Line]:
    """Labels over values in equal columns; what does not fit is left out from the end. With `details` a line below
    says what is not certain, if anything is; a band that is cut would lie, so it is left out."""
    notes = [figure[3] if details and len(figure) > 3 else "" for figure in found]
    needs = [
        max(_LEAST, 1 + max(map(cell_len, (*figure[:2], note))))
        for figure, note in zip(found, notes, strict=True)
    ]
    if sum(needs[:2]) > width:  # too narrow for the bands
        notes, needs = [""] * len(found), [max(_LEAST, 1 + cell_len(figure[1])) for figure in found]
    number = next((n for n in range(len(found), 0, -1) if sum(needs[:n]) <= width), 1)
    spare = min(20 - _LEAST, (width - sum(needs[:number])) // number) if number else 0
    columns = [need + max(0, spare) for need in needs[:number]]
    shown = list(zip(found, columns, strict=False))
    labels = line(*((fit(figure[0], each), "dim") for figure, each in shown))
    values = line(*((fit(cut(figure[1], each - 1), each), figure[2]) for figure, each in shown))
    below = line(*((fit(note, each), "dim") for note, each in zip(notes, columns, strict=False)))
    return [labels, values, *([below] if any(notes[:number]) else [])]


def sparkline(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """The quarter hours as bars of equal width, oldest left, with the highest one's sum."""
    bars = snapshot.hour_bars
    each = max(1, min(6, width // len(bars)))
    shown = columns(bars, height)
    gap = " " if each > 2 else ""
    lines = [line(("".join(char * (each - len(gap)) + gap for char in one), "spark")) for one in shown]
    return [*lines, _caption(snapshot, each * len(bars) - len(gap))]


def _caption(snapshot: Snapshot, width: int) -> Line:
    hours = len(snapshot.hour_bars) / 4
    peak = short_money(Money(max(snapshot.hour_bars), snapshot.currency))
    left = line((f"{hours:g} h ago", "dim"))
    return apart((*left, (f"   peak {peak} in 15 min", "dim")), line(("now", "dim")), width)
