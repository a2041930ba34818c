"""Amounts as bills write them: "$1.20", "1.234,56 €", "₩1,234", "(1.20)", "1 234,50-", "1E-7".

Which sign marks the decimals is decided for a whole column: the one with which every amount in it can be read. Where both
would do and say different things, nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from costmon.shim.money import has_decimals
from costmon.sources.providers.kinds.file.problems import refuse, spell
from costmon.sources.providers.reading import MOST

MARKS = (".", ",")
_DOLLARS = ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN")
SIGNS: dict[str, tuple[str, ...]] = {
    "$": _DOLLARS,
    "US$": ("USD",),
    "₩": ("KRW",),
    "원": ("KRW",),
    "€": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
    "円": ("JPY",),
    "元": ("CNY",),
    "CN¥": ("CNY",),
    "₹": ("INR",),
}
_CURRENCY = r"US\$|CN¥|[A-Za-z]{3}|[$₩원€£¥円元₹]"
_WRITTEN = re.compile(
    rf"([+-]?)\s*({_CURRENCY})?\s*([+-]?)\s*([0-9](?:[0-9.,' ]*[0-9])?|[.,][0-9]+)([eE][+-]?[0-9]{{1,2}})?"
    rf"\s*({_CURRENCY})?\s*([+-]?)"
)
_IN_BRACKETS = re.compile(r"([^0-9()]*)\(([^()]*)\)([^0-9()]*)")
_THREE_AFTER_COMMA = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")
_MAX = 60
_LIKELY: dict[tuple[str, ...], tuple[str, ...]] = {marks: marks for marks in (MARKS, (".",), (",",))}


class Cell(NamedTuple):
    """What stands in a place of a file. `plain`: a JSON number, which can be read in one way only."""

    where: str
    text: str
    plain: bool = False


class Amount(NamedTuple):
    """`currencies` are those its sign may mean, the likeliest first; empty = it has none."""

    value: Decimal
    currencies: tuple[str, ...]


class _Readings(NamedTuple):
    """`likely` are the marks to choose from where the config tells none."""

    cell: Cell
    point: Decimal | None
    comma: Decimal | None
    likely: tuple[str, ...]
    currencies: tuple[str, ...]

    def under(self, mark: str) -> Decimal | None:
        return self.point if mark == "." else self.comma


def read_amounts(cells: Sequence[Cell], mark: str, currencies: Sequence[str]) -> list[Amount]:
    """The amounts of a column. `mark` is '.' or ',' where the config says it, else ''; `currencies` are those of the cells
    that name none themselves, or ''. Raises BillError."""
    read = [_readings(cell, currency) for cell, currency in zip(cells, currencies, strict=True)]
    used = mark or _mark(read)
    return [Amount(_under(one, used), one.currencies) for one in read]


def _mark(read: Sequence[_Readings]) -> str:
    left = [mark for mark in MARKS if all(mark in one.likely for one in read)]
    if not left:
        point = next(one for one in read if "," not in one.likely)
        comma = next(one for one in read if "." not in one.likely)
        refuse(
            comma.cell.where,
            f"{spell(comma.cell.text)} has a comma before its decimals, but {spell(point.cell.text)} "
            f"({point.cell.where}) a dot; write them alike",
        )
    if len(left) == 2:
        for one in read:
            if one.point != one.comma:
                refuse(
                    one.cell.where,
                    f"{spell(one.cell.text)} may be {one.point:f} or {one.comma:f}; write "
                    'decimal = "." or decimal = "," for the sign before the decimals',
                )
    return left[0]


def _under(one: _Readings, mark: str) -> Decimal:
    value = one.under(mark)
    if value is None:
        refuse(one.cell.where, f"{spell(one.cell.text)} is no amount with {spell(mark)} before the decimals")
    return value


def _readings(cell: Cell, currency: str) -> _Readings:
    if cell.plain:
        value = _checked(cell, Decimal(cell.text))
        return _Readings(cell, value, value, MARKS, ())
    negative, written = _signed(cell)
    signs, number, exponent, named = written
    if len(signs) > 1 or (negative and signs):
        refuse(cell.where, f"{spell(cell.text)} has more than one sign")
    minus = negative or "-" in signs
    currencies = _currencies(cell, named)
    mine = currency if currency in currencies or not currencies else currencies[0]
    by_mark = {mark: plain for mark in MARKS if (plain := _plain(number, mark)) is not None}
    if not by_mark:
        refuse(cell.where, f"{spell(cell.text)} is no amount")
    values = {
        plain: _checked(cell, Decimal(("-" if minus else "") + plain + exponent))
        for plain in by_mark.values()
    }
    point, comma = (values.get(by_mark.get(mark, "")) for mark in MARKS)
    parted = _whole_only(mine) and _THREE_AFTER_COMMA.fullmatch(number)
    return _Readings(cell, point, comma, _LIKELY[(".",) if parted else tuple(by_mark)], currencies)


def _whole_only(currency: str) -> bool:
    """A won or a yen has no decimals, and where it is used a comma parts the thousands."""
    return bool(currency) and not has_decimals(currency)


def _signed(cell: Cell) -> tuple[bool, tuple[list[str], str, str, list[str]]]:
    text = cell.text if cell.text.isascii() else unicodedata.normalize("NFKC", cell.text).strip()
    text = text.replace("\N{MINUS SIGN}", "-").replace("’", "'")
    bracketed = _IN_BRACKETS.fullmatch(text)
    if bracketed:
        text = "".join(bracketed.groups()).strip()
    found = _WRITTEN.fullmatch(text) if len(text) <= _MAX else None
    if found is None:
        refuse(cell.where, f"{spell(cell.text)} is no amount")
    before, first, between, number, exponent, second, after = found.groups(default="")
    signs = [sign for sign in (before, between, after) if sign]
    return bracketed is not None, (signs, number, exponent, [name for name in (first, second) if name])


def _currencies(cell: Cell, named: list[str]) -> tuple[str, ...]:
    each = [SIGNS.get(name, (name.upper(),)) for name in named]
    if not each:
        return ()
    shared = tuple(code for code in each[0] if all(code in other for other in each))
    if not shared:
        refuse(cell.where, f"{spell(cell.text)} names two currencies")
    return shared


def _plain(number: str, mark: str) -> str | None:
    """`number` as Decimal reads it, if `mark` marks its decimals; None if it is not written so."""
    whole, found, fraction = number.partition(mark)
    if found and not re.fullmatch("[0-9]+", fraction):
        return None
    parting = set(re.sub("[0-9]", "", whole))
    if not parting:
        return f"{whole or '0'}{found and '.'}{fraction}"
    if len(parting) > 1:
        return None
    sign = re.escape(parting.pop())
    thousands = rf"[1-9][0-9]{{0,2}}(?:{sign}[0-9]{{3}})+"
    lakhs = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # 12,34,567 is how India writes 1,234,567
    if not re.fullmatch(thousands, whole) and not re.fullmatch(lakhs, whole):
        return None
    return f"{re.sub('[^0-9]', '', whole)}{found and '.'}{fraction}"


def _checked(cell: Cell, value: Decimal) -> Decimal:
    if not value.is_finite() or abs(value) > MOST or value.as_tuple().exponent < -40:  # type: ignore[operator]
        refuse(cell.where, f"{spell(cell.text)} is no possible amount")
    return value
