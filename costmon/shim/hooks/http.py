"""httpx and httpx2 (the same API): one event for each request that goes to a transport, redirects and auth rounds apart.

The hook sits where a client hands a request to its transport, so the client's own request hooks have run (what they raise
costs nothing) and its response hooks have not. The app gets exactly its own response, bytes and exceptions. Everything
heavy is loaded by the first call that is metered.
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

# The second is for a client without the first, which no release of httpx since 0.18 is.
_METHODS = ("_send_single_request", "send")


def patch(module: ModuleType) -> None:
    """Hook both client classes of `module`."""
    for client, wrap in ((module.Client, _wrap), (module.AsyncClient, _wrap_async)):
        name = next(name for name in _METHODS if hasattr(client, name))
        original = getattr(client, name)
        if not marked(original):
            setattr(client, name, wrap(module, original))


def _wrap(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(request)
        if exchange is None:
            return original(self, request, *args, **kwargs)
        try:
            exchange.admit()
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.raised(error)
            raise
        _follow(module, response, exchange)
        return response

    mark_send(send)
    return send


def _wrap_async(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(request)
        if exchange is None:
            return await original(self, request, *args, **kwargs)
        try:
            await exchange.admit_async()
            response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.raised(error)
            raise
        _follow(module, response, exchange)
        return response

    mark_send(send)
    return send


def _begin(request: Any) -> Exchange | None:
    """The exchange of a metered call, or None for every other request and after a fault of ours."""
    try:
        url = request.url
        saw(url.host)
        if not maybe(request.method, url.path) or not runtime.enabled() or carried(url.host):
            return None
        from costmon.shim.hooks.httpx_parts import begin

        return begin(request)
    except Exception as error:
        report("recognise", f"costmon could not look at a request: {type(error).__name__}")
        return None


def _follow(module: ModuleType, response: Any, exchange: Exchange) -> None:
    from costmon.shim.hooks.httpx_parts import follow

    exchange.follow(follow, module, response)
