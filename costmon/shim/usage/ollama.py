"""Ollama's own API: lines of JSON, the counts only in the last one (ollama-python types).

Ollama runs on the operator's own machine, so its calls are free by nature (see `hosts`); ollama.com is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.usage.read import delivered_bytes, size, text_of
from costmon.shim.usage.shapes import ENDED, FAILED, Api, Dialect, Document, Fields, Identity

# A missing prompt_eval_count is unknown, not none: older servers left it out for cached prompts.
_FIELDS: Fields = (
    ("prompt_eval_count", "input_tokens"),
    ("eval_count", "output_tokens"),
    ("prompt_eval_cached_count", "cache_read_tokens"),
)


def _text(document: Document) -> int:
    return delivered_bytes(document.get("message")) + size(document.get("response"))


def _judge(document: Document) -> int:
    return (ENDED if document.get("done") is True else 0) | (
        FAILED if isinstance(document.get("error"), str) else 0
    )


def _identity(document: Mapping[str, Any]) -> Identity:
    return Identity(text_of(document.get("model")), "", "")


_DIALECT = Dialect(_text, _judge, _identity)
CHAT = Api("chat", "ollama", "/api/chat", ("messages",), ("options.num_predict",), ("",), _FIELDS, _DIALECT,
           answer_keys=())  # fmt: skip
GENERATE = CHAT._replace(name="generate", path="/api/generate", body_keys=("prompt",))
EMBED = CHAT._replace(name="embed", path="/api/embed", body_keys=("input",), output_keys=(), has_output=False)
EMBEDDINGS = EMBED._replace(path="/api/embeddings", body_keys=("prompt",), silent=True)
APIS = (CHAT, GENERATE, EMBED, EMBEDDINGS)
