"""requests, urllib3 and aiohttp: what fails, what is tried again, what is refused, and what is none of our business."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import urllib3

import costmon
from costmon import SpendBlocked
from tests.harness import answers
from tests.harness.cli import costmon as run_costmon
from tests.harness.events import events
from tests.harness.mock_server import MockServer, Reply, json_reply
from tests.harness.ports import free_port
from tests.hooks.clients import CHAT, COST, RESERVED, STREAM
from tests.hooks.transports import PATH, PLAIN

pytestmark = [
    pytest.mark.usefixtures("watched"),
    # What an app leaves open on purpose here complains when it is collected, watched or not.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
each = pytest.mark.parametrize("library", PLAIN)


def facts(home: Path) -> list[tuple[Any, ...]]:
    return [(event["state"], event["outcome"], event["status_code"], event["cost"]) for event in events(home)]


# --- failures ---


@each
def test_a_connection_that_is_never_made_costs_nothing(library: str, home: Path) -> None:
    """Nobody listens: an error that costs nothing, and the library's own exception."""
    expected = {
        "requests": requests.ConnectionError,
        "urllib3": urllib3.exceptions.HTTPError,
        "aiohttp": aiohttp.ClientConnectorError,
    }
    with pytest.raises(expected[library]):
        PLAIN[library](f"http://127.0.0.1:{free_port()}", CHAT)
    assert facts(home) == [("settled", "error", None, 0)]


@each
def test_a_failed_connection_handled_before_is_not_mistaken_for_this_one(
    library: str, server: MockServer, home: Path
) -> None:
    """An app that calls a second server because the first cannot be reached pays for what the second may have done."""
    server.plan(Reply(hang_up=True))

    def call() -> None:
        try:
            PLAIN[library](f"http://127.0.0.1:{free_port()}", CHAT)
        except Exception:
            PLAIN[library](server.base, CHAT)

    with pytest.raises((requests.ConnectionError, urllib3.exceptions.HTTPError, aiohttp.ClientError)):
        call()
    assert facts(home) == [("settled", "error", None, 0), ("settled", "unknown", None, RESERVED)]


@each
def test_a_server_that_hangs_up_is_charged_as_reserved(library: str, server: MockServer, home: Path) -> None:
    """A server that got the request and says nothing may have done the work."""
    server.plan(Reply(hang_up=True))
    with pytest.raises((requests.ConnectionError, urllib3.exceptions.HTTPError, aiohttp.ClientError)):
        PLAIN[library](server.base, CHAT)
    assert facts(home) == [("settled", "unknown", None, RESERVED)]


@each
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply({"error": {"message": "no"}}, 400), ("settled", "error", 400, 0)),
        (json_reply({"error": {"message": "slow down"}}, 429), ("settled", "error", 429, 0)),
        (json_reply({"error": {"message": "we fell over"}}, 500), ("settled", "error", 500, 0)),
        (Reply([b"<html>"], 502, "text/html"), ("settled", "unknown", 502, RESERVED)),
    ],
    ids=["400", "429", "500-json", "502-html"],
)
def test_errors_cost_what_a_provider_bills_for_them(
    library: str, reply: Reply, expected: tuple[Any, ...], server: MockServer, home: Path
) -> None:
    """An error in the provider's own words is free; a gateway's error page leaves the outcome open."""
    server.plan(reply)
    assert PLAIN[library](server.base, CHAT) == reply.chunks[0]
    assert facts(home) == [expected]


@each
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
def test_a_connection_cut_in_the_middle(library: str, chunked: bool, server: MockServer, home: Path) -> None:
    """The app gets its client's own error, if it has one; the stream costs at least its reservation."""
    parts = answers.events("", STREAM)[:3]
    server.plan(Reply(parts, content_type="text/event-stream", chunked=chunked, cut=True))
    try:
        PLAIN[library](server.base, STREAM)
    except (requests.RequestException, urllib3.exceptions.HTTPError, aiohttp.ClientError):
        pass
    else:
        assert urllib3.__version__.startswith("1."), "the client took a part for the whole"
    (event,) = events(home)
    assert (event["state"], event["cost"]) == ("settled", RESERVED)
    assert event["outcome"] in ("unknown", "dropped")


def test_a_hook_of_the_app_that_raises_after_the_answer(server: MockServer, home: Path) -> None:
    """A response hook of requests that raises leaves a whole answer unread; it is settled, at least as reserved."""

    def complain(response: requests.Response, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        requests.post(server.base + PATH, json=CHAT, hooks={"response": complain})
    gc.collect()
    PLAIN["requests"](server.base, CHAT)
    first, second = events(home)
    assert (first["state"], first["cost"]) == ("settled", RESERVED)
    assert second["cost"] == COST


# --- attempts ---


def test_each_retry_of_urllib3_is_an_event(server: MockServer, home: Path) -> None:
    """urllib3 calls itself for the next attempt: each one is an event of its own, and only the answered one costs."""
    busy = json_reply({"error": {"message": "busy"}}, 503)
    server.plan(busy, busy)
    retry = urllib3.Retry(5, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    with urllib3.PoolManager(retries=retry) as pool:
        assert pool.request("POST", server.base + PATH, body=json.dumps(CHAT)).status == 200
    error = ("settled", "error", 503, 0)
    assert facts(home) == [error, error, ("settled", "ok", 200, COST)]
    assert len(server.received) == 3


def test_each_retry_of_a_requests_adapter_is_an_event(server: MockServer, home: Path) -> None:
    """The same through requests, with a connection that breaks once."""
    server.plan(Reply(hang_up=True), Reply([b"<html>"], 502, "text/html"))
    with requests.Session() as session:
        retry = urllib3.Retry(5, status_forcelist=[502], allowed_methods=None, backoff_factor=0)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert session.post(server.base + PATH, json=CHAT).status_code == 200
    assert facts(home) == [
        ("settled", "unknown", None, RESERVED),
        ("settled", "unknown", 502, RESERVED),
        ("settled", "ok", 200, COST),
    ]


@each
def test_a_redirected_call_is_charged_where_it_is_answered(
    library: str, server: MockServer, home: Path
) -> None:
    """A redirect is an attempt that costs nothing; the second one is the call."""
    server.plan(Reply([b""], 307, headers={"Location": server.base + "/other" + PATH}))
    PLAIN_FOLLOWING[library](server.base)
    assert [(outcome, status, cost) for _, outcome, status, cost in facts(home)] == [
        ("error", 307, 0),
        ("ok", 200, COST),
    ]


def _follow_aiohttp(base: str) -> None:
    PLAIN["aiohttp"](base, CHAT)


def _follow_urllib3(base: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("POST", base + PATH, body=json.dumps(CHAT))


PLAIN_FOLLOWING: dict[str, Callable[[str], Any]] = {
    "requests": lambda base: PLAIN["requests"](base, CHAT),
    "urllib3": _follow_urllib3,
    "aiohttp": _follow_aiohttp,
}


# --- request bodies ---


def test_a_body_that_only_the_app_may_read_is_left_alone(server: MockServer, home: Path) -> None:
    """Generators and files are sent once, by the app, as they are."""
    body = json.dumps(CHAT).encode()
    head = {"content-type": "application/json", "content-length": str(len(body))}
    requests.post(server.base + PATH, data=iter([body[:10], body[10:]]), headers={**head})

    async def parts() -> Any:
        yield body[:10]
        yield body[10:]

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await (await session.post(server.base + PATH, data=parts(), headers=head)).read()

    asyncio.run(main())
    assert [received.body for received in server.received[-1:]] == [CHAT]
    assert all(event["state"] == "settled" for event in events(home))


@pytest.mark.parametrize("shape", ["json", "bytes", "text", "bytesio"])
def test_bodies_of_any_shape_are_recognised(shape: str, server: MockServer, home: Path) -> None:
    """JSON given as an object, bytes or text is the same call."""
    text = json.dumps(CHAT)
    given: dict[str, Any] = {
        "json": {"json": CHAT},
        "bytes": {"data": text.encode()},
        "text": {"data": text},
        "bytesio": {"data": io.BytesIO(text.encode())},
    }[shape]

    async def main() -> None:
        async with aiohttp.ClientSession(headers={"content-type": "application/json"}) as session:
            await (await session.post(server.base + PATH, **given)).read()

    asyncio.run(main())
    if shape != "bytesio":
        requests.post(server.base + PATH, headers={"content-type": "application/json"}, **given)
        with urllib3.PoolManager() as pool:
            pool.request("POST", server.base + PATH, body=given.get("data", text))
    assert {received.path for received in server.received} == {PATH}
    assert [received.body for received in server.received] == [CHAT] * len(server.received)
    assert [event["cost"] for event in events(home)] == [COST] * len(server.received)


@each
def test_other_requests_are_none_of_our_business(library: str, server: MockServer, home: Path) -> None:
    """A POST with another body leaves no trace."""
    server.plan(Reply([b"{}"]))
    assert PLAIN[library](server.base, {"to": "ann", "text": "hi"}) == b"{}"
    assert events(home) == []


# --- refusals ---


@each
def test_a_refusal_is_spend_blocked_at_once_and_nothing_leaves(
    library: str, server: MockServer, home: Path
) -> None:
    """Through requests' and urllib3's own retries too: one exception, no waiting, not even a connection."""
    PLAIN[library](server.base, CHAT)
    connections = server.connections
    run_costmon(home, "kill", "--why", "the month is over")
    began = time.monotonic()
    with pytest.raises(SpendBlocked, match="the month is over") as caught:
        PLAIN_FOLLOWING[library](server.base)
    assert time.monotonic() - began < 0.4
    assert (len(server.received), server.connections) == (1, connections)
    assert caught.value.__cause__ is None
    assert len(events(home)) == 1
    run_costmon(home, "allow")
    PLAIN[library](server.base, CHAT)
    assert [event["cost"] for event in events(home)] == [COST, COST]


def test_not_even_a_proxy_is_asked_for_a_refused_call(server: MockServer, home: Path) -> None:
    """A refused call through a proxy opens no connection to it."""
    PLAIN["requests"](server.base, CHAT)
    run_costmon(home, "kill")
    connections = server.connections
    proxies = {"http": server.base, "https": server.base}
    for scheme in ("http", "https"):
        with pytest.raises(SpendBlocked):
            requests.post(f"{scheme}://api.openai.com{PATH}", json=CHAT, proxies=proxies)

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(SpendBlocked):
                await session.post(f"https://api.openai.com{PATH}", json=CHAT, proxy=server.base)

    asyncio.run(main())
    assert server.connections == connections


def test_a_call_through_a_plain_proxy_is_known_by_its_own_host(server: MockServer, home: Path) -> None:
    """The proxy is told the whole address; the event names the provider, not the proxy."""
    requests.post(f"http://api.openai.com{PATH}", json=CHAT, proxies={"http": server.base})

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await (await session.post(f"http://api.openai.com{PATH}", json=CHAT, proxy=server.base)).read()

    asyncio.run(main())
    assert [(event["endpoint"], event["cost"]) for event in events(home)] == [("api.openai.com", COST)] * 2


# --- layers, labels, looks ---


def test_labels_follow_threads_and_tasks(server: MockServer, home: Path) -> None:
    """Calls bear the labels of the context they are made in."""

    async def one(number: int) -> None:
        with costmon.context(route=f"/{number}"):
            async with aiohttp.ClientSession() as session:
                await (await session.post(server.base + PATH, json=CHAT)).read()
            await asyncio.to_thread(requests.post, server.base + PATH, json=CHAT)

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(4)))

    asyncio.run(main())
    assert sorted(event["route"] for event in events(home)) == sorted([f"/{n}" for n in range(4)] * 2)


def test_the_hosts_that_hooked_clients_reach_are_known(server: MockServer, home: Path) -> None:
    """Any request says so, metered or not."""
    import httpx

    from costmon.shim.hooks import seen

    def look(call: Callable[[], object]) -> None:
        seen.hosts.clear()
        call()
        assert list(seen.hosts) == ["127.0.0.1"]

    async def fetch() -> None:
        async with aiohttp.ClientSession() as session:
            await (await session.post(server.base + "/other", data=b"{}")).read()

    server.plan(*[Reply([b"{}"])] * 4)
    with httpx.Client(trust_env=False) as client:
        look(lambda: client.post(server.base + "/other"))
    look(lambda: requests.post(server.base + "/other"))
    look(lambda: asyncio.run(fetch()))
    assert events(home) == []


def test_hooked_functions_look_as_before() -> None:
    """Signatures and names are those of the library."""
    import inspect

    pool = urllib3.connectionpool.HTTPConnectionPool
    assert list(inspect.signature(pool.urlopen).parameters)[:5] == [
        "self",
        "method",
        "url",
        "body",
        "headers",
    ]
    assert pool.urlopen.__qualname__ == "HTTPConnectionPool.urlopen"
    assert inspect.iscoroutinefunction(aiohttp.connector.BaseConnector.connect)
    assert list(inspect.signature(aiohttp.connector.BaseConnector.connect).parameters)[:2] == ["self", "req"]
    assert list(inspect.signature(aiohttp.StreamReader.feed_data).parameters)[:2] == ["self", "data"]
