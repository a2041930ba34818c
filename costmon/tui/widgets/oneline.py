"""All there is room for in a very small terminal: 'costmon 84 % BLOCKED'."""

from __future__ import annotations

from datetime import datetime

from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import percent
from costmon.tui.lines import Line, line, width_of
from costmon.tui.widgets.levels import fullest, style_of
from costmon.tui.widgets.panel import Panel


class OneLine(Panel):
    DEFAULT_CSS = "OneLine { height: 1; scrollbar-size: 0 0; }"

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        return [line(("costmon", "name"), " …")]

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:  # noqa: ARG002
        return [one_line(snapshot, width)]


def one_line(snapshot: Snapshot, width: int) -> Line:
    """The longest way to say it that fits; the switch's state is never what is cut."""
    budget = fullest(snapshot)
    text, style = (percent(budget.ratio), f"word-{style_of(budget)}") if budget else ("no budget", "dim")
    state = ("BLOCKED", "stopped") if snapshot.switch.blocks else ("open", "word-ok")
    misfire = any(job.level == "bad" for job in snapshot.schedule.jobs)
    mark = (
        "MISFIRE"
        if misfire
        else "DRY RUN"
        if snapshot.rules.dry_run
        else "BYPASS"
        if snapshot.rules.bypasses
        else ""
    )
    note = (" ", (mark, "warn")) if mark else ()
    tight = (text.replace(" ", ""), style)
    ways = (
        *([line(("costmon", "name"), " ", (text, style), " ", state, *note)] if note else []),
        line(("costmon", "name"), " ", (text, style), " ", state),
        line(("costmon", "name"), " ", tight, " ", state),
    )
    return next((way for way in ways if width_of(way) <= width), line(state, " ", tight))
