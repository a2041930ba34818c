"""Values out of a provider's JSON: exact, or an error that names the field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.providers import reading
from costmon.sources.providers.http import strict
from costmon.sources.providers.protocol import SourceError

amounts = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=12)


@given(amounts)
def test_a_number_and_its_text_are_the_same_amount(amount: Decimal) -> None:
    for written in (amount, str(amount), f"{amount:f}", f" {amount} ", f"{amount:e}"):
        assert reading.money(written, "amount") == amount


@given(st.integers(-(10**15), 10**15), st.integers(0, 12))
def test_smaller_units_become_major_ones_without_losing_a_digit(units: int, scale: int) -> None:
    if abs(units) < 10 ** (9 + scale):
        found = reading.money(units, "amount", scale=scale)
        assert found * 10**scale == units
        assert reading.money(f"{units}.000001", "amount", scale=scale) != found


def test_no_digit_is_lost_beyond_the_28_that_decimals_compute_with() -> None:
    assert str(reading.money("123456789.1234567890123456789012345", "amount", scale=2)) == (
        "1234567.891234567890123456789012345"
    )


def test_cents_of_anthropic_and_dollars_of_openai() -> None:
    assert reading.money("123.78912", "amount", scale=2) == Decimal("1.2378912")
    assert reading.money("123.45", "amount", scale=2) == Decimal("1.2345")
    assert reading.money("123.45", "amount.value") == Decimal("123.45")
    assert reading.money("-0.00", "amount").is_signed() is False


NO_NUMBER: list[Any] = [
    *(
        None,
        True,
        False,
        [],
        {},
        [1],
        "",
        " ",
        "abc",
        "NaN",
        "nan",
        "sNaN",
        "Infinity",
        "-inf",
        "1_000",
        "1,5",
        "1,000.5",
    ),
    *(
        "$5",
        "5 USD",
        "0x10",
        "١٢",
        "１２",
        "1e",
        "e5",
        ".",
        "+",
        "--1",
        "1.2.3",
        "1e1000",
        "9" * 61,
        "1\n2",
        "1\x00",
        1.5,
    ),
    *(Decimal("NaN"), Decimal("Infinity"), Decimal("1E+300"), 10**40),
]


@pytest.mark.parametrize("value", NO_NUMBER, ids=ascii)
@pytest.mark.parametrize("read", [reading.decimal, reading.money])
def test_what_is_no_amount_is_said_with_its_field(read: Callable[[Any, str], Decimal], value: Any) -> None:
    with pytest.raises(SourceError, match=r"the answer's amount\.value is .*: update costmon") as caught:
        read(value, "amount.value")
    assert caught.value.state == "schema"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["1000000000.01", -(10**9) - 1, Decimal("1E+12"), "1e20"])
def test_more_than_a_thousand_million_is_a_mistake(value: Any) -> None:
    with pytest.raises(SourceError, match="is no possible amount"):
        reading.money(value, "amount")
    assert reading.money("1000000000", "amount") == 10**9


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, None), (0, 0), ("12", 12), (Decimal("3.0"), 3), (2**62 - 1, 2**62 - 1), ("1e3", 1000)],
)
def test_counts(value: Any, found: int | None) -> None:
    assert reading.count(value, "n") == found


@pytest.mark.parametrize(
    "value", [-1, "1.5", Decimal("0.1"), 2**62, True, "many", [], Decimal("-1E-9")], ids=str
)
def test_what_is_no_count(value: Any) -> None:
    with pytest.raises(SourceError, match="the answer's n is"):
        reading.count(value, "n")


@pytest.mark.parametrize("value", [0, -1, 10**11, 1795046400000, "soon", None, True, Decimal("1.5")], ids=str)
def test_what_is_no_unix_time(value: Any) -> None:
    with pytest.raises(SourceError, match="the answer's start_time is"):
        reading.unix(value, "start_time")


@given(st.integers(1, 10**10))
def test_unix_times(seconds: int) -> None:
    found = reading.unix(seconds, "t")
    assert found.tzinfo is UTC
    assert (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) == seconds
    assert reading.unix(str(seconds), "t") == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T00:00:00Z", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T09:00:00+09:00", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T00:00:00.123456789Z", datetime(2026, 11, 20, 0, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_instants(written: str, found: datetime) -> None:
    assert reading.instant(written, "at") == found
    assert reading.instant(written, "at").tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            None,
            5,
            "yesterday",
            "2026-11-20T00:00:00",
            "2026-13-01",
            "2026-02-30",
            "2026-11-20T25:00:00Z",
            "x" * 500,
        ),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-W47-5", "20261120"),
    ],
    ids=str,
)
def test_what_is_no_instant(value: Any) -> None:
    with pytest.raises(SourceError, match="the answer's at is"):
        reading.instant(value, "at")


@pytest.mark.parametrize("value", ["usd", "USD", " usd "])
def test_currencies(value: str) -> None:
    assert reading.currency(value, "currency") == "USD"


@pytest.mark.parametrize("value", [None, "", "US", "DOLLAR", "U$D", "ÜSD", 840, "u\u200bd", "ſſſ"])
def test_what_is_no_currency(value: Any) -> None:
    with pytest.raises(SourceError, match="the answer's currency is"):
        reading.currency(value, "currency")


@given(st.text())
def test_a_text_is_one_short_printable_line(value: str) -> None:
    found = reading.text(value, "name")
    assert len(found) <= 200
    assert "\n" not in found
    assert "\x1b" not in found
    found.encode()


@given(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none() | st.just({})))
def test_a_field_of_another_type_is_an_error_that_names_it(value: Any) -> None:
    for read, kind in ((reading.table, dict), (reading.rows, list)):
        try:
            found = read(value, "data")
        except SourceError as error:
            message = str(error)
        else:
            message = "the answer's data" if isinstance(found, kind) else ""
        assert message.startswith("the answer's data")


def test_missing_fields_are_named_with_their_place() -> None:
    for data in ({}, {"value": None}):
        with pytest.raises(SourceError, match=r"the answer's amount\.value is missing"):
            reading.need(data, "value", "amount")
    with pytest.raises(SourceError, match=r"the answer's data\[1\] is null, not an object"):
        reading.rows([{}, None], "data")


@given(amounts)
def test_from_the_wire_to_the_amount_nothing_is_lost(amount: Decimal) -> None:
    for text in (f"{amount:f}", f'"{amount:f}"'):
        assert reading.money(strict.parse(f'{{"v": {text}}}'.encode())["v"], "v") == amount
