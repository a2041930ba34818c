"""Bodies followed as they pass: split anywhere, compressed any way, broken anyhow."""

from __future__ import annotations

import gzip
import importlib
import json
import random
import sys
import time
import zlib
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.shim import streams
from costmon.shim.streams import Body
from costmon.shim.usage import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Api
from tests.shim.test_usage import ANTHROPIC, EMBEDDING, MOONSHOT, OPENAI_CHAT, OPENAI_RESPONSE

SSE = "text/event-stream; charset=utf-8"
BINDINGS = ("brotli", "brotlicffi", "zstandard", "compression.zstd", "backports.zstd")
USAGE = OPENAI_CHAT["usage"]


def sse(*events: Any, end: bytes = b"\n\n") -> bytes:
    """Events as a stream: a pair is (event name, data)."""
    lines = []
    for event in events:
        name, data = event if isinstance(event, tuple) else (None, event)
        text = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()
        lines.append((f"event: {name}\n".encode() if name else b"") + b"data: " + text + end)
    return b"".join(lines)


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "chatcmpl-1", "model": "gpt-5", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            "usage": None, **more}  # fmt: skip


CHAT_STREAM = sse(
    chunk("Hel"),
    chunk("lo 세계"),
    chunk(finish="stop"),
    {**chunk(), "choices": [], "usage": USAGE},
    b"[DONE]",
)
RESPONSE_STREAM = sse(
    ("response.created", {"type": "response.created", "response": {**OPENAI_RESPONSE, "usage": None}}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": "Hello"}),
    ("response.output_text.done", {"type": "response.output_text.done", "text": "Hello"}),
    ("response.completed", {"type": "response.completed", "response": OPENAI_RESPONSE}),
)
MESSAGE_STREAM = sse(
    ("message_start", {"type": "message_start",
                       "message": {**ANTHROPIC, "usage": {**ANTHROPIC["usage"], "output_tokens": 1}}}),
    ("ping", {"type": "ping"}),
    ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 400}}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                       "usage": {"output_tokens": 503, "input_tokens": None}}),
    ("message_stop", {"type": "message_stop"}),
    ("ping", {"type": "ping"}),
)  # fmt: skip
STREAMS = {
    "chat": (CHAT, CHAT_STREAM),
    "responses": (RESPONSES, RESPONSE_STREAM),
    "messages": (MESSAGES, MESSAGE_STREAM),
}


def facts(body: Body) -> tuple[Any, ...]:
    return (body.usage, body.model, body.response_id, body.service_tier, body.text_bytes, body.complete, body.finished,
            body.failed, body.broken)  # fmt: skip


def follow(api: Api, data: bytes, *cuts: int, encoding: str = "", kind: str = SSE) -> Body:
    body = Body(api, kind, encoding)
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        body.feed(data[start:end])
    body.end()
    return body


# --- whole streams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tokens", "text"),
    [("chat", (1200, 350), 12), ("responses", (1200, 350), 5), ("messages", (12_300, 503), 5)],
)
def test_a_stream_tells_its_usage(name: str, tokens: tuple[int, int], text: int) -> None:
    """A streamed answer costs what a whole one costs."""
    api, data = STREAMS[name]
    body = follow(api, data)
    assert body.usage is not None
    assert (body.usage["input_tokens"], body.usage["output_tokens"]) == tokens
    assert body.text_bytes == text
    assert (body.complete, body.failed, body.broken) == (True, False, False)
    assert body.model
    assert body.response_id


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_where_the_network_cuts_does_not_matter(name: str, line_end: bytes) -> None:
    """Cut in two at every byte, and into single bytes, the stream says the same."""
    api, data = STREAMS[name]
    data = data.replace(b"\n", line_end)
    whole = facts(follow(api, data))
    assert whole[0] is not None
    for cut in range(1, len(data)):
        assert facts(follow(api, data, cut)) == whole, cut
    assert facts(follow(api, data, *range(1, len(data)))) == whole


@settings(max_examples=60)
@given(st.data())
def test_any_cuts_in_any_encoding(data: st.DataObject) -> None:
    """Compressed and cut anywhere, still the same."""
    api, plain = STREAMS[data.draw(st.sampled_from(sorted(STREAMS)))]
    encoding, packed = data.draw(st.sampled_from(packings(plain)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(packed) - 1), max_size=12)))
    assert facts(follow(api, packed, *cuts, encoding=encoding)) == facts(follow(api, plain))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def packings(data: bytes) -> list[tuple[str, bytes]]:
    return [
        ("", data),
        ("identity", data),
        ("gzip", gzip.compress(data)),
        ("x-gzip", gzip.compress(data)),
        ("GZIP", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", raw_deflate(data)),
        ("deflate, gzip", gzip.compress(zlib.compress(data))),
        ("identity , gzip", gzip.compress(data)),
    ]


@pytest.mark.parametrize("number", range(9))
def test_every_encoding_byte_by_byte(number: int) -> None:
    """Raw or wrapped deflate, gzip and stacks of them are followed from the very first byte."""
    for api, plain in STREAMS.values():
        encoding, packed = packings(plain)[number]
        assert facts(follow(api, packed, *range(1, len(packed)), encoding=encoding)) == facts(
            follow(api, plain)
        )


class StandIn:
    """A decoder with the interface of one of the bindings; the coding itself is zlib's."""

    def __init__(self) -> None:
        self.decompress = zlib.decompressobj().decompress


class Processing:
    def __init__(self) -> None:
        self.process = zlib.decompressobj().decompress


@pytest.mark.parametrize(
    ("encoding", "module", "parts"),
    [
        ("br", "brotli", {"Decompressor": Processing}),
        ("br", "brotlicffi", {"Decompressor": StandIn}),
        ("zstd", "zstandard", {"ZstdDecompressor": type("Z", (), {"decompressobj": lambda self: StandIn()})}),
        ("zstd", "compression.zstd", {"ZstdDecompressor": StandIn}),
        ("zstd", "backports.zstd", {"ZstdDecompressor": StandIn}),
    ],
)
def test_the_hosts_own_decoders_are_used(
    encoding: str, module: str, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brotli and Zstandard answers are read by whichever binding the host has imported."""
    for name in BINDINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    fake = ModuleType(module)
    fake.__dict__.update(parts)
    monkeypatch.setitem(sys.modules, module, fake)
    packed = zlib.compress(CHAT_STREAM)
    found = follow(CHAT, packed, *range(1, len(packed), 7), encoding=encoding)
    assert facts(found) == facts(follow(CHAT, CHAT_STREAM))


def test_a_real_brotli_answer() -> None:
    """Where the binding is installed, its real format is read."""
    try:
        brotli: Any = importlib.import_module("brotli")
    except ImportError:
        return  # the test above shows the rest
    packed = brotli.compress(CHAT_STREAM)
    found = follow(CHAT, packed, *range(1, len(packed), 7), encoding="br")
    assert facts(found) == facts(follow(CHAT, CHAT_STREAM))


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "made-up", "gzip, made-up", "\ud800", "," * 1000]
)
def test_an_unknown_encoding_is_unknown(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coding we cannot undo leaves the usage unknown, and is no error."""
    for name in BINDINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    body = follow(CHAT, b"\x00\x01rubbish" * 100, 5, encoding=encoding)
    assert body.usage is None
    assert body.broken or encoding.startswith(",")


@pytest.mark.parametrize(
    "damage", ["truncated", "garbage inside", "not gzip at all", "empty", "trailing junk"]
)
def test_damaged_compression_is_no_error(damage: str) -> None:
    """A compressed body cut short or corrupted never reaches the app as our exception."""
    packed = gzip.compress(CHAT_STREAM)
    data = {
        "truncated": packed[: len(packed) // 2], "garbage inside": packed[:20] + b"\xff" * 50 + packed[70:],
        "not gzip at all": CHAT_STREAM, "empty": b"", "trailing junk": packed + b"junk",
    }[damage]  # fmt: skip
    body = follow(CHAT, data, encoding="gzip")
    assert body.complete is (damage == "trailing junk")


# --- odd streams ------------------------------------------------------------------------------------------------


def test_usage_in_the_middle_counts() -> None:
    """A gateway that reports usage before the last text is believed."""
    body = follow(CHAT, sse(chunk("a"), chunk(usage=USAGE), chunk("b"), chunk(finish="stop"), b"[DONE]"))
    assert body.usage is not None
    assert body.usage["output_tokens"] == 350


def test_usage_on_every_chunk_is_not_added_up() -> None:
    """Cumulative usage on all chunks: the last one holds."""
    counts = [{"prompt_tokens": 10, "completion_tokens": number} for number in (1, 2, 3)]
    body = follow(CHAT, sse(*[chunk("x", usage=count) for count in counts], b"[DONE]"))
    assert body.usage == {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}


def test_usage_inside_the_choice() -> None:
    """Moonshot's usage sits in the last choice."""
    body = follow(CHAT, sse(chunk("x"), MOONSHOT, b"[DONE]"))
    assert body.usage is not None
    assert body.usage["output_tokens"] == 13


def test_a_missing_done_is_no_loss() -> None:
    """A server that just stops after the totals has answered completely."""
    body = follow(CHAT, sse(chunk("x"), chunk(finish="stop"), {**chunk(), "choices": [], "usage": USAGE}))
    assert body.usage is not None
    assert (body.finished, body.complete) == (True, False)


def test_no_newline_at_the_end() -> None:
    """The last line counts though its newline never came."""
    assert follow(CHAT, CHAT_STREAM.rstrip()).complete
    assert follow(RESPONSES, RESPONSE_STREAM.rstrip()).usage == follow(RESPONSES, RESPONSE_STREAM).usage


def test_without_usage_the_text_is_known() -> None:
    """A stream that was not asked for usage still tells how much text came."""
    body = follow(CHAT, sse(chunk("four"), chunk("세"), chunk(finish="stop"), b"[DONE]"))
    assert body.usage is None
    assert body.text_bytes == 7
    assert body.complete


@pytest.mark.parametrize(
    ("api", "event"),
    [
        (CHAT, {"error": {"message": "overloaded", "code": 502}}),
        (RESPONSES, ("error", {"type": "error", "message": "x"})),
        (RESPONSES, ("response.failed", {"type": "response.failed", "response": OPENAI_RESPONSE})),
        (MESSAGES, ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "x"}})),
    ],
)  # fmt: skip
def test_an_error_event_is_a_failure(api: Api, event: Any) -> None:
    """An error in the middle of a good HTTP response shows as an error."""
    start = STREAMS[{"chat": "chat", "responses": "responses", "messages": "messages"}[api.name]][1].split(
        b"\n\n"
    )[0]
    body = follow(api, start + b"\n\n" + sse(event))
    assert body.failed


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_each_end_of_a_response_has_its_usage(kind: str) -> None:
    """An answer cut off by its limit is paid for and recorded."""
    body = follow(RESPONSES, sse((kind, {"type": kind, "response": OPENAI_RESPONSE})))
    assert body.complete
    assert body.usage is not None


def test_what_comes_after_the_end_is_ignored() -> None:
    """Bytes behind the terminal event change nothing, in one chunk or in many."""
    more = {**chunk(), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    tail = sse(more, ("ping", {"type": "ping"}))
    for api, data in STREAMS.values():
        whole = facts(follow(api, data))
        assert facts(follow(api, data + tail)) == whole
        assert facts(follow(api, data + tail, len(data))) == whole


LINES = [
    b"data: \xff\xfe\n\n", b"data: {\n\n", b"data: []\n\n", b"data: null\n\n", b"data:\n\n", b":comment\n\n",
    b"\n\n\n", b"data: NaN\n\n", b"retry: 1\nid: 7\n\n", b"\x00\x00\n",
    b'data: {"choices": 7, "usage": "many", "type": {}, "delta": [], "error": 7}\n\n',
    b'data: {"choices": [null, 7, {"delta": null, "usage": []}], "usage": null}\n\n', b"data: " + b"[" * 5000 + b"\n\n",
    b'data: {"choices": ' + b"[" * 900 + b"]" * 900 + b"}\n\n",
    b'data: {"delta": ' + b'{"delta":' * 800 + b"1" + b"}" * 801 + b"\n\n",
    b'data: {"usage": {"prompt_tokens": NaN, "completion_tokens": Infinity, "input_tokens": -5}}\n\n',
    b'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n', b'data: {"type": "message_start", "message": 7}\n\n',
    b'data: {"type": ["response.completed"], "response": null}\n\n',
]  # fmt: skip


@pytest.mark.parametrize("api", [CHAT, RESPONSES, MESSAGES], ids=lambda api: api.name)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:40].decode("ascii", "replace"))
def test_a_hostile_line_does_not_hide_the_rest(api: Api, line: bytes) -> None:
    """Rubbish between the events of a stream neither raises nor makes its usage unknown."""
    _, data = STREAMS[api.name]
    first, rest = data.split(b"\n\n", 1)
    body = follow(api, line + first + b"\n\n" + line + rest)
    assert body.complete
    assert body.usage is not None
    assert body.usage["output_tokens"] == follow(api, data).usage["output_tokens"]  # type: ignore[index]


@settings(max_examples=300)
@given(
    st.binary(max_size=400),
    st.sampled_from([CHAT, RESPONSES, MESSAGES, EMBEDDINGS]),
    st.sampled_from(["", "gzip", "deflate"]),
    st.sampled_from([SSE, "application/json", ""]),
)
def test_no_bytes_raise(data: bytes, api: Api, encoding: str, kind: str) -> None:
    """Whatever bytes a server sends, the app gets them."""
    body = follow(api, data, len(data) // 2, encoding=encoding, kind=kind)
    assert body.usage is None or min(body.usage.values()) >= 0


# --- plain bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "document"),
    [(CHAT, OPENAI_CHAT), (RESPONSES, OPENAI_RESPONSE), (MESSAGES, ANTHROPIC), (EMBEDDINGS, EMBEDDING)],
)
def test_a_plain_document(api: Api, document: dict[str, Any]) -> None:
    """An answer that is not streamed is read when it is whole."""
    data = json.dumps(document).encode()
    whole = facts(follow(api, data, kind="application/json"))
    assert whole[0] is not None
    assert facts(follow(api, data, *range(1, len(data)), kind="application/json")) == whole
    assert follow(api, data[:-1], kind="application/json").usage is None


def test_a_whole_batch_of_embeddings_is_read() -> None:
    """2,048 vectors of 3,072 numbers, an ordinary batch, keep their usage."""
    vector = json.dumps([round(random.Random(7).uniform(-1, 1), 6)] * 512).encode()
    item = b'{"object":"embedding","index":0,"embedding":' + vector + b"}"
    end = b'],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}'
    data = b'{"object":"list","data":[' + b",".join([item] * 6000) + end
    assert len(data) > 24 * 1024 * 1024
    body = Body(EMBEDDINGS, "application/json", "")
    began = time.perf_counter()
    for start in range(0, len(data), 65536):
        body.feed(data[start : start + 65536])
    body.end()
    assert time.perf_counter() - began < 2
    assert body.usage == {"input_tokens": 8, "output_tokens": 0, "total_tokens": 8}


# --- cost -------------------------------------------------------------------------------------------------------


def test_a_long_event_in_small_chunks_is_not_slow() -> None:
    """A response of 3 MB in one event, 200 bytes at a time, does not slow the app down."""
    long = {**OPENAI_RESPONSE, "output": "x" * 3_000_000}
    event = sse(("response.completed", {"type": "response.completed", "response": long}))
    body = Body(RESPONSES, SSE, "")
    began = time.perf_counter()
    for start in range(0, len(event), 200):
        body.feed(event[start : start + 200])
    assert time.perf_counter() - began < 1
    assert body.complete
    assert body.usage is not None


def test_an_endless_line_is_given_up() -> None:
    """A server that never sends a newline does not fill the host's memory."""
    body = Body(CHAT, SSE, "")
    for _ in range(200):
        body.feed(b"data: " + b"x" * 65536)
        assert len(body._pending) <= streams.MAX_LINE + 2 * 65536
    body.end()
    assert (body.usage, body.complete) == (None, False)


def test_a_bomb_is_given_up() -> None:
    """A compressed gigabyte does not fill the host's memory."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()
    body = Body(CHAT, "application/json", "deflate")
    for start in range(0, len(bomb), 4096):
        body.feed(bomb[start : start + 4096])
    assert len(body._pending) <= streams.MAX_BODY + 8_000_000
    body.end()
    assert body.usage is None
