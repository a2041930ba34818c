"""What urllib3 is made of: the request's bytes, the answer's file, its decoders. Loaded by the first metered call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from costmon.shim.faults import guarded
from costmon.shim.hooks.exchange import Exchange, facts
from costmon.shim.hooks.exchange import begin as begin_wire
from costmon.shim.wire import Wire

_DEFAULT_PORTS = (80, 443)
_CONNECTS = frozenset({"connect", "_validate_conn"})


def split(url: str, pool: Any) -> tuple[str, int | None, str]:
    """(host, port, path with query) of a whole address; what it lacks is the pool's."""
    parts = urlsplit(url)
    target = parts.path or "/"
    return parts.hostname or pool.host, parts.port, f"{target}?{parts.query}" if parts.query else target


def begin(
    method: str, host: str, port: int | None, path: str, query: str, body: Any, headers: Mapping[str, str]
) -> Exchange | None:
    """The exchange of a metered call, None when the request is none after all."""
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    port = None if port in _DEFAULT_PORTS else port
    return begin_wire(Wire(method.upper(), host.strip("[]"), port, path, query, _text(kind), _bytes(body)))


def follow(response: Any, exchange: Exchange) -> None:
    """Tell `exchange` of the answer: whole when urllib3 has read it already, else as it is read from the connection.

    `response` is urllib3's own in version 2 and http.client's in version 1.
    """
    status, headers = response.status, facts(response.headers, exchange)
    plain = getattr(response, "_original_response", response)
    if getattr(plain, "fp", None) is None:
        _read_already(response, status, headers, exchange)
        return
    body = _Body(plain.fp, exchange, chunked=plain.chunked is True, length=plain.length)
    exchange.streams(body, status, headers)
    plain.fp = body
    if plain.length == 0:
        exchange.end()


def connecting(error: BaseException, handled: BaseException | None) -> bool:
    """Whether `error` came while the connection was still being made, so that nothing of the request was sent.

    urllib3 wraps errors, so it looks at what caused them too, up to the one that was being `handled` when it began.
    """
    found: BaseException | None = error
    for _ in range(8):
        if found is None or found is handled:
            return False
        trace = found.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name in _CONNECTS:
                return True
            trace = trace.tb_next
        found = found.__cause__ or found.__context__
    return False


def _read_already(response: Any, status: int, headers: dict[str, str], exchange: Exchange) -> None:
    """With `preload_content`, and over HTTP/2; `data` is decoded unless the app wanted it as it came."""
    content = getattr(response, "data", None) or b""
    if getattr(response, "decode_content", True):
        exchange.whole(status, headers, content)
    else:
        exchange.streams(response, status, headers)
        exchange.feed(content)
        exchange.end()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes | None:
    """The body when it is there already; a file or an iterator is the app's to read."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    return None


class _Body:
    """The file of a connection from which http.client and urllib3 read one answer's body, framing included.

    Every byte is passed on untouched; those of the body also go to the exchange. The answer ends with its length or its
    last chunk; a connection that ends before is an error of the answer.
    """

    def __init__(self, inner: Any, exchange: Exchange, *, chunked: bool, length: int | None) -> None:
        self._inner = inner
        self._exchange = exchange
        self._left = length
        self._chunks = Chunks() if chunked else None

    def read(self, amount: int | None = -1) -> bytes:
        data: bytes = self._told(self._inner.read, amount)
        short = amount is None or amount < 0 or len(data) < amount
        guarded("follow a response", self._tell, data, short)
        return data

    def read1(self, amount: int = -1) -> bytes:
        data: bytes = self._told(self._inner.read1, amount)
        guarded("follow a response", self._tell, data, not data and amount != 0)
        return data

    def readline(self, amount: int | None = -1) -> bytes:
        data: bytes = self._told(self._inner.readline, amount)
        guarded("follow a response", self._tell, data, not data and amount != 0)
        return data

    def readinto(self, buffer: Any) -> int:
        count: int = self._told(self._inner.readinto, buffer)
        guarded(
            "follow a response", self._tell, bytes(memoryview(buffer)[:count]), not count and len(buffer) > 0
        )
        return count

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._exchange.closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _told(self, read: Callable[..., Any], argument: Any) -> Any:
        """What `read` returns; the exchange learns of what it raises."""
        try:
            return read(argument)
        except BaseException as error:
            self._exchange.raised(error)
            raise

    def _tell(self, data: bytes, at_end: bool) -> None:
        """`at_end`: the connection has no more bytes."""
        if self._chunks is not None:
            for part in self._chunks.take(data):
                self._exchange.feed(part)
            complete = self._chunks.done
        elif self._left is None:
            self._exchange.feed(data)
            complete = at_end
        else:
            self._exchange.feed(data)
            self._left -= len(data)
            complete = self._left <= 0
        if complete:
            self._exchange.end()
        elif at_end:
            self._exchange.raised(EOFError())


_HEX = frozenset(b"0123456789abcdefABCDEF")


class Chunks:
    """Takes the chunked framing (RFC 9112, 7.1) off a body that comes in pieces cut anywhere. `done`: the last one came."""

    def __init__(self) -> None:
        self.done = False
        self._garbled = False
        self._line = bytearray()
        self._left = 0
        self._after = 0  # bytes of the line end behind a chunk's data that are still to come

    def take(self, data: bytes) -> list[bytes]:
        """The parts of the body in the next `data`."""
        found, at = [], 0
        while at < len(data) and not self.done and not self._garbled:
            if self._left:
                part = data[at : at + self._left]
                found.append(part)
                self._left -= len(part)
                at += len(part)
                self._after = 0 if self._left else 2
            elif self._after:
                step = min(self._after, len(data) - at)
                self._after -= step
                at += step
            else:
                stop = data.find(b"\n", at) + 1
                self._line += data[at : stop or len(data)]
                at = stop or len(data)
                if stop:
                    self._size()
        return found

    def _size(self) -> None:
        text = bytes(self._line).partition(b";")[0].strip()
        self._line.clear()
        self._garbled = not text or not _HEX.issuperset(text)  # int() would also take signs and underscores
        if not self._garbled:
            self._left = int(text, 16)
            self.done = self._left == 0
