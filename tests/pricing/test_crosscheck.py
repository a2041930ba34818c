"""The cross-check's comparison, on a table of two models."""

from __future__ import annotations

from decimal import Decimal

from costmon.pricing.catalog.layers import compiled
from costmon.pricing.lookup.show import Catalogue
from tests.pricing.crosscheck import Difference, Verdict, compare, verdict_of

TABLE = {
    "gpt-4o": {
        "litellm_provider": "openai",
        "input_cost_per_token": Decimal("0.0000025"),
        "output_cost_per_token": Decimal("0.00002"),  # twice the price
        "cache_read_input_token_cost": Decimal("0.00000125"),
        "output_cost_per_reasoning_token": Decimal("0.00001"),
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "gemini",
        "input_cost_per_token_above_200k_tokens": Decimal("0.0000025"),
        "input_cost_per_token_flex": Decimal("0.0000001"),  # no price of ours
        "output_cost_per_token_above_200k_tokens": 0,  # says nothing
    },
    "gpt-99": {"litellm_provider": "openai", "input_cost_per_token": Decimal(1)},
    "house/model": {"litellm_provider": "somebody", "input_cost_per_token": Decimal(1)},
}


def test_two_models_compared() -> None:
    """Same prices are counted, a different and a missing one are listed, and so are models of one side only."""
    found = compare(TABLE, Catalogue(compiled(None)))
    assert found.same == 4
    assert found.differences == [
        Difference("openai", "gpt-4o", "output_cost_per_token", Decimal(10), Decimal(20), "gpt-4o"),
        Difference(
            "google",
            "gemini-2.5-pro",
            "input_cost_per_token_flex",
            None,
            Decimal("0.1"),
            "gemini/gemini-2.5-pro",
        ),
    ]
    assert found.missing == [("openai", "gpt-99")]
    assert ("openai", "gpt-4o-mini") in found.absent
    assert ("openai", "gpt-4o") not in found.absent


def test_verdicts_are_by_pattern_and_the_first_holds() -> None:
    """A difference that no pattern fits is not judged."""
    one = Difference("openai", "gpt-4o", "output_cost_per_token", Decimal(10), Decimal(20), "gpt-4o")
    verdicts = (Verdict("openai", "gpt-4*", "output*", "ours"), Verdict("*", "*", "*", "undecided"))
    assert verdict_of(one, verdicts) == "ours"
    assert verdict_of(one._replace(key="input_cost_per_token"), verdicts) == "undecided"
    assert verdict_of(one, (Verdict("azure", "*", "*", "ours"),)) is None
