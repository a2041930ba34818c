"""Both HTTP client libraries, sync and async, behind one small set of calls."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2

LIBRARIES = (httpx, httpx2)
NAMES = ("httpx", "httpx2")
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 500}
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
# 3 tokens of input, 500 of output: 3 x 2.5 + 500 x 10 = 5007.5 millionths of a dollar.
RESERVED = 5_007_500
# 1000 x 2.5 + 200 cached x 1.25 + 451 x 10 = 7260 millionths.
COST = 7_260_000


def post(library: ModuleType, base: str, body: dict[str, Any] = CHAT, **options: Any) -> Any:
    """One plain call on a client of its own."""
    with library.Client(trust_env=False, **options) as client:
        return client.post(base + "/v1/chat/completions", json=body)


def post_async(library: ModuleType, base: str, body: dict[str, Any] = CHAT, **options: Any) -> Any:
    async def call() -> Any:
        async with library.AsyncClient(trust_env=False, **options) as client:
            return await client.post(base + "/v1/chat/completions", json=body)

    return asyncio.run(call())


def stream(library: ModuleType, base: str, take: Callable[[Iterator[bytes]], Any] = list) -> Any:
    """What `take` makes of a stream's decoded chunks."""
    with (
        library.Client(trust_env=False) as client,
        client.stream("POST", base + "/v1/chat/completions", json=STREAM) as response,
    ):
        return take(response.iter_bytes())


def stream_async(library: ModuleType, base: str) -> list[bytes]:
    async def call() -> list[bytes]:
        async with (
            library.AsyncClient(trust_env=False) as client,
            client.stream("POST", base + "/v1/chat/completions", json=STREAM) as response,
        ):
            return [chunk async for chunk in response.aiter_bytes()]

    return asyncio.run(call())


def result_of(call: Callable[[], Any]) -> tuple[str, Any]:
    """What an app would notice of a call: its result's status and bytes, or the exception's class and text."""
    try:
        found = call()
    except Exception as error:
        return type(error).__name__, str(error)
    if isinstance(found, list):
        return "stream", b"".join(found)
    return "answer", (found.status_code, dict(found.headers), found.content)


def encoded(coding: str, body: bytes) -> bytes:
    """`body` under a content coding of the standard library; `deflate-raw` is deflate without the zlib frame."""
    if coding == "gzip":
        return gzip.compress(body, mtime=0)
    if coding == "deflate":
        return zlib.compress(body)
    if coding == "deflate-raw":
        raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return raw.compress(body) + raw.flush()
    return body


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]
