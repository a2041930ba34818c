"""A long list of prices with a cursor; only the lines on the screen are made."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from costmon.pricing.lookup.listing import Listed
from costmon.tui.format import cut_middle, fit
from costmon.tui.lines import Line, crop, line
from costmon.tui.pricelist import COLUMNS, RIGHT, PriceLine, widths
from costmon.tui.widgets.panel import STYLES, Panel


class PriceTable(Panel):
    """Shows `found`; columns stand where all of `rows` need them, so that a search does not move them."""

    BORDER_TITLE = "Prices"
    FIXED: ClassVar[int] = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"costmon--{name}" for name in STYLES), "pricetable--cursor"}
    DEFAULT_CSS = "PriceTable > .pricetable--cursor { background: $field-focus; text-style: bold; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
    ]

    class Chosen(Message):
        """Enter or a second click on a row."""

        def __init__(self, listed: Listed) -> None:
            super().__init__()
            self.listed = listed

    cursor: var[int] = var(0)
    said: var[tuple[str, str]] = var(("", ""))
    """(a sentence in place of the rows, its style)."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[PriceLine, ...] = ()
        self._found: tuple[PriceLine, ...] = ()
        self._widths: dict[str, int] = {}

    def take(self, rows: tuple[PriceLine, ...]) -> None:
        """All there are."""
        self._rows, self._widths = rows, {}
        self.show(rows)

    def show(self, found: tuple[PriceLine, ...]) -> None:
        """Those that were searched for."""
        here = self.chosen
        self._found = found
        same = next((place for place, one in enumerate(found) if here and one.listed[:3] == here[:3]), 0)
        self._measure()
        self.set_reactive(PriceTable.cursor, same)
        self._follow()
        self.refresh()

    @property
    def chosen(self) -> Listed | None:
        return self._found[self.cursor].listed if 0 <= self.cursor < len(self._found) else None

    def watch_snapshot(self) -> None:
        pass

    def watch_now(self) -> None:
        pass

    def watch_said(self) -> None:
        self.refresh()

    def watch_cursor(self, old: int, new: int) -> None:
        for place in (old, new):
            self.refresh_line(place + self.FIXED)
        self._follow()

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(len(self._found) - 1, self.cursor + by))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - self.FIXED))

    def action_choose(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Chosen(self.chosen))

    def on_click(self, event: events.Click) -> None:
        place = event.y - self.gutter.top - self.FIXED + self.scroll_offset.y
        if 0 <= place < len(self._found):
            if place == self.cursor and event.chain > 1:
                self.action_choose()
            self.cursor = place

    def redraw(self) -> None:
        self._measure()
        self.refresh()

    def on_resize(self) -> None:
        self._widths = {}
        self.redraw()
        self._follow()

    def render_lines(self, crop: Region) -> list[Strip]:
        return super(Panel, self).render_lines(crop)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._found) + self.FIXED

    def _measure(self) -> None:
        size = Size(self.size.width, len(self._found) + self.FIXED)
        if self.virtual_size != size:
            self.virtual_size = size

    def _follow(self) -> None:
        """Scroll so that the cursor is on the screen."""
        room = self.size.height - self.FIXED
        top = self.scroll_offset.y
        if room <= 0:
            return
        wanted = min(self.cursor, top) if self.cursor < top else max(top, self.cursor - room + 1)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if not self._widths and self._rows:
            self._widths = widths(self._rows, width - 2 - self.styles.scrollbar_size_vertical)
        place = y - self.FIXED + self.scroll_offset.y
        is_cursor = y >= self.FIXED and place == self.cursor and bool(self._found)
        base = self.rich_style
        if is_cursor:
            base += self.get_component_rich_style("pricetable--cursor")
        segments = [
            Segment(
                text, base + self.get_component_rich_style(f"costmon--{name}", partial=True) if name else base
            )
            for text, name in crop(self._line(y, place, is_cursor=is_cursor), width)
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _line(self, y: int, place: int, *, is_cursor: bool) -> Line:
        if y < self.FIXED:
            heads = "".join(
                f"{fit(name + ' ' * (name in RIGHT), each, right=name in RIGHT)}  "
                for name, each in self._widths.items()
            )
            return line((f"  {heads}", "head"))
        if not self._found:
            return line(self.said) if y == self.FIXED and self.said[0] else ()
        if place >= len(self._found):
            return ()
        cells = dict(zip(COLUMNS, self._found[place].cells, strict=True))
        spans = [
            (f"{fit(cut_middle(cells[name], each), each, right=name in RIGHT)}  ", _STYLE.get(name, "dim"))
            for name, each in self._widths.items()
        ]
        return line(("▸ " if is_cursor else "  ", "name"), *spans)


_STYLE = {"model": "", "input": "strong", "output": "strong", "cache read": ""}
