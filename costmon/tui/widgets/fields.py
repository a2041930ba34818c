"""Fields to type into: a label and a line, letters staying keys where only a number makes sense."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static, TextArea

from costmon.tui.format import safe
from costmon.tui.questions import FieldSpec

_OF_NUMBERS = frozenset("0123456789.,_%-:+TZ ")
MOST_PROMPT = 200_000
_LONGEST_NUMBER = 40
_LONGEST_TEXT = 1000


class NumberInput(Input):
    """Takes the characters of numbers and dates; every other key does what it does elsewhere on the page."""

    def check_consume_key(self, key: str, character: str | None) -> bool:  # noqa: ARG002
        return character is not None and character in _OF_NUMBERS

    async def _on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character not in _OF_NUMBERS:
            event.prevent_default()  # Input would swallow it; so it goes on to the page's keys

    def _on_paste(self, event: events.Paste) -> None:
        event.text = safe(event.text.strip())  # Input's own handler comes after this one


class TextInput(Input):
    """A line of text. What is pasted loses its control characters."""

    def _on_paste(self, event: events.Paste) -> None:
        lines = [line.strip() for line in event.text.splitlines() if line.strip()]
        event.text = safe(", ".join(lines))


class PromptArea(TextArea):
    """A text whose tokens are to be counted; it is kept nowhere but on this page."""

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return key not in ("escape", "tab", "shift+tab") and super().check_consume_key(key, character)

    async def _on_paste(self, event: events.Paste) -> None:
        room = MOST_PROMPT - len(self.text)
        if len(event.text) > room:
            event.stop()
            event.prevent_default()
            self.app.notify(
                f"It is over {MOST_PROMPT:,} characters: in a shell, costmon estimate FILE counts a file.",
                title="Not pasted",
                severity="warning",
                markup=False,
            )
            return
        event.text = "".join(char if char in "\n\t" or char.isprintable() else "·" for char in event.text)


class Names(Suggester):
    """Completes the last name of several with commas between."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.names: tuple[str, ...] = ()

    async def get_suggestion(self, value: str) -> str | None:
        head, comma, last = value.rpartition(",")
        typed = last.lstrip()
        before = f"{head}{comma}{last[: len(last) - len(typed)]}"
        found = completion(self.names, typed)
        return before + typed + found[len(typed) :] if found else None


def completion(names: Iterable[str], typed: str) -> str:
    """The first name that begins with what is typed, in any case; '' when none does or it is whole already."""
    wanted = typed.lower()
    if not wanted:
        return ""
    starting = [name for name in names if name.lower().startswith(wanted)]
    if not starting or any(len(name) == len(typed) for name in starting):
        return ""
    return safe(starting[0])


class Field(Horizontal):
    """A label and what is typed beside it. `-wrong` marks it."""

    DEFAULT_CSS = """
    Field {
        height: 1;
        & > Static { width: 16; height: 1; color: $dim; }
        & > Input {
            width: 1fr; height: 1; border: none; padding: 0 1; background: $field; color: $foreground;
            &:focus { border: none; background: $field-focus; }
            & > .input--placeholder, & > .input--suggestion { color: $dim; }
        }
        & > TextArea {
            width: 1fr; height: 3; border: none; padding: 0; background: $field; color: $foreground;
            &:focus { border: none; background: $field-focus; }
            & > .text-area--placeholder { color: $dim; }
        }
        &.-area { height: auto; }
        &.-focus > Static { color: $primary; text-style: bold; }
        &.-wrong > Static { color: $error; text-style: bold; }
        &.-wrong > Input, &.-wrong > TextArea { color: $error; text-style: underline; }
    }
    """

    def __init__(self, spec: FieldSpec, names: Names) -> None:
        kind = " -area" if spec.kind == "area" else ""
        super().__init__(
            id=f"field-{spec.name}", classes=" ".join(f"-in-{one}" for one in spec.sections) + kind
        )
        self.spec = spec
        self._names = names

    def compose(self) -> ComposeResult:
        spec = self.spec
        yield Static(Content(spec.label))
        name = f"in-{spec.name}"
        if spec.kind == "area":
            yield PromptArea(id=name, placeholder=spec.hint, compact=True, highlight_cursor_line=False)
        elif spec.kind == "number":
            yield NumberInput(
                spec.start, spec.hint, id=name, compact=True, max_length=_LONGEST_NUMBER, select_on_focus=True
            )
        else:
            suggester = self._names if spec.name == "models" else None
            yield TextInput(
                spec.start,
                spec.hint,
                id=name,
                compact=True,
                max_length=_LONGEST_TEXT,
                suggester=suggester,
                select_on_focus=False,
            )

    def on_descendant_focus(self) -> None:
        self.add_class("-focus")

    def on_descendant_blur(self) -> None:
        self.remove_class("-focus")

    @property
    def typed(self) -> str:
        """What stands in it."""
        area = self.query(PromptArea)
        return area.first().text if area else self.query_one(Input).value

    @typed.setter
    def typed(self, text: str) -> None:
        self.query_one(Input).value = text
