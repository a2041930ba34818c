"""Where a budget stands: levels and blocks to the nano, and no projection out of thin air."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.budget.status import BudgetRow, PeriodRow, reaches, standing

DAY = 86_400_000_000
BUDGET = BudgetRow(
    1,
    "total",
    "all",
    "",
    10**8,
    "USD",
    "day",
    "UTC",
    "default",
    (70, 80, 90, 95, 100),
    "block-nonessential",
    "block",
)


def stand(used: int, now: int = DAY // 2, **changes: object):
    return standing(BUDGET._replace(**changes), PeriodRow(0, DAY, "1970-01-01", used), now)


@pytest.mark.parametrize(
    ("used", "level", "blocks"),
    [
        (69_999_999, 0, ""),
        (70_000_000, 70, ""),
        (94_999_999, 90, ""),
        (95_000_000, 95, "nonessential"),
        (95_000_001, 95, "nonessential"),
        (99_999_999, 95, "nonessential"),
        (100_000_000, 100, "all"),
        (100_000_001, 100, "all"),
    ],
)
def test_levels_and_blocks_change_at_the_exact_nano(used, level, blocks):
    """One nano below 95 % nobody is refused; at 95 % non-essential apps are, at 100 % all."""
    found = stand(used)
    assert (found.level, found.blocks) == (level, blocks)


def test_what_only_warns_never_blocks():
    """`warn` at 95 and 100 leaves every app alone; `warn` at 100 alone keeps the rule of 95."""
    assert stand(2 * 10**8, at_95="warn", at_100="warn").blocks == ""
    assert stand(2 * 10**8, at_100="warn").blocks == "nonessential"
    assert stand(96_000_000, at_95="warn").blocks == ""


def test_unpriced_calls_count_and_reservations_do_not():
    """What unpriced calls are assumed to cost is used up; what is only in flight is not yet."""
    found = standing(
        BUDGET, PeriodRow(0, DAY, "", spent=60_000_000, assumed=35_000_000, reserved=90_000_000), DAY // 2
    )
    assert (found.used, found.remaining, found.blocks) == (95_000_000, 5_000_000, "nonessential")


def test_the_projection_is_linear_and_waits_for_something_to_project_from():
    """Half a day's spend doubles by midnight; after one minute nothing is projected."""
    found = stand(30_000_000)
    assert (found.projected, found.crosses_at) == (60_000_000, None)
    found = stand(80_000_000)
    assert found.projected == 160_000_000
    assert found.crosses_at == DAY * 10**8 // 160_000_000
    assert stand(80_000_000, now=60_000_000).projected is None
    assert stand(80_000_000, now=300_000_000).projected is not None


def test_a_crossed_limit_is_not_crossed_again():
    """Once the limit is passed there is no moment left to announce."""
    assert stand(10**8).crosses_at is None


@given(st.integers(0, 10**19), st.integers(1, 9 * 10**18), st.integers(1, 1000))
def test_levels_are_exact_however_big_the_sums(used, limit, level):
    """No rounding ever raises an alarm early or late."""
    assert reaches(used, limit, level) == (used * 100 - limit * level >= 0)


@given(st.integers(0, 2 * 10**8), st.integers(0, 10**6))
def test_spending_more_never_lowers_a_level(used, more):
    """A gauge only climbs within a period."""
    one, two = stand(used), stand(used + more)
    assert one.level <= two.level
    assert set(one.crossed) <= set(two.crossed)
