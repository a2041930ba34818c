"""JSON without surprises: exact numbers of a size money can have, no key twice, nothing that a parser would guess at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

MOST_VALUES = 500_000
"""Commas, colons and opening brackets in one answer: 16 MB of tiny values would take 500 MB once parsed, so many take 64.
An answer of 180 days with 150 groups each has less."""
_MOST_DIGITS = 60
_LARGEST, _SMALLEST = 30, -60
"""Decimal exponents: beyond them a number is no amount, count or time, and slow or dangerous to compute with."""
_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")


class BodyError(Exception):
    """A body is nothing to rely on. The message continues a sentence about the answer: "has …", "is …"."""


def parse(body: bytes) -> Any:
    """`body` parsed: int and Decimal for numbers. Raises BodyError."""
    if not body.strip():
        raise BodyError("is empty")
    if sum(map(body.count, b",:[{")) > MOST_VALUES:
        raise BodyError(f"has more than {MOST_VALUES:,} values")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BodyError("is not written in UTF-8, as JSON must be") from None
    try:
        return _decode(text)
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError:
        problem = "is no JSON, or was cut off"
    raise BodyError(problem)


def _decode(text: str) -> Any:
    return json.loads(
        text,
        parse_int=_integer,
        parse_float=_fraction,
        parse_constant=_constant,
        object_pairs_hook=_table,
    )


def _integer(text: str) -> int:
    if len(text) > _LARGEST:
        raise BodyError(f"has a whole number of {len(text):,} digits")
    return int(text)


def _fraction(text: str) -> Decimal:
    if len(text) > _MOST_DIGITS:
        raise BodyError(f"has a number of {len(text):,} digits")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BodyError("has a number that is beyond any amount") from None
    if not _SMALLEST <= number.adjusted() <= _LARGEST:
        raise BodyError("has a number that is beyond any amount")
    return number


def _constant(text: str) -> NoReturn:
    raise BodyError(f"has {text} where a number belongs")


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        name = _twice(name for name, _ in pairs)
        raise BodyError(f'has the field "{name}" twice' if _WORD.fullmatch(name) else "has a field twice")
    return table


def _twice(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
