"""Money as integers: 1e-9 of a currency's unit ("nano"), rounded once, half to even.

    >>> to_nano(Decimal("0.0012"))
    1200000
    >>> amount(1200000)
    '0.0012'

Never a float: `Fraction` and `Decimal` compute, `int` is stored (int64 sums reach 9.2 billion units).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

NANO = 1_000_000_000
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_ONE_NANO = Decimal("1e-9")
# Currencies whose smallest coin is the unit itself, ISO 4217 exponent 0.
_NO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF", "XPF"}
)
_SYMBOLS = {"USD": "$", "KRW": "₩", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "INR": "₹"}


class Money(NamedTuple):
    """`nano` 1e-9 units of `currency` (ISO 4217, upper case)."""

    nano: int
    currency: str

    def to_json(self) -> dict[str, str]:
        """The one form money has in every `--json`."""
        return {"amount": amount(self.nano), "currency": self.currency}


class Rate(NamedTuple):
    """An exchange rate as an exact fraction: quote units per base unit."""

    numerator: int
    denominator: int


PAR = Rate(1, 1)


def to_nano(value: Decimal) -> int:
    """Round `value` units to nano, half to even. Raises ArithmeticError for NaN and infinity."""
    if not value.is_finite():
        raise ArithmeticError("an amount of money must be finite")
    return int(value.quantize(_ONE_NANO, context=_EXACT).scaleb(9, _EXACT))


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` (denominator > 0), rounded half to even."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def convert(nano: int, rate: Rate) -> int:
    """`nano` of the base currency as nano of the quote currency."""
    if rate.numerator == rate.denominator:
        return nano
    return divide_half_even(nano * rate.numerator, rate.denominator)


def amount(nano: int) -> str:
    """Plain decimal digits without exponent or trailing zeros: '0.0012', '15000', '-3.5'."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(int(nano)), NANO)  # a sum too large for SQLite's integers is a float there
    return f"{sign}{whole}" + (f".{fraction:09d}".rstrip("0") if fraction else "")


def format_money(nano: int, currency: str, *, places: int | None = None) -> str:
    """For people: '$0.0012', '$12.34', '₩15,000'; small sums keep the digits that matter.

    What is not nothing never reads as nothing: '<₩1', '<$0.000001', and below zero '>-₩1'.

    Args:
        places: force that many decimals; default: by currency, with more digits while the sum is small.
    """
    nano = int(nano)  # as in `amount`
    sign = "-" if nano < 0 else ""
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    decimals = places if places is not None else _places(abs(nano), currency)
    if places is None and 0 < abs(nano) < NANO // 10**decimals and not _shows(nano, currency, decimals):
        least = f"{0:.{decimals - 1}f}1" if decimals else "1"
        return f"{'>-' if nano < 0 else '<'}{symbol}{least}"
    rounded = divide_half_even(abs(nano) * 10**decimals, NANO)
    whole, fraction = divmod(rounded, 10**decimals)
    digits = f"{fraction:0{decimals}d}" if decimals else ""
    if places is None:
        usual = 0 if currency in _NO_DECIMALS else 2
        digits = digits[:usual] + digits[usual:].rstrip("0")
    return f"{sign}{symbol}{whole:,}" + (f".{digits}" if digits else "")


def fine_money(nano: int, currency: str, *, digits: int = 3) -> str:
    """With the decimals that matter for comparing: '$0.0012', '$2.4192'; a currency without coins as in `format_money`.

    Args:
        digits: how many digits that count a sum below 1 has at least, as far as nano go.
    """
    if currency in _NO_DECIMALS:
        return format_money(nano, currency)
    size = abs(nano)
    places = 4 if size < 100 * NANO else 2
    if size < NANO:
        places = min(9, max(6, 9 - len(str(size)) + digits))
    head, _, decimals = format_money(nano, currency, places=places).partition(".")
    return f"{head}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def has_decimals(currency: str) -> bool:
    """Whether sums of `currency` are written with decimals ('$12.34', but '₩15,000')."""
    return currency not in _NO_DECIMALS


def _shows(nano: int, currency: str, decimals: int) -> bool:
    """Whether a sum below the last decimal still rounds to one; a won is never made of half a one."""
    return currency not in _NO_DECIMALS and divide_half_even(abs(nano) * 10**decimals, NANO) > 0


def _places(nano: int, currency: str) -> int:
    if currency in _NO_DECIMALS:
        return 0
    if nano == 0 or nano >= NANO:
        return 2
    return 4 if nano >= NANO // 1000 else 6
