"""What the pages that need prices have: the price book, opened by the app when such a page comes up."""

from __future__ import annotations

from textual import events
from textual.reactive import var

from costmon.monitor.snapshot import Snapshot
from costmon.tui.messages import BookWanted
from costmon.tui.pages.base import Page
from costmon.tui.pricebook import PriceBook
from costmon.tui.widgets.fields import PromptArea, TextInput

_LOW = 20
"""Below so many lines, boxes and what says that all is well give way."""
_SLIM = 70
"""Below so many columns, two fields beside each other would cut what is in them."""


class PricedPage(Page):
    """`take_book` and `take_book_fault` are called with what the app has, and whenever that changes."""

    book: var[PriceBook | None] = var(None)
    book_fault: var[str] = var("")
    """Why there are no prices, one sentence, or ''."""

    def on_mount(self) -> None:
        super().on_mount()
        self._mirror("book_fault")
        self._mirror("book")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _LOW, "-low")
        self.set_class(event.size.width < _SLIM, "-slim")

    def on_screen_resume(self) -> None:
        self.post_message(BookWanted())

    def watch_snapshot(self, new: Snapshot | None) -> None:
        """Nobody may overlook a block, whatever page is open."""
        self.set_class(bool(new and new.switch.blocks), "-blocked")

    def watch_book(self, book: PriceBook | None) -> None:
        self.take_book(book)

    def watch_book_fault(self, fault: str) -> None:
        self.take_book_fault(fault)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("stop_typing", "allow_typing"):
            return self.is_typing and self.app.check_action(action.removesuffix("_typing"), ())
        return super().check_action(action, parameters)

    async def action_stop_typing(self) -> None:
        await self.app.run_action("app.stop")

    async def action_allow_typing(self) -> None:
        await self.app.run_action("app.allow")

    @property
    def is_typing(self) -> bool:
        """Whether a letter would be typed now."""
        return isinstance(self.focused, TextInput | PromptArea)

    def take_book(self, book: PriceBook | None) -> None:
        raise NotImplementedError

    def take_book_fault(self, fault: str) -> None:
        raise NotImplementedError

    def waiting_for_book(self) -> tuple[str, str]:
        """(what is said while there are no prices, its style)."""
        return (self.book_fault, "bad") if self.book_fault else ("Reading the prices …", "dim")
