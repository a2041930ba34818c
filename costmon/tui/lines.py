"""A picture as plain values: a Line is spans of (text, style name), to be compared and tested."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from costmon.tui.format import cut

Span = tuple[str, str]
Line = tuple[Span, ...]
EMPTY: Line = ()


def line(*parts: Span | str) -> Line:
    """A line of spans; a bare string has the widget's own style."""
    return tuple((part, "") if isinstance(part, str) else part for part in parts)


def width_of(one: Line) -> int:
    return sum(cell_len(text) for text, _ in one)


def crop(one: Line, width: int) -> Line:
    """At most `width` cells, with an ellipsis where something is missing."""
    if width_of(one) <= width:
        return one
    kept: list[Span] = []
    left = width
    for text, style in one:
        shown = cut(text, left)
        if shown != text or cell_len(shown) == left:
            kept.append((shown if shown.endswith("…") else cut(text + "……", left), style))
            break
        kept.append((shown, style))
        left -= cell_len(shown)
    return tuple(kept)


def apart(left: Line, right: Line, width: int) -> Line:
    """`left` and `right` at the two ends of a line; the left one gives way."""
    right = crop(right, width)
    room = width - width_of(right)
    shown = crop(left, max(0, room - 1))
    return (*shown, (" " * (room - width_of(shown)), ""), *right)


def joined(items: Iterable[tuple[int, Line]], width: int) -> Line:
    """Items in order with ' · ' between, leaving out those of the highest rank number that do not fit."""
    wanted = [(rank, order, item) for order, (rank, item) in enumerate(items) if item]
    chosen: list[tuple[int, Line]] = []
    used = 0
    for _, order, item in sorted(wanted, key=lambda entry: entry[:2]):
        need = width_of(item) + (3 if chosen else 0)
        if used + need <= width:
            chosen.append((order, item))
            used += need
    return _with_dots([item for _, item in sorted(chosen, key=lambda entry: entry[0])])


def _with_dots(items: list[Line]) -> Line:
    spans: list[Span] = []
    for number, item in enumerate(items):
        spans += [(" · ", "dim"), *item] if number else item
    return tuple(spans)


def wrapped(text: str, width: int, style: str = "", most: int = 3) -> list[Line]:
    """Words broken into at most `most` lines of `width` cells; '…' at the end says that there was more."""
    lines: list[str] = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    shown = lines[:most]
    if len(lines) > most:
        shown[-1] += "…"
    return [((cut(text, width), style),) for text in shown]
