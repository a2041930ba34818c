"""What people type into a field: read as exact values, or refused with what to write instead. Pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction

from costmon.config import parse_money
from costmon.shim.events import clean
from costmon.shim.money import Money
from costmon.shim.timestamps import to_us

MOST_TOKENS = 10**12
MOST_CALLS = 10**9
MOST_MODELS = 8
_LONGEST_NAME = 200
_FIRST = to_us(datetime(1970, 1, 1, tzinfo=UTC))
_LAST = to_us(datetime(2200, 1, 1, tzinfo=UTC))


class WrongError(ValueError):
    """Half a sentence that follows the name of the field: 'write a whole number, like 4000'."""


def whole(text: str, least: int = 0, most: int = MOST_TOKENS) -> int:
    """A whole number, also written 4,000 or 4_000."""
    digits = text.strip().replace(",", "").replace("_", "")
    if not re.fullmatch("[0-9]{1,30}", digits, re.ASCII):
        raise WrongError("write a whole number, like 4000")
    if not least <= int(digits) <= most:
        raise WrongError(f"write {least:,} to {most:,}")
    return int(digits)


def number(text: str, most: int, *, zero: bool = False) -> Fraction:
    """A decimal number, exact; more than 0 unless `zero`."""
    digits = text.strip().replace(",", "").replace("_", "")
    if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{0,12})?", digits, re.ASCII):
        raise WrongError("write a number, like 2.5")
    value = Fraction(digits)
    if value > most or (not value and not zero):
        raise WrongError(f"write {'0 to' if zero else 'more than 0, at most'} {most:,}")
    return value


def share(text: str) -> Fraction:
    """A percentage as a share; nothing is 0."""
    written = text.strip().removesuffix("%").strip()
    return number(written, 100, zero=True) / 100 if written else Fraction(0)


def models(text: str) -> tuple[str, ...]:
    """Names with commas between, each once."""
    found = tuple(dict.fromkeys(name for part in text.split(",") if (name := clean(part, 1000))))
    if not found:
        raise WrongError("write a model's name, or several with commas between")
    if len(found) > MOST_MODELS:
        raise WrongError(f"write at most {MOST_MODELS} models")
    if any(len(name) > _LONGEST_NAME for name in found):
        raise WrongError(f"a name has at most {_LONGEST_NAME} characters")
    return found


def instant(text: str, now: int) -> int:
    """A date (its first moment, UTC) or an ISO instant in µs; nothing is `now`."""
    written = text.strip()
    if not written:
        return now
    try:
        at = datetime.fromisoformat(written)
        at_us = to_us(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise WrongError("write a date, like 2026-11-20, or nothing for now") from error
    if not _FIRST <= at_us < _LAST:
        raise WrongError("write a date of the years 1970 to 2199")
    return at_us


def price(text: str) -> Money:
    """An amount with its currency."""
    try:
        return parse_money(text)
    except ValueError as error:
        raise WrongError('write an amount with its currency, like "1.20 USD" or ₩2,450') from error
