"""An answer as lines: columns where they fit, else a figure a line. A figure is never cut. Pure functions."""

from __future__ import annotations

from rich.cells import cell_len

from costmon.tui.answers import Answer, Row
from costmon.tui.format import cut, fit, on_the_point, safe
from costmon.tui.lines import EMPTY, Line, Span, apart, line, wrapped

_MARK = "cheapest"
_LEAST_NAME = 12
_MOST_LINES = 6


def draw(answer: Answer, width: int) -> list[Line]:
    """The whole answer in `width` cells."""
    lines = [one for text in answer.head for one in wrapped(text, width, most=_MOST_LINES)]
    heads = list(dict.fromkeys(cell.head for row in answer.rows for cell in row.cells))
    columns = _columns(answer.rows, heads)
    name = _room_for_names(answer.rows, columns, width)
    rows = _table(answer.rows, columns, name, width) if name else _stacked(answer.rows, width)
    lines += rows
    notes = [one for note in answer.notes for one in wrapped(note.text, width, note.style, _MOST_LINES)]
    return [*lines, *([EMPTY] if notes else []), *notes]


def _columns(rows: tuple[Row, ...], heads: list[str]) -> dict[str, tuple[int, dict[str, str]]]:
    """{heading: (its width, {text: the same on the decimal point})}."""
    found = {}
    for head in heads:
        texts = [cell.text for row in rows for cell in row.cells if cell.head == head]
        aligned = on_the_point(text for text in texts if any(char.isdigit() for char in text))
        found[head] = (max(map(cell_len, [head, *texts, *aligned.values()])), aligned)
    return found


def _room_for_names(rows: tuple[Row, ...], columns: dict[str, tuple[int, dict[str, str]]], width: int) -> int:
    """How wide the column of names may be, 0 when the figures leave no room for it."""
    mark = len(_MARK) + 2 if any(row.mark for row in rows) else 0
    left = width - sum(2 + each for each, _ in columns.values()) - mark
    wanted = max((cell_len(safe(row.name)) for row in rows), default=0)
    return min(wanted, left) if left >= min(wanted, _LEAST_NAME) else 0


def _table(
    rows: tuple[Row, ...], columns: dict[str, tuple[int, dict[str, str]]], name: int, width: int
) -> list[Line]:
    lines: list[Line] = []
    if columns:
        heads = "".join(f"  {fit(head, each, right=True)}" for head, (each, _) in columns.items())
        lines.append(line((fit("model", name) + heads, "head")))
    for row in rows:
        cells = {cell.head: cell for cell in row.cells}
        spans: list[Span | str] = [(fit(safe(row.name), name), "name")]
        if row.said and not cells:
            spans.append((f"  {row.said}", "warn"))
        else:
            for head, (each, aligned) in columns.items():
                cell = cells.get(head)
                text = aligned.get(cell.text, cell.text) if cell is not None else ""
                spans.append((f"  {fit(text, each, right=True)}", cell.style if cell is not None else ""))
            if row.said:
                spans = [*spans[: 1 + len(cells)], (f"  {row.said}", "warn")]
        if row.mark:
            spans.append((f"  {row.mark}", "word-ok"))
        lines += [line(*spans), *_notes(row, width)]
    return lines


def _stacked(rows: tuple[Row, ...], width: int) -> list[Line]:
    lines: list[Line] = []
    for row in rows:
        side: Span = (row.said, "warn") if row.said else (row.mark, "word-ok")
        lines.append(apart(line((safe(row.name), "name")), line(side), width))
        for cell in row.cells:
            lines.append(
                apart(line((f"  {cell.head}", "dim")), line((cut(cell.text, width), cell.style)), width)
            )
        lines += _notes(row, width)
    return lines


def _notes(row: Row, width: int) -> list[Line]:
    return [
        line("  ", *one)
        for note in row.notes
        for one in wrapped(note.text, max(1, width - 2), note.style, _MOST_LINES)
    ]
