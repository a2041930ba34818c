"""What OpenAI and Anthropic would answer: documents and event streams with fixed text and usage.

Shapes are from OpenAI's openapi.yaml and Anthropic's Messages API reference. Ids count up, so that no two answers share
one, as with the real providers.
"""

from __future__ import annotations

import base64
import itertools
import json
import struct
import zlib
from typing import Any

TEXT = ("Grüße, ", "세계 ", "💸", " and good night")
INPUT, CACHED, OUTPUT = 1200, 200, 451
"""Tokens of every answer; CACHED of the input were read from the cache."""
_ids = itertools.count(1)


def restart() -> None:
    """Count ids from 1 again, so that two runs get the same answers."""
    global _ids
    _ids = itertools.count(1)


def document(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request that does not stream."""
    model, text = body.get("model", ""), "".join(TEXT)
    if path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}
        usage = {"prompt_tokens": INPUT, "total_tokens": INPUT}
        return {"object": "list", "data": [vector], "model": model, "usage": usage}
    if path.endswith("/responses"):
        return _response(model, text, "completed")
    if path.endswith("/messages"):
        return _message(model, [{"type": "text", "text": text}], "end_turn", OUTPUT)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _chat("chat.completion", model, choices=[choice], usage=chat_usage())


def events(path: str, body: dict[str, Any]) -> list[bytes]:
    """The answer to a request that streams."""
    model = body.get("model", "")
    if path.endswith("/responses"):
        return _responses_events(model)
    if path.endswith("/messages"):
        return _message_events(model)
    include_usage = (body.get("stream_options") or {}).get("include_usage") is True
    return chat_events(model, include_usage=include_usage)


def chat_usage() -> dict[str, Any]:
    details = {"cached_tokens": CACHED}
    total = INPUT + OUTPUT
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": total,
        "prompt_tokens_details": details,
    }


def chat_events(model: str, *, include_usage: bool, done: bool = True) -> list[bytes]:
    """A chat stream; `done` False leaves out the closing `[DONE]`."""
    number = next(_ids)

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _event(_chat("chat.completion.chunk", model, number, choices=choices, **more))

    def delta(text: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": text, "finish_reason": finish}]

    found = [chunk(delta({"role": "assistant", "content": ""}))]
    found += [chunk(delta({"content": part})) for part in TEXT]
    found.append(chunk(delta({}, "stop")))
    if include_usage:
        found.append(chunk([], usage=chat_usage()))
    return [*found, b"data: [DONE]\n\n"] if done else found


def _chat(kind: str, model: str, number: int | None = None, **more: Any) -> dict[str, Any]:
    number = next(_ids) if number is None else number
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1, "model": model, **more}


def _response(model: str, text: str, status: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT + OUTPUT,
    }
    return {
        "id": f"resp_{next(_ids)}",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": status,
        "output": [item] if text else [],
        "usage": usage if status == "completed" else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _responses_events(model: str) -> list[bytes]:
    done = _response(model, "".join(TEXT), "completed")
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    steps: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    steps += [
        {
            "type": "response.output_text.delta",
            "delta": part,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
        }
        for part in TEXT
    ]
    steps.append({"type": "response.completed", "response": done})
    return [_event({**step, "sequence_number": n}, step["type"]) for n, step in enumerate(steps)]


def _message(model: str, content: list[dict[str, Any]], stop: str | None, output: int) -> dict[str, Any]:
    # Anthropic counts cache reads beside input_tokens.
    usage = {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": output}
    return {
        "id": f"msg_{next(_ids)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _message_events(model: str) -> list[bytes]:
    steps: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message(model, [], None, 1)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    steps += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
        for part in TEXT
    ]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    steps += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": OUTPUT}},
        {"type": "message_stop"},
    ]
    return [_event(step, step["type"]) for step in steps]


def bedrock_converse_events() -> list[bytes]:
    """What Bedrock's ConverseStream answers, one event-stream message each."""
    steps: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    steps += [("contentBlockDelta", {"delta": {"text": part}, "contentBlockIndex": 0}) for part in TEXT]
    counts = {"inputTokens": INPUT, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT}
    steps += [
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": counts, "metrics": {"latencyMs": 7}}),
    ]
    return [
        _message_frame(name, json.dumps(document, ensure_ascii=False).encode()) for name, document in steps
    ]


def bedrock_invoke_events() -> list[bytes]:
    """What InvokeModelWithResponseStream answers for one of Anthropic's models: its events, each inside a chunk."""
    found = []
    for event in _message_events("claude-3-haiku-20240307"):
        inner = event.partition(b"data: ")[2].strip()
        chunk = {"bytes": base64.b64encode(inner).decode(), "p": "abcdef"}
        found.append(_message_frame("chunk", json.dumps(chunk).encode()))
    return found


def _message_frame(event: str, payload: bytes) -> bytes:
    """One message of `application/vnd.amazon.eventstream`: lengths, checksum, headers, payload, checksum."""
    names = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + b"\x07"
        + struct.pack("!H", len(value))
        + value.encode()
        for name, value in names.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack("!I", zlib.crc32(body))


def _event(document: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()
