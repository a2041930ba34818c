"""Recognise a metered call by its path and body, and read its usage from the wire.

Each API is a row of data: where it lives, which body makes it that API, and a path → field table for its usage. Shapes
are from the providers' own specifications: OpenAI's openapi.yaml (chat completions, responses, embeddings) and
Anthropic's SDK types (messages). Counts come out inclusive (see `events.Usage`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from costmon.shim.events import Usage

MAX_COUNT = 10**8  # a hundred million tokens in one call is a broken server, not a call
Fields = tuple[tuple[str, str], ...]


class Api(NamedTuple):
    """One kind of endpoint. `body_keys`: any of them must be in the request; `output_keys`: where it bounds its output."""

    name: str
    family: str
    path: str
    body_keys: tuple[str, ...]
    output_keys: tuple[str, ...]
    usage_at: tuple[str, ...]
    fields: Fields
    has_output: bool = True


class Request(NamedTuple):
    """A recognised call. `input_bytes` is the UTF-8 size of its text; `max_output` None when unbounded."""

    api: Api
    model: str
    stream: bool
    max_output: int | None
    input_bytes: int
    attachments: int


class Identity(NamedTuple):
    """What a response says of itself; '' where it says nothing."""

    model: str
    response_id: str
    service_tier: str


_OPENAI_CHAT: Fields = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("prompt_tokens_details.cached_tokens", "cache_read_tokens"),
    ("prompt_cache_hit_tokens", "cache_read_tokens"),
    ("cached_tokens", "cache_read_tokens"),
    ("prompt_tokens_details.cache_write_tokens", "cache_write_tokens"),
    ("prompt_tokens_details.audio_tokens", "input_audio_tokens"),
    ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    ("completion_tokens_details.audio_tokens", "output_audio_tokens"),
)
_OPENAI_RESPONSES: Fields = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("input_tokens_details.cached_tokens", "cache_read_tokens"),
    ("input_tokens_details.cache_write_tokens", "cache_write_tokens"),
    ("output_tokens_details.reasoning_tokens", "reasoning_tokens"),
)
_ANTHROPIC: Fields = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cache_read_input_tokens", "cache_read_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"),
    ("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_tokens"),
    ("output_tokens_details.thinking_tokens", "reasoning_tokens"),
    ("server_tool_use.web_search_requests", "web_searches"),
)

CHAT = Api(
    "chat",
    "openai",
    "/chat/completions",
    ("messages",),
    ("max_completion_tokens", "max_tokens"),
    ("usage", "x_groq.usage", "choices.0.usage"),
    _OPENAI_CHAT,
)
RESPONSES = Api(
    "responses",
    "openai",
    "/responses",
    ("input", "prompt", "conversation"),
    ("max_output_tokens",),
    ("usage", "response.usage"),
    _OPENAI_RESPONSES,
)
EMBEDDINGS = Api(
    "embeddings", "openai", "/embeddings", ("input",), (), ("usage",), _OPENAI_CHAT, has_output=False
)
MESSAGES = Api(
    "messages",
    "anthropic",
    "/messages",
    ("messages",),
    ("max_tokens",),
    ("usage", "message.usage"),
    _ANTHROPIC,
)
APIS = (CHAT, RESPONSES, EMBEDDINGS, MESSAGES)
_TAILS = {api.path.rsplit("/", 1)[1]: api for api in APIS}

KNOWN_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.perplexity.ai": "perplexity",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "generativelanguage.googleapis.com": "google",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.novita.ai": "novita",
    "api.minimax.io": "minimax",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
}
_KNOWN_SUFFIXES = (
    (".openai.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".api.openai.com", "openai"),
)


def api_of(method: str, path: str) -> Api | None:
    """The API a path may belong to, cheap enough for every request of the host."""
    if method != "POST":
        return None
    api = _TAILS.get(path.rstrip("/").rsplit("/", 1)[-1])
    return api if api is not None and path.rstrip("/").endswith(api.path) else None


def recognise(api: Api, path: str, body: bytes | None) -> Request | None:
    """The call a request makes, or None when its body is not one of this API. `body` None = streamed, not readable."""
    if body is None:
        return Request(api, _deployment(path), False, None, 0, 0) if _deployment(path) else None
    document = parse(body)
    if document is None or not any(key in document for key in api.body_keys):
        return None
    model = document.get("model")
    name = model if isinstance(model, str) and model else _deployment(path)
    if not name:
        return None
    bounds = [_count(document.get(key)) for key in api.output_keys]
    answers = max(1, _count(document.get("n")) or 1)
    size, attachments = _text_size(document)
    return Request(
        api,
        name,
        document.get("stream") is True,
        next((bound * answers for bound in bounds if bound is not None), None),
        size,
        attachments,
    )


def provider_of(
    api: Api, host: str, port: int | None, hosts: Mapping[str, Mapping[str, object]]
) -> tuple[str, bool]:
    """(provider, free): the config's host map, else a known host, else the API's family."""
    entry = hosts.get(f"{host}:{port}") or hosts.get(host)
    if entry is not None:
        return str(entry.get("provider", api.family)), entry.get("free") is True
    known = KNOWN_HOSTS.get(host)
    if known is None:
        known = next((provider for suffix, provider in _KNOWN_SUFFIXES if host.endswith(suffix)), api.family)
    return known, False


def identity(document: Mapping[str, Any]) -> Identity:
    """Who answered what, in one JSON document (a whole response, or one event of a stream)."""
    inner = document.get("response") or document.get("message")
    top = inner if isinstance(inner, dict) else document
    raw = top.get("usage")
    return Identity(
        _text(top.get("model")) or _text(document.get("model")),
        _text(top.get("id")) or _text(document.get("id")),
        _text(top.get("service_tier")) or (_text(raw.get("service_tier")) if isinstance(raw, dict) else ""),
    )


def raw_usage(api: Api, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage object as the provider sent it, or None."""
    for place in api.usage_at:
        raw = dig(document, place)
        if isinstance(raw, dict):
            return raw
    return None


_TOOL_UNITS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_interpreter_calls",
    "image_generation_call": "generated_images",
}


def tool_units(api: Api, document: Mapping[str, Any]) -> Usage:
    """Built-in tool calls of a response, billed beside its tokens: {unit: calls} (OpenAI responses, `output[].type`)."""
    inner = document.get("response")
    output = (inner if isinstance(inner, dict) else document).get("output") if api is RESPONSES else None
    found: Usage = {}
    for item in output if isinstance(output, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        unit = _TOOL_UNITS.get(kind) if isinstance(kind, str) else None
        if unit is not None:
            found[unit] = found.get(unit, 0) + 1
    return found


def read_usage(api: Api, document: Mapping[str, Any]) -> Usage | None:
    """The normalised usage, or None when there is none or its main counts are unusable."""
    raw = raw_usage(api, document)
    return normalise(api, fields_of(api, raw)) if raw is not None else None


def fields_of(api: Api, raw: Mapping[str, Any]) -> dict[str, int | None]:
    """The table's fields that are present; None marks one that is present but no count."""
    found: dict[str, int | None] = {}
    for (first, second), field in _table(api.name):
        value = raw.get(first)
        if second:
            value = value.get(second) if isinstance(value, dict) else None
        if value is not None and found.get(field) is None:
            found[field] = _count(value)
    return found


@functools.cache
def _table(api_name: str) -> tuple[tuple[tuple[str, str], str], ...]:
    """The field table of an API with its paths split into one or two steps."""
    fields = next(api.fields for api in APIS if api.name == api_name)
    split = [(path.partition("."), field) for path, field in fields]
    return tuple(((first, second), field) for (first, _, second), field in split)


def normalise(api: Api, fields: Mapping[str, int | None]) -> Usage | None:
    """Inclusive, consistent counts; None when the input or output count is missing or unusable."""
    main = fields.get("input_tokens")
    output = fields.get("output_tokens") if api.has_output else fields.get("output_tokens") or 0
    if main is None or output is None:
        return None
    usage: Usage = {name: count for name, count in fields.items() if count}
    reasoning = usage.get("reasoning_tokens", 0)
    total = fields.get("total_tokens")
    if api is MESSAGES:
        # Anthropic counts cache reads and writes beside input_tokens, not inside (Messages API reference).
        main += usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    elif reasoning and total == main + output + reasoning:
        # xAI's chat endpoint leaves reasoning out of completion_tokens though it bills it as output (xai-proto).
        output += reasoning
    usage["input_tokens"], usage["output_tokens"] = main, output
    usage["total_tokens"] = main + output
    return usage


def parse(body: bytes | str) -> dict[str, Any] | None:
    """A JSON object, or None for anything else (HTML, truncated, too deep)."""
    import json

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def estimate_tokens(text_bytes: int, attachments: int = 0) -> int:
    """Tokens in `text_bytes` of UTF-8: a quarter, rounded up (within about 30 % of o200k_base for English, Korean and
    code), plus 1,000 for each image or file (OpenAI and Anthropic bill 765 to 1,600 for a full-size image)."""
    return -(-text_bytes // 4) + 1000 * attachments


_TEXT_KEYS = frozenset(
    {
        "content",
        "text",
        "arguments",
        "partial_json",
        "thinking",
        "refusal",
        "delta",
        "reasoning_content",
        "reasoning",
    }
)


def delivered_bytes(document: Any) -> int:
    """UTF-8 bytes of generated text in one event of a stream, however deep."""
    total, stack = 0, [document]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if isinstance(value, (dict, list)):
                    stack.append(value)
                elif key in _TEXT_KEYS and isinstance(value, str):
                    total += len(value.encode("utf-8", "replace"))
    return total


def _text_size(document: Any) -> tuple[int, int]:
    """(bytes of text, attachments) of a request; encoded images and files count as attachments, not as text."""
    size = attachments = 0
    stack = [document]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if len(item) > 2000 and (item.startswith("data:") or (item.isascii() and " " not in item[:2000])):
                attachments += 1
            else:
                size += len(item) if item.isascii() else len(item.encode("utf-8", "replace"))
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            if item and type(item[0]) is int:  # ready-made token ids
                size += 4 * len(item)
            else:
                stack.extend(item)
    return size, attachments


def _deployment(path: str) -> str:
    """Azure names the model in the path: /openai/deployments/NAME/chat/completions."""
    parts = path.split("/")
    return parts[parts.index("deployments") + 1] if "deployments" in parts[:-1] else ""


def _count(value: object) -> int | None:
    """A usable count: a whole number from 0 to 10^8, not a bool, NaN or text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 0 <= value <= MAX_COUNT else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@functools.lru_cache(maxsize=256)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path of keys and list positions, or None."""
    value = document
    for part in _parts(path):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
