"""Gemini, on Google's own endpoint and on Vertex AI; Vertex's embeddings and Imagen (types of google-genai)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage.openai import CHAT
from costmon.shim.usage.read import count, delivered_bytes, nothing, text_of
from costmon.shim.usage.shapes import FAILED, FINISHED, Api, Dialect, Document, Fields, Identity

# total = prompt + tool use + candidates + thoughts: tool use is input and thoughts are output, both beside the main count.
_FIELDS: Fields = (
    ("promptTokenCount", "input_tokens"),
    ("candidatesTokenCount", "output_tokens"),
    ("responseTokenCount", "output_tokens"),
    ("totalTokenCount", "total_tokens"),
    ("cachedContentTokenCount", "cache_read_tokens"),
    ("thoughtsTokenCount", "reasoning_tokens"),
    ("toolUsePromptTokenCount", "input_tool_tokens"),
)
_ADDS: Fields = (("reasoning_tokens", "output_tokens"), ("input_tool_tokens", "input_tokens"))
_MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "DOCUMENT": "image", "VIDEO": "video"}
_DETAILS = (
    ("promptTokensDetails", "input_{}_tokens"),
    ("toolUsePromptTokensDetails", "input_{}_tokens"),
    ("candidatesTokensDetails", "output_{}_tokens"),
    ("responseTokensDetails", "output_{}_tokens"),
    ("cacheTokensDetails", "cache_{}_read_tokens"),
)


def text(document: Document) -> int:
    """Text of every candidate, thoughts included."""
    candidates = document.get("candidates")
    return sum(_parts_text(one) for one in candidates) if isinstance(candidates, list) else 0


def _parts_text(candidate: Any) -> int:
    content = candidate.get("content") if isinstance(candidate, dict) else None
    return delivered_bytes(content)


def judge(document: Document) -> int:
    """There is no last event; a finish reason (or a blocked prompt) ends the answer."""
    if isinstance(document.get("error"), dict):
        return FAILED
    candidates = document.get("candidates")
    if isinstance(candidates, list):
        for one in candidates:
            if isinstance(one, dict) and one.get("finishReason"):
                return FINISHED
    feedback = document.get("promptFeedback")
    return FINISHED if isinstance(feedback, dict) and feedback.get("blockReason") else 0


def identity(document: Mapping[str, Any]) -> Identity:
    """`trafficType` ON_DEMAND_FLEX, or `serviceTier`, is the tier 'flex'."""
    raw = document.get("usageMetadata")
    usage = raw if isinstance(raw, dict) else {}
    traffic = text_of(usage.get("serviceTier")) or text_of(usage.get("trafficType"))
    tier = traffic.lower().removeprefix("service_tier_").removeprefix("on_demand_")
    return Identity(
        text_of(document.get("modelVersion")),
        text_of(document.get("responseId")),
        "" if tier in ("unspecified", "traffic_type_unspecified") else tier,
    )


def extra(document: Document) -> Usage:
    """What the modality lists and the grounding say."""
    found: Usage = {}
    usage = document.get("usageMetadata")
    if isinstance(usage, dict):
        for key, unit in _DETAILS:
            _add_modalities(found, usage.get(key), unit)
    searches = _searches(document)
    if searches:
        found["web_searches"] = searches
    return found


def _add_modalities(found: Usage, details: object, unit: str) -> None:
    if not isinstance(details, list):
        return
    if unit.startswith("cache_") and details:
        # A list that names no audio says that there was none, which a missing list does not.
        found.setdefault("cache_audio_read_tokens", 0)
        found.setdefault("cache_image_read_tokens", 0)
    for entry in details[:16]:
        modality = entry.get("modality") if isinstance(entry, dict) else None
        name = _MODALITIES.get(modality) if isinstance(modality, str) else None
        tokens = count(entry.get("tokenCount")) if name is not None else None
        if name is not None and tokens is not None:
            key = unit.format(name)
            found[key] = found.get(key, 0) + tokens


def _searches(document: Document) -> int:
    """Grounding with Google Search: Gemini 3 and later bill every query, earlier ones the grounded prompt."""
    candidates = document.get("candidates")
    if not isinstance(candidates, list):
        return 0
    queries = 0
    for one in candidates:
        grounding = one.get("groundingMetadata") if isinstance(one, dict) else None
        asked = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        queries += len(asked) if isinstance(asked, list) else 0
    # Also named as models/gemini-x and publishers/google/models/gemini-x.
    model = text_of(document.get("modelVersion")).rpartition("/")[2]
    return min(queries, 1) if model.startswith(("gemini-1", "gemini-2")) else queries


def _predicted(document: Document) -> Usage:
    """Vertex's embeddings count each instance: predictions[].embeddings.statistics.token_count."""
    predictions = document.get("predictions")
    if not isinstance(predictions, list):
        return {}
    total = 0
    for one in predictions:
        statistics = one.get("embeddings") if isinstance(one, dict) else None
        statistics = statistics.get("statistics") if isinstance(statistics, dict) else None
        total += count(statistics.get("token_count")) or 0 if isinstance(statistics, dict) else 0
    return {"input_tokens": total, "output_tokens": 0, "total_tokens": total} if total else {}


def _imagined(document: Document) -> Usage:
    predictions = document.get("predictions")
    return {"generated_images": len(predictions)} if isinstance(predictions, list) and predictions else {}


DIALECT = Dialect(text, judge, identity, extra)
_EMBED = Dialect(nothing, nothing, identity, extra)
# Protobuf's JSON may spell every name either way.
_CONFIGS = ("generationConfig", "generation_config")
_BOUNDS = tuple(f"{top}.{key}" for top in _CONFIGS for key in ("maxOutputTokens", "max_output_tokens"))
_ANSWERS = tuple(f"{top}.{key}" for top in _CONFIGS for key in ("candidateCount", "candidate_count"))
GENERATE = Api(
    "generate_content", "google", ":generateContent", ("contents",), _BOUNDS, ("usageMetadata",), _FIELDS, DIALECT,
    answer_keys=_ANSWERS, adds=_ADDS,
    no_output_is_none=True, model_in="/models/", replaces=True,
)  # fmt: skip
STREAM_GENERATE = GENERATE._replace(path=":streamGenerateContent", streams=True)
# Google's own endpoint embeds without saying how many tokens it counted.
EMBED = GENERATE._replace(name="embed_content", path=":embedContent", body_keys=("content", "contents"), output_keys=(),
                          answer_keys=(), has_output=False, silent=True, dialect=_EMBED)  # fmt: skip
BATCH_EMBED = EMBED._replace(path=":batchEmbedContents", body_keys=("requests",))
PREDICT_EMBED = EMBED._replace(path=":predict", within="embedding", body_keys=("instances",), bare=True, silent=False,
                               dialect=Dialect(nothing, nothing, identity, _predicted))  # fmt: skip
IMAGEN = EMBED._replace(name="images", path=":predict", within="imagen", body_keys=("instances",), bare=True,
                        answer_keys=("parameters.sampleCount",), silent=False,
                        dialect=Dialect(nothing, nothing, identity, _imagined))  # fmt: skip
MISTRAL = CHAT._replace(
    family="google", path=":rawPredict", within="/publishers/mistralai/models/", model_in="/models/"
)
MISTRAL_STREAM = MISTRAL._replace(path=":streamRawPredict", streams=True)
APIS = (STREAM_GENERATE, GENERATE, EMBED, BATCH_EMBED, PREDICT_EMBED, IMAGEN, MISTRAL, MISTRAL_STREAM)
