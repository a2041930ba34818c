"""A rhythm is recognised where nobody has a plan, and only where runs come evenly."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.schedule.misfires import rhythm_of

from .makers import MINUTE, SECOND, START


def test_six_even_runs_have_a_rhythm_five_have_none() -> None:
    starts = [START + turn * 5 * MINUTE for turn in range(6)]
    found = rhythm_of(starts)
    assert found is not None
    assert (found.every_us, found.runs) == (5 * MINUTE, 6)
    assert rhythm_of(starts[:5]) is None
    assert rhythm_of([]) is None
    assert rhythm_of([START] * 8) is None


def test_runs_that_come_at_random_have_none() -> None:
    chance = random.Random(6)
    for _ in range(200):
        starts = [START]
        for _ in range(30):
            starts.append(starts[-1] + round(chance.expovariate(1 / (10 * MINUTE))))
        assert rhythm_of(starts) is None


def test_a_rhythm_that_was_changed_is_told_by_the_latest_runs() -> None:
    starts = [START + turn * 60 * MINUTE for turn in range(10)]
    starts += [starts[-1] + turn * 5 * MINUTE for turn in range(1, 30)]
    found = rhythm_of(starts)
    assert found is not None
    assert found.every_us == 5 * MINUTE


@given(
    every=st.integers(SECOND, 86_400 * SECOND), off=st.lists(st.integers(-20, 20), min_size=8, max_size=40)
)
def test_a_period_is_found_through_jitter(every: int, off: list[int]) -> None:
    starts = [START + turn * every + every * one // 1000 for turn, one in enumerate(off)]
    found = rhythm_of(starts)
    assert found is not None
    assert abs(found.every_us - every) <= every // 25
