"""httpx and httpx2 (the same API): `Client.send` and `AsyncClient.send`, one event for each attempt.

The app gets exactly its own response, bytes and exceptions. A client that sends through another one is counted once: the
inner `send` finds the outer one on the call stack. (A flag could be left set by an interrupt, or inherited by a task, and
would then blind us.) Everything heavy is loaded by the first call that is metered.
"""

from __future__ import annotations

import functools
import sys

from costmon.shim import runtime
from costmon.shim.faults import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, ModuleType
    from typing import Any

    from costmon.shim.hooks.exchange import Exchange

_sends: set[CodeType] = set()
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
        exchange = _begin(module, request)
        if exchange is None:
            return original(self, request, *args, **kwargs)
        try:
            exchange.admit()
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.raised(error)
            raise
        exchange.responded(response, streamed=bool(kwargs.get("stream")))
        return response

    setattr(send, _MARK, True)
    _sends.add(getattr(send, "__code__"))  # noqa: B009 - the checker sees a wrapper type
    return send


def _wrap_async(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(module, request)
        if exchange is None:
            return await original(self, request, *args, **kwargs)
        try:
            await exchange.admit_async()
            response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.raised(error)
            raise
        exchange.responded(response, streamed=bool(kwargs.get("stream")))
        return response

    setattr(send, _MARK, True)
    _sends.add(getattr(send, "__code__"))  # noqa: B009 - the checker sees a wrapper type
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
        if on_stack(_sends, sys._getframe(2)):
            return None
        from costmon.shim.hooks.exchange import begin

        return begin(module, request)
    except Exception as error:
        report("recognise", f"costmon could not look at a request: {type(error).__name__}")
        return None


def on_stack(codes: set[CodeType], frame: FrameType | None) -> bool:
    """Whether a function of `codes` is running in `frame` or outside it, awaiting coroutines included."""
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False
