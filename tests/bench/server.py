"""A loopback provider in a process of its own that answers at once, so that what is measured is the client.

Standard library only, and no costmon: it is also run by the environments of other tools. A request with `"stream": true`
gets as many text chunks as its `"user"` says, each an HTTP chunk of its own, then usage.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INPUT, OUTPUT = 400, 100
_USAGE = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
_ids = itertools.count(1)


@contextmanager
def server() -> Iterator[str]:
    """Run it; yields its base URL."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


class _Provider(asyncio.Protocol):
    """One connection. Keep-alive, requests with a content-length, no pipelining."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if separator and len(rest) >= length:
            self._buffer = rest[length:]
            body = json.loads(rest[:length] or b"{}")
            self._transport.write(_stream(body) if body.get("stream") else _whole(body))  # type: ignore[attr-defined]


def _whole(body: dict[str, object]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hold"}, "finish_reason": "stop"}
    content = json.dumps(_document("chat.completion", body, next(_ids), [choice], usage=_USAGE)).encode()
    return _head("application/json") + b"content-length: %d\r\n\r\n%s" % (len(content), content)


def _stream(body: dict[str, object]) -> bytes:
    number = next(_ids)
    chunks = int(str(body.get("user") or 20))
    deltas = [{"index": 0, "delta": {"content": "hold on "}, "finish_reason": None}] * chunks
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    documents = [_document("chat.completion.chunk", body, number, [delta]) for delta in (*deltas, end)]
    documents.append(_document("chat.completion.chunk", body, number, [], usage=_USAGE))
    events = [f"data: {json.dumps(document)}\n\n".encode() for document in documents] + [b"data: [DONE]\n\n"]
    parts = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    return _head("text/event-stream") + b"transfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


def _head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nx-request-id: req-{next(_ids)}\r\n".encode()


def _document(
    kind: str, body: dict[str, object], number: int, choices: list[object], **more: object
) -> object:
    model = body.get("model", "")
    name = f"chatcmpl-{number}"
    return {"id": name, "object": kind, "created": 1795132900, "model": model, "choices": choices, **more}


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(_Provider, "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
