"""Follow a response body as it passes, on a decoder of our own: the app's bytes are never touched or delayed.

A stream is complete at its protocol's terminal event, not at end of file: SDKs stop reading at the last event.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from costmon.shim import usage
from costmon.shim.events import Usage

MAX_BODY = 16 * 1024 * 1024
MAX_LINE = 4 * 1024 * 1024
_TAIL = 65536
_CHAT_END = b"[DONE]"
_RESPONSES_END = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Decoder(Protocol):
    """An incremental content decoder; raises any Exception on corrupt data."""

    def decompress(self, data: bytes) -> bytes: ...


class Body:
    """What is known of one response body. `feed` returns True once the protocol's last event was seen.

    `usage`: the normalised usage seen so far. `complete`: the terminal event came. `finished`: the answer ended, and
    any usage seen is its final one. `failed`: the provider reported an error inside the stream. `text_bytes`:
    generated text delivered so far. `broken`: the body could not be followed.
    """

    def __init__(self, api: usage.Api, content_type: str, encoding: str) -> None:
        self.api = api
        self.usage: Usage | None = None
        self.model = ""
        self.response_id = ""
        self.service_tier = ""
        self.text_bytes = 0
        self.complete = False
        self.finished = False
        self.failed = False
        self.started = False
        self.document: dict[str, Any] | None = None
        self._events = "event-stream" in content_type
        self._decoders, self.broken = _decoders(encoding)
        self._fields: dict[str, int | None] = {}
        self._pending = bytearray()
        self._cut = False

    def feed(self, data: bytes) -> bool:
        """Take the next raw bytes of the body."""
        if self.broken or self.complete:
            return False
        try:
            for decoder in self._decoders:
                data = decoder.decompress(data)
        except Exception:
            self.broken = True
            return False
        self.started = self.started or bool(data)
        self._pending += data
        if not self._events:
            if len(self._pending) > MAX_BODY:
                del self._pending[:-_TAIL]
                self._cut = True
            return False
        # A long event in many small chunks is searched once, not with every chunk.
        return self._take_lines() if b"\n" in data or len(self._pending) > MAX_LINE else False

    def end(self) -> None:
        """The body ended by itself: a plain JSON document is complete now; a stream has had its last line."""
        if self.broken or self.complete:
            return
        if self._events:
            self._line(bytes(self._pending))
            self._pending.clear()
            return
        self.document = self._parse_all()
        self._pending.clear()
        if self.document is not None:
            self._absorb(self.document)
            self.complete = True

    def _parse_all(self) -> dict[str, Any] | None:
        """The document; of a long one (a batch of embeddings is tens of MB) only what stands behind the vectors."""
        if self._cut or (self.api is usage.EMBEDDINGS and len(self._pending) > _TAIL):
            found = _last_members(bytes(self._pending[-_TAIL:]))
            if "usage" in found or self._cut:
                return found or None
        return usage.parse(bytes(self._pending))

    def _take_lines(self) -> bool:
        *lines, rest = self._pending.split(b"\n")
        if len(rest) > MAX_LINE:
            self.broken = True
        self._pending = bytearray(rest)
        for line in lines:
            self._line(bytes(line))
            if self.complete:
                break
        return self.complete

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == _CHAT_END:
            self.complete = True
            return
        document = usage.parse(data)
        if document is not None:
            self._absorb(document)
            self._judge(document)

    def _absorb(self, document: dict[str, Any]) -> None:
        model, response_id, service_tier = usage.identity(document)
        self.model = model or self.model
        self.response_id = self.response_id or response_id
        self.service_tier = service_tier or self.service_tier
        raw = usage.raw_usage(self.api, document)
        if raw is not None:
            self._merge({**usage.fields_of(self.api, raw), **usage.tool_units(self.api, document)})
            self.usage = usage.normalise(self.api, self._fields)
        if self._events:
            self.text_bytes += _generated(self.api, document)

    def _merge(self, fields: dict[str, int | None]) -> None:
        """Counts in a stream are cumulative: the larger wins, and one that is no count never replaces one that is."""
        for name, count in fields.items():
            known = self._fields.get(name)
            self._fields[name] = count if known is None else max(known, count or 0)

    def _judge(self, document: dict[str, Any]) -> None:
        kind = document.get("type")
        if self.api is usage.MESSAGES:
            self.complete = kind == "message_stop"
            self.failed = self.failed or kind == "error"
            self.finished = self.finished or usage.dig(document, "delta.stop_reason") is not None
        elif self.api is usage.RESPONSES:
            self.complete = isinstance(kind, str) and kind in _RESPONSES_END
            self.failed = self.failed or kind in ("error", "response.failed")
        else:
            self.failed = self.failed or isinstance(document.get("error"), dict)
            self.finished = self.finished or _chat_finished(document)


def _last_members(tail: bytes) -> dict[str, Any]:
    """The members `usage`, `model` and `id` as far as they stand in the end of a JSON document."""
    import json

    found: dict[str, Any] = {}
    for name in ("usage", "model", "id"):
        _, key, rest = tail.rpartition(f'"{name}"'.encode())
        try:
            if key:
                found[name] = json.JSONDecoder().raw_decode(
                    rest.decode("utf-8", "replace").lstrip(" \t\r\n:")
                )[0]
        except (ValueError, RecursionError):
            pass
    return found


def _chat_finished(document: dict[str, Any]) -> bool:
    """A choice gave its finish reason, or this is the extra chunk that only carries the totals."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return False
    if not choices:
        return isinstance(document.get("usage"), dict)
    return any(isinstance(choice, dict) and choice.get("finish_reason") is not None for choice in choices)


def _generated(api: usage.Api, document: dict[str, Any]) -> int:
    """Bytes of new text in one event; events that repeat the whole text so far do not count twice."""
    if api is usage.RESPONSES:
        delta = document.get("delta")
        return len(delta.encode("utf-8", "replace")) if isinstance(delta, str) else 0
    if api is usage.MESSAGES:
        return usage.delivered_bytes(document.get("delta"))
    return usage.delivered_bytes(document.get("choices"))


def _decoders(encoding: str) -> tuple[list[Decoder], bool]:
    """The decoders that undo a Content-Encoding header, last coding first, and whether one is unknown.

    Brotli and zstandard come from the host's own already imported modules: a host that can receive them has them.
    """
    found: list[Decoder] = []
    for coding in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        if coding == "identity":
            continue
        decoder = _decoder(coding)
        if decoder is None:
            return [], True
        found.append(decoder)
    return found, False


def _decoder(coding: str) -> Decoder | None:
    if coding in ("gzip", "x-gzip"):
        import zlib

        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if coding == "deflate":
        return _Deflate()
    if coding == "br":
        module = sys.modules.get("brotli") or sys.modules.get("brotlicffi")
        return _Brotli(module.Decompressor()) if module is not None else None
    if coding == "zstd":
        module = sys.modules.get("zstandard")
        if module is not None:
            return module.ZstdDecompressor().decompressobj()  # type: ignore[no-any-return]
        module = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
        return module.ZstdDecompressor() if module is not None else None
    return None


class _Deflate:
    """`deflate` is zlib by the standard and raw by habit; the first two bytes tell which."""

    def __init__(self) -> None:
        self._head = b""
        self._inner: Decoder | None = None

    def decompress(self, data: bytes) -> bytes:
        import zlib

        if self._inner is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            wrapped = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950
            self._inner = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        return self._inner.decompress(data)


class _Brotli:
    """The two Brotli bindings name the same method differently."""

    def __init__(self, inner: Any) -> None:
        self._step = getattr(inner, "decompress", None) or inner.process

    def decompress(self, data: bytes) -> bytes:
        result: bytes = self._step(data)
        return result
