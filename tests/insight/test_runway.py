"""A balance that falls tells what was spent and when it runs out, and says when it cannot."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.runway import GAP, LEAST, WHOLE, Seen, Spent, derive, gauge, run_out
from tests.harness.billed import DAY, HOUR, at

EVERY = 300_000_000
START = at("2026-11-10")


def watched(*amounts: str, step: int = EVERY, start: int = START) -> list[Seen]:
    """A balance seen every `step`, each amount once."""
    return [Seen(start + i * step, start + i * step, Decimal(amount)) for i, amount in enumerate(amounts)]


@given(
    st.lists(st.decimals(-100, 10**6, places=6), min_size=1, max_size=40),
    st.lists(st.integers(1, 3 * DAY), min_size=40, max_size=40),
)
def test_spent_and_what_is_left_are_what_there_was_and_was_paid_in(
    amounts: list[Decimal], steps: list[int]
) -> None:
    history, now = [], START
    for amount, step in zip(amounts, steps, strict=False):
        history.append(Seen(now, now + step // 2, amount))
        now += step
    found = derive(history, EVERY, now)
    spent, paid = sum(one.spent for one in found), sum(one.topped_up for one in found)
    assert spent + amounts[-1] == amounts[0] + paid
    assert all(one.spent >= 0 and one.topped_up >= 0 for one in found)
    days = [one.day_at for one in found]
    assert days == sorted(set(days))
    assert all(day % DAY == 0 for day in days)


def test_a_day_that_was_watched_is_whole() -> None:
    """$20 at midnight, $19.50 at noon, and it stays so until the next day: $0.50, all of it."""
    noon = START + 12 * HOUR
    history = [Seen(START, noon, Decimal(20)), Seen(noon + EVERY, START + DAY + HOUR, Decimal("19.5"))]
    assert derive(history, EVERY, START + DAY + HOUR) == [
        Spent(START, Decimal("0.5"), Decimal(0), WHOLE),
        Spent(START + DAY, Decimal(0), Decimal(0), LEAST),  # today is not over
    ]


def test_a_gap_makes_the_days_beside_it_unknown() -> None:
    """Nobody looked from the 10th to the 12th: on which day the dollar went is not known."""
    history = [
        Seen(START, START + HOUR, Decimal(5)),
        Seen(START + 2 * DAY + HOUR, START + 3 * DAY, Decimal(4)),
    ]
    found = derive(history, EVERY, START + 3 * DAY)
    assert [one.watched for one in found] == [GAP, GAP, GAP, LEAST]
    assert found[2].spent == 1


def test_three_rhythms_are_no_gap() -> None:
    for late, state in ((0, WHOLE), (1, GAP)):
        before = START + DAY - 3 * EVERY
        history = [
            Seen(START, before, Decimal(5)),
            Seen(before + 3 * EVERY + late, START + 2 * DAY + HOUR, Decimal(4)),
        ]
        assert derive(history, EVERY, START + 2 * DAY + HOUR)[0].watched == state


def test_a_pause_within_one_day_leaves_the_fall_to_that_day() -> None:
    """Nobody looked for half an hour, in which $20 went: they went on that day, and a top-up may have hidden more."""
    history = [
        Seen(START, START + HOUR, Decimal(100)),
        Seen(START + HOUR + 6 * EVERY, START + DAY + HOUR, Decimal(80)),
    ]
    assert derive(history, EVERY, START + DAY + HOUR)[0] == Spent(START, Decimal(20), Decimal(0), LEAST)


def test_equal_amounts_at_both_ends_of_a_gap_prove_nothing() -> None:
    """Four days later the balance is the same: spent and topped up, or neither."""
    history = [
        Seen(START, START + HOUR, Decimal(100)),
        Seen(START + 3 * DAY + HOUR, START + 4 * DAY + HOUR, Decimal(100)),
    ]
    found = derive(history, EVERY, START + 4 * DAY + HOUR)
    assert [one.watched for one in found] == [GAP, GAP, GAP, GAP, LEAST]


def test_a_top_up_hides_what_was_spent_beside_it() -> None:
    history = [
        Seen(START, START + HOUR, Decimal(5)),
        Seen(START + HOUR + EVERY, START + 2 * HOUR, Decimal(25)),
        Seen(START + 2 * HOUR + EVERY, START + DAY + HOUR, Decimal(24)),
    ]
    assert derive(history, EVERY, START + DAY + HOUR)[0] == Spent(START, Decimal(1), Decimal(20), LEAST)


def test_it_runs_out_at_the_rate_of_the_last_week() -> None:
    """$1 a day for ten days, $10 left: in ten days."""
    history = watched(*[str(20 - day) for day in range(11)], step=DAY)
    now = START + 10 * DAY
    found = run_out(history, now)
    assert found is not None
    assert (found.at, found.per_day, found.said) == (now + 10 * DAY, Fraction(1), False)


def test_less_than_a_day_says_nothing() -> None:
    assert run_out(watched("20", "10", step=DAY - 1), START + DAY) is None
    assert run_out([], START) is None
    assert run_out([Seen(START, START + 9 * DAY, Decimal(20))], START + 9 * DAY) is None  # nothing is spent


def test_the_providers_own_rate_comes_first() -> None:
    """RunPod says $0.50 an hour: $6 last 12 hours, from the first sighting on."""
    found = run_out([Seen(START, START, Decimal(6))], START, Decimal("0.5"))
    assert found is not None
    assert (found.at, found.said) == (START + 12 * HOUR, True)


def test_a_quota_that_is_filled_before_does_not_run_out() -> None:
    history = [Seen(START, START, Decimal(6), START + 3 * HOUR)]
    found = run_out(history, START, Decimal("0.5"))
    assert found is not None
    assert found.at is None


def test_a_debt_has_run_out() -> None:
    found = run_out([Seen(START, START, Decimal(-2))], START, Decimal("0.5"))
    assert found is not None
    assert found.at == START


def test_the_gauge() -> None:
    assert gauge(Decimal(5), Decimal(20)) == 0.25
    assert gauge(Decimal(-5), Decimal(20)) == 0.0
    assert gauge(Decimal(25), Decimal(20)) == 1.0
    assert gauge(Decimal(5), None) is None
    assert gauge(Decimal(5), Decimal(0)) is None
