"""Money as people write it: "0.10USD", "$10", "15,000 KRW"."""

from __future__ import annotations

import re
from decimal import Decimal

from costmon.shim.money import NANO, Money, to_nano

MAX_NANO = 9_000_000_000 * NANO
EXAMPLE = 'such as "10 USD" or "15000 KRW"'
_SIGNS = {
    "$": "USD",
    "US$": "USD",
    "₩": "KRW",
    "￦": "KRW",  # as Korean keyboards have it
    "원": "KRW",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "CN¥": "CNY",
    "₹": "INR",
}
_NUMBER = r"(?P<number>[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]*)?)"
_WRITTEN = re.compile(
    rf"(?P<before>[A-Za-z]{{3}}|[^\sA-Za-z0-9.,+-]|US\$|CN¥)?\s*{_NUMBER}\s*(?P<after>[A-Za-z]{{3}}|[$₩￦원€£¥₹])?"
)


def parse_money(text: str) -> Money:
    """The amount `text` spells, more than 0 and at most 9 billion units.

    Raises ValueError with half a sentence that follows the name of the key: `must be more than zero, …`.
    """
    match = _WRITTEN.fullmatch(text.strip()) if len(text) <= 100 else None
    if match is None or not any(digit.isdigit() for digit in match["number"]):
        raise ValueError(f"must be an amount with its currency, {EXAMPLE}, not {shorten(text)}")
    value = Decimal(match["number"].replace(",", ""))
    _check_size(value, text)
    return Money(to_nano(value), _currency(match["before"], match["after"], text))


def shorten(value: object) -> str:
    """`value` quoted for an error message, at most 60 characters."""
    text = str(value)
    return '"' + (text if len(text) <= 60 else text[:57] + "…").replace("\n", " ") + '"'


def _currency(before: str | None, after: str | None, text: str) -> str:
    if before is not None and not before.isascii() and before not in _SIGNS:
        raise ValueError(f"has the unknown sign {shorten(before)}; write the currency's code, {EXAMPLE}")
    named = {_SIGNS.get(part, part.upper()) for part in (before, after) if part is not None}
    if len(named) != 1:
        problem = "names two currencies" if named else "names no currency"
        raise ValueError(f"{problem} in {shorten(text)}; write it {EXAMPLE}")
    return named.pop()


def _check_size(value: Decimal, text: str) -> None:
    if value <= 0:
        raise ValueError(f"must be more than zero, {EXAMPLE}, not {shorten(text)}")
    if value > MAX_NANO // NANO:
        raise ValueError(f"must be at most 9,000,000,000, not {shorten(text)}")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -9:
        raise ValueError(f"may have nine decimals at most, not {shorten(text)}")
