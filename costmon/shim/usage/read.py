"""Read a usage object by an API's field table, and make its counts inclusive and consistent (see `events.Usage`)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage.shapes import MAX_COUNT, Api, Document, Identity

_SECONDS = "audio_seconds"
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what `json.loads` calls at its heart
_Table = tuple[tuple[str, str, str, bool], ...]


def parse(body: bytes | str) -> Document | None:
    """A JSON object, or None for anything else (HTML, truncated, too deep)."""
    document = parse_any(body)
    return document if isinstance(document, dict) else None


def parse_any(body: bytes | str) -> Any:
    """Any JSON document, or None for anything that is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def parse_event(data: bytes) -> Document | None:
    """Like `parse`, by the scanner alone, without the search for an encoding: twice as fast for a short document."""
    try:
        text = data.decode()
        document, end = _scan(text, 0)
        if end != len(text) and text[end:].strip():
            return None
    except (StopIteration, ValueError, RecursionError):
        return parse(data.strip())
    return document if type(document) is dict else None


def raw_usage(api: Api, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage object as the provider sent it, or None."""
    for first, rest in places(api.usage_at):
        raw = document.get(first) if first else document
        if raw is not None and rest:
            raw = dig(raw, rest)
        if type(raw) is dict:
            return raw
    return None


@functools.lru_cache(maxsize=64)
def places(usage_at: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Where the usage may be, each place as its first key and the rest of its path."""
    split = [place.partition(".") for place in usage_at]
    return tuple((first, rest) for first, _, rest in split)


def read_usage(api: Api, document: Document) -> Usage | None:
    """The normalised usage of a whole answer, or None when there is none or its main counts are unusable."""
    fields = usage_fields(api, document)
    return normalise(api, fields) if fields is not None else None


def usage_fields(api: Api, document: Document) -> dict[str, int | None] | None:
    """The counts one document tells, None when it has no usage at all; a None count is present but unusable."""
    raw = raw_usage(api, document)
    extra = api.dialect.extra
    if raw is None and not (api.bare and extra is not None):
        return None
    found = fields_of(api, raw) if raw is not None else {}
    if extra is not None:
        found.update(extra(document))
    return found


def tool_units(api: Api, document: Document) -> Usage:
    """What is billed beside the tokens and not part of the usage object: {unit: count}."""
    extra = api.dialect.extra
    return extra(document) if extra is not None else {}


def fields_of(api: Api, raw: Mapping[str, Any]) -> dict[str, int | None]:
    """The table's fields that are present; None marks one that is present but no count."""
    found: dict[str, int | None] = {}
    for first, rest, field, seconds in _table(api.fields):
        value = raw.get(first)
        if value is None:
            continue
        if rest:
            value = value.get(rest) if type(value) is dict and "." not in rest else dig(value, rest)
            if value is None:
                continue
        if field not in found or found[field] is None:
            found[field] = whole_seconds(value) if seconds else count(value)
    return found


@functools.lru_cache(maxsize=64)
def _table(fields: tuple[tuple[str, str], ...]) -> _Table:
    """A field table with its paths split into the first step and the rest."""
    split = [(path.partition("."), field) for path, field in fields]
    return tuple((first, rest, field, field == _SECONDS) for (first, _, rest), field in split)


def normalise(api: Api, fields: Mapping[str, int | None]) -> Usage | None:
    """Inclusive, consistent counts; None when the input or output count is missing or unusable."""
    usage: Usage = {name: value for name, value in fields.items() if value}
    main, output = fields.get("input_tokens"), fields.get("output_tokens")
    if api.bare and "input_tokens" not in fields and not output:
        return usage or None
    if main is None and not api.has_output and "input_tokens" not in fields:
        main = fields.get("total_tokens")
    if output is None and (not api.has_output or (api.no_output_is_none and "output_tokens" not in fields)):
        output = 0
    if main is None or output is None:
        return None
    if api.beside:
        main += usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    for part, whole in api.adds:
        if whole == "input_tokens":
            main += usage.get(part, 0)
        else:
            output += usage.get(part, 0)
    reasoning = usage.get("reasoning_tokens", 0)
    if reasoning and not api.adds and fields.get("total_tokens") == main + output + reasoning:
        # xAI's chat endpoint leaves reasoning out of completion_tokens though it bills it as output (xai-proto).
        output += reasoning
    for name in _JOINS:
        if fields.get(name) == 0:  # said to be none, where a silence would leave an overlap open
            usage[name] = 0
    usage["input_tokens"], usage["output_tokens"] = main, output
    usage["total_tokens"] = main + output
    return usage


_JOINS = ("cache_audio_read_tokens", "cache_image_read_tokens")


def identity(document: Mapping[str, Any]) -> Identity:
    """Who answered what, as OpenAI and Anthropic say it (their `response` and `message` events included)."""
    inner = document.get("response") or document.get("message")
    top = inner if isinstance(inner, dict) else document
    raw = top.get("usage")
    return Identity(
        text_of(top.get("model")) or text_of(document.get("model")),
        text_of(top.get("id")) or text_of(document.get("id")),
        text_of(top.get("service_tier"))
        or (text_of(raw.get("service_tier")) if isinstance(raw, dict) else ""),
    )


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
        "generation",
        "outputText",
    }
)


def size(text: object) -> int:
    """UTF-8 bytes of a text; 0 for anything else."""
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


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
                    total += size(value)
    return total


def nothing(_: Document) -> int:
    """For dialects without generated text, or without events to judge."""
    return 0


def count(value: object) -> int | None:
    """A usable count: a whole number from 0 to 10^8, not a bool, NaN or text."""
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, float) and value.is_integer():
        return int(value) if 0 <= value <= MAX_COUNT else None
    return None


def whole_seconds(value: object) -> int | None:
    """A duration in seconds, begun ones counted; None for what is none."""
    if isinstance(value, float) and 0 <= value <= MAX_COUNT:
        return -int(-value // 1)
    return count(value)


def text_of(value: object) -> str:
    """`value` if it is a text, else ''."""
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
