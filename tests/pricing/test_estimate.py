"""What a call will cost: the arithmetic written out, and what is said when something is not known."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from costmon.pricing.calculators.estimate import Band, Call, estimate, exactly, output_band
from costmon.shim.cards import Card, make_card
from costmon.shim.money import Rate

MILLION = 1_000_000


def card(currency: str = "USD", unpriced: tuple[str, ...] = (), **prices: Any) -> Card:
    """A card in units per million; a price may be (base, (above, price))."""
    rates: dict[str, Any] = {}
    for name, price in prices.items():
        base, *tiers = (price,) if isinstance(price, str) else price
        rates[f"{name}_tokens"] = {"per": MILLION, "price": base}
        if tiers:
            rates[f"{name}_tokens"]["tiers"] = [list(tier) for tier in tiers]
    made = make_card("openai", "m", currency, rates, "test", "1", unpriced=unpriced)
    assert made is not None
    return made


MINI = card(input="0.15", output="0.6", cache_read="0.075")


def test_the_incidents_call() -> None:
    """4,000 x $0.15 + 1,000 x $0.60 per million = $0.0006 + $0.0006 = $0.0012."""
    found = estimate(MINI, Call(exactly(4000), exactly(1000)))
    assert found.cost == Band(1_200_000, 1_200_000, 1_200_000)
    assert (found.status, found.currency, found.unpriced, found.notes) == ("priced", "USD", (), ())


def test_cache_reads_are_part_of_the_input() -> None:
    """3,000 x 0.15 + 1,000 x 0.075 = 450 + 75 = 525 dollars per million calls of one token each: $0.000525."""
    found = estimate(MINI, Call(exactly(4000), exactly(0), cached=1000))
    assert found.cost == exactly(525_000)


def test_an_uncertain_count_makes_a_band() -> None:
    """700, 1,000 and 1,300 input tokens at $0.15 per million: $0.000105, $0.00015, $0.000195."""
    found = estimate(MINI, Call(Band(700, 1000, 1300), exactly(0)))
    assert found.cost == Band(105_000, 150_000, 195_000)


def test_a_band_over_a_tier() -> None:
    """At 200,000 tokens the first price counts, above it the second for all: 0.25 and 0.500005 dollars."""
    pro = card(input=("1.25", (200_000, "2.5")), output=("10", (200_000, "15")))
    found = estimate(pro, Call(Band(200_000, 200_001, 200_002), exactly(0)))
    assert found.cost == Band(250_000_000, 500_002_500, 500_005_000)


def test_an_unknown_model_has_no_cost() -> None:
    """Nothing is never shown as zero."""
    found = estimate(None, Call(exactly(1), exactly(1)))
    assert (found.cost, found.status) == (None, "unknown")
    assert found.in_currency(Rate(1385, 1)) is None


def test_a_part_without_a_price_is_named() -> None:
    """An embedding has no price for output; asked for output, the sum is a lower bound."""
    found = estimate(card(input="0.02"), Call(exactly(MILLION), exactly(5)))
    assert (found.cost, found.status, found.unpriced) == (exactly(20_000_000), "partial", ("output_tokens",))


def test_a_model_not_priced_by_tokens_says_by_what() -> None:
    """Whisper's price is by the hour of audio: 4,000 tokens of it have no price."""
    whisper = make_card("openai", "w", "USD", {"audio_seconds": {"per": 3600, "price": "0.36"}}, "test", "1")
    found = estimate(whisper, Call(exactly(4000), exactly(0)))
    assert (found.cost, found.status) == (None, "unknown")
    assert found.notes == ("it is not priced by input tokens but by audio_seconds",)


def test_no_batch_price_is_said_and_the_list_price_counts() -> None:
    """A batch price that does not exist is never half of anything."""
    plain = card(input="1", output="2", unpriced=("processing=batch",))
    found = estimate(plain, Call(exactly(MILLION), exactly(0)))
    assert found.cost == exactly(1_000_000_000)
    assert found.unpriced == ("processing=batch",)
    assert found.notes == ("no batch price is known; this is the list price",)


def test_cache_reads_without_a_price_count_as_input() -> None:
    """1,000 tokens at $1 per million, cached or not."""
    found = estimate(card(input="1", output="2"), Call(exactly(1000), exactly(0), cached=400))
    assert found.cost == exactly(1_000_000)
    assert found.notes == ("no price for cache reads is known; they count as plain input",)


def test_what_is_assumed_of_the_output() -> None:
    """The assumption is stated, and a limit on the answer bounds it."""
    assert output_band(MINI, None, 1000)[0] == exactly(1000)
    assert "1,000 output tokens are assumed" in output_band(MINI, None, 1000)[1]
    assert output_band(MINI, 300, 1000)[0] == Band(0, 300, 300)
    assert output_band(MINI, 4000, 1000)[0] == Band(0, 1000, 4000)
    assert output_band(card(input="0.02"), None, 1000) == (exactly(0), "")


def test_in_another_currency() -> None:
    """$0.0012 at 1,385.2 won is ₩1.66224."""
    found = estimate(MINI, Call(exactly(4000), exactly(1000)))
    assert found.in_currency(Rate(13852, 10)) == exactly(1_662_240_000)


COUNTS = st.integers(0, 10**7)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_best_lies_between_low_and_high(low: int, more: int, most: int, cached: int) -> None:
    """Also where prices fall above a tier."""
    falling = card(input=("4", (1000, "1")), output="2", cache_read="3")
    band = Band(low, low + more, low + more + most)
    cost = estimate(falling, Call(band, exactly(7), cached)).cost
    assert cost is not None
    assert 0 <= cost.low <= cost.best <= cost.high
