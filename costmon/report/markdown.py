"""A report as Markdown, to be read in a terminal as it is. Words from outside stand in code spans: no link, no HTML, no
emphasis comes of them."""

from __future__ import annotations

import re
import textwrap

from rich.cells import cell_len

from costmon.report.document import Block, Document, Events, Items, Paragraph, Said, Table, Text, harmless

WIDTH = 80
_MOST_CELL = 40


def markdown(document: Document) -> str:
    lines = [f"# {_inline(document.title)}", ""]
    for block in document.lead:
        lines += [*_block(block), ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text, grave):
            words = _inline(text)
            return _wrapped(f"**{words}**" if grave else words, "")
        case Items(items):
            return [row for item in items for row in _wrapped(_inline(item), "- ")]
        case Events(rows):
            return [row for time, text in rows for row in _wrapped(f"{time}  {_inline(text)}", "- ")]
        case Table():
            return _table(block)


def _wrapped(text: str, mark: str) -> list[str]:
    """At most 80 columns; a code span is never broken."""
    words = _words(text)
    rows = textwrap.wrap(
        " ".join(words),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [row.replace(_JOIN, " ") for row in rows] or [mark.strip()]


_JOIN = "\x00"
"""Stands for a space inside a code span while lines are broken; no text holds it."""
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def _words(text: str) -> list[str]:
    return _CODE.sub(lambda match: match[0].replace(" ", _JOIN), text).split(" ")


def _inline(text: Text, *, cell: bool = False) -> str:
    return "".join(_code(harmless(part), cell=cell) if isinstance(part, Said) else part for part in text)


def _short(text: str) -> str:
    """A table has no room for a long name; the page of the job, the JSON and the HTML have all of it."""
    return text if len(text) <= _MOST_CELL else text[: _MOST_CELL - 1] + "…"


def _code(text: str, *, cell: bool) -> str:
    """A code span: fenced by more backticks than stand anywhere inside it."""
    text = _short(text) if cell else text
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text.replace('|', chr(92) + '|') if cell else text}{pad}{fence}"


def _table(table: Table) -> list[str]:
    rows = [list(table.heads), *([_inline(cell, cell=True) for cell in row] for row in table.rows)]
    widths = [max(3, *(cell_len(row[at]) for row in rows)) for at in range(len(table.heads))]
    lines = [
        "| " + " | ".join(_fit(text, widths[at], at in table.right) for at, text in enumerate(row)) + " |"
        for row in rows
    ]
    rule = "|".join("-" * (each + 1) + (":" if at in table.right else "-") for at, each in enumerate(widths))
    return [lines[0], f"|{rule}|", *lines[1:]]


def _fit(text: str, width: int, right: bool) -> str:
    pad = " " * (width - cell_len(text))
    return pad + text if right else text + pad
