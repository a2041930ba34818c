"""One request and its response through httpx or httpx2, told to an Observer. Raises refusals and nothing else."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from costmon.errors import SpendBlocked
from costmon.shim import runtime, usage
from costmon.shim.calls import Call, Open
from costmon.shim.faults import guarded, report
from costmon.shim.hooks.sdk import refuse
from costmon.shim.observer import Observer
from costmon.shim.recorder import Recorder

_HEADERS = ("x-request-id", "request-id", "apim-request-id", "content-type", "content-encoding")
_stream_classes: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}


class Exchange:
    """An admitted call while it is on the wire. Until `admit` it is only recognised."""

    def __init__(self, module: ModuleType, recorder: Recorder, api: usage.Api, call: Call) -> None:
        self._module = module
        self._recorder = recorder
        self._api = api
        self._call = call
        self._observer: Observer | None = None

    def admit(self) -> None:
        """Reserve; raises SpendBlocked, or inside an SDK the signal that becomes it."""
        try:
            self._observe(self._recorder.admit(self._call))
        except SpendBlocked as blocked:
            refuse(blocked)
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")

    async def admit_async(self) -> None:
        """Like `admit`; settlements then never wait for a busy ledger on the event loop."""
        try:
            self._observe(await self._recorder.admit_async(self._call))
            if self._observer is not None:
                self._observer.wait_s = 0.0
        except SpendBlocked as blocked:
            refuse(blocked)
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")

    def raised(self, error: BaseException) -> None:
        """The client raised instead of answering."""
        if self._observer is not None:
            self._observer.raised(error)

    def responded(self, response: Any, *, streamed: bool) -> None:
        """The client has an answer: whole, or a stream that only the app may read."""
        if self._observer is not None:
            guarded("follow a response", self._tee if streamed else self._whole, response, self._observer)

    def _observe(self, held: Open | None) -> None:
        self._observer = Observer(self._recorder, held, self._api)

    def _whole(self, response: Any, observer: Observer) -> None:
        observer.responded(*_facts(response), response.content)

    def _tee(self, response: Any, observer: Observer) -> None:
        if hasattr(response, "_content"):  # a transport that answers from memory has read it already
            self._whole(response, observer)
            return
        observer.streams(*_facts(response))
        sync_tee, async_tee = stream_classes(self._module)
        is_async = isinstance(response.stream, self._module.AsyncByteStream)
        response.stream = (async_tee if is_async else sync_tee)(response.stream, observer)


def begin(module: ModuleType, request: Any) -> Exchange | None:
    """The exchange of a metered call, None when the request is none after all."""
    url = request.url
    api = usage.api_of(request.method, url.path)
    found = usage.recognise(api, url.path, _body(request)) if api is not None else None
    if api is None or found is None:
        return None
    recorder = runtime.recorder()
    host, port = url.host, url.port
    provider, free = usage.provider_of(api, host, port, recorder.provider_hosts())
    call = Call(
        api=api.name,
        family=api.family,
        provider=provider,
        model=found.model,
        endpoint=host if port is None else f"{host}:{port}",
        input_tokens=usage.estimate_tokens(found.input_bytes, found.attachments),
        max_output=found.max_output,
        has_output=api.has_output,
        free=free or (provider == "openrouter" and found.model.endswith(":free")),
        anywhere=provider == api.family and host not in usage.KNOWN_HOSTS,
    )
    return Exchange(module, recorder, api, call)


def _body(request: Any) -> bytes | None:
    """The request's bytes, or None when they are a stream that only the app may read."""
    try:
        content: bytes = request.content
    except Exception:
        return None
    return content


def _facts(response: Any) -> tuple[int, dict[str, str]]:
    headers = response.headers
    return response.status_code, {name: headers[name] for name in _HEADERS if name in headers}


def stream_classes(module: ModuleType) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Stream classes that pass every chunk on untouched and tell the observer; httpx checks their base class."""
    if module.__name__ not in _stream_classes:
        _stream_classes[module.__name__] = _sync_tee(module), _async_tee(module)
    return _stream_classes[module.__name__]


def _sync_tee(module: ModuleType) -> Callable[..., Any]:
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

    return SyncTee


def _async_tee(module: ModuleType) -> Callable[..., Any]:
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

    return AsyncTee


def _on_drop(stream: object, observer: Observer) -> None:
    """A stream that is dropped without being read or closed is settled by the next call or at exit."""
    runtime.streaming[id(observer)] = observer.closed
    # Finalizers' own exit hook may run after ours, which settles what is still open by then.
    weakref.finalize(stream, runtime.dropped, id(observer)).atexit = False
