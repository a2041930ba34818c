"""The top line: name, simulation badge, who warns, and the clock."""

from __future__ import annotations

from datetime import datetime

from costmon.monitor.snapshot import EngineStatus, Snapshot
from costmon.tui.format import zone
from costmon.tui.lines import Line, Span, apart, line, width_of
from costmon.tui.widgets.panel import Panel


class TitleBar(Panel):
    DEFAULT_CSS = "TitleBar { height: 1; padding: 0 1; background: $panel; scrollbar-size: 0 0; }"

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        return [line(("costmon", "name"))]

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return [title(snapshot, now, width)]


def title(snapshot: Snapshot, now: datetime, width: int) -> Line:
    badge = (("  ", ""), (" SIMULATION ", "badge")) if snapshot.simulated else ()
    left = line(("costmon", "name"), *badge, "  ", who_warns(snapshot.engine))
    local = now.astimezone(zone(snapshot.time_zone))
    clock = line(
        (f"{local:%a} {local.day} {local:%b}  ", "dim"),
        (f"{local:%H:%M:%S}", "strong"),
        (f" {local:%Z}", "dim"),
    )
    if width_of(left) + width_of(clock) >= width:
        clock = line((f"{local:%H:%M:%S}", "strong"))
    return apart(left, clock, width)


def who_warns(engine: EngineStatus) -> Span:
    """Enforcement needs nobody; warnings do, so the screen always says who sends them."""
    if not engine.running:
        return (" NOBODY WARNS: run costmon watch ", "stopped")
    if engine.mine:
        return ("warnings on (this terminal)", "dim")
    return (f"warned by pid {engine.pid}" if engine.pid else "warned by another process", "dim")
