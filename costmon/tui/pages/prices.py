"""The catalogue: every model with its prices, to search through."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Footer, Input, Static
from textual.worker import get_current_worker

from costmon.tui import keys
from costmon.tui.messages import RowsListed
from costmon.tui.pages.base import Page
from costmon.tui.pages.card import RateCardPage
from costmon.tui.pages.priced import PricedPage
from costmon.tui.pricebook import PriceBook
from costmon.tui.pricelist import PriceLine, matching, price_lines
from costmon.tui.widgets.exceptions import Exceptions
from costmon.tui.widgets.fields import TextInput
from costmon.tui.widgets.oneline import OneLine
from costmon.tui.widgets.pricetable import PriceTable
from costmon.tui.widgets.problems import Problems
from costmon.tui.widgets.switchpanel import SwitchStrip
from costmon.tui.widgets.titlebar import TitleBar


class PricesPage(PricedPage):
    """A field to search in, and the table."""

    BINDINGS = [  # noqa: RUF012
        *keys.CATALOGUE[:4],
        Binding("enter", "open", "Rate card", id="prices.card", tooltip="Everything known of a price"),
        Binding("slash", "search", "Search", id="prices.search", tooltip="Words of the provider or the name"),
        *keys.CATALOGUE[4:],
        Binding("down", "table('down')", show=False),
        Binding("up", "table('up')", show=False),
        Binding("pagedown", "table('pagedown')", show=False),
        Binding("pageup", "table('pageup')", show=False),
    ]
    AUTO_FOCUS: ClassVar[str | None] = "PriceTable"

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[PriceLine, ...] = ()

    def compose(self) -> ComposeResult:
        yield OneLine().data_bind(Page.snapshot)
        yield TitleBar().data_bind(Page.snapshot, Page.now)
        yield Exceptions().data_bind(Page.snapshot, Page.now)
        yield Problems().data_bind(Page.snapshot, Page.fault)
        yield SwitchStrip(classes="always").data_bind(Page.snapshot, Page.now)
        with Vertical(id="catalogue"):
            with Horizontal(id="search"):
                yield Static(Content("/ Search"))
                yield TextInput(
                    placeholder="words of the provider or the model",
                    id="in-search",
                    compact=True,
                    max_length=200,
                    select_on_focus=False,
                )
            yield PriceTable()
        yield Footer(show_command_palette=False)

    def take_book(self, book: PriceBook | None) -> None:
        table = self.query_one(PriceTable)
        table.said = self.waiting_for_book()
        if book is not None:
            table.border_title = "Prices now, a million tokens (* = in tiers)"
            self._list(book)

    def take_book_fault(self, fault: str) -> None:  # noqa: ARG002
        self.query_one(PriceTable).said = self.waiting_for_book()

    @work(thread=True, exclusive=True, exit_on_error=False, group="rows", name="rows")
    def _list(self, book: PriceBook) -> None:
        worker = get_current_worker()
        lines = price_lines(book.rows())
        if not worker.is_cancelled:
            self.post_message(RowsListed(lines))

    @on(RowsListed)
    def _take(self, message: RowsListed) -> None:
        if message.lines != self._lines:
            self._lines = message.lines
            self.query_one(PriceTable).take(self._lines)
        self._search()

    @on(Input.Changed, "#in-search")
    def _search(self) -> None:
        table = self.query_one(PriceTable)
        found = matching(self._lines, self.query_one("#in-search", Input).value)
        table.said = (
            ("No model has these words in its name.", "warn") if self._lines else self.waiting_for_book()
        )
        table.show(found)
        about = self.book.about() if self.book is not None else ""
        counted = f"{len(found):,} of {len(self._lines):,}"
        table.border_subtitle = f"{counted} · {about}" if self.size.width >= 80 else counted

    @on(Input.Submitted, "#in-search")
    def _open_first(self) -> None:
        self.query_one(PriceTable).action_choose()

    @on(PriceTable.Chosen)
    def _open(self, message: PriceTable.Chosen) -> None:
        if self.book is not None:
            self.app.push_screen(RateCardPage(self.book, message.listed))

    def action_open(self) -> None:
        self.query_one(PriceTable).action_choose()

    def action_search(self) -> None:
        self.query_one("#in-search").focus()

    def action_table(self, key: str) -> None:
        """The arrows move in the table while one types."""
        table = self.query_one(PriceTable)
        {
            "down": lambda: table.action_move(1),
            "up": lambda: table.action_move(-1),
            "pagedown": lambda: table.action_page(1),
            "pageup": lambda: table.action_page(-1),
        }[key]()

    def action_back(self) -> None:
        search = self.query_one("#in-search", Input)
        if self.focused is search:
            self.query_one(PriceTable).focus()
        elif search.value:
            search.value = ""
        else:
            self.app.switch_mode("overview")
