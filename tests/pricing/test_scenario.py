"""So many calls a day: the incident's weeks, shares mixed exactly, and what is said without a batch price."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.pricing.calculators.scenario import (
    Load,
    calls_per_day,
    exact_nano,
    over_week,
    scenario,
    whole_nano,
)
from costmon.pricing.catalog.layers import compiled
from costmon.pricing.lookup.show import Catalogue
from costmon.pricing.lookup.timetable import Share, week_shares, window_said, windows_of
from costmon.shim.cards import make_card
from costmon.shim.timestamps import from_iso

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


# --- prices that depend on the hour -------------------------------------------------------------------------


def at(text: str) -> int:
    found = from_iso(f"{text}+00:00")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(compiled(None))


SUNDAY, PEAK = at("2026-11-22T12:00:00"), at("2026-11-23T02:00:00")


@pytest.mark.parametrize("asked_at", [SUNDAY, PEAK])
def test_a_peak_counts_by_its_share_of_the_week(catalogue: Catalogue, asked_at: int) -> None:
    """deepseek-v4-pro: 4,000 x $0.66 + 1,000 x $1.98 per million = $0.00462 off-peak, twice that from 01 to 04 and from
    06 to 10 UTC on five days: 5/7 x 7/24 = 35/168 of the week.

    288 a day for 30 days: 8,640 x $0.00462 = $39.9168 off-peak, $79.8336 at the peak; spread evenly
    $39.9168 x (1 + 35/168) = $48.2328, whenever it is asked.
    """
    found = catalogue.find("deepseek-v4-pro", None, asked_at)
    assert found is not None
    shares = found.week_shares(asked_at)
    assert [one.share for one in shares] == [Fraction(133, 168), Fraction(35, 168)]
    load = Load(Fraction(288), 4000, 1000)
    result = found.cost_of(asked_at, load)
    assert result.call == 4_620_000 * (1 + Fraction(35, 168)) == 5_582_500
    assert result.of_days(30) == 48_232_800_000
    assert result.range_of_days(30) == (39_916_800_000, 79_833_600_000)
    (note,) = result.notes
    assert "Mon-Fri 01:00-04:00, Mon-Fri 06:00-10:00 UTC" in note
    assert "spread evenly over the week" in note


def test_the_rows_of_the_asked_date_count(catalogue: Catalogue) -> None:
    """In the week of National Day there was no peak; in the first week of it, one on all seven days (49/168)."""
    for day, shares in (
        ("2026-10-03", [Fraction(1)]),
        ("2026-08-20", [Fraction(119, 168), Fraction(49, 168)]),
    ):
        asked_at = at(f"{day}T12:00:00")
        found = catalogue.find("deepseek-v4-pro", None, asked_at)
        assert found is not None
        assert [one.share for one in found.week_shares(asked_at)] == shares
        assert (windows_of(found.entry, asked_at) == ()) == (len(shares) == 1)


@pytest.mark.parametrize(
    ("model", "day"), [("deepseek-v4-pro", "2026-11-23"), ("deepseek-chat", "2025-05-05")]
)
def test_shares_agree_with_every_half_hour_of_the_week(catalogue: Catalogue, model: str, day: str) -> None:
    """The mean of the cards a call would get from Monday 00:00 on, one each half hour."""
    usage = {"input_tokens": 4000, "output_tokens": 1000}
    monday = at(f"{day}T00:00:00")
    total = Fraction(0)
    for slot in range(336):
        card = catalogue.card("deepseek", model, monday + slot * 1800 * 1_000_000)
        assert card is not None
        total += exact_nano(card, usage)[0] or 0
    found = catalogue.find(model, "deepseek", monday)
    assert found is not None
    assert len(found.week_shares(monday)) == 2
    assert over_week(found.week_shares(monday), Load(Fraction(1), 4000, 1000)).call == total / 336


def test_hours_over_midnight_and_a_batch_price_of_their_own() -> None:
    """22:00 to 02:00 UTC is 4/24 at $1 instead of $2; the batch price of $0.5 holds all day. Half in batches:
    1/2 x (4/24 x 1 + 20/24 x 2) + 1/2 x 0.5 = 7/6 dollars."""
    entry = {
        "id": "m",
        "prices": [
            {"rates": {"input_tokens": "2"}},
            {"time": ["22:00", "02:00"], "rates": {"input_tokens": "1"}},
        ],
        "variants": [{"when": {"processing": "batch"}, "rates": {"input_tokens": "0.5"}}],
    }
    shares = week_shares(entry, "p", PEAK, ({}, {"processing": "batch"}), "test", "1")
    assert [one.share for one in shares] == [Fraction(20, 24), Fraction(4, 24)]
    found = over_week(shares, Load(Fraction(1), MILLION, 0, batch_share=Fraction(1, 2)))
    assert found.call == Fraction(7, 6) * NANO
    assert (found.low, found.high) == (Fraction(3, 4) * NANO, Fraction(5, 4) * NANO)


def test_hours_without_a_price_are_a_lower_bound() -> None:
    """Half of the week unpriced: the other half counts, and what is missing is named."""
    assert MINI is not None
    shares = (Share((MINI, MINI), Fraction(1, 2)), Share((None, None), Fraction(1, 2)))
    found = over_week(shares, Load(Fraction(1), 4000, 1000))
    assert (found.call, found.unpriced) == (600_000, ("hours of the week",))


def test_a_price_that_is_the_same_at_every_hour_is_as_before(catalogue: Catalogue) -> None:
    """No note, no range."""
    found = catalogue.find("gpt-4o-mini", None, SUNDAY)
    assert found is not None
    load = Load(Fraction(288), 4000, 1000)
    assert over_week(found.week_shares(SUNDAY), load) == scenario(found.card, None, load)
    assert window_said(found.entry, SUNDAY) == ""


spans = st.lists(
    st.tuples(st.integers(0, 10_079), st.integers(1, 10_080)).map(sorted).filter(lambda two: two[0] < two[1]),
    min_size=1,
    max_size=4,
)


@given(spans, spans)
def test_shares_are_the_whole_week(one: list[list[int]], other: list[list[int]]) -> None:
    """Whatever the windows are: nothing is counted twice, nothing left out, and each share is the minutes it has."""
    rows = [{"rates": {"input_tokens": "1"}}] + [
        {"week": week, "rates": {"input_tokens": price}} for week, price in ((one, "2"), (other, "3"))
    ]
    shares = week_shares({"id": "m", "prices": rows}, "p", PEAK, ({},), "test", "1")
    assert sum(part.share for part in shares) == 1
    minutes = {n for begin, end in other for n in range(begin, end)}
    dearest = [
        part.share for part in shares if part.cards[0] and part.cards[0].rates["input_tokens"]["price"] == "3"
    ]
    assert dearest == [Fraction(len(minutes), 10_080)]
