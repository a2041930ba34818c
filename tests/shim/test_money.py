"""Money: exact, rounded once, printed so that small sums stay visible."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim.money import (
    NANO,
    PAR,
    Money,
    Rate,
    amount,
    convert,
    divide_half_even,
    fine_money,
    format_money,
    to_nano,
)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0.0012", 1_200_000),
        ("0.0000000005", 0),  # halves go to the even neighbour
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000050000000000000001", 1),
        ("-0.0000000015", -2),
        ("0.1", 100_000_000),
        ("9000000000", 9_000_000_000 * NANO),
    ],
)
def test_an_amount_becomes_the_nearest_nano(text: str, nano: int) -> None:
    """A price of a tenth of a cent per thousand tokens is not lost to rounding."""
    assert to_nano(Decimal(text)) == nano


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e60"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """A price file with a NaN is an error, not a free model."""
    with pytest.raises(ArithmeticError):
        to_nano(Decimal(text))


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    """A thousand calls rounded one by one do not drift to one side."""
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**18), 10**18))
def test_an_amount_survives_being_printed(nano: int) -> None:
    """The figure in `--json` is the figure in the ledger, digit for digit."""
    text = amount(nano)
    assert to_nano(Decimal(text)) == nano
    assert "E" not in text.upper()
    assert "." not in text or not text.endswith("0")


@given(st.integers(0, 10**15), st.integers(1, 10**6), st.integers(1, 10**6))
def test_conversion_loses_at_most_half_a_nano(nano: int, numerator: int, denominator: int) -> None:
    """A won budget charged in dollars is off by no more than the last digit."""
    converted = convert(nano, Rate(numerator, denominator))
    assert abs(converted - Fraction(nano * numerator, denominator)) <= Fraction(1, 2)


def test_par_changes_nothing() -> None:
    """A dollar call costs a dollar budget exactly its price."""
    assert convert(123_456_789, PAR) == 123_456_789


@pytest.mark.parametrize(
    ("nano", "currency", "text"),
    [
        (0, "USD", "$0.00"),
        (1_200_000, "USD", "$0.0012"),
        (12_340_000_000, "USD", "$12.34"),
        (999_999_999, "USD", "$1.00"),
        (1, "USD", "<$0.000001"),  # no real cost reads as nothing
        (500, "USD", "<$0.000001"),
        (501, "USD", "$0.000001"),
        (-1, "USD", ">-$0.000001"),
        (-3_500_000_000, "USD", "-$3.50"),
        (0, "KRW", "₩0"),
        (1, "KRW", "<₩1"),
        (NANO - 1, "KRW", "<₩1"),
        (NANO, "KRW", "₩1"),
        (1_500_000_000, "KRW", "₩2"),
        (999_999_600_000_000, "KRW", "₩1,000,000"),
        (15_000 * NANO, "KRW", "₩15,000"),
        (-300_000_000, "KRW", ">-₩1"),
        (-15_000 * NANO, "KRW", "-₩15,000"),
        (9_000_000_000 * NANO, "KRW", "₩9,000,000,000"),
        (12_340_000_000, "EUR", "€12.34"),
        (120_000, "EUR", "€0.00012"),
        (1, "CHF", "<CHF 0.000001"),
        (1_234_567_890_000_000, "USD", "$1,234,567.89"),
        (2_500_000_000, "CHF", "CHF 2.50"),
    ],
)
def test_money_for_people(nano: int, currency: str, text: str) -> None:
    """Small sums keep the digits that matter, large ones are grouped."""
    assert format_money(nano, currency) == text


@given(st.integers(-(10**19), 10**19), st.sampled_from(["USD", "KRW", "EUR", "JPY", "CHF"]))
def test_no_real_sum_reads_as_nothing(nano: int, currency: str) -> None:
    """'₩0' and '$0.00' stand for no cost at all, never for a small one."""
    shown = format_money(nano, currency)
    assert any(char in "123456789" for char in shown) == (nano != 0)
    assert "." not in shown or currency not in ("KRW", "JPY")


def test_money_in_json() -> None:
    """A script reads an exact decimal text and a currency, never a float."""
    assert Money(1_200_000, "USD").to_json() == {"amount": "0.0012", "currency": "USD"}


@pytest.mark.parametrize(
    ("nano", "currency", "digits", "text"),
    [
        (1_656_000_000, "KRW", 3, "₩2"),  # a won has no coins, here as everywhere
        (400_000_000, "KRW", 3, "<₩1"),
        (15_000 * NANO, "KRW", 3, "₩15,000"),
        (0, "USD", 3, "$0.00"),
        (1_200_000, "USD", 3, "$0.0012"),
        (3_344_000, "USD", 3, "$0.003344"),  # 288 of them are $0.963072 a day
        (448_350, "USD", 3, "$0.000448"),
        (448_350, "USD", 6, "$0.00044835"),
        (12_345_678, "USD", 6, "$0.0123457"),
        (1, "USD", 3, "$0.000000001"),
        (2_419_200_000, "USD", 3, "$2.4192"),
        (10_368_000_000, "USD", 3, "$10.368"),
        (1_674_750_000_000, "USD", 3, "$1,674.75"),
        (-3_344_000, "EUR", 3, "-€0.003344"),
    ],
)
def test_money_to_compare(nano: int, currency: str, digits: int, text: str) -> None:
    """More decimals than elsewhere, so that a call can be multiplied by hand."""
    assert fine_money(nano, currency, digits=digits) == text
