"""Cohere: chat in both versions, embed and rerank (SDK types). Billed units are what is billed; `tokens` include the
template's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage.read import count, delivered_bytes, dig, nothing, size, text_of
from costmon.shim.usage.shapes import ENDED, FAILED, MAX_COUNT, Api, Dialect, Document, Fields, Identity

_FIELDS: Fields = (
    ("billed_units.input_tokens", "input_tokens"),
    ("billed_units.output_tokens", "output_tokens"),
    ("billed_units.search_units", "rerank_searches"),
    ("billed_units.image_tokens", "input_image_tokens"),
    ("tokens.input_tokens", "input_tokens"),
    ("tokens.output_tokens", "output_tokens"),
)


def _text(document: Document) -> int:
    """Version 2 streams `delta.message.content.text`, version 1 `text`; whole answers `message.content`, `text`."""
    if "event_type" in document:
        return size(document.get("text")) if document["event_type"] == "text-generation" else 0
    if "type" in document:
        return delivered_bytes(document.get("delta"))
    return delivered_bytes(document.get("message")) + size(document.get("text"))


def _judge(document: Document) -> int:
    if document.get("type") == "message-end":
        failed = dig(document, "delta.error") or dig(document, "delta.finish_reason") == "ERROR"
        return ENDED | (FAILED if failed else 0)
    if document.get("event_type") == "stream-end":
        return ENDED | (FAILED if document.get("finish_reason") == "ERROR" else 0)
    return 0


def _identity(document: Mapping[str, Any]) -> Identity:
    """No answer names its model."""
    inner = document.get("response")
    top = inner if isinstance(inner, dict) else document
    return Identity(
        "", text_of(top.get("response_id")) or text_of(top.get("generation_id")) or text_of(top.get("id")), ""
    )


def _images(document: Document) -> Usage:
    """Embedded images are billed by tokens of their own, beside a text's; older answers say only how many there were."""
    meta = document.get("meta") or document.get("usage")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if not isinstance(billed, dict):
        return {}
    tokens, text = count(billed.get("image_tokens")), count(billed.get("input_tokens")) or 0
    if tokens and text < tokens:
        return {"input_tokens": min(text + tokens, MAX_COUNT)}
    images = count(billed.get("images"))
    return {"input_images": images} if images else {}


_CHAT = Dialect(_text, _judge, _identity)
_PLAIN = Dialect(nothing, nothing, _identity)
CHAT_V2 = Api("chat", "cohere", "/v2/chat", ("messages",), ("max_tokens",), ("usage", "delta.usage"), _FIELDS, _CHAT,
              answer_keys=())  # fmt: skip
CHAT_V1 = CHAT_V2._replace(path="/v1/chat", body_keys=("message",), usage_at=("meta", "response.meta"))
EMBED = Api("embed", "cohere", "/embed", ("texts", "images", "inputs"), (), ("meta", "usage"), _FIELDS,
            Dialect(nothing, nothing, _identity, _images), has_output=False, answer_keys=(), bare=True)  # fmt: skip
# Voyage and Jina rerank by tokens: {"usage": {"total_tokens": 26}}.
RERANK = EMBED._replace(name="rerank", dialect=_PLAIN, path="/rerank", body_keys=("documents",), bare=True,
                        fields=(*_FIELDS, ("total_tokens", "input_tokens")))  # fmt: skip
APIS = (CHAT_V2, CHAT_V1, EMBED, RERANK)
