"""JSON without surprises: exact numbers of a size money can have, no key twice, nothing that a parser would guess at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

MOST_VALUES = 500_000
"""Commas, colons and opening brackets in one answer: 16 MB of tiny values would take 500 MB once parsed, so many take 64.
An answer of 180 days with 150 groups each has less."""
_MOST_DIGITS = 60
_LARGEST, _SMALLEST = 30, -60
"""Decimal exponents: beyond them a number is no amount, count or time, and slow or dangerous to compute with."""
_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")
_PIECE, _LONGEST_KEY = 256 * 1024, 16 * 1024
"""Characters; a key has 4096 at most, which are three times as many percent-encoded."""
REDACTED = "•••"
"""What stands for a text that the key shows in."""


_TWICE = "has a field twice"


class BodyError(Exception):
    """A body is nothing to rely on. The message continues a sentence about the answer: "has …", "is …"."""


class _TwiceError(BodyError):
    """It names a field."""


def parse(body: bytes, tells: Callable[[str], bool] | None = None) -> Any:
    """`body` parsed: int and Decimal for numbers. Raises BodyError.

    tells: whether a text gives the key away; a value or a field name that does is REDACTED, as a whole.
    """
    if not body.strip():
        raise BodyError("is empty")
    if sum(map(body.count, b",:[{")) > MOST_VALUES:
        raise BodyError(f"has more than {MOST_VALUES:,} values")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BodyError("is not written in UTF-8, as JSON must be") from None
    # Most answers are looked through once and never walked. An escaped letter hides from that look.
    suspect = tells is not None and ("\\u00" in text or any(map(tells, _pieces(text))))
    try:
        found = _decode(text)
        return _redacted(found, tells) if tells is not None and suspect else found
    except RecursionError:
        problem = "is nested too deeply"
    except BodyError as error:
        problem = str(error) if not suspect else _without_names(error)
    except ValueError:
        problem = "is no JSON, or was cut off"
    raise BodyError(problem)


def redact(text: str, tells: Callable[[str], bool] | None) -> str:
    """The text, or REDACTED if it gives the key away."""
    return REDACTED if tells is not None and tells(text) else text


def _pieces(text: str) -> Iterator[str]:
    """The text in overlapping pieces, so that to look through it costs little memory."""
    for at in range(0, max(len(text), 1), _PIECE):
        yield text[at : at + _PIECE + _LONGEST_KEY]


def _redacted(value: Any, tells: Callable[[str], bool]) -> Any:
    """In place: a second copy of a large answer would take as much memory again."""
    if isinstance(value, str):
        return redact(value, tells)
    if isinstance(value, list):
        for at, item in enumerate(value):
            value[at] = _redacted(item, tells)
    elif isinstance(value, dict):
        for name, item in value.items():
            value[name] = _redacted(item, tells)
        if any(map(tells, value)):
            return _table([(redact(name, tells), item) for name, item in value.items()])
    return value


def _without_names(error: BodyError) -> str:
    return _TWICE if isinstance(error, _TwiceError) else str(error)


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
        raise _TwiceError(f'has the field "{name}" twice' if _WORD.fullmatch(name) else _TWICE)
    return table


def _twice(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
