"""A budget that is used up, or the switch, refuses the next call: at once, as SpendBlocked, before any byte leaves."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from costmon import SpendBlocked
from tests.harness.cli import costmon
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Received, Reply, json_reply, mock_server
from tests.hooks.clients import CHAT, STREAM

pytestmark = pytest.mark.usefixtures("watched")
# gpt-4o: 400 tokens of input x 2.5 + 900 of output x 10 = 10,000 millionths of a dollar, exactly 1 cent.
CENT = 10_000_000
# The model's and the role's name are 10 bytes; 4 bytes to a token make 400 tokens of the rest.
CENT_CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a " * 795}], "max_tokens": 900}


def cent(received: Received) -> Reply:
    """An answer that costs one cent, after a moment, so that calls overlap."""
    usage = {"prompt_tokens": 400, "completion_tokens": 900, "total_tokens": 1300}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return json_reply(
        {"object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice], "usage": usage},
        delay_s=0.15,
    )


def attempt(call: Callable[[], Any]) -> bool:
    """Whether the call went through; a refusal must be a SpendBlocked and nothing else."""
    try:
        call()
    except SpendBlocked:
        return False
    return True


def test_ten_cents_buy_ten_calls_of_a_cent(home: Path) -> None:
    """Of 25 calls in a row exactly 10 reach the server, though the app catches each refusal and goes on."""
    costmon(home, "budget", "set", "total", "0.10USD", "--period", "day")
    with mock_server(cent) as server, openai.OpenAI(base_url=server.base + "/v1", api_key="k") as client:
        allowed = [attempt(lambda: client.chat.completions.create(**CENT_CALL)) for _ in range(25)]
    assert allowed == [True] * 10 + [False] * 15
    assert len(server.received) == 10
    assert [event["cost"] for event in events(home)] == [CENT] * 10
    (period,) = rows(home, "select sum(spent) as spent, sum(reserved) as reserved from budget_period")
    assert period == {"spent": 10 * CENT, "reserved": 0}
    assert rows(home, "select sum(calls) as calls from refusal") == [{"calls": 15}]


def test_forty_calls_at_once_do_not_overspend(home: Path) -> None:
    """Threads that call all at once are held to the budget by what is reserved."""
    costmon(home, "budget", "set", "total", "0.10USD", "--period", "day")
    with (
        mock_server(cent) as server,
        openai.OpenAI(base_url=server.base + "/v1", api_key="k") as client,
        ThreadPoolExecutor(40) as pool,
    ):
        calls = [pool.submit(attempt, lambda: client.chat.completions.create(**CENT_CALL)) for _ in range(40)]
        allowed = sum(call.result() for call in calls)
    assert 9 <= allowed <= 10
    assert allowed == len(server.received) == len(events(home))
    assert sum(event["cost"] for event in events(home)) == allowed * CENT


def test_forty_tasks_at_once_do_not_overspend(home: Path) -> None:
    """The same on one event loop."""
    costmon(home, "budget", "set", "total", "0.10USD", "--period", "day")

    async def main(base: str) -> list[object]:
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="k") as client:
            calls = [client.chat.completions.create(**CENT_CALL) for _ in range(40)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with mock_server(cent) as server:
        results = asyncio.run(main(server.base))
    refused = [result for result in results if isinstance(result, SpendBlocked)]
    assert not [r for r in results if isinstance(r, BaseException) and not isinstance(r, SpendBlocked)]
    assert 9 <= 40 - len(refused) <= 10
    assert 40 - len(refused) == len(server.received) == len(events(home))


# --- how a refusal looks ---

MESSAGE = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": CHAT["messages"]}


def openai_chat(base: str) -> Any:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        return client.chat.completions.create(**CHAT)


def openai_stream(base: str) -> Any:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        return list(client.chat.completions.create(**STREAM))


def openai_raw(base: str) -> Any:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        return client.chat.completions.with_raw_response.create(**CHAT)


def openai_embeddings(base: str) -> Any:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        return client.embeddings.create(model="text-embedding-3-small", input="x")


def openai_response(base: str) -> Any:
    with openai.OpenAI(base_url=base + "/v1", api_key="k") as client:
        return client.responses.create(model="gpt-4o-mini", input="x")


def anthropic_message(base: str) -> Any:
    with anthropic.Anthropic(base_url=base, api_key="k") as client:
        return client.messages.create(**MESSAGE)


def anthropic_stream(base: str) -> Any:
    with (
        anthropic.Anthropic(base_url=base, api_key="k") as client,
        client.messages.stream(**MESSAGE) as stream,
    ):
        return list(stream.text_stream)


def plain(library: Any, body: dict[str, Any] = CHAT) -> Callable[[str], Any]:
    def call(base: str) -> Any:
        with library.Client(trust_env=False) as client:
            return client.post(base + "/v1/chat/completions", json=body)

    return call


def plain_async(library: Any) -> Callable[[str], Any]:
    async def call(base: str) -> Any:
        async with library.AsyncClient(trust_env=False) as client:
            return await client.post(base + "/v1/chat/completions", json=CHAT)

    return lambda base: asyncio.run(call(base))


def openai_async(base: str) -> Any:
    async def call() -> Any:
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="k") as client:
            return await client.chat.completions.create(**CHAT)

    return asyncio.run(call())


def openai_stream_async(base: str) -> Any:
    async def call() -> Any:
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="k") as client:
            return [event async for event in await client.chat.completions.create(**STREAM)]

    return asyncio.run(call())


def anthropic_async(base: str) -> Any:
    async def call() -> Any:
        async with anthropic.AsyncAnthropic(base_url=base, api_key="k") as client:
            return await client.messages.create(**MESSAGE)

    return asyncio.run(call())


def anthropic_stream_async(base: str) -> Any:
    async def call() -> Any:
        async with (
            anthropic.AsyncAnthropic(base_url=base, api_key="k") as client,
            client.messages.stream(**MESSAGE) as stream,
        ):
            return [text async for text in stream.text_stream]

    return asyncio.run(call())


CALLS = {
    "openai": openai_chat,
    "openai-stream": openai_stream,
    "openai-raw": openai_raw,
    "openai-embeddings": openai_embeddings,
    "openai-responses": openai_response,
    "openai-async": openai_async,
    "openai-stream-async": openai_stream_async,
    "anthropic": anthropic_message,
    "anthropic-stream": anthropic_stream,
    "anthropic-async": anthropic_async,
    "anthropic-stream-async": anthropic_stream_async,
    "httpx": plain(httpx),
    "httpx-async": plain_async(httpx),
    "httpx2": plain(httpx2),
    "httpx2-async": plain_async(httpx2),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_refusal_is_spend_blocked_at_once_and_nothing_leaves(
    name: str, server: MockServer, home: Path
) -> None:
    """With the SDK's default retries too: one exception, no waiting, not even a connection; allowed again, it works."""
    CALLS[name](server.base)
    calls, connections = len(server.received), server.connections
    costmon(home, "kill", "--why", "the month is over")
    began = time.monotonic()
    with pytest.raises(SpendBlocked) as caught:
        CALLS[name](server.base)
    assert time.monotonic() - began < 0.4  # the SDKs' first retry waits 0.5 s
    assert (len(server.received), server.connections) == (calls, connections)
    assert "the month is over" in str(caught.value)
    assert caught.value.rule == "switch"
    assert caught.value.since is not None
    assert len(events(home)) == 1
    costmon(home, "allow")
    CALLS[name](server.base)
    assert len(server.received) == calls + 1


def test_a_refusal_says_what_a_person_needs(server: MockServer, home: Path) -> None:
    """The refusal names the budget, what was spent of how much and when it starts anew, also in another process."""
    costmon(home, "budget", "set", "tiny", "0.001USD", "--period", "day")
    openai_chat(server.base)
    with pytest.raises(SpendBlocked) as caught:
        openai_chat(server.base)
    blocked = caught.value
    assert 'budget "tiny" has used $0.0073 of $0.001' in str(blocked)
    assert blocked.since is not None
    assert blocked.until is not None
    assert blocked.retry_after is not None
    assert 0 < blocked.retry_after <= 86_400
    assert blocked.__cause__ is None
    copy = pickle.loads(pickle.dumps(blocked))
    assert (str(copy), copy.__dict__) == (str(blocked), blocked.__dict__)


def test_reservations_alone_ask_for_a_retry(home: Path) -> None:
    """While calls in flight hold the budget, the refusal says so apart from what is spent, and to try again soon."""
    costmon(home, "budget", "set", "tiny", "0.01USD", "--period", "day", "--mode", "strict")
    slow = mock_server(lambda received: replace(cent(received), delay_s=1.5))
    with slow as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(plain(httpx), server.base)
        wait_until(lambda: len(server.received) == 1)
        with pytest.raises(SpendBlocked) as caught:
            plain(httpx2, CENT_CALL)(server.base)
        first.result()
    blocked = caught.value
    # 3 tokens in, 500 out: 5007.5 millionths are reserved; a cent more does not fit into a cent.
    assert (blocked.budget, blocked.spent, blocked.reserved, blocked.limit) == ("tiny", 0, 5_007_500, CENT)
    assert (blocked.until, blocked.retry_after) == (None, 5.0)
    assert "reserved by calls in flight" in str(blocked)


def test_a_raised_budget_lets_calls_go_on(server: MockServer, home: Path) -> None:
    """Raising or removing the budget from a shell lifts the block it set by itself, though no engine runs."""
    costmon(home, "budget", "set", "tiny", "0.001USD", "--period", "day")
    openai_chat(server.base)
    for change in (["set", "tiny", "1USD"], ["set", "tiny", "0.001USD"], ["rm", "tiny"]):
        costmon(home, "budget", *change)
        assert attempt(lambda: openai_chat(server.base)) == ("0.001USD" not in change)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_scope_refuses_only_its_own(server: MockServer, home: Path) -> None:
    """A block on one provider leaves the other alone."""
    costmon(home, "kill", "provider=anthropic")
    openai_chat(server.base)
    with pytest.raises(SpendBlocked):
        anthropic_message(server.base)
    costmon(home, "allow", "provider=anthropic")
    anthropic_message(server.base)
    assert len(server.received) == 2


def test_switched_off_refuses_nothing(
    server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With COSTMON_ENABLED=0 neither switch nor budget exists."""
    costmon(home, "kill")
    monkeypatch.setenv("COSTMON_ENABLED", "0")
    openai_chat(server.base)
    assert len(server.received) == 1
    assert events(home) == []
