"""Anthropic's Messages API, also as Google's Vertex serves it (SDK types)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.usage.read import delivered_bytes, dig
from costmon.shim.usage.read import identity as plain_identity
from costmon.shim.usage.shapes import ENDED, FAILED, FINISHED, Api, Dialect, Document, Fields, Identity

_FIELDS: Fields = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cache_read_input_tokens", "cache_read_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"),
    ("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_tokens"),
    ("output_tokens_details.thinking_tokens", "reasoning_tokens"),
    ("server_tool_use.web_search_requests", "web_searches"),
)


def text(document: Document) -> int:
    """A delta of a stream, or the content of a whole answer."""
    return delivered_bytes(document.get("delta")) + (
        delivered_bytes(document.get("content")) if document.get("type") == "message" else 0
    )


def judge(document: Document) -> int:
    """`message_stop` ends a stream; a stop reason means that the counts beside it are final."""
    kind = document.get("type")
    if kind == "message_stop":
        return ENDED
    if kind == "error":
        return FAILED
    return FINISHED if kind == "message_delta" and dig(document, "delta.stop_reason") is not None else 0


def identity(document: Mapping[str, Any]) -> Identity:
    """Fast mode has prices of its own: `usage.speed` is told as the tier 'speed=fast'."""
    found = plain_identity(document)
    message = document.get("message")
    usage = (message if isinstance(message, dict) else document).get("usage")
    return (
        found._replace(service_tier="speed=fast")
        if isinstance(usage, dict) and usage.get("speed") == "fast"
        else found
    )


DIALECT = Dialect(text, judge, identity, provisional=True, flat=True)
# Cache reads and writes are counted beside input_tokens, not inside (Messages API reference).
MESSAGES = Api("messages", "anthropic", "/messages", ("messages",), ("max_tokens",), ("usage", "message.usage"),
               _FIELDS, DIALECT, answer_keys=(), beside=True)  # fmt: skip
VERTEX = MESSAGES._replace(family="google", path=":rawPredict", within="/publishers/anthropic/models/",
                           model_in="/models/")  # fmt: skip
VERTEX_STREAM = VERTEX._replace(path=":streamRawPredict", streams=True)
APIS = (MESSAGES, VERTEX, VERTEX_STREAM)
