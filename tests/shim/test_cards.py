"""Rate cards: finding, resolving, pricing. Expected costs are worked out by hand beside each case."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon import paths
from costmon.shim import cards, catalogue, matching
from costmon.shim.timestamps import to_us

NOW = "2026-11-20T12:00:00"
CATALOG = os.path.join(paths.bundled("pricing"), "catalog.json")


def us(stamp: str) -> int:
    return to_us(datetime.fromisoformat(stamp).replace(tzinfo=UTC))


@cache
def catalog() -> dict[str, Any]:
    return catalogue.read_catalog(os.path.join(paths.bundled("pricing"), "catalog.json"))


@cache
def layers(provider: str) -> list[tuple[int, str, str, list[dict[str, Any]]]]:
    base = [(2, "genai-prices", "0.2.3", catalogue.models_of(catalog(), provider))]
    ours = catalog()["builtin"].get(provider)
    return ([(1, ours["source"], ours["version"], ours["models"])] if ours else []) + base


def card_of(provider: str, model: str, at: str = NOW, **context: str) -> cards.Card:
    card = cards.lookup(layers(provider), provider, model, us(at), context)
    assert card is not None
    return card


def entry(rates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "m", "match": {"equals": "m"}, "prices": [{"rates": rates}], **more}


def resolved(item: dict[str, Any], at: str = NOW, **context: str) -> cards.Card | None:
    return cards.resolve(item, "p", us(at), context, "user", "abcd1234")


def make(rates: dict[str, Any], **more: Any) -> cards.Card:
    card = resolved(entry(rates, **more))
    assert card is not None
    return card


GOLDEN = [
    # 4000 x 0.15/M + 1000 x 0.60/M = 0.0006 + 0.0006
    ("openai", "gpt-4o-mini", NOW, {"input_tokens": 4000, "output_tokens": 1000}, 1_200_000),
    # 3000 x 0.15/M + 1000 x 0.075/M + 1000 x 0.60/M = 0.00045 + 0.000075 + 0.0006
    (
        "openai",
        "gpt-4o-mini",
        NOW,
        {"input_tokens": 4000, "cache_read_tokens": 1000, "output_tokens": 1000},
        1_125_000,
    ),
    # One token at 0.075/M is 75 nano
    ("openai", "gpt-4o-mini", NOW, {"input_tokens": 1, "cache_read_tokens": 1, "output_tokens": 0}, 75),
    # The cut of o3: 1000 x 10/M + 1000 x 40/M, then 1000 x 2/M + 1000 x 8/M
    ("openai", "o3", "2025-06-09T23:59:59", {"input_tokens": 1000, "output_tokens": 1000}, 50_000_000),
    ("openai", "o3", "2025-06-10T00:00:00", {"input_tokens": 1000, "output_tokens": 1000}, 10_000_000),
    # 200,000 x 1.25/M + 1000 x 10/M = 0.25 + 0.01; one more token: 200,001 x 2.5/M + 1000 x 15/M
    ("google", "gemini-2.5-pro", NOW, {"input_tokens": 200_000, "output_tokens": 1000}, 260_000_000),
    ("google", "gemini-2.5-pro", NOW, {"input_tokens": 200_001, "output_tokens": 1000}, 515_002_500),
    # 100 plain x 3/M + 200 read x 0.3/M + 100 written for 5 minutes x 3.75/M + 200 written for an hour x 6/M
    # + 50 out x 15/M + 2 searches x 10/1000 = 0.0003 + 0.00006 + 0.000375 + 0.0012 + 0.00075 + 0.02
    (
        "anthropic",
        "claude-sonnet-4-5-20250929",
        NOW,
        {
            "input_tokens": 600,
            "output_tokens": 50,
            "cache_read_tokens": 200,
            "cache_write_tokens": 300,
            "cache_write_1h_tokens": 200,
            "web_searches": 2,
        },
        22_685_000,
    ),
    # 1M cache reads of Sonnet 5.5: 0.20 until 2026-10-07, 0.10 from then
    (
        "anthropic",
        "claude-sonnet-5-5",
        "2026-10-06T23:59:59",
        {"input_tokens": 10**6, "cache_read_tokens": 10**6, "output_tokens": 0},
        200_000_000,
    ),
    (
        "anthropic",
        "claude-sonnet-5-5-20260901",
        "2026-10-07T00:00:00",
        {"input_tokens": 10**6, "cache_read_tokens": 10**6, "output_tokens": 0},
        100_000_000,
    ),
    # mistral-large-latest: Large 2 (2/6) until 2025-12-02, Large 3 (0.5/1.5) from then
    (
        "mistral",
        "mistral-large-latest",
        "2025-12-01T23:59:59",
        {"input_tokens": 10**6, "output_tokens": 10**6},
        8_000_000_000,
    ),
    (
        "mistral",
        "mistral-large-latest",
        "2025-12-02T00:00:00",
        {"input_tokens": 10**6, "output_tokens": 10**6},
        2_000_000_000,
    ),
    # 1M x 0.02/M
    ("openai", "text-embedding-3-small", NOW, {"input_tokens": 10**6, "output_tokens": 0}, 20_000_000),
]


@pytest.mark.parametrize(("provider", "model", "at", "usage", "nano"), GOLDEN)
def test_cost_equals_the_hand_calculation(
    provider: str, model: str, at: str, usage: dict[str, int], nano: int
) -> None:
    """The cost shown is the provider's list price to the nano."""
    assert cards.price(card_of(provider, model, at), usage) == (nano, "priced", ())


def test_batch_and_flex_cost_their_own_price() -> None:
    """o3 in a batch costs half: 1000 x 1/M + 1000 x 4/M; cached input keeps its price."""
    usage = {"input_tokens": 1000, "output_tokens": 1000}
    batch = card_of("openai", "o3", processing="batch")
    assert cards.price(batch, usage).nano == 5_000_000
    assert dict(batch.context) == {"processing": "batch"}
    assert batch.rates["cache_read_tokens"]["price"] == "0.5"
    flex = card_of("openai", "o3", service_tier="flex")
    assert cards.price(flex, {**usage, "cache_read_tokens": 1000}).nano == 250_000 + 4_000_000


def test_anthropics_batch_tier_is_batch_processing() -> None:
    """A message from a batch, which Anthropic reports as service tier, is not charged in full."""
    card = card_of("anthropic", "claude-sonnet-5-5", service_tier="batch")
    assert cards.price(card, {"input_tokens": 10**6, "output_tokens": 10**6}).nano == 6_000_000_000
    assert card.unpriced == ()


@pytest.mark.parametrize("tier", ["default", "auto", "standard", "standard_only"])
def test_the_plain_tier_is_no_gap(tier: str) -> None:
    """A response that names the usual tier is fully priced, by the same card as one that names none."""
    for provider, model in [("openai", "gpt-4o"), ("anthropic", "claude-opus-4-5"), ("cohere", "command-a")]:
        card = card_of(provider, model, service_tier=tier)
        assert cards.price(card, {"input_tokens": 5, "output_tokens": 5}).status == "priced"
        assert card.hash == card_of(provider, model).hash


def test_a_tier_without_a_price_is_said() -> None:
    """Priority on a model without a priority price keeps the list price, marked as partly unpriced."""
    card = card_of("azure", "o3", service_tier="priority")
    priced = cards.price(card, {"input_tokens": 1000, "output_tokens": 1000})
    assert priced == (10_000_000, "partial", ("service_tier=priority",))
    assert card.hash == card_of("azure", "o3").hash


def test_unknown_model_has_no_card() -> None:
    """A model nobody knows is unknown, never a look-alike and never zero."""
    for model in ("gpt-99", "claude-opus-99", "gpt-4o-foo-bar", "", "x" * 100_000, "\x00[bold]"):
        assert cards.lookup(layers("openai"), "openai", model, us(NOW), {}) is None


def test_entry_without_prices_is_unknown() -> None:
    """A model that is listed without any price does not cost zero."""
    assert resolved(entry({})) is None
    assert cards.lookup(layers("google"), "google", "gemma-3", us(NOW), {}) is None


def test_explicit_zero_is_free() -> None:
    """A local model declared at 0 is free, whatever tier it claims."""
    item = entry({"input_tokens": "0", "output_tokens": "0"})
    card = resolved(item, service_tier="flex")
    assert card is not None
    assert cards.price(card, {"input_tokens": 10**6, "output_tokens": 10**6}) == (0, "free", ())
    assert cards.price(card, {"input_tokens": 1, "web_searches": 1}) == (0, "partial", ("web_searches",))


def test_reported_unit_without_a_price_is_partial() -> None:
    """Two web searches nobody has a price for: the tokens count, and the gap is named."""
    card = make({"input_tokens": "1", "output_tokens": "2"})
    usage = {"input_tokens": 1000, "output_tokens": 1000, "web_searches": 2}
    assert cards.price(card, usage) == (3_000_000, "partial", ("web_searches",))
    assert cards.price(card, {**usage, "web_searches": 0}).status == "priced"


def test_nothing_known_is_not_zero() -> None:
    """A call whose only reported unit has no price has no known cost at all."""
    assert cards.price(make({"input_tokens": "1"}), {"audio_seconds": 30}) == (
        None,
        "partial",
        ("audio_seconds",),
    )


def test_part_without_own_price_costs_what_the_whole_costs() -> None:
    """Audio tokens of a model that does not price them apart are input tokens."""
    card = make({"input_tokens": "1", "output_tokens": "2"})
    assert cards.price(card, {"input_tokens": 100, "input_audio_tokens": 60}) == (100_000, "priced", ())


def test_sums_and_reasoning_are_no_gap() -> None:
    """Reasoning is inside the output and the total is a sum: neither is charged twice nor called unpriced."""
    usage = {"input_tokens": 1000, "output_tokens": 1000, "reasoning_tokens": 900, "total_tokens": 2000}
    card = card_of("openai", "gpt-4o")
    assert cards.price(card, usage) == cards.price(card, {"input_tokens": 1000, "output_tokens": 1000})


def test_reasoning_with_its_own_price() -> None:
    """Where reasoning has its own price, it is taken out of the output: 100 x 2/M + 900 x 3/M."""
    card = make({"input_tokens": "1", "output_tokens": "2", "output_reasoning_tokens": "3"})
    usage = {"output_tokens": 1000, "reasoning_tokens": 900}
    assert cards.price(card, usage) == (200_000 + 2_700_000, "priced", ())


def test_contradicting_counts_are_clamped() -> None:
    """More cache reads than input: nothing is credited, nothing raises, and the cost is marked."""
    card = make({"input_tokens": "1", "cache_read_tokens": "0.5"})
    assert cards.price(card, {"input_tokens": 10, "cache_read_tokens": 30}) == (
        15_000,
        "partial",
        ("input_tokens",),
    )
    assert cards.price(card, {"input_tokens": -5}) == (0, "partial", ("input_tokens",))


def test_overlap_that_was_not_reported_is_marked() -> None:
    """Audio and cached tokens without cached audio may overlap; the cost says that it is not sure."""
    card = make(
        {
            "input_tokens": "1",
            "cache_read_tokens": "0.1",
            "input_audio_tokens": "10",
            "cache_audio_read_tokens": "2",
        }
    )
    priced = cards.price(card, {"input_tokens": 1000, "input_audio_tokens": 100, "cache_read_tokens": 100})
    assert priced == (800_000 + 10_000 + 1_000_000, "partial", ("cache_audio_read_tokens",))


def test_fee_per_request_counts_once_an_event() -> None:
    """A fee of $5 per 1,000 requests adds $0.005 to every call though no provider reports the count."""
    card = make({"input_tokens": "1", "requests": "5"})
    assert cards.price(card, {"input_tokens": 0}).nano == 5_000_000


def test_rounding_is_half_even_and_once() -> None:
    """Half a nano goes to the even side, and halves of two units add up before they are rounded."""
    card = make({"input_tokens": "0.0005", "output_tokens": "0.0005"})
    assert [cards.price(card, {"input_tokens": count}).nano for count in (1, 2, 3, 5)] == [0, 1, 2, 2]
    assert cards.price(card, {"input_tokens": 1, "output_tokens": 1}).nano == 1


def test_mixed_amounts_share_one_exact_sum() -> None:
    """Tokens per million, seconds per hour and searches per thousand add up without rounding between."""
    card = make({"input_tokens": "1", "audio_seconds": "0.36", "web_searches": "10"})
    priced = cards.price(card, {"input_tokens": 1, "audio_seconds": 1, "web_searches": 1})
    assert priced.nano == 1000 + 100_000 + 10_000_000


def test_dates_are_half_open_to_the_second() -> None:
    """A price holds from its first second up to, not including, its last day."""
    item = entry({})
    item["prices"] = [{"from": "2026-01-01", "until": "2026-02-01T12:00:00", "rates": {"input_tokens": "1"}}]
    at = ["2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-02-01T11:59:59", "2026-02-01T12:00:00"]
    assert [resolved(item, stamp) is not None for stamp in at] == [False, True, True, False]


def test_window_over_midnight() -> None:
    """An off-peak price from 16:30 to 00:30 holds across midnight and not at noon."""
    item = entry({})
    cheap = {"time": ["16:30", "00:30"], "rates": {"input_tokens": "1"}}
    item["prices"] = [{"rates": {"input_tokens": "2"}}, cheap]
    at = ["16:29:59", "16:30:00", "23:59:59", "00:00:00", "00:29:59", "00:30:00", "12:00:00"]
    found = [resolved(item, f"2026-11-20T{clock}") for clock in at]
    assert [card and card.rates["input_tokens"]["price"] for card in found] == [
        "2",
        "1",
        "1",
        "1",
        "1",
        "2",
        "2",
    ]


def test_first_layer_that_prices_the_instant_wins() -> None:
    """The user's price holds for its dates; outside them the list price does."""
    mine = entry({})
    mine["prices"] = [{"from": "2026-11-01", "rates": {"input_tokens": "9"}}]
    rows = [(0, "user", "abcd1234", [mine]), (2, "genai-prices", "0.2.3", [entry({"input_tokens": "1"})])]
    found = [cards.lookup(rows, "p", "M", us(at), {}) for at in ("2026-10-31", "2026-11-01")]
    assert [card and card.source for card in found] == ["genai-prices", "user"]


def test_compact_dates_are_read() -> None:
    """gpt-5.2-20251211, as gateways write it, is gpt-5.2-2025-12-11; an impossible date is left alone."""
    assert card_of("openai", "GPT-5.2-20251211").model == card_of("openai", "gpt-5.2-2025-12-11").model
    item = entry({"input_tokens": "1"}, match={"equals": "m-2025-02-28"})
    assert cards.find([item], "m-20250228") is item
    assert cards.find([item], "m-20250230") is None


def test_clauses() -> None:
    """Every kind of rule matches in any case of the model's name; an unknown kind matches nothing."""
    rules = {
        "equals": "abc",
        "starts_with": "ab",
        "ends_with": "bc",
        "contains": "b",
        "regex": "^a.c$",
        "in": ["x", "abc"],
        "or": [{"equals": "x"}, {"equals": "abc"}],
        "and": [{"starts_with": "a"}, {"ends_with": "c"}],
    }
    for kind, value in rules.items():
        assert cards.find([entry({}, match={kind: value})], "ABC")
        assert not cards.find([entry({}, match={kind: value})], "xyz")
    assert not cards.find([entry({}, match={"sounds_like": "abc"})], "abc")


LINES = [
    {"id": "a", "match": {"equals": "m-1"}},
    {"id": "b", "match": {"in": ["m-2", "m-20"]}},
    {"id": "c", "match": {"or": [{"equals": "m-1"}, {"starts_with": "m-3"}]}},
    {"id": 'quo"te', "match": {"equals": 'quo"te'}},
    {"id": "é", "match": {"in": ["é"]}},
    {"id": "d", "match": {"regex": "^m-[45]$"}},
    {"id": "alias", "match": {"equals": "m-6"}, "alias": ["p", "m-1"]},
    {"id": "*", "match": {"starts_with": ""}},
]


@given(
    st.sampled_from(["m-1", "M-2", "m-20", "m-3x", "m-4", "m-6", "é", 'quo"te', "m", "back\\slash", ""])
    | st.text()
)
def test_entries_read_one_by_one_are_the_same(model: str) -> None:
    """Skipping the lines that name others finds what reading them all finds, for any name."""
    lazy = matching.Models(catalogue.models_json(LINES))
    assert cards.find(lazy, model) == cards.find(LINES, model)
    assert list(lazy) == LINES


def test_every_name_is_found_without_reading_all() -> None:
    """Over the real catalogue: the same entry for each id of each provider, with and without reading all."""
    for provider, _, _, _, text in catalogue.seed_rows(CATALOG):
        whole = json.loads(text)
        lazy = matching.Models(text)
        for entry in whole[:: max(1, len(whole) // 40)]:
            assert cards.find(lazy, entry["id"]) == cards.find(whole, entry["id"]), (provider, entry["id"])


@pytest.mark.parametrize(
    "pattern",
    ["^gpt-6\\.1-sol-\\d{4}$", "^a|b", "^ab?c", "^ab*", "^a{2}", "b$", "^", "^(?!x)a", "^A", "^a.c"],
)
@given(text=st.text("abc-.16gptsol0", max_size=16) | st.just("gpt-6.1-sol-2026"))
def test_patterns_need_not_be_compiled_to_be_ruled_out(pattern: str, text: str) -> None:
    """Comparing the plain letters at the start first changes no answer."""
    assert cards.matches({"regex": pattern}, text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    ("provider", "model", "known", "names"),
    [
        ("openai", "gpt-4o", True, ["openai gpt-4o"]),
        ("openai", "openai/gpt-4o", True, ["openai openai/gpt-4o", "openai gpt-4o"]),
        ("proxy", "azure/gpt-4o", False, ["proxy azure/gpt-4o", "azure gpt-4o", "proxy gpt-4o"]),
        ("proxy", "azure/eu/gpt-4o", False, ["proxy azure/eu/gpt-4o", "azure eu/gpt-4o"]),
        ("aws", "us-gov-west-1/m", True, ["aws us-gov-west-1/m"]),
        ("google", "models/g", True, ["google models/g", "google g"]),
        (
            "proxy",
            "openrouter/openai/gpt-4o",
            False,
            [
                "proxy openrouter/openai/gpt-4o",
                "openrouter openai/gpt-4o",
                "openrouter gpt-4o",
                "proxy gpt-4o",
            ],
        ),
        ("p", "a/", True, ["p a/"]),
        ("p", "/", False, ["p /"]),
    ],
)
def test_names_a_model_may_be_listed_under(provider: str, model: str, known: bool, names: list[str]) -> None:
    """As named, where its prefix leads, without its path; a region is never left out."""
    assert [" ".join(pair) for pair in matching.names_of(provider, model, known=known)] == names


def test_aliases_lead_on_and_circles_to_nothing() -> None:
    """An alias stands for another name, through several steps and providers; a circle is unknown, at once."""
    priced = entry({"input_tokens": "1"})
    alias = {"id": "a", "match": {"equals": "a"}, "alias": ["q", "b"]}
    rows = {
        "p": [(0, "user", "1", [alias])],
        "q": [(0, "user", "1", [{**alias, "match": {"equals": "b"}, "alias": ["r", "x/m"]}])],
        "r": [(0, "user", "1", [priced])],
        "s": [(0, "user", "1", [{**alias, "alias": ["s", "a"]}])],
    }

    def found(provider: str, model: str) -> cards.Card | None:
        return cards.find_card(lambda name: rows.get(name, []), provider, model, us(NOW), {})

    card = found("p", "a")
    assert card is not None
    assert (card.provider, card.model) == ("r", "m")
    assert found("s", "a") is None
    assert found("p", "other") is None


def test_graduated_steps_of_parts() -> None:
    """A threshold need not be a whole number of what the rate is per: half a million tokens free, then 4 per million."""
    card = make({"input_tokens": {"price": "0", "graduated": [["0.5", "4"]]}})
    assert cards.price(card, {"input_tokens": 500_000}).nano == 0
    assert cards.price(card, {"input_tokens": 500_001}).nano == 4000
    assert not card.plan.free


def test_a_card_needs_no_openssl() -> None:
    """A process that has not loaded hashlib gets the same hash without it."""
    code = (
        "import sys\nfrom costmon.shim import cards\n"
        "card = cards.make_card('p', 'm', 'USD', {'input_tokens': {'per': 1, 'price': '1'}}, 's', '1')\n"
        "print(card.hash, 'hashlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    card = cards.make_card("p", "m", "USD", {"input_tokens": {"per": 1, "price": "1"}}, "s", "1")
    assert card is not None
    assert done.stdout == f"{card.hash} False\n"


def test_card_says_what_it_is() -> None:
    """A price version names source, version and exactly one card; the card's JSON explains it later."""
    card = card_of("openai", "gpt-4o")
    assert cards.price_version(card) == f"genai-prices@0.2.3:{card.hash}"
    assert card.canonical == (
        '{"context":{},"currency":"USD","model":"gpt-4o","provider":"openai","rates":{'
        '"cache_read_tokens":{"per":1000000,"price":"1.25"},"input_tokens":{"per":1000000,"price":"2.5"},'
        '"output_tokens":{"per":1000000,"price":"10"},"storage_searches":{"per":1000,"price":"2.5"},'
        '"web_searches":{"per":1000,"price":"10"}}}'
    )


def test_dearest_is_a_text_model_on_the_present_list() -> None:
    """What an unknown Claude is assumed to cost is a model on sale, not a retired Opus at 15/75."""
    found = {
        name: catalogue.dearest(catalogue.models_of(catalog(), name), name, us(NOW), "s", "v")
        for name in ("anthropic", "openai", "mistral", "elevenlabs")
    }
    assert {name: card and card.model for name, card in found.items()} == {
        "anthropic": "claude-fable-5-1",
        "openai": "o1-pro",
        "mistral": "mistral-medium-latest",
        "elevenlabs": None,
    }


def test_seed_has_every_provider_and_fallbacks() -> None:
    """An app that starts before costmon ever ran is priced, Azure's OpenAI models included."""
    rows = catalogue.seed_rows(os.path.join(paths.bundled("pricing"), "catalog.json"))
    assert {(name, layer) for name, layer, *_ in rows} >= {("openai", 2), ("azure", 2), ("anthropic", 1)}
    assert len({(name, layer) for name, layer, *_ in rows}) == len(rows)
    assert card_of("azure", "gpt-4o").rates["input_tokens"]["price"] == "2.5"


def test_a_broken_catalogue_is_a_value_error(tmp_path: Any) -> None:
    """Whoever seeds the ledger can report a damaged catalogue in one line."""
    for text in ("", "[]", '{"schema": 2, "providers": {}}', '{"schema": 1'):
        path = tmp_path / "catalog.json"
        path.write_text(text)
        with pytest.raises(ValueError):
            catalogue.seed_rows(str(path))


counts = st.integers(min_value=0, max_value=10**12)
units_reported = st.dictionaries(
    st.sampled_from([*sorted(cards.units()), "total_tokens", "reasoning_tokens", "made_up"]),
    st.integers(min_value=-10, max_value=10**12),
)
prices_text = st.decimals(min_value=0, max_value=1000, places=9).map(lambda d: f"{d:f}")


@given(
    usage=units_reported,
    rates=st.dictionaries(st.sampled_from(sorted(cards.units())), prices_text, min_size=1),
)
def test_price_is_never_negative_and_never_raises(usage: dict[str, int], rates: dict[str, str]) -> None:
    """Whatever a provider reports, the host gets a cost of 0 or more, or a named gap."""
    priced = cards.price(make(rates), usage)
    assert priced.nano is None or priced.nano >= 0
    assert (priced.status == "partial") == bool(priced.unpriced_units)


@given(a=counts, b=counts, c=counts, d=counts)
def test_costs_add_up_below_tiers(a: int, b: int, c: int, d: int) -> None:
    """Two calls cost what one call of their sum costs (gpt-4o: whole nano a token, no tier)."""
    card = card_of("openai", "gpt-4o")
    one, two = {"input_tokens": a, "output_tokens": b}, {"input_tokens": c, "output_tokens": d}
    both = {"input_tokens": a + c, "output_tokens": b + d}
    nanos = [cards.price(card, usage).nano for usage in (one, two, both)]
    assert nanos == [2500 * a + 10_000 * b, 2500 * c + 10_000 * d, 2500 * (a + c) + 10_000 * (b + d)]


@given(rates=st.dictionaries(st.sampled_from(sorted(cards.units())), prices_text, min_size=1))
def test_card_hash_ignores_order_and_trailing_zeros(rates: dict[str, str]) -> None:
    """2.5 and 2.50 are one card, in whatever order a file lists its units; another price is another card."""
    plain = {key: text.rstrip("0").rstrip(".") or "0" for key, text in reversed(rates.items())}
    assert make(rates).hash == make(plain).hash
    key = next(iter(rates))
    dearer = {**rates, key: f"{int(rates[key].partition('.')[0]) + 1}.{rates[key].partition('.')[2]}"}
    assert make(rates).hash != make(dearer).hash
