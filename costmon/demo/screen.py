"""The story in the terminal app."""

from __future__ import annotations

import os
from dataclasses import replace

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
        self._looked: dict[str, ReaderStatus] = {}

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
        """Every call looks at the switch; the files' own times are real ones and say nothing in simulated time."""
        for row in reversed(snapshot.feed):
            self._looked[row.app] = ReaderStatus(row.app, row.at)
        readers = tuple(self._looked.get(reader.app, reader) for reader in snapshot.switch.readers)
        return replace(
            snapshot,
            switch=replace(snapshot.switch, readers=readers),
            problems=(*self._ended.values(), *snapshot.problems),
        )


class DemoApp(terminal.CostmonApp):
    """The terminal app, except that Ctrl-C ends it: nothing here is worth a second thought."""

    CSS_PATH = os.path.join(os.path.dirname(os.path.abspath(terminal.__file__)), "app.tcss")

    def action_help_quit(self) -> None:
        self.exit()
