"""httpx and httpx2 (the same API): `Client.send` and `AsyncClient.send`, one event for each attempt.

The app gets exactly its own response, bytes and exceptions. A context variable keeps a client that sends through
another one from being counted twice. Everything heavy is loaded by the first call that is metered.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar

from costmon.shim import runtime
from costmon.shim.faults import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from costmon.shim.hooks.exchange import Exchange

sending: ContextVar[bool] = ContextVar("costmon_sending", default=False)
_MARK = "__costmon__"
# The last parts of the paths in usage.APIS; anything else costs a host this one comparison.
_TAILS = ("/chat/completions", "/responses", "/embeddings", "/messages")


def patch(module: ModuleType) -> None:
    """Hook both client classes of `module`."""
    if not hasattr(module.Client.send, _MARK):
        module.Client.send = _wrap(module, module.Client.send)
        module.AsyncClient.send = _wrap_async(module, module.AsyncClient.send)


def _wrap(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = None if sending.get() else _begin(module, request)
        if exchange is None:
            return original(self, request, *args, **kwargs)
        token = sending.set(True)
        try:
            exchange.admit()
            try:
                response = original(self, request, *args, **kwargs)
            except BaseException as error:
                exchange.raised(error)
                raise
            exchange.responded(response, streamed=bool(kwargs.get("stream")))
            return response
        finally:
            sending.reset(token)

    setattr(send, _MARK, True)
    return send


def _wrap_async(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = None if sending.get() else _begin(module, request)
        if exchange is None:
            return await original(self, request, *args, **kwargs)
        token = sending.set(True)
        try:
            await exchange.admit_async()
            try:
                response = await original(self, request, *args, **kwargs)
            except BaseException as error:
                exchange.raised(error)
                raise
            exchange.responded(response, streamed=bool(kwargs.get("stream")))
            return response
        finally:
            sending.reset(token)

    setattr(send, _MARK, True)
    return send


def _begin(module: ModuleType, request: Any) -> Exchange | None:
    """The exchange of a metered call, or None for every other request and after a fault of ours."""
    try:
        if (
            request.method != "POST"
            or not request.url.path.rstrip("/").endswith(_TAILS)
            or not runtime.enabled()
        ):
            return None
        from costmon.shim.hooks.exchange import begin

        return begin(module, request)
    except Exception as error:
        report("recognise", f"costmon could not look at a request: {type(error).__name__}")
        return None
