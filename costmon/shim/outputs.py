"""How long the answers of one app and model are, and how many tokens a byte of their text stands for: what a
reservation, and the count of a stream that reports no usage, are made from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

HISTORY = 100
ENOUGH = 5
ENOUGH_BYTES = 400
"""So much text must have been seen before its tokens per byte are believed (about 100 tokens)."""
_AGAIN_AFTER = 10


class Outputs:
    """The output tokens of the last 100 answers with reported usage, and the bytes of text that came with them.

    `recent` is (output tokens, bytes of text or 0 when they are not known), oldest first.
    """

    def __init__(self, recent: Iterable[tuple[int, int]] = ()) -> None:
        self._recent: deque[int] = deque(maxlen=HISTORY)
        self._texts: deque[tuple[int, int]] = deque(maxlen=HISTORY)
        self._tokens = self._bytes = 0
        self._bound: int | None = None
        self._stale = 0
        for tokens, text_bytes in recent:
            self.add(tokens, text_bytes)

    def add(self, tokens: int, text_bytes: int = 0) -> None:
        """One more answer."""
        self._recent.append(tokens)
        self._stale += 1
        if text_bytes and tokens:
            if len(self._texts) == HISTORY:
                old_tokens, old_bytes = self._texts[0]
                self._tokens -= old_tokens
                self._bytes -= old_bytes
            self._texts.append((tokens, text_bytes))
            self._tokens += tokens
            self._bytes += text_bytes

    @property
    def known_texts(self) -> int:
        """How many answers the tokens per byte were learned from."""
        return len(self._texts)

    def expected(self, max_output: int | None, assumed: int) -> int:
        """min(max_output, 1.5 x the 95th percentile learned); without history max_output; without both `assumed`."""
        learned = self._learned()
        if learned is None:
            return assumed if max_output is None else max_output
        return learned if max_output is None else min(max_output, learned)

    def tokens_in(self, text_bytes: int) -> int | None:
        """The output tokens that so many bytes of text stand for, rounded up; None while too little was learned.

        Hidden reasoning is inside the reported tokens, so it is inside their ratio to the text too.
        """
        if self._bytes < ENOUGH_BYTES:
            return None
        return -(-text_bytes * self._tokens // self._bytes)

    def _learned(self) -> int | None:
        if len(self._recent) < ENOUGH:
            return None
        if self._bound is None or self._stale >= _AGAIN_AFTER:
            ordered = sorted(self._recent)
            self._bound = -(-3 * ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)] // 2)
            self._stale = 0
        return self._bound
