"""Where in a price file a reader stands, for the one sentence of an error: file, key, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from costmon.errors import PriceError
from costmon.shim.events import clean

MAX_MESSAGE = 600
MAX_TEXT = 500


class Where:
    """A spot in a file: `Where(path) / "price" / 0 / "rate"` is `price[1].rate`. `fail` raises the sentence."""

    def __init__(self, path: str, key: str = "") -> None:
        self.path = path
        self.key = key

    def __truediv__(self, key: str | int) -> Where:
        if isinstance(key, int):
            return Where(self.path, f"{self.key}[{key + 1}]")
        return Where(self.path, f"{self.key}.{key}" if self.key else key)

    def fail(self, text: str) -> NoReturn:
        """Raise the PriceError '<file>: <key> <text>', on one line and of bounded length."""
        where = f"{self.path}: {self.key}" if self.key else f"{self.path}:"
        raise PriceError(clean(f"{where} {text}", MAX_MESSAGE))


def tables(at: Where, value: object) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Each table of the list `value` with its place."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        at.fail("must be a list of tables")
    for i, item in enumerate(value):
        yield at / i, item


def only(at: Where, table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Fail at the first key that is not `allowed`."""
    for key in table:
        if key not in allowed:
            (at / key).fail(f"is no key known here; the keys are {', '.join(allowed)}")


def text(at: Where, value: object) -> str:
    """`value` as a text in quotes of sensible length, which a terminal can show."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        at.fail("must be a text in quotes, not empty and at most 500 characters")
    if not value.isprintable():
        at.fail("has a character that cannot be shown (a control or direction mark, a line break); remove it")
    return value


def shown(value: object) -> str:
    """The beginning of a value of any type, for a sentence."""
    try:
        return str(value)[:40]
    except ValueError:  # Python writes no integer of thousands of digits
        return "a number of thousands of digits"
