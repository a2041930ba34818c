"""Provider figures beside own figures, as rows: the days of a month, its total, the models of a day. Pure functions.

What is not known is '?', never 0. '≥ ' is before a figure that is the least, '≤ ' before one that is the most, '~' before
one that may be more or less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from rich.cells import cell_len

from costmon.budget.bands import mark
from costmon.insight.values import Day, Likely, Line, Span, Sum, Total
from costmon.shim.money import Money
from costmon.tui import lines as picture
from costmon.tui.format import cut, cut_middle, fit, money, on_the_point, safe
from costmon.tui.lines import apart, line

Cell = tuple[str, str]
_UNKNOWN: Cell = ("?", "warn")
_HEADS = ("billed", "logged", "unlogged", "state", "note")
_GAP = 2
_LEAST_NAME = 12
_LEAST_REST = 14
_DAY = timedelta(days=1)


class Row(NamedTuple):
    """A line of a table. `of` is what stands in it: days in a row that are all alike, or a total, or nothing to choose."""

    name: Cell
    billed: Cell
    own: Cell
    unlogged: Cell
    state: Cell = ("", "")
    rest: Cell = ("", "")
    of: tuple[Day, ...] | Total | None = None

    @property
    def figures(self) -> tuple[Cell, Cell, Cell]:
        return self.billed, self.own, self.unlogged


# --- figures ------------------------------------------------------------------------------------------------


def billed_cell(
    nano: int | None, currency: str, *, least: bool = False, derived: bool = False, style: str = ""
) -> Cell:
    """With '≥ ' where it is the least, '~' where it is derived from a balance."""
    sign = "≥ " if least else "~" if derived else ""
    return _UNKNOWN if nano is None else (sign + _money(nano, currency), style)


def own_cell(own: Span, currency: str, *, unpriced: bool) -> Cell:
    """With '~' where a part is estimated, '≥ ' where a part has no price."""
    if own.best is None:
        return _UNKNOWN
    sign = mark(estimated=own.low != own.best, missing=unpriced or own.high is None)
    return (sign + _money(own.best, currency), "")


def unlogged_cell(span: Span, currency: str) -> Cell:
    """Above zero it stands out; below, more was logged than billed."""
    if span.best is None:
        return _UNKNOWN
    style = "warn" if span.best > 0 else "dim"
    return (_sign(span) + _money(span.best, currency), style)


def _sign(span: Span) -> str:
    more = span.high is None or span.high != span.best
    less = span.low is None or span.low != span.best
    return "~" if more and less else "≥ " if more else "≤ " if less else ""


def _money(nano: int, currency: str) -> str:
    return money(Money(nano, currency))


def lacks_price(lines: Iterable[Line]) -> bool:
    return any(one.unpriced for one in lines)


# --- days ---------------------------------------------------------------------------------------------------


def day_rows(days: Sequence[Day]) -> list[Row]:
    """The newest first; days in a row on which nothing was billed nor logged are one."""
    rows: list[Row] = []
    for day in reversed(days):
        before = rows[-1].of if rows else None
        if isinstance(before, tuple) and _is_nothing(day) and _goes_on(day, before[-1]):
            rows[-1] = rows[-1]._replace(name=(span_text((*before, day)), ""), of=(*before, day))
        else:
            rows.append(_day_row(day))
    return _said_once(rows)


def _said_once(rows: list[Row]) -> list[Row]:
    """A reason that is that of the row above is not said again."""
    return [
        row._replace(rest=("", ""))
        if number and row.rest == rows[number - 1].rest and row.rest[1] == "dim"
        else row
        for number, row in enumerate(rows)
    ]


def _day_row(day: Day) -> Row:
    return Row(
        (span_text((day,)), ""),
        billed_cell(day.billed, day.currency, least=day.least, derived=day.derived),
        own_cell(day.own, day.currency, unpriced=lacks_price(day.lines)),
        unlogged_cell(day.unlogged, day.currency),
        (day.state, _STATE.get(day.state, "warn")),
        _remark(day),
        (day,),
    )


_STATE = {"final": "dim", "settling": "", "partial": ""}


def _is_nothing(day: Day) -> bool:
    figures = (day.billed, day.bill, *day.own)
    return figures == (0, 0, 0, 0, 0) and not day.least and day.end - day.start == _DAY


def _goes_on(day: Day, newer: Day) -> bool:
    return _is_nothing(newer) and day.end == newer.start and day.state == newer.state


def _remark(day: Day) -> Cell:
    """What most of the unlogged spend is of, and whose it may be; or why a figure is unknown."""
    unlogged = day.unlogged.best
    if unlogged is None:
        return (safe(day.why[0]) if day.why else "", "dim")
    top = day.top
    if unlogged <= 0 or top is None:
        return ("", "")
    whose = top.likely[0].text if top.likely else ""
    return (safe(", ".join(part for part in (top.name, whose) if part)), "warn")


def span_text(days: tuple[Day, ...]) -> str:
    """'20 Nov', '3–9 Nov', 'Nov 2026', of days in a row that begin with the newest. Days are UTC."""
    start, last = days[-1].start, days[0].end - timedelta(microseconds=1)
    if start.date() == last.date():
        return f"{start.day} {start:%b}"
    if start.day == 1 and days[0].end.day == 1 and (start.year, start.month) == (last.year, last.month):
        return f"{start:%b} {start.year}"
    head = f"{start.day}" if start.month == last.month else f"{start.day} {start:%b}"
    return f"{head}–{last.day} {last:%b}"


def long_text(days: tuple[Day, ...]) -> str:
    """'Friday 20 November 2026'."""
    if len(days) > 1 or days[0].end - days[0].start != _DAY:
        return span_text(days)
    start = days[0].start
    return f"{start:%A} {start.day} {start:%B} {start.year}"


def month_row(total: Total, days: Sequence[Day], name: Cell) -> Row:
    """All the month billed. Where the ledger knows only some of its days, what was logged is unknown, and unlogged spend the
    least there is."""
    found = total_row(total, days, name)
    if not total.unknown and not total.unread:
        return found
    billed = total.billed if total.days > total.unread else None
    least = total.least or total.unread > 0
    return found._replace(
        billed=billed_cell(billed, total.currency, least=least, derived=total.derived, style="strong"),
        own=_UNKNOWN,
        unlogged=_at_least(total.unlogged, total.currency),
    )


def _at_least(span: Span, currency: str) -> Cell:
    if span.best is None or span.best <= 0:
        return _UNKNOWN
    return (f"≥ {_money(span.best, currency)}", "warn")


def total_row(total: Total, days: Sequence[Day], name: Cell) -> Row:
    """The month as far as both sides are known; `days` are those of the total."""
    compared = total.days > total.unread + total.unknown
    read = total.days > total.unread
    billed = total.compared if compared else total.billed if read else None
    lines = [one for day in days if day.unlogged.best is not None for one in day.lines]
    return Row(
        name,
        billed_cell(billed, total.currency, least=total.least, derived=total.derived, style="strong"),
        _strong(own_cell(total.own, total.currency, unpriced=lacks_price(lines))) if compared else _UNKNOWN,
        unlogged_cell(total.unlogged, total.currency) if compared else _UNKNOWN,
        (total.state, _STATE.get(total.state, "warn")),
        of=total,
    )


def of_total(total: Total, days: Iterable[Day]) -> list[Day]:
    """The days `total` is of."""
    key = (total.provider, total.sources, total.adds, total.derived, total.currency, total.month)
    return [
        day
        for day in days
        if (day.provider, day.sources, day.adds, day.derived, day.currency, f"{day.start:%Y-%m}") == key
    ]


def sum_row(one: Sum, name: str) -> Row:
    """All providers of one currency; as in `month_row` where not all of it is known."""
    return Row(
        (name, "dim"),
        billed_cell(one.billed, one.currency, least=not one.complete, style="strong"),
        _strong(own_cell(one.own, one.currency, unpriced=False)) if one.complete else _UNKNOWN,
        unlogged_cell(one.unlogged, one.currency) if one.complete else _at_least(one.unlogged, one.currency),
        ("" if one.complete else "not all", "warn"),
    )


def _strong(cell: Cell) -> Cell:
    return (cell[0], cell[1] or "strong")


def month_text(month: str) -> str:
    """'2026-11' as 'Nov 2026'."""
    at = datetime.strptime(month, "%Y-%m")  # noqa: DTZ007 - a name, no time
    return f"{at:%b %Y}"


def bill_text(total: Total) -> str:
    """'usage $31.20 + tax $3.12 - credit $5.00 = bill $29.32'; '' where that is the row's own figure."""
    sign = "≥ " if total.unread or total.least else ""
    if not total.tax and not total.credit:
        whole = total.days == total.unread or total.bill == total.compared
        return "" if whole else f"billed in all: {sign}{_money(total.bill, total.currency)}"
    parts = f"usage {_money(total.billed, total.currency)}"
    for name, nano in (("tax", total.tax), ("credit", total.credit)):
        if nano:
            parts += f" {'-' if nano < 0 else '+'} {name} {_money(abs(nano), total.currency)}"
    return f"{parts} = bill {sign}{_money(total.bill, total.currency)}"


def lacking_text(total: Total) -> str:
    """'19 of 22 days compared; 2 without a figure, 1 not known to the ledger'; '' where all of them are."""
    if not total.unread and not total.unknown:
        return ""
    parts = [f"{total.unread} without a figure"] if total.unread else []
    parts += [f"{total.unknown} not known to the ledger"] if total.unknown else []
    days = "1 day" if total.days == 1 else f"{total.days} days"
    return f"{total.days - total.unread - total.unknown} of {days} compared; {', '.join(parts)}"


# --- models -------------------------------------------------------------------------------------------------


def model_row(one: Line, currency: str, *, least: bool, derived: bool) -> Row:
    return Row(
        (safe(one.name), "name"),
        billed_cell(one.billed, currency, least=least, derived=derived),
        own_cell(one.own, currency, unpriced=bool(one.unpriced)),
        unlogged_cell(one.unlogged, currency),
    )


def likely_text(one: Likely, currency: str) -> str:
    """'project web, key key_1: $2.80'."""
    if one.amount is not None:
        return safe(f"{one.text}: {_money(one.amount, currency)}")
    return safe(one.text) + (f": {one.tokens:,} tokens" if one.tokens is not None else "")


# --- drawing ------------------------------------------------------------------------------------------------


def draw_rows(rows: Sequence[Row], width: int, head: str) -> list[picture.Line]:
    """A heading, `head` over the names, then a line for each row; where there is no room, names and the state give way,
    then what was logged."""
    cells = [_aligned([row.figures[at] for row in rows]) for at in range(3)]
    longest = max([cell_len(head), *(cell_len(row.name[0]) for row in rows)])
    widths = [max(cell_len(head), *map(cell_len, texts)) for head, texts in zip(_HEADS, cells, strict=False)]
    widths.append(max(cell_len(_HEADS[3]), *(cell_len(row.state[0]) for row in rows)))
    name = min(longest, max(_LEAST_NAME, width - sum(widths) - len(widths) * _GAP))
    kept = _fitting(widths, width - name)
    rest = width - name - sum(widths[at] + _GAP for at in kept) - _GAP
    with_rest = rest >= _LEAST_REST and len(kept) == len(widths) and any(row.rest[0] for row in rows)
    heads = [fit(head, name), *(_cell(_HEADS[at], widths[at], at) for at in kept)]
    drawn = [line(("".join(heads) + (f"  {_HEADS[4]}" if with_rest else ""), "head"))]
    for number, row in enumerate(rows):
        spans = [(fit(cut_middle(row.name[0], name), name), row.name[1])]
        for at in kept:
            cell = row.state if at == 3 else (cells[at][number], row.figures[at][1])
            spans.append((_cell(cell[0], widths[at], at), cell[1]))
        if with_rest and row.rest[0]:
            spans += [("  ", ""), (cut(row.rest[0], rest), row.rest[1])]
        drawn.append(line(*spans))
    return drawn


def _cell(text: str, width: int, at: int) -> str:
    return " " * _GAP + fit(text, width, right=at < 3)


def _fitting(widths: list[int], room: int) -> list[int]:
    """Which columns fit; billed and unlogged come first."""
    kept: list[int] = []
    for at in (0, 2, 3, 1):
        if sum(widths[each] + _GAP for each in (*kept, at)) <= room or len(kept) < 2:
            kept.append(at)
    return sorted(kept)


def draw_models(rows: Sequence[Row], width: int) -> list[list[picture.Line]]:
    """The heading's lines, then those of each row. A figure is never cut: names give way, then a row takes four lines."""
    cells = [_aligned([row.figures[at] for row in rows]) for at in range(3)]
    widths = [max(cell_len(head), *map(cell_len, texts)) for head, texts in zip(_HEADS, cells, strict=False)]
    longest = max([cell_len("model"), *(cell_len(row.name[0]) for row in rows)])
    room = width - sum(widths) - 3 * _GAP
    if room < min(longest, _LEAST_NAME):
        return [[], *(_stacked(row, width) for row in rows)]
    name = min(longest, room)
    heads = "".join(_cell(_HEADS[at], widths[at], at) for at in range(3))
    drawn = [[line((fit("model", name) + heads, "head"))]]
    for number, row in enumerate(rows):
        figures = [(_cell(cells[at][number], widths[at], at), row.figures[at][1]) for at in range(3)]
        drawn.append([line((fit(cut_middle(row.name[0], name), name), row.name[1]), *figures)])
    return drawn


def _stacked(row: Row, width: int) -> list[picture.Line]:
    figures = [
        apart(line((f"  {head}", "dim")), line(cell), width)
        for head, cell in zip(_HEADS, (row.billed, row.own, row.unlogged), strict=False)
    ]
    return [line((cut_middle(row.name[0], width), row.name[1])), *figures]


def _aligned(cells: Sequence[Cell]) -> list[str]:
    texts = on_the_point(text for text, _ in cells if text != _UNKNOWN[0])
    return [texts.get(text, text) for text, _ in cells]
