"""The measured app: one tool against the plain SDK in one process, or its memory. Runs in the tool's own environment.

    python -m tests.bench.tool_app measure|memory TOOL BASE_URL

prints JSON. Of this project it needs the modules it imports here, and costmon itself only for the tool `costmon`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib import metadata
from typing import Any

from tests.bench import paired
from tests.bench.paired import MESSAGES, MODEL, PLAIN, Switchboard
from tests.bench.tools import TOOLS, Tool

CALLS, STREAMS, BATCHES, BLOCKS = 200, 40, 4, 10
CHUNKS = 60
EACH = 2  # calls of each of the 100 callers
TOOL = "tool"


def measure(tool: Tool, base: str) -> dict[str, Any]:
    """Samples of everything."""
    import openai

    board = Switchboard()
    board.remember(_classes())
    began = time.perf_counter()
    tool.start()
    started = time.perf_counter() - began
    patched = board.installed(TOOL)
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    own = _Litellm(base) if tool.name == "litellm" else None
    plain: Callable[[], object] = lambda: paired.chat(client)  # noqa: E731
    flow: Callable[[], object] = lambda: paired.stream(client, CHUNKS)  # noqa: E731
    calls = {PLAIN: plain, TOOL: own.chat if own else plain}
    streams = {PLAIN: flow, TOOL: own.stream if own else flow}
    return {
        "versions": {name: metadata.version(name) for name in map(_project, tool.packages)},
        "patched": patched,
        "init": started,
        "calls": paired.in_turn(board, calls, CALLS),
        "streams": paired.in_turn(board, streams, STREAMS, warm=5),
        "thousand": _thousand(board, calls),
        "callers": asyncio.run(_callers(board, base, own)),
    }


def memory(tool: Tool, base: str) -> dict[str, Any]:
    """Resident MB of a host with openai after 100 calls and 10 streams under the tool."""
    import openai

    tool.start()
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    own = _Litellm(base) if tool.name == "litellm" else None
    for _ in range(100):
        own.chat() if own else paired.chat(client)
    for _ in range(10):
        own.stream() if own else paired.stream(client, CHUNKS)
    return {"mb": paired.rss_mb()}


def _thousand(board: Switchboard, calls: dict[str, Callable[[], object]]) -> list[float]:
    """Seconds that 1,000 calls in a row take more than 1,000 plain ones, in blocks that take turns: clock, processor."""
    clock = processor = 0.0
    for block in range(BLOCKS):
        for mode, sign in ((PLAIN, -1), (TOOL, 1)) if block % 2 else ((TOOL, 1), (PLAIN, -1)):
            board.mode = mode
            began = time.perf_counter(), time.process_time()
            for _ in range(1000 // BLOCKS):
                calls[mode]()
            clock += sign * (time.perf_counter() - began[0])
            processor += sign * (time.process_time() - began[1])
    return [clock, processor]


async def _callers(board: Switchboard, base: str, own: _Litellm | None) -> paired.Samples:
    import openai

    async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="none", max_retries=0) as client:
        plain: Callable[[], Awaitable[object]] = lambda: paired.callers(client, EACH)  # noqa: E731
        ways = {PLAIN: plain, TOOL: own.callers if own else plain}
        return await paired.in_turn_async(board, ways, BATCHES)


class _Litellm:
    """The same calls through litellm, which is a client and no hook."""

    def __init__(self, base: str) -> None:
        self._asked = {
            "model": "openai/" + MODEL,
            "messages": MESSAGES,
            "max_tokens": 200,
            "api_base": base + "/v1",
            "api_key": "none",
            "num_retries": 0,
        }

    def chat(self) -> object:
        import litellm

        return litellm.completion(**self._asked)

    def stream(self) -> object:
        import litellm

        options = {"include_usage": True}
        asked = {**self._asked, "stream": True, "user": str(CHUNKS), "stream_options": options}
        return sum(1 for _ in litellm.completion(**asked))

    async def callers(self) -> None:
        import litellm

        async def caller() -> None:
            for _ in range(EACH):
                await litellm.acompletion(**self._asked)

        await asyncio.gather(*(caller() for _ in range(paired.CALLERS)))


def _project(requirement: str) -> str:
    """'openai' of 'openai<3'."""
    return requirement.partition("<")[0]


def _classes() -> Iterator[type]:
    """Whatever class of the SDK or of its HTTP client a tool could patch."""
    import openai.resources.chat.completions.completions as completions
    from openai import _base_client

    yield from (_base_client.SyncAPIClient, _base_client.AsyncAPIClient)
    yield from (completions.Completions, completions.AsyncCompletions)
    for name in ("httpx", "httpx2"):
        module = sys.modules.get(name)
        if module is not None:
            yield from (module.Client, module.AsyncClient, module.HTTPTransport, module.AsyncHTTPTransport)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _, what, name, url = sys.argv
    chosen = next(tool for tool in TOOLS if tool.name == name)
    out = os.dup(1)
    os.dup2(2, 1)  # what a tool prints is not ours
    found = {"measure": measure, "memory": memory}[what](chosen, url)
    os.write(out, json.dumps(found).encode())
    os._exit(0)  # no waiting for exporters that retry
