"""The terminal app: it wires source, pages, keys and themes together, and does nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from textual import on, work
from textual.app import App
from textual.reactive import var
from textual.worker import Worker, WorkerState, get_current_worker

from costmon import paths
from costmon.monitor.snapshot import Snapshot
from costmon.tui import themes
from costmon.tui.format import safe, said
from costmon.tui.messages import (
    BookFailed,
    BookOpened,
    BookWanted,
    SnapshotChanged,
    SourceFailed,
    SwitchFailed,
    SwitchToggled,
)
from costmon.tui.pages.estimate import EstimatePage
from costmon.tui.pages.help import HelpPage
from costmon.tui.pages.overview import OverviewPage
from costmon.tui.pages.prices import PricesPage
from costmon.tui.pages.reconcile import ReconcilePage
from costmon.tui.pages.schedule import SchedulePage
from costmon.tui.pricebook import HomePrices, PriceBook, PriceSource
from costmon.tui.source import SnapshotSource
from costmon.tui.widgets.levels import offers_allow

_WAIT = 0.5
"""Seconds a source may wait for something new; quitting takes at most as long."""
_RETRY = 1.0


class CostmonApp(App[None]):
    """Shows what `feed` delivers until the operator quits.

    Args:
        feed: where snapshots come from.
        theme: the theme's name; '' is our default. An unknown one is reported and the default taken.
        toggle_switch: what the `k` key does; None is `feed.toggle`.
        prices: where prices and exchange rates come from; None is this home.
    """

    CSS_PATH = "app.tcss"
    TITLE = "costmon"
    MODES = {  # noqa: RUF012
        "overview": OverviewPage,
        "estimate": EstimatePage,
        "prices": PricesPage,
        "reconcile": ReconcilePage,
        "schedule": SchedulePage,
    }
    DEFAULT_MODE = "overview"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (50, "-narrow"), (110, "-wide"), (170, "-huge"), (240, "-vast")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-flat-ish"), (14, "-short"), (32, "-tall")]  # noqa: RUF012

    snapshot: var[Snapshot | None] = var(None)
    now: var[datetime | None] = var(None)
    fault: var[str] = var("")
    book: var[PriceBook | None] = var(None)
    book_fault: var[str] = var("")

    def __init__(
        self,
        feed: SnapshotSource,
        *,
        theme: str = "",
        toggle_switch: Callable[[], str] | None = None,
        prices: PriceSource | None = None,
    ) -> None:
        self._own_themes: list[str] = []
        super().__init__()
        self._feed = feed
        self._move_switch = toggle_switch or feed.toggle
        self._moving = False
        self._prices = prices or HomePrices()
        self._opening = False
        self._leaving = threading.Event()
        self._received = 0.0
        self.clock: Callable[[], float] = time.monotonic
        """Seconds that only grow; a picture holds it still."""
        self._warnings = self._take_themes(theme)

    def _take_themes(self, wanted: str) -> list[str]:
        """Register every theme file; sentences about what could not be used."""
        user = os.path.join(paths.config_home(), "themes")
        loaded, failed = themes.load_themes(paths.bundled("themes"), user)
        for theme in loaded:
            self.register_theme(theme)
        self._own_themes = [theme.name for theme in loaded]
        for name in (wanted, themes.DEFAULT, *self._own_themes):
            if name in self.available_themes:
                self.theme = name
                break
        if wanted and self.theme != wanted:
            failed.append(f"Theme {safe(wanted)} does not exist; there are {', '.join(self._own_themes)}.")
        return failed

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.own_variables(self.current_theme)

    def on_mount(self) -> None:
        if self._warnings:
            self.notify(
                "\n".join(self._warnings), title="Themes", severity="warning", timeout=10, markup=False
            )
        self.set_interval(1.0, self._tick)
        self._follow()

    def on_unmount(self) -> None:
        self._leaving.set()
        self._feed.close()

    # The source of snapshots

    @work(thread=True, exclusive=True, exit_on_error=False, group="feed", name="snapshots")
    def _follow(self) -> None:
        worker = get_current_worker()
        while not (worker.is_cancelled or self._leaving.is_set()):
            try:
                snapshot = self._feed.next_snapshot(_WAIT)
            except Exception as error:
                self.post_message(SourceFailed(f"No new figures: {said(error)}; trying again"))
                self._leaving.wait(_RETRY)
                continue
            if snapshot is not None:
                self.post_message(SnapshotChanged(snapshot))

    @on(SnapshotChanged)
    def _take(self, message: SnapshotChanged) -> None:
        allowed = self.snapshot is not None and offers_allow(self.snapshot.switch)
        self._received = self.clock()
        self.fault = ""
        self.now = message.snapshot.at
        self.snapshot = message.snapshot
        if allowed != offers_allow(message.snapshot.switch):
            self.refresh_bindings()

    @on(SourceFailed)
    def _report_fault(self, message: SourceFailed) -> None:
        self.fault = message.sentence

    def _tick(self) -> None:
        """Let ages and countdowns go on between snapshots; a simulation's clock runs at its own pace."""
        if self.snapshot is not None and not self.snapshot.simulated:
            self.now = self.snapshot.at + timedelta(seconds=int(self.clock() - self._received))

    @on(Worker.StateChanged)
    def _mend_worker(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.ERROR:
            return
        if event.worker.group == "feed":
            self.fault = (
                f"No new figures: the worker failed ({type(event.worker.error).__name__}); started again"
            )
            self.set_timer(_RETRY, self._follow)
        else:
            self._moving = self._opening = False
            self.notify(
                f"{type(event.worker.error).__name__}",
                title="Something failed",
                severity="error",
                markup=False,
            )

    # Prices

    @on(BookWanted)
    def _want_book(self) -> None:
        if not self._opening:
            self._opening = True
            self._open_book()

    @work(thread=True, exit_on_error=False, group="prices", name="prices")
    def _open_book(self) -> None:
        try:
            self.post_message(BookOpened(self._prices.open()))
        except Exception as error:
            self.post_message(BookFailed(f"No prices: {said(error)}."))

    @on(BookOpened)
    def _take_book(self, message: BookOpened) -> None:
        self._opening = False
        self.book_fault = ""
        self.book = message.book

    @on(BookFailed)
    def _report_book(self, message: BookFailed) -> None:
        self._opening = False
        self.book_fault = message.sentence

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("stop", "allow"):
            allow = self.snapshot is not None and offers_allow(self.snapshot.switch)
            return allow == (action == "allow")
        return super().check_action(action, parameters)

    def action_stop(self) -> None:
        self._toggle_once()

    def action_allow(self) -> None:
        self._toggle_once()

    def _toggle_once(self) -> None:
        """One move at a time: a second press while the first is under way must not undo it."""
        if not self._moving:
            self._moving = True
            self._toggle()

    @work(thread=True, exit_on_error=False, group="switch", name="switch")
    def _toggle(self) -> None:
        try:
            self.post_message(SwitchToggled(self._move_switch()))
        except Exception as error:
            self.post_message(SwitchFailed(said(error)))

    @on(SwitchToggled)
    def _say_toggled(self, message: SwitchToggled) -> None:
        self._moving = False
        self.notify(safe(message.sentence), title="Switch", markup=False)

    @on(SwitchFailed)
    def _say_failed(self, message: SwitchFailed) -> None:
        self._moving = False
        self.notify(
            message.sentence, title="The switch did not move", severity="error", timeout=10, markup=False
        )

    def action_next_theme(self) -> None:
        """Go through the themes that come as files, ours and the user's."""
        names = self._own_themes or [self.theme]
        place = names.index(self.theme) + 1 if self.theme in names else 0
        self.theme = names[place % len(names)]
        self.clear_notifications()
        self.notify(self.theme, title="Theme", timeout=2, markup=False)

    def action_page(self, name: str) -> None:
        self.switch_mode(name)

    def action_help(self) -> None:
        self.push_screen(HelpPage())
