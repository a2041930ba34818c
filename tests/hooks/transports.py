"""Every way to read an answer through requests, urllib3 and aiohttp, each a function of (base URL, body) → bytes read."""

from __future__ import annotations

import asyncio
import gc
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import requests
import urllib3

from tests.hooks.clients import CHAT, STREAM

PATH = "/v1/chat/completions"
Way = Callable[[str, dict[str, Any]], bytes]


def _requests(read: Callable[[requests.Response], bytes], *, stream: bool = True) -> Way:
    def call(base: str, body: dict[str, Any]) -> bytes:
        with requests.Session() as session:
            session.trust_env = False
            response = session.post(base + PATH, json=body, stream=stream)
            found = read(response)
            response.close()
            return found

    return call


def _urllib3(read: Callable[[Any], bytes], **options: Any) -> Way:
    def call(base: str, body: dict[str, Any]) -> bytes:
        with urllib3.PoolManager(retries=False) as pool:
            settings = {"preload_content": False, "headers": {"content-type": "application/json"}, **options}
            found = read(pool.request("POST", base + PATH, body=json.dumps(body), **settings))
            gc.collect()
            return found

    return call


def _aiohttp(read: Callable[[aiohttp.ClientResponse], Awaitable[bytes]], **options: Any) -> Way:
    def call(base: str, body: dict[str, Any]) -> bytes:
        async def main() -> bytes:
            async with (
                aiohttp.ClientSession(**options) as session,
                session.post(base + PATH, json=body) as response,
            ):
                return await read(response)

        return asyncio.run(main())

    return call


def _into(response: Any) -> bytes:
    buffer, found = bytearray(64), b""
    while count := response.readinto(buffer):
        found += bytes(buffer[:count])
    return found


def _read1(response: Any) -> bytes:
    found = b""
    while part := response.read1():
        found += part
    return found


def _byte_by_byte(response: Any) -> bytes:
    found = b""
    while part := response.read(1):
        found += part
    return found


async def _any(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([part async for part in response.content.iter_any()])


async def _chunked(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([part async for part in response.content.iter_chunked(7)])


async def _chunks(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([part async for part, _ in response.content.iter_chunks()])


async def _lines(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([line async for line in response.content])


async def _nowait(response: aiohttp.ClientResponse) -> bytes:
    found = b""
    while not response.content.at_eof():
        await asyncio.sleep(0.005)
        found += response.content.read_nowait()
    return found


async def _text(response: aiohttp.ClientResponse) -> bytes:
    return (await response.text("utf-8")).encode()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    return await response.read()


WHOLE: dict[str, Way] = {
    "requests": _requests(lambda r: r.content, stream=False),
    "requests-stream-content": _requests(lambda r: r.content),
    "requests-iter-content": _requests(lambda r: b"".join(r.iter_content(7))),
    "requests-iter-content-any": _requests(lambda r: b"".join(r.iter_content(None))),
    "requests-iter-lines": _requests(lambda r: b"\n".join(r.iter_lines(chunk_size=1, delimiter=b"\n"))),
    "requests-raw-read": _requests(lambda r: r.raw.read(decode_content=True)),
    "requests-raw-bytes": _requests(lambda r: _byte_by_byte(r.raw)),
    "requests-text": _requests(lambda r: r.text.encode(r.encoding or "utf-8")),
    "urllib3-preload": _urllib3(lambda r: r.data, preload_content=True),
    "urllib3-preload-raw": _urllib3(lambda r: r.data, preload_content=True, decode_content=False),
    "urllib3-data": _urllib3(lambda r: r.data),
    "urllib3-read": _urllib3(lambda r: r.read()),
    "urllib3-stream": _urllib3(lambda r: b"".join(r.stream())),
    "urllib3-stream-small": _urllib3(lambda r: b"".join(r.stream(3))),
    "urllib3-read1": _urllib3(_read1),
    "urllib3-readinto": _urllib3(_into),
    "urllib3-file": _urllib3(lambda r: io.BufferedReader(r).read()),
    "aiohttp-read": _aiohttp(_read),
    "aiohttp-text": _aiohttp(_text),
    "aiohttp-iter-any": _aiohttp(_any),
    "aiohttp-iter-chunked": _aiohttp(_chunked),
    "aiohttp-iter-chunks": _aiohttp(_chunks),
    "aiohttp-lines": _aiohttp(_lines),
    "aiohttp-read-nowait": _aiohttp(_nowait),
    "aiohttp-raw": _aiohttp(_read, auto_decompress=False),
}
"""Ways that read the answer to its end."""
if not hasattr(urllib3.HTTPResponse, "read1"):  # before version 2
    del WHOLE["urllib3-read1"]


def _closed(response: Any) -> bytes:
    response.close()
    return b""


def _released(response: Any) -> bytes:
    response.release_conn()
    return b""


def _some(response: Any) -> bytes:
    found: bytes = response.read(10)
    response.close()
    return found


def _left(response: Any) -> bytes:
    found: bytes = next(response.stream(5))
    del response
    gc.collect()
    return found


def _content_left(response: requests.Response) -> bytes:
    return next(response.iter_content(5))


def _raised(response: requests.Response) -> bytes:
    try:
        for _ in response.iter_content(5):
            raise ZeroDivisionError
    except ZeroDivisionError:
        return b"raised"
    return b""


async def _exit(response: aiohttp.ClientResponse) -> bytes:
    return b""


async def _released_async(response: aiohttp.ClientResponse) -> bytes:
    response.release()
    return b""


async def _closed_async(response: aiohttp.ClientResponse) -> bytes:
    found = await response.content.read(5)
    response.close()
    response.close()
    return found


async def _broken_off(response: aiohttp.ClientResponse) -> bytes:
    async for part in response.content.iter_chunked(5):
        return part
    return b""


def _aiohttp_left(base: str, body: dict[str, Any]) -> bytes:
    async def main() -> bytes:
        async with aiohttp.ClientSession() as session:
            response = await session.post(base + PATH, json=body)
            found = await response.content.read(5)
            del response
            gc.collect()
            return found

    found = asyncio.run(main())
    gc.collect()  # until its connection is closed, the event loop holds the answer
    return found


def _aiohttp_session_closed(base: str, body: dict[str, Any]) -> bytes:
    async def main() -> bytes:
        async with aiohttp.ClientSession() as session:
            response = await session.post(base + PATH, json=body)
        found = await response.content.read(5) if response.content.total_bytes else b""
        response.close()
        return found

    return asyncio.run(main())


EARLY: dict[str, Way] = {
    "requests-close": _requests(lambda r: _closed(r)),
    "requests-left": _requests(_content_left),
    "requests-app-error": _requests(_raised),
    "urllib3-close": _urllib3(_closed),
    "urllib3-some": _urllib3(_some),
    "urllib3-collected": _urllib3(_left),
    "urllib3-released": _urllib3(_released),
    "aiohttp-exit": _aiohttp(_exit),
    "aiohttp-release": _aiohttp(_released_async),
    "aiohttp-close": _aiohttp(_closed_async),
    "aiohttp-break": _aiohttp(_broken_off),
    "aiohttp-collected": _aiohttp_left,
    "aiohttp-session-closed": _aiohttp_session_closed,
}
"""Ways that leave the answer before its end."""


def library_of(way: str) -> str:
    return way.partition("-")[0]


PLAIN = {"requests": WHOLE["requests"], "urllib3": WHOLE["urllib3-preload"], "aiohttp": WHOLE["aiohttp-read"]}
"""One plain call each."""
__all__ = ["CHAT", "EARLY", "PATH", "PLAIN", "STREAM", "WHOLE", "Way", "library_of"]
