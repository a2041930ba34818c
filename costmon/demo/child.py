"""What both apps of the demo share: simulated time, the made-up API over plain httpx, and an end with the parent.

Each app is an ordinary program: it calls `costmon.instrument()` and catches `SpendBlocked`; nothing else is special.
"""

from __future__ import annotations

import json
import os
import sys
import time
from threading import Thread
from typing import Any

from costmon import paths
from costmon.demo.home import clock_rate
from costmon.shim.clock import clock_of

MINUTE_US = 60_000_000
URL = "COSTMON_DEMO_URL"


def end_with_parent() -> None:
    """Exit at once when the parent does, however it ends: its death closes our standard input."""

    def wait() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        os._exit(0)

    Thread(target=wait, name="parent", daemon=True).start()


class SimulatedTime:
    """The clock of the demo's home, and sleeping by it."""

    def __init__(self) -> None:
        home = paths.state_home()
        self.now = clock_of(home)
        self._rate = clock_rate(home)

    def sleep_until(self, at: int) -> None:
        """Sleep until `at` (µs); a moment that is past returns at once."""
        time.sleep(max(0.0, (at - self.now()) / 1e6 / self._rate))

    def sleep(self, minutes: float) -> None:
        """Sleep so many simulated minutes."""
        time.sleep(minutes * 60 / self._rate)

    def next_multiple(self, minutes: int) -> int:
        """The next instant that is a whole number of `minutes` into the day, in µs."""
        step = minutes * MINUTE_US
        return (self.now() // step + 1) * step


class Vendor:
    """The made-up API as the app `app` sees it. Every call may raise SpendBlocked or httpx.HTTPError."""

    def __init__(self, app: str) -> None:
        # Imported here: the app has called instrument() by now, as any app should before its HTTP client.
        import httpx

        self._http = httpx.Client(
            headers={"authorization": f"Bearer demo-{app}"}, timeout=30, trust_env=False
        )
        self._url = os.environ[URL]

    def chat(self, model: str, prompt: str, max_tokens: int) -> int:
        """A plain chat completion; returns the status code."""
        return self._post("/chat/completions", _body(model, prompt, max_tokens))

    def message(self, model: str, prompt: str, max_tokens: int) -> int:
        """An Anthropic message; returns the status code."""
        return self._post("/messages", _body(model, prompt, max_tokens))

    def stream(self, model: str, prompt: str, max_tokens: int) -> int:
        """A streamed chat completion, read to its end; returns the status code."""
        body = {**_body(model, prompt, max_tokens), "stream": True, "stream_options": {"include_usage": True}}
        with self._http.stream("POST", f"{self._url}/chat/completions", json=body) as response:
            for _ in response.iter_lines():
                pass
            return response.status_code

    def _post(self, path: str, body: dict[str, Any]) -> int:
        return self._http.post(self._url + path, json=body).status_code


def say(kind: str, text: str) -> None:
    """Tell the stage: `kind` is 'ok', 'failed' or 'refused'."""
    sys.stdout.write(json.dumps({"kind": kind, "text": text}) + "\n")
    sys.stdout.flush()


def _body(model: str, prompt: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": prompt}],
    }
