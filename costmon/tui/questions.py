"""What the calculators ask: the fields of each section, and what is typed into them as one exact question. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from costmon.pricing.calculators.scenario import Load, calls_per_day
from costmon.shim.money import Money
from costmon.tui import entry
from costmon.tui.entry import WrongError

SECTIONS = ("call", "month", "server")


class FieldSpec(NamedTuple):
    """One field: `kind` is 'number' (letters stay keys), 'text' or 'area'; `sections` it belongs to; `hint` stands in
    it while it is empty."""

    name: str
    label: str
    kind: str
    sections: tuple[str, ...]
    start: str = ""
    hint: str = ""


FIELDS = (
    FieldSpec("models", "Models", "text", SECTIONS, "gpt-4o-mini", "gpt-4o-mini, claude-haiku-4-5"),
    FieldSpec("input", "Input tokens", "number", SECTIONS, "4000", "of each call"),
    FieldSpec("output", "Output tokens", "number", SECTIONS, "1000", "of each call"),
    FieldSpec("cached", "Cached input", "number", ("call",), "", "0 tokens"),
    FieldSpec("most", "Output at most", "number", ("call",), "", "max_tokens"),
    FieldSpec("requests", "Calls a day", "number", ("month",), "288", "or every …"),
    FieldSpec("every", "Every minutes", "number", ("month",), "", "minutes"),
    FieldSpec("cached_share", "Cached %", "number", ("month",), "", "0 %"),
    FieldSpec("batch_share", "Batch %", "number", ("month",), "", "0 %"),
    FieldSpec("days", "Days", "number", ("month",), "30", "30"),
    FieldSpec("price", "Price an hour", "text", ("server",), "1.20 USD", "1.20 USD"),
    FieldSpec("speed", "Tokens a second", "number", ("server",), "1500", "output"),
    FieldSpec("hours", "Hours a day", "number", ("server",), "24", "24"),
    FieldSpec("load", "Calls a day", "number", ("server",), "", "to compare at"),
    FieldSpec("prompt", "Prompt", "area", ("call",), "", "Paste a prompt here to count its tokens"),
    FieldSpec("at", "Prices of", "number", SECTIONS, "", "now"),
)
LABELS = {spec.name: spec.label for spec in FIELDS}


@dataclass(frozen=True, slots=True)
class CallQuestion:
    """`output` is None where nothing is said of it; a `prompt` is counted instead of `input`."""

    models: tuple[str, ...]
    at_us: int
    input: int
    output: int | None
    most: int | None
    cached: int
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class MonthQuestion:
    models: tuple[str, ...]
    at_us: int
    load: Load


@dataclass(frozen=True, slots=True)
class ServerQuestion:
    """`speed` counts output tokens a second, all requests together; `calls` a day are optional."""

    models: tuple[str, ...]
    at_us: int
    input: int
    output: int
    price: Money
    speed: Fraction
    hours: Fraction
    calls: Fraction | None


Question = CallQuestion | MonthQuestion | ServerQuestion


def ask(section: str, typed: Mapping[str, str], now: int) -> tuple[Question | None, dict[str, str]]:
    """(the question, {field: what is wrong with it}); the question is None when anything is wrong.

    Args:
        now: µs UTC, where no date is typed.
    """
    reader = _Reader(typed)
    models = reader.read("models", entry.models)
    at_us = reader.read("at", lambda text: entry.instant(text, now))
    build = {"call": _call, "month": _month, "server": _server}[section]
    question = build(reader, models, at_us)
    return (None if reader.wrong else question), reader.wrong


class _Reader:
    """Reads field after field; what is wrong is kept, and reads as None."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self._typed = typed
        self.wrong: dict[str, str] = {}

    def text(self, name: str) -> str:
        return self._typed.get(name, "").strip()

    def read(self, name: str, reading: Callable[[str], Any]) -> Any:
        try:
            return reading(self.text(name))
        except WrongError as error:
            self.wrong[name] = str(error)
            return None

    def maybe(self, name: str, reading: Callable[[str], Any]) -> Any:
        """As `read`, but an empty field is None and not wrong."""
        return self.read(name, reading) if self.text(name) else None

    def tell(self, name: str, sentence: str) -> None:
        self.wrong.setdefault(name, sentence)


def _call(reader: _Reader, models: Any, at_us: Any) -> CallQuestion:
    prompt = reader.text("prompt")
    tokens = 0 if prompt else reader.read("input", entry.whole)
    output, most = reader.maybe("output", entry.whole), reader.maybe("most", entry.whole)
    cached = reader.maybe("cached", entry.whole) or 0
    if tokens is not None and not prompt and cached > tokens:
        reader.tell("cached", f"cache reads are part of the input: write at most {tokens:,}")
    if output is not None and most is not None and most < output:
        reader.tell("most", f"write at least the {output:,} output tokens, or nothing")
    return CallQuestion(models, at_us, tokens, output, most, cached, prompt)


def _month(reader: _Reader, models: Any, at_us: Any) -> MonthQuestion | None:
    tokens, output = reader.read("input", entry.whole), reader.read("output", entry.whole)
    cached, batch = reader.read("cached_share", entry.share), reader.read("batch_share", entry.share)
    days = reader.read("days", lambda text: entry.whole(text or "30", 1, 3660))
    if reader.text("requests") and reader.text("every"):
        reader.tell("every", "write either calls a day or minutes between them")
    if reader.text("every"):
        minutes = reader.read("every", lambda text: entry.number(text, 527_040))
        calls = calls_per_day(minutes * 60) if minutes else None
        if calls is not None and calls > entry.MOST_CALLS:
            reader.tell("every", "write more minutes: these are over a billion calls a day")
    else:
        calls = reader.read("requests", lambda text: entry.number(text, entry.MOST_CALLS))
    if reader.wrong:
        return None
    return MonthQuestion(models, at_us, Load(calls or Fraction(1), tokens, output, cached, batch, days))


def _server(reader: _Reader, models: Any, at_us: Any) -> ServerQuestion:
    tokens = reader.read("input", entry.whole)
    output = reader.read("output", lambda text: entry.whole(text, 1))
    price = reader.read("price", entry.price)
    speed = reader.read("speed", lambda text: entry.number(text, 10**9))
    hours = reader.read("hours", lambda text: entry.number(text or "24", 24))
    calls = reader.maybe("load", lambda text: entry.number(text, entry.MOST_CALLS))
    return ServerQuestion(models, at_us, tokens, output, price, speed, hours, calls)
