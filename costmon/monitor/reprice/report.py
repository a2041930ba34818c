"""What a repricing changed, or would change: by provider, model and versions, and what it left alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from costmon.monitor.reprice.judge import UNCHANGED
from costmon.store.corrections import Change, Settled


class GroupKey(NamedTuple):
    """`old` and `new` are price_versions, '' = unknown."""

    provider: str
    model: str
    old: str
    new: str
    old_currency: str
    new_currency: str


class SkipKey(NamedTuple):
    """`reason` is a key of `judge.REASONS`."""

    reason: str
    provider: str
    model: str


@dataclass(slots=True)
class Sums:
    """Nano in the currencies of the group; the unknown count apart, their sums are of the others."""

    events: int = 0
    old: int = 0
    new: int = 0
    old_unknown: int = 0
    new_unknown: int = 0


@dataclass(slots=True)
class Report:
    groups: dict[GroupKey, Sums] = field(default_factory=dict)
    skipped: dict[SkipKey, int] = field(default_factory=dict)
    unchanged: int = 0

    @property
    def events(self) -> int:
        """How many events changed."""
        return sum(sums.events for sums in self.groups.values())

    def changed(self, change: Change) -> None:
        old, new = change
        key = (
            *(old.provider, old.model, old.price_version or "", new.price_version or ""),
            *(old.currency, new.currency),
        )
        sums = self.groups.get(key)  # type: ignore[call-overload]  # equal to a GroupKey, and made faster
        if sums is None:
            sums = self.groups[GroupKey._make(key)] = Sums()
        sums.events += 1
        sums.old += old.cost or 0
        sums.new += new.cost or 0
        sums.old_unknown += old.cost is None
        sums.new_unknown += new.cost is None

    def left(self, event: Settled, reason: str) -> None:
        if reason == UNCHANGED:
            self.unchanged += 1
        else:
            key = SkipKey(reason, event.provider, event.model)
            self.skipped[key] = self.skipped.get(key, 0) + 1

    def add(self, other: Report) -> None:
        for key, sums in other.groups.items():
            mine = self.groups.setdefault(key, Sums())
            for name in Sums.__slots__:
                setattr(mine, name, getattr(mine, name) + getattr(sums, name))
        for skip, count in other.skipped.items():
            self.skipped[skip] = self.skipped.get(skip, 0) + count
        self.unchanged += other.unchanged

    def totals(self) -> tuple[dict[str, int], dict[str, int]]:
        """(old, new) known totals of the changed events, nano by currency."""
        old: dict[str, int] = {}
        new: dict[str, int] = {}
        for key, sums in self.groups.items():
            if sums.old_unknown < sums.events:
                old[key.old_currency] = old.get(key.old_currency, 0) + sums.old
            if sums.new_unknown < sums.events:
                new[key.new_currency] = new.get(key.new_currency, 0) + sums.new
        return old, new

    def reasons(self) -> dict[str, int]:
        """Events left alone, by reason."""
        found: dict[str, int] = {}
        for key, count in self.skipped.items():
            found[key.reason] = found.get(key.reason, 0) + count
        return found

    def to_json(self) -> str:
        """As it is kept with a run."""
        groups = [
            [*key, *(getattr(sums, name) for name in Sums.__slots__)] for key, sums in self.groups.items()
        ]
        skipped = [[*key, count] for key, count in self.skipped.items()]
        return json.dumps({"groups": groups, "skipped": skipped, "unchanged": self.unchanged})

    @classmethod
    def from_json(cls, text: str) -> Report:
        data = json.loads(text)
        width = len(GroupKey._fields)
        return cls(
            {GroupKey(*row[:width]): Sums(*row[width:]) for row in data.get("groups", ())},
            {SkipKey(*row[:-1]): row[-1] for row in data.get("skipped", ())},
            data.get("unchanged", 0),
        )
