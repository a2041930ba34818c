"""Web applications that the servers of these tests run: each request makes one metered call and is journaled apart."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import costmon

costmon.instrument(app="shop")


@costmon.track("start", cost_per_call="0.000000001")
def start() -> None:
    """At import: with --preload the master has the ledger open when it forks."""


@costmon.track("x", cost_per_call="0.000000003")
def spend() -> bytes:
    return str(os.getpid()).encode()


@costmon.track("x", cost_per_call="0.000000003")
async def spend_async() -> bytes:
    return str(os.getpid()).encode()


def journal() -> None:
    """One byte per call that came back, written by other means than the ledger's."""
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    os.close(descriptor)


start()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = spend()
    journal()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    body = await spend_async()
    journal()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
