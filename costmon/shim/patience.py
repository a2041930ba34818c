"""How long a call waits for a ledger that somebody else is writing."""

from __future__ import annotations

import os
import time

from costmon.shim.locks import jitter_s

CONTENDED_WAIT_S = 2.0
_TRIES_AT_LEAST = 5


class Patience:
    """`wait_s` from its last sign of progress, `CONTENDED_WAIT_S` in all; one for each wait.

    A ledger that others keep writing will come round to us; one that somebody sits on may never. Time that a loaded
    machine keeps us from running does not count: it kept the writer from running, too. Measured with 20 new processes
    of 5 calls each on two cores that four other processes kept busy: with 250 ms flat, 92 of 100 rounds let calls
    through from memory though the ledger was only busy; this way, none of 50.
    """

    def __init__(self, path: str, wait_s: float, no_longer_than: float, began: float) -> None:
        self._log = path + "-wal"
        self._wait_s = wait_s
        self._began = began
        self._until = began + wait_s
        self._at_most = min(began + max(wait_s, CONTENDED_WAIT_S), no_longer_than)
        self._seen = 0
        self._tries = 0
        self._wakes_at = began

    def left(self) -> float:
        """Seconds it is still worth waiting after another try has failed; 0 or less = give up."""
        now = time.monotonic()
        self._tries += 1
        written = self._written()
        if written != self._seen and self._tries > 1:
            self._until = max(self._until, now + self._wait_s)
        elif self._tries < _TRIES_AT_LEAST:  # the first may have taken long to begin with
            self._until = max(self._until, now + 0.02)
        self._seen = written
        return min(self._until, self._at_most) - now

    def pause(self, left: float) -> float:
        """Until the next try: the longer one has waited the shorter, so that nobody starves."""
        now = time.monotonic()
        nap = min(left, jitter_s() if now - self._began < 0.1 else jitter_s() / 2)
        self._wakes_at = now + nap
        return nap

    def woke(self) -> None:
        """The pause is over: how much longer than asked for it took is not held against us."""
        self._until += max(0.0, time.monotonic() - self._wakes_at - 0.002)

    def _written(self) -> int:
        """When somebody last wrote to the log; looked up by name, never opened."""
        try:
            return os.stat(self._log).st_mtime_ns
        except OSError:
            return 0
