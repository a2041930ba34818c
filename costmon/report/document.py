"""A report before it has a format: titles, paragraphs, lists and tables. What comes from outside is marked as such, so that
each format can make it harmless in its own way."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from costmon.shim.events import clean

_LONGEST = 300
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})


class Said(NamedTuple):
    """Words from outside: a name, a reason, a title."""

    text: str


Part = str | Said
Text = tuple[Part, ...]


class Paragraph(NamedTuple):
    text: Text
    grave: bool = False


class Items(NamedTuple):
    items: tuple[Text, ...]


class Table(NamedTuple):
    """`right`: the columns of numbers."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    right: frozenset[int] = frozenset()


class Events(NamedTuple):
    """(time, text) in order."""

    rows: tuple[tuple[str, Text], ...]


Block = Paragraph | Items | Table | Events


class Section(NamedTuple):
    title: str
    blocks: tuple[Block, ...]


class Document(NamedTuple):
    title: Text
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]


def harmless(said: Said) -> str:
    """One line without control, direction or invisible characters, of at most 300 characters; '(no name)' for nothing."""
    text = "".join(char for char in clean(said.text, _LONGEST) if unicodedata.category(char) not in _HIDDEN)
    return text.strip() or "(no name)"


def plain(text: Text) -> str:
    """The text as one line without marks."""
    return "".join(harmless(part) if isinstance(part, Said) else part for part in text)
