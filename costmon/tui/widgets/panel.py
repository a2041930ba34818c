"""The base of every panel: a Snapshot becomes lines, and only lines that differ from the last ones are drawn again."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from costmon.monitor.snapshot import Snapshot
from costmon.tui.lines import EMPTY, Line, crop

STYLES = (
    "dim strong head key name track warn bad hold spark share badge open stopped refused "
    "level-ok level-70 level-80 level-90 level-95 level-100 "
    "word-ok word-70 word-80 word-90 word-95 word-100 "
    "tick-ok tick-70 tick-80 tick-90 tick-95 tick-100 tick-track"
).split()
"""Every style name a Line may use."""


class Panel(ScrollView):
    """Shows `lines()` of the page's snapshot. Bind `now` too and it is looked at every second."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"costmon--{name}" for name in STYLES}
    # Level colours as a gauge's fill, as words, and behind the tick marks of a gauge.
    DEFAULT_CSS = (
        """
    Panel {
        height: auto;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .costmon--dim { color: $dim; }
        & > .costmon--strong { text-style: bold; }
        & > .costmon--head { color: $dim; }
        & > .costmon--key { color: $accent; text-style: bold; }
        & > .costmon--name { color: $primary; text-style: bold; }
        & > .costmon--track { color: $track; background: $track; }
        & > .costmon--warn { color: $warning; }
        & > .costmon--bad { color: $error; text-style: bold; }
        & > .costmon--hold { color: $secondary; background: $track; }
        & > .costmon--spark { color: $primary; }
        & > .costmon--share { color: $secondary; }
        & > .costmon--badge { color: $on-level; background: $accent; text-style: bold; }
        & > .costmon--open { color: $on-level; background: $level-ok; text-style: bold; }
        & > .costmon--stopped { color: $on-level; background: $level-100; text-style: bold; }
        & > .costmon--refused { color: $error; }
        & > .costmon--tick-track { color: $dim; background: $track; }
    """
        + "".join(
            f"& > .costmon--level-{n} {{ color: $level-{n}; background: $track; }}\n"
            f"& > .costmon--word-{n} {{ color: $level-{n}; text-style: bold; }}\n"
            f"& > .costmon--tick-{n} {{ color: $on-level; background: $level-{n}; }}\n"
            for n in ("ok", "70", "80", "90", "95", "100")
        )
        + "}"
    )

    FIXED: ClassVar[int] = 0
    """Lines at the top that do not scroll."""

    snapshot: var[Snapshot | None] = var(None)
    now: var[datetime | None] = var(None)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._width = 0

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        """What to show in `width` cells. Pure: the same arguments give the same lines."""
        raise NotImplementedError

    def watch_snapshot(self) -> None:
        self.redraw()

    def watch_now(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Compute the lines anew and draw those that changed."""
        if self.is_attached and self.display and self._width:
            self._show(self._compute(self._width))

    def on_resize(self, event: events.Resize) -> None:
        self._width = self.scrollable_content_region.width
        self._show(self._compute(self._width))
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines needed at this width; Textual asks before the first resize, when nothing was shown yet."""
        if width != self._width:
            self._width = width
            self._lines = self._compute(width)
            self.set_reactive(Panel.virtual_size, Size(width, len(self._lines)))
        return len(self._lines)

    def _compute(self, width: int) -> list[Line]:
        if self.snapshot is None or width <= 0:
            return []
        return [crop(one, width) for one in self.lines(self.snapshot, self.now or self.snapshot.at, width)]

    def _show(self, lines: list[Line]) -> None:
        old, self._lines = self._lines, lines
        size = Size(self._width, len(lines))
        if self.virtual_size != size:
            self.virtual_size = size
        for y, one in enumerate(lines):
            if y >= len(old) or old[y] != one:
                self.refresh_line(y)
        if len(old) > len(lines):
            self.refresh_lines(len(lines), len(old) - len(lines))

    def render_line(self, y: int) -> Strip:
        index = y if y < self.FIXED else y + self.scroll_offset.y
        one = self._lines[index] if 0 <= index < len(self._lines) else EMPTY
        base = self.rich_style
        segments = [
            Segment(text, base + self.get_component_rich_style(f"costmon--{name}", partial=True) if name else base)
            for text, name in one
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base)
