"""The banner under the title: what is wrong now and how to mend it. Nothing wrong: no banner."""

from __future__ import annotations

from datetime import datetime

from textual.reactive import var

from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import cut, safe
from costmon.tui.lines import Line, apart, line
from costmon.tui.widgets.jobtext import fact_text, misfiring, name_of
from costmon.tui.widgets.panel import Panel

_MOST = 2


class Problems(Panel):
    """At most two problems, one line each; the fault of this terminal itself comes first, then what misfires."""

    DEFAULT_CSS = "Problems { height: auto; padding: 0 1; scrollbar-size: 0 0; }"

    fault: var[str] = var("")

    def watch_fault(self) -> None:
        self.redraw()

    def waiting(self, width: int) -> list[Line]:
        return banner((self.fault,), width)

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:  # noqa: ARG002
        return banner((self.fault, *misfires(snapshot), *snapshot.problems), width)


def misfires(snapshot: Snapshot) -> list[str]:
    """One sentence for each job that runs more often than planned."""
    found = misfiring(snapshot.schedule)
    return [f"MISFIRE: {name_of(job)} {fact_text(job, 'had')} · j: more" for job in found]


def banner(problems: tuple[str, ...], width: int) -> list[Line]:
    shown = [safe(problem) for problem in problems if problem]
    lines = [line((" ! ", "stopped"), (" " + cut(text, width - 4), "warn")) for text in shown[:_MOST]]
    if len(shown) > _MOST:
        more = line((f" {len(shown) - _MOST} more: costmon doctor", "dim"))
        lines[-1] = apart(lines[-1], more, width)
    return lines
