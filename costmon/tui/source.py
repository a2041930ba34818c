"""What the terminal app needs from whoever makes snapshots."""

from __future__ import annotations

from typing import Protocol

from costmon.monitor.snapshot import Snapshot


class SnapshotSource(Protocol):
    """`next_snapshot` and `toggle` are called in worker threads and may overlap; `close` ends both."""

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        """Wait up to `timeout` seconds for something new; None when there is nothing."""
        ...

    def toggle(self) -> str:
        """Block everything, or lift the manual block; one sentence that says what was done."""
        ...

    def close(self) -> None:
        """Called once on the UI's thread, when the app ends; must not block."""
        ...
