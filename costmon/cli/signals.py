"""Ending politely: a flag that signals raise."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


class Stop:
    """Truthy once SIGINT, SIGTERM or SIGHUP came; the first one also calls `on_first`."""

    def __init__(self, on_first: Callable[[], None] | None = None) -> None:
        self._came = False
        self._on_first = on_first
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)

    def __bool__(self) -> bool:
        return self._came

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        first = not self._came
        self._came = True
        if first and self._on_first is not None:
            self._on_first()
