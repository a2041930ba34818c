"""One file as a bill: its lines, summed by bucket and group, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.sources.providers.kinds.file.amounts import Amount, Cell, read_amounts
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
from costmon.sources.providers.protocol import CREDIT, TAX, USAGE
from costmon.sources.providers.reading import MOST, text

_TAX = re.compile(
    r"\b(vat|gst|hst|pst|qst|tax|taxes|mwst|ust|umsatzsteuer|mehrwertsteuer|iva|tva|btw)\b|부가세|부가가치세|세금|세액|消費税|税"
)
_CREDIT = re.compile(
    r"\b(credits?|discounts?|promotions?|promotional|promo|rebates?|refunds?|coupons?|gutschrift|rabatt|erstattung)\b"
    r"|크레딧|할인|프로모션|환불|쿠폰|クレジット|割引|返金"
)
_SURE_USAGE = ("usage", "사용", "사용량", "利用", "nutzung")
_clean = lru_cache(maxsize=4096)(text)
_TOTAL = re.compile(
    r"(grand |sub|sub-|invoice |net )?totals?( amount| cost)?|sum|합계|소계|총계|총액|合計|小計|総計"
    r"|summe|gesamt|gesamtsumme|zwischensumme"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the config says of the files. `inclusive` None: it says nothing of their ends."""

    zone: ZoneInfo
    currency: str = ""
    decimal: str = ""
    date_format: str = ""
    inclusive: bool | None = None
    encoding: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


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
    """A file's sums. `spans` are the stretches it accounts for, in order, none in another; `cut`: more pages follow."""

    name: str
    spans: tuple[Span, ...]
    sums: Mapping[Group, Decimal]
    cut: bool = False

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


class _Line(NamedTuple):
    row: Row
    span: Span | None
    line: str
    amount: Decimal
    currency: str
    total: bool


def read_bill(name: str, content: bytes, rules: Rules, now: datetime) -> Bill:
    """Raises BillError. `now` is aware UTC: a line that begins tomorrow or later is a misread date."""
    table = read_table(name, content, rules.encoding, rules.columns)
    with localcontext() as context:
        context.prec = 60
        covered = _covered(table, rules)
        lines = _without_totals(name, _lines(name, table, rules, now))
        spans = _spans(lines, covered)
        if not spans:
            refuse(name, "has no lines")
        return Bill(name, tuple(spans), _sums(table, lines, spans), table.cut)


def _lines(name: str, table: Table, rules: Rules, now: datetime) -> list[_Line]:
    at = table.columns.at
    rows = [row for row in table.rows if row.text(at["amount"]) or _dated(row, table)]
    mark = "." if table.api else rules.decimal
    usual = _usual_currency(table, rules)
    amounts = _amounts(rows, at, mark, usual)
    spans = _row_spans(name, table, rows, rules, now)
    lines = []
    for row, amount, period in zip(rows, amounts, spans, strict=True):
        value = amount.value / 100 if table.cents else amount.value
        total = _is_total(row, at)
        lines.append(
            _Line(
                row,
                period,
                _line_of(row, at, value, total),
                value,
                _currency(row, amount, table, rules),
                total,
            )
        )
    return lines


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
    name: str, table: Table, rows: Sequence[Row], rules: Rules, now: datetime
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
    for row, opened, closed in zip(rows, first, last, strict=True):
        if opened is not None and (opened, closed) not in known:
            known[opened, closed] = _checked(row.where, span(opened, closed, inclusive, rules.zone), now)
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


def _line_of(row: Row, at: Mapping[str, int], amount: Decimal, total: bool) -> str:
    kind, label = row.text(at.get("line")), row.text(at.get("label"))
    line = _line_in(kind, label)
    if line == CREDIT and amount > 0 and not total:
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
    if _TAX.search(words):
        return TAX
    return CREDIT if _CREDIT.search(words) else USAGE


def _is_total(row: Row, at: Mapping[str, int]) -> bool:
    return any(_says_total(cell) for place, cell in enumerate(row.cells) if place != at["amount"])


@lru_cache(maxsize=4096)
def _says_total(cell: str) -> bool:
    return bool(cell) and len(cell) < 40 and _TOTAL.fullmatch(cell.strip(" :*").casefold()) is not None


def _without_totals(name: str, lines: list[_Line]) -> list[_Line]:
    """A total is not added to what it sums up: it must be the sum of lines, and is left out.

    Raises BillError where it is not: then something is missing, or what says "total" is no total.
    """
    kept = [line for line in lines if not line.total]
    if not kept:
        if len(lines) > 1:
            refuse(
                name,
                "has nothing but totals; one of them may be all of it, so leave that one in and take the others out",
            )
        kept = lines
    for at, line in enumerate(lines):
        if line.total and line not in kept and not _adds_up(line, lines[:at], kept):
            refuse(
                line.row.where, f"its total of {line.amount:f} {line.currency} is not the sum of its lines"
            )
    for line in kept:
        if line.span is None and line.line == USAGE:
            refuse(line.row.where, "has an amount but no day")
    return kept


def _adds_up(total: _Line, before: list[_Line], every: list[_Line]) -> bool:
    since = next((at for at in range(len(before) - 1, -1, -1) if before[at].total), -1)
    above = [line for line in before if not line.total]
    for lines in (above, before[since + 1 :], every):
        for kinds in ((USAGE,), (USAGE, CREDIT), (USAGE, TAX, CREDIT), (TAX,), (CREDIT,)):
            mine = [line for line in lines if line.line in kinds and line.currency == total.currency]
            slack = _unit(total) + sum((_unit(line) / 2 for line in mine), Decimal(0))
            if mine and abs(sum((line.amount for line in mine), Decimal(0)) - total.amount) < slack:
                return True
    return False


def _unit(line: _Line) -> Decimal:
    """Its last decimal: what rounding may have taken or added. Never more than a cent where there are decimals."""
    exponent = line.amount.as_tuple().exponent
    return Decimal(1).scaleb(min(int(exponent), 0))


def _spans(lines: Sequence[_Line], covered: Sequence[Span]) -> list[Span]:
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


def _sums(table: Table, lines: Sequence[_Line], spans: Sequence[Span]) -> dict[Group, Decimal]:
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
