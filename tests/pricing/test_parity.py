"""The shim's cards against genai-prices itself: each model, date, context, window and tier of its table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.types import ModelInfo, Provider, TieredPrices

from costmon import paths
from costmon.shim import cards, catalogue
from costmon.shim.timestamps import to_us

SPELLING_PARTS = 5
CATALOG = os.path.join(paths.bundled("pricing"), "catalog.json")
pytestmark = pytest.mark.skipif(
    catalogue.read_catalog(CATALOG)["version"] != version("genai-prices"),
    reason="another genai-prices is installed than catalog.json was built from: run `costmon prices build`",
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
# genai-prices bills these for at least 10 seconds of audio, in code, not in its table.
MINIMUM = {("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")}
Case = tuple[str, str, datetime, dict[str, str], dict[str, int]]


@cache
def layers() -> dict[str, Any]:
    rows = catalogue.seed_rows(CATALOG)
    return {name: [(2, "g", "v", json.loads(models))] for name, layer, _, _, models in rows if layer == 2}


def shim_card(provider: str, model: str, at: datetime, context: dict[str, str]) -> cards.Card | None:
    return cards.lookup(layers()[provider], provider, model, to_us(at), context)


def expected(case: Case) -> int | None:
    """Nano USD by genai-prices; None when it does not know the model."""
    provider, model, at, context, usage = case
    try:
        total = calc_price(
            Usage(**usage), model, provider_id=provider, genai_request_timestamp=at, price_context=context
        ).total_price
    except LookupError:
        return None
    return int(total.quantize(Decimal("1e-9"), rounding=ROUND_HALF_EVEN).scaleb(9))


def differences(cases: list[Case]) -> list[tuple[Case, int | None, int | None]]:
    found = []
    for case in cases:
        provider, model, at, context, usage = case
        card = shim_card(provider, model, at, context)
        nano = None if card is None else cards.price(card, usage).nano
        wanted = expected(case)
        # Where nothing reported has a price, genai-prices says 0 and costmon that it does not know.
        if nano != wanted and not (nano is None and wanted == 0):
            found.append((case, nano, wanted))
    return found


def full_usage(card: cards.Card, extra: int = 0) -> dict[str, int]:
    """A consistent usage with something in every unit the card prices (and `extra` more plain input)."""
    table = cards.units()
    own = {key: 1009 + 97 * i for i, key in enumerate(sorted(card.rates)) if key != "requests"}
    if "input_tokens" in own:
        own["input_tokens"] += extra
    return {
        key: sum(count for part, count in own.items() if table[key].words <= table[part].words) for key in own
    }


def models() -> Iterator[tuple[Provider, ModelInfo]]:
    for provider in providers:
        for model in provider.models:
            if (provider.id, model.id) not in MINIMUM:
                yield provider, model


def with_full_usage(provider: str, model: str, at: datetime, context: dict[str, str]) -> list[Case]:
    card = shim_card(provider, model, at, context)
    return [] if card is None else [(provider, model, at, context, full_usage(card))]


def test_units_are_those_of_genai_prices() -> None:
    """A unit genai-prices adds or renames is noticed before it is priced wrong."""
    table = {key: unit for key, unit in cards.units().items() if "resource" not in unit.words}
    assert {key: raw["per"] for key, raw in unit_data.items()} == {
        key: unit.per for key, unit in table.items()
    }
    dimensions = {key: set(raw["dimensions"].items()) for key, raw in unit_data.items()}
    for one in table:
        for other in table:
            assert (dimensions[one] <= dimensions[other]) == (table[one].words <= table[other].words), (
                one,
                other,
            )


def test_every_model_of_the_base() -> None:
    """Each of the 2,330 models costs to the nano what genai-prices says, or is unknown to both."""
    cases: list[Case] = []
    for provider, model in models():
        card = shim_card(provider.id, model.id, NOW, {})
        usage = {"input_tokens": 1_234_567, "output_tokens": 76_543}
        if card is not None and "cache_read_tokens" in card.rates:
            usage["cache_read_tokens"] = 54_321
        cases.append((provider.id, model.id, NOW, {}, usage))
        cases += with_full_usage(provider.id, model.id, NOW, {})
    assert len(cases) > 4000
    assert differences(cases) == []


def test_every_dated_row() -> None:
    """The second before and the first second of every price change in the table."""
    cases: list[Case] = []
    for provider, model in models():
        rows = [*(model.prices if isinstance(model.prices, list) else []), *(model.price_variants or [])]
        for row in rows:
            start = getattr(row.constraint, "start_date", None)
            if start is not None:
                first = datetime.combine(start, time(), tzinfo=UTC)
                context = getattr(row, "when", {})
                for at in (first - SECOND, first):
                    cases += with_full_usage(provider.id, model.id, at, dict(context))
    assert len(cases) >= 400
    assert differences(cases) == []


def test_every_time_of_day() -> None:
    """Both edges of every off-peak window."""
    cases: list[Case] = []
    for provider, model in models():
        for row in model.prices if isinstance(model.prices, list) else []:
            for edge in (
                getattr(row.constraint, "start_time", None),
                getattr(row.constraint, "end_time", None),
            ):
                if edge is not None:
                    moment = datetime.combine(NOW.date(), edge)
                    for at in (moment - SECOND, moment):
                        cases += with_full_usage(provider.id, model.id, at, {})
    assert len(cases) >= 30
    assert differences(cases) == []


def test_every_context() -> None:
    """Batch, flex, priority, fast and the rest, where a model has them and where it has not."""
    cases: list[Case] = []
    tiers = [{"service_tier": name} for name in ("default", "flex", "priority", "fast", "no such tier")]
    for provider, model in models():
        if model.price_variants or provider.fallback_model_providers:
            own = [dict(variant.when) for variant in model.price_variants or []]
            for context in [
                *own,
                *tiers,
                {"processing": "batch"},
                {"processing": "batch", "service_tier": "flex"},
            ]:
                cases += with_full_usage(provider.id, model.id, NOW, context)
    assert len(cases) >= 1000
    assert differences(cases) == []


def test_fallbacks_have_no_variants() -> None:
    """A model Azure serves without a price list of its own costs the maker's standard price in every tier."""
    azure = next(provider for provider in providers if provider.id == "azure")
    openai = next(provider for provider in providers if provider.id == "openai")
    cases: list[Case] = []
    for model in openai.models:
        if azure.find_model(model.id) is None:
            for context in ({}, {"service_tier": "flex"}, {"processing": "batch"}):
                cases += with_full_usage("azure", model.id, NOW, context)
    assert len(cases) >= 200
    assert differences(cases) == []


def test_every_tier() -> None:
    """At each threshold of input and one token past it."""
    cases: list[Case] = []
    for provider, model in models():
        prices = model.get_prices(NOW)
        starts = {
            tier.start
            for value in vars(prices).values()
            if isinstance(value, TieredPrices)
            for tier in value.tiers
        }
        card = shim_card(provider.id, model.id, NOW, {})
        for start in sorted(starts) if card else []:
            assert card is not None
            short = start - full_usage(card)["input_tokens"]
            cases += [(provider.id, model.id, NOW, {}, full_usage(card, short + more)) for more in (0, 1)]
    assert len(cases) >= 150
    assert differences(cases) == []


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, SPELLING_PARTS))]
)
def test_names_in_any_spelling(part: int) -> None:
    """Upper case, compact dates and suffixes find what genai-prices finds, and nothing else."""
    cases: list[Case] = []
    usage = {"input_tokens": 1000, "output_tokens": 100}
    for provider, model in list(models())[part::SPELLING_PARTS]:
        for name in (
            model.id.upper(),
            f"{model.id}-20260301",
            f"{model.id}-2026-03-01",
            f"{model.id}@x",
            model.id[:-1],
        ):
            cases.append((provider.id, name, NOW, {}, usage))
    assert differences(cases) == []
