"""Everything a worker tells the app. Workers post; only the app's handlers change state."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from costmon.monitor.snapshot import Snapshot


@dataclass
class SnapshotChanged(Message):
    """The engine made a new snapshot. A burst collapses to its newest."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotChanged)


@dataclass
class SourceFailed(Message):
    """The source of snapshots raised; `sentence` says what happened. It is asked again."""

    sentence: str


@dataclass
class SwitchToggled(Message):
    """The `k` key has done its work; `sentence` says what it did."""

    sentence: str


@dataclass
class SwitchFailed(Message):
    """The `k` key could not move the switch; `sentence` says why."""

    sentence: str
