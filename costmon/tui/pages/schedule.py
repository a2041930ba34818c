"""The schedule: what runs next, what ran too often, and what it will cost tonight."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.reactive import var
from textual.screen import ModalScreen
from textual.widgets import Footer

from costmon.monitor.schedule.values import ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.tui import keys
from costmon.tui.lines import Line
from costmon.tui.pages.base import Page
from costmon.tui.widgets.exceptions import Exceptions
from costmon.tui.widgets.jobdetails import details
from costmon.tui.widgets.joblist import JobList
from costmon.tui.widgets.jobtext import name_of
from costmon.tui.widgets.oneline import OneLine
from costmon.tui.widgets.panel import Panel
from costmon.tui.widgets.problems import Problems
from costmon.tui.widgets.switchpanel import SwitchStrip
from costmon.tui.widgets.timeline import Timeline
from costmon.tui.widgets.titlebar import TitleBar

_LOW = 20
"""Below so many lines, boxes and what says that all is well give way."""


class JobDetails(Panel):
    """One job. It follows its job through new snapshots; a job that is gone stays as it was last seen."""

    BORDER_TITLE = "Job"

    chosen: var[ScheduledJob | None] = var(None)

    def watch_chosen(self, old: ScheduledJob | None, new: ScheduledJob | None) -> None:
        self.border_title = Content(name_of(new)) if new is not None else Content("Job")
        if old is None or new is None or (old.name, old.apps) != (new.name, new.apps):
            self.scroll_to(y=0, animate=False)
        self.redraw()

    def watch_snapshot(self) -> None:
        """What is chosen comes with it where there is a list; alone it is looked up."""
        if self.chosen is not None and self.snapshot is not None:
            same = (self.chosen.name, self.chosen.apps)
            self.chosen = next(
                (job for job in self.snapshot.schedule.jobs if (job.name, job.apps) == same), self.chosen
            )
        self.redraw()

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return details(self.chosen, now, width, snapshot.time_zone) if self.chosen is not None else []


class JobPage(ModalScreen[None]):
    """The same over the page, where there is no room beside the list."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,enter,q,o", "dismiss", "Close", id="job.close"),
        *keys.SWITCH,
        *keys.SWITCH_CTRL,
        keys.THEME,
    ]

    def __init__(self, chosen: ScheduledJob) -> None:
        super().__init__()
        self._panel = JobDetails()
        self._panel.border_subtitle = "esc closes"
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        yield self._panel

    def on_mount(self) -> None:
        self._panel.chosen = self._chosen
        for name in ("now", "snapshot"):
            self._mirror(name)
        self._panel.focus()

    def _mirror(self, name: str) -> None:
        def take(value: object) -> None:
            setattr(self._panel, name, value)

        self.watch(self.app, name, take)


class SchedulePage(Page):
    """The next 24 hours, the jobs, and beside or below them everything about the one the cursor is on."""

    BINDINGS = keys.SCHEDULE
    AUTO_FOCUS: ClassVar[str | None] = "JobList"

    worst_first: var[bool] = var(True)

    def compose(self) -> ComposeResult:
        yield OneLine().data_bind(Page.snapshot)
        yield TitleBar().data_bind(Page.snapshot, Page.now)
        yield Exceptions().data_bind(Page.snapshot, Page.now)
        yield Problems().data_bind(Page.snapshot, Page.fault)
        yield SwitchStrip(classes="always").data_bind(Page.snapshot, Page.now)
        with Container(id="schedule"):
            yield Timeline().data_bind(Page.snapshot, Page.now, SchedulePage.worst_first)
            with Container(id="jobs"):
                yield JobList().data_bind(Page.snapshot, Page.now, SchedulePage.worst_first)
                yield JobDetails().data_bind(Page.snapshot, Page.now)
        yield Footer(show_command_palette=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _LOW, "-low")

    def watch_snapshot(self, new: Snapshot | None) -> None:
        """Nobody may overlook a block, whatever page is open; without a job there is nothing to detail."""
        self.set_class(bool(new and new.switch.blocks), "-blocked")
        self.set_class(bool(new and new.schedule.jobs), "-scheduled")

    @on(JobList.Moved)
    def _show(self, message: JobList.Moved) -> None:
        chosen = message.chosen
        self.query_one(JobDetails).chosen = chosen
        self.query_one(Timeline).chosen = (chosen.name, chosen.apps) if chosen is not None else ()

    @on(JobList.Opened)
    def action_open(self) -> None:
        chosen = self.query_one(JobList).chosen
        if chosen is not None:
            self.app.push_screen(JobPage(chosen))

    def action_sort(self) -> None:
        self.worst_first = not self.worst_first

    def action_back(self) -> None:
        self.app.switch_mode("overview")
