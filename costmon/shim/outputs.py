"""How long the answers of one app and model are: what a reservation is made from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

HISTORY = 100
ENOUGH = 5
_AGAIN_AFTER = 10


class Outputs:
    """The output tokens of the last 100 answers with reported usage."""

    def __init__(self, recent: Iterable[int] = ()) -> None:
        self._recent = deque(recent, maxlen=HISTORY)
        self._bound: int | None = None
        self._stale = 0

    def add(self, tokens: int) -> None:
        """One more answer."""
        self._recent.append(tokens)
        self._stale += 1

    def expected(self, max_output: int | None, assumed: int) -> int:
        """min(max_output, 1.5 x the 95th percentile learned); without history max_output; without both `assumed`."""
        learned = self._learned()
        if learned is None:
            return assumed if max_output is None else max_output
        return learned if max_output is None else min(max_output, learned)

    def _learned(self) -> int | None:
        if len(self._recent) < ENOUGH:
            return None
        if self._bound is None or self._stale >= _AGAIN_AFTER:
            ordered = sorted(self._recent)
            self._bound = -(-3 * ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)] // 2)
            self._stale = 0
        return self._bound
