"""The day's curve, as plain numbers."""

from __future__ import annotations

import pytest

from costmon.demo.pace import MIN_TOKENS, WHOLE, Moment, Request, answer_tokens, goal

LIMIT = 1_000_000_000
CLAUDE = Request("trader", 750_000, 15_000, 1200)
GPT = Request("chatbot", 500_000, 10_000, 400)


def _at(hour: int, minute: int, percent: float) -> Moment:
    return Moment(hour * 60 + minute, round(LIMIT * percent / 100), LIMIT)


def test_spending_is_meant_to_rise_all_day_and_end_above_100() -> None:
    """The gauge never has a reason to stand still before the limit, or to stay below it."""
    goals = [goal(minute) for minute in range(1440)]
    assert goals == sorted(goals)
    assert goals[0] == 0
    assert goals[-1] > WHOLE


def test_answers_are_short_while_spending_is_ahead_and_long_while_it_is_behind() -> None:
    assert answer_tokens(_at(5, 0, 60), GPT) == MIN_TOKENS
    assert answer_tokens(_at(5, 0, 1), GPT) == GPT.max_tokens


def test_only_trader_takes_the_step_over_95() -> None:
    """Trader crosses 95 % itself, in one call, so that its next call is the first one refused."""
    assert answer_tokens(_at(17, 10, 94), GPT) == MIN_TOKENS
    tokens = answer_tokens(_at(17, 10, 94), CLAUDE)
    assert 94 * LIMIT // 100 + CLAUDE.prompt + tokens * CLAUDE.per_token >= 95 * LIMIT // 100


def test_a_step_too_small_for_it_is_not_taken_halfway() -> None:
    """Just below 95 % a reservation of the other app would refuse trader before the level is crossed."""
    cheap = Request("trader", 20_000, 600, 300)
    assert answer_tokens(_at(17, 10, 94), cheap) == MIN_TOKENS


@pytest.mark.parametrize("hour", [0, 6, 12, 17, 20, 23])
def test_a_model_without_a_price_is_answered_shortly(hour: int) -> None:
    """A price file that lost the demo's models must not make answers endless."""
    assert answer_tokens(_at(hour, 0, 1), Request("chatbot", 0, 0, 400)) == MIN_TOKENS
