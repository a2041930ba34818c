"""A loopback server for files that are fetched: good ones, broken ones, endless ones, and none at all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Page:
    """What to answer: `body` as often as `times`; `hang` sends the head and nothing more until the server stops;
    `cut` promises more than it sends; `pause_s` lies between the times."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    hang: bool = False
    cut: bool = False
    told_length: bool = True
    pause_s: float = 0.0


class Feed:
    """`url` is the file's address, `requests` the paths that were asked for."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.pages: deque[Page] = deque()
        self.sent = 0
        self.ending = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_port}/file"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def will(self, *pages: Page) -> None:
        """Answer with these, in order; the last one again and again."""
        self.pages.extend(pages)

    def stop(self) -> None:
        self.ending.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


@contextmanager
def feed(*pages: Page) -> Iterator[Feed]:
    server = Feed()
    server.will(*pages)
    try:
        yield server
    finally:
        server.stop()


def _handler(owner: Feed) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            owner.requests.append(self.path)
            page = owner.pages.popleft() if len(owner.pages) > 1 else owner.pages[0]
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.told_length:
                self.send_header("Content-Length", str(len(page.body) * page.times + page.cut))
            self.end_headers()
            if page.hang:
                owner.ending.wait(30)
                return
            try:
                for _ in range(page.times):
                    self.wfile.write(page.body)
                    owner.sent += len(page.body)
                    owner.ending.wait(page.pause_s)
            except OSError:
                pass  # whoever has enough hangs up

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler
