"""So many calls a day: the incident's weeks, shares mixed exactly, and what is said without a batch price."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from costmon.pricing.scenario import Load, calls_per_day, scenario, whole_nano
from costmon.shim.cards import make_card

MILLION = 1_000_000
NANO = 10**9


def rates(**prices: str) -> dict[str, dict[str, object]]:
    return {f"{name}_tokens": {"per": MILLION, "price": price} for name, price in prices.items()}


MINI = make_card(
    "openai", "gpt-4o-mini", "USD", rates(input="0.15", output="0.6", cache_read="0.075"), "test", "1"
)
BATCH = make_card(
    "openai", "gpt-4o-mini", "USD", rates(input="0.075", output="0.3", cache_read="0.075"), "test", "1"
)


def test_the_incident() -> None:
    """Every 5 minutes is 288 a day and 2,016 a week: 2,016 x $0.0012 = $2.4192; hourly 168 x $0.0012 = $0.2016."""
    often = scenario(MINI, None, Load(calls_per_day(Fraction(300)), 4000, 1000))
    rare = scenario(MINI, None, Load(calls_per_day(Fraction(3600)), 4000, 1000))
    assert calls_per_day(Fraction(300)) == 288
    assert often.call == 1_200_000
    assert (often.of_days(7), rare.of_days(7)) == (2_419_200_000, 201_600_000)
    assert often.of_days(30) == 10_368_000_000  # 30 x 288 x $0.0012


def test_a_cache_share() -> None:
    """A quarter of 4,000 tokens cached: 3,000 x 0.15 + 1,000 x 0.075 + 1,000 x 0.6 per million = $0.001125."""
    found = scenario(MINI, None, Load(Fraction(1), 4000, 1000, cached_share=Fraction(1, 4)))
    assert found.call == 1_125_000


def test_a_batch_share() -> None:
    """40 % at half price: 0.6 x $0.0012 + 0.4 x $0.0006 = $0.00096."""
    found = scenario(MINI, BATCH, Load(Fraction(1), 4000, 1000, batch_share=Fraction(2, 5)))
    assert found.call == 960_000


def test_both_shares_at_once() -> None:
    """0.6 x $0.001125 + 0.4 x (3,000 x 0.075 + 1,000 x 0.075 + 1,000 x 0.3 = 600 → $0.0006) = $0.000915."""
    load = Load(Fraction(288), 4000, 1000, Fraction(1, 4), Fraction(2, 5))
    found = scenario(MINI, BATCH, load)
    assert found.call == 915_000
    assert found.of_days(1) == 263_520_000


def test_a_share_that_has_no_decimal_is_exact() -> None:
    """A third of one token at $0.15 instead of $0.075 per million: nothing is rounded before the sum."""
    found = scenario(MINI, None, Load(Fraction(3), 1, 0, cached_share=Fraction(1, 3)))
    assert found.call == 150 * Fraction(2, 3) + 75 * Fraction(1, 3) == 125
    assert found.of_days(1) == 375


def test_without_a_batch_price_the_list_price_counts_and_it_is_said() -> None:
    """No half price is made up."""
    found = scenario(MINI, None, Load(Fraction(1), 4000, 1000, batch_share=Fraction(1)))
    assert found.call == 1_200_000
    assert found.unpriced == ("processing=batch",)
    assert found.notes == ("no batch price is known; the batch share is at the list price",)


def test_an_unknown_model_costs_nothing_known() -> None:
    """Unknown is not zero."""
    found = scenario(None, None, Load(Fraction(1), 1, 1))
    assert (found.call, found.of_days(30)) == (None, None)


def test_a_cache_share_does_not_change_the_tier() -> None:
    """The tier is by all input tokens, cached or not: 200,001 x 2.5, half of it at 0.25 per million."""
    rate = {
        "input_tokens": {"per": MILLION, "price": "1.25", "tiers": [[200_000, "2.5"]]},
        "cache_read_tokens": {"per": MILLION, "price": "0.125", "tiers": [[200_000, "0.25"]]},
    }
    pro = make_card("google", "pro", "USD", rate, "test", "1")
    found = scenario(pro, None, Load(Fraction(1), 200_001, 0, cached_share=Fraction(1, 2)))
    assert found.call == Fraction(200_001 * 2500 + 200_001 * 250, 2)


SHARES = st.fractions(0, 1)


@given(SHARES, SHARES, st.integers(0, 10**6), st.integers(0, 10**6), st.fractions(0, 10**6))
def test_a_mix_lies_between_its_parts(
    cached: Fraction, batch: Fraction, sent: int, answered: int, calls: Fraction
) -> None:
    """No share makes a call dearer than the plain one or cheaper than all cached in batches; days add up."""
    found = scenario(MINI, BATCH, Load(calls, sent, answered, cached, batch))
    plain = sent * 150 + answered * 600
    assert found.call is not None
    assert sent * 75 + answered * 300 <= found.call <= plain
    assert whole_nano(found.call * calls * 30) == found.of_days(30)
