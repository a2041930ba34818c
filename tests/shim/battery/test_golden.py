"""What an app can see of the shim in an SDK: nothing. And what the shim sees of an SDK's attempts: every one."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import costmon
from costmon.shim import context
from costmon.shim.recorder import Outcome, Recorder
from tests.harness import answers
from tests.harness.events import events
from tests.harness.mock_server import MockServer, Reply, json_reply, mock_server, sse
from tests.shim.battery import kit
from tests.shim.battery.test_bad_input import CHAT, STREAM, sdk

RESERVED = 500 * 600  # nano USD of output alone


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="test")
    with mock_server() as running:
        yield running


SURFACE = """
import inspect, json, pickle, re, sys
import openai, anthropic, httpx, httpx2, requests, urllib3, aiohttp
if sys.argv[1] == "watched":
    import costmon
    costmon.instrument()
def looks(owner, name):
    member = inspect.getattr_static(owner, name)
    function = getattr(member, "__func__", member)
    return [
        f"{owner.__module__}.{owner.__qualname__}.{name}", re.sub(" at 0x[0-9a-f]+", "", str(inspect.signature(function))),
        function.__name__,
        function.__qualname__, function.__module__, function.__doc__, inspect.iscoroutinefunction(function),
        sorted(getattr(function, "__annotations__", {})), type(member).__name__,
    ]
owners = [
    openai.OpenAI, openai.AsyncOpenAI, anthropic.Anthropic, anthropic.AsyncAnthropic, httpx.Client,
    httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient, requests.Session,
    urllib3.HTTPConnectionPool, urllib3.PoolManager, aiohttp.ClientSession,
    openai._base_client.SyncAPIClient, openai._base_client.AsyncAPIClient, httpx.HTTPTransport,
    httpx.Response, aiohttp.ClientResponse,
]
found = [
    looks(owner, name) for owner in owners for name in sorted(dir(owner))
    if inspect.isfunction(getattr(inspect.getattr_static(owner, name), "__func__", inspect.getattr_static(owner, name)))
]
found += [[owner.__qualname__, str(owner.__mro__), len(pickle.dumps(owner))] for owner in owners]
print(json.dumps(found))
"""


@pytest.mark.conformance
def test_the_clients_look_as_before() -> None:
    """Signature, name, docstring, kind, class tree and pickle of every method of the hooked clients are unchanged."""
    plain, watched = (kit.python(SURFACE, how) for how in ("plain", "watched"))
    assert plain.returncode == watched.returncode == 0, plain.stderr + watched.stderr
    before, after = json.loads(plain.stdout), json.loads(watched.stdout)
    assert len(before) > 300
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == []


TOOLS = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
]


def raw(client: openai.OpenAI) -> Any:
    response = client.chat.completions.with_raw_response.create(**CHAT)
    return response.status_code, dict(response.headers), response.text, repr(response.parse())


def streaming(client: openai.OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return response.status_code, dict(response.headers), list(response.iter_lines())


def streaming_bytes(client: openai.OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**STREAM) as response:
        return b"".join(response.iter_bytes())


def tools(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(**CHAT, tools=TOOLS).model_dump()


def streamed(client: openai.OpenAI) -> Any:
    stream = client.chat.completions.create(**STREAM)
    return (
        type(stream).__qualname__,
        [chunk.model_dump() for chunk in stream],
        stream.response.headers["date"],
    )


def helper(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
        return [event.type for event in stream], stream.get_final_completion().model_dump()


def responses(client: openai.OpenAI) -> Any:
    return client.responses.create(model="gpt-4o-mini", input="hi", max_output_tokens=500).model_dump()


def embeddings(client: openai.OpenAI) -> Any:
    return client.embeddings.create(model="text-embedding-3-small", input="hi").model_dump()


def options(client: openai.OpenAI) -> Any:
    return client.with_options(timeout=5, max_retries=1).chat.completions.create(**CHAT).model_dump()


def batch(client: openai.OpenAI) -> Any:
    made = client.batches.create(input_file_id="f", endpoint="/v1/chat/completions", completion_window="24h")
    return made.model_dump()


WAYS = [raw, streaming, streaming_bytes, tools, streamed, helper, responses, embeddings, options, batch]


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_every_way_to_call_gives_the_same(
    way: Callable[[openai.OpenAI], Any],
    server: MockServer,
    costmon_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Raw responses, streamed ones, tools, helpers and batches: value for value what they are without costmon."""
    with sdk(server) as client:
        answers.restart()
        watched = way(client)
        monkeypatch.setenv("COSTMON_ENABLED", "0")
        answers.restart()
        assert way(client) == watched
    if way is not batch:
        assert [event["outcome"] for event in events(costmon_home)] == ["ok"]


# --- attempts ---

LIMITED = json_reply({"error": {"message": "slow down"}}, 429, headers={"retry-after-ms": "5"})
SLOW = Reply([b"{}"], delay_s=1.0)


@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("why", ["429", "timeout", "hang-up"])
def test_an_event_for_every_attempt(
    why: str, attempts: int, server: MockServer, costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever made the SDK try again, each attempt is a row; one whose outcome nobody knows costs its reservation."""
    number = kit.add_budget(costmon_home, 10**12)
    monkeypatch.setattr(openai._base_client.BaseClient, "_calculate_retry_timeout", lambda *_: 0.001)
    reply = {"429": LIMITED, "timeout": SLOW, "hang-up": Reply(hang_up=True)}[why]
    with sdk(server).with_options(max_retries=attempts - 1, timeout=0.4) as client:
        server.plan(*[reply] * attempts)
        with pytest.raises(openai.OpenAIError):
            client.chat.completions.create(**CHAT)
        server.plan(*[reply] * (attempts - 1))
        assert client.chat.completions.create(**CHAT).usage is not None
    found = events(costmon_home)
    assert len(found) == len(server.received) == 2 * attempts
    for event in found[:-1]:
        if why == "429":
            assert (event["outcome"], event["cost"]) == ("error", 0)
        else:
            assert (event["outcome"], event["cost_status"]) == ("unknown", "estimated")
            assert event["cost"] >= RESERVED
    assert found[-1]["outcome"] == "ok"
    assert kit.period(costmon_home, number)["reserved"] == 0
    kit.assert_sums_agree(costmon_home)


def test_a_stream_that_is_refused_first(server: MockServer, costmon_home: Path) -> None:
    """A stream that took three attempts is three rows, and only the last one costs."""
    with sdk(server).with_options(max_retries=2) as client:
        server.plan(LIMITED, LIMITED, sse(answers.chat_events("gpt-4o-mini", include_usage=True)))
        assert len(list(client.chat.completions.create(**STREAM))) == 7
    assert [event["outcome"] for event in events(costmon_home)] == ["error", "error", "ok"]


# --- overhead ---


def test_a_call_costs_less_than_a_millisecond(costmon_home: Path) -> None:
    """Admission and settlement on a warm ledger take under 1 ms of processor time at the median, p99 under 25."""
    kit.add_budget(costmon_home, 10**15)
    recorder = Recorder(str(costmon_home))
    took = []
    for _ in range(600):
        began = time.thread_time()
        held = recorder.admit(kit.llm())
        assert held is not None
        recorder.settle(held, Outcome("ok", usage={"input_tokens": 10, "output_tokens": 5}))
        took.append((time.thread_time() - began) * 1000)
    took = sorted(took[100:])
    print(f"p50 {statistics.median(took):.3f} ms, p99 {took[len(took) * 99 // 100]:.2f} ms")
    assert statistics.median(took) <= 1
    assert took[len(took) * 99 // 100] <= 25
    recorder.ledger.close()
