"""What the terminal app holds: snapshots from an engine, and the switch under one key."""

from __future__ import annotations

from threading import Lock

from costmon import paths
from costmon.monitor.engine import Engine
from costmon.monitor.journal import ALLOW, KILL, journal
from costmon.monitor.snapshot import Snapshot
from costmon.shim import switch
from costmon.shim.clock import clock_of


class Live:
    """`next_snapshot` belongs to one thread; `toggle` and `close` may come from another."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._engine: Engine | None = None
        self._busy = Lock()
        self._closed = False

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        """See `Engine.next_snapshot`."""
        with self._busy:
            if self._closed:
                return None
            if self._engine is None:
                self._engine = Engine(self._home)
            return self._engine.next_snapshot(timeout)

    def toggle(self) -> str:
        """Block everything, or lift the block a person set; one sentence says what happened. Raises OSError."""
        now = clock_of(self._home)()
        folder = paths.switch_dir(self._home)
        before = _by_hand(folder, now)
        said = toggle(folder, now)
        after = _by_hand(folder, now)
        for scope in sorted(before ^ after):
            journal(self._home, KILL if scope in after else ALLOW, scope, "the terminal", "", now)
        return said

    def close(self) -> None:
        """Let go of the engine lock and the ledger."""
        self._closed = True
        if self._busy.acquire(timeout=6.0):
            try:
                if self._engine is not None:
                    self._engine.close()
            finally:
                self._busy.release()


def _by_hand(folder: str, now: int) -> set[str]:
    return {block.scope for block in switch.standing(folder, now) if not block.automatic}


def toggle(folder: str, now: int) -> str:
    """Block everything; or, when something was blocked by hand, lift that. One sentence says what happened.

    What a budget blocks cannot be lifted here: the ledger would go on refusing. Raises OSError.
    """
    standing = switch.standing(folder, now)
    by_hand = [block for block in standing if not block.automatic]
    if by_hand:
        for block in by_hand:
            switch.lift(folder, block.scope)
        left = [block.scope for block in standing if block.automatic]
        return "Calls may go out again" + (f"; a budget still blocks: {', '.join(left)}" if left else "")
    for block in standing:
        if block.scope == "all":
            return f"{block.reason}: raise it with `costmon budget set`, or wait until it starts anew"
    switch.write(folder, switch.Block("all", "stopped by hand in the terminal", by="the terminal", since=now))
    return "Everything is stopped: every app is refused at its next call. Press k again to allow."
