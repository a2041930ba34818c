"""Connections that fail: slow, cut off, refused, or to an unknown name. Each ends in time; the next poll works. R66."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from costmon.credentials import Secret
from costmon.sources.providers.http import Traffic, client, connect, wire
from costmon.sources.providers.protocol import Settings, SourceError
from tests.sources.providers.fake.server import Server
from tests.sources.providers.http_kit import FAKE, KEY, KIND, Ear, Script, ask, refused, reply

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


async def alive(ear: Ear) -> None:
    """The next poll works, and the last one really got there with its request."""
    assert KEY.encode() in ear.heard[0]
    assert len(ear.heard) == 1
    ear.script = reply(b'{"ok": true}')
    assert await ask(ear.url) == {"ok": True}


def drip(head: bytes, piece: bytes) -> Script:
    """Sends `head`, and then a byte or so now and then, for ever."""

    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(0.02)

    return script


SLOW = {
    "no byte": lambda connection: connection.recv(1),
    "a byte of the status line": drip(b"", b"H"),
    "a byte of a header": drip(HEAD + b"X-Slow: ", b"x"),
    "a header": drip(HEAD, b"X: y\r\n"),
    "another 103": drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a byte of the body": drip(HEAD + b"Content-Length: 100000\r\n\r\n[", b" "),
    "a chunk of the body": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a body without an end": drip(HEAD + b"\r\n[", b" "),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
async def test_a_slow_answer_is_left_when_the_time_is_over(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LIMIT_S", 0.4)
    with Ear(script) as ear, within(2):
        error = await refused(ear.url)
        assert (error.state, "within 0.4 seconds" in str(error)) == ("network", True)
        await alive(ear)


async def test_the_loop_stays_free_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LIMIT_S", 0.5)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - start)

    with Ear(SLOW["a byte of the body"]) as ear:
        watching = asyncio.create_task(watch())
        await refused(ear.url)
        watching.cancel()
        assert len(ear.heard) == 1
    assert longest < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a header", "a byte of the body"])
async def test_the_time_is_30_seconds(name: str) -> None:
    assert client.LIMIT_S == 30
    with Ear(SLOW[name]) as ear:
        start = time.monotonic()
        error = await refused(ear.url)
        assert 29 < time.monotonic() - start <= 30.5
        assert "within 30 seconds" in str(error)
        await alive(ear)


async def test_a_slow_body_of_an_error_does_not_hide_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_ERROR_BODY_S", 0.2)
    head = b"HTTP/1.1 401 No\r\nContent-Length: 1000\r\n\r\n"
    with Ear(drip(head, b"x")) as ear, within(2):
        assert (await refused(ear.url)).state == "auth"
        await alive(ear)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(sent: bytes, *, hard: bool = False, half: bool = False) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(sent)
        if hard:
            time.sleep(0.05)
            reset(connection)
        if half:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    return script


LONG = HEAD + b'Content-Length: 100\r\n\r\n{"data": [1, 2, '
BROKEN = {
    "closed without a word": (cut(b""), "broke off"),
    "reset without a word": (cut(b"", hard=True), "broke off"),
    "half closed without a word": (cut(b"", half=True), "broke off"),
    "closed in the headers": (cut(HEAD), "broke off"),
    "closed in the body": (cut(LONG), "broke off"),
    "reset in the body": (cut(LONG, hard=True), "broke off"),
    "half closed in the body": (cut(LONG, half=True), "broke off"),
    "closed in a chunk": (cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"), "broke off"),
    "closed between chunks": (cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), "broke off"),
    "closed in a body without a length": (cut(HEAD + b'\r\n{"data": [1, 2, '), "was cut off"),
    "a length too small": (cut(HEAD + b'Content-Length: 9\r\n\r\n{"data": [1, 2]}'), "was cut off"),
    "two lengths": (cut(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "broke off"),
    "a length that is none": (cut(HEAD + b"Content-Length: ten\r\n\r\n{}"), "broke off"),
    "a negative length": (cut(HEAD + b"Content-Length: -2\r\n\r\n{}"), "broke off"),
    "a chunk size that is none": (cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"), "broke off"),
    "another protocol": (cut(b"SSH-2.0-OpenSSH_9.6\r\n"), "broke off"),
    "headers without an end": (cut(HEAD + b"X: " + b"y" * 300_000), "broke off"),
    "a header with a line feed": (cut(HEAD + b"X: a\nb: c\r\nContent-Length: x\n\r\n{}"), "broke off"),
    "an impossible status": (cut(b"HTTP/1.1 999 Hm\r\nContent-Length: 2\r\n\r\n{}"), "status 999"),
    "a switch of protocols": (cut(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), ""),
}


@pytest.mark.parametrize(("script", "words"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_connection_is_an_error_and_never_half_an_answer(
    script: Script, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LIMIT_S", 3.0)
    with Ear(script) as ear, within(5):
        error = await refused(ear.url)
        assert error.state in ("network", "schema")
        assert words in str(error)
        await alive(ear)


async def test_nobody_there_is_said_at_once() -> None:
    with Ear() as ear:
        url = ear.url
    traffic = Traffic()
    with within(2):
        error = await refused(url, traffic=traffic)
    assert traffic == Traffic(0, 0)
    assert (error.state, "nothing accepts connections there" in str(error)) == ("network", True)


async def test_a_name_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def unknown(host: object, *_: object, **__: object) -> object:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, f"no {host}")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await refused("https://api.acme.example/v1")
    assert (error.state, "host name is not known here" in str(error)) == ("network", True)
    assert asked == ["api.acme.example"]


def test_a_name_server_that_hangs_holds_up_neither_the_round_nor_the_exit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "CONNECT_S", 0.3)
    over, asked = Event(), Event()

    def hang(*_: object, **__: object) -> list[object]:
        asked.set()
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with within(3):
        error = asyncio.run(refused("https://api.acme.example/v1"))
    assert asked.is_set()
    assert (error.state, "no connection came about in time" in str(error)) == ("network", True)
    over.set()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only 127.0.0.1")
async def test_an_address_that_does_not_answer_costs_a_moment_and_the_next_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full backlog answers no SYN; the name has a second address that works."""
    monkeypatch.setattr(wire, "CONNECT_S", 2.0)
    with Ear(reply(b'{"ok": true}'), host="127.0.0.1") as ear, socket.socket() as full:
        full.bind(("127.0.0.2", ear.port))
        full.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.2", ear.port))
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
        start = time.monotonic()
        assert await ask(f"http://localhost:{ear.port}") == {"ok": True}
        assert 0.3 < time.monotonic() - start < 2
        for caller in callers:
            caller.close()


async def test_a_round_of_many_requests_uses_one_connection_and_outlives_a_failure() -> None:
    traffic = Traffic()
    with Server(FAKE) as server:
        server.faults.append(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR))
        async with connect(KIND, Settings("acme", "acme", server.url), Secret(KEY), traffic) as asker:
            with pytest.raises(SourceError, match="broke off"):
                await asker.get("/costs")
            for _ in range(20):
                await asker.get("/costs")
            await asyncio.gather(*(asker.get(f"/costs/{index}") for index in range(10)))
        assert len(server.journal) == traffic.requests == 31


async def test_a_round_that_is_cancelled_ends_at_once() -> None:
    with Ear(SLOW["no byte"]) as ear:
        asking = asyncio.create_task(ask(ear.url))
        await asyncio.to_thread(ear.asked.wait, 5)
        asking.cancel()
        with within(1), pytest.raises(asyncio.CancelledError):
            await asking
