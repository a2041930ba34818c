"""What httpx and httpx2 are made of: a request, the stream of an answer, decoders. Loaded by the first metered call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from costmon.shim.faults import guarded
from costmon.shim.hooks.exchange import Exchange, facts
from costmon.shim.hooks.exchange import begin as begin_wire
from costmon.shim.wire import Wire

_tees: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}


def begin(request: Any) -> Exchange | None:
    """The exchange of a metered call, None when the request is none after all."""
    url = request.url
    length = request.headers.get("content-length", "")
    return begin_wire(
        Wire(
            request.method,
            url.host,
            url.port,
            url.path,
            url.query.decode("ascii", "replace"),
            request.headers.get("content-type", ""),
            _body(request),
            int(length) if length.isdecimal() and len(length) < 13 else 0,
        )
    )


def follow(module: ModuleType, response: Any, exchange: Exchange) -> None:
    """Tell `exchange` of the answer: whole when the client has read it already, else as the app reads it."""
    status, headers = response.status_code, facts(response.headers, exchange)
    if hasattr(response, "_content"):  # a transport that answers from memory
        exchange.whole(status, headers, response.content)
        return
    sync_tee, async_tee = _tee_classes(module)
    is_async = isinstance(response.stream, module.AsyncByteStream)
    stream = (async_tee if is_async else sync_tee)(response.stream, exchange)
    exchange.streams(stream, status, headers)
    response.stream = stream


def _body(request: Any) -> bytes | None:
    """The request's bytes; of a multipart form its plain fields; None when they are a stream that only the app may read."""
    try:
        content: bytes = request.content
    except Exception:  # also when the request is a redirect's, which has the first one's stream
        held = getattr(request.stream, "_stream", None)
        return held if isinstance(held, bytes) else guarded("read a form", _form, request)
    return content


def _form(request: Any) -> bytes | None:
    """A multipart form without the content of its files, which may be readable only once."""
    stream = request.stream
    fields = getattr(stream, "fields", None)
    if not isinstance(fields, list):
        return None
    parts = []
    for field in fields:
        held = field.render_data() if not hasattr(field, "file") else _held(field.file)
        parts.append(b"--%b\r\n%b%b\r\n" % (stream.boundary, field.render_headers(), held))
    return b"".join([*parts, b"--%b--\r\n" % stream.boundary])


def _held(file: object) -> bytes:
    if isinstance(file, str):
        return file.encode()
    return file if isinstance(file, bytes) else b""


def _tee_classes(module: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Stream classes that pass every chunk on untouched and tell the exchange; httpx checks their base class."""
    if module.__name__ not in _tees:
        _tees[module.__name__] = _sync_tee(module), _async_tee(module)
    return _tees[module.__name__]


def _sync_tee(module: ModuleType) -> Callable[..., Any]:
    class SyncTee(module.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange) -> None:
            self._inner, self._exchange = inner, exchange

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._inner:
                    self._exchange.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._exchange.raised(error)
                raise
            self._exchange.end()

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._exchange.closed()

    return SyncTee


def _async_tee(module: ModuleType) -> Callable[..., Any]:
    class AsyncTee(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange) -> None:
            self._inner, self._exchange = inner, exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for chunk in self._inner:
                    self._exchange.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._exchange.raised(error)
                raise
            self._exchange.end()

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._exchange.closed()

    return AsyncTee
