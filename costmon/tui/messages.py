"""Everything a worker tells the app. Workers post; only the app's handlers change state."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from costmon.monitor.snapshot import Snapshot
from costmon.tui.answers import Answer
from costmon.tui.pricebook import PriceBook
from costmon.tui.pricelist import PriceLine


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


@dataclass
class BookWanted(Message):
    """A page that needs prices has come up."""


@dataclass
class BookOpened(Message):
    """Prices and rates have been read."""

    book: PriceBook


@dataclass
class BookFailed(Message):
    """They could not be read; `sentence` says why."""

    sentence: str


@dataclass
class Answered(Message):
    """The question with this `number` has its answer; None and a `sentence` when it could not be worked out."""

    number: int
    answer: Answer | None
    sentence: str = ""


@dataclass
class RowsListed(Message):
    """Every model that has a price."""

    lines: tuple[PriceLine, ...]
