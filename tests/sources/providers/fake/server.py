"""One fake provider on a loopback port, with a journal of what it was asked and faults on demand."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.sources.providers.fake import Answer, Fake, Request
from tests.sources.providers.fake.bill import Bill

Fault = Answer | Callable[[BaseHTTPRequestHandler], None]


class Server:
    """`with Server(FAKE, bill) as server:` serves at `server.url`.

    `faults`: each is used up by one request: an Answer sent instead, or a function that does what it likes to the
    connection (`handler.wfile`, `handler.connection`). `journal` has every request.
    """

    def __init__(self, fake: Fake, bill: Bill | None = None, now: datetime | None = None) -> None:
        self.fake = fake
        self.bill = bill or Bill()
        self.now = now or datetime.now(UTC)
        self.journal: list[Request] = []
        self.faults: deque[Fault] = deque()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # header and body are two writes: else 40 ms a request

            def do_GET(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = parse_qsl(parts.query, keep_blank_values=True)
                request = Request(self.command, parts.path, query, headers, self.rfile.read(size))
                server.journal.append(request)
                fault = server.faults.popleft() if server.faults else None
                if callable(fault) and not isinstance(fault, Answer):
                    self.close_connection = True
                    fault(self)
                    return
                self.send(fault or server.fake.answer(request, server.bill, server.now))

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

            def send(self, answer: Answer) -> None:
                body = answer.body if isinstance(answer.body, bytes) else dumps(answer.body)
                self.send_response(answer.status)
                headers = {
                    "content-type": "application/json",
                    "content-length": str(len(body)),
                    **answer.headers,
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that leaves early is what many tests are about."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


def dumps(value: Any) -> bytes:
    """JSON in which a Decimal is a number with all its digits."""
    return _spell(value).encode()


def _spell(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_spell(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_spell, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)
