"""Advisory locks between processes, on files of their own: the ledger's files are SQLite's alone."""

from __future__ import annotations

import errno
import os
import sys
import time

from costmon.paths import open_private

if sys.platform != "win32":
    import fcntl


_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EINTR)
_NO_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP)


class FileLock:
    """An advisory lock on a file beside the ledger (flock); where flock is missing it always succeeds."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = open_private(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0))

    def acquire(self, *, exclusive: bool, wait_s: float = 0.0) -> bool:
        """True once the lock is ours, False if it is not within `wait_s`. Raises OSError where there is none to be had."""
        if sys.platform == "win32":
            return True
        kind = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        deadline: float | None = None
        while True:
            try:
                fcntl.flock(self._descriptor, kind)
            except OSError as error:
                if error.errno in _NO_FLOCK:
                    return True
                if error.errno not in _HELD:
                    raise
                deadline = time.monotonic() + wait_s if deadline is None else deadline
                if time.monotonic() >= deadline:
                    return False
                time.sleep(jitter_s())
            else:
                return True

    def release(self) -> None:
        if sys.platform != "win32" and self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def held(path: str) -> bool:
    """Whether some process holds the lock at `path` exclusively."""
    if not os.path.exists(path):
        return False
    lock = FileLock(path)
    try:
        if not lock.acquire(exclusive=False):
            return True
        lock.release()
        return False
    finally:
        lock.close()


def jitter_s() -> float:
    """1 to 20 ms, at random: SQLite's own back-off lets one writer starve the others."""
    return (1 + os.urandom(1)[0] % 20) / 1000


class Naps:
    """How long to sleep between looks at something that others must change first: 1 to 20 ms, later up to 0.3 s.

    A hundred callers that wait for money must not keep the ledger from those who settle it.
    """

    def __init__(self) -> None:
        self._factor = 1.0

    def next_s(self) -> float:
        """The next nap in seconds."""
        self._factor = min(15.0, self._factor * 1.3)
        return jitter_s() * self._factor
