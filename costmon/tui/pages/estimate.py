"""The calculators: what a call costs, what a month of calls costs, and when a server of one's own is cheaper."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.reactive import var
from textual.timer import Timer
from textual.widgets import Footer, Input, Static, TextArea
from textual.worker import get_current_worker

from costmon.shim.events import clean
from costmon.tui import keys
from costmon.tui.answers import answer
from costmon.tui.messages import Answered
from costmon.tui.pages.base import Page
from costmon.tui.pages.priced import PricedPage
from costmon.tui.pricebook import PriceBook
from costmon.tui.questions import FIELDS, LABELS, SECTIONS, Question, ask
from costmon.tui.widgets.answerpanel import AnswerPanel
from costmon.tui.widgets.exceptions import Exceptions
from costmon.tui.widgets.fields import Field, Names
from costmon.tui.widgets.oneline import OneLine
from costmon.tui.widgets.problems import Problems
from costmon.tui.widgets.switchpanel import SwitchStrip
from costmon.tui.widgets.titlebar import TitleBar

_PAUSE = 0.15
"""Seconds without a key before what was typed is worked out."""
_MINUTE = 60.0
_NAMES = {"call": "Call", "month": "Month", "server": "Server"}
_MOST_OWN = 3


class SectionTab(Static):
    """One of the sections; a click opens it."""

    def __init__(self, section: str) -> None:
        super().__init__(Content(f" {_NAMES[section]} "), id=f"tab-{section}")
        self.section = section

    def on_click(self, event: events.Click) -> None:
        event.stop()
        page = self.screen
        if isinstance(page, EstimatePage):
            page.section = self.section


class EstimatePage(PricedPage):
    """Fields above, the answer below. Fields that sections share keep what was typed when the section changes."""

    BINDINGS = keys.CALCULATOR
    AUTO_FOCUS: ClassVar[str | None] = "#in-input"

    section: var[str] = var("call")

    def __init__(self) -> None:
        super().__init__()
        self._names = Names()
        self._number = 0
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        yield OneLine().data_bind(Page.snapshot)
        yield TitleBar().data_bind(Page.snapshot, Page.now)
        yield Exceptions().data_bind(Page.snapshot, Page.now)
        yield Problems().data_bind(Page.snapshot, Page.fault)
        yield SwitchStrip(classes="always").data_bind(Page.snapshot, Page.now)
        with Vertical(id="calculator"):
            with Horizontal(id="tabs"):
                for section in SECTIONS:
                    yield Static(Content(f" {section[0]}"), classes="key")
                    yield SectionTab(section)
            with Container(id="form"):
                for spec in FIELDS:
                    yield Field(spec, self._names)
            yield AnswerPanel()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        super().on_mount()
        self._show_section()
        self._offer_own_models()
        self.set_interval(_MINUTE, self._ask_again)

    def _offer_own_models(self) -> None:
        """Start with the models that spend today, not with an example; what has no tokens cannot be estimated so."""
        found = self.snapshot
        resources = {one.name for one in found.resources} if found is not None else set()
        shares = [
            row
            for row in (found.by_model if found is not None else ())
            if row.name not in resources and row.spend.input_tokens + row.spend.output_tokens
        ]
        own = [row.name for row in shares[:_MOST_OWN] if row.name and clean(row.name, 200) == row.name]
        own = [name for name in own if "," not in name]
        if own:
            self._field("models").typed = ", ".join(own)

    # Sections

    def watch_section(self) -> None:
        if self.is_mounted:
            self._show_section()
            self._ask()

    def _show_section(self) -> None:
        for section in SECTIONS:
            self.query_one(f"#tab-{section}").set_class(section == self.section, "-on")
        focused = self.focused
        for field in self.query(Field):
            field.display = self.section in field.spec.sections
            if focused is not None and focused in field.children and not field.display:
                self.query_one("#in-input").focus()

    def action_section(self, name: str) -> None:
        self.section = name

    def action_back(self) -> None:
        if self.is_typing:
            self.query_one(AnswerPanel).focus()
        else:
            self.app.switch_mode("overview")

    # Questions and answers

    def take_book(self, book: PriceBook | None) -> None:
        if book is not None:
            self._learn_names(book)
        self._ask()

    def take_book_fault(self, fault: str) -> None:  # noqa: ARG002
        self._ask()

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _wait(self, event: Input.Changed | TextArea.Changed) -> None:
        event.stop()
        self._keep_one_rhythm(event.control.id or "", event)
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE, self._ask)

    def _keep_one_rhythm(self, name: str, event: Input.Changed | TextArea.Changed) -> None:
        """Calls a day and minutes between them say the same: the one typed last holds."""
        other = {"in-requests": "every", "in-every": "requests"}.get(name)
        if other and isinstance(event, Input.Changed) and event.value.strip():
            self._field(other).typed = ""

    def _field(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    def _ask_again(self) -> None:
        """A price may have changed with the hour."""
        if self.is_current:
            self._ask()

    def _ask(self) -> None:
        """Read the fields; mark what is wrong, or let the question be worked out."""
        try:
            panel = self.query_one(AnswerPanel)
        except NoMatches:
            return
        fields = {field.spec.name: field for field in self.query(Field)}
        typed = {name: field.typed for name, field in fields.items() if self.section in field.spec.sections}
        question, wrong = ask(self.section, typed, self.book.now() if self.book is not None else 0)
        for name, field in fields.items():
            field.set_class(name in wrong, "-wrong")
        self._number += 1
        if question is not None and self.book is not None:
            self._work_out(self._number, self.book, question)
            return
        said = tuple((f"{LABELS[name]}: {sentence}.", "warn") for name, sentence in wrong.items())
        panel.answer = None
        panel.said = said or (self.waiting_for_book(),)

    @work(thread=True, exclusive=True, exit_on_error=False, group="answer", name="answer")
    def _work_out(self, number: int, book: PriceBook, question: Question) -> None:
        worker = get_current_worker()
        try:
            found, sentence = answer(book, question), ""
        except Exception as error:
            self.log.error(f"{question!r}"[:200])
            found, sentence = None, f"This cannot be worked out ({type(error).__name__})."
        if not worker.is_cancelled:
            self.post_message(Answered(number, found, sentence))

    @on(Answered)
    def _show(self, message: Answered) -> None:
        if message.number != self._number:
            return
        panel = self.query_one(AnswerPanel)
        panel.said = ((message.sentence, "bad"),) if message.sentence else ()
        panel.answer = message.answer

    @work(thread=True, exclusive=True, exit_on_error=False, group="names", name="names")
    def _learn_names(self, book: PriceBook) -> None:
        self._names.names = book.names()
