"""A loopback server for what an ordinary mock lacks: content codings, chunk timing, broken and malformed answers.

It answers like OpenAI and Anthropic (`answers.py`) unless a test plans replies. What reached it is in `received`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.harness import answers

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send back.

    Args:
        chunks: the body; each part is one HTTP chunk, flushed by itself. A single part without `chunked` goes with its
            length.
        pause_s: seconds between chunks.
        gate: each chunk after the first waits until the app lets it through (`gate.set()`).
        delay_s: seconds before the first byte of the answer.
        until_close: send neither a length nor chunks; the end of the connection is the end of the body.
        cut: break the connection instead of ending the body.
        hang_up: read the request, then close without a byte.
    """

    chunks: Sequence[bytes] = ()
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    pause_s: float = 0.0
    gate: threading.Event | None = None
    delay_s: float = 0.0
    cut: bool = False
    hang_up: bool = False
    until_close: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request that reached the server, with its body: as JSON ({} when it is none) and as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes = b""


Answer = Callable[[Received], Reply]


class MockServer:
    """`base` is what Anthropic's SDK takes as base URL; OpenAI's takes `base + "/v1"`."""

    def __init__(self, answer: Answer) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._answer = answer
        self._plan: deque[Reply] = deque()
        self._lock = threading.Lock()
        self._http = _Server(self)
        self.base = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def plan(self, *replies: Reply) -> None:
        """The next requests get these replies, in order, then the usual answers again."""
        self._plan.extend(replies)

    def reply_to(self, received: Received) -> Reply:
        with self._lock:
            self.received.append(received)
            return self._plan.popleft() if self._plan else self._answer(received)

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


def usual(received: Received) -> Reply:
    """The answer a provider would give."""
    if received.body.get("stream"):
        return sse(answers.events(received.path, received.body))
    return json_reply(answers.document(received.path, received.body))


def json_reply(document: object, status: int = 200, **more: Any) -> Reply:
    return Reply([json.dumps(document, ensure_ascii=False).encode()], status, **more)


def sse(events: Sequence[bytes], **more: Any) -> Reply:
    """A stream of server-sent events, one HTTP chunk each."""
    return Reply(events, content_type="text/event-stream; charset=utf-8", chunked=True, **more)


@contextmanager
def mock_server(answer: Answer = usual) -> Iterator[MockServer]:
    server = MockServer(answer)
    try:
        yield server
    finally:
        server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: MockServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """An app that goes away is what these tests do all the time."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0

    def setup(self) -> None:
        super().setup()
        self.server.owner.connected()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        received = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, _parsed(raw), raw)
        self._send(self.server.owner.reply_to(received))

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.delay_s)
        if reply.hang_up:
            self.close_connection = True
            return
        self._send_head(reply)
        for number, part in enumerate(reply.chunks):
            if number:
                time.sleep(reply.pause_s)
                if reply.gate is not None:
                    reply.gate.wait(_PATIENCE_S)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if reply.chunked else part)
        if reply.cut or reply.until_close:
            self.close_connection = True
        elif reply.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("x-request-id", "req-loopback")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.until_close:
            self.send_header("Connection", "close")
        elif reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(sum(map(len, reply.chunks)) + reply.cut))
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The same in every run, so that whole answers can be compared."""
        return "Sat, 21 Nov 2026 00:00:00 GMT"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
