"""The overview: everything that matters now, on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.reactive import var
from textual.widgets import Footer

from costmon.monitor.snapshot import Snapshot
from costmon.tui import keys
from costmon.tui.pages.base import Page
from costmon.tui.widgets.billed import Billed
from costmon.tui.widgets.exceptions import Exceptions
from costmon.tui.widgets.feed import Feed
from costmon.tui.widgets.figures import Figures
from costmon.tui.widgets.gauges import Gauges
from costmon.tui.widgets.jobs import Jobs
from costmon.tui.widgets.oneline import OneLine
from costmon.tui.widgets.problems import Problems
from costmon.tui.widgets.resources import Resources
from costmon.tui.widgets.shares import Apps, Models
from costmon.tui.widgets.switchpanel import SwitchPanel, SwitchStrip
from costmon.tui.widgets.titlebar import TitleBar


class OverviewPage(Page):
    """Main column: gauges, switch strip, figures, feed; side column: switch, jobs, shares, resources,
    bills."""

    BINDINGS = keys.OVERVIEW
    AUTO_FOCUS: ClassVar[str | None] = "Feed"

    frozen: var[bool] = var(False)

    def compose(self) -> ComposeResult:
        yield OneLine().data_bind(Page.snapshot)
        yield TitleBar().data_bind(Page.snapshot, Page.now)
        yield Exceptions().data_bind(Page.snapshot, Page.now)
        yield Problems().data_bind(Page.snapshot, Page.fault)
        with Container(id="body"):
            with Vertical(id="main"):
                yield Gauges().data_bind(Page.snapshot, Page.now)
                yield SwitchStrip().data_bind(Page.snapshot, Page.now)
                yield Figures().data_bind(Page.snapshot, Page.now)
                yield Feed().data_bind(Page.snapshot, OverviewPage.frozen)
            with Container(id="side"):
                yield SwitchPanel().data_bind(Page.snapshot, Page.now)
                yield Jobs().data_bind(Page.snapshot, Page.now)
                yield Models().data_bind(Page.snapshot)
                yield Resources(classes="-none").data_bind(Page.snapshot, Page.now)
                yield Billed(classes="-none").data_bind(Page.snapshot, Page.now)
                yield Apps().data_bind(Page.snapshot)
        yield Footer(show_command_palette=False)

    def watch_snapshot(self, new: Snapshot | None) -> None:
        """A state that cannot be overlooked also changes the borders."""
        blocked = bool(new and new.switch.blocks)
        if blocked != self.has_class("-blocked"):
            self.set_class(blocked, "-blocked")
        self.set_class(bool(new and new.resources), "-resources")
        self.set_class(bool(new and new.sources), "-sources")

    def action_freeze(self) -> None:
        self.frozen = True
        self.refresh_bindings()

    def action_unfreeze(self) -> None:
        self.frozen = False
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("freeze", "unfreeze"):
            return self.frozen == (action == "unfreeze")
        return super().check_action(action, parameters)
