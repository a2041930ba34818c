"""The base of every panel: a Snapshot becomes lines, and only lines that changed are drawn again."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from costmon.monitor.snapshot import Snapshot
from costmon.tui import lines as picture
from costmon.tui.lines import EMPTY, Line

_STEPS = ("ok", "70", "80", "90", "95", "100")
_PLAIN = ("dim", "strong", "head", "key", "name", "warn", "bad", "refused", "spark", "share")
_FILLED = ("track", "thin", "hold", "tick-track", "badge", "open", "stopped")
STYLES = (*_PLAIN, *_FILLED, *(f"{kind}-{step}" for kind in ("level", "word", "tick") for step in _STEPS))
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
        & > .costmon--thin { color: $edge; }
        & > .costmon--warn { color: $warning; }
        & > .costmon--bad { color: $error; text-style: bold; }
        & > .costmon--hold { color: $secondary; background: $track; }
        & > .costmon--spark { color: $primary; }
        & > .costmon--share { color: $secondary; }
        & > .costmon--badge { color: $on-level; background: $accent; text-style: bold; }
        & > .costmon--open { color: $on-level; background: $level-ok; text-style: bold; }
        & > .costmon--stopped { color: $on-level; background: $level-100; text-style: bold; }
        & > .costmon--refused { color: $error; }
        & > .costmon--tick-track { color: $tick; background: $track; }
    """
        + "".join(
            f"& > .costmon--level-{n} {{ color: $level-{n}; background: $track; }}\n"
            f"& > .costmon--word-{n} {{ color: $level-{n}; text-style: bold; }}\n"
            f"& > .costmon--tick-{n} {{ color: $on-level; background: $level-{n}; }}\n"
            for n in _STEPS
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

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        """What to show before the first snapshot."""
        return []

    def watch_snapshot(self) -> None:
        self.redraw()

    def watch_now(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Compute the lines anew and draw those that changed."""
        width = self.size.width or self._width
        if self.is_attached and self.display and width:
            self._width = width
            self._show(self._compute_beside_scrollbar())

    def on_resize(self) -> None:
        self.redraw()
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        # A widget that a style class has just made visible is drawn without having been told its size.
        if self.size.width != self._width:
            self._width = self.size.width
            self._lines = self._compute_beside_scrollbar()
        return super().render_lines(crop)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Lines needed at this width; Textual asks before the first resize, when nothing was shown yet."""
        if width != self._width:
            self._width = width
            self._lines = self._compute(width)
            self.set_reactive(Panel.virtual_size, Size(width, len(self._lines)))
        return len(self._lines)

    def _compute_beside_scrollbar(self) -> list[Line]:
        """The lines, a cell narrower when there are so many that a scrollbar stands beside them."""
        lines = self._compute(self._width)
        bar = self.styles.scrollbar_size_vertical
        return self._compute(self._width - bar) if bar and len(lines) > self.size.height > 0 else lines

    def _compute(self, width: int) -> list[Line]:
        if width <= 0:
            return []
        if self.snapshot is None:
            return self.waiting(width)
        try:
            lines = self.lines(self.snapshot, self.now or self.snapshot.at, width)
        except Exception as error:
            # One panel that cannot be drawn must not take the screen, and with it the stop key, away.
            self.log.error(f"{type(self).__name__}: {error!r}")
            lines = [((f"This cannot be shown ({type(error).__name__}).", "warn"),)]
        return [picture.crop(one, width) for one in lines]

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
            Segment(
                text, base + self.get_component_rich_style(f"costmon--{name}", partial=True) if name else base
            )
            for text, name in one
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base)
