"""Clients inside clients are counted once; nothing an interrupt or a task leaves behind makes the shim blind."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.harness.events import events
from tests.harness.mock_server import MockServer
from tests.hooks.clients import CHAT, LIBRARIES, NAMES, post

pytestmark = pytest.mark.usefixtures("watched")
PATH = "/v1/chat/completions"


@pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
def test_a_client_that_sends_through_another_is_one_call(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """A transport that uses a client of its own does not make one call count twice."""

    class Through(library.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            return inner.send(request)

    with library.Client() as inner, library.Client(transport=Through()) as outer:
        assert outer.post(server.base + PATH, json=CHAT).status_code == 200
    assert len(server.received) == len(events(home)) == 1


async def test_a_task_born_inside_a_call_is_watched(server: MockServer, home: Path) -> None:
    """A worker that a request hook starts makes calls of its own; each of them is recorded."""
    tasks: list[asyncio.Task[httpx.Response]] = []

    async def hook(_: httpx.Request) -> None:
        if not tasks:
            tasks.extend(asyncio.create_task(client.post(server.base + PATH, json=CHAT)) for _ in range(3))

    async with httpx.AsyncClient(event_hooks={"request": [hook]}) as client:
        await client.post(server.base + PATH, json=CHAT)
        await asyncio.gather(*tasks)
    assert len(server.received) == len(events(home)) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # an interrupted client leaves its own sockets and files open
def test_interrupts_never_make_the_shim_blind(server: MockServer, home: Path) -> None:
    """However often Ctrl-C lands inside a call, the next call is recorded."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003 + number * 0.00004)
                post(httpx, server.base)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.collect()
    assert interrupted > 20, "the interrupts came too late to test anything"
    seen = len(server.received)
    with httpx.Client() as client:
        for _ in range(3):
            client.post(server.base + PATH, json={**CHAT, "model": "after-the-storm"})
    assert len(server.received) == seen + 3
    assert len([event for event in events(home) if event["model"] == "after-the-storm"]) == 3
