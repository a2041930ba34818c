"""Calls that never return: who asks waits for a bounded time, nothing piles up, and the program exits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from costmon.credentials.patience import OutOfReachError, Patience
from costmon.errors import CredentialError
from tests.harness.venvs import ROOT

_LIMIT_S = 0.2


@pytest.fixture
def patience() -> Patience:
    return Patience("the keyring", "unlock it and try again", _LIMIT_S)


def test_an_answer_an_error_and_a_failure(patience: Patience) -> None:
    """Values come back; an error that was returned is raised; of an exception only its type is told."""
    assert patience.call(lambda: 7) == 7
    with pytest.raises(CredentialError, match=r"^locked$"):
        patience.call(lambda: CredentialError("locked"))

    def fail() -> None:
        raise RuntimeError("sk-canary")

    with pytest.raises(OutOfReachError) as caught:
        patience.call(fail)
    assert str(caught.value) == "the keyring failed (RuntimeError); unlock it and try again"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_hung_call_is_not_repeated(patience: Patience) -> None:
    """The first waits for the limit; the others are told at once; once it returns, the next question is answered."""
    release, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        release.wait(30)

    began = time.monotonic()
    with pytest.raises(OutOfReachError, match="has not answered for"):
        patience.call(hang)
    assert time.monotonic() - began < _LIMIT_S + 1
    threads = threading.active_count()
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(OutOfReachError, match="has not answered for"):
            patience.call(hang)
    assert time.monotonic() - began < 0.5
    assert (len(asked), threading.active_count()) == (1, threads)
    release.set()
    until = time.monotonic() + 10
    while True:
        try:
            assert patience.call(lambda: "open") == "open"
            break
        except OutOfReachError:
            assert time.monotonic() < until


def test_a_question_nobody_waits_for_is_not_asked_later(patience: Patience) -> None:
    """What timed out behind a hung call is dropped: a key is not stored an hour after the user was told it failed."""
    release, done = threading.Event(), []
    outcomes = []

    def ask(function: object) -> None:
        try:
            patience.call(function)  # type: ignore[arg-type]
        except OutOfReachError as error:
            outcomes.append(error)

    first = threading.Thread(target=ask, args=(lambda: release.wait(30),))
    second = threading.Thread(target=ask, args=(lambda: done.append("stored"),))
    first.start()
    second.start()
    first.join(10)
    second.join(10)
    assert len(outcomes) == 2
    release.set()
    until = time.monotonic() + 10
    while True:
        try:
            patience.call(lambda: None)
            break
        except OutOfReachError:
            assert time.monotonic() < until
    assert done == []


async def test_an_event_loop_goes_on(patience: Patience) -> None:
    """While the keyring hangs, other tasks run; then the same error."""
    release, ticks = threading.Event(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(OutOfReachError):
        await patience.call_async(lambda: release.wait(30))
    with pytest.raises(OutOfReachError):
        await patience.call_async(lambda: release.wait(30))
    assert ticks >= 3
    ticking.cancel()
    release.set()


_HANGS = """
import asyncio, sys, time
from costmon.credentials.patience import Patience
from costmon.errors import CredentialError
patience = Patience("the keyring", "unlock it", 0.2)
hang = lambda: time.sleep(600)
try:
    asyncio.run(patience.call_async(hang)) if sys.argv[1] == "async" else patience.call(hang)
except CredentialError as error:
    print(error)
"""


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_program_exits(way: str) -> None:
    """With a call still hanging in its thread."""
    done = subprocess.run(
        [sys.executable, "-c", _HANGS, way], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "the keyring has not answered for 0 s; unlock it\n"
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_fork_asks_anew(patience: Patience) -> None:
    """The parent's thread is not in the child, nor is its hung call."""
    release = threading.Event()
    with pytest.raises(OutOfReachError):
        patience.call(lambda: release.wait(30))
    child = os.fork()
    if not child:
        try:
            os._exit(0 if patience.call(lambda: 7) == 7 else 1)
        except BaseException:
            os._exit(2)
    release.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_together_the_wait_is_shared(patience: Patience) -> None:
    """However many ask: those that wait in vain share one limit, and all are told the same."""
    patience.limit_s = 5
    asked: list[int] = []

    def refused_late() -> CredentialError:
        asked.append(1)
        time.sleep(0.3)
        return OutOfReachError("the session bus does not answer")

    began, told = time.monotonic(), set()
    with patience.together(0.4):
        assert patience.call(lambda: 7) == 7
        for _ in range(50):
            with pytest.raises(OutOfReachError) as caught:
                patience.call(refused_late)
            told.add(str(caught.value))
    assert time.monotonic() - began < 0.9
    assert len(told) <= 2
    assert len(asked) <= 2
    assert patience.call(lambda: 8) == 8
