"""What reading one project may cost, so that no file can take the machine: processor time, values, characters."""

from __future__ import annotations

import io
import time

_CHUNK = 4096


class TooMuchError(Exception):
    """A bound was met; the text says which, to follow a file's name ('expands to …')."""


class Work:
    """What is left to spend. Processor time, not the clock's: on a busy machine the same files are read."""

    def __init__(self, seconds: float = 0.8, values: int = 200_000) -> None:
        self._until = time.thread_time() + seconds
        self._values = values

    def spend(self, values: int = 1) -> None:
        """Takes up `values`. Raises TooMuchError."""
        self._values -= values
        if self._values < 0:
            raise TooMuchError("expands to more values than a compose project has")

    def check_time(self) -> None:
        """Raises TooMuchError once the time is used up."""
        if time.thread_time() > self._until:
            raise TooMuchError("takes too long to read for a compose file")


class Paced(io.StringIO):
    """A text that is handed out in pieces, with a look at the time before each."""

    def __init__(self, text: str, work: Work) -> None:
        super().__init__(text, newline="")
        self._work = work

    def read(self, size: int | None = -1) -> str:
        """The next piece, '' at the end. Raises TooMuchError."""
        self._work.check_time()
        return super().read(_CHUNK if size is None or size < 0 else size)
