"""The jobs with their plans and what ran, and a cursor on one of them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from costmon.monitor.schedule.values import Schedule, ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.tui.format import safe
from costmon.tui.lines import EMPTY, Line, line, wrapped
from costmon.tui.widgets.jobcells import Cells, aged, cells, entry, heading, layout, nothing
from costmon.tui.widgets.jobtext import ordered
from costmon.tui.widgets.panel import STYLES, Panel

Key = tuple[object, ...]


class JobList(Panel):
    """`Moved` tells which job the cursor is on, `Opened` that more of it is wanted."""

    BORDER_TITLE = "Jobs, ran/planned"
    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"costmon--{name}" for name in STYLES), "jobs--cursor"}
    DEFAULT_CSS = "JobList > .jobs--cursor { background: $field-focus; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "edge(-1)", show=False),
        Binding("end", "edge(1)", show=False),
    ]

    worst_first: var[bool] = var(True)

    class Moved(Message):
        def __init__(self, chosen: ScheduledJob | None) -> None:
            super().__init__()
            self.chosen = chosen

    class Opened(Message):
        """Enter, or a second click on a job."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[ScheduledJob] = []
        self._tops: list[int] = []
        self._at = 0
        self._here: Key | None = None
        self._said: ScheduledJob | None = None
        self._kept: dict[Key, Cells] = {}
        self._drawn: tuple[Schedule | None, int] = (None, 0)
        self._head = False

    def watch_worst_first(self) -> None:
        self.border_subtitle = "the worst first" if self.worst_first else "the next first"
        self.redraw()
        self._follow()

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        return [(("Waiting for the first figures …", "dim"),)]

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        schedule = snapshot.schedule
        if schedule is not self._drawn[0] or self._drawn[1] != now.minute:
            self._kept, self._drawn = {}, (schedule, now.minute)
        self._jobs = ordered(schedule.jobs, worst_first=self.worst_first)
        self._find_cursor()
        lines = self._entries(now, width - 2) if self._jobs else nothing(snapshot, width - 2)
        problems = [one for text in schedule.problems for one in wrapped(safe(text), width - 4, "warn", 4)]
        return [line("  ", *one) for one in (*lines, *((EMPTY,) if problems else ()), *problems)]

    def _entries(self, now: datetime, width: int) -> list[Line]:
        found = [self._cells(job, now) for job in self._jobs]
        made = layout(self._jobs, found, now, width)
        self._head = made.table
        lines = [heading(made)] if made.table else []
        self._tops = []
        for job, each in zip(self._jobs, found, strict=True):
            self._tops.append(len(lines))
            lines += entry(job, each, made, now, width)
        self._tops.append(len(lines))
        return lines

    def _cells(self, job: ScheduledJob, now: datetime) -> Cells:
        """Worked out once a minute for the same figures: the strips of many jobs are dear."""
        kept = self._kept.get(_key(job))
        if kept is None:
            kept = self._kept[_key(job)] = cells(job, now)
            return kept
        return aged(kept, job, now)

    def _show(self, lines: list[Line]) -> None:
        before = self._block
        super()._show(lines)
        if self._block != before:
            self.refresh()
        self._say()

    def _say(self) -> None:
        if self.chosen != self._said:
            self._said = self.chosen
            self.post_message(self.Moved(self._said))

    # The cursor

    @property
    def chosen(self) -> ScheduledJob | None:
        return self._jobs[self._at] if self._at < len(self._jobs) else None

    @property
    def _block(self) -> tuple[int, int]:
        """The lines of the chosen job: from, until."""
        return (
            (self._tops[self._at], self._tops[self._at + 1]) if self._at < len(self._tops) - 1 else (-1, -1)
        )

    def _find_cursor(self) -> None:
        """It stays on its job, wherever that stands now; before it was moved it is on the first."""
        keys = [_key(job) for job in self._jobs]
        if self._here in keys:
            self._at = keys.index(self._here)
        self._at = max(0, min(self._at, len(keys) - 1))
        if not keys:
            self._tops = []

    def action_move(self, by: int) -> None:
        if 0 <= self._at + by < len(self._jobs):
            self._put(self._at + by)
        else:
            self._scroll(self.scroll_offset.y + by)

    def action_page(self, by: int) -> None:
        """About a screen further."""
        if not self._jobs:
            self._scroll(self.scroll_offset.y + by * max(1, self.size.height - 1))
            return
        target = self._block[0] + by * max(1, self.size.height - self._fixed - 1)
        tops = self._tops[:-1]
        inside = [at for at, top in enumerate(tops) if (top <= target if by > 0 else top >= target)]
        wanted = (inside[-1] if by > 0 else inside[0]) if inside else 0
        self._put(max(0, min(len(tops) - 1, wanted if wanted != self._at else self._at + by)))
        if by > 0 and self._at == len(tops) - 1:
            self._scroll(len(self._lines))

    def action_edge(self, by: int) -> None:
        if self._jobs:
            self._put(0 if by < 0 else len(self._jobs) - 1)
        self._scroll(0 if by < 0 else len(self._lines))

    def action_choose(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        y = event.y - self.gutter.top
        place = y if y < self._fixed else y + self.scroll_offset.y
        found = next((at for at, end in enumerate(self._tops[1:]) if self._tops[at] <= place < end), None)
        if found is not None:
            if found == self._at and event.chain > 1:
                self.action_choose()
            self._put(found)

    def _put(self, target: int) -> None:
        before, self._at = self._block, target
        self._here = _key(self._jobs[target])
        for top, end in (before, self._block):
            self.refresh_lines(top, end - top)
        self._follow()
        self._say()

    def _follow(self) -> None:
        """Scroll so that the chosen job is on the screen, its first line in any case."""
        first, end = self._block
        top, room = self.scroll_offset.y, self.size.height
        if first - self._fixed < top:
            self._scroll(first - self._fixed)
        elif end > top + room:
            self._scroll(min(first - self._fixed, end - room))

    @property
    def _fixed(self) -> int:
        """Lines on top that do not scroll: the heading of a table."""
        return int(self._head and bool(self._jobs))

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False)

    def render_line(self, y: int) -> Strip:
        place = y if y < self._fixed else y + self.scroll_offset.y
        first, end = self._block
        inside = first <= place < end
        one = self._lines[place] if 0 <= place < len(self._lines) else EMPTY
        if inside:
            one = ((("▸ " if place == first else "  "), "name"), *one[1:])
        base = self.rich_style
        if inside:
            base += self.get_component_rich_style("jobs--cursor")
        segments = [
            Segment(
                text, base + self.get_component_rich_style(f"costmon--{name}", partial=True) if name else base
            )
            for text, name in one
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base)


def _key(job: ScheduledJob) -> Key:
    return (job.name, job.apps)
