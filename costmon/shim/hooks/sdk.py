"""SDKs built around a `_base_client` (OpenAI, Anthropic, Groq …) retry and re-wrap whatever their HTTP client raises.

A refusal must reach the app as SpendBlocked, at once. So inside such an SDK the HTTP hook raises a signal that no
`except Exception` catches, and the hook around the SDK's own `request` turns it back.
"""

from __future__ import annotations

import functools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any, NoReturn

    from costmon.errors import SpendBlocked

_requests: set[CodeType] = set()
_MARK = "__costmon__"


class Refused(BaseException):
    """Carries a SpendBlocked through an SDK's retry loop."""

    def __init__(self, blocked: SpendBlocked) -> None:
        super().__init__(blocked.reason)
        self.blocked = blocked


def patch(module: ModuleType) -> None:
    """Wrap `request` of the module's client classes."""
    for name, wrap in (("SyncAPIClient", _wrap), ("AsyncAPIClient", _wrap_async)):
        client = getattr(module, name, None)
        original = getattr(client, "request", None)
        if client is not None and original is not None and not hasattr(original, _MARK):
            client.request = wrap(original)


def refuse(blocked: SpendBlocked) -> NoReturn:
    """Raise a refusal in the form that fits where we are."""
    from costmon.shim.hooks.http import on_stack

    if on_stack(_requests, sys._getframe(1)):
        raise Refused(blocked)
    raise blocked


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except Refused as refused:
            raise refused.blocked from None

    setattr(request, _MARK, True)
    _requests.add(getattr(request, "__code__"))  # noqa: B009 - the checker sees a wrapper type
    return request


def _wrap_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        except Refused as refused:
            raise refused.blocked from None

    setattr(request, _MARK, True)
    _requests.add(getattr(request, "__code__"))  # noqa: B009 - the checker sees a wrapper type
    return request
