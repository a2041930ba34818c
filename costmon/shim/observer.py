"""One admitted attempt while its response passes: exactly one settlement, whatever happens to the stream."""

from __future__ import annotations

import os
import time
from threading import Lock
from typing import TYPE_CHECKING

from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Usage, clean
from costmon.shim.faults import guarded, report
from costmon.shim.ledger import SETTLE_WAIT_S
from costmon.shim.streams import Body
from costmon.shim.usage.read import estimate_tokens
from costmon.shim.wire import UNKNOWN_MODEL

if TYPE_CHECKING:
    from costmon.shim.recorder import Recorder
    from costmon.shim.usage import Api

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
    """`held` None: the attempt could not be admitted by a fault of ours; everything is a no-op then, except for an API
    that is not admitted at all, whose answers are read for what they report of other calls.

    `wait_s` is how long a settlement may wait for the ledger: 0 on an event loop.
    """

    def __init__(self, recorder: Recorder, held: Open | None, api: Api, call: Call | None = None) -> None:
        self.wait_s = SETTLE_WAIT_S
        self._recorder = recorder
        self._held = held
        self._api = api
        self._call = call
        self._lock = Lock()
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._renewed = self._began
        self._first_us: int | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: Body | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing can come of it any more."""
        return self._held is None and self._api.admitted

    def streams(self, status: int, headers: dict[str, str]) -> None:
        """The response began; its body will come in chunks."""
        self._status, self._headers = status, headers
        self._body = self._new_body(headers.get("content-encoding", ""))

    def feed(self, chunk: bytes) -> None:
        """The next raw bytes, before the app gets them. A finished stream is settled here, before its last bytes go on."""
        body = self._body
        if body is None or (self._held is None and self._api.admitted):
            return
        if self._first_us is None:
            self._first_us = self._elapsed_us()
        try:
            finished = body.feed(chunk)
        except Exception as error:
            report("follow a stream", f"costmon could not follow a stream: {type(error).__name__}")
            return
        if finished:
            self.end()
        elif self._held is not None and time.monotonic() - self._renewed > _RENEW_EVERY_S:
            self._renewed = time.monotonic()
            self._recorder.renew(self._held)

    def end(self) -> None:
        """The body came to its end."""
        body = self._body
        if body is not None and (self._held is not None or not self._api.admitted):
            guarded("follow a stream", body.end)
            guarded("settle", self._finish, body, True)

    def closed(self) -> None:
        """The app closed or dropped the response; after `end` this changes nothing.

        A forked child that drops its copy of the response says nothing about the parent's.
        """
        body = self._body
        if body is not None and self._held is not None and self._pid == os.getpid():
            guarded("follow a stream", body.cut)
            guarded("settle", self._finish, body, False)

    def responded(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """A whole response, its content decoded."""
        self._status, self._headers = status, headers
        body = self._body = self._new_body("")
        guarded("follow a response", body.whole, content)
        self._finish(body, True)

    def raised(self, error: BaseException, *, sent: bool = True) -> None:
        """The HTTP client raised instead of answering, or in the middle of a body.

        `sent` False: the client says that no byte of the request left.
        """
        guarded("settle", self._settle_error, error, sent)

    def _new_body(self, encoding: str) -> Body:
        kind = self._headers.get("content-type", "")
        if self._api.admitted:
            return Body(self._api, kind, encoding)
        from costmon.shim.batches import Results

        return Results(self._api, encoding, self._recorder, self._call)

    def _settle_error(self, error: BaseException, sent: bool) -> None:
        name = type(error).__name__
        body = self._body
        if body is not None and body.usage is not None:
            self._finish(body, False, error=name)
        elif self._status >= 400:
            self._settle(self._http_error(body, error=name))
        elif not sent or (name in _UNSENT and self._status == 0):
            self._settle(Outcome("error", charged=False, error=name))
        else:
            text = self._delivered(body)
            self._settle(
                Outcome(
                    "unknown",
                    usage=text,
                    estimated=True,
                    at_least_reserved=True,
                    error=name,
                    text_bytes=_counted_text(body, text) if body is not None else 0,
                )
            )

    def _finish(self, body: Body, ended: bool, error: str | None = None) -> None:
        if self._held is None:
            return
        # Anthropic's first event has usage already: without its last ones that is not the whole of it.
        whole = ended and not body.api.dialect.provisional
        if self._status >= 300:
            self._settle(self._http_error(body, error=error))
            return
        if ended and body.usage is None:
            body.usage = self._header_usage()
        if body.usage is not None and (body.complete or body.finished or whole) and not error:
            self._settle(
                self._outcome(body, "error" if body.failed else "ok", usage=self._with_fees(body.usage))
            )
        elif body.complete or (ended and body.finished):
            self._settle(self._unreported(body))
        elif ended and not body.text_bytes:
            self._settle(self._counted(body))
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
        return self._counted(body)

    def _counted(self, body: Body) -> Outcome:
        """An answer that says nothing of its usage: what the request told is used where that is what is billed."""
        call = self._held.call if self._held is not None else None
        units = call.units if call is not None else None
        if body.api.name == "speech" and units:
            return self._outcome(
                body, "ok", usage=dict(units)
            )  # characters are what is billed, and they are exact
        if body.api.bare and units and "audio_seconds" in units:
            seconds: Usage = {"audio_seconds": units["audio_seconds"]}
            return self._outcome(body, "ok", usage=seconds, estimated=True)
        if body.api.silent and call is not None and call.input_tokens:
            tokens = call.input_tokens
            known: Usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
            return self._outcome(body, "ok", usage=known, estimated=True)
        return self._outcome(body, "ok", usage=None)

    def _with_fees(self, reported: Usage) -> Usage:
        """The usage, and the search fee of models that search in every call, which their usage leaves out."""
        units = self._held.call.units if self._held is not None else None
        if units and "web_searches" in units and "web_searches" not in reported:
            return {**reported, "web_searches": units["web_searches"]}
        return reported

    def _header_usage(self) -> Usage | None:
        """Bedrock tells InvokeModel's counts in headers when the vendor's body has none."""
        if self._api.family != "aws":
            return None
        from costmon.shim.usage import normalise
        from costmon.shim.usage.bedrock import COUNT_HEADERS

        found = {unit: self._headers.get(name, "") for name, unit in COUNT_HEADERS.items()}
        fields = {unit: int(text) for unit, text in found.items() if text.isdecimal() and len(text) < 9}
        return normalise(self._api, fields) if fields else None

    def _http_error(self, body: Body | None, error: str | None) -> Outcome:
        """A redirect, 4xx, and 5xx in the provider's own words are not billed; any other 5xx has an unknown outcome."""
        document = body.document if body is not None else None
        answered = document is not None and ("error" in document or "detail" in document)
        answered = answered or "x-amzn-errortype" in self._headers
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
            cost=body.reported_nano() if body.cost is not None and not dropped else None,
            status_code=self._status,
            error=error,
            service_tier=body.service_tier,
            duration_us=self._elapsed_us(),
            first_token_us=self._first_us,
            request_id=self._request_id(),
            response_id=body.response_id,
            text_bytes=_counted_text(body, usage or {})
            if estimated or dropped
            else body.text_bytes or body.answer_bytes,
        )

    def _delivered(self, body: Body | None) -> Usage:
        """What surely went over the wire: the input, and as many output tokens as text came back."""
        attempt = self._held.attempt if self._held is not None else None
        units = self._held.call.units if self._held is not None else None
        known: Usage = dict((body.usage if body is not None else None) or units or {})
        text = estimate_tokens(body.text_bytes) if body is not None else 0
        known["input_tokens"] = known.get("input_tokens") or (
            attempt.input_tokens if attempt is not None else 0
        )
        known["output_tokens"] = max(known.get("output_tokens", 0), text)
        known["total_tokens"] = known["input_tokens"] + known["output_tokens"]
        return known

    def _request_id(self) -> str:
        headers = self._headers
        return (
            headers.get("x-request-id")
            or headers.get("request-id")
            or headers.get("apim-request-id")
            or headers.get("x-amzn-requestid")
            or ""
        )

    def _settle(self, outcome: Outcome) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            if outcome.duration_us is None:
                outcome = outcome._replace(duration_us=self._elapsed_us())
            if outcome.model and held.call.model == UNKNOWN_MODEL:
                held = held._replace(attempt=held.attempt._replace(model=clean(outcome.model)))
            self._recorder.settle(held, outcome, wait_s=self.wait_s)

    def _elapsed_us(self) -> int:
        return int((time.monotonic() - self._began) * 1e6)


def _counted_text(body: Body, usage: Usage) -> int:
    """The bytes that the output of an estimated usage was counted by; 0 when the provider had reported more by then."""
    return body.text_bytes if usage.get("output_tokens") == estimate_tokens(body.text_bytes) else 0
