"""Which lines of a bill are costs: not its sums, payments and balances, which must fit what they sum up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from costmon.sources.providers.kinds.file.dates import Span
from costmon.sources.providers.kinds.file.problems import refuse
from costmon.sources.providers.kinds.file.tables import Row
from costmon.sources.providers.kinds.file.words import BALANCE, PAID, SUM
from costmon.sources.providers.protocol import CREDIT, TAX, USAGE

_WHOLE = ("KRW", "JPY", "VND", "IDR", "CLP", "HUF", "TWD", "ISK", "PYG", "UGX")
"""Currencies whose amounts are often written, and rounded, without decimals."""


class Line(NamedTuple):
    row: Row
    span: Span | None
    line: str
    amount: Decimal
    currency: str
    part: str
    """SUM, PAID or BALANCE: then it is no cost of its own. '' = it is one."""


def costs(name: str, lines: list[Line]) -> list[Line]:
    """The lines that are costs. A sum is not added to what it sums up: it must be the sum of lines, and is left out.

    Raises BillError where it is not: then something is missing, or what says "total" is no total.
    """
    sums = [line for line in lines if line.part == SUM]
    kept = [line for line in lines if not line.part]
    if lines and not kept and not sums:
        refuse(name, "has nothing but payments and balances; put the bill there, which says what was used")
    if not kept and len(sums) > 1:
        refuse(
            name,
            "has nothing but totals; one of them may be all of it, so leave that one in and take the others out",
        )
    if not kept:
        kept = sums
    elif sums and not any(line.line == USAGE for line in kept):
        kept = [_net(sums, kept), *kept]
    mine = {id(line) for line in kept}
    for at, line in enumerate(lines):
        if line.part == SUM and id(line) not in mine and not _adds_up(line, lines[:at], kept, lines):
            refuse(
                line.row.where, f"its total of {line.amount:f} {line.currency} is not the sum of its lines"
            )
    for line in kept:
        if line.span is None and line.line == USAGE:
            refuse(line.row.where, "has an amount but no day")
    return kept


def _net(sums: Sequence[Line], others: Sequence[Line]) -> Line:
    """The usage of a bill that has only sums beside its tax and credits: "Subtotal", "VAT", "Total". Sure only where a
    later sum is the first one and all the rest."""
    first = sums[0]
    whole = [first, *others]
    if not any(_is_sum_of(total, whole) for total in sums[1:]):
        refuse(
            first.row.where,
            f"its total of {first.amount:f} {first.currency} is not the sum of its lines: all of them are tax and credits",
        )
    return first


def _adds_up(total: Line, before: list[Line], kept: list[Line], every: list[Line]) -> bool:
    since = next((at for at in range(len(before) - 1, -1, -1) if before[at].part == SUM), -1)
    mine = {id(line) for line in kept}
    above = [line for line in before if id(line) in mine]
    section = [line for line in before[since + 1 :] if id(line) in mine]
    for lines in (above, section, kept):
        for kinds in ((USAGE,), (USAGE, CREDIT), (USAGE, TAX, CREDIT), (TAX,), (CREDIT,)):
            if _is_sum_of(total, [line for line in lines if line.line in kinds]):
                return True
    # What is left to pay: after payments, which are written with a minus or without, and after a balance.
    paid = sum((abs(line.amount) for line in every if line.part == PAID), Decimal(0))
    balances = [line.amount for line in every if line.part == BALANCE]
    return any(_is_sum_of(total, kept, balance - paid) for balance in (Decimal(0), *balances))


def _is_sum_of(total: Line, lines: Sequence[Line], more: Decimal = Decimal(0)) -> bool:
    mine = [line for line in lines if line.currency == total.currency]
    slack = _unit(total) + sum((_unit(line) / 2 for line in mine), Decimal(0))
    return bool(mine) and abs(sum((line.amount for line in mine), more) - total.amount) < slack


def _unit(line: Line) -> Decimal:
    """Its last decimal: what rounding may have taken or added. Never more than a cent where there are cents."""
    most = 0 if line.currency in _WHOLE else -2
    return Decimal(1).scaleb(min(int(line.amount.as_tuple().exponent), most))
