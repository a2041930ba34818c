"""Apps that make calls, catch every error, and go on. Also a program of its own:

    python callers.py BASE_URL COUNT

makes COUNT calls under costmon and prints how many were answered.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from typing import Any

import openai

from tests.guard_cases.provider import MODEL, OUTPUT, PROMPT

ASKED: dict[str, Any] = {"model": MODEL, "messages": PROMPT, "max_tokens": OUTPUT}
Ends = Counter[str]


def sequential(base: str, count: int, **asked: Any) -> Ends:
    """`count` calls, one after the other; how each ended: 'ok' or the name of the error."""
    ends: Ends = Counter()
    with _client(base) as client:
        for _ in range(count):
            ends[_end(client, asked)] += 1
    return ends


def threads(base: str, count: int, **asked: Any) -> Ends:
    """`count` calls at once, each in a thread of its own."""
    ends: list[str] = []
    start = threading.Barrier(count)

    def caller(client: openai.OpenAI) -> None:
        start.wait()
        ends.append(_end(client, asked))

    with _client(base) as client:
        running = [threading.Thread(target=caller, args=(client,)) for _ in range(count)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    return Counter(ends)


def tasks(base: str, count: int, **asked: Any) -> Ends:
    """`count` calls at once on one event loop."""

    async def caller(client: openai.AsyncOpenAI) -> str:
        try:
            await client.chat.completions.create(**{**ASKED, **asked})
        except Exception as error:
            return type(error).__name__
        return "ok"

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="k", timeout=60) as client:
            return await asyncio.gather(*(caller(client) for _ in range(count)))

    return Counter(asyncio.run(run()))


def streams(base: str, count: int, *, drop: bool = False) -> Ends:
    """`count` streams, one after the other, read to the end or dropped after the first text. No usage is asked for."""
    ends: Ends = Counter()
    with _client(base) as client:
        for _ in range(count):
            try:
                stream = client.chat.completions.create(**ASKED, stream=True)
                for chunk in stream:
                    if drop and chunk.choices[0].delta.content:
                        stream.close()
                        break
                ends["ok"] += 1
            except Exception as error:
                ends[type(error).__name__] += 1
    return ends


def _end(client: openai.OpenAI, asked: dict[str, Any]) -> str:
    try:
        client.chat.completions.create(**{**ASKED, **asked})
    except Exception as error:
        return type(error).__name__
    return "ok"


def _client(base: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base + "/v1", api_key="k", timeout=60)


def main(base: str, count: str) -> None:
    import costmon

    costmon.instrument(app="trader")
    print(sequential(base, int(count))["ok"])


if __name__ == "__main__":
    main(*sys.argv[1:])
