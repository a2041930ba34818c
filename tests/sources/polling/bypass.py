"""An app that bypasses the shim: it speaks HTTP over a plain socket, and the provider bills it all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tests.sources.providers.fake import Answer, Fake, Request
from tests.sources.providers.fake.bill import Bill

_APP = """
import socket, sys
host, port, path, body = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4].encode()
with socket.create_connection((host, port)) as connection:
    head = f"POST {path} HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n"
    connection.sendall(head.encode() + body)
    while connection.recv(65536):
        pass
"""


@dataclass
class Selling:
    """A fake provider whose models can be called: `POST /chat/completions` costs what its body says, in dollars."""

    fake: Fake

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.method != "POST" or not request.path.endswith("/chat/completions"):
            return self.fake.answer(request, bill, now)
        body = json.loads(request.body)
        tokens = int(body.get("tokens", 1000))
        bill.spend(
            now.date(),
            body["dollars"],
            body["model"],
            project="proj_bot",
            key="key_bot",
            input_tokens=tokens,
            output_tokens=1,
        )
        return Answer({"model": body["model"], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fake, name)


def spend(url: str, dollars: str, model: str) -> None:
    """Run the app once, in a process without costmon; it spends `dollars` at the provider that listens at `url`."""
    parts = urlsplit(url)
    body = json.dumps({"model": model, "dollars": dollars})
    where = (str(parts.hostname), str(parts.port), f"{parts.path}/chat/completions")
    subprocess.run([sys.executable, "-S", "-c", _APP, *where, body], check=True, timeout=30)
