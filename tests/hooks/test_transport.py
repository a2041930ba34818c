"""Bytes, codings and timing: the app gets its own bytes, at once, and the usage is read beside it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.harness import answers
from tests.harness.events import events
from tests.harness.mock_server import MockServer, Reply
from tests.hooks.clients import (
    CHAT,
    COST,
    LIBRARIES,
    NAMES,
    STREAM,
    encoded,
    pieces,
    post,
    post_async,
    stream,
    stream_async,
)

pytestmark = pytest.mark.usefixtures("watched")
both = pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
codings = pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "deflate-raw"])


def headers(coding: str) -> dict[str, str]:
    return {} if coding == "identity" else {"Content-Encoding": coding.removesuffix("-raw")}


@both
@codings
def test_a_compressed_answer_is_read_and_stays_the_apps(
    library: ModuleType, coding: str, server: MockServer, home: Path
) -> None:
    """Whatever the content coding, the app gets the answer and the ledger its exact cost."""
    body = json.dumps(answers.document("/chat/completions", CHAT), ensure_ascii=False).encode()
    for call in (post, post_async):
        server.plan(Reply([encoded(coding, body)], headers=headers(coding)))
        assert call(library, server.base).content == body
        body = body.replace(b"chatcmpl-", b"chatcmpl-again")
    assert [event["cost"] for event in events(home)] == [COST, COST]


@both
@codings
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_cut_anywhere_is_read(
    library: ModuleType, coding: str, size: int, server: MockServer, home: Path
) -> None:
    """Network chunks that end inside a character, a line or a compressed block change nothing."""
    if coding == "deflate-raw" and size == 1:
        size = 2  # the clients' own decoders take two bytes to tell this one
    whole = b"".join(answers.events("/chat/completions", STREAM))
    parts = pieces(encoded(coding, whole), size)
    reply = Reply(parts, content_type="text/event-stream", headers=headers(coding), chunked=True)
    server.plan(reply, reply)
    assert b"".join(stream(library, server.base)) == whole
    assert b"".join(stream_async(library, server.base)) == whole
    found = events(home)
    assert [(event["cost"], event["cost_status"], event["outcome"]) for event in found] == [
        (COST, "priced", "ok")
    ] * 2


@both
def test_raw_bytes_are_untouched(library: ModuleType, server: MockServer, home: Path) -> None:
    """An app that reads the raw, still compressed bytes gets exactly those."""
    whole = b"".join(answers.events("/chat/completions", STREAM))
    packed = encoded("gzip", whole)
    server.plan(
        Reply(
            pieces(packed, 50),
            headers={"Content-Encoding": "gzip"},
            chunked=True,
            content_type="text/event-stream",
        )
    )
    with (
        library.Client(trust_env=False) as client,
        client.stream("POST", server.base + "/v1/chat/completions", json=STREAM) as response,
    ):
        assert b"".join(response.iter_raw()) == packed
    assert [event["cost"] for event in events(home)] == [COST]


@both
def test_an_unknown_coding_is_recorded_with_unknown_cost(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """A stream costmon cannot decode reaches the app as it is; its cost is not made up, and not 0."""
    reply = Reply(
        [b"\x01\x02\x03"],
        content_type="text/event-stream",
        headers={"Content-Encoding": "x-own"},
        chunked=True,
    )
    server.plan(reply)
    with (
        library.Client(trust_env=False) as client,
        client.stream("POST", server.base + "/v1/chat/completions", json=STREAM) as response,
    ):
        assert b"".join(response.iter_raw()) == b"\x01\x02\x03"
    (event,) = events(home)
    assert (event["cost"], event["cost_status"]) == (None, "unknown")


@both
def test_the_first_token_is_not_delayed(library: ModuleType, server: MockServer, home: Path) -> None:
    """The app has the first chunk while the server has not yet sent the second."""
    gate = threading.Event()
    parts = answers.events("/chat/completions", STREAM)
    server.plan(Reply(parts, content_type="text/event-stream", chunked=True, gate=gate))
    began = time.monotonic()

    def take(chunks: Any) -> list[bytes]:
        first = next(chunks)
        gate.set()
        return [first, *chunks]

    assert b"".join(stream(library, server.base, take)) == b"".join(parts)
    assert time.monotonic() - began < 5
    assert [event["cost"] for event in events(home)] == [COST]


@both
def test_the_first_token_is_not_delayed_in_async_code(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """The same on an event loop; the time of the first token is on record."""
    gate = threading.Event()
    parts = answers.events("/chat/completions", STREAM)
    server.plan(Reply(parts, content_type="text/event-stream", chunked=True, gate=gate))

    async def call() -> list[bytes]:
        found = []
        async with (
            library.AsyncClient(trust_env=False) as client,
            client.stream("POST", server.base + "/v1/chat/completions", json=STREAM) as response,
        ):
            async for chunk in response.aiter_bytes():
                if not found:
                    await asyncio.sleep(0.2)
                    gate.set()
                found.append(chunk)
        return found

    began = time.monotonic()
    assert b"".join(asyncio.run(call())) == b"".join(parts)
    assert time.monotonic() - began < 5
    (event,) = events(home)
    assert event["cost"] == COST
    assert event["first_token_us"] < 200_000 <= event["duration_us"]


@both
def test_other_requests_are_none_of_our_business(library: ModuleType, server: MockServer, home: Path) -> None:
    """A POST to any other path, or with another body, leaves no trace."""
    server.plan(Reply([b"{}"]), Reply([b"{}"]))
    with library.Client(trust_env=False) as client:
        client.post(server.base + "/v1/files", json={"model": "gpt-4o", "messages": []})
        client.post(server.base + "/shop/messages", json={"to": "ann", "text": "hi"})
    assert events(home) == []
    assert len(server.received) == 2


@both
def test_a_body_that_is_a_stream_of_the_app_is_left_alone(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """A request body that comes from a generator is sent once, by the app, as it is."""
    body = json.dumps(CHAT).encode()
    with library.Client(trust_env=False) as client:
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        answer = client.post(
            server.base + "/v1/chat/completions", content=iter([body[:10], body[10:]]), headers=headers
        )
    assert answer.status_code == 200
    assert server.received[0].body == CHAT
    assert events(home) == []
