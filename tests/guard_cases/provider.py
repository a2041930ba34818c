"""A provider whose every call truly costs $0.01: gpt-4o at list price, 1,000 tokens in and 750 out."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

from tests.harness.mock_server import Answer, Received, Reply, json_reply, sse

MODEL = "gpt-4o"
INPUT, OUTPUT = 1000, 750
PRICE = 10_000_000  # nano USD: 1,000 x $2.50 + 750 x $10 for a million
PROMPT = [{"role": "user", "content": "x" * (4 * INPUT)}]
_WORDS = 100  # chunks of a stream; together 4 bytes for each token of OUTPUT
_ids = itertools.count(1)


def answer(received: Received) -> Reply:
    """What it answers. A stream carries no usage unless the request asks for it."""
    if received.body.get("stream"):
        return sse(_events(received.body))
    choice = {"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}
    return json_reply(_document("chat.completion", received.body, next(_ids), [choice], usage=_usage()))


def slow(seconds: float) -> Answer:
    """The same provider, which takes `seconds` for every call."""
    return lambda received: replace(answer(received), delay_s=seconds)


def _events(body: dict[str, Any]) -> list[bytes]:
    number = next(_ids)

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event(_document("chat.completion.chunk", body, number, [choice]))

    text = "x" * (4 * OUTPUT // _WORDS)
    found = [
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": text})] * _WORDS,
        chunk({}, "stop"),
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        found.append(_event(_document("chat.completion.chunk", body, number, [], usage=_usage())))
    return [*found, b"data: [DONE]\n\n"]


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()


def _usage() -> dict[str, int]:
    return {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}


def _document(
    kind: str, body: dict[str, Any], number: int, choices: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    model = body.get("model", "")
    return {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": 1,
        "model": model,
        "choices": choices,
        **more,
    }
