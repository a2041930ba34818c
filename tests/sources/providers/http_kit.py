"""A kind that only asks, a server that only listens, and the sentences that come of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from socket import AF_INET, SHUT_RDWR, SO_REUSEADDR, SOL_SOCKET, create_server, socket
from threading import Event, Thread
from typing import Any

import pytest

from costmon.credentials import Secret
from costmon.sources.providers.http import Traffic, connect
from costmon.sources.providers.protocol import Client, Kind, Reading, Settings, SourceError, Window, header
from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

KEY = "adm-CANARY-9f2c7714b0aa"


async def _nothing(client: Client, settings: Settings, window: Window) -> Reading:
    return Reading()


KIND = Kind(
    name="acme",
    provider="acme",
    title="Acme",
    base_url="https://api.acme.example/v1",
    fetch=_nothing,
    key="an Admin key",
    key_from="Settings → Keys",
    authorize=header("X-Api-Key"),
)
KEYLESS = dataclasses.replace(KIND, key="", key_from="")


class Acme:
    """Answers {"ok": true} to everything."""

    kind = "acme"
    key = KEY
    wrong_key = "usr-other"
    options: dict[str, str] = {}  # noqa: RUF012 - as the protocol has it
    days = False

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        return Answer({"ok": True})


FAKE = Acme()


async def ask(
    url: str, path: str = "/costs", kind: Kind = KIND, traffic: Traffic | None = None, **more: Any
) -> Any:
    """One GET with the key; what came of it."""
    secret = Secret(KEY) if kind.key else None
    async with connect(kind, Settings("acme", "acme", url), secret, traffic or Traffic()) as client:
        return await client.get(path, **more)


async def refused(url: str, path: str = "/costs", kind: Kind = KIND, **more: Any) -> SourceError:
    """The same where a SourceError must come of it, in one line and without the key."""
    with pytest.raises(SourceError) as caught:
        await ask(url, path, kind, **more)
    error = caught.value
    message = str(error)
    assert "\n" not in message
    assert 20 < len(message) < 400
    assert not message.endswith(".")
    for secret in (KEY, KEY[-8:], "CANARY"):
        assert secret not in message
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


Script = Callable[[socket], object]


class Ear:
    """A TCP server on loopback that keeps every byte it hears; `script` plays the other side of each connection.

    `met` is set by the first connection, `asked` by the first bytes.
    """

    def __init__(self, script: Script = lambda connection: None, host: str = "127.0.0.1") -> None:
        self.heard: list[bytes] = []
        self.met, self.asked = Event(), Event()
        self.script = script
        self._socket = create_server((host, 0), family=AF_INET)
        self._socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.host, self.port = host, self._socket.getsockname()[1]
        self._open: list[socket] = []
        self._threads: list[Thread] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Ear:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up(self._socket)
        self.hang_up()
        for thread in self._threads:
            thread.join(5)

    def hang_up(self) -> None:
        """Ends every connection there is."""
        for connection in self._open:
            self._hang_up(connection)

    def _hang_up(self, one: socket) -> None:
        try:
            one.shutdown(SHUT_RDWR)
        except OSError:
            pass
        one.close()

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            self.heard.append(b"")
            self.met.set()
            self._spawn(self._serve, connection, len(self.heard) - 1)

    def _serve(self, connection: socket, index: int) -> None:
        try:
            while b"\r\n\r\n" not in self.heard[index]:
                got = connection.recv(65536)
                if not got:
                    return
                self.heard[index] += got
                self.asked.set()
            self.script(connection)
        except OSError:
            pass
        finally:
            connection.close()


def reply(
    body: bytes, status: str = "200 OK", headers: Mapping[str, str] | None = None, *, length: bool = True
) -> Script:
    """A script that sends one whole answer."""
    given = {"Content-Type": "application/json", **({"Content-Length": str(len(body))} if length else {})}
    lines = [
        f"HTTP/1.1 {status}",
        *(f"{name}: {value}" for name, value in (given | dict(headers or {})).items()),
    ]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return lambda connection: connection.sendall(head + body)
