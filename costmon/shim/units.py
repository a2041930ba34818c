"""The units a usage is counted in, and how a set of priced units takes a usage apart (the registry of
genai-prices 0.2.3).

A unit is a set of words; it is part of every unit that has fewer of the same words: a cached audio token is a
cache read, an audio token and an input token. A price for the whole holds for whatever no more specific price
takes out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REASONING = "output_reasoning_tokens"
# Sums of other units, and calls, which cost nothing by themselves: reported without a price, they are not a
# gap.
OUTPUT_BYTES = "output_bytes"
"""Bytes of text an answer had: kept beside its usage to learn tokens per byte from, and never billed."""
BEFORE = "before"
"""How much of the same unit the month had already used: what graduated rates go on from."""
_NO_UNITS = frozenset({"total_tokens", "requests", OUTPUT_BYTES, BEFORE})


class Unit(NamedTuple):
    """What a price is for: `per` of it, and the words that place it (a unit is part of every unit with fewer
    words)."""

    per: int
    words: frozenset[str]


class Shape(NamedTuple):
    """How a set of priced units takes a usage apart. `order` is (unit, positions of its parts), parts before
    wholes; `covered` every unit that is priced or part of a priced one; `joins` overlaps that must be
    reported to be known."""

    order: tuple[tuple[str, tuple[int, ...]], ...]
    covered: frozenset[str]
    joins: tuple[tuple[str, str, str], ...]


_TOKENS = (
    ("input_{}tokens", "input"),
    ("output_{}tokens", "output"),
    ("cache_{}read_tokens", "input cache_read"),
    ("cache_{}write_tokens", "input cache_write"),
    ("cache_{}write_5m_tokens", "input cache_write 5m"),
    ("cache_{}write_1h_tokens", "input cache_write 1h"),
    ("input_{}tool_tokens", "input tool"),
    ("output_{}reasoning_tokens", "output reasoning"),
    ("output_{}citation_tokens", "output citation"),
)
_OTHERS = (
    ("input_characters", 1_000_000, "characters input"),
    ("input_text_messages", 1000, "messages input text"),
    ("audio_seconds", 3600, "durations audio"),
    ("input_audio_seconds", 3600, "durations audio input"),
    ("output_audio_seconds", 3600, "durations audio output"),
    ("input_pixels", 1_000_000_000, "pixels input"),
    ("input_document_pages", 1000, "pages input"),
    ("input_annotated_document_pages", 1000, "pages input annotated"),
    ("rerank_searches", 1000, "rerank"),
    ("web_searches", 1000, "tools web_search"),
    ("social_searches", 1000, "tools social_search"),
    ("storage_searches", 1000, "tools storage_search"),
    ("code_executions", 1000, "tools code_execution"),
    ("requests", 1000, "requests"),
    # Resources, which genai-prices has not; their cards say what a price is per (an hour, a GB-month, a GB, a month).
    ("resource_seconds", 3600, "resource time"),
    ("storage_byte_seconds", 730 * 3600 * 10**9, "resource storage"),
    ("transfer_bytes", 10**9, "resource transfer"),
    ("subscription_seconds", 730 * 3600, "resource subscription"),
)
_units: dict[str, Unit] = {}
_shapes: dict[tuple[str, ...], Shape] = {}


def units() -> dict[str, Unit]:
    """Every unit a usage may be counted in, by its usage key (the registry of genai-prices 0.2.3)."""
    if not _units:
        table = {key: Unit(per, frozenset(words.split())) for key, per, words in _OTHERS}
        for modality in ("", "text", "audio", "image", "video"):
            for name, words in _TOKENS:
                key = name.format(modality and modality + "_")
                table[key] = Unit(1_000_000, frozenset(f"tokens {words} {modality}".split()))
        _units.update(table)
    return _units


def shape_of(keys: tuple[str, ...]) -> Shape:
    """The shape of a set of priced units; few sets exist, so each is worked out once."""
    if keys not in _shapes:
        table = units()
        ordered = sorted(keys, key=lambda key: (-len(table[key].words), key))
        order = tuple(
            (key, tuple(i for i, part in enumerate(ordered) if table[key].words < table[part].words))
            for key in ordered
        )
        covered = {key for key, unit in table.items() if any(table[one].words <= unit.words for one in keys)}
        covered |= _NO_UNITS
        if REASONING in covered:
            covered.add("reasoning_tokens")
        _shapes[keys] = Shape(order, frozenset(covered), _joins(keys))
    return _shapes[keys]


def _joins(keys: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """(join, one, other): with audio and cache reads both reported, cached audio must be too, or they may
    overlap."""
    table = units()
    found = []
    for join in keys:
        whole = table[join].words
        above = [key for key in sorted(table) if table[key].words < whole]
        found += [
            (join, one, other)
            for i, one in enumerate(above)
            for other in above[i + 1 :]
            if table[one].words | table[other].words == whole
        ]
    return tuple(found)
