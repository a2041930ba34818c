"""One file as a bill: its lines, summed by bucket and group, exactly."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.sources.providers.kinds.file.amounts import Amount, Cell, read_amounts
from costmon.sources.providers.kinds.file.costs import Line, costs
from costmon.sources.providers.kinds.file.dates import (
    Moment,
    Span,
    ends_inclusive,
    from_name,
    read_moments,
    span,
)
from costmon.sources.providers.kinds.file.problems import refuse, spell
from costmon.sources.providers.kinds.file.tables import Row, Table, read_table
from costmon.sources.providers.kinds.file.words import (
    BALANCE,
    CREDIT_WORDS,
    PAID,
    SUM,
    TAX_SUM,
    TAX_WORDS,
    may_be_a_state,
    part_of,
)
from costmon.sources.providers.protocol import CREDIT, TAX, USAGE
from costmon.sources.providers.reading import MOST, text

_SURE_USAGE = ("usage", "사용", "사용량", "利用", "nutzung")
_clean = lru_cache(maxsize=4096)(text)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the config says of the files. `inclusive` None: nothing of their ends; `tax_included`: their amounts hold tax."""

    zone: ZoneInfo
    currency: str = ""
    decimal: str = ""
    date_format: str = ""
    inclusive: bool | None = None
    encoding: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tax_included: bool = False


class Group(NamedTuple):
    """What is summed apart from the rest."""

    span: Span
    line: str
    currency: str
    model: str
    label: str
    project: str


@dataclass(frozen=True, slots=True)
class Bill:
    """A file's sums. `spans` are the stretches it accounts for, in order, none in another; `cut`: more pages follow;
    `number`: the invoice's, '' if it has none; `aside`: what some of its lines are called that are no cost."""

    name: str
    spans: tuple[Span, ...]
    sums: Mapping[Group, Decimal]
    cut: bool = False
    number: str = ""
    aside: tuple[str, ...] = ()

    @property
    def taxed(self) -> bool:
        """Whether it has tax in lines of its own."""
        return any(group.line == TAX and amount for group, amount in self.sums.items())

    @property
    def spans_set(self) -> frozenset[Span]:
        return frozenset(self.spans)

    def totals(self, of: Span) -> dict[tuple[str, str], Decimal]:
        """By line and currency."""
        found: dict[tuple[str, str], Decimal] = {}
        for group, amount in self.sums.items():
            if group.span == of:
                key = (group.line, group.currency)
                found[key] = found.get(key, Decimal(0)) + amount
        return found


def read_bill(name: str, content: bytes, rules: Rules, now: datetime) -> Bill:
    """Raises BillError. `now` is aware UTC: a line that begins tomorrow or later is a misread date."""
    table = read_table(name, content, rules.encoding, rules.columns)
    with localcontext() as context:
        context.prec = 60
        covered = _covered(table, rules)
        every = _lines(name, table, rules, now)
        lines = costs(name, every)
        spans = _spans(lines, covered)
        if not spans:
            refuse(name, "has no lines")
        aside = dict.fromkeys(_title(line, table) for line in every if line.part in (PAID, BALANCE))
        return Bill(
            name,
            tuple(spans),
            _sums(table, lines, spans),
            table.cut,
            invoice_number(name, table),
            tuple(aside),
        )


def _lines(name: str, table: Table, rules: Rules, now: datetime) -> list[Line]:
    at = table.columns.at
    rows = [row for row in table.rows if row.text(at["amount"]) or _dated(row, table)]
    mark = "." if table.api else rules.decimal
    usual = _usual_currency(table, rules)
    amounts = _amounts(rows, at, mark, usual)
    parts = _parts(rows, at)
    spans = _row_spans(name, table, rows, parts, rules, now)
    lines = []
    for row, amount, period, part in zip(rows, amounts, spans, parts, strict=True):
        value = amount.value / 100 if table.cents else amount.value
        lines.append(
            Line(
                row,
                period,
                _line_of(row, at, value, part),
                value,
                _currency(row, amount, table, rules),
                part,
            )
        )
    return lines


def _parts(rows: Sequence[Row], at: Mapping[str, int]) -> list[str]:
    """For each row SUM, PAID or BALANCE, '' for a cost. "Total tax" sums up lines of tax; without any it is the tax."""
    described = {at[role] for role in ("label", "line") if role in at}
    found = [_part(row, at["amount"], described) for row in rows]
    alone = not any(
        part == "" and _line_in(row.text(at.get("line")), row.text(at.get("label"))) == TAX
        for row, part in zip(rows, found, strict=True)
    )
    if alone and found.count(TAX_SUM) == 1:
        return ["" if part == TAX_SUM else part for part in found]
    return [SUM if part == TAX_SUM else part for part in found]


def _part(row: Row, amount: int, described: Collection[int]) -> str:
    for place, cell in enumerate(row.cells):
        if place == amount or not (part := part_of(cell)):
            continue
        if not described or place in described or not may_be_a_state(cell):
            return part
    return ""


def _amounts(rows: Sequence[Row], at: Mapping[str, int], mark: str, usual: str) -> list[Amount]:
    """Each different amount is read once."""
    cells: dict[tuple[str, bool, str], Cell] = {}
    keys = []
    place, named = at["amount"], at.get("currency")
    for row in rows:
        key = (row.text(place), place in row.plain, row.text(named).upper() or usual)
        if key not in cells:
            cells[key] = row.cell(place)
        keys.append(key)
    read = dict(zip(cells, read_amounts(list(cells.values()), mark, [key[2] for key in cells]), strict=True))
    return [read[key] for key in keys]


def _usual_currency(table: Table, rules: Rules) -> str:
    named = table.columns.currencies
    return rules.currency if rules.currency in named or not named else named[0]


def _dated(row: Row, table: Table) -> bool:
    return any(row.text(table.columns.at.get(role)) for role in ("date", "start", "month"))


def _currency(row: Row, amount: Amount, table: Table, rules: Rules) -> str:
    written = row.text(table.columns.at.get("currency")).upper()
    if written and not re.fullmatch("[A-Z]{3}", written):
        refuse(row.where, f"{spell(written)} is no currency; write its three letters")
    named = [codes for codes in (amount.currencies, table.columns.currencies) if codes]
    if written:
        if any(written not in codes for codes in named):
            refuse(row.where, f"names the currency {written} and another one in its amount")
        return written
    if not named:
        if not rules.currency:
            refuse(row.where, 'names no currency; write currency = "USD", or whichever it is')
        return rules.currency
    shared = [code for code in named[0] if all(code in codes for codes in named)]
    if not shared:
        refuse(row.where, "names one currency in its amount and another one above it")
    if rules.currency in shared:
        return rules.currency
    if shared[:2] == ["JPY", "CNY"]:
        refuse(row.where, '¥ may be yen or yuan; write currency = "JPY" or currency = "CNY"')
    return shared[0]


def _row_spans(
    name: str, table: Table, rows: Sequence[Row], parts: Sequence[str], rules: Rules, now: datetime
) -> list[Span | None]:
    at = table.columns.at
    if not table.columns.dated:
        period = from_name(name, rules.zone)
        if period is None:
            refuse(
                name,
                'has no column with a usual name for the day; write date_column = "…", or put the month into the name of '
                'the file, such as "google 2026-11.csv"',
            )
        return [_checked(name, span(*period, True, rules.zone), now)] * len(rows)
    begin = next(role for role in ("date", "start", "month") if role in at)
    end_at = at["end"] if begin == "start" and "end" in at else None
    starts, ends = ([row.text(place) for row in rows] for place in (at[begin], end_at))
    # A sum often stands where the days do: "Total" is no date, and needs none.
    starts = ["" if part and part_of(start) else start for start, part in zip(starts, parts, strict=True)]
    cells: dict[str, Cell] = {}
    for row, start, end in zip(rows, starts, ends, strict=True):
        for written in (start, end):
            if written and written not in cells:
                cells[written] = Cell(row.where, written)
    moments = dict(zip(cells, read_moments(list(cells.values()), rules.date_format, rules.zone), strict=True))
    first = [moments.get(written) for written in starts]
    last = [moments.get(written) for written in ends]
    inclusive = _inclusive(name, first, last, rules)
    known: dict[tuple[Moment, Moment | None], Span] = {}
    spans: list[Span | None] = []
    for row, part, opened, closed in zip(rows, parts, first, last, strict=True):
        if opened is not None and (opened, closed) not in known:
            found = span(opened, closed, inclusive, rules.zone)
            if part and found.start > now:
                spans.append(None)  # the day on which it is due
                continue
            known[opened, closed] = _checked(row.where, found, now)
        spans.append(None if opened is None else known[opened, closed])
    return spans


def _inclusive(
    name: str, first: Sequence[Moment | None], last: Sequence[Moment | None], rules: Rules
) -> bool:
    pairs = [
        (start, end) for start, end in zip(first, last, strict=True) if start is not None and end is not None
    ]
    if rules.inclusive is not None or not any(end.unit == "day" for _, end in pairs):
        return rules.inclusive or False
    shown = ends_inclusive(pairs)
    if shown is None:
        end = next(end for _, end in pairs if end.unit == "day")
        refuse(
            name,
            f"its periods end on days such as {end.at:%Y-%m-%d}, which may be the last day or the one after it; write end = "
            '"inclusive" or end = "exclusive"',
        )
    return shown


def _checked(where: str, period: Span, now: datetime) -> Span:
    if period.end <= period.start:
        refuse(where, "ends before it begins")
    if period.end - period.start > timedelta(days=366):
        refuse(where, "is for more than a year; bills are read by the day or the month")
    if period.start > now + timedelta(days=1):
        refuse(
            where,
            f"is for {period.start:%Y-%m-%d}, which is still to come; write date_format if it was misread",
        )
    if period.start < now - timedelta(days=3650):
        refuse(
            where, f"is for {period.start:%Y-%m-%d}, over ten years ago; write date_format if it was misread"
        )
    return period


def _covered(table: Table, rules: Rules) -> list[Span]:
    cells = [cell for pair in table.covered for cell in pair]
    moments = read_moments(cells, "", rules.zone)
    return list(
        dict.fromkeys(
            span(moments[at], moments[at + 1], False, rules.zone) for at in range(0, len(moments), 2)
        )
    )


def _line_of(row: Row, at: Mapping[str, int], amount: Decimal, part: str) -> str:
    kind, label = row.text(at.get("line")), row.text(at.get("label"))
    line = _line_in(kind, label)
    if part:
        return USAGE
    if line == CREDIT and amount > 0:
        refuse(
            row.where,
            f"{spell(f'{kind} {label}'.strip())} sounds like a credit, but its amount has no minus; write the minus, or a "
            'column "type" that says usage',
        )
    return CREDIT if line == USAGE and amount < 0 else line


@lru_cache(maxsize=4096)
def _line_in(kind: str, label: str) -> str:
    words = f"{kind} {label}".casefold()
    if kind.casefold() in _SURE_USAGE:
        return USAGE
    if TAX_WORDS.search(words):
        return TAX
    return CREDIT if CREDIT_WORDS.search(words) else USAGE


def _title(line: Line, table: Table) -> str:
    """What a payment or a balance calls itself."""
    at = table.columns.at["amount"]
    return next(cell for place, cell in enumerate(line.row.cells) if place != at and part_of(cell))


_IN_NAME = re.compile(
    r"(?:invoice|inv|rechnung|facture|factura|청구서|請求書)[ _#-]*(?:no|nr|number)?[ _.#-]*([A-Z0-9]+(?:-[A-Z0-9]+)*)",
    re.IGNORECASE,
)


def invoice_number(name: str, table: Table) -> str:
    """The number of the invoice: a column's if all rows have the same, else what stands above the header or in the file's
    name; '' if nothing says one."""
    place = table.columns.at.get("invoice")
    named = {row.text(place) for row in table.rows if row.text(place)}
    if len(named) == 1:
        return _clean(named.pop())[:40]
    if named or table.number:
        return table.number[:40]
    for found in _IN_NAME.finditer(name.rpartition(".")[0]):
        number = found[1]
        if sum(map(str.isdigit, number)) >= 3 and not re.match("20[0-9]{2}(?:-?[0-9]{2}){1,2}$", number):
            return number[:40]
    return ""


def _spans(lines: Sequence[Line], covered: Sequence[Span]) -> list[Span]:
    """The file's buckets: those of its usage. Tax and credits for longer, or for no time, go into the last they meet."""
    spans: dict[Span, Row | None] = dict.fromkeys(covered)
    for wanted in ((USAGE,), (TAX, CREDIT)):
        for line in lines:
            if line.span is None or line.line not in wanted or line.span in spans:
                continue
            if wanted == (USAGE,) or not _meets(line.span, spans):
                spans[line.span] = line.row
    ordered = sorted(spans)
    for earlier, later in pairwise(ordered):
        if later.start < earlier.end:
            row = spans[later] or spans[earlier]
            refuse(
                row.where if row else "its buckets",
                "is for a time that another line is for a part of; keep the lines of one length, they are not added up",
            )
    return ordered


def _meets(period: Span, spans: Mapping[Span, Row | None]) -> list[Span]:
    return sorted(one for one in spans if one.start < period.end and period.start < one.end)


def _sums(table: Table, lines: Sequence[Line], spans: Sequence[Span]) -> dict[Group, Decimal]:
    at = table.columns.at
    known = dict.fromkeys(spans)
    sums: dict[Group, Decimal] = {}
    for line in lines:
        period = spans[-1] if line.span is None else line.span
        if period not in known:
            period = _meets(period, known)[-1]
        names = (_clean(line.row.text(at.get(role))) for role in ("model", "label", "project"))
        group = Group(period, line.line, line.currency, *names)
        sums[group] = sums.get(group, Decimal(0)) + line.amount
        if abs(sums[group]) > MOST:
            refuse(line.row.where, "makes the sum impossibly large")
    return sums
