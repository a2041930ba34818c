"""One admitted attempt while its response passes: exactly one settlement, whatever happens to the stream."""

from __future__ import annotations

import os
import time
from threading import Lock

from costmon.shim import usage
from costmon.shim.calls import Open, Outcome
from costmon.shim.events import Usage
from costmon.shim.faults import guarded
from costmon.shim.ledger import SETTLE_WAIT_S
from costmon.shim.recorder import Recorder
from costmon.shim.streams import Body

# The request surely never left, or never reached the provider.
_UNSENT = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
        "LocalProtocolError",
        "ProxyError",
    }
)
_RENEW_EVERY_S = 60.0


class Observer:
    """`held` None: the attempt could not be admitted by a fault of ours; everything is a no-op then.

    `wait_s` is how long a settlement may wait for the ledger: 0 on an event loop.
    """

    def __init__(self, recorder: Recorder, held: Open | None, api: usage.Api) -> None:
        self.wait_s = SETTLE_WAIT_S
        self._recorder = recorder
        self._held = held
        self._api = api
        self._lock = Lock()
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._renewed = self._began
        self._first_us: int | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: Body | None = None

    def streams(self, status: int, headers: dict[str, str]) -> None:
        """The response began; its body will come in chunks."""
        self._status, self._headers = status, headers
        self._body = Body(self._api, headers.get("content-type", ""), headers.get("content-encoding", ""))

    def feed(self, chunk: bytes) -> None:
        """The next raw bytes, before the app gets them. A finished stream is settled here, before its last bytes go on."""
        if self._held is None or self._body is None:
            return
        if self._first_us is None:
            self._first_us = self._elapsed_us()
        if guarded("follow a stream", self._body.feed, chunk):
            self.end()
        elif time.monotonic() - self._renewed > _RENEW_EVERY_S:
            self._renewed = time.monotonic()
            self._recorder.renew(self._held)

    def end(self) -> None:
        """The body came to its end."""
        if self._body is not None and self._held is not None:
            guarded("follow a stream", self._body.end)
            guarded("settle", self._finish, self._body, True)

    def closed(self) -> None:
        """The app closed or dropped the response; after `end` this changes nothing.

        A forked child that drops its copy of the response says nothing about the parent's.
        """
        if self._body is not None and self._held is not None and self._pid == os.getpid():
            guarded("settle", self._finish, self._body, False)

    def responded(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """A whole response, its content decoded."""
        self._status, self._headers = status, headers
        body = Body(self._api, headers.get("content-type", ""), "")
        body.feed(content)
        body.end()
        self._body = body
        self._finish(body, True)

    def raised(self, error: BaseException) -> None:
        """The HTTP client raised instead of answering, or in the middle of a body."""
        guarded("settle", self._settle_error, error)

    def _settle_error(self, error: BaseException) -> None:
        name = type(error).__name__
        body = self._body
        if body is not None and body.usage is not None:
            self._finish(body, False, error=name)
        elif self._status >= 400:
            self._settle(self._http_error(body, error=name))
        elif name in _UNSENT:
            self._settle(Outcome("error", charged=False, error=name))
        else:
            text = self._delivered(body)
            self._settle(Outcome("unknown", usage=text, estimated=True, at_least_reserved=True, error=name))

    def _finish(self, body: Body, ended: bool, error: str | None = None) -> None:
        # Anthropic's first event has usage already: without its last ones that is not the whole of it.
        whole = ended and body.api is not usage.MESSAGES
        if self._status >= 300:
            self._settle(self._http_error(body, error=error))
        elif body.usage is not None and (body.complete or body.finished or whole) and not error:
            self._settle(self._outcome(body, "error" if body.failed else "ok", usage=body.usage))
        elif body.complete or (ended and body.finished):
            self._settle(self._unreported(body))
        elif ended and not body.text_bytes:
            self._settle(self._outcome(body, "ok", usage=None))
        else:
            outcome = "error" if body.failed else "dropped"
            delivered = self._delivered(body)
            self._settle(self._outcome(body, outcome, usage=delivered, dropped=True, error=error))

    def _unreported(self, body: Body) -> Outcome:
        """A complete answer without usage: a stream is counted by its text, anything else stays unknown."""
        if body.failed:
            return self._outcome(body, "error", usage=self._delivered(body), dropped=True)
        if body.text_bytes:
            return self._outcome(body, "ok", usage=self._delivered(body), estimated=True)
        return self._outcome(body, "ok", usage=None)

    def _http_error(self, body: Body | None, error: str | None) -> Outcome:
        """A redirect, 4xx, and 5xx in the provider's own words are not billed; any other 5xx has an unknown outcome."""
        document = body.document if body is not None else None
        answered = document is not None and ("error" in document or "detail" in document)
        charged = self._status >= 500 and not answered
        return Outcome(
            "unknown" if charged else "error",
            charged=charged,
            estimated=charged,
            at_least_reserved=charged,
            error=error or f"HTTP {self._status}",
            status_code=self._status,
            duration_us=self._elapsed_us(),
            first_token_us=self._first_us,
            request_id=self._request_id(),
        )

    def _outcome(
        self,
        body: Body,
        outcome: str,
        *,
        usage: Usage | None,
        estimated: bool = False,
        dropped: bool = False,
        error: str | None = None,
    ) -> Outcome:
        return Outcome(
            outcome,
            usage=usage,
            estimated=estimated or dropped,
            at_least_reserved=dropped,
            model=body.model,
            status_code=self._status,
            error=error,
            service_tier=body.service_tier,
            duration_us=self._elapsed_us(),
            first_token_us=self._first_us,
            request_id=self._request_id(),
            response_id=body.response_id,
        )

    def _delivered(self, body: Body | None) -> Usage:
        """What surely went over the wire: the input, and as many output tokens as text came back."""
        attempt = self._held.attempt if self._held is not None else None
        known: Usage = dict(body.usage or {}) if body is not None else {}
        text = usage.estimate_tokens(body.text_bytes) if body is not None else 0
        known["input_tokens"] = known.get("input_tokens") or (
            attempt.input_tokens if attempt is not None else 0
        )
        known["output_tokens"] = max(known.get("output_tokens", 0), text)
        known["total_tokens"] = known["input_tokens"] + known["output_tokens"]
        return known

    def _request_id(self) -> str:
        headers = self._headers
        return (
            headers.get("x-request-id") or headers.get("request-id") or headers.get("apim-request-id") or ""
        )

    def _settle(self, outcome: Outcome) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            if outcome.duration_us is None:
                outcome = outcome._replace(duration_us=self._elapsed_us())
            self._recorder.settle(held, outcome, wait_s=self.wait_s)

    def _elapsed_us(self) -> int:
        return int((time.monotonic() - self._began) * 1e6)
