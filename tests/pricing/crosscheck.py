"""`python -m tests.pricing.crosscheck [TABLE.json]`: our prices beside litellm's bundled table, with verdicts.

A developer's check: it needs litellm installed, and reads its JSON file without importing it. A difference nobody has
judged makes it exit with 1. litellm's table is no authority: it has no dates, and it forgets retired models.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any, NamedTuple

from costmon.pricing.catalog.layers import compiled
from costmon.pricing.lookup.show import Catalogue
from costmon.shim.timestamps import to_us
from costmon.shim.units import units

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)  # noon UTC: no provider's peak
TABLE = "model_prices_and_context_window_backup.json"
Table = Mapping[str, Mapping[str, Any]]


class Field(NamedTuple):
    """A price in both tables: their key; our unit, context, and a number of input tokens it is asked for."""

    key: str
    unit: str
    context: Mapping[str, str] = {}
    size: int = 1


class Difference(NamedTuple):
    """One price that differs, per million tokens (or our unit's usual amount); `ours` is None where we have none, and
    `part` says that it is the price of the whole, for want of one for the part."""

    provider: str
    model: str
    key: str
    ours: Decimal | None
    theirs: Decimal
    name: str
    part: bool = False


class Outcome(NamedTuple):
    """`same` and the differences count prices; `absent` lists models that we have and they do not, `missing` theirs that we
    have not, at the providers both know."""

    same: int
    differences: list[Difference]
    absent: list[tuple[str, str]]
    missing: list[tuple[str, str]]


_BATCH = {"processing": "batch"}
_FLEX = {"service_tier": "flex"}
_PRIORITY = {"service_tier": "priority"}
_TEXT = (
    ("input_cost_per_token", "input_tokens"),
    ("output_cost_per_token", "output_tokens"),
    ("cache_read_input_token_cost", "cache_read_tokens"),
    ("cache_creation_input_token_cost", "cache_write_tokens"),
)
_SUFFIXES: tuple[tuple[str, Mapping[str, str], int], ...] = (
    ("", {}, 1),
    ("_batches", _BATCH, 1),
    ("_flex", _FLEX, 1),
    ("_priority", _PRIORITY, 1),
    ("_above_128k_tokens", {}, 128_001),
    ("_above_200k_tokens", {}, 200_001),
    ("_above_256k_tokens", {}, 256_001),
    ("_above_272k_tokens", {}, 272_001),
    ("_above_200k_tokens_priority", _PRIORITY, 200_001),
    ("_above_272k_tokens_priority", _PRIORITY, 272_001),
)
FIELDS = (
    *(Field(key + suffix, unit, context, size) for suffix, context, size in _SUFFIXES for key, unit in _TEXT),
    Field("cache_creation_input_token_cost_above_1hr", "cache_write_1h_tokens"),
    Field("input_cost_per_audio_token", "input_audio_tokens"),
    Field("output_cost_per_audio_token", "output_audio_tokens"),
    Field("input_cost_per_image_token", "input_image_tokens"),
    Field("output_cost_per_image_token", "output_image_tokens"),
    Field("output_cost_per_reasoning_token", "output_reasoning_tokens"),
    Field("input_cost_per_character", "input_characters"),
    Field("ocr_cost_per_page", "input_document_pages"),
    Field("input_cost_per_query", "rerank_searches"),
)
# litellm's labels where both name the same seller; the rest of its 150 sell what we do not price.
PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "elevenlabs": "elevenlabs",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "meta_llama": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "together_ai": "together",
    "vertex_ai-anthropic_models": "google",
    "vertex_ai-language-models": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "zai": "zai",
}


def compare(table: Table, catalogue: Catalogue) -> Outcome:
    """Each price of `table` (litellm's format) that we have a card for, beside ours at `AT`."""
    same, differences, missing = 0, [], []
    seen: set[tuple[str, str]] = set()
    for name, theirs in table.items():
        provider = PROVIDERS.get(str(theirs.get("litellm_provider")))
        if provider is None:
            continue
        model = _bare(name, str(theirs["litellm_provider"]))
        card = catalogue.card(provider, model, to_us(AT))
        if card is None:
            missing.append((provider, model))
            continue
        seen.add((card.provider, card.model))
        for field in FIELDS:
            price = theirs.get(field.key)
            if price is None or (not price and field.size > 1):
                continue
            listed = Decimal(str(price)) * units()[field.unit].per
            own, part = _own(catalogue, provider, model, field)
            if own is not None and abs(own - listed) <= Decimal("1e-6"):
                same += 1
            elif own is not None or listed:
                one = Difference(provider, card.model, field.key, own, listed.normalize(), name, part)
                differences.append(one)
    return Outcome(same, differences, sorted(_listed(catalogue) - seen), missing)


def _own(catalogue: Catalogue, provider: str, model: str, field: Field) -> tuple[Decimal | None, bool]:
    """(our price of one unit's usual amount, whether it is the whole's); a part without a price costs what its whole
    does."""
    card = catalogue.card(provider, model, to_us(AT), field.context)
    if card is None or any(f"{key}={value}" in card.unpriced for key, value in field.context.items()):
        return None, False
    words = units()[field.unit].words
    wholes = [key for key in card.rates if units()[key].words <= words]
    if not wholes:
        return None, False
    nearest = max(wholes, key=lambda key: len(units()[key].words))
    rate = card.rates[nearest]
    tiers = [price for above, price in rate.get("tiers", ()) if field.size > above]
    return Decimal((tiers or [rate["price"]])[-1]), nearest != field.unit


def _bare(name: str, label: str) -> str:
    """litellm's name without its own label in front."""
    return name.removeprefix(f"{label}/").removeprefix(f"{label.partition('-')[0]}/")


def _listed(catalogue: Catalogue) -> set[tuple[str, str]]:
    """(provider, model) of all cards we have at the providers both know."""
    found = set()
    for provider in set(PROVIDERS.values()):
        for _, _, _, models in catalogue.layers(provider):
            found |= {(provider, entry["id"]) for entry in models if "alias" not in entry}
    return found


class Verdict(NamedTuple):
    """Who is right about the differences that the patterns match (provider, our model's id, litellm's key) and the test
    holds for."""

    provider: str
    model: str
    key: str
    verdict: str
    test: Callable[[Difference], bool] = lambda found: True

    def fits(self, found: Difference) -> bool:
        return (
            fnmatchcase(found.provider, self.provider)
            and fnmatchcase(found.model, self.model)
            and fnmatchcase(found.key, self.key)
            and self.test(found)
        )


def _is_rounding(found: Difference) -> bool:
    return found.ours is not None and abs(found.ours - found.theirs) <= max(found.ours, found.theirs) / 100


STALE = "theirs: older tables only; litellm 1.109.1 no longer says so"
VERDICTS = (
    Verdict("*", "*", "*", "same: but for rounding or the dust of a float", _is_rounding),
    Verdict(
        "*",
        "*",
        "*",
        "ours: no price, so that such a call counts as partial; none is guessed",
        lambda found: found.ours is None,
    ),
    Verdict(
        "*",
        "*",
        "*",
        "ours: they write 0 for what has no price of its own",
        lambda found: not found.theirs,
    ),
    Verdict(
        "*",
        "*",
        "cache_*",
        "undecided: genai-prices has no price for cache traffic of this model, so ours is that of plain input",
        lambda found: found.part,
    ),
    Verdict("deepseek", "deepseek-v4-*", "*", "ours: theirs is the price of the peak hours at all hours"),
    Verdict("deepseek", "*", "*", "undecided: retired models, whose whole history nobody has"),
    Verdict("mistral", "mistral-large-4", "*", "ours: the price was cut again on 2026-10-29"),
    Verdict(
        "mistral", "magistral-medium*", "*", "undecided: where the alias points to is not known for sure"
    ),
    Verdict(
        "mistral", "*nemo*", "*", "undecided: 0.15 here, 0.30 there, and the vendor's page could not be read"
    ),
    Verdict("mistral", "*", "*", STALE),
    Verdict(
        "anthropic",
        "claude-3-*",
        "*_above_1hr",
        "theirs: an hour costs twice the input price, also for these",
    ),
    Verdict("openai", "gpt-4o*-transcribe*", "*_audio_token", "ours: theirs is the price of text"),
    Verdict("openai", "gpt-4o-mini-tts", "output*", "ours: theirs is not the price of audio"),
    Verdict("openai", "gpt-4o-mini-tts", "*", STALE),
    Verdict("openai", "gpt-5.4*", "*", STALE),
    Verdict("openai", "chatgpt-image-latest", "*", STALE),
    Verdict("openai", "ft:*", "*", "undecided: cached input of fine-tuned models"),
    Verdict(
        "openai",
        "gpt-4o*",
        "cache_read*",
        "undecided: cached input of fine-tuned models",
        lambda found: found.name.startswith("ft:"),
    ),
    Verdict("openai", "gpt-5.6-cyber", "*_above_*", "undecided: only they have a second tier"),
    Verdict("x-ai", "grok-4*fast*", "*_above_128k_*", "undecided: only they have a second tier"),
    Verdict("x-ai", "*", "*", "undecided: xAI's page could not be read for these"),
    Verdict("google", "gemini-3-pro-image*", "*_above_200k_*", "undecided: only they have a second tier"),
    Verdict(
        "google",
        "gemini-3.8-flash*",
        "*",
        "undecided: whether the cyber variant has a price of its own",
        lambda found: found.name.endswith("cyber"),
    ),
    Verdict("google", "claude-3-5-haiku", "*", "undecided: Google's price against the maker's"),
    Verdict("google", "gemini-*", "*audio_token", "undecided: audio of models that make images or speech"),
    Verdict("google", "gemini-3.5-flash-lite", "cache_read*_batches", "undecided: 0.02 here, 0.015 there"),
    Verdict("google", "gemini-*", "*", STALE),
    Verdict("aws", "*anthropic*", "*", "undecided: Bedrock's regional (+10 %) against its global price"),
    Verdict("aws", "*", "*", "undecided: Bedrock's prices differ by region"),
    Verdict(
        "azure",
        "*",
        "*",
        "undecided: genai-prices lends Azure the makers' prices; Azure's differ by deployment",
    ),
    *(
        Verdict(seller, "*", "*", "undecided: a reseller's price, which changes often and without a date")
        for seller in (
            "cloudflare",
            "cohere",
            "databricks",
            "fireworks",
            "groq",
            "novita",
            "openrouter",
            "ovhcloud",
            "perplexity",
            "together",
            "zai",
        )
    ),
)


def verdict_of(found: Difference, verdicts: Iterable[Verdict] = VERDICTS) -> str | None:
    """The first verdict that fits."""
    return next((one.verdict for one in verdicts if one.fits(found)), None)


def read_table(path: str | None) -> tuple[Table, str]:
    """(litellm's table with exact decimals, what it is): the JSON file at `path`, default the installed litellm's."""
    name = f"{path}"
    if path is None:
        spec = importlib.util.find_spec("litellm")
        if spec is None or spec.origin is None:
            raise SystemExit(
                "litellm is not installed; run `pip install litellm` in a development environment"
            )
        path, name = os.path.join(os.path.dirname(spec.origin), TABLE), f"litellm {version('litellm')}"
    with open(path, encoding="utf-8") as file:
        table: Table = json.load(file, parse_float=Decimal)
    return table, name


def main(path: str | None = None) -> int:
    table, name = read_table(path)
    found = compare(table, Catalogue(compiled(None)))
    judged: dict[str, list[Difference]] = {}
    verdicts = VERDICTS if _is_old(name) else [one for one in VERDICTS if one.verdict != STALE]
    for one in found.differences:
        judged.setdefault(verdict_of(one, verdicts) or "", []).append(one)
    for verdict, differences in sorted(judged.items(), key=lambda item: item[0]):
        print(f"\n{verdict or 'NOT JUDGED'}")
        for line in _lines(differences):
            print(f"  {line}")
    print(f"\n{name}, prices of {AT:%Y-%m-%d %H:%M} UTC")
    print(f"  same {found.same} prices, differ {len(found.differences)}")
    print(f"  absent there {len(found.absent)} models of ours; absent here {len(found.missing)} of theirs")
    print(
        f"  by verdict: {dict(Counter(v.partition(':')[0] or 'NOT JUDGED' for v in judged for _ in judged[v]))}"
    )
    return 1 if "" in judged else 0


def _is_old(name: str) -> bool:
    """Whether the table is of a litellm before the one that the verdicts were last made with."""
    numbers = name.removeprefix("litellm ").split(".")
    return name.startswith("litellm ") and (int(numbers[0]), int(numbers[1])) < (1, 109)


def _lines(differences: Iterable[Difference]) -> Iterator[str]:
    for one in differences:
        ours = "none" if one.ours is None else f"{one.ours:f}"
        yield f"{one.provider} {one.name} {one.key}: ours {ours}, theirs {one.theirs:f}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
