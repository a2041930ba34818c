"""Golden table: what a call costs by the prices that ship, beside the arithmetic as a person would write it.

The expected costs are `Decimal` sums of counts and list prices written here; nothing of costmon's takes part in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.pricing.catalog.layers import compiled
from costmon.pricing.files.resources import ResourcePrice, card_at
from costmon.pricing.lookup.show import Catalogue
from costmon.shim import cards
from costmon.shim.timestamps import to_us

M = Decimal(1_000_000)
K = Decimal(1000)
HOUR = Decimal(3600)
NOON = "2026-11-20T12:00:00"  # a Friday
ARN = "arn:aws:bedrock:us-east-1:"
VERTEX = "projects/p/locations/us-central1"
NONE: Mapping[str, str] = {}
BATCH = {"processing": "batch"}


def d(text: str) -> Decimal:
    return Decimal(text)


class Case(NamedTuple):
    """`at` is UTC; `cost` None means that it is not known."""

    name: str
    provider: str
    model: str
    usage: dict[str, int]
    cost: Decimal | None
    at: str = NOON
    context: Mapping[str, str] = NONE
    status: str = "priced"


CASES = [
    # --- the misfiring scheduler's call -----------------------------------------------------------------
    Case(
        "one run of the scheduler",
        "openai",
        "gpt-4o-mini",
        {"input_tokens": 4000, "output_tokens": 1000},
        4000 * d("0.15") / M + 1000 * d("0.60") / M,
    ),
    # --- dates ------------------------------------------------------------------------------------------
    Case(
        "o3 in the last second of its first price",
        "openai",
        "o3",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 10 / M + 1000 * 40 / M,
        "2025-06-09T23:59:59",
    ),
    Case(
        "o3 from the cut on",
        "openai",
        "o3",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 2 / M + 1000 * 8 / M,
        "2025-06-10T00:00:00",
    ),
    Case(
        "Sonnet 5.5, cache reads before the cut",
        "anthropic",
        "claude-sonnet-5-5",
        {"input_tokens": 10_000, "cache_read_tokens": 9000, "output_tokens": 100},
        1000 * 2 / M + 9000 * d("0.20") / M + 100 * 10 / M,
        "2026-10-06T23:59:59",
    ),
    Case(
        "Sonnet 5.5, cache reads after the cut",
        "anthropic",
        "claude-sonnet-5-5-20260915",
        {"input_tokens": 10_000, "cache_read_tokens": 9000, "output_tokens": 100},
        1000 * 2 / M + 9000 * d("0.10") / M + 100 * 10 / M,
        "2026-10-07T00:00:00",
    ),
    Case(
        "Mistral Large, as the alias stood before December 2025",
        "mistral",
        "mistral-large-latest",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 2 / M + 1000 * 6 / M,
        "2025-12-01T23:59:59",
    ),
    Case(
        "Mistral Large, as the alias stands now",
        "mistral",
        "mistral-large-latest",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * d("0.5") / M + 1000 * d("1.5") / M,
        "2025-12-02T00:00:00",
    ),
    Case(
        "Ministral 3B under its alias",
        "mistral",
        "ministral-3b-latest",
        {"input_tokens": 1000, "output_tokens": 1000},
        2000 * d("0.10") / M,
    ),
    Case(
        "Gemini 3.8 Flash before the price of 2027",
        "google",
        "gemini-3.8-flash",
        {"input_tokens": 1000, "output_tokens": 1000, "web_searches": 2},
        1000 * d("0.75") / M + 1000 * d("3.75") / M + 2 * 14 / K,
        "2026-12-31T23:59:59",
    ),
    Case(
        "Gemini 3.8 Flash in 2027",
        "google",
        "gemini-3.8-flash",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * d("1.5") / M + 1000 * d("7.5") / M,
        "2027-01-01T00:00:00",
    ),
    # --- long context -----------------------------------------------------------------------------------
    Case(
        "Gemini with 200,000 tokens",
        "google",
        "gemini-2.5-pro",
        {"input_tokens": 200_000, "output_tokens": 1000},
        200_000 * d("1.25") / M + 1000 * 10 / M,
    ),
    Case(
        "Gemini with 200,001 tokens",
        "google",
        "gemini-2.5-pro",
        {"input_tokens": 200_001, "output_tokens": 1000},
        200_001 * d("2.5") / M + 1000 * 15 / M,
    ),
    Case(
        "GPT-5.5 with 272,000 tokens",
        "openai",
        "gpt-5.5",
        {"input_tokens": 272_000, "output_tokens": 100},
        272_000 * 5 / M + 100 * 30 / M,
    ),
    Case(
        "GPT-5.5 with 272,001 tokens",
        "openai",
        "gpt-5.5",
        {"input_tokens": 272_001, "output_tokens": 100},
        272_001 * 10 / M + 100 * 45 / M,
    ),
    Case(
        "Haiku 5.5 above 100,000, most of it cached",
        "anthropic",
        "claude-haiku-5-5",
        {"input_tokens": 100_001, "cache_read_tokens": 100_000, "output_tokens": 10},
        1 * d("0.5") / M + 100_000 * d("0.05") / M + 10 * d("2.5") / M,
    ),
    Case(
        "Sonnet 4 at 200,000",
        "anthropic",
        "claude-sonnet-4-20250514",
        {"input_tokens": 200_000, "output_tokens": 1000},
        200_000 * 3 / M + 1000 * 15 / M,
        "2025-09-01T00:00:00",
    ),
    Case(
        "Sonnet 4 above 200,000",
        "anthropic",
        "claude-sonnet-4-20250514",
        {"input_tokens": 200_001, "output_tokens": 1000},
        200_001 * 6 / M + 1000 * d("22.5") / M,
        "2025-09-01T00:00:00",
    ),
    Case(
        "Sonnet 4.6 above 200,000 while that was dearer",
        "anthropic",
        "claude-sonnet-4-6",
        {"input_tokens": 300_000, "output_tokens": 1000},
        300_000 * 6 / M + 1000 * d("22.5") / M,
        "2026-03-12T23:59:59",
    ),
    Case(
        "Sonnet 4.6 above 200,000 since it is not",
        "anthropic",
        "claude-sonnet-4-6",
        {"input_tokens": 300_000, "output_tokens": 1000},
        300_000 * 3 / M + 1000 * 15 / M,
        "2026-03-13T00:00:00",
    ),
    Case(
        "Grok 4 at 128,000",
        "x-ai",
        "grok-4",
        {"input_tokens": 128_000, "output_tokens": 1000},
        128_000 * 3 / M + 1000 * 15 / M,
    ),
    Case(
        "Grok 4 above 128,000",
        "x-ai",
        "grok-4-0709",
        {"input_tokens": 128_001, "output_tokens": 1000},
        128_001 * 6 / M + 1000 * 30 / M,
    ),
    Case(
        "Grok 4.7 from 200,000 on",
        "x-ai",
        "grok-4.7",
        {"input_tokens": 200_000, "output_tokens": 1000},
        200_000 * 4 / M + 1000 * 12 / M,
    ),
    # --- cache, searches, batch, tiers ------------------------------------------------------------------
    Case(
        "plain, read, written for 5 minutes and for an hour, and two searches: 0.022685",
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {
            "input_tokens": 600,
            "cache_read_tokens": 200,
            "cache_write_tokens": 300,
            "cache_write_1h_tokens": 200,
            "output_tokens": 50,
            "web_searches": 2,
        },
        100 * 3 / M + 200 * d("0.30") / M + 100 * d("3.75") / M + 200 * 6 / M + 50 * 15 / M + 2 * 10 / K,
    ),
    Case(
        "cached input of GPT-4o",
        "openai",
        "gpt-4o",
        {"input_tokens": 2000, "cache_read_tokens": 1500, "output_tokens": 10},
        500 * d("2.5") / M + 1500 * d("1.25") / M + 10 * 10 / M,
    ),
    Case(
        "batch before there is a price for it: the list price, and said to be partial",
        "openai",
        "gpt-5",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * d("1.25") / M + 1000 * 10 / M,
        "2026-10-13T23:59:59",
        BATCH,
        "partial",
    ),
    Case(
        "batch",
        "openai",
        "gpt-5",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * d("0.625") / M + 1000 * 5 / M,
        "2026-10-14T00:00:00",
        BATCH,
    ),
    Case(
        "batch as Anthropic says it",
        "anthropic",
        "claude-opus-4-5",
        {"input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 1000},
        600 * d("2.5") / M + 400 * d("0.25") / M + 1000 * d("12.5") / M,
        context={"service_tier": "batch"},
    ),
    Case(
        "flex",
        "openai",
        "o3",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 1 / M + 1000 * 4 / M,
        context={"service_tier": "flex"},
    ),
    Case(
        "flex before there is a price for it",
        "openai",
        "o3",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 2 / M + 1000 * 8 / M,
        "2026-10-11T23:59:59",
        {"service_tier": "flex"},
        "partial",
    ),
    Case(
        "priority",
        "openai",
        "gpt-5.2",
        {"input_tokens": 1000, "cache_read_tokens": 500, "output_tokens": 1000},
        500 * d("3.5") / M + 500 * d("0.35") / M + 1000 * 28 / M,
        context={"service_tier": "priority"},
    ),
    Case(
        "the default tier is no gap",
        "openai",
        "gpt-5.2",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * d("1.75") / M + 1000 * 14 / M,
        context={"service_tier": "default"},
    ),
    Case(
        "fast mode",
        "anthropic",
        "claude-opus-5-5",
        {"input_tokens": 1000, "output_tokens": 1000},
        1000 * 8 / M + 1000 * 40 / M,
        context={"service_tier": "speed=fast"},
    ),
    Case(
        "a tier nobody has heard of",
        "openai",
        "gpt-4o",
        {"input_tokens": 1000},
        1000 * d("2.5") / M,
        context={"service_tier": "gold"},
        status="partial",
    ),
    Case(
        "web searches of GPT-4o mini",
        "openai",
        "gpt-4o-mini",
        {"input_tokens": 1000, "output_tokens": 0, "web_searches": 3},
        1000 * d("0.15") / M + 3 * 10 / K,
    ),
    Case(
        "Perplexity takes a fee for each request",
        "perplexity",
        "sonar-pro",
        {"input_tokens": 1000, "output_tokens": 500},
        1000 * 3 / M + 500 * 15 / M + 1 * 14 / K,
    ),
    # --- peak hours of DeepSeek: 09-12 and 14-18 in Shanghai, 01-04 and 06-10 UTC -------------------------
    *(
        Case(
            f"DeepSeek {name}",
            "deepseek",
            "deepseek-v4-pro",
            {"input_tokens": 1000, "output_tokens": 1000},
            cost,
            at,
        )
        for name, at, cost in (
            ("a second before the peak", "2026-11-20T00:59:59", 1000 * d("0.66") / M + 1000 * d("1.98") / M),
            (
                "at the peak's first second",
                "2026-11-20T01:00:00",
                1000 * d("1.32") / M + 1000 * d("3.96") / M,
            ),
            ("at the peak's last second", "2026-11-20T03:59:59", 1000 * d("1.32") / M + 1000 * d("3.96") / M),
            ("at noon in Shanghai", "2026-11-20T04:00:00", 1000 * d("0.66") / M + 1000 * d("1.98") / M),
            ("when the afternoon begins", "2026-11-20T06:00:00", 1000 * d("1.32") / M + 1000 * d("3.96") / M),
            ("when the afternoon ends", "2026-11-20T10:00:00", 1000 * d("0.66") / M + 1000 * d("1.98") / M),
            (
                "on a Saturday at the peak's hour",
                "2026-11-21T02:00:00",
                1000 * d("0.66") / M + 1000 * d("1.98") / M,
            ),
            (
                "on a Sunday at the peak's hour",
                "2026-11-22T08:00:00",
                1000 * d("0.66") / M + 1000 * d("1.98") / M,
            ),
            ("on a Monday", "2026-11-23T01:00:00", 1000 * d("1.32") / M + 1000 * d("3.96") / M),
            ("on National Day", "2026-10-01T02:00:00", 1000 * d("0.66") / M + 1000 * d("1.98") / M),
            (
                "on the day after the holidays",
                "2026-10-08T02:00:00",
                1000 * d("1.32") / M + 1000 * d("3.96") / M,
            ),
            # Weekends became cheap on 23 August, a Sunday, 00:00 in Shanghai.
            ("on the last dear Saturday", "2026-08-22T09:59:59", 1000 * d("1.32") / M + 1000 * d("3.96") / M),
            ("on the first cheap Sunday", "2026-08-23T02:00:00", 1000 * d("0.66") / M + 1000 * d("1.98") / M),
            # There was no peak before 16 August, 16:00 UTC.
            ("before there was a peak", "2026-08-14T02:00:00", 1000 * d("0.435") / M + 1000 * d("0.87") / M),
            (
                "in its last second of one price",
                "2026-08-16T15:59:59",
                1000 * d("0.435") / M + 1000 * d("0.87") / M,
            ),
            (
                "in its first second of two",
                "2026-08-16T16:00:00",
                1000 * d("0.66") / M + 1000 * d("1.98") / M,
            ),
        )
    ),
    Case(
        "DeepSeek Flash from the cache at the peak, by its new name",
        "deepseek",
        "deepseek-flash",
        {"input_tokens": 10_000, "cache_read_tokens": 9000, "output_tokens": 100},
        1000 * d("0.30") / M + 9000 * d("0.006") / M + 100 * d("1.20") / M,
        "2026-11-20T07:00:00",
    ),
    # --- sound, pictures, pages, searches, vectors, speech -------------------------------------------------
    Case("90 seconds of Whisper", "openai", "whisper-1", {"audio_seconds": 90}, 90 * d("0.36") / HOUR),
    Case(
        "seven minutes of Whisper at 0.006 a minute",
        "openai",
        "whisper-1",
        {"audio_seconds": 420},
        7 * d("0.006"),
    ),
    Case(
        "audio in GPT-4o transcribe",
        "openai",
        "gpt-4o-transcribe",
        {"input_tokens": 1100, "input_audio_tokens": 1000, "output_tokens": 200},
        100 * d("2.5") / M + 1000 * 6 / M + 200 * 10 / M,
    ),
    Case(
        "audio in and out of the audio preview",
        "openai",
        "gpt-4o-audio-preview-2024-12-17",
        {"input_tokens": 600, "input_audio_tokens": 500, "output_tokens": 300, "output_audio_tokens": 250},
        100 * d("2.5") / M + 500 * 40 / M + 50 * 10 / M + 250 * 80 / M,
    ),
    Case(
        "audio of the first snapshot, which was dearer",
        "openai",
        "gpt-4o-audio-preview-2024-10-01",
        {"input_tokens": 500, "input_audio_tokens": 500, "output_tokens": 0},
        500 * 100 / M,
    ),
    Case(
        "a realtime conversation with cached sound",
        "openai",
        "gpt-realtime",
        {
            "input_tokens": 1000,
            "input_audio_tokens": 900,
            "cache_read_tokens": 400,
            "cache_audio_read_tokens": 400,
            "output_tokens": 300,
            "output_audio_tokens": 300,
        },
        100 * 4 / M + 500 * 32 / M + 400 * d("0.4") / M + 300 * 64 / M,
    ),
    Case(
        "reasoning is part of the output",
        "openai",
        "o3",
        {"input_tokens": 100, "output_tokens": 1000, "output_reasoning_tokens": 800},
        100 * 2 / M + 1000 * 8 / M,
    ),
    Case(
        "reasoning and citations with prices of their own",
        "perplexity",
        "sonar-deep-research",
        {
            "input_tokens": 100,
            "output_tokens": 1000,
            "output_reasoning_tokens": 600,
            "output_citation_tokens": 100,
            "web_searches": 4,
        },
        100 * 2 / M + 300 * 8 / M + 600 * 3 / M + 100 * 2 / M + 4 * 5 / K,
    ),
    Case(
        "a picture edited by GPT Image",
        "openai",
        "gpt-image-1",
        {"input_tokens": 350, "input_image_tokens": 323, "output_tokens": 1056},
        27 * 5 / M + 323 * 10 / M + 1056 * 40 / M,
    ),
    Case(
        "a picture made by Gemini",
        "google",
        "gemini-2.5-flash-image",
        {"input_tokens": 20, "output_tokens": 1300, "output_image_tokens": 1290},
        20 * d("0.3") / M + 10 * d("2.5") / M + 1290 * 30 / M,
    ),
    Case(
        "seconds of sound into Gemini",
        "google",
        "gemini-2.5-flash",
        {"input_tokens": 1020, "input_audio_tokens": 1000, "output_tokens": 50},
        20 * d("0.3") / M + 1000 * 1 / M + 50 * d("2.5") / M,
    ),
    Case(
        "twelve pages read by Mistral",
        "mistral",
        "mistral-ocr-latest",
        {"input_document_pages": 12},
        12 * 2 / K,
        "2026-06-22T23:59:59",
    ),
    Case(
        "twelve pages after the rise, five of them annotated",
        "mistral",
        "mistral-ocr-latest",
        {"input_document_pages": 12, "input_annotated_document_pages": 5},
        7 * 4 / K + 5 * 5 / K,
        "2026-06-23T00:00:00",
    ),
    Case("rerank", "cohere", "rerank-v3.5", {"rerank_searches": 3}, 3 * 2 / K),
    Case("rerank with the dearer model", "cohere", "rerank-v4.0-pro", {"rerank_searches": 1000}, d("2.50")),
    Case(
        "embeddings",
        "openai",
        "text-embedding-3-small",
        {"input_tokens": 8191},
        8191 * d("0.02") / M,
    ),
    Case("embeddings of Voyage", "voyageai", "voyage-3.5", {"input_tokens": 1001}, 1001 * d("0.06") / M),
    Case("speech by the character", "openai", "tts-1", {"input_characters": 1234}, 1234 * 15 / M),
    Case("better speech", "openai", "tts-1-hd", {"input_characters": 1234}, 1234 * 30 / M),
    # --- rounding: half to even at the ninth place --------------------------------------------------------
    Case(
        "62.5 nano is 62",
        "openai",
        "gpt-5",
        {"input_tokens": 1, "cache_read_tokens": 1, "output_tokens": 0},
        d("0.000000062"),
        context={"service_tier": "flex"},
    ),
    Case(
        "187.5 nano is 188",
        "openai",
        "gpt-5",
        {"input_tokens": 3, "cache_read_tokens": 3, "output_tokens": 0},
        d("0.000000188"),
        context={"service_tier": "flex"},
    ),
    Case(
        "one second of Whisper is a tenth of a thousandth",
        "openai",
        "whisper-1",
        {"audio_seconds": 1},
        d("0.0001"),
    ),
    # --- names ------------------------------------------------------------------------------------------
    *(
        Case(
            f"{model} at {provider}",
            provider,
            model,
            {"input_tokens": 1000, "output_tokens": 1000},
            1000 * rate / M,
        )
        for provider, model, rate in (
            ("aws", f"{ARN}:foundation-model/anthropic.claude-3-5-sonnet-20241022-v2:0", d("3") + 15),
            (
                "aws",
                f"{ARN}123456789012:inference-profile/global.anthropic.claude-opus-4-5-20251101-v1:0",
                d("5") + 25,
            ),
            (
                "proxy",
                f"{ARN}123456789012:inference-profile/global.anthropic.claude-opus-4-5-20251101-v1:0",
                d("5") + 25,
            ),
            ("openrouter", "anthropic/claude-sonnet-4.5", d("3") + 15),
            ("openrouter", "openai/gpt-4o-mini", d("0.15") + d("0.60")),
            ("openai", "openai/gpt-4o", d("2.5") + 10),
            ("openai", "GPT-4o", d("2.5") + 10),
            ("openai", "gpt-5.2-20251211", d("1.75") + 14),
            ("openai", "ft:gpt-4o-2024-08-06:house::abc123", d("3.75") + 15),
            ("azure", "gpt-4o", d("2.5") + 10),
            ("azure", "azure/gpt-4o", d("2.5") + 10),
            ("proxy", "azure/gpt-4o", d("2.5") + 10),
            ("proxy", "xai/grok-4.7", d("2") + 6),
            ("google", "models/gemini-2.5-flash", d("0.3") + d("2.5")),
            ("google", "vertex_ai/gemini-2.5-flash", d("0.3") + d("2.5")),
            ("google", "publishers/google/models/gemini-2.5-flash", d("0.3") + d("2.5")),
            ("google", f"{VERTEX}/publishers/anthropic/models/claude-opus-4-5@20251101", d("5") + 25),
        )
    ),
    # --- free, unknown, partial ---------------------------------------------------------------------------
    Case(
        "a model on the own machine",
        "lmstudio",
        "qwen3:8b",
        {"input_tokens": 10**6, "output_tokens": 1},
        d("0"),
        status="free",
    ),
    Case("the own server by its plain name", "local", "anything", {"input_tokens": 5}, d("0"), status="free"),
    Case("a model that does not exist", "openai", "gpt-99", {"input_tokens": 5}, None),
    Case("a name that only begins like one", "openai", "gpt-4o-foo-bar", {"input_tokens": 5}, None),
    Case("a model without any price", "google", "gemma-3", {"input_tokens": 5}, None),
    Case("a provider nobody knows", "nobody", "gpt-4o", {"input_tokens": 5}, None),
    Case("Ollama's own cloud is not free", "ollama", "gpt-oss:120b", {"input_tokens": 5}, None),
    Case(
        "a profile of the house",
        "aws",
        f"{ARN}123456789012:application-inference-profile/a1b2c3",
        {"input_tokens": 5},
        None,
    ),
    Case("a region with its own price", "proxy", "azure/eu/gpt-4o", {"input_tokens": 5}, None),
    Case(
        "a region of Bedrock",
        "proxy",
        "bedrock/us-gov-west-1/anthropic.claude-opus-4-5-20251101-v1:0",
        {"input_tokens": 5},
        None,
    ),
    Case(
        "a search by a model that has no price for one",
        "openai",
        "o1",
        {"input_tokens": 1000, "web_searches": 2},
        1000 * 15 / M,
        status="partial",
    ),
    Case("only what has no price", "openai", "whisper-1", {"web_searches": 2}, None, status="partial"),
]


@cache
def catalogue() -> Catalogue:
    return Catalogue(compiled(None))


def us(stamp: str) -> int:
    return to_us(datetime.fromisoformat(stamp).replace(tzinfo=UTC))


def cost_of(nano: int | None) -> Decimal | None:
    return None if nano is None else Decimal(nano).scaleb(-9)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_golden(case: Case) -> None:
    """The card of the shipped catalogue prices the call as the arithmetic beside it says, to the nano."""
    card = catalogue().card(case.provider, case.model, us(case.at), case.context)
    if case.cost is None and case.status == "priced":
        assert card is None
        return
    assert card is not None
    found = cards.price(card, case.usage)
    assert (cost_of(found.nano), found.status) == (case.cost, case.status)
    assert card.currency == "USD"


def test_there_are_enough_of_them() -> None:
    """At least sixty, each with its own name."""
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_the_incident() -> None:
    """A five-minute default where an hour was meant: 2,016 calls a week cost $2.4192, 168 cost $0.2016."""
    card = catalogue().card("openai", "gpt-4o-mini", us(NOON), {})
    assert card is not None
    call = cost_of(cards.price(card, {"input_tokens": 4000, "output_tokens": 1000}).nano)
    assert call == Decimal("0.0012")
    assert 7 * 24 * 12 * call == Decimal("2.4192")
    assert 7 * 24 * call == Decimal("0.2016")


def test_a_server_by_the_hour_in_won() -> None:
    """₩2,450 an hour, by the second: 90 minutes are ₩3,675."""
    rates = {"resource_seconds": {"per": 3600, "price": "2450"}}
    card = cards.make_card("own", "gpu-box", "KRW", rates, "user", "1")
    assert card is not None
    assert cost_of(cards.price(card, {"resource_seconds": 5400}).nano) == Decimal("1.5") * 2450
    assert cost_of(cards.price(card, {"resource_seconds": 1}).nano) == Decimal("0.680555556")  # 2450 / 3600


def test_a_call_in_won_and_house_names(tmp_path: Path) -> None:
    """A price file of the operator's: ₩12 a call, a deployment and a profile of the house, and a circle of names."""
    path = tmp_path / "prices.toml"
    path.write_text(
        f"""schema = 1
[[price]]
provider = "coupang"
model = "*"
currency = "KRW"
[[price.rate]]
requests = 12_000
[[alias]]
provider = "azure"
match = "Prod-Chat-*"
to = "azure:gpt-4o"
[[alias]]
provider = "azure"
match = "prod-chat-cheap"
to = "gpt-4o-mini"
[[alias]]
provider = "aws"
match = "{ARN}123456789012:application-inference-profile/a1b2c3"
to = "global.anthropic.claude-opus-4-5-20251101-v1:0"
[[alias]]
provider = "house"
match = "smart"
to = "house:smarter"
[[alias]]
provider = "house"
match = "smarter"
to = "house:smart"
[[alias]]
provider = "house"
match = "b?g*v[2]"
to = "openrouter:openai/gpt-4o-mini"
"""
    )
    everything = compiled(str(path))
    assert everything.problems == ()
    mine = Catalogue(everything)

    def price(provider: str, model: str, **usage: int) -> tuple[Decimal | None, str] | None:
        card = mine.card(provider, model, us(NOON))
        return None if card is None else (cost_of(cards.price(card, usage).nano), card.currency)

    assert price("coupang", "deeplink") == (Decimal(12_000) / 1000, "KRW")
    assert price("azure", "prod-chat-eu-1", input_tokens=1000) == (1000 * Decimal("2.5") / M, "USD")
    assert price("azure", "PROD-CHAT-CHEAP", input_tokens=1000) == (1000 * Decimal("0.15") / M, "USD")
    assert price("aws", f"{ARN}123456789012:application-inference-profile/a1b2c3", input_tokens=1000) == (
        5000 / M,
        "USD",
    )
    assert price("house", "big-model-v[2]", output_tokens=1000) == (1000 * Decimal("0.60") / M, "USD")
    assert price("house", "bg-v[2]") is None
    assert price("house", "smart") is None
    assert price("house", "smarter") is None


@cache
def egress() -> cards.Card:
    price: ResourcePrice = compiled(None).resources["aws-ec2-egress"]
    card = card_at(price, us(NOON))
    assert card is not None
    return card


def pieces(card: cards.Card, counts: list[int]) -> int:
    """Nano of a month's traffic, sent and priced piece by piece."""
    before = [0, *accumulate(counts)]
    found = [
        cards.price(card, {"transfer_bytes": count, "before": past}).nano
        for count, past in zip(counts, before, strict=False)
    ]
    assert None not in found
    return sum(nano or 0 for nano in found)


GB = 10**9


@pytest.mark.parametrize(
    ("counts", "cost"),
    [
        ([100 * GB], Decimal(0)),
        ([60 * GB, 60 * GB, 130 * GB], (250 - 100) * Decimal("0.09")),
        ([250 * GB], (250 - 100) * Decimal("0.09")),
        ([11_000 * GB], (10_240 - 100) * Decimal("0.09") + (11_000 - 10_240) * Decimal("0.085")),
        ([99 * GB, GB, 1], Decimal("0.09") / GB),
    ],
)
def test_traffic_beyond_the_free_part(counts: list[int], cost: Decimal) -> None:
    """A hundred GB of a month are free, ten TB cost 0.09, the next 0.085, in however many pieces."""
    assert cost_of(pieces(egress(), counts)) == cost.quantize(Decimal("1e-9"))


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * 10**12), min_size=1, max_size=8))
def test_pieces_add_up_to_the_whole(counts: list[int]) -> None:
    """However a month's traffic is cut, its parts cost what the whole does, to the nano."""
    card = egress()
    assert pieces(card, counts) == pieces(card, [sum(counts)])


NAMES = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5.5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
]
COUNTS = st.dictionaries(
    st.sampled_from(
        [
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "output_reasoning_tokens",
            "web_searches",
            "total_tokens",
        ]
    ),
    st.integers(0, 10**7),
)


@given(st.sampled_from(NAMES), COUNTS)
def test_a_price_never_falls_below_zero(name: tuple[str, str], usage: dict[str, int]) -> None:
    """Whatever is reported, however it contradicts itself."""
    card = catalogue().card(*name, us(NOON))
    assert card is not None
    nano = cards.price(card, usage).nano
    assert nano is None or nano >= 0


@given(st.sampled_from(NAMES), COUNTS, st.randoms())
def test_the_order_of_a_usage_means_nothing(
    name: tuple[str, str], usage: dict[str, int], random: object
) -> None:
    """A usage is a set of counts: listed in another order it costs the same."""
    card = catalogue().card(*name, us(NOON))
    assert card is not None
    keys = list(usage)
    random.shuffle(keys)  # type: ignore[attr-defined]
    one, other = cards.price(card, usage), cards.price(card, {key: usage[key] for key in keys})
    assert (one.nano, one.status, set(one.unpriced_units)) == (
        other.nano,
        other.status,
        set(other.unpriced_units),
    )


@given(st.integers(0, 90_000), st.integers(0, 90_000), st.integers(0, 5000), st.integers(0, 5000))
def test_two_calls_cost_what_both_do_together(a: int, b: int, c: int, d: int) -> None:
    """Below every tier, and but for the last nano, which is rounded once a call."""
    card = catalogue().card("google", "gemini-2.5-pro", us(NOON))
    assert card is not None

    def nano(tokens_in: int, tokens_out: int) -> int:
        found = cards.price(card, {"input_tokens": tokens_in, "output_tokens": tokens_out}).nano
        assert found is not None
        return found

    assert abs(nano(a, c) + nano(b, d) - nano(a + b, c + d)) <= 1


@given(
    st.sampled_from([*NAMES, ("openai", "gpt-99"), ("google", "gemma-3"), ("nobody", "m"), ("local", "m")]),
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "web_searches", "input_characters"]),
        st.integers(1, 10**6),
        min_size=1,
    ),
)
def test_a_cost_is_missing_exactly_when_nothing_is_known(
    name: tuple[str, str], usage: dict[str, int]
) -> None:
    """No card, or a card that prices nothing of what was used; everything else has a number, if only a part's."""
    card = catalogue().card(*name, us(NOON))
    known = card is not None and any(
        cards.units()[priced].words <= cards.units()[used].words for priced in card.rates for used in usage
    )
    assert (card is None or cards.price(card, usage).nano is None) == (not known)
