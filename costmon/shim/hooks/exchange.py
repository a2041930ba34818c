"""One attempt of any client and its answer, told to an Observer. Raises refusals and nothing else."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from costmon.errors import SpendBlocked
from costmon.shim import runtime, usage
from costmon.shim.calls import Call, Open
from costmon.shim.faults import guarded, report
from costmon.shim.hooks.nesting import in_flight
from costmon.shim.hooks.sdk import refuse
from costmon.shim.hooks.seen import saw
from costmon.shim.observer import Observer
from costmon.shim.recorder import Recorder
from costmon.shim.wire import Wire, call_of

_numbers = itertools.count()
_LEDGER_CODE = frozenset({"costmon.shim.recorder", "costmon.shim.ledger"})


class Exchange:
    """An admitted attempt while it is on the wire. Until `admit` it is only recognised.

    `answered`: the client has its answer or its exception; what is sent after that is another attempt. `sent`: bytes may
    have left (kept by the hooks that can tell).
    """

    def __init__(self, recorder: Recorder, api: usage.Api, call: Call, host: str = "") -> None:
        self.host = host.lower()
        self.answered = False
        self.sent = False
        self._recorder = recorder
        self.api = api
        self._call = call
        self._observer: Observer | None = None
        self._stream = -1

    def admit(self) -> None:
        """Reserve; raises SpendBlocked, or inside an SDK the signal that becomes it."""
        try:
            self._observe(self._recorder.admit(self._call) if self.api.admitted else None)
        except SpendBlocked as blocked:
            refuse(blocked)
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")

    async def admit_async(self) -> None:
        """Like `admit`; settlements then never wait for a busy ledger on the event loop."""
        try:
            self._observe(await self._recorder.admit_async(self._call) if self.api.admitted else None)
            if self._observer is not None:
                self._observer.wait_s = 0.0
        except SpendBlocked as blocked:
            refuse(blocked)
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")

    def raised(self, error: BaseException, *, sent: bool = True) -> None:
        """The client raised instead of answering, or in the middle of a body. `sent` False: surely before any byte left."""
        self._has_answer()
        if self._observer is not None:
            guarded("settle", self._tell, error, sent)

    def follow(self, function: Callable[..., None], *args: Any) -> None:
        """Have `function(*args, self)` find the answer; when it cannot, the outcome is unknown."""
        try:
            function(*args, self)
        except Exception as error:
            report("follow a response", f"costmon could not follow a response: {type(error).__name__}")
            self.raised(error)

    def whole(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """The client has the whole answer, its content decoded."""
        self._has_answer()
        if self._observer is not None:
            guarded("follow a response", self._observer.responded, status, headers, content)

    def streams(self, owner: object, status: int, headers: dict[str, str]) -> None:
        """The answer began, its body comes by `feed`. When `owner` is collected, nobody will read on."""
        self._has_answer()
        observer = self._observer
        if observer is None:
            return
        guarded("follow a response", observer.streams, status, headers)
        self._stream = next(_numbers)
        runtime.streaming[self._stream] = observer.closed
        # Finalizers' own exit hook may run after ours, which settles what is still open by then.
        weakref.finalize(owner, runtime.dropped, self._stream).atexit = False

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body, before the app gets them, under the headers' content coding."""
        if self._observer is not None:
            try:
                self._observer.feed(chunk)
            except Exception as error:
                report("follow a stream", f"costmon could not follow a stream: {type(error).__name__}")

    def end(self) -> None:
        """The body came to its end."""
        if self._observer is not None:
            guarded("settle", self._observer.end)
            guarded("forget a stream", self._forget_if_settled, self._observer)

    def closed(self) -> None:
        """The app closed the answer; after `end` this changes nothing.

        A finalizer may say so too, even from inside our own use of the ledger: then the next call settles it.
        """
        if self._observer is None or guarded("forget a stream", self._forget_if_settled, self._observer):
            return
        if guarded("look at its callers", _in_ledger_code):
            runtime.abandoned.append(self._observer.closed)
        else:
            guarded("settle", self._observer.closed)

    def _forget_if_settled(self, observer: Observer) -> bool:
        if not observer.settled:
            return False
        runtime.streaming.pop(self._stream, None)
        return True

    def _tell(self, error: BaseException, sent: bool) -> None:
        if self._observer is not None:
            self._observer.raised(error, sent=sent)

    def _has_answer(self) -> None:
        self.answered = True
        in_flight.discard(id(self))
        # It may have waited for long since it was first seen.
        guarded("note a host", saw, self._call.endpoint.partition(":")[0])

    def _observe(self, held: Open | None) -> None:
        in_flight.add(id(self))
        self._observer = Observer(self._recorder, held, self.api, self._call)


def begin(wire: Wire) -> Exchange | None:
    """The exchange of a metered call, None when the request is none after all."""
    recorder = runtime.recorder()
    hosts = recorder.provider_hosts()
    found = call_of(wire, hosts, recorder.fingerprint(wire.path, wire.body))
    return None if found is None else Exchange(recorder, *found, wire.host)


def facts(headers: Mapping[str, str], exchange: Exchange) -> dict[str, str]:
    """The headers of an answer that its Observer reads, by their lower-case names; `headers` must not mind case."""
    return {name: headers[name] for name in exchange.api.headers if name in headers}


def _in_ledger_code() -> bool:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") in _LEDGER_CODE:
            return True
    return False
