"""SDKs that retry or re-wrap whatever their HTTP client raises: OpenAI, Anthropic, Groq (`_base_client`), botocore, litellm.

A refusal must reach the app as SpendBlocked, at once. So inside such an SDK the HTTP hook raises a signal that no
`except Exception` catches, and the hook around the SDK's own outermost method turns it back. (google-genai, mistralai,
cohere, ollama and requests let an exception they do not know through, so they need nothing.)
"""

from __future__ import annotations

import functools

from costmon.shim.hooks.nesting import inside_sdk, mark_request, marked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, NoReturn

    from costmon.errors import SpendBlocked

_CLIENTS = (("SyncAPIClient", "request"), ("AsyncAPIClient", "request"))
_METHODS = {
    "botocore.client": (("BaseClient", "_make_api_call"),),
    "aiobotocore.client": (("AioBaseClient", "_make_api_call"),),
    # Some of its streams make their request with the first item.
    "litellm.litellm_core_utils.streaming_handler": (
        ("CustomStreamWrapper", "__next__"),
        ("CustomStreamWrapper", "__anext__"),
    ),
    "litellm.router": tuple(
        ("Router", name) for name in ("completion", "acompletion", "embedding", "aembedding")
    ),
}
# litellm's package copies these functions from `litellm.main` and `litellm.responses.main`.
_LITELLM = {
    "litellm.main": (
        "completion", "acompletion", "text_completion", "atext_completion", "embedding", "aembedding",
        "transcription", "atranscription", "speech", "aspeech", "moderation", "amoderation",
    ),
    "litellm.responses.main": ("responses", "aresponses"),
    "litellm.images.main": ("image_generation", "aimage_generation", "image_edit", "aimage_edit"),
    "litellm.rerank_api.main": ("rerank", "arerank"),
    "litellm.llms.anthropic.experimental_pass_through.messages.handler": ("anthropic_messages",),
}  # fmt: skip
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import
BASE_CLIENT = "._base_client"
"""How the names of such modules end: openai, anthropic, groq and others built with the same generator."""
MODULES = frozenset({*_METHODS, *_LITELLM})
"""The other modules that `patch` knows."""


class Refused(BaseException):
    """Carries a SpendBlocked through an SDK's retry loop."""

    def __init__(self, blocked: SpendBlocked) -> None:
        super().__init__(blocked.reason)
        self.blocked = blocked


def known(name: str) -> bool:
    """Whether a module of this name is one to patch."""
    return name in MODULES or name.endswith(BASE_CLIENT)


def patch(module: ModuleType) -> None:
    """Wrap what stands between an app and the module's retries."""
    name = module.__name__
    if name in _LITELLM:
        _patch_litellm(module, _LITELLM[name])
        return
    for class_name, method in _METHODS.get(name, _CLIENTS):
        owner = getattr(module, class_name, None)
        original = getattr(owner, method, None)
        if owner is not None and original is not None and not marked(original):
            setattr(owner, method, _wrapped(original))


def refuse(blocked: SpendBlocked) -> NoReturn:
    """Raise a refusal in the form that fits where we are."""
    if inside_sdk():
        raise Refused(blocked)
    raise blocked


def _patch_litellm(module: ModuleType, names: tuple[str, ...]) -> None:
    import sys

    package = sys.modules.get("litellm")
    for name in names:
        original = getattr(module, name, None)
        if original is None or marked(original):
            continue
        wrapper = _wrapped(original)
        setattr(module, name, wrapper)
        if getattr(package, name, None) is original:
            setattr(package, name, wrapper)


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    code = getattr(original, "__code__", None)
    is_async = code is not None and code.co_flags & _CO_COROUTINE
    return _wrap_async(original) if is_async else _wrap(original)


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except Refused as refused:
            blocked = refused.blocked
        refuse(blocked)  # an SDK may run inside another

    mark_request(request)
    return request


def _wrap_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        except Refused as refused:
            blocked = refused.blocked
        refuse(blocked)  # an SDK may run inside another

    mark_request(request)
    return request
