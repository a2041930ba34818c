"""requests, urllib3 and aiohttp: each attempt is one event, settled once, whatever the app does with the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.harness import answers
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Reply, sse
from tests.hooks.clients import CHAT, COST, RESERVED, STREAM, encoded, pieces
from tests.hooks.transports import EARLY, PATH, PLAIN, WHOLE, library_of
from tests.shim.battery import kit

pytestmark = [
    pytest.mark.usefixtures("watched"),
    # What an app leaves open on purpose here complains when it is collected, watched or not.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
each = pytest.mark.parametrize("library", PLAIN)


@pytest.fixture
def budget(home: Path) -> Callable[[], dict[str, int]]:
    """A large budget; call it for what is spent, reserved and counted in it."""
    kit.add_budget(home, 1000 * 10**9)
    sums = "select sum(spent) as spent, sum(reserved) as reserved, sum(calls) as calls from budget_period"
    return lambda: rows(home, sums)[0]


def facts(home: Path) -> list[tuple[Any, ...]]:
    return [(event["state"], event["outcome"], event["status_code"], event["cost"]) for event in events(home)]


def without(monkeypatch: pytest.MonkeyPatch, call: Callable[[], bytes]) -> bytes:
    """What the app reads when costmon is switched off."""
    with monkeypatch.context() as patch:
        patch.setenv("COSTMON_ENABLED", "0")
        return call()


def result_of(call: Callable[[], bytes]) -> bytes | tuple[str, str]:
    try:
        return call()
    except Exception as error:
        return type(error).__name__, ""


# --- read to the end ---


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("way", WHOLE)
def test_every_way_to_read_an_answer(
    way: str,
    body: dict[str, Any],
    server: MockServer,
    home: Path,
    budget: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The app reads exactly what it would read unwatched; the event has the provider's own counts, once."""
    seen = WHOLE[way](server.base, body)
    assert facts(home) == [("settled", "ok", 200, COST)]
    assert budget() == {"spent": COST, "reserved": 0, "calls": 1}
    answers.restart()
    first = without(monkeypatch, lambda: WHOLE[way](server.base, body))
    answers.restart()
    assert WHOLE[way](server.base, body) == first
    assert len(seen) >= len(first)
    assert len(events(home)) == 2


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate-raw"])
@pytest.mark.parametrize("way", WHOLE)
@pytest.mark.slow
def test_every_way_to_read_a_compressed_answer(
    way: str, coding: str, server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the app, its client or nobody decodes it: the app's bytes are the same, and the cost is exact."""
    answers.restart()
    whole = b"".join(answers.events(PATH, STREAM))
    reply = Reply(
        pieces(encoded(coding, whole), 60),
        content_type="text/event-stream",
        headers={"Content-Encoding": coding.removesuffix("-raw")},
        chunked=True,
    )
    server.plan(reply, reply)
    seen = result_of(lambda: WHOLE[way](server.base, STREAM))
    assert without(monkeypatch, lambda: result_of(lambda: WHOLE[way](server.base, STREAM))) == seen  # type: ignore[arg-type, return-value]
    (event,) = events(home)
    assert event["state"] == "settled"
    if seen in (whole, encoded(coding, whole)):
        assert event["cost"] == COST
    else:  # the client's decoder failed, or it gave up before the end
        assert event["cost"] is None or event["cost"] >= RESERVED


@pytest.mark.parametrize("size", [1, 13, 100_000])
@pytest.mark.parametrize("way", ["requests-iter-content", "urllib3-stream", "urllib3-read", "aiohttp-lines"])
def test_a_stream_cut_anywhere_is_read(way: str, size: int, server: MockServer, home: Path) -> None:
    """Network chunks that end inside a character or a line change nothing."""
    whole = b"".join(answers.events(PATH, STREAM))
    server.plan(Reply(pieces(whole, size), content_type="text/event-stream", chunked=True))
    assert WHOLE[way](server.base, STREAM) == whole
    assert facts(home) == [("settled", "ok", 200, COST)]


@each
def test_an_answer_that_ends_with_its_connection(library: str, home: Path, server: MockServer) -> None:
    """Neither length nor chunks (HTTP/1.0 style): the end of the connection is the end of the answer."""
    body = json.dumps(answers.document(PATH, CHAT)).encode()
    server.plan(Reply([body], until_close=True))
    assert PLAIN[library](server.base, CHAT) == body
    assert facts(home) == [("settled", "ok", 200, COST)]


# --- left before the end ---


@pytest.mark.parametrize("way", EARLY)
def test_every_way_to_leave_an_answer(way: str, server: MockServer, home: Path, budget: Any) -> None:
    """The provider bills an abandoned stream in full: it is settled once, at least as reserved."""
    server.plan(sse(answers.events(PATH, STREAM), pause_s=0.05))
    EARLY[way](server.base, STREAM)
    PLAIN[library_of(way)](server.base, CHAT)  # what was dropped is settled by the next call at the latest
    first, second = events(home)
    assert (first["state"], first["cost"]) == ("settled", RESERVED)
    assert first["outcome"] in ("dropped", "unknown")
    assert (second["outcome"], second["cost"]) == ("ok", COST)
    assert budget() == {"spent": COST + RESERVED, "reserved": 0, "calls": 2}


@pytest.mark.parametrize("after", [0.0, 0.001, 0.02, 0.1, 0.16, 0.3])
def test_a_cancelled_task(after: float, server: MockServer, home: Path, budget: Any) -> None:
    """An aiohttp call cancelled at any moment is settled at most once, and the cancellation goes through."""
    server.plan(sse(answers.events("", STREAM), delay_s=0.05, pause_s=0.05))

    async def call() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(server.base + PATH, json=STREAM) as answer,
        ):
            async for _ in answer.content:
                pass

    async def main() -> None:
        task = asyncio.create_task(call())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    found = events(home)
    assert {event["state"] for event in found} <= {"settled"}
    assert len(found) <= 1
    if server.received:  # the provider has it
        assert [event["cost"] for event in found] == [RESERVED]
    assert budget()["reserved"] == 0


async def test_a_task_cancelled_while_it_connects_costs_nothing(home: Path, budget: Any) -> None:
    """Nothing was sent yet, so nothing is charged."""
    started = asyncio.Event()

    class Slow(aiohttp.TCPConnector):
        async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
            started.set()
            await asyncio.sleep(30)

    async with aiohttp.ClientSession(connector=Slow()) as session:
        task = asyncio.ensure_future(session.post("http://127.0.0.1:9" + PATH, json=CHAT))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert facts(home) == [("settled", "error", None, 0)]
    assert budget() == {"spent": 0, "reserved": 0, "calls": 1}


async def test_a_coded_answer_that_arrives_at_once_is_read(server: MockServer, home: Path) -> None:
    """A whole answer in one packet has let go of its session before anybody can ask it about the coding."""
    body = encoded("gzip", json.dumps(answers.document(PATH, CHAT)).encode())
    server.plan(*[Reply([body], headers={"Content-Encoding": "gzip"})] * 20)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for _ in range(20):
            async with session.post(server.base + PATH, json=CHAT) as answer:
                assert await answer.read() == body
    assert {(event["usage_status"], event["cost"]) for event in events(home)} == {("reported", COST)}
