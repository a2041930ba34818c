"""Calls broken off at every point where they wait, and streams that the collector finds at the worst moment."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest

import costmon
from costmon.shim import context, runtime
from costmon.shim.hooks.exchange import Exchange
from costmon.shim.recorder import Recorder
from costmon.shim.usage import Api
from costmon.shim.wire import Wire, call_of
from tests.harness import answers
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Reply, mock_server, sse
from tests.shim.battery import kit
from tests.shim.battery.test_bad_input import CHAT, STREAM, sdk, sdk_async


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="test")
    with mock_server() as running:
        yield running


def slow_stream() -> Reply:
    """A stream whose every chunk is a wait of its own."""
    return sse(answers.chat_events("gpt-4o-mini", include_usage=True), pause_s=0.001, delay_s=0.001)


class Stepped:
    """A coroutine whose task is cancelled at its `at`-th wait; `waits` counts them."""

    def __init__(self, work: Awaitable[Any], at: int) -> None:
        self._work = work
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._work.__await__()
        error: BaseException | None = None
        answer: Any = None
        while True:
            try:
                waited_for = inner.throw(error) if error is not None else inner.send(answer)
            except StopIteration as stop:
                return stop.value
            self.waits += 1
            if self.waits == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            error = None
            try:
                answer = yield waited_for
            except BaseException as caught:
                error = caught


async def by_sdk(base: MockServer) -> None:
    async with sdk_async(base) as client:
        async for _ in await client.chat.completions.create(**STREAM):
            pass


async def plain_by_sdk(base: MockServer) -> None:
    async with sdk_async(base) as client:
        await client.chat.completions.create(**CHAT)


async def by_httpx(base: MockServer) -> None:
    async with (
        httpx.AsyncClient(trust_env=False, verify=False) as client,
        client.stream("POST", base.base + "/v1/chat/completions", json=STREAM) as response,
    ):
        async for _ in response.aiter_bytes():
            pass


async def waiting_for_the_ledger(base: MockServer) -> None:
    """The same beside somebody who holds the ledger for 60 ms: admission itself waits."""
    db = kit.connect(runtime.recorder().ledger.home)
    db.execute("begin immediate")
    asyncio.get_running_loop().call_later(0.06, db.execute, "rollback")
    try:
        await by_httpx(base)
    finally:
        if db.in_transaction:
            db.execute("rollback")
        db.close()


def cancelled_everywhere(
    server: MockServer, home: Path, work: Callable[[MockServer], Awaitable[None]], most: int
) -> int:
    """Cancel `work` at its first wait, its second, and so on until it is through; returns how many points there were."""
    kit.connect(home).close()
    for point in range(1, most):
        server._plan.clear()
        if "plain" not in work.__name__:
            server.plan(slow_stream())
        before = len(events(home))
        unhandled: list[Any] = []

        async def main(point: int = point, unhandled: list[Any] = unhandled) -> tuple[bool, int]:
            asyncio.get_running_loop().set_exception_handler(lambda _, found: unhandled.append(found))
            stepped = Stepped(work(server), point)

            async def run() -> None:
                await stepped

            task = asyncio.ensure_future(run())
            try:
                await task
            except asyncio.CancelledError:
                assert task.cancelled()  # it passed through untouched
                return True, stepped.waits
            return False, stepped.waits

        cancelled, waits = asyncio.run(main())
        gc.collect()
        runtime.settle_abandoned()
        assert unhandled == []
        runtime.recorder().drain(2)
        found = events(home)[before:]
        assert len(found) <= 1, f"wait {point}"
        assert [event["state"] for event in found] == ["settled"] * len(found)
        assert rows(home, "select id from reservation") == [], f"wait {point}"
        if not cancelled:
            assert waits < point
            assert len(found) == 1
            return point - 1
    return most - 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_call_cancelled_wherever_it_waits(server: MockServer, costmon_home: Path) -> None:
    """At each of over forty waits of plain, streamed and waiting calls: one settlement at most, the cancellation passes."""
    number = kit.add_budget(costmon_home, 10**12)
    points = {
        work.__name__: cancelled_everywhere(server, costmon_home, work, 60)
        for work in (by_httpx, by_sdk, plain_by_sdk, waiting_for_the_ledger)
    }
    print(points)
    assert sum(points.values()) >= 40
    assert min(points.values()) >= 3
    assert kit.period(costmon_home, number)["reserved"] == 0
    kit.assert_sums_agree(costmon_home)


async def in_wait_for(server: MockServer) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(by_httpx(server), 0.05)


async def in_a_task_group(server: MockServer) -> None:
    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(by_httpx(server))
            group.create_task(fails())

    with pytest.raises(BaseExceptionGroup) as caught:
        await together()
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


async def in_anyio(server: MockServer) -> None:
    with anyio.move_on_after(0.05) as scope:
        await by_httpx(server)
    assert scope.cancelled_caught


async def left_running(server: MockServer) -> None:
    task = asyncio.create_task(by_httpx(server))
    await asyncio.sleep(0.05)
    assert not task.done()  # the loop ends and cancels it


@pytest.mark.parametrize("how", [in_wait_for, in_a_task_group, in_anyio, left_running])
def test_a_stream_cancelled_by_what_people_use(
    how: Callable[[MockServer], Awaitable[None]], server: MockServer, costmon_home: Path
) -> None:
    """wait_for, TaskGroup, anyio, and a loop that is closed early: one settlement, nothing reserved."""
    number = kit.add_budget(costmon_home, 10**12)
    server.plan(sse(answers.chat_events("gpt-4o-mini", include_usage=True), pause_s=0.05))

    async def main() -> None:
        await how(server)

    asyncio.run(main())
    runtime.settle_abandoned()
    runtime.recorder().drain(2)
    (event,) = events(costmon_home)
    assert event["state"] == "settled"
    assert event["cost"] >= 500 * 600  # at least its reservation: the provider bills it
    assert kit.period(costmon_home, number)["reserved"] == 0
    kit.assert_sums_agree(costmon_home)


# --- finalizers ---


class Answer:
    """What an app drops; in a ring with itself, so that only the collector finds it."""

    def __init__(self) -> None:
        self.ring = self


def begun(recorder: Recorder) -> Exchange:
    found = call_of(
        Wire("POST", "api.openai.com", None, "/v1/chat/completions", "", "application/json", BODY), {}, ""
    )
    assert found is not None
    assert isinstance(found[0], Api)
    exchange = Exchange(recorder, *found)
    exchange.admit()
    return exchange


BODY = b'{"model": "gpt-4o-mini", "max_tokens": 10, "stream": true, "messages": [{"role": "user", "content": "x"}]}'


def collected_in_the_ledger(home: Path, rounds: int) -> int:
    """Each round drops a stream that the collector finds inside the next call's own transaction."""
    kit.add_budget(home, 10**15)
    recorder = runtime.recorder()
    inside = 0
    reserve = recorder._transactions.reserve

    def collecting(*args: Any) -> Any:
        nonlocal inside
        inside += bool(gc.collect(0))
        return reserve(*args)

    recorder._transactions.reserve = collecting  # type: ignore[method-assign]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            exchange = begun(runtime.recorder())
            answer = Answer()
            exchange.streams(answer, 200, {"content-type": "text/event-stream"})
            exchange.feed(b"data: {}\n\n")
            watch = weakref.ref(answer)
            del answer, exchange
            assert watch() is not None
    finally:
        gc.enable()
    gc.collect()
    runtime.settle_abandoned()
    assert recorder.drain(2) == 0
    return inside


@pytest.mark.timeout(60)
def test_streams_collected_inside_our_own_transactions(costmon_home: Path) -> None:
    """500 streams whose finalizers run while this very thread holds the ledger: no deadlock, each settled once."""
    check_collected(costmon_home, 500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_of_them(costmon_home: Path) -> None:
    """The same 10,000 times."""
    check_collected(costmon_home, 10_000)


def check_collected(home: Path, rounds: int) -> None:
    inside = collected_in_the_ledger(home, rounds)
    assert inside >= rounds - 5  # the fault was there
    assert kit.rows(home, "select outcome, count(*), count(distinct id) from event group by outcome") == [
        ("dropped", rounds, rounds)
    ]
    assert kit.one(home, "select count(*) from reservation") == 0
    kit.assert_sums_agree(home)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(60)
def test_streams_collected_by_another_thread(server: MockServer, costmon_home: Path) -> None:
    """A thread that does nothing but collect garbage finishes the app's dropped streams; each is settled once."""
    kit.add_budget(costmon_home, 10**12)
    stop = threading.Event()

    def collect() -> None:
        while not stop.wait(0.001):
            gc.collect()

    gc.collect()
    gc.freeze()  # what the test runner itself has is no part of it, and makes every collection slow
    collector = threading.Thread(target=collect)
    collector.start()
    dropped, whole = 40, 20
    try:
        with sdk(server) as client:
            for number in range(dropped + whole):
                stream: openai.Stream[Any] | None = client.chat.completions.create(**STREAM)
                assert stream is not None
                if number % 3:
                    next(iter(stream))
                    ring: list[Any] = [stream]
                    ring.append(ring)
                else:
                    list(stream)
                stream = None
                ring = []
    finally:
        stop.set()
        collector.join(30)
        gc.unfreeze()
    gc.collect()
    runtime.recorder()
    assert runtime.recorder().drain(2) == 0
    found = rows(costmon_home, "select outcome, count(*) as calls from event group by outcome order by 1")
    assert sum(row["calls"] for row in found) == dropped + whole
    assert {row["outcome"] for row in found} <= {"dropped", "ok"}
    assert kit.one(costmon_home, "select count(*) from reservation") == 0
    kit.assert_sums_agree(costmon_home)
