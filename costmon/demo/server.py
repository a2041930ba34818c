"""The made-up API: answers like OpenAI's chat completions (plain and streamed) and Anthropic's messages.

It listens on 127.0.0.1 alone, on a port the system picks, and knows its callers by their key (`Bearer demo-trader`).
Usage is honest: a token is four characters, of the prompt as received and of the answer as sent.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

CHUNKS = 8
_WORDS = (
    "the market moved a little and the answer is that nobody knows what it will do next so ask again later "
)


class Ask(NamedTuple):
    """A request as the vendor sees it; `provider` is 'openai' or 'anthropic'."""

    app: str
    provider: str
    model: str
    prompt_tokens: int
    max_tokens: int
    stream: bool


class Answer(NamedTuple):
    """What to answer: so many tokens after so many seconds; or a failure, when `status` is not 200."""

    tokens: int
    seconds: float
    status: int = 200


Vendor = Callable[[Ask], Answer]


class DemoServer:
    """Serves `vendor`'s answers in threads of this process until `close`."""

    def __init__(self, vendor: Vendor) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(vendor))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.05,), name="demo-server", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news, and nothing may be printed over the screen."""


def _handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        answer_of = staticmethod(vendor)

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120
    answer_of: Vendor

    def do_POST(self) -> None:
        size = self.headers.get("content-length", "")
        body = self.rfile.read(int(size)) if size.isdigit() and int(size) <= 1_000_000 else b""
        ask = read_ask(self.path, self.headers.get("authorization", ""), body)
        if ask is None:
            self._send(404, {"error": {"message": "the demo knows chat completions and messages only"}})
            return
        answer = self.answer_of(ask)
        if ask.stream and answer.status == 200:
            self._stream(ask, answer)
            return
        time.sleep(answer.seconds)
        self._send(answer.status, document(ask, answer))

    def log_message(self, *_: Any) -> None:
        """Nothing: the screen is not ours."""

    def _send(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.send_header("x-request-id", f"req-demo-{uuid.uuid4().hex[:16]}")
        if status == 429:
            self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def _stream(self, ask: Ask, answer: Answer) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-request-id", f"req-demo-{uuid.uuid4().hex[:16]}")
        self.end_headers()
        for event in events(ask, answer):
            raw = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
            self.wfile.flush()
            time.sleep(answer.seconds / (CHUNKS + 3))
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def read_ask(path: str, authorization: str, body: bytes) -> Ask | None:
    """The call in a request, or None when it is not one the demo answers."""
    provider = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}.get(path)
    try:
        document = json.loads(body)
        prompt = "".join(message["content"] for message in document["messages"])
        model, most = str(document["model"]), int(document.get("max_tokens") or 256)
        stream = provider == "openai" and document.get("stream") is True
    except (ValueError, KeyError, TypeError):
        return None
    if provider is None:
        return None
    app = authorization.removeprefix("Bearer ").removeprefix("demo-")
    return Ask(app, provider, model, tokens_of(prompt), max(1, most), stream)


def document(ask: Ask, answer: Answer) -> dict[str, Any]:
    """A whole response, or an error, in the words of the API asked."""
    if answer.status != 200:
        kind = "rate_limit_error" if answer.status == 429 else "server_error"
        return {"type": "error", "error": {"type": kind, "message": f"a simulated {answer.status}"}}
    text, number = text_of(answer.tokens), uuid.uuid4().hex
    if ask.provider == "anthropic":
        usage = {"input_tokens": ask.prompt_tokens, "output_tokens": tokens_of(text)}
        content = [{"type": "text", "text": text}]
        start = {"id": f"msg_demo_{number}", "type": "message", "role": "assistant", "model": ask.model}
        return {**start, "content": content, "stop_reason": "end_turn", "usage": usage}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": f"chatcmpl-demo-{number}", "object": "chat.completion", "model": ask.model}
    return {**head, "choices": [choice], "usage": _usage(ask, text)}


def events(ask: Ask, answer: Answer) -> Iterator[str]:
    """The data of a chat completion's server-sent events, with the usage in the last one before [DONE]."""
    text = text_of(answer.tokens)
    step = -(-len(text) // CHUNKS)
    head = {"id": f"chatcmpl-demo-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "model": ask.model}
    for start in range(0, len(text), step):
        delta = {"index": 0, "delta": {"content": text[start : start + step]}, "finish_reason": None}
        yield json.dumps({**head, "choices": [delta]})
    yield json.dumps({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield json.dumps({**head, "choices": [], "usage": _usage(ask, text)})
    yield "[DONE]"


def tokens_of(text: str) -> int:
    """Four characters are a token."""
    return -(-len(text) // 4)


def text_of(tokens: int) -> str:
    """A text of exactly so many tokens."""
    return (_WORDS * (tokens * 4 // len(_WORDS) + 1))[: tokens * 4]


def _usage(ask: Ask, text: str) -> dict[str, int]:
    output = tokens_of(text)
    total = ask.prompt_tokens + output
    return {"prompt_tokens": ask.prompt_tokens, "completion_tokens": output, "total_tokens": total}
