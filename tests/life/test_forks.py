"""An app that forks while calls are under way: each process settles its own, once, and none hangs."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmon.shim import ledger
from costmon.shim.recorder import Outcome, Recorder
from tests.harness.mock_server import mock_server
from tests.life.kit import TRACK, locked, run, settled
from tests.shim.battery import kit

HANG_S = 2.0


def test_eight_children_of_an_app_with_calls_in_flight(costmon_home: Path) -> None:
    """8 children forked in the middle of 50 calls make 100 each; all 850 are there, none twice."""
    recorder = Recorder(str(costmon_home))
    budget = kit.add_budget(costmon_home, 10**12)
    held = [recorder.admit(kit.priced(5)) for _ in range(50)]

    def work() -> int:
        for _ in range(100):
            kit.spend(recorder, 3)
        return recorder.drain(2)

    children = [kit.forked(work) for _ in range(8)]
    for one in held:
        assert one is not None
        recorder.settle(one, Outcome("ok", cost=4))
    assert [child() for child in children] == [0] * 8
    assert kit.period(costmon_home, budget)["spent"] == 50 * 4 + 800 * 3
    settled(costmon_home, 850, 50 * 4 + 800 * 3)
    recorder.ledger.close()


def test_what_waits_in_memory_at_a_fork_is_written_once(costmon_home: Path) -> None:
    """Settlements that a locked ledger kept in memory are in the parent and in all 8 children, and end as one each."""
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    held = [recorder.admit(kit.priced(5)) for _ in range(50)]

    def work() -> int:
        for _ in range(100):
            kit.spend(recorder, 3)
        return recorder.drain(2)

    with locked(costmon_home):
        for one in held:
            assert one is not None
            recorder.settle(one, Outcome("ok", cost=4), wait_s=0.0)
        assert len(recorder._spool) == 50  # the fault was there
        children = [kit.forked(work) for _ in range(8)]
    assert recorder.drain(2) == 0
    assert [child() for child in children] == [0] * 8
    settled(costmon_home, 851, 1 + 50 * 4 + 800 * 3)
    recorder.ledger.close()


def test_a_naive_queue_would_be_caught(costmon_home: Path) -> None:
    """Control: a logger that queues rows for a thread of its own loses them in every forked child."""
    code = """
import os, queue, sqlite3, sys, threading
path = os.environ["COSTMON_HOME"] + "-naive.db"
sqlite3.connect(path).execute("create table event (cost)")
waiting = queue.Queue()
def write():
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    while True:
        db.execute("insert into event values (?)", (waiting.get(),))
        waiting.task_done()
threading.Thread(target=write, daemon=True).start()
for _ in range(50): waiting.put(4)
waiting.join()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        for _ in range(100): waiting.put(3)
        os._exit(0)
    children.append(pid)
for pid in children: os.waitpid(pid, 0)
print(sqlite3.connect(path).execute("select count(*) from event").fetchone()[0])
"""
    status, out, err = run(costmon_home, code)
    assert (status, out.strip(), err) == (0, "50", "")  # of 850


def test_a_child_leaves_its_parents_call_alone(costmon_home: Path) -> None:
    """A child that forks off inside a tracked call and leaves it by sys.exit settles nothing; the parent does."""
    code = """
import os, sys, costmon
@costmon.track("x", cost_per_call="0.000000003", cost=lambda result: "0.000000004")
def call():
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return 1
call()
@costmon.track("x", cost_per_call="0.000000003", cost=lambda result: "0.000000004")
def parts():
    yield 1
    yield 2
    return 3
left = parts()
next(left)
pid = os.fork()
if pid == 0:
    del left
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert list(left) == [2]
"""
    status, _, err = run(costmon_home, code)
    assert (status, err) == (0, "")
    assert kit.rows(costmon_home, "select outcome, count(*) from event group by 1") == [("ok", 2)]
    settled(costmon_home, 2, 14)


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_a_child_leaves_its_parents_stream_alone(costmon_home: Path, ending: str) -> None:
    """A child forked while the parent reads a stream, which it drops, closes or leaves by an exit, settles nothing."""
    code = f"""
import os, sys, httpx, costmon
costmon.instrument(app="test")
BODY = {{"model": "gpt-4o", "stream": True, "stream_options": {{"include_usage": True}}, "max_tokens": 500,
        "messages": [{{"role": "user", "content": "hi"}}]}}
with httpx.Client(trust_env=False) as client:
    with client.stream("POST", sys.argv[1] + "/v1/chat/completions", json=BODY) as response:
        chunks = response.iter_raw()
        next(chunks)
        pid = os.fork()
        if pid == 0:
            {ending}
        assert os.waitpid(pid, 0)[1] == 0
        for chunk in chunks: pass
"""
    with mock_server() as server:
        status, _, err = run(costmon_home, code, server.base)
    assert (status, err) == (0, "")
    assert kit.rows(costmon_home, "select outcome, usage_status, count(*) from event group by 1, 2") == [
        ("ok", "reported", 1)
    ]


@contextmanager
def busy(*works: Callable[[], object]) -> Iterator[None]:
    """Threads that do nothing but take and give back a lock."""
    stop = threading.Event()

    def again(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def forks_under_pressure(home: Path, count: int) -> None:
    """Fork while other threads hold the log's, the ledger's and SQLite's locks; no child takes over 2 s."""
    recorder = Recorder(str(home))
    kit.spend(recorder, 1)
    spent = [0, 0]
    logger = logging.getLogger("costmon")
    foreign = sqlite3.connect(home.parent / "host.db", isolation_level=None, check_same_thread=False)
    foreign.execute("create table diary (text)")

    def spend(number: int) -> None:
        kit.spend(recorder, 1)
        spent[number] += 1

    def child() -> tuple[float, int]:
        began = time.monotonic()
        logger.warning("a child's line")
        kit.spend(recorder, 1000)
        return time.monotonic() - began, recorder.drain(2)

    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    try:
        with busy(
            lambda: spend(0),
            lambda: spend(1),
            lambda: logger.warning("a line"),
            lambda: foreign.execute("select count(*) from diary").fetchone(),
        ):
            took = [kit.forked(child)() for _ in range(count)]
    finally:
        logger.propagate = True
        foreign.close()
    assert recorder.drain(2) == 0
    assert max(seconds for seconds, _ in took) <= HANG_S
    assert {left for _, left in took} == {0}
    settled(home, 1 + sum(spent) + count, 1 + sum(spent) + 1000 * count)
    recorder.ledger.close()


@pytest.mark.slow
@pytest.mark.timeout(100)
def test_forks_while_locks_are_held(costmon_home: Path) -> None:
    """15 forks while other threads log, spend and query a database of their own: no child hangs, no call is lost."""
    forks_under_pressure(costmon_home, 15)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_forks_while_locks_are_held(costmon_home: Path) -> None:
    """The same 500 times."""
    forks_under_pressure(costmon_home, 500)


def test_a_fork_while_every_lock_of_ours_is_held(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread sits in the middle of a transaction for longer than a fork waits: the fork goes on without it."""
    monkeypatch.setattr(ledger, "FORK_WAIT_S", 0.2)
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    inside, go = threading.Event(), threading.Event()

    def long_write(db: sqlite3.Connection) -> None:
        inside.set()
        assert go.wait(20)

    def sit() -> None:
        recorder.ledger.write(long_write, 5)

    thread = threading.Thread(target=sit)
    thread.start()
    assert inside.wait(10)
    began = time.monotonic()
    child = kit.forked(lambda: (recorder.ledger._db is None, recorder._spool.clear(), os.getpid())[0])
    assert time.monotonic() - began < 1.0
    assert child() is True
    go.set()
    thread.join(10)
    kit.spend(recorder, 1)
    settled(costmon_home, 2, 2)
    recorder.ledger.close()


@pytest.mark.slow
def test_a_worker_that_ends_beside_a_locked_ledger_still_writes(costmon_home: Path) -> None:
    """multiprocessing's workers skip atexit: what a locked ledger kept in memory is written all the same when they end."""
    for method in ("fork", "spawn", "forkserver"):
        home = costmon_home / method
        code = (
            TRACK
            + f"""
import asyncio, multiprocessing, sqlite3, os, sys, threading, time
@costmon.track("x", cost_per_call="0.000000003")
async def call_async(): pass
def work(inside, go):
    call()
    inside.set()
    go.wait(20)
    asyncio.run(call_async())  # its settlement, or all of it, must wait: the ledger is locked
    inside.set()
if __name__ == "__main__":
    call()
    context = multiprocessing.get_context({method!r})
    inside, go = context.Event(), context.Event()
    worker = context.Process(target=work, args=(inside, go))
    worker.start()
    assert inside.wait(20)
    inside.clear()
    db = sqlite3.connect(os.environ["COSTMON_HOME"] + "/ledger.db", isolation_level=None)
    db.execute("begin immediate")
    go.set()
    assert inside.wait(20)
    time.sleep(0.2)
    db.execute("rollback")
    worker.join(20)
    assert worker.exitcode == 0
"""
        )
        status, _, err = run(home, code)
        assert status == 0, err
        settled(home, 3, 9)
