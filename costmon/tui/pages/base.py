"""What every page has: the snapshot and the time, kept up by the app, for its panels to bind to."""

from __future__ import annotations

from datetime import datetime

from textual.reactive import var
from textual.screen import Screen

from costmon.monitor.snapshot import Snapshot


class Page(Screen[None]):
    """A page's panels bind to `Page.snapshot`, and to `Page.now` if they show ages or countdowns."""

    snapshot: var[Snapshot | None] = var(None)
    now: var[datetime | None] = var(None)
    """`snapshot.at` plus the time since, to the second."""
    fault: var[str] = var("")
    """What is wrong with the source of snapshots, one sentence, or ''."""

    def on_mount(self) -> None:
        for name in ("now", "fault", "snapshot"):
            self._mirror(name)

    def _mirror(self, name: str) -> None:
        def take(value: object) -> None:
            setattr(self, name, value)

        self.watch(self.app, name, take)
