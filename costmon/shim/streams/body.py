"""Follow a response body as it passes, on a decoder of our own: the app's bytes are never touched or delayed.

A stream is complete at its protocol's terminal event, not at end of file: SDKs stop reading at the last event.
"""

from __future__ import annotations

import functools
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.streams.decoders import decode, decoders
from costmon.shim.streams.members import first_members, last_members
from costmon.shim.usage.read import (
    normalise,
    parse,
    parse_any,
    parse_event,
    places,
    usage_fields,
)
from costmon.shim.usage.shapes import ENDED, FAILED, FINISHED, Api

MAX_BODY = 16 * 1024 * 1024
MAX_LINE = 4 * 1024 * 1024
MAX_DECODED = 1 << 30  # a compressed body that grows beyond this is an attack
_TAIL = 65536
_HEAD = 4096
_CHAT_END = b"[DONE]"
_DOCUMENT, _EVENTS, _LINES, _FRAMES, _OPAQUE = range(5)
_KINDS = (
    ("event-stream", _EVENTS),
    ("amazon.eventstream", _FRAMES),
    ("ndjson", _LINES),
    ("jsonl", _LINES),
    ("stream+json", _LINES),
    ("json", _DOCUMENT),
    ("audio/", _OPAQUE),
    ("image/", _OPAQUE),
    ("video/", _OPAQUE),
    ("octet-stream", _OPAQUE),
)


class Body:
    """What is known of one response body. `feed` returns True once the protocol's last event was seen.

    `usage`: the normalised usage seen so far. `complete`: the terminal event came. `finished`: the answer ended, and
    any usage seen is its final one. `failed`: the provider reported an error inside the stream. `text_bytes`:
    generated text that a stream has delivered so far; `answer_bytes` the text of a whole answer. `broken`: the body
    could not be followed. `cost`: what the provider says it charges, (amount, decimal places) in USD.
    """

    def __init__(self, api: Api, content_type: str, encoding: str) -> None:
        self.api = api
        self._usage: Usage | None = None
        self._stale = False
        self.model = ""
        self.response_id = ""
        self.service_tier = ""
        self.text_bytes = 0
        self.answer_bytes = 0
        self.complete = False
        self.finished = False
        self.failed = False
        self.started = False
        self.cost: tuple[Any, int] | None = None
        self.document: dict[str, Any] | None = None
        self._framing = _framing_of(content_type)
        self._decoders, self.broken = decoders(encoding)
        self._decoded = 0
        self._fields: dict[str, int | None] = {}
        self._pending = bytearray()
        self._head = b""
        self._names: tuple[Any, ...] | None = None
        self._flat = api.dialect.flat

    @property
    def usage(self) -> Usage | None:
        """The usage seen so far, worked out when it is asked for."""
        if self._stale:
            self._stale = False
            self._usage = normalise(self.api, self._fields)
        return self._usage

    @usage.setter
    def usage(self, value: Usage | None) -> None:
        self._stale, self._usage = False, value

    # --- bytes -----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """Take the next raw bytes of the body."""
        if self.broken or self.complete:
            return False
        if not self._decoders:
            return self._take(data)
        try:
            for piece in decode(self._decoders, data):
                self._decoded += len(piece)
                if self._decoded > MAX_DECODED:
                    self._give_up()
                    return False
                if self._take(piece):
                    return True
        except Exception:
            self._give_up()
        return False

    def end(self) -> None:
        """The body ended by itself: a plain JSON document is complete now; a stream has had its last line."""
        if self.broken or self.complete:
            return
        pending, self._pending = bytes(self._pending), bytearray()
        if self._framing in (_EVENTS, _LINES):
            self._line(pending)
        elif self._framing == _DOCUMENT:
            self._whole(pending)
        elif self._framing == _OPAQUE:
            self.complete = self.started

    def whole(self, content: bytes) -> None:
        """A body that came in one piece, its content decoded."""
        if self._framing == _DOCUMENT and len(content) <= _TAIL and not _is_events(content):
            self.started = bool(content)
            self._whole(content)
            return
        self.feed(content)
        self.end()

    def cut(self) -> None:
        """The app let go of the body: what has come of a stream that is one long JSON array is read now."""
        if self._framing == _DOCUMENT and self.api.streams and not (self.broken or self.complete):
            self._array(bytes(self._pending))

    def _take(self, data: bytes) -> bool:
        if not self.started:
            self.started = bool(data)
            if self._framing == _DOCUMENT and _is_events(data):
                self._framing = _EVENTS
        if self._framing <= _LINES and self._framing != _DOCUMENT:
            return self._take_lines(data)
        if self._framing == _OPAQUE:
            return False
        self._pending += data
        if self._framing == _FRAMES:
            return self._take_frames()
        if len(self._pending) > MAX_BODY:
            self._shorten()
        return False

    def _take_lines(self, data: bytes) -> bool:
        if self._pending:
            self._pending += data
            # A long event in many small chunks is searched once, not with every chunk.
            if b"\n" not in data:
                if len(self._pending) > MAX_LINE:
                    self._shorten()
                return False
            data = bytes(self._pending)
            self._pending.clear()
        lines = data.split(b"\n")
        rest = lines.pop()
        if rest:
            self._pending += rest
            if len(rest) > MAX_LINE:
                self._shorten()
        for line in lines:
            if line:
                self._line(line)
                if self.complete:
                    return True
        return False

    def _take_frames(self) -> bool:
        from costmon.shim.streams.frames import frames

        try:
            for headers, payload in frames(self._pending):
                self._frame(headers, payload)
                if self.complete:
                    return True
        except ValueError:
            self._give_up()
        return False

    def _shorten(self) -> None:
        """Of what is too long to keep: its start, and its end, where the usage stands."""
        self._head = self._head or bytes(self._pending[:_HEAD])
        del self._pending[:-_TAIL]

    def _give_up(self) -> None:
        self.broken = True
        self._pending.clear()

    # --- documents -------------------------------------------------------------------------------------------------

    def _whole(self, body: bytes) -> None:
        """A document; of a long one (a batch of embeddings is tens of MB) only what stands behind the vectors."""
        document = self._ends(body) if self._head or (not self.api.has_output and len(body) > _TAIL) else None
        if document is None and not self._head:
            found = parse_any(body) if self.api.streams else parse_event(body)
            if isinstance(found, list):
                self._array(body)
                self.complete = True
                return
            document = found if isinstance(found, dict) else None
        self.document = document
        if document is not None:
            self._absorb(document)
            self.answer_bytes = self.api.dialect.text(document)
            self.complete = True
        self._head = b""

    def _ends(self, body: bytes) -> dict[str, Any] | None:
        """What a long document's start and end tell: its usage, and who it is from."""
        names = tuple(first for first, _ in places(self.api.usage_at) if first) or tuple(
            path for path, _ in self.api.fields
        )
        usage = last_members(body[-_TAIL:], names)
        if not usage:
            return None
        about = ("type", "model", "id", "modelVersion", "responseId")
        return {
            **last_members(body[-_TAIL:], about),
            **first_members(self._head or body[:_HEAD], about),
            **usage,
        }

    def _array(self, body: bytes) -> None:
        """A stream of Gemini's that is one JSON array; the last element may be cut off."""
        import json

        step = json.JSONDecoder().raw_decode
        text = body.decode("utf-8", "replace")
        at = text.find("[") + 1
        while at:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            try:
                document, at = step(text, at)
            except (ValueError, RecursionError):
                return
            if isinstance(document, dict):
                self._event(document)

    def _line(self, line: bytes) -> None:
        if self._framing == _EVENTS:
            if line[:5] != b"data:":
                if not self._head:
                    return
                line = b"data:" + line
            data = line[6:] if line[5:6] == b" " else line[5:]
            if data[:6] == _CHAT_END and data.strip() == _CHAT_END:
                self.complete = True
                return
        else:
            data = line
        document = self._ends(data) if self._head else parse_event(data)
        self._head = b""
        if document is not None:
            self._event(document)

    def _frame(self, headers: dict[str, str], payload: bytes) -> None:
        name = headers.get(":event-type") or headers.get(":exception-type") or "unknownException"
        document = parse(payload)
        if name == "chunk" and document is not None:
            import base64

            text = document.get("bytes")
            document = parse(base64.b64decode(text)) if isinstance(text, str) else None
            if document is not None:
                self._event(document)
        else:
            self._event({name: document if document is not None else {}})

    def _event(self, document: dict[str, Any]) -> None:
        self._absorb(document)
        dialect = self.api.dialect
        self.text_bytes += dialect.text(document)
        verdict = dialect.judge(document)
        if verdict:
            self.complete = self.complete or bool(verdict & ENDED)
            self.finished = self.finished or bool(verdict & FINISHED)
            self.failed = self.failed or bool(verdict & FAILED)

    def _absorb(self, document: dict[str, Any]) -> None:
        get = document.get
        names = (get("model"), get("id"), get("service_tier"), get("usage"), get("response"), get("message"))
        # Nearly every chunk of a chat repeats the same; then there is nothing new to read.
        if not self._flat or names != self._names:
            self._names = names
            model, response_id, service_tier = self.api.dialect.identity(document)
            self.model = model or self.model
            self.response_id = self.response_id or response_id
            self.service_tier = service_tier or self.service_tier
        fields = usage_fields(self.api, document)
        if fields:
            self._merge(fields)
            self._stale = True
            if self.api.cost_at is not None:
                self._note_cost(document)

    def _merge(self, fields: dict[str, int | None]) -> None:
        """Counts in a stream are cumulative: the larger wins (or the later, where a provider corrects itself), and one
        that is no count never replaces one that is."""
        for name, count in fields.items():
            known = self._fields.get(name)
            if known is None or (count and self.api.replaces) or (count is not None and count > known):
                self._fields[name] = count

    def reported_nano(self) -> int | None:
        """What the provider says it charges, nano USD; None when that is no amount, or nothing at all."""
        if self.cost is None or isinstance(self.cost[0], bool) or not isinstance(self.cost[0], (int, float)):
            return None
        from decimal import ROUND_HALF_EVEN, Decimal

        amount = Decimal(str(self.cost[0]))
        if not amount.is_finite() or not 0 < amount <= 10 ** (4 + self.cost[1]):
            return None
        return int(amount.scaleb(9 - self.cost[1]).to_integral_value(ROUND_HALF_EVEN))

    def _note_cost(self, document: dict[str, Any]) -> None:
        from costmon.shim.usage.read import raw_usage

        raw = raw_usage(self.api, document)
        if raw is not None and self.api.cost_at is not None and raw.get("is_byok") is not True:
            key, places_ = self.api.cost_at
            if raw.get(key) is not None:
                self.cost = (raw[key], places_)


@functools.lru_cache(maxsize=64)
def _framing_of(content_type: str) -> int:
    """How a body of this type is taken apart. Amazon's own event streams have no dash in their name."""
    kind = content_type.lower()
    return next((framing for word, framing in _KINDS if word in kind), _DOCUMENT)


def _is_events(data: bytes) -> bool:
    """Some servers send events under another content type."""
    start = data[:64].lstrip()
    return start.startswith((b"data:", b"event:"))
