"""Calls that may never return, in one daemon thread: whoever asks waits 5 s at most, and the program can always exit.

An executor would be joined at exit (asyncio.to_thread uses one), and so would an ordinary thread. While a call hangs no
second one is begun: who asks then is told so at once, until the first has returned.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from costmon.errors import CredentialError

LIMIT_S = 5.0
_IN_VAIN_S = 1.0
"""A failure that took longer was silence: the next question would meet it too."""
T = TypeVar("T")


class OutOfReachError(CredentialError):
    """What was asked is locked, failed or did not answer: the same question may be answered later."""


class Patience:
    """One thread and its queue. `subject` ("the keyring") begins its sentences, `advice` ends them.

    What is called returns a value, or a CredentialError as a value; whatever it raises becomes one that names nothing but
    the type.
    """

    def __init__(self, subject: str, advice: str, limit_s: float = LIMIT_S) -> None:
        self.subject = subject
        self.advice = advice
        self.limit_s = limit_s
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._since = 0.0
        self._until: float | None = None
        self._verdict: OutOfReachError | None = None

    @contextmanager
    def together(self, limit_s: float) -> Iterator[None]:
        """Inside, all calls together wait `limit_s` at most; once one has waited in vain, the others are told the same."""
        self._until, self._verdict = time.monotonic() + limit_s, None
        try:
            yield
        finally:
            self._until = self._verdict = None

    def call(self, function: Callable[[], T | CredentialError]) -> T:
        """What `function` returns. Raises CredentialError: it said so, it failed, or it did not answer in time."""
        if self._verdict is not None:
            raise OutOfReachError(str(self._verdict))
        began = time.monotonic()
        limit = self.limit_s if self._until is None else max(0.0, min(self.limit_s, self._until - began))
        future = self._submit(function)
        found: T | CredentialError
        try:
            found = future.result(limit)
        except TimeoutError:
            future.cancel()
            found = self._silence(limit)
        if (
            self._until is not None
            and isinstance(found, OutOfReachError)
            and time.monotonic() - began >= min(_IN_VAIN_S, limit)
        ):
            self._verdict = found
        return _value(found)

    async def call_async(self, function: Callable[[], T | CredentialError]) -> T:
        """The same, without holding up the event loop."""
        future = self._submit(function)
        found: T | CredentialError
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(future), self.limit_s)
        except TimeoutError:
            future.cancel()
            found = self._silence(self.limit_s)
        return _value(found)

    def _submit(self, function: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            self._start()
            waited = time.monotonic() - self._since if self._since else 0.0
            if waited >= self.limit_s:
                raise self._silence(waited)
            future: Future[Any] = Future()
            self._jobs.put((future, function))
            return future

    def _start(self) -> None:
        """A forked child has no thread and nobody's calls."""
        if self._thread is not None and self._pid == os.getpid():
            return
        self._jobs, self._since, self._pid = queue.SimpleQueue(), 0.0, os.getpid()
        self._thread = threading.Thread(target=self._work, args=(self._jobs,), daemon=True, name=self.subject)
        self._thread.start()

    def _work(self, jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]]) -> None:
        while True:
            future, function = jobs.get()
            if future.set_running_or_notify_cancel():
                self._since = time.monotonic()
                outcome = self._outcome(function)
                self._since = 0.0
                future.set_result(outcome)
                del outcome
            del future, function

    def _outcome(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except BaseException as error:
            name = type(error).__name__  # its text and its frames may hold a key
        return OutOfReachError(f"{self.subject} failed ({name}); {self.advice}")

    def _silence(self, waited: float) -> OutOfReachError:
        return OutOfReachError(f"{self.subject} has not answered for {waited:.0f} s; {self.advice}")


def _value(found: T | CredentialError) -> T:
    if isinstance(found, CredentialError):
        raise found
    return found
