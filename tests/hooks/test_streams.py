"""However a stream ends, it is settled exactly once, and nothing stays reserved."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest

from tests.harness import answers
from tests.harness.cli import costmon, environ
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Reply, mock_server, sse
from tests.harness.venvs import ROOT
from tests.hooks.clients import CHAT, COST, LIBRARIES, NAMES, RESERVED, STREAM, post, stream

pytestmark = pytest.mark.usefixtures("watched")
both = pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
PARTS = 7  # chunks of the usual stream, without the closing [DONE]


@pytest.fixture
def budget(home: Path) -> Callable[[], dict[str, int]]:
    """A large budget; call it for what is spent, reserved and counted in it."""
    costmon(home, "budget", "set", "total", "1000USD", "--period", "day")
    sums = "select sum(spent) as spent, sum(reserved) as reserved, sum(calls) as calls from budget_period"
    return lambda: rows(home, sums)[0]


def settled_once(home: Path, budget: Callable[[], dict[str, int]], outcome: str, cost: int) -> None:
    (event,) = events(home)
    assert (event["state"], event["outcome"], event["cost"]) == ("settled", outcome, cost)
    assert budget() == {"spent": cost, "reserved": 0, "calls": 1}


@both
def test_a_full_stream(library: ModuleType, server: MockServer, home: Path, budget: Any) -> None:
    """A stream read to its end costs what its last chunk says."""
    stream(library, server.base)
    settled_once(home, budget, "ok", COST)


@both
def test_a_stream_broken_off(library: ModuleType, server: MockServer, home: Path, budget: Any) -> None:
    """The provider bills an abandoned stream in full, so it costs at least what was reserved."""
    stream(library, server.base, next)
    settled_once(home, budget, "dropped", RESERVED)


@both
def test_a_stream_left_after_its_usage(
    library: ModuleType, server: MockServer, home: Path, budget: Any
) -> None:
    """An app that stops reading at the chunk with the totals has a whole answer, not a dropped one."""

    def take(chunks: Iterator[bytes]) -> None:
        for _ in range(PARTS):
            next(chunks)

    server.plan(sse(answers.events("", STREAM), pause_s=0.01))
    stream(library, server.base, take)
    settled_once(home, budget, "ok", COST)


@both
def test_a_stream_never_read(library: ModuleType, server: MockServer, home: Path, budget: Any) -> None:
    """Opened and closed without reading: the request was made all the same."""
    stream(library, server.base, lambda _: None)
    settled_once(home, budget, "dropped", RESERVED)


@both
def test_a_stream_closed_many_times(library: ModuleType, server: MockServer, home: Path, budget: Any) -> None:
    """Closing again, and collecting what is closed, settles nothing twice."""
    with library.Client(trust_env=False) as client:
        with client.stream("POST", server.base + "/v1/chat/completions", json=STREAM) as response:
            response.read()
            response.close()
        response.close()
        del response
        gc.collect()
        post(library, f"{server.base}/unmetered")
    assert len([event for event in events(home) if event["endpoint"] and event["outcome"] == "ok"]) == 2
    assert budget() == {"spent": 2 * COST, "reserved": 0, "calls": 2}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@both
def test_a_stream_dropped_on_the_floor(
    library: ModuleType, server: MockServer, home: Path, budget: Any
) -> None:
    """A response nobody closes is settled when it is collected, at the latest by the next call."""
    client = library.Client(trust_env=False)
    request = client.build_request("POST", server.base + "/v1/chat/completions", json=STREAM)
    response = client.send(request, stream=True)
    next(response.iter_raw())
    del response
    gc.collect()
    post(library, server.base)
    client.close()
    first, second = events(home)
    assert (first["state"], first["outcome"], first["cost"]) == ("settled", "dropped", RESERVED)
    assert (second["outcome"], second["cost"]) == ("ok", COST)
    assert budget()["reserved"] == 0


@both
def test_a_connection_cut_in_the_middle(
    library: ModuleType, server: MockServer, home: Path, budget: Any
) -> None:
    """The app gets its client's own error; the stream costs at least its reservation."""
    parts = answers.events("", STREAM)[:3]
    server.plan(Reply(parts, content_type="text/event-stream", chunked=True, cut=True))
    with pytest.raises(library.RemoteProtocolError):
        stream(library, server.base)
    (event,) = events(home)
    assert (event["state"], event["cost"], event["error"]) == ("settled", RESERVED, "RemoteProtocolError")
    assert event["outcome"] in ("unknown", "dropped")
    assert budget()["reserved"] == 0


@both
def test_an_error_of_the_app_inside_a_stream(
    library: ModuleType, server: MockServer, home: Path, budget: Any
) -> None:
    """An exception in the app's own loop passes through, and the stream is settled."""

    def take(chunks: Iterator[bytes]) -> None:
        next(chunks)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stream(library, server.base, take)
    settled_once(home, budget, "dropped", RESERVED)


def test_an_error_event_of_the_provider(server: MockServer, home: Path, budget: Any) -> None:
    """A stream in which the provider reports that it failed is an error, charged as reserved."""
    error = (
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}\n\n'
    )
    server.plan(sse([*answers.events("/messages", {"model": "claude-haiku-4-5"})[:3], error]))
    with anthropic.Anthropic(base_url=server.base, api_key="k", max_retries=0) as client:
        found = client.messages.create(
            model="claude-haiku-4-5", max_tokens=500, messages=CHAT["messages"], stream=True
        )
        with pytest.raises(anthropic.APIStatusError):
            list(found)
    (event,) = events(home)
    # Reserved: 6 tokens of input, 500 of output.
    assert (event["state"], event["outcome"]) == ("settled", "error")
    assert event["cost"] == 2_506_000  # 6 x 1 + 500 x 5 = 2506 millionths
    assert budget() == {"spent": 2_506_000, "reserved": 0, "calls": 1}


def test_a_message_stream_that_ends_too_soon(server: MockServer, home: Path, budget: Any) -> None:
    """A proxy that ends Anthropic's stream early leaves only the first, small count of output: not taken for the whole."""
    server.plan(sse(answers.events("/messages", {"model": "claude-haiku-4-5"})[:4]))
    with anthropic.Anthropic(base_url=server.base, api_key="k", max_retries=0) as client:
        found = client.messages.create(
            model="claude-haiku-4-5", max_tokens=500, messages=CHAT["messages"], stream=True
        )
        assert len(list(found)) == 4
    settled_once(home, budget, "dropped", 2_506_000)  # as reserved: 6 x 1 + 500 x 5 = 2506 millionths


@both
@pytest.mark.parametrize("after", [0.0, 0.001, 0.02, 0.1, 0.16, 0.3])
def test_a_cancelled_task(
    after: float, library: ModuleType, server: MockServer, home: Path, budget: Any
) -> None:
    """A task cancelled before, during or after the answer began is settled once, and the cancellation goes through."""
    usual = sse(answers.events("", STREAM), delay_s=0.05, pause_s=0.05)
    server.plan(usual, usual)

    async def call() -> None:
        async with (
            library.AsyncClient(trust_env=False) as client,
            client.stream("POST", server.base + "/v1/chat/completions", json=STREAM) as response,
        ):
            async for _ in response.aiter_bytes():
                pass

    async def main() -> None:
        task = asyncio.create_task(call())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    found = events(home)
    assert [(event["state"], event["cost"]) for event in found] == [("settled", RESERVED)]
    assert budget() == {"spent": RESERVED, "reserved": 0, "calls": 1}


def test_an_async_stream_that_nobody_closes(server: MockServer, home: Path, budget: Any) -> None:
    """`break` in an `async for` leaves the generator to the event loop; it is settled when the loop ends."""

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.base + "/v1", api_key="k") as client:
            async for _ in await client.chat.completions.create(**STREAM):
                break

    asyncio.run(main())
    settled_once(home, budget, "dropped", RESERVED)


# --- what is left when the process ends ---

APP = """
import atexit, asyncio, gc, os, sys, tempfile, weakref
WEAK = tempfile.TemporaryDirectory()  # uses weakref.finalize before costmon does
import costmon
costmon.instrument(app="leaver")
import {library} as http
URL = sys.argv[1] + "/v1/chat/completions"
BODY = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": "hi"}}], "max_tokens": 500, "stream": True,
         "stream_options": {{"include_usage": True}}}}
kept, reading = [], []
def begin(read=0):
    client = http.Client(trust_env=False)
    response = client.send(client.build_request("POST", URL, json=BODY), stream=True)
    chunks = response.iter_raw()
    for _ in range(read):
        next(chunks)
    kept.append((client, response, chunks))
async def begin_async(read=0):
    client = http.AsyncClient(trust_env=False)
    response = await client.send(client.build_request("POST", URL, json=BODY), stream=True)
    chunks = response.aiter_raw()
    for _ in range(read):
        await anext(chunks)
        reading.append(1)
    kept.append((client, response, chunks))
{body}
"""
LEAVINGS = {
    "unread-kept": "begin()",
    "read-a-little-kept": "begin(2)",
    "unread-dropped": "begin(); kept.clear()",
    "read-dropped": "begin(2); kept.clear(); gc.collect()",
    "cycle": "begin(2); kept.append(kept); del kept",
    "exit": "begin(1); sys.exit(3)",
    "exception": "begin(1); raise SystemError('app')",
    "at-exit": "atexit.register(lambda: kept.clear()); begin(1)",
    "async-kept": "asyncio.run(begin_async(2))",
    "async-unread": "asyncio.run(begin_async())",
    "async-cancelled": (
        "async def main():\n    task = asyncio.create_task(begin_async(9))\n"
        "    while not reading:\n        await asyncio.sleep(0.01)\nasyncio.run(main())"
    ),
    "many": "[begin(n % 3) for n in range(5)]",
}


@pytest.mark.parametrize("name", LEAVINGS)
def test_nothing_stays_reserved_when_the_app_ends(name: str, home: Path) -> None:
    """An app that ends in the middle of streams leaves each of them settled, once."""
    library = NAMES[len(name) % 2]
    with mock_server(
        lambda received: sse(answers.events(received.path, received.body), pause_s=0.1)
    ) as server:
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                APP.format(library=library, body=LEAVINGS[name]),
                server.base,
            ],
            env=environ(home, PYTHONPATH=ROOT),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == {"exit": 3, "exception": 1}.get(name, 0), done.stderr
        assert "costmon" not in done.stderr
        found = events(home)
        assert len(found) == len(server.received) == (5 if name == "many" else 1)
    assert {event["state"] for event in found} == {"settled"}
    assert {event["cost"] for event in found} == {RESERVED}
    assert {event["outcome"] for event in found} <= {"dropped", "unknown"}


FORK = """
import os
begin(1)
child = os.fork()
if child == 0:
    kept.clear(); gc.collect()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
client, response, chunks = kept.pop()
list(chunks); response.close()
"""


@pytest.mark.parametrize("library", NAMES)
def test_a_forked_child_does_not_settle_its_parents_stream(library: str, home: Path) -> None:
    """A child that ends while its parent reads a stream leaves the settlement to the parent."""
    with mock_server(
        lambda received: sse(answers.events(received.path, received.body), pause_s=0.1)
    ) as server:
        command = [sys.executable, "-W", "ignore", "-c", APP.format(library=library, body=FORK), server.base]
        subprocess.run(command, env=environ(home, PYTHONPATH=ROOT), check=True, timeout=30)
    (event,) = events(home)
    assert (event["state"], event["outcome"], event["cost"]) == ("settled", "ok", COST)
