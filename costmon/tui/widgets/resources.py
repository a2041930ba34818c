"""Servers, storage, traffic and subscriptions: how much of each this month, and what it cost."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.resources import amount_text, stored_text
from costmon.monitor.snapshot import ResourceStatus, Snapshot
from costmon.tui.format import coarse, cut, fit, money, on_the_point, safe
from costmon.tui.lines import Line, Span, apart, line, wrapped
from costmon.tui.widgets.panel import Panel

_LEAST_NAME = 7


class Resources(Panel):
    """Hidden while there are none."""

    BORDER_TITLE = "Resources this month"

    def watch_snapshot(self) -> None:
        self.set_class(not (self.snapshot and self.snapshot.resources), "-none")
        super().watch_snapshot()

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return resources(snapshot.resources, now, width)


def resources(found: tuple[ResourceStatus, ...], now: datetime, width: int) -> list[Line]:
    """Mark, name, amount and cost in columns, or on two lines each where they would be cut; what runs comes first."""
    ordered = sorted(found, key=lambda one: (not one.problem, not one.running, safe(one.name)))
    costs = {one: _cost(one) for one in ordered}
    aligned = on_the_point(text for text, _ in costs.values() if any(char.isdigit() for char in text))
    money_width = max([*(cell_len(text) for text, _ in costs.values()), *map(cell_len, aligned.values())])
    amounts = {one: amount(one) for one in ordered}
    amount_width = max(map(cell_len, amounts.values()))
    longest = max(cell_len(safe(one.name)) for one in ordered)
    room = width - 2 - 2 - amount_width - 2 - money_width
    if room < min(longest, _LEAST_NAME):
        return [
            one
            for status in ordered
            for one in _two_lines(status, amounts[status], costs[status], now, width)
        ]
    name = min(longest, room)
    states = {one: state(one, now) for one in ordered}
    state_width = max(cell_len(text) for text, _ in states.values()) + 2
    with_states = room - name >= state_width
    lines: list[Line] = []
    for one in ordered:
        text, style = costs[one]
        spans: list[Span | str] = [
            mark(one),
            fit(cut(safe(one.name) or "(no name)", name), name),
            (f"  {fit(amounts[one], amount_width, right=True)}", ""),
            (f"  {fit(aligned.get(text, text), money_width, right=True)}", style),
        ]
        if with_states:
            spans.append((f"  {states[one][0]}", states[one][1]))
        lines += [line(*spans), *_problem(one, width)]
    return lines


def _two_lines(one: ResourceStatus, used: str, cost: Span, now: datetime, width: int) -> list[Line]:
    name = safe(one.name) or "(no name)"
    said = state(one, now)
    room = width - 3 - cell_len(said[0]) >= min(cell_len(name), _LEAST_NAME)
    head = apart(line(mark(one), name), line(said if room else ("", "dim")), width)
    return [head, apart(line(("  " + used, "")), line(cost), width), *_problem(one, width)]


def mark(one: ResourceStatus) -> Span:
    """'●' is running, '○' is stopped or not seen yet."""
    return ("● ", "word-ok") if one.running else ("○ ", "dim")


def state(one: ResourceStatus, now: datetime) -> Span:
    """'for 3h', 'stopped', '37.2 GB stored' or that it was not seen yet."""
    if one.since is None:
        return ("not seen yet", "warn")
    since = f"+{money(one.ahead)} since" if one.ahead is not None and one.ahead.nano > 0 else ""
    if one.stored is not None:
        what = stored_text(one)
    elif one.kind in ("time", "flat"):
        what = f"for {coarse(now - one.since)}" if one.running else "stopped"
    else:
        what = ""
    return (" · ".join(part for part in (what, since) if part), "dim")


def amount(one: ResourceStatus) -> str:
    """'12.5 h', with '~' where a part was estimated."""
    return f"{'~' if one.estimated else ''}{safe(amount_text(one))}"


def _cost(one: ResourceStatus) -> Span:
    """What it cost so far; a part without a price makes it a least figure."""
    if one.cost is None:
        return ("unknown", "warn") if one.unpriced else ("–", "dim")
    sign = "≥ " if one.unpriced else "~" if one.estimated else ""
    return (sign + " + ".join(money(part) for part in (one.cost, *one.others)), "strong")


def _problem(one: ResourceStatus, width: int) -> list[Line]:
    return (
        [line("  ", *text) for text in wrapped(safe(one.problem), max(1, width - 2), "warn", 2)]
        if one.problem
        else []
    )
