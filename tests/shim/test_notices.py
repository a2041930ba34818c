"""Notices: repeats are one row, and telling costs the app a moment at most."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from costmon.errors import LedgerUnusable
from costmon.shim import notices
from costmon.shim.ledger import Ledger
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit


@pytest.fixture
def ledger(costmon_home: Path) -> Ledger:
    made = Recorder(str(costmon_home)).ledger
    made.write(lambda db: None, 5.0)
    return made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the quiet minute pass."""

    def pass_a_minute() -> None:
        for key in notices._written:
            notices._written[key] -= notices.QUIET_S

    return pass_a_minute


def rows(home: Path) -> list[Any]:
    return kit.rows(home, "select kind, subject, app, detail, calls from notice order by 1, 2, 3")


def test_a_notice_is_in_the_ledger_at_once(costmon_home: Path, ledger: Ledger) -> None:
    """The first of its kind does not wait for anything."""
    assert notices.note(ledger, "prompt", "gpt-4o", "bot", "120,000 tokens") is True
    assert rows(costmon_home) == [("prompt", "gpt-4o", "bot", "120,000 tokens", 1)]
    first, last, day = kit.rows(costmon_home, "select first_at, last_at, day_at from notice")[0]
    assert day <= first == last <= kit.now_us()
    assert day % kit.DAY_US == 0


def test_repeats_fold_into_one_row(costmon_home: Path, ledger: Ledger, later: Any) -> None:
    """A loop of a thousand huge prompts is one row that counts them, written twice, not a thousand times."""
    writes: list[int] = []
    real = ledger.write_once
    ledger.write_once = lambda work, *more: (writes.append(1), real(work, *more))[1]  # type: ignore[method-assign]
    for number in range(1000):
        notices.note(ledger, "prompt", "gpt-4o", "bot", f"{number} tokens")
    later()
    notices.note(ledger, "prompt", "gpt-4o", "bot", "the last")
    assert rows(costmon_home) == [("prompt", "gpt-4o", "bot", "the last", 1001)]
    assert len(writes) == 2


def test_subjects_and_apps_have_rows_of_their_own(costmon_home: Path, ledger: Ledger) -> None:
    """What is told apart by kind, subject or app stays apart; only the same kind and subject share the quiet minute."""
    for kind, subject, app in (
        ("unseen", "h", "a"),
        ("prompt", "h", "a"),
        ("unseen", "g", "a"),
        ("unseen", "h", "b"),
    ):
        notices.note(ledger, kind, subject, app, "")
    notices.flush(ledger)
    assert [row[:3] for row in rows(costmon_home)] == [
        ("prompt", "h", "a"), ("unseen", "g", "a"), ("unseen", "h", "a"), ("unseen", "h", "b"),
    ]  # fmt: skip


def test_a_busy_ledger_gets_it_later(costmon_home: Path, ledger: Ledger, later: Any) -> None:
    """While another process writes, a notice waits for 10 ms, not longer, and is not lost."""
    locker = kit.connect(costmon_home)
    locker.execute("begin immediate")
    began = time.monotonic()
    assert notices.note(ledger, "breaker", "openai", "bot", "5 failures") is False
    assert time.monotonic() - began < 0.1
    locker.execute("rollback")
    locker.close()
    later()
    assert notices.note(ledger, "breaker", "openai", "bot", "6 failures") is True
    assert rows(costmon_home) == [("breaker", "openai", "bot", "6 failures", 2)]


def test_exit_writes_what_waits(costmon_home: Path) -> None:
    """What fell into the quiet minute of a short-lived app is in the ledger when it has ended."""
    code = """
from costmon.shim import notices, runtime
ledger = runtime.recorder().ledger
for _ in range(7):
    notices.note(ledger, "prompt", "gpt-4o", "bot", "x")
"""
    done = kit.python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(costmon_home) == [("prompt", "gpt-4o", "bot", "x", 7)]


def test_a_day_has_its_own_row(costmon_home: Path, ledger: Ledger, later: Any) -> None:
    """After midnight it is told anew."""
    day = kit.now_us() // kit.DAY_US * kit.DAY_US
    for at in (day + 5, day + kit.DAY_US + 5):
        ledger.now = lambda at=at: at
        notices.note(ledger, "unseen", "h", "a", "")
        later()
    assert kit.rows(costmon_home, "select day_at, first_at, calls from notice order by 1") == [
        (day, day + 5, 1), (day + kit.DAY_US, day + kit.DAY_US + 5, 1),
    ]  # fmt: skip


def test_threads_lose_none(costmon_home: Path, ledger: Ledger, later: Any) -> None:
    """16 threads that tell the same thing at once are counted exactly."""

    def work() -> None:
        for _ in range(50):
            notices.note(ledger, "unseen", "h", "a", "")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    notices.flush(ledger)
    assert rows(costmon_home) == [("unseen", "h", "a", "", 800)]


def test_faults_stay_inside(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an unusable ledger nor odd texts raise; a flood of subjects is bounded."""

    def refuse(*_: object) -> None:
        raise LedgerUnusable("the disk is full")

    monkeypatch.setattr(ledger, "write_once", refuse)
    assert notices.note(ledger, "unseen", "h\x00\ud800" * 1000, "", "d\n" * 1000) is False
    for number in range(2000):
        notices.note(ledger, "unseen", f"h{number}", "a", "")
    assert len(notices._waiting) == notices.MAX_WAITING
    monkeypatch.setattr(ledger, "write_once", None)  # a fault of our own
    assert notices.note(ledger, "unseen", "other", "a", "") is False


def test_a_child_does_not_repeat_its_parent(costmon_home: Path, ledger: Ledger) -> None:
    """What waits in the parent is written by the parent alone."""
    for _ in range(3):
        notices.note(ledger, "unseen", "h", "a", "")
    ledger.close()

    def child() -> None:
        mine = Ledger(str(costmon_home))
        notices.note(mine, "unseen", "h", "a", "")
        notices.flush(mine)
        mine.close()

    kit.forked(child)()
    notices.flush(ledger)
    assert rows(costmon_home) == [("unseen", "h", "a", "", 4)]
