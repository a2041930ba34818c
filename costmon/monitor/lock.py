"""One engine: whoever holds `engine.lock` warns, settles orphans and syncs; every other monitor only shows."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple

from costmon.paths import ENGINE_LOCK, open_private
from costmon.shim.locks import FileLock, held


class Holder(NamedTuple):
    """Who holds the engine lock; `since` in real µs UTC."""

    pid: int
    since: int


class EngineLock:
    """The lock and the note beside it that says who holds it."""

    def __init__(self, home: str) -> None:
        self._lock = FileLock(os.path.join(home, ENGINE_LOCK))
        self._note = os.path.join(home, "engine.json")
        self.mine = False

    def acquire(self) -> bool:
        """Try to become the engine; True if this process is it (already)."""
        if not self.mine and self._lock.acquire(exclusive=True):
            self.mine = True
            temporary = f"{self._note}.{os.getpid()}"
            descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"pid": os.getpid(), "since": time.time_ns() // 1000}, file)
            os.replace(temporary, self._note)
        return self.mine

    def release(self) -> None:
        if self.mine:
            self.mine = False
            self._lock.release()
        self._lock.close()


def holder(home: str) -> Holder | None:
    """Who is the engine of `home` now, None when nobody is (then nobody warns)."""
    if not held(os.path.join(home, ENGINE_LOCK)):
        return None
    try:
        with open(os.path.join(home, "engine.json"), encoding="utf-8") as file:
            note = json.load(file)
        return Holder(int(note["pid"]), int(note["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(0, 0)
