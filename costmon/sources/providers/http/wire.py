"""Connections to a provider: the name is resolved, the address judged, and the peer checked before any byte is sent."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import lru_cache
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpcore
import httpx

from costmon.sources.providers.hosts import Base, unwanted
from costmon.sources.providers.protocol import SourceError

CONNECT_S = 5.0
LOCATION = "costmon.location"
"""Where a redirect points, kept from httpx, which would prepare the next request, key and all."""
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_MOST_ADDRESSES = 4
_CONNECTIONS = 4

Judge = Callable[[str, int, str], str]
"""From host, port and IP address to why no connection may go there, '' when it may."""


class Way(httpx.AsyncBaseTransport):
    """Requests to `bases` and to nothing else; through the environment's proxy, but never to this machine itself."""

    def __init__(self, title: str, bases: Iterable[Base], count: Callable[[], None]) -> None:
        self._title = title
        self._count = count
        self._bases = {base.place: base for base in bases}
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        base = self._bases.get((url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)))
        if base is None:
            raise SourceError("config", f"{self._title} would be asked at a host that it does not belong to")
        found = await self._pool(base).handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions={**request.extensions, "trace": self._note},
            )
        )
        headers = [(name, value) for name, value in found.headers if name.lower() != b"location"]
        location = next((value for name, value in found.headers if name.lower() == b"location"), b"")
        extensions = {**found.extensions, LOCATION: location.decode("latin-1")}
        return httpx.Response(found.status, headers=headers, stream=_Body(found), extensions=extensions)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def _note(self, event: str, details: dict[str, Any]) -> None:
        """Counts what really leaves: not a request without a connection, nor the one that opens a proxy's tunnel."""
        if event == "http11.send_request_headers.started" and details["request"].method != b"CONNECT":
            self._count()

    def _pool(self, base: Base) -> httpcore.AsyncConnectionPool:
        proxy = proxy_for(base)
        pool = self._pools.get(bool(proxy))
        if pool is None:
            context = _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
            backend = Backend(self._title, (lambda *_: "") if proxy else self._judge)
            pool = self._pools[bool(proxy)] = httpcore.AsyncConnectionPool(
                ssl_context=context, proxy=proxy, max_connections=_CONNECTIONS, network_backend=backend
            )
        return pool

    def _judge(self, host: str, port: int, address: str) -> str:
        found = next((base for base in self._bases.values() if (base.host, base.port) == (host, port)), None)
        return unwanted(found, address) if found else "is not where it was to go"


class Backend(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that `judge` lets pass, and asks it again about the peer that answered."""

    def __init__(self, title: str, judge: Judge) -> None:
        self._title = title
        self._judge = judge
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - as httpcore calls it; CONNECT_S holds
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = (await resolve(host, port, self._title))[:_MOST_ADDRESSES]
                for address in addresses:
                    self._check(host, port, address)
                stream = await self._first(addresses, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        try:
            self._check(host, port, str(stream.get_extra_info("server_addr")[0]))
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _first(self, addresses: Sequence[str], port: int) -> httpcore.AsyncNetworkStream:
        """The first that answers; each but the last gets its share of the time."""
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout=CONNECT_S / (2 * len(addresses)))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port)

    def _check(self, host: str, port: int, address: str) -> None:
        if reason := self._judge(host, port, address):
            raise SourceError(
                "network",
                f"{self._title} was not asked: its host name {reason}; check base_url and this network's name server",
            )


async def resolve(host: str, port: int, title: str) -> list[str]:
    """The IP addresses of a host, in the system's order. Raises SourceError.

    In a daemon thread of its own: a name server that hangs must not hold up the program's exit, as a thread pool would.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def deliver(addresses: list[str]) -> None:
        if not found.done():
            found.set_result(addresses)

    def work() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except (OSError, UnicodeError):
            addresses = []
        try:
            loop.call_soon_threadsafe(deliver, addresses)
        except RuntimeError:
            pass  # The loop was closed in the meantime: nobody waits.

    Thread(target=work, name="costmon-resolve", daemon=True).start()
    addresses = await found
    if not addresses:
        raise SourceError(
            "network",
            f"{title} cannot be reached: its host name is not known here; check the network and base_url",
        )
    return addresses


def proxy_for(base: Base) -> httpcore.Proxy | None:
    """The environment's proxy for `base`. Raises SourceError ('config') for one that cannot be used."""
    known = getproxies_environment()
    url = known.get(base.scheme) or known.get("all")
    if base.local or not url or proxy_bypass(f"{base.host}:{base.port}"):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = (
            parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
        )
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        login = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        if usable:
            return httpcore.Proxy(address, auth=login)
    except (ValueError, UnicodeError):
        pass
    raise SourceError(
        "config", "the proxy in HTTPS_PROXY or ALL_PROXY is no http:// or https:// address; correct it"
    )


@lru_cache(maxsize=4)
def _trust(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Whom to trust: certifi's authorities, or those of SSL_CERT_FILE / SSL_CERT_DIR, which are part of the key."""
    try:
        return httpx.create_ssl_context(trust_env=bool(file or folder))
    except (OSError, ssl.SSLError):
        problem = "SSL_CERT_FILE or SSL_CERT_DIR names no readable file of certificates; correct or unset it"
    raise SourceError("config", problem)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_stream()

    async def aclose(self) -> None:
        await self._response.aclose()
