"""What runs cost, and what a schedule will cost."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.schedule.costs import Going, PerRun, ahead, per_run, project, saving, trend

DAY = 86_400_000_000
MINI = (Decimal("0.15"), Decimal("0.60"))


def test_the_incident_by_hand() -> None:
    week_at_5m, week_at_60m = project(2016, (4000, 1000), MINI), project(168, (4000, 1000), MINI)

    assert (week_at_5m, week_at_60m) == (Decimal("2.4192"), Decimal("0.2016"))
    assert saving(24_192, 2_016) == Fraction(11, 12)


def test_the_median_lies_in_the_middle_and_the_95th_percentile_is_one_of_the_runs() -> None:
    assert per_run([10, 40, 20]) == PerRun(3, 20, 40)
    assert per_run([10, 20, 30, 40]) == PerRun(4, 25, 40)
    assert per_run(list(range(1, 101))) == PerRun(100, 50, 95)


def test_a_run_of_unknown_cost_is_counted_apart_and_is_not_nothing() -> None:
    assert per_run([10, None, 30, None]) == PerRun(2, 20, 30, 2)
    assert per_run([None]) == PerRun(0, None, None, 1)
    assert ahead(2, None, (), 0, DAY) is None
    assert ahead(0, None, (), 0, DAY) == 0


def test_the_trend_is_this_week_over_the_last() -> None:
    assert trend(per_run([30]), per_run([20])) == Decimal("1.5")
    assert trend(per_run([30]), per_run([])) is None
    assert trend(per_run([30]), per_run([0])) is None


@given(st.integers(1, 10_000), st.integers(0, 50_000), st.integers(0, 100_000), st.integers(0, 100_000))
def test_what_goes_on_beside_the_plan_is_counted_run_by_run(
    every: int, last: int, wait: int, more: int
) -> None:
    now = last + wait
    until = now + more
    due = [at for at in range(last + every, until + 1, every) if now < at <= until]

    assert Going(every, last, 7).runs(now, until) == len(due)
    assert ahead(3, 100, (Going(every, last, 7),), now, until) == 300 + 7 * len(due)
