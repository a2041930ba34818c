"""What each provider bills beside what apps logged: a block a provider, with a cursor on its days."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from costmon.monitor.reconciled import Reconciliation
from costmon.monitor.snapshot import Snapshot
from costmon.tui.lines import Line
from costmon.tui.widgets.billblocks import Chosen, Shown, bills
from costmon.tui.widgets.panel import STYLES, Panel

_MARGIN = 2
"""Lines kept in sight above the cursor: a table's heading, and the total."""


class Bills(Panel):
    """All blocks, one below the other. `Moved` tells what the cursor is on, `Opened` that more of it is wanted."""

    BORDER_TITLE = "Bills beside the ledger, this month in UTC days"
    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"costmon--{name}" for name in STYLES), "bills--cursor"}
    DEFAULT_CSS = "Bills > .bills--cursor { background: $field-focus; text-style: bold; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("left", "provider(-1)", show=False),
        Binding("right", "provider(1)", show=False),
        Binding("home", "edge(-1)", show=False),
        Binding("end", "edge(1)", show=False),
    ]

    class Moved(Message):
        def __init__(self, chosen: Chosen | None) -> None:
            super().__init__()
            self.chosen = chosen

    class Opened(Message):
        """Enter, or a second click on a row."""

    def __init__(self) -> None:
        super().__init__()
        self._stops: list[tuple[int, Chosen]] = []
        self._at = 0
        self._said: Chosen | None = None
        self._tables: dict[object, list[Shown]] = {}
        self._drawn: Reconciliation | None = None

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        return [(("Waiting for the first figures …", "dim"),)]

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        if (
            snapshot.reconciled is not self._drawn
        ):  # the same for many snapshots, and the dearest part of them
            self._tables, self._drawn = {}, snapshot.reconciled
        shown = bills(snapshot, now, width, self._tables)
        here = self.chosen
        self._stops = [(place, chosen) for place, (_, chosen) in enumerate(shown) if chosen is not None]
        keys = [chosen.key for _, chosen in self._stops]
        if here is not None and here.key in keys:
            self._at = keys.index(here.key)
        self._at = max(0, min(self._at, len(keys) - 1))
        return [one for one, _ in shown]

    def _show(self, lines: list[Line]) -> None:
        before = self._place
        super()._show(lines)
        if self._place != before:
            self.refresh()
        self._say()

    def _say(self) -> None:
        if self.chosen != self._said:
            self._said = self.chosen
            self.post_message(self.Moved(self._said))

    # The cursor

    @property
    def chosen(self) -> Chosen | None:
        return self._stops[self._at][1] if self._at < len(self._stops) else None

    @property
    def _place(self) -> int:
        """The line the cursor is on, -1 without one."""
        return self._stops[self._at][0] if self._at < len(self._stops) else -1

    def action_move(self, by: int) -> None:
        """To the next row; where there is none, or much to read before it, the page moves instead."""
        top, room = self.scroll_offset.y, max(1, self.size.height)
        target = self._at + by
        if not 0 <= target < len(self._stops):
            self._scroll(top + by)
            return
        place = self._stops[target][0]
        if place > top + 2 * room - 2:
            self._scroll(top + room - 1)
        elif place < top - room + 1:
            self._scroll(top - room + 1)
        else:
            self._go(target)

    def action_page(self, by: int) -> None:
        top, room = self.scroll_offset.y, max(1, self.size.height)
        self._scroll(top + by * max(1, room - 1))
        top = max(0, min(top + by * max(1, room - 1), len(self._lines) - room))
        inside = [at for at, (place, _) in enumerate(self._stops) if top <= place < top + room]
        if inside:
            self._put(inside[0] if by > 0 else inside[-1])

    def action_provider(self, by: int) -> None:
        """To the first row of the next block, or to that of this one or the one before it."""
        starts = [
            at
            for at, (_, one) in enumerate(self._stops)
            if at == 0 or one.block != self._stops[at - 1][1].block
        ]
        found = [at for at in starts if (at > self._at if by > 0 else at < self._at)]
        if found:
            self._put(found[0] if by > 0 else found[-1])
            self._scroll(self._head_of(self._place))
        else:
            self.action_edge(by)

    def _head_of(self, place: int) -> int:
        """The line after the last empty one above `place`: where its block begins."""
        while place > 0 and self._lines[place - 1]:
            place -= 1
        return place

    def action_edge(self, by: int) -> None:
        if self._stops:
            self._put(0 if by < 0 else len(self._stops) - 1)
        self._scroll(0 if by < 0 else len(self._lines))

    def action_choose(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        place = event.y - self.gutter.top + self.scroll_offset.y
        found = next((at for at, (here, _) in enumerate(self._stops) if here == place), None)
        if found is not None:
            if found == self._at and event.chain > 1:
                self.action_choose()
            self._put(found)

    def _go(self, target: int) -> None:
        self._put(target)
        top, room = self.scroll_offset.y, self.size.height
        margin = min(_MARGIN, max(0, room - 1) // 2)
        if self._place - margin < top:
            self._scroll(self._place - margin)
        elif self._place > top + room - 1:
            self._scroll(self._place - room + 1)

    def _put(self, target: int) -> None:
        before, self._at = self._place, target
        for place in (before, self._place):
            self.refresh_line(place)
        self._say()

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False)

    def render_line(self, y: int) -> Strip:
        place = y + self.scroll_offset.y
        if place != self._place or not 0 <= place < len(self._lines):
            return super().render_line(y)
        base = self.rich_style + self.get_component_rich_style("bills--cursor")
        segments = [
            Segment(
                text, base + self.get_component_rich_style(f"costmon--{name}", partial=True) if name else base
            )
            for text, name in (("▸ ", "name"), *self._lines[place][1:])
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base)
