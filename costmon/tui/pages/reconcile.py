"""The bill: what providers say was spent beside what apps logged, day by day, and the difference nobody logged."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.reactive import var
from textual.screen import ModalScreen
from textual.widgets import Footer

from costmon.monitor.snapshot import Snapshot
from costmon.tui import keys
from costmon.tui import lines as picture
from costmon.tui.lines import Line
from costmon.tui.pages.base import Page
from costmon.tui.pages.card import CardPanel
from costmon.tui.widgets.billblocks import Chosen
from costmon.tui.widgets.billdetails import details, title
from costmon.tui.widgets.bills import Bills
from costmon.tui.widgets.exceptions import Exceptions
from costmon.tui.widgets.oneline import OneLine
from costmon.tui.widgets.panel import Panel
from costmon.tui.widgets.problems import Problems
from costmon.tui.widgets.switchpanel import SwitchStrip
from costmon.tui.widgets.titlebar import TitleBar

_LOW = 20
"""Below so many lines, boxes and what says that all is well give way."""


class BillDetails(Panel):
    """The models of what is chosen, where there is room for them beside the bills."""

    BORDER_TITLE = "Models"

    chosen: var[Chosen | None] = var(None)

    def watch_chosen(self) -> None:
        self.border_title = Content(title(self.chosen.of) if self.chosen is not None else self.BORDER_TITLE)
        self.scroll_to(y=0, animate=False)
        self.redraw()

    def watch_snapshot(self) -> None:
        pass

    def watch_now(self) -> None:
        pass

    def _compute(self, width: int) -> list[Line]:
        return _details(self.chosen, width)


def _details(chosen: Chosen | None, width: int) -> list[Line]:
    if chosen is None or width <= 0:
        return []
    return [picture.crop(one, width) for one in details(chosen.of, chosen.days, width)]


class BillPage(ModalScreen[None]):
    """The same over the page, where there is no room beside it."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,enter,q,o", "dismiss", "Close", id="bill.close"),
        *keys.SWITCH,
        *keys.SWITCH_CTRL,
        keys.THEME,
    ]

    def __init__(self, chosen: Chosen) -> None:
        super().__init__()
        self._panel = CardPanel(lambda width: _details(chosen, width))
        self._panel.border_title = Content(title(chosen.of))
        self._panel.border_subtitle = "esc closes"

    def compose(self) -> ComposeResult:
        yield self._panel


class ReconcilePage(Page):
    """The bills, and beside or below them the models of the day the cursor is on."""

    BINDINGS = keys.BILLS
    AUTO_FOCUS: ClassVar[str | None] = "Bills"

    def compose(self) -> ComposeResult:
        yield OneLine().data_bind(Page.snapshot)
        yield TitleBar().data_bind(Page.snapshot, Page.now)
        yield Exceptions().data_bind(Page.snapshot, Page.now)
        yield Problems().data_bind(Page.snapshot, Page.fault)
        yield SwitchStrip(classes="always").data_bind(Page.snapshot, Page.now)
        with Container(id="bills"):
            yield Bills().data_bind(Page.snapshot, Page.now)
            yield BillDetails()
        yield Footer(show_command_palette=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _LOW, "-low")

    def watch_snapshot(self, new: Snapshot | None) -> None:
        """Nobody may overlook a block, whatever page is open; without a figure there is nothing to detail."""
        self.set_class(bool(new and new.switch.blocks), "-blocked")
        self.set_class(bool(new and new.reconciled.days), "-billed")

    @on(Bills.Moved)
    def _show(self, message: Bills.Moved) -> None:
        self.query_one(BillDetails).chosen = message.chosen

    @on(Bills.Opened)
    def action_open(self) -> None:
        chosen = self.query_one(Bills).chosen
        if chosen is not None:
            self.app.push_screen(BillPage(chosen))

    def action_back(self) -> None:
        self.app.switch_mode("overview")
