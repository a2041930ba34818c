from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from costmon.shim.money import Money
from costmon.tui import format as fmt
from costmon.tui.lines import crop, joined, line, width_of, wrapped

from .samples import HOSTILE

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(st.text())
def test_foreign_text_is_one_harmless_line(text: str) -> None:
    """No name, whatever its characters, can move the cursor, change colours or turn the writing direction."""
    shown = fmt.safe(text)
    assert not set(shown) & {chr(n) for n in (*range(32), *range(127, 160), 0x202E, 0x2066, 0x2028, 0xD800)}
    shown.encode()


@given(st.text(), st.integers(0, 40), st.booleans())
def test_columns_have_their_width_whatever_stands_in_them(text: str, width: int, right: bool) -> None:
    """A column stays as wide as it is for every name, so the next one starts where it should."""
    assert cell_len(fmt.fit(fmt.safe(text), width, right=right)) == width


@given(st.lists(st.tuples(st.text(max_size=12), st.just(""))), st.integers(0, 30))
def test_lines_are_never_wider_than_the_panel(spans: list[tuple[str, str]], width: int) -> None:
    """No line runs over the border of its panel."""
    safe = tuple((fmt.safe(text), style) for text, style in spans)
    assert width_of(crop(safe, width)) <= width


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_cut_fast_and_show_something(name: str) -> None:
    """A name of a million characters costs no more than a short one."""
    assert len(fmt.safe(name)) <= 400
    assert cell_len(fmt.fit(fmt.safe(name), 12)) == 12


def test_korean_names_are_cut_between_characters() -> None:
    """A wide character that does not fit whole is left out, and the column still aligns."""
    assert fmt.fit("한국어모델", 6) == "한국… "
    assert fmt.fit("한국어", 8) == "한국어  "


def test_ratios_never_read_as_reached_before_they_are() -> None:
    """99.9 % shows as 99 %, not as 100 %."""
    assert [fmt.percent(r) for r in (0, 0.004, 0.29, 0.999, 1, 1.004, 50, float("inf"), float("nan"))] == [
        "0 %", "<1 %", "29 %", "99 %", "100 %", "100 %", ">999 %", ">999 %", "0 %",
    ]  # fmt: skip


def test_spans_are_written_the_way_people_say_them() -> None:
    """Countdowns and ages read well at every size."""
    spans = [fmt.duration(timedelta(seconds=s)) for s in (-5, 45, 723, 3900, 9 * 86400 + 3 * 3600)]
    assert spans == ["0s", "45s", "12m 03s", "1h 05m", "9d 3h"]
    assert fmt.age(NOON - timedelta(minutes=12), NOON) == "12m ago"
    assert fmt.age(NOON + timedelta(minutes=1), NOON) == "now"
    assert [fmt.every(timedelta(minutes=m)) for m in (15, 60, 90, 120, 1440)] == [
        "every 15m", "every 60m", "every 90m", "every 2h", "every 1d",
    ]  # fmt: skip


def test_moments_are_local_and_placeable() -> None:
    """A time today has no date; another day has one; another year says so."""
    assert fmt.moment(NOON, NOON, "Asia/Seoul") == "21:00"
    assert fmt.moment(NOON + timedelta(days=6), NOON, "Asia/Seoul") == "27 Nov 21:00"
    assert fmt.moment(NOON + timedelta(days=60), NOON, "No/Where") == "20 Jan 2027"


def test_amounts_stand_on_their_decimal_point() -> None:
    """Sums of any size compare at a glance."""
    shown = fmt.on_the_point(["$12.50", "$0.000150", "≥ $1.20", "₩15,000"])
    assert len({len(text) for text in shown.values()}) == 1
    assert shown["$12.50"].index(".") == shown["$0.000150"].index(".")


def test_an_amount_beside_its_limit_has_the_limits_decimals() -> None:
    """'$0.38 / $1.00', not '$0.3800 / $1.00'; but a small sum never reads as nothing."""
    limit = Money(10**9, "USD")
    assert fmt.beside(Money(380_000_000, "USD"), limit) == "$0.38"
    assert fmt.beside(Money(150_000, "USD"), limit).startswith("$0.00015")
    assert fmt.beside(Money(0, "USD"), limit) == "$0.00"
    assert fmt.beside(Money(85_200_000, "USD"), Money(100_000_000, "USD")) == "$0.0852"
    assert fmt.beside(Money(300_000_000, "KRW"), Money(15_000 * 10**9, "KRW")) == "<₩1"
    assert fmt.beside(Money(2_400_000_000, "KRW"), Money(15_000 * 10**9, "KRW")) == "₩2"


def test_sums_are_shortened_only_where_a_column_would_not_hold_them() -> None:
    """A million won is an everyday sum and keeps its digits; a million dollars does not need its cents."""
    assert fmt.short_money(Money(1_234_567 * 10**9, "USD")) == "$1.2M"
    assert fmt.short_money(Money(1_234_567 * 10**9, "KRW")) == "₩1,234,567"
    assert fmt.short_money(Money(123_456_789 * 10**9, "KRW")) == "₩123.5M"


def test_details_that_do_not_fit_go_the_least_pressing_first() -> None:
    """A narrow terminal keeps what matters."""
    items = [(2, line("later")), (0, line("urgent")), (1, line("soon"))]
    assert "".join(t for t, _ in joined(items, 14)) == "urgent · soon"


def test_long_reasons_are_wrapped_and_end_with_an_ellipsis() -> None:
    """A reason takes a few lines at most and says when there was more."""
    rows = wrapped("one two three four five six", 9, most=2)
    assert [row[0][0] for row in rows] == ["one two", "three…"]
