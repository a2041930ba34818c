"""Mistral's own APIs beside the OpenAI-compatible ones (SDK models)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage.openai import CHAT, COMPLETIONS
from costmon.shim.usage.read import count, delivered_bytes, nothing, size, text_of
from costmon.shim.usage.read import identity as plain_identity
from costmon.shim.usage.shapes import ENDED, FAILED, Api, Dialect, Document, Fields, Identity

# Connector tokens are counted beside the prompt: total = prompt + completion + connector.
_CONVERSATION: Fields = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("connector_tokens", "input_tool_tokens"),
)
_CONNECTORS = {
    "web_search": "web_searches",
    "web_search_premium": "web_searches",
    "code_interpreter": "code_interpreter_calls",
    "image_generation": "generated_images",
}
_PAGES: Fields = (("pages_processed", "input_document_pages"),)


def _text(document: Document) -> int:
    """`message.output.delta` carries `content`; a whole answer has `outputs`."""
    if "type" not in document:
        return delivered_bytes(document.get("outputs"))
    content = document.get("content")
    return size(content) if isinstance(content, str) else delivered_bytes(content)


def _judge(document: Document) -> int:
    kind = document.get("type")
    return (
        ENDED
        if kind == "conversation.response.done"
        else FAILED
        if kind == "conversation.response.error"
        else 0
    )


def _identity(document: Mapping[str, Any]) -> Identity:
    """The model stands in the outputs; a conversation's id is the same for every answer, so there is none."""
    outputs = document.get("outputs")
    for item in reversed(outputs[-50:]) if isinstance(outputs, list) else ():
        if isinstance(item, dict) and text_of(item.get("model")):
            return Identity(text_of(item.get("model")), "", "")
    return Identity(text_of(document.get("model")), "", "")


def _connectors(document: Document) -> Usage:
    """usage.connectors: {"web_search": 1}."""
    usage = document.get("usage")
    calls = usage.get("connectors") if isinstance(usage, dict) else None
    found: Usage = {}
    for name, value in calls.items() if isinstance(calls, dict) else ():
        unit, number = _CONNECTORS.get(name), count(value)
        if unit is not None and number:
            found[unit] = found.get(unit, 0) + number
    return found


AGENTS = CHAT._replace(name="agents", family="mistral", path="/agents/completions")
FIM = COMPLETIONS._replace(name="fim", family="mistral", path="/fim/completions")
CONVERSATIONS = Api(
    "conversations", "mistral", "/conversations", ("inputs",), ("completion_args.max_tokens",), ("usage",), _CONVERSATION,
    Dialect(_text, _judge, _identity, _connectors), answer_keys=(), adds=(("input_tool_tokens", "input_tokens"),),
)  # fmt: skip
OCR = Api("ocr", "mistral", "/ocr", ("document",), (), ("usage_info",), _PAGES,
          Dialect(nothing, nothing, plain_identity), has_output=False, answer_keys=(), bare=True)  # fmt: skip
# Annotated pages are pages too, at a price of their own.
OCR_ANNOTATED = OCR._replace(fields=(*_PAGES, ("pages_processed", "input_annotated_document_pages")))
APIS = (AGENTS, FIM, CONVERSATIONS, OCR)
