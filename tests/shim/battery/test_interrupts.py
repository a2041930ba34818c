"""Signals in the middle of our work: Ctrl-C at any instruction, handlers that make calls of their own."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from costmon.errors import SpendBlocked
from costmon.shim import booking
from costmon.shim import ledger as ledger_module
from costmon.shim.ledger import Ledger
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit


class Interrupted(BaseException):
    """What Ctrl-C raises, under a name of its own."""


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(100, method="thread")
def test_an_interrupt_anywhere_leaves_nothing_locked(costmon_home: Path, alarm: None) -> None:
    """Ctrl-C at 400 random instants of a call: the next call works, nothing stays locked, every sum agrees."""
    rng = random.Random(7)
    kit.add_budget(costmon_home, 10**12)
    recorder = Recorder(str(costmon_home))
    armed = fired = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal fired
        if armed:
            fired += 1
            raise Interrupted

    signal.signal(signal.SIGALRM, interrupt)
    kit.spend(recorder, 1)
    for _ in range(400):
        try:
            armed = 1
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 8e-4))
            for _ in range(6):
                kit.spend(recorder, 1)
            armed = 0
        except Interrupted:
            armed = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert fired > 100
    heal(recorder)
    other = Ledger(str(costmon_home))
    other.write(lambda db: db.execute("insert into setting values ('free', '1')"), 0.5)
    other.close()
    held = recorder.admit(kit.priced(1))
    assert held is not None
    assert held.written  # the process has not locked itself out of the ledger
    recorder.settle(held, Outcome("ok", cost=1))
    assert recorder.drain(2) == 0
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


@pytest.mark.timeout(60, method="thread")
def test_an_interrupt_at_every_line_of_a_call(costmon_home: Path) -> None:
    """The same, deterministically: an interrupt at the k-th line of our code, for every k."""
    kit.add_budget(costmon_home, 10**12)
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    lines = interrupted_at(recorder, 10**9)
    assert lines > 100
    for line in range(0, lines, 2):
        interrupted_at(recorder, line)
    heal(recorder)
    held = recorder.admit(kit.priced(1))
    assert held is not None
    assert held.written
    recorder.settle(held, Outcome("ok", cost=1))
    kit.assert_sums_agree(costmon_home)
    open_now = kit.one(costmon_home, "select count(*) from reservation")
    recorder.ledger.write_once(
        lambda db: db.execute("update reservation set owner = 'x:1:1:1', lease_until = 0")
    )
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, kit.now_us())) == open_now
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def heal(recorder: Recorder) -> None:
    """Two calls, the first of which may find a lock that an interrupt left behind."""
    for _ in range(2):
        held = recorder.admit(kit.priced(1))
        if held is not None:
            recorder.settle(held, Outcome("ok", cost=1), wait_s=0.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock left behind by an interrupt counts as stale after 20 ms instead of 5 s."""
    monkeypatch.setattr(ledger_module, "STALE_S", 0.02)


def interrupted_at(recorder: Recorder, line: int) -> int:
    """Make a call and raise at its `line`-th line of the shim; returns how many lines ran."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        if "/costmon/shim/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            count += 1
            if count == line:
                raise Interrupted
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        kit.spend(recorder, 1)
    except Interrupted:
        pass
    finally:
        sys.settrace(previous)
    return count


@pytest.mark.timeout(60, method="thread")
def test_a_signal_handler_may_make_calls(costmon_home: Path, alarm: None) -> None:
    """A handler that calls a metered API while the main program is inside the ledger waits a moment at most."""
    recorder = Recorder(str(costmon_home))
    made = [0, 0]
    longest = 0.0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal longest
        began = time.monotonic()
        held = recorder.admit(kit.priced(1))
        if held is not None:
            recorder.settle(held, Outcome("ok", cost=1), wait_s=0.0)
            made[1] += 1
        longest = max(longest, time.monotonic() - began)

    signal.signal(signal.SIGALRM, handler)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
        kit.spend(recorder, 1)
        made[0] += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert made[1] > 3
    assert longest < 1
    assert recorder.drain(2) == 0
    assert kit.one(costmon_home, "select count(*) from event where state = 'settled'") == sum(made)
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_limit_lowered_binds_the_next_call(costmon_home: Path) -> None:
    """`budget set` while the app runs: the very next call obeys, both ways, without a restart."""
    kit.add_budget(costmon_home, 1000, at_95="warn")
    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 500)
    for amount, passes in ((400, False), (5000, True), (500, False), (1000, True)):
        db = kit.connect(costmon_home)
        db.execute("update budget set amount = ?", (amount,))
        kit.put_setting(db, "generation", f"g{amount}")
        db.close()
        (costmon_home / "switch" / "all").unlink(missing_ok=True)
        if passes:
            kit.spend(recorder, 1)
        else:
            with pytest.raises(SpendBlocked) as caught:
                recorder.admit(kit.priced(1))
            assert caught.value.limit == amount
    recorder.ledger.close()
