"""The story in the terminal app."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timedelta

from costmon.demo.stage import Stage
from costmon.monitor.live import Live
from costmon.monitor.snapshot import ReaderStatus, Snapshot
from costmon.tui import app as terminal


class DemoFeed:
    """The engine's snapshots of the demo's home, with what only the stage knows."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._live = Live(stage.home)
        self._ended: dict[str, str] = {}
        self._looked: dict[str, tuple[datetime, float]] = {}

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        snapshot = self._live.next_snapshot(timeout)
        for line in self._stage.lines():
            if line.kind == "ended":
                self._ended[line.app] = f"the demo's {line.app} is gone: {line.text}"
        return self._completed(snapshot) if snapshot is not None else None

    def toggle(self) -> str:
        return self._live.toggle()

    def close(self) -> None:
        self._live.close()

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        problems = (*self._ended.values(), *snapshot.problems)
        return replace(
            snapshot, switch=replace(snapshot.switch, readers=self._readers(snapshot)), problems=problems
        )

    def _readers(self, snapshot: Snapshot) -> tuple[ReaderStatus, ...]:
        """Every call looks at the switch. How long ago is told in real seconds: the switch's files carry real times,
        and in simulated ones a second's silence would already look like an app that does not obey."""
        now = time.monotonic()
        for row in reversed(snapshot.feed):
            known = self._looked.get(row.app)
            if known is None or row.at > known[0]:
                self._looked[row.app] = (row.at, now)
        return tuple(
            ReaderStatus(app, snapshot.at - timedelta(seconds=int(now - seen)))
            for app, (_, seen) in self._looked.items()
        )


class DemoApp(terminal.CostmonApp):
    """The terminal app, except that Ctrl-C ends it: nothing here is worth a second thought."""

    CSS_PATH = os.path.join(os.path.dirname(os.path.abspath(terminal.__file__)), "app.tcss")

    def action_help_quit(self) -> None:
        self.exit()
