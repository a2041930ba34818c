"""Overrides a person has set for a time: a bypass lifts what costmon decides by itself, never what a person blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from sqlite3 import Connection


class Override(NamedTuple):
    """One override in force until `until` (µs UTC) unless lifted earlier; `scope` as the switch's."""

    kind: str
    scope: str
    by: str
    reason: str
    since: int
    until: int


def load(db: Connection) -> tuple[Override, ...]:
    """Those nobody has lifted; whether one is over is told by its `until`."""
    rows = db.execute(
        "select kind, scope, by, reason, created_at, until_at from override where lifted_at is null"
    )
    return tuple(Override(*row) for row in rows)


def bypass(overrides: Iterable[Override], labels: Mapping[str, str], now: int) -> Override | None:
    """The bypass that covers a call with these labels at `now`, if one does.

    One that began in the future does not count: the clock was set back, and nobody may gain time by that.
    """
    for found in overrides:
        if found.kind == "bypass" and found.since <= now < found.until and _covers(found.scope, labels):
            return found
    return None


def _covers(scope: str, labels: Mapping[str, str]) -> bool:
    key, _, value = scope.partition("=")
    return scope == "all" or (bool(value) and labels.get(key) == value)
