"""Nonsense from a provider, through a real SDK: the app gets exactly its own result, and what is certain is kept."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

import costmon
from costmon.shim import context
from tests.harness import answers
from tests.harness.events import events
from tests.harness.mock_server import MockServer, Reply, mock_server, sse
from tests.shim.battery import kit

CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 500
}  # fmt: skip
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
GOOD = answers.document("/chat/completions", CHAT)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
INPUT, OUTPUT = 150, 600  # gpt-4o-mini: nano USD for a token
RESERVED_AT_LEAST = 500 * OUTPUT


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="test")
    with mock_server() as running:
        yield running


class Quoted(str):
    """Goes into the JSON as it stands."""


def document(usage: object) -> bytes:
    """An answer with this usage; numbers that JSON does not have are written as Python's json and many servers do."""
    text = json.dumps({**GOOD, "usage": "@usage@"})
    raw = usage if isinstance(usage, Quoted) else json.dumps(usage)
    return text.replace('"@usage@"', raw).encode("utf-8", "surrogatepass")


def count(value: object) -> dict[str, object]:
    return {**USAGE, "completion_tokens": value}


BAD_USAGE: dict[str, object] = {
    "None": None,
    "true": True,
    "a number": 7,
    "text": "lots",
    "a list": [1, 2],
    "empty": {},
    "count None": count(None),
    "count bool": count(True),
    "count NaN": count(float("nan")),
    "count infinite": count(float("inf")),
    "count negative": count(-1),
    "count 1e308": count(1e308),
    "count 1e309": Quoted('{"prompt_tokens": 10, "completion_tokens": 1e309, "total_tokens": 5}'),
    "count text": count("5"),
    "count 2**63": count(2**63),
    "count 2**64": count(2**64),
    "count of 4000 digits": Quoted('{"prompt_tokens": 10, "completion_tokens": %s}' % ("9" * 4000)),
    "count of 5000 digits": Quoted('{"prompt_tokens": 10, "completion_tokens": %s}' % ("9" * 5000)),
    "count a list": count([5]),
    "count an object": count({"n": 5}),
    "fraction": count(0.5),
    "lone surrogate as key": Quoted('{"\\ud800": 1}'),
    "lone surrogate as value": Quoted('{"prompt_tokens": "\\udfff", "completion_tokens": 5}'),
    "all negative": dict.fromkeys(USAGE, -3),
}


def seen(call: Callable[[], Any]) -> str:
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def sdk(server: MockServer) -> openai.OpenAI:
    http = httpx.Client(verify=False, trust_env=False)
    return openai.OpenAI(base_url=server.base + "/v1", api_key="k", max_retries=0, http_client=http)


def sdk_async(server: MockServer) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(verify=False, trust_env=False)
    return openai.AsyncOpenAI(base_url=server.base + "/v1", api_key="k", max_retries=0, http_client=http)


def plain(server: MockServer) -> str:
    with sdk(server) as client:
        return seen(lambda: client.chat.completions.create(**CHAT))


def plain_async(server: MockServer) -> str:
    async def call() -> Any:
        async with sdk_async(server) as client:
            return await client.chat.completions.create(**CHAT)

    return seen(lambda: asyncio.run(call()))


def streamed(server: MockServer) -> str:
    with sdk(server) as client:
        return seen(lambda: list(client.chat.completions.create(**STREAM)))


def streamed_async(server: MockServer) -> str:
    async def call() -> Any:
        async with sdk_async(server) as client:
            return [chunk async for chunk in await client.chat.completions.create(**STREAM)]

    return seen(lambda: asyncio.run(call()))


def same_as_unwatched(
    server: MockServer, reply: Reply, calls: list[Callable[[MockServer], str]], patch: pytest.MonkeyPatch
) -> list[str]:
    found = []
    for call in calls:
        server.plan(reply, reply)
        watched = call(server)
        with patch.context() as off:
            off.setenv("COSTMON_ENABLED", "0")
            assert call(server) == watched
        found.append(watched)
    return found


@pytest.mark.parametrize("name", BAD_USAGE)
def test_a_usage_object_of_nonsense(
    name: str, server: MockServer, costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call's row is kept, its cost unknown rather than made up, and the budget assumes what was reserved."""
    number = kit.add_budget(costmon_home, 10**12)
    body = document(BAD_USAGE[name])
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [],
    }
    last = json.dumps({**chunk, "usage": "@"}).replace('"@"', body.decode().split('"usage": ')[1][:-1])
    parts = answers.chat_events("gpt-4o-mini", include_usage=False, done=False)
    stream = sse([*parts, f"data: {last}\n\n".encode(), b"data: [DONE]\n\n"])
    same_as_unwatched(server, Reply([body]), [plain, plain_async], monkeypatch)
    same_as_unwatched(server, stream, [streamed, streamed_async], monkeypatch)
    found = events(costmon_home)
    assert [event["outcome"] for event in found[:2]] == ["ok", "ok"]
    assert {event["outcome"] for event in found[2:]} <= {
        "ok",
        "dropped",
    }  # an SDK may raise and read no further
    for event in found[:2]:
        assert (event["cost"], event["cost_status"]) == (None, "unknown")
    for event in found[2:]:  # a whole stream without usage is counted by its bytes
        assert event["cost"] is None or (event["cost"] > 0 and event["cost_status"] == "estimated")
    for event in found:
        for column in ("input_tokens", "output_tokens", "total_tokens"):
            assert event[column] is None or 0 <= event[column] < 2**40
    period = kit.period(costmon_home, number)
    assert (period["calls"], period["reserved"]) == (4, 0)
    assert period["spent"] + period["assumed"] >= 2 * RESERVED_AT_LEAST
    kit.assert_sums_agree(costmon_home)


BIG = json.dumps({**GOOD, "usage": USAGE, "junk": "a" * 20_000_000}).encode()
ZIPPED = gzip.compress(json.dumps({**GOOD, "usage": USAGE}).encode())
GZIP = {"Content-Encoding": "gzip"}
BODIES = {
    "HTML": Reply([b"<!doctype html><title>Sign in</title>"], content_type="text/html"),
    "HTML as JSON": Reply([b"<html></html>"]),
    "truncated": Reply([document(USAGE)[:150]]),
    "cut off": Reply([document(USAGE)[:150]], cut=True),
    "lone surrogate": Reply([document(USAGE).replace(b'"stop"', b'"\\ud83d"')]),
    "gzip that is none": Reply([b"no gzip at all"], headers=GZIP),
    "gzip cut off": Reply([ZIPPED[: len(ZIPPED) // 2]], headers=GZIP),
    "gzip with a wrong end": Reply([ZIPPED[:-8] + b"\0" * 8], headers=GZIP),
    "gzip said to be br": Reply([ZIPPED], headers={"Content-Encoding": "br"}),
    "coding nobody knows": Reply([document(USAGE)], headers={"Content-Encoding": "x-secret"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_nonsense(
    name: str, server: MockServer, costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the SDK makes of it, it makes of it with costmon, too; the row is there and never costs 0."""
    number = kit.add_budget(costmon_home, 10**12)
    same_as_unwatched(server, BODIES[name], [plain, plain_async, streamed, streamed_async], monkeypatch)
    found = events(costmon_home)
    assert len(found) == 4
    assert {event["state"] for event in found} == {"settled"}
    assert all(event["cost"] is None or event["cost"] > 0 for event in found)
    assert kit.period(costmon_home, number)["reserved"] == 0
    kit.assert_sums_agree(costmon_home)


@pytest.mark.slow
def test_twenty_megabytes(server: MockServer, costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of 20 MB reaches the app byte for byte, and is not taken for a free call."""
    (first, second) = same_as_unwatched(server, Reply([BIG]), [plain, plain_async], monkeypatch)
    assert "a" * 1000 in first
    assert first == second
    for event in events(costmon_home):
        assert event["cost"] is None or event["cost"] == 10 * INPUT + 5 * OUTPUT


def test_a_bomb_of_zeros(server: MockServer, costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 KB that unpack to 40 MB: the app gets them unpacked, we keep no second copy of them all."""
    bomb = gzip.compress(b'{"id": "x", "junk": "' + bytes(40_000_000) + b'"}')
    same_as_unwatched(server, Reply([bomb], headers=GZIP), [plain], monkeypatch)
    (event,) = events(costmon_home)
    assert event["cost"] is None


def test_nothing_of_it_is_kept_or_logged(
    server: MockServer, costmon_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answer's text nor an error's words are in the ledger or the log."""
    caplog.set_level(logging.DEBUG, "costmon")
    secret = "top-secret-canary"
    bad = {**GOOD, "usage": secret, "choices": [{"message": {"content": secret}}], "error": secret}
    server.plan(Reply([json.dumps(bad).encode()]), Reply([secret.encode()], 500), Reply([secret.encode()]))
    for _ in range(3):
        plain(server)
    with anthropic.Anthropic(base_url=server.base, api_key=secret, max_retries=0) as client:
        server.plan(Reply([secret.encode()], 400))
        seen(
            lambda: client.messages.create(
                model="claude-haiku-4-5", max_tokens=5, messages=[{"role": "user", "content": secret}]
            )
        )
    kept = b"".join(path.read_bytes() for path in costmon_home.rglob("*") if path.is_file())
    assert len(events(costmon_home)) == 4
    assert secret.encode() not in kept
    assert secret not in "".join(record.getMessage() for record in caplog.records if record.name == "costmon")
