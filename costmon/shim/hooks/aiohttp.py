"""aiohttp's client: one event for each request that goes to a connection, redirects and middlewares' retries apart.

A request is whole when the session asks its connector for a connection; there it is admitted, before a connection is made.
What arrives of the answer is read where the parser feeds it to the answer's stream, so the app's reads are untouched.
Everything heavy is loaded by the first call that is metered.
"""

from __future__ import annotations

import functools

from costmon.shim import runtime
from costmon.shim.faults import report
from costmon.shim.hooks.nesting import carried, mark_send, marked
from costmon.shim.hooks.seen import saw
from costmon.shim.metered import maybe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from costmon.shim.hooks.exchange import Exchange

_SLOT = "__costmon_exchange__"
# What follows an answer's stream, by the stream's id: its class has no room for an attribute, nor for weak references.
_watched: dict[int, Exchange] = {}


def patch(module: ModuleType) -> None:
    """Hook the client half of `module`, which is the package."""
    connector = module.connector.BaseConnector
    if marked(connector.connect):
        return
    connector.connect = _wrap_connect(connector.connect)
    request, response = module.client_reqrep.ClientRequest, module.client_reqrep.ClientResponse
    request.send = _wrap_send(request.send)
    response.start = _wrap_start(response.start)
    for name in ("close", "release"):
        setattr(response, name, _wrap_close(getattr(response, name)))
    stream = module.streams.StreamReader
    stream.feed_data = _wrap_feed(stream.feed_data)
    stream.feed_eof = _wrap_eof(stream.feed_eof)
    stream.set_exception = _wrap_exception(stream.set_exception)


def _wrap_connect(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(req)
        if exchange is None:
            return await original(self, req, *args, **kwargs)
        try:
            await exchange.admit_async()
            connection = await original(self, req, *args, **kwargs)
        except BaseException as error:
            exchange.raised(error, sent=False)
            raise
        setattr(req, _SLOT, exchange)
        return connection

    mark_send(connect)
    return connect


def _wrap_send(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        attempt: Exchange | None = self.__dict__.pop(_SLOT, None)
        if attempt is None:
            return await original(self, conn, *args, **kwargs)
        try:
            response = await original(self, conn, *args, **kwargs)
            setattr(response, _SLOT, attempt)
        except BaseException as error:
            attempt.raised(error)
            raise
        return response

    return send


def _wrap_start(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempt: Exchange | None = getattr(self, _SLOT, None)
        if attempt is None:
            return await original(self, *args, **kwargs)
        # Asked for now: a response that arrives whole has let go of its session when `start` returns.
        decoded = bool(getattr(getattr(self, "_session", None), "_auto_decompress", True))
        try:
            response = await original(self, *args, **kwargs)
        except BaseException as error:
            attempt.raised(error)
            raise
        attempt.follow(_follow, self, decoded)
        return response

    return start


def _wrap_close(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def close(self: Any) -> Any:
        attempt: Exchange | None = getattr(self, _SLOT, None)
        if attempt is not None:
            forget(id(self.content))
            attempt.closed()
        return original(self)

    return close


def _wrap_feed(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def feed_data(self: Any, data: bytes, *args: Any) -> Any:
        if _watched:
            found = _watched.get(id(self))
            if found is not None:
                found.feed(data)
        return original(self, data, *args)

    return feed_data


def _wrap_eof(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def feed_eof(self: Any) -> Any:
        found = _watched.pop(id(self), None)
        if found is not None:
            found.end()
        return original(self)

    return feed_eof


def _wrap_exception(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_exception(self: Any, exc: Any, *args: Any) -> Any:
        found = _watched.pop(id(self), None)
        if found is not None:
            found.raised(exc if isinstance(exc, BaseException) else exc())
        return original(self, exc, *args)

    return set_exception


def _begin(req: Any) -> Exchange | None:
    """The exchange of a metered call, or None for every other request and after a fault of ours."""
    try:
        url = req.url
        saw(url.raw_host)
        if not maybe(req.method, url.raw_path) or not runtime.enabled() or carried(url.raw_host or ""):
            return None
        from costmon.shim.hooks.aiohttp_parts import begin

        return begin(req)
    except Exception as error:
        report("recognise", f"costmon could not look at a request: {type(error).__name__}")
        return None


def _follow(response: Any, decoded: bool, exchange: Exchange) -> None:
    from costmon.shim.hooks.aiohttp_parts import follow

    follow(response, decoded, exchange)


def watch(stream: Any, exchange: Exchange) -> None:
    """Tell `exchange` of what arrives in `stream` from now on."""
    _watched[id(stream)] = exchange


def forget(stream: int) -> None:
    """What still arrives in the stream of this id is nobody's business."""
    _watched.pop(stream, None)
