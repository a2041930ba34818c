"""A ledger many write at once: who waits gets its turn, and nobody spends from memory what a busy ledger could tell."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmon.errors import SpendBlocked
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit

PROCESSES, CALLS, AFFORDABLE = 20, 5, 30


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Other programs that want the processor all the time."""
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            signal.alarm(600)
            while True:
                pass
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def race(home: Path) -> tuple[int, float]:
    """20 new processes share a budget of 30 calls; returns how many went out, and the longest admission in s."""
    number = kit.add_budget(home, AFFORDABLE * 1000, mode="strict", at_95="warn")

    def app() -> tuple[int, float]:
        recorder = Recorder(str(home))
        passed, longest = 0, 0.0
        for _ in range(CALLS):
            began = time.monotonic()
            try:
                held = recorder.admit(kit.priced(1000))
            except SpendBlocked:
                continue
            finally:
                longest = max(longest, time.monotonic() - began)
            assert held is not None
            recorder.settle(held, Outcome("ok", cost=1000))
            passed += 1
        assert recorder.drain(5) == 0
        return passed, longest

    children = [kit.forked(app) for _ in range(PROCESSES)]
    found = [child() for child in children]
    passed = sum(one for one, _ in found)
    assert kit.period(home, number)["spent"] == passed * 1000
    kit.assert_sums_agree(home)
    return passed, max(longest for _, longest in found)


def test_new_processes_on_a_loaded_machine_share_one_budget(costmon_home: Path) -> None:
    """20 first contacts at once, the processor busy: exactly what the budget affords goes out."""
    with load(2):
        assert race(costmon_home)[0] == AFFORDABLE


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_rounds_of_that(tmp_path: Path) -> None:
    """The same 50 times, with twice the load."""
    with load(4):
        found = [race(tmp_path / str(number)) for number in range(50)]
    print(f"passed {[passed for passed, _ in found]}, longest admission {max(t for _, t in found):.2f} s")
    assert [passed for passed, _ in found] == [AFFORDABLE] * 50


def writers(home: Path, hold_s: float, stop: threading.Event) -> threading.Thread:
    """Somebody who writes without a pause, `hold_s` each time, and always gets the lock again at once."""
    begun = threading.Event()

    def work() -> None:
        db = kit.connect(home)
        while not stop.is_set():
            db.execute("begin immediate")
            db.execute("update setting set value = value where key = 'machine'")
            begun.set()
            time.sleep(hold_s)
            db.execute("commit")
            if hold_s < 1:
                time.sleep(0.002)
        db.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    return thread


def test_a_ledger_in_use_is_waited_for(costmon_home: Path) -> None:
    """Writers that leave gaps of 2 ms between 120 ms of work: the call waits for its turn, and is reserved."""
    kit.add_budget(costmon_home, 10**9)
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    stop = threading.Event()
    thread = writers(costmon_home, 0.12, stop)
    waits, written = [], 0
    try:
        for _ in range(4):
            began = time.monotonic()
            held = recorder.admit(kit.priced(1))
            waits.append(time.monotonic() - began)
            assert held is not None
            written += held.written
            recorder.settle(held, Outcome("ok", cost=1))
    finally:
        stop.set()
        thread.join(10)
    assert max(waits) <= 2.5
    assert max(waits) > 0.05  # the fault was there
    assert written >= 3
    recorder.ledger.close()


def test_a_ledger_somebody_sits_on_is_not_waited_for(costmon_home: Path) -> None:
    """Control: without any progress the wait ends after a quarter of a second."""
    kit.add_budget(costmon_home, 10**9)
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    stop = threading.Event()
    thread = writers(costmon_home, 1.5, stop)
    try:
        began = time.monotonic()
        held = recorder.admit(kit.priced(1))
        assert 0.2 <= time.monotonic() - began <= 0.6
        assert held is not None
        assert not held.written
    finally:
        stop.set()
        thread.join(10)
    recorder.ledger.close()


async def test_an_event_loop_runs_on_while_a_call_waits_for_its_turn(costmon_home: Path) -> None:
    """The longer wait is awaited: other tasks of the app never stand still for it."""
    kit.add_budget(costmon_home, 10**9)
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    stop = threading.Event()
    thread = writers(costmon_home, 0.12, stop)
    gaps: list[float] = []

    async def ticks() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    ticking = asyncio.create_task(ticks())
    try:
        for _ in range(3):
            held = await recorder.admit_async(kit.priced(1))
            assert held is not None
            recorder.settle(held, Outcome("ok", cost=1), wait_s=0.0)
    finally:
        ticking.cancel()
        stop.set()
        thread.join(10)
    assert sorted(gaps)[len(gaps) * 99 // 100] <= 0.1
    recorder.ledger.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_minute_of_lock_and_twenty_callers(costmon_home: Path) -> None:
    """Somebody sits on the ledger for 60 s: 20 apps call on, within 0.3 s each; reads go on; afterwards nothing is lost."""
    hold_s = 60.0
    number = kit.add_budget(costmon_home, 10**15)
    begun, over = costmon_home / "begun", costmon_home / "over"

    def holder() -> None:
        db = kit.connect(costmon_home)
        db.execute("begin immediate")
        begun.touch()
        time.sleep(hold_s)
        db.execute("rollback")
        db.close()
        over.touch()

    def app() -> tuple[int, list[float], list[float]]:
        recorder = Recorder(str(costmon_home))
        kit.spend(recorder, 1)
        calls, waits, settles = 1, [], []
        while not begun.exists():
            time.sleep(0.01)
        while not over.exists():
            began = time.monotonic()
            held = recorder.admit(kit.priced(10))
            waits.append(time.monotonic() - began)
            assert held is not None
            began = time.monotonic()
            recorder.settle(held, Outcome("ok", cost=10), wait_s=2.0 if calls == 5 else 0.0)
            settles.append(time.monotonic() - began)
            calls += 1
            time.sleep(0.5)
        assert recorder.drain(10) == 0
        return calls, waits, settles

    apps = [kit.forked(app) for _ in range(20)]
    time.sleep(1)
    holding = kit.forked(holder)
    while not begun.exists():
        time.sleep(0.01)
    reads = []
    reader = kit.connect(costmon_home)
    while not over.exists():
        began = time.monotonic()
        reader.execute("select count(*) from event").fetchone()
        reads.append(time.monotonic() - began)
        time.sleep(0.05)
    reader.close()
    holding()
    found = [child() for child in apps]
    waits = sorted(wait for _, all_waits, _ in found for wait in all_waits)
    settles = [settle for *_, all_settles in found for settle in all_settles]
    calls = sum(one for one, *_ in found)
    print(
        f"{calls} calls; admission median {waits[len(waits) // 2]:.3f}, p99 {waits[len(waits) * 99 // 100]:.3f}, "
        f"max {waits[-1]:.3f} s; settlement max {max(settles):.2f} s; read max {max(reads) * 1000:.1f} ms"
    )
    assert waits[len(waits) // 2] >= 0.2  # the fault was there
    assert waits[len(waits) * 99 // 100] <= 0.4
    assert max(settles) <= 2.5
    assert sorted(reads)[len(reads) * 99 // 100] <= 0.05
    assert kit.rows(costmon_home, "select count(*), count(distinct id) from event") == [(calls, calls)]
    assert kit.period(costmon_home, number)["reserved"] == 0
    kit.assert_sums_agree(costmon_home)
