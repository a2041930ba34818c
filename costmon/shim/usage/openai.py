"""OpenAI's APIs and everything compatible with them (openapi.yaml; types of its SDK)."""

from __future__ import annotations

from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage.read import delivered_bytes, identity, nothing, size
from costmon.shim.usage.shapes import ENDED, FAILED, FINISHED, Api, Dialect, Document, Fields

_CHAT_FIELDS: Fields = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("prompt_tokens_details.cached_tokens", "cache_read_tokens"),
    ("prompt_cache_hit_tokens", "cache_read_tokens"),
    ("cached_tokens", "cache_read_tokens"),
    ("prompt_tokens_details.cache_write_tokens", "cache_write_tokens"),
    ("prompt_tokens_details.audio_tokens", "input_audio_tokens"),
    ("prompt_audio_seconds", "audio_seconds"),
    ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    ("completion_tokens_details.audio_tokens", "output_audio_tokens"),
)
_RESPONSES_FIELDS: Fields = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("input_tokens_details.cached_tokens", "cache_read_tokens"),
    ("input_tokens_details.cache_write_tokens", "cache_write_tokens"),
    ("output_tokens_details.reasoning_tokens", "reasoning_tokens"),
)
# Singular `input_token_details`; whisper-class models say {"type": "duration", "seconds": 9}, `verbose_json` says
# `duration` beside the text, and compatible servers say it only there.
_AUDIO_FIELDS: Fields = (
    ("seconds", "audio_seconds"),
    ("prompt_audio_seconds", "audio_seconds"),
    ("input_tokens", "input_tokens"),
    ("prompt_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("input_token_details.audio_tokens", "input_audio_tokens"),
)
_IMAGE_FIELDS: Fields = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("input_tokens_details.image_tokens", "input_image_tokens"),
    ("output_tokens_details.image_tokens", "output_image_tokens"),
)
_RESPONSES_END = {"response.completed": ENDED, "response.incomplete": ENDED, "response.failed": ENDED | FAILED,
                  "error": FAILED}  # fmt: skip
_TOOLS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_interpreter_calls",
    "image_generation_call": "generated_images",
}


def _chat_text(document: Document) -> int:
    """Text of every choice; the one-key delta of nearly every chunk is read without a search."""
    choices = document.get("choices")
    if type(choices) is not list:
        return 0
    total = 0
    for choice in choices:
        delta = (choice.get("delta") or choice.get("message")) if type(choice) is dict else None
        if type(delta) is dict and len(delta) == 1 and type(text := delta.get("content")) is str:
            total += size(text)
        else:
            total += delivered_bytes(choice)
    return total


def _chat_judge(document: Document) -> int:
    """Finished: a choice gave its reason, or this is the extra chunk that only carries the totals."""
    found = FAILED if type(document.get("error")) is dict else 0
    choices = document.get("choices")
    if type(choices) is not list:
        return found
    if not choices:
        return found | (FINISHED if type(document.get("usage")) is dict else 0)
    for choice in choices:
        if type(choice) is dict and choice.get("finish_reason") is not None:
            return found | FINISHED
    return found


def _responses_text(document: Document) -> int:
    """A delta of a stream, or the output of a whole answer; events that repeat the text so far count nothing."""
    if "type" in document:
        return size(document.get("delta"))
    return delivered_bytes(document.get("output"))


def _responses_judge(document: Document) -> int:
    kind = document.get("type")
    return _RESPONSES_END.get(kind, 0) if type(kind) is str else 0


def _responses_tools(document: Document) -> Usage:
    """Built-in tool calls, billed beside the tokens: `output[].type`."""
    inner = document.get("response")
    output = (inner if isinstance(inner, dict) else document).get("output")
    found: Usage = {}
    for item in output if isinstance(output, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        unit = _TOOLS.get(kind) if isinstance(kind, str) else None
        if unit is not None:
            found[unit] = found.get(unit, 0) + 1
    return found


def _event_text(document: Document) -> int:
    """Transcripts: `delta` of a stream, `text` of a whole answer (a stream's last event repeats it)."""
    return size(document.get("delta")) if "type" in document else size(document.get("text"))


def _event_judge(document: Document) -> int:
    kind = document.get("type")
    if type(kind) is not str:
        return 0
    if kind in ("transcript.text.done", "speech.audio.done"):
        return ENDED
    return FINISHED if kind.endswith(".completed") else FAILED if kind == "error" else 0


def _duration(document: Document) -> dict[str, Any]:
    """`verbose_json` tells the duration beside the text, whoever reports no usage."""
    from costmon.shim.usage.read import whole_seconds

    if "duration" not in document or isinstance(document.get("usage"), dict):
        return {}
    value = document["duration"]
    if isinstance(value, str):  # OpenAI's older answers
        value = float(value) if value.replace(".", "", 1).isdigit() and len(value) < 20 else None
    seconds = whole_seconds(value)
    return {} if seconds is None else {"audio_seconds": seconds}


def _images(document: Document) -> Usage:
    """Images of models without usage (dall-e); image output of those whose usage does not split it."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        data = document.get("data")
        return {"generated_images": len(data)} if isinstance(data, list) and data else {}
    tokens = usage.get("output_tokens")
    split = isinstance(usage.get("output_tokens_details"), dict)
    return (
        {} if split or type(tokens) is not int or tokens < 0 else {"output_image_tokens": min(tokens, 10**8)}
    )


CHAT_DIALECT = Dialect(_chat_text, _chat_judge, identity, flat=True)
RESPONSES_DIALECT = Dialect(_responses_text, _responses_judge, identity, _responses_tools, flat=True)
_PLAIN = Dialect(nothing, nothing, identity, flat=True)
_AUDIO = Dialect(_event_text, _event_judge, identity, _duration, flat=True)
_IMAGE = Dialect(nothing, _event_judge, identity, _images, flat=True)
_SPEECH = Dialect(nothing, _event_judge, identity, flat=True)

CHAT = Api("chat", "openai", "/chat/completions", ("messages",), ("max_completion_tokens", "max_tokens"),
           ("usage", "x_groq.usage", "choices.0.usage"), _CHAT_FIELDS, CHAT_DIALECT)  # fmt: skip
COMPLETIONS = CHAT._replace(
    name="completions", path="/completions", body_keys=("prompt",), output_keys=("max_tokens",)
)
RESPONSES = Api("responses", "openai", "/responses", ("input", "prompt", "conversation", "previous_response_id"),
                ("max_output_tokens",), ("usage", "response.usage"), _RESPONSES_FIELDS, RESPONSES_DIALECT)  # fmt: skip
COMPACT = RESPONSES._replace(name="compact", path="/responses/compact",
                             body_keys=("input", "previous_response_id"))  # fmt: skip
EMBEDDINGS = Api("embeddings", "openai", "/embeddings", ("input",), (), ("usage",), _CHAT_FIELDS, _PLAIN,
                 has_output=False, answer_keys=())  # fmt: skip
TRANSCRIPTIONS = Api("transcriptions", "openai", "/audio/transcriptions", ("model",), (), ("usage",), _AUDIO_FIELDS,
                     _AUDIO, answer_keys=(), bare=True, form=True)  # fmt: skip
TRANSLATIONS = TRANSCRIPTIONS._replace(name="translations", path="/audio/translations")
SPEECH = Api("speech", "openai", "/audio/speech", ("input",), (), ("usage",), _RESPONSES_FIELDS, _SPEECH,
             answer_keys=(), silent=True)  # fmt: skip
IMAGES = Api("images", "openai", "/images/generations", ("prompt",), (), ("usage",), _IMAGE_FIELDS, _IMAGE,
             answer_keys=(), bare=True)  # fmt: skip
IMAGE_EDITS = IMAGES._replace(name="image_edits", path="/images/edits", form=True)
IMAGE_VARIATIONS = IMAGES._replace(
    name="image_variations", path="/images/variations", body_keys=("image",), form=True
)

APIS = (CHAT, COMPACT, RESPONSES, EMBEDDINGS, TRANSCRIPTIONS, TRANSLATIONS, SPEECH, IMAGES, IMAGE_EDITS,
        IMAGE_VARIATIONS, COMPLETIONS)  # fmt: skip

# What one provider says in the shared shape and means in its own way: (api, provider) → row.
_PERPLEXITY: Fields = (
    *_CHAT_FIELDS,
    ("reasoning_tokens", "reasoning_tokens"),
    ("citation_tokens", "output_citation_tokens"),
    ("num_search_queries", "web_searches"),
)
_TICKS = ("cost_in_usd_ticks", 10)
_DOLLARS = ("cost", 0)
VARIANTS = {
    # Reasoning and citations are billed beside completion_tokens and stand outside total_tokens.
    ("chat", "perplexity"): CHAT._replace(
        fields=_PERPLEXITY,
        adds=(("reasoning_tokens", "output_tokens"), ("output_citation_tokens", "output_tokens")),
    ),
    ("chat", "x-ai"): CHAT._replace(cost_at=_TICKS),
    ("responses", "x-ai"): RESPONSES._replace(cost_at=_TICKS),
    # Mistral counts tokens too, and bills the seconds.
    ("transcriptions", "mistral"): TRANSCRIPTIONS._replace(
        fields=(("prompt_audio_seconds", "audio_seconds"),)
    ),
    **{(api.name, "openrouter"): api._replace(cost_at=_DOLLARS) for api in APIS},
}
