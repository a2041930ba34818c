"""What aiohttp is made of: the request's payload and the answer's stream. Loaded by the first metered call."""

from __future__ import annotations

import io
import weakref
from typing import Any

from costmon.shim.faults import guarded
from costmon.shim.hooks import aiohttp
from costmon.shim.hooks.exchange import Exchange, facts
from costmon.shim.hooks.exchange import begin as begin_wire
from costmon.shim.wire import Wire


def begin(req: Any) -> Exchange | None:
    """The exchange of a metered call, None when the request is none after all."""
    url = req.url
    return begin_wire(
        Wire(
            req.method,
            url.raw_host,
            url.explicit_port,
            url.path,
            url.raw_query_string,
            req.headers.get("Content-Type", ""),
            guarded("read a request", _bytes, req.body),
        )
    )


def follow(response: Any, decoded: bool, exchange: Exchange) -> None:
    """Tell `exchange` of what has arrived of the answer, and have it told of what will.

    `decoded`: aiohttp takes the content coding off, as it does unless the session was told not to.
    """
    headers = facts(response.headers, exchange)
    if decoded:
        headers.pop("content-encoding", None)
    stream = response.content
    exchange.streams(response, response.status, headers)
    for chunk in getattr(stream, "_buffer", ()):
        exchange.feed(bytes(chunk))
    if stream.exception() is not None:
        exchange.raised(stream.exception())
    elif stream.is_eof():
        exchange.end()
    else:
        aiohttp.watch(stream, exchange)
        weakref.finalize(response, aiohttp.forget, id(stream)).atexit = False


def _bytes(body: Any) -> bytes | None:
    """What is certain of a body without reading it: bytes, texts, and the plain fields of a form."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, tuple) or body is None:  # an older aiohttp says so of an empty body
        return b""
    value = getattr(body, "_value", None)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode(getattr(body, "encoding", None) or "utf-8", "replace")
    if isinstance(value, io.BytesIO):
        return value.getvalue()[value.tell() :]
    if hasattr(body, "_parts") and hasattr(body, "boundary"):
        return _form(body)
    return None


def _form(writer: Any) -> bytes:
    """A multipart form without the content of files that are not in memory."""
    boundary = writer.boundary.encode("latin-1")
    found = b""
    for part, *_ in writer._parts:
        found += b"--%b\r\n%b%b\r\n" % (boundary, part._binary_headers, _bytes(part) or b"")
    return found + b"--%b--\r\n" % boundary
