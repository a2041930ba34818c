"""httpx and httpx2 (the same API): `Client.send` and `AsyncClient.send`, one event for each attempt.

The app gets exactly its own response, bytes and exceptions. A context variable keeps a client that sends through
another one from being counted twice.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from costmon.errors import SpendBlocked
from costmon.shim import runtime, usage
from costmon.shim.faults import guarded
from costmon.shim.hooks.sdk import refuse
from costmon.shim.observer import Observer
from costmon.shim.recorder import Call, Open

_sending: ContextVar[bool] = ContextVar("costmon_sending", default=False)
_MARK = "__costmon__"
_Recognised = tuple[Call, usage.Request]


def patch(module: ModuleType) -> None:
    """Hook both client classes of `module`."""
    sync_stream, async_stream = _stream_classes(module)
    if not hasattr(module.Client.send, _MARK):
        module.Client.send = _wrap(module.Client.send, sync_stream)
        module.AsyncClient.send = _wrap_async(module.AsyncClient.send, async_stream)


def _wrap(original: Callable[..., Any], stream_class: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        found = None if _sending.get() else guarded("recognise a call", _recognise, request)
        if found is None:
            return original(self, request, *args, **kwargs)
        token = _sending.set(True)
        try:
            observer = _observe(_admit(found), found)
            try:
                response = original(self, request, *args, **kwargs)
            except BaseException as error:
                observer.raised(error)
                raise
            if kwargs.get("stream"):
                guarded("follow a stream", _tee, response, observer, stream_class)
            else:
                guarded("read a response", observer.responded, *_facts(response), response.content)
            return response
        finally:
            _sending.reset(token)

    setattr(send, _MARK, True)
    return send


def _wrap_async(original: Callable[..., Any], stream_class: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        found = None if _sending.get() else guarded("recognise a call", _recognise, request)
        if found is None:
            return await original(self, request, *args, **kwargs)
        token = _sending.set(True)
        try:
            observer = _observe(await _admit_async(found), found)
            observer.wait_s = 0.0
            try:
                response = await original(self, request, *args, **kwargs)
            except BaseException as error:
                observer.raised(error)
                raise
            if kwargs.get("stream"):
                guarded("follow a stream", _tee, response, observer, stream_class)
            else:
                guarded("read a response", observer.responded, *_facts(response), response.content)
            return response
        finally:
            _sending.reset(token)

    setattr(send, _MARK, True)
    return send


def _recognise(request: Any) -> _Recognised | None:
    """The metered call in a request, or None; cheap for every other request."""
    api = usage.api_of(request.method, request.url.path)
    if api is None or not runtime.enabled():
        return None
    found = usage.recognise(api, request.url.path, _body(request))
    if found is None:
        return None
    url = request.url
    recorder = runtime.recorder()
    provider, free = usage.provider_of(api, url.host, url.port, recorder.provider_hosts())
    call = Call(
        api=api.name,
        family=api.family,
        provider=provider,
        model=found.model,
        endpoint=url.host if url.port is None else f"{url.host}:{url.port}",
        input_tokens=usage.estimate_tokens(found.input_bytes, found.attachments),
        max_output=found.max_output,
        has_output=api.has_output,
        free=free,
        anywhere=provider == api.family and url.host not in usage.KNOWN_HOSTS,
    )
    return call, found


def _body(request: Any) -> bytes | None:
    """The request's bytes, or None when they are a stream that only the app may read."""
    try:
        content: bytes = request.content
    except Exception:
        return None
    return content


def _admit(found: _Recognised) -> Open | None:
    try:
        return runtime.recorder().admit(found[0])
    except SpendBlocked as blocked:
        refuse(blocked)
    except Exception as error:
        return _fault(error)


async def _admit_async(found: _Recognised) -> Open | None:
    try:
        return await runtime.recorder().admit_async(found[0])
    except SpendBlocked as blocked:
        refuse(blocked)
    except Exception as error:
        return _fault(error)


def _fault(error: Exception) -> None:
    from costmon.shim.faults import report

    report("admit", f"costmon could not admit a call: {type(error).__name__}")


def _observe(held: Open | None, found: _Recognised) -> Observer:
    api = next(api for api in usage.APIS if api.name == found[0].api)
    return Observer(runtime.recorder(), held, api)


def _facts(response: Any) -> tuple[int, dict[str, str]]:
    headers = response.headers
    names = ("x-request-id", "request-id", "apim-request-id", "content-type", "content-encoding")
    return response.status_code, {name: headers[name] for name in names if name in headers}


def _tee(response: Any, observer: Observer, stream_class: Callable[..., Any]) -> None:
    observer.streams(*_facts(response))
    if getattr(response, "is_stream_consumed", False) or hasattr(response, "_content"):
        observer.responded(*_facts(response), response.content)
        return
    response.stream = stream_class(response.stream, observer)


def _stream_classes(module: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Stream classes that pass every chunk on untouched and tell the observer; httpx checks their base class."""

    class SyncTee(module.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, observer: Observer) -> None:
            self._inner, self._observer = inner, observer
            _on_drop(self, observer)

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._inner:
                    self._observer.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._observer.raised(error)
                raise
            self._observer.end()

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._observer.closed()

    class AsyncTee(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, observer: Observer) -> None:
            self._inner, self._observer = inner, observer
            _on_drop(self, observer)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for chunk in self._inner:
                    self._observer.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._observer.raised(error)
                raise
            self._observer.end()

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._observer.closed()

    return SyncTee, AsyncTee


def _on_drop(stream: object, observer: Observer) -> None:
    """A stream that is dropped without being read or closed is settled by the next call or at exit."""
    import weakref

    weakref.finalize(stream, runtime.abandoned.append, observer.closed)


def loaded() -> list[str]:
    """The hooked client libraries this process has imported."""
    return [name for name in ("httpx", "httpx2") if hasattr(getattr(sys.modules.get(name), "Client", None), "send")]
