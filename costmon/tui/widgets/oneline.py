"""All there is room for in a very small terminal: 'costmon 84 % BLOCKED'."""

from __future__ import annotations

from datetime import datetime

from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import percent
from costmon.tui.lines import Line, line
from costmon.tui.widgets.levels import fullest, style_of
from costmon.tui.widgets.panel import Panel


class OneLine(Panel):
    DEFAULT_CSS = "OneLine { height: 1; scrollbar-size: 0 0; }"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return [one_line(snapshot)]


def one_line(snapshot: Snapshot) -> Line:
    budget = fullest(snapshot)
    ratio = (percent(budget.ratio), f"word-{style_of(budget)}") if budget else ("no budget", "dim")
    blocked = bool(snapshot.switch.blocks)
    return line(("costmon", "name"), " ", ratio, " ", ("BLOCKED", "stopped") if blocked else ("open", "word-ok"))
