"""What counts as an attempt: requests that leave the client, one event each, and nothing that does not leave."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import openai
import pytest
import requests

from tests.harness.events import events
from tests.harness.mock_server import MockServer, Reply, json_reply
from tests.hooks.clients import CHAT, COST, LIBRARIES, NAMES, RESERVED, STREAM, post, post_async

pytestmark = pytest.mark.usefixtures("watched")
both = pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
PATH = "/v1/chat/completions"
LIMITED = json_reply({"error": {"message": "slow down"}}, 429)


def facts(home: Path) -> list[tuple[Any, ...]]:
    return [(event["state"], event["outcome"], event["status_code"], event["cost"]) for event in events(home)]


def broken(*_: object) -> None:
    raise ZeroDivisionError


async def broken_async(*_: object) -> None:
    raise ZeroDivisionError


@both
def test_a_request_hook_that_raises_costs_nothing(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """Nothing was sent, so there is nothing to pay and nothing stays reserved."""
    for call, hook in ((post, broken), (post_async, broken_async)):
        with pytest.raises(ZeroDivisionError):
            call(library, server.base, event_hooks={"request": [hook]})
    assert server.received == []
    assert sum(event["cost"] or 0 for event in events(home)) == 0
    assert all(event["state"] == "settled" for event in events(home))


@both
def test_a_response_hook_that_raises_for_an_error_keeps_the_error_free(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """`raise_for_status` as a response hook is common: the attempt is still known by its status."""

    async def strict(response: Any) -> None:
        response.raise_for_status()

    server.plan(LIMITED, LIMITED)
    with pytest.raises(library.HTTPStatusError):
        post(library, server.base, event_hooks={"response": [lambda response: response.raise_for_status()]})
    with pytest.raises(library.HTTPStatusError):
        post_async(library, server.base, event_hooks={"response": [strict]})
    assert facts(home) == [("settled", "error", 429, 0)] * 2


@both
def test_a_response_hook_may_read_the_answer(library: ModuleType, server: MockServer, home: Path) -> None:
    """An answer that a hook of the app reads first is counted like any other, once."""

    async def look(response: Any) -> None:
        await response.aread()

    for _ in range(2):
        post(library, server.base, event_hooks={"response": [lambda response: response.read()]})
        post_async(library, server.base, event_hooks={"response": [look]})
    assert facts(home) == [("settled", "ok", 200, COST)] * 4


@both
def test_a_redirect_is_an_attempt_of_its_own(library: ModuleType, server: MockServer, home: Path) -> None:
    """The redirect costs nothing; the call is charged where it is answered."""
    server.plan(Reply([b""], 307, headers={"Location": server.base + "/other" + PATH}))
    assert post(library, server.base, follow_redirects=True).status_code == 200
    assert facts(home) == [("settled", "error", 307, 0), ("settled", "ok", 200, COST)]


@both
def test_each_round_of_an_authentication_is_an_attempt(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """An auth flow that is refused once and then let in makes two attempts; only the second costs."""

    class Again(library.Auth):  # type: ignore[misc, name-defined]
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            answer = yield request
            if answer.status_code == 401:
                request.headers["authorization"] = "yes"
                yield request

    server.plan(json_reply({"error": {"message": "who?"}}, 401))
    assert post(library, server.base, auth=Again()).status_code == 200
    assert facts(home) == [("settled", "error", 401, 0), ("settled", "ok", 200, COST)]


def test_a_call_from_a_request_hook_is_a_call(server: MockServer, home: Path) -> None:
    """A guardrail that asks a model before each call makes a call of its own."""

    def guardrail(request: httpx.Request) -> None:
        if b"hi" in request.content:
            post(
                httpx, server.base, {**CHAT, "messages": [{"role": "user", "content": "is this all right?"}]}
            )

    post(httpx, server.base, event_hooks={"request": [guardrail]})
    assert len(server.received) == len(events(home)) == 2


# --- layers ---


def through_requests(library: ModuleType) -> Any:
    class Transport(library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            answer = requests.post(
                str(request.url), data=request.content, headers={"content-type": "application/json"}
            )
            return library.Response(answer.status_code, content=answer.content)

    return Transport()


def through_aiohttp(library: ModuleType) -> Any:
    class Transport(library.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.post(str(request.url), data=await request.aread()) as answer,
            ):
                return library.Response(answer.status, content=await answer.read())

    return Transport()


@both
def test_a_client_over_another_kind_of_client_counts_once(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """httpx over requests, httpx over aiohttp: one attempt each, though two hooked clients carry it."""
    assert post(library, server.base, transport=through_requests(library)).status_code == 200
    assert post_async(library, server.base, transport=through_aiohttp(library)).status_code == 200
    assert len(server.received) == 2
    assert facts(home) == [("settled", "ok", 200, COST)] * 2


def test_a_call_after_a_failed_one_inside_the_same_send_is_seen(server: MockServer, home: Path) -> None:
    """A transport that falls back to another host when the first fails still is one attempt of the client."""

    class Fallback(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            for _ in range(2):
                answer = requests.post(str(request.url), data=request.content)
            return httpx.Response(answer.status_code, content=answer.content)

    assert post(httpx, server.base, transport=Fallback()).status_code == 200
    assert facts(home) == [("settled", "ok", 200, COST)]


# --- forms ---

SOUND = b"RIFF" + b"\0" * 2000
FORM_PATH = "/v1/audio/transcriptions"


def form_requests(base: str) -> None:
    requests.post(base + FORM_PATH, data={"model": "whisper-1"}, files={"file": ("a.wav", SOUND)})


def form_httpx(base: str) -> None:
    with httpx.Client(trust_env=False) as client:
        client.post(base + FORM_PATH, data={"model": "whisper-1"}, files={"file": ("a.wav", SOUND)})


def form_openai(base: str) -> None:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND))


def form_openai_async(base: str) -> None:
    async def call() -> None:
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="k") as client:
            await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND))

    asyncio.run(call())


def form_aiohttp(base: str) -> None:
    async def call() -> None:
        form = aiohttp.FormData({"model": "whisper-1"})
        form.add_field("file", SOUND, filename="a.wav")
        async with aiohttp.ClientSession() as session, session.post(base + FORM_PATH, data=form) as answer:
            await answer.read()

    asyncio.run(call())


FORMS = [form_requests, form_httpx, form_openai, form_openai_async, form_aiohttp]


@pytest.mark.parametrize("send", FORMS, ids=[form.__name__ for form in FORMS])
def test_a_form_is_sent_as_it_is_and_its_model_known(
    send: Callable[[str], None], server: MockServer, home: Path
) -> None:
    """A sound file in a multipart form reaches the server whole, and the event names the model."""
    document = {"text": "hello", "usage": {"type": "duration", "seconds": 60}}
    server.plan(json_reply(document))
    send(server.base)
    (received,) = server.received
    assert received.raw.count(SOUND) == 1
    assert received.raw.count(b"whisper-1") == 1
    assert [(event["model"], event["state"], event["outcome"]) for event in events(home)] == [
        ("whisper-1", "settled", "ok")
    ]


# --- finalizers ---


def test_a_stream_collected_inside_our_own_use_of_the_ledger(
    server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may close an answer while this very thread writes to the ledger: it neither hangs nor is lost."""
    from costmon.shim.recorder import Recorder

    held: list[Any] = []
    fired = 0
    original = Recorder.settle

    def settle(self: Recorder, *args: Any, **kwargs: Any) -> None:
        nonlocal fired
        with_ledger = self.ledger

        def work(db: Any) -> None:
            nonlocal fired
            if held:
                held.clear()
                gc.collect()
                fired += 1

        with_ledger.read(work)
        original(self, *args, **kwargs)

    response = requests.post(server.base + PATH, json=STREAM, stream=True)
    next(response.iter_content(1))
    held.append(response)
    del response
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "settle", settle)
        requests.post(server.base + PATH, json=CHAT)
    assert fired == 1
    requests.post(server.base + PATH, json=CHAT)
    assert sorted(event["cost"] for event in events(home)) == sorted([RESERVED, COST, COST])
    assert {event["state"] for event in events(home)} == {"settled"}


def test_json_bodies_are_read_once(server: MockServer, home: Path) -> None:
    """The hook looks at the bytes that are sent; the app's own objects are not serialised a second time."""
    seen = 0

    def dumps(value: object) -> str:
        nonlocal seen
        seen += 1
        return json.dumps(value)

    async def call() -> None:
        async with aiohttp.ClientSession(json_serialize=dumps) as session:
            await (await session.post(server.base + PATH, json=CHAT)).read()

    asyncio.run(call())
    assert (seen, len(events(home))) == (1, 1)
