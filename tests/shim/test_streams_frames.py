"""Bedrock's binary event streams: frames in, usage out, and no garbage ever reaches the app."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim.streams import Body
from costmon.shim.streams.frames import FrameError, frames
from costmon.shim.usage.bedrock import CONVERSE_STREAM, INVOKE_STREAM
from tests.shim.test_usage_apis import CLAUDE_STREAM, CLAUDE_USED, CONVERSE_USAGE, CONVERSE_USED, tokens

KIND = "application/vnd.amazon.eventstream"


def frame(payload: bytes, **headers: str) -> bytes:
    """One frame; header names are written with dashes: event_type → :event-type."""
    head = b""
    for name, value in headers.items():
        name, text = ":" + name.replace("_", "-"), value.encode()
        head += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return data + struct.pack(">I", zlib.crc32(data))


def event(name: str, document: Any) -> bytes:
    return frame(
        json.dumps(document).encode(), event_type=name, content_type="application/json", message_type="event"
    )


def part(document: Any) -> bytes:
    """A chunk of InvokeModelWithResponseStream: JSON in base64 in JSON."""
    return event("chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode(), "p": "abcd"})


CONVERSE = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":1}'}}}),
    event("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"reasoningContent": {"text": "hm"}}}),
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event("messageStop", {"stopReason": "end_turn"}),
    event(
        "metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 1}, "serviceTier": {"type": "flex"}}
    ),
]
METRICS = {"inputTokenCount": 12, "outputTokenCount": 5, "cacheReadInputTokenCount": 100, "cacheWriteInputTokenCount": 20,
           "invocationLatency": 9, "firstByteLatency": 3}  # fmt: skip
INVOKE = [
    *map(part, CLAUDE_STREAM[:-1]),
    part({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}),
]
LLAMA = [part({"generation": "Hel", "prompt_token_count": 11, "generation_token_count": 1}),
         part({"generation": "lo", "prompt_token_count": None, "generation_token_count": 4, "stop_reason": "stop",
               "amazon-bedrock-invocationMetrics": {"inputTokenCount": 11, "outputTokenCount": 4}})]  # fmt: skip


def follow(api: Any, data: bytes, step: int) -> Body:
    body = Body(api, KIND, "")
    for start in range(0, len(data), step):
        body.feed(data[start : start + step])
    body.end()
    return body


@pytest.mark.parametrize("step", [1, 7, 100, 100_000])
def test_a_converse_stream(step: int) -> None:
    """The last event carries the usage, cut anywhere; text, tool input and reasoning are what was delivered."""
    body = follow(CONVERSE_STREAM, b"".join(CONVERSE), step)
    assert (body.usage, body.complete, body.failed) == (CONVERSE_USED, True, False)
    assert (body.text_bytes, body.service_tier) == (14, "flex")


@pytest.mark.parametrize("step", [1, 7, 100, 100_000])
def test_a_stream_of_a_vendors_own_chunks(step: int) -> None:
    """Claude and Llama through InvokeModelWithResponseStream."""
    body = follow(INVOKE_STREAM, b"".join(INVOKE), step)
    assert (body.usage, body.complete, body.text_bytes, body.model) == (
        CLAUDE_USED,
        True,
        2,
        "claude-sonnet-4-5",
    )
    body = follow(INVOKE_STREAM, b"".join(LLAMA), step)
    assert (body.usage, body.complete, body.text_bytes) == (tokens(11, 4), True, 5)


def test_a_stream_cut_short_is_not_whole() -> None:
    """Without its last frame a stream is neither complete nor counted as if it were."""
    body = follow(CONVERSE_STREAM, b"".join(CONVERSE[:-2]) + CONVERSE[-1][:-1], 50)
    assert (body.usage, body.complete, body.finished, body.text_bytes) == (None, False, False, 14)


def test_an_exception_inside_a_stream_is_a_failure() -> None:
    """Throttled in the middle: an error, with what was delivered."""
    failed = frame(
        b'{"message": "slow down"}', message_type="exception", exception_type="throttlingException"
    )
    body = follow(CONVERSE_STREAM, b"".join(CONVERSE[:2]) + failed, 1000)
    assert (body.failed, body.complete, body.text_bytes) == (True, False, 5)


@pytest.mark.parametrize("damage", range(9))
def test_a_damaged_stream_is_given_up(damage: int) -> None:
    """A flipped bit, another format, a lying length: the stream is not followed on, and nothing is raised or kept."""
    good = b"".join(CONVERSE)
    data = [
        good[:30] + bytes([good[30] ^ 1]) + good[31:], good[:3] + bytes([good[3] ^ 1]) + good[4:], b"data: {}\n\n" * 20,
        b"\xff" * 1000, b"\x00" * 1000,
        struct.pack(">II", 2**31, 0) + struct.pack(">I", zlib.crc32(struct.pack(">II", 2**31, 0))),
        struct.pack(">II", 16, 900) + struct.pack(">I", zlib.crc32(struct.pack(">II", 16, 900))) + b"x" * 99,
        good[1:], b"{" + good,
    ][damage]  # fmt: skip
    body = follow(CONVERSE_STREAM, data, 64)
    assert (body.usage, body.broken) == (None, True)
    assert len(body._pending) == 0


@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from([CONVERSE_STREAM, INVOKE_STREAM]))
def test_no_bytes_raise(noise: bytes, at: int, api: Any) -> None:
    """Noise inserted anywhere in a stream never becomes an exception."""
    good = b"".join(CONVERSE)
    follow(api, good[:at] + noise + good[at:], 33)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"bytes": 7}',
        b'{"bytes": "!!"}',
        b'{"bytes": "e30="}',
        b'{"bytes": "WzFd"}',
        b"\xff" * 9,
    ],
)
def test_an_odd_payload_in_a_sound_frame(payload: bytes) -> None:
    """A frame whose content makes no sense says nothing, and the next one still counts."""
    odd = frame(payload, event_type="chunk", message_type="event") + frame(payload, event_type="metadata")
    for api in (CONVERSE_STREAM, INVOKE_STREAM):
        Body(api, KIND, "").feed(odd)
    body = follow(INVOKE_STREAM, frame(payload, event_type="chunk") + b"".join(INVOKE), 1000)
    assert body.broken or body.usage == CLAUDE_USED


def test_headers_of_every_type_are_skipped() -> None:
    """Booleans, numbers, bytes, times and UUIDs stand between the texts."""
    head = b"".join(
        bytes([1]) + b"x" + bytes([kind]) + value
        for kind, value in (
            (0, b""), (1, b""), (2, b"1"), (3, b"12"), (4, b"1234"), (5, b"12345678"), (6, b"\x00\x03abc"),
            (8, b"12345678"), (9, b"0123456789abcdef"), (7, b"\x00\x02hi"),
        )
    )  # fmt: skip
    prelude = struct.pack(">II", 16 + len(head), len(head))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head
    pending = bytearray(data + struct.pack(">I", zlib.crc32(data)))
    assert list(frames(pending)) == [({"x": "hi"}, b"")]
    assert not pending


def test_a_huge_frame_does_not_fill_the_memory() -> None:
    """A frame that claims 2 GB is refused at its first bytes, not collected."""
    prelude = struct.pack(">II", 2**31 - 1, 8)
    tracemalloc.start()
    body = Body(CONVERSE_STREAM, KIND, "")
    body.feed(prelude + struct.pack(">I", zlib.crc32(prelude)))
    for _ in range(100):
        body.feed(bytes(100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.broken
    assert peak < 1_000_000
    with pytest.raises(FrameError):
        list(frames(bytearray(prelude + struct.pack(">I", zlib.crc32(prelude)))))
