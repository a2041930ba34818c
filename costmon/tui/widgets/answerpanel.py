"""The calculators' answer, or what is to be written so that there is one."""

from __future__ import annotations

from textual.reactive import var

from costmon.tui import lines as picture
from costmon.tui.answers import Answer
from costmon.tui.lines import Line
from costmon.tui.tables import draw
from costmon.tui.widgets.panel import Panel


class AnswerPanel(Panel):
    """Shows `answer`; while that is None, the sentences of `said` (text, style)."""

    BORDER_TITLE = "Answer"

    answer: var[Answer | None] = var(None)
    said: var[tuple[tuple[str, str], ...]] = var(())

    def watch_answer(self) -> None:
        about = self.answer.about if self.answer is not None else ""
        if about and about != self.border_subtitle:
            self.border_subtitle = about
        self.redraw()

    def watch_said(self) -> None:
        self.redraw()

    def watch_snapshot(self) -> None:
        pass

    def watch_now(self) -> None:
        pass

    def _compute(self, width: int) -> list[Line]:
        if width <= 0:
            return []
        if self.answer is None:
            found = [one for text, style in self.said for one in picture.wrapped(text, width, style, 4)]
        else:
            found = draw(self.answer, width)
        return [picture.crop(one, width) for one in found]
