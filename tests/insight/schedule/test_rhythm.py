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


def test_a_rhythm_that_changes_is_the_old_one_until_six_runs_have_the_new() -> None:
    starts = [START + turn * 10 * MINUTE for turn in range(7)]
    for turn in range(1, 31):
        starts.append(starts[-1] + 5 * MINUTE)
        found = rhythm_of(starts)
        assert found is not None
        assert found.every_us == (10 if turn < 5 else 5) * MINUTE


def test_a_rhythm_that_changes_on_a_busy_machine_is_never_lost() -> None:
    """Seconds between runs as measured, of a job every 600 and then every 300 seconds."""
    starts = [START]
    for seconds in (491, 553, 601, 653, 614, 604, 280, 271, 303, 286, 290, 298, 306):
        starts.append(starts[-1] + seconds * SECOND)
        found = rhythm_of(starts)
        assert (found is None) == (len(starts) < 6)
    assert found is not None
    assert found.every_us < 5 * MINUTE


def test_one_run_between_does_not_hide_a_rhythm() -> None:
    starts = [START + turn * 10 * MINUTE for turn in range(9)]
    starts.append(starts[-1] + 3 * MINUTE)
    for _ in range(20):
        found = rhythm_of(starts)
        assert found is not None
        assert found.every_us == 10 * MINUTE
        starts.append(starts[-1] + (7 if starts[-1] - starts[-2] == 3 * MINUTE else 10) * MINUTE)


@given(
    every=st.integers(SECOND, 86_400 * SECOND), off=st.lists(st.integers(-20, 20), min_size=8, max_size=40)
)
def test_a_period_is_found_through_jitter(every: int, off: list[int]) -> None:
    starts = [START + turn * every + every * one // 1000 for turn, one in enumerate(off)]
    found = rhythm_of(starts)
    assert found is not None
    assert abs(found.every_us - every) <= every // 25
