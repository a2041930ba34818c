"""What runs outside the code that asks: the sends of other clients, and the SDKs' own requests.

Clients stack (litellm over openai over httpx over aiohttp). Everything that needs to know what is outside looks at the
call stack, awaiting coroutines included. (A flag could be left set by an interrupt, or inherited by a task, and would
then blind us.)
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from costmon.shim.hooks.exchange import Exchange

in_flight: set[int] = set()
"""Ids of the exchanges between admission and answer, in every thread. While there is none, no stack need be searched;
one that an interrupt left behind costs time, never truth."""
MARK = "__costmon__"
# Wrappers around one attempt of a client; each keeps what it sends in a local named `exchange`.
_sends: set[CodeType] = set()
# Wrappers around the outermost method of an SDK that turn a refusal's signal back into SpendBlocked.
_requests: set[CodeType] = set()


def mark_send(wrapper: Callable[..., Any]) -> None:
    """`wrapper` makes one attempt; its local `exchange` is None when it is not metered."""
    _mark(wrapper, _sends)


def mark_request(wrapper: Callable[..., Any]) -> None:
    """`wrapper` is where an SDK gives a refusal back to the app."""
    _mark(wrapper, _requests)


def marked(function: object) -> bool:
    """Whether `function` is a wrapper of ours."""
    return hasattr(function, MARK)


def carried(host: str) -> bool:
    """Whether the request to `host` about to be made is another client's metered attempt on its way out.

    An attempt that has its answer, or failed, carries nothing: what follows it on the stack is its retry.
    """
    if not in_flight:
        return False
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code in _sends:
            exchange = frame.f_locals.get("exchange")
            if exchange is not None and not exchange.answered and exchange.host == host.lower():
                return True
        frame = frame.f_back
    return False


def carrier(within: CodeType, depth: int = 12) -> Exchange | None:
    """The exchange of the nearest frame that runs `within`."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and depth:
        if frame.f_code is within:
            found: Exchange | None = frame.f_locals.get("exchange")
            return found
        frame, depth = frame.f_back, depth - 1
    return None


def inside_sdk() -> bool:
    """Whether an SDK that would retry or re-wrap an exception is outside of whoever called `refuse`."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        if frame.f_code in _requests:
            return True
        frame = frame.f_back
    return False


def _mark(wrapper: Callable[..., Any], codes: set[CodeType]) -> None:
    setattr(wrapper, MARK, True)
    codes.add(getattr(wrapper, "__code__"))  # noqa: B009 - the checker sees a wrapper type
