"""Which events a repricing looks at."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from costmon.monitor.reprice.judge import COLUMNS, Event, event_of
from costmon.shim.events import id_floor

BATCH = 250


class Scope(NamedTuple):
    """Events created in [since, until) (µs UTC) with these labels; None = any.

    `allow_unknown`: a priced event whose price is gone becomes unknown. `model` may name a resource, whose events are
    then priced anew like calls.
    """

    since: int | None = None
    until: int | None = None
    provider: str | None = None
    model: str | None = None
    app: str | None = None
    only_unknown: bool = False
    allow_unknown: bool = False

    def to_json(self) -> str:
        """As it is kept with a run."""
        return json.dumps({key: value for key, value in self._asdict().items() if value not in (None, False)})

    @classmethod
    def from_json(cls, text: str) -> Scope:
        return cls(**json.loads(text))


def read(db: sqlite3.Connection, scope: Scope, after: str, count: int) -> list[Event]:
    """The next events of the scope whose ids come after `after`, in the order of their ids, which is that of time."""
    where, values = _where(scope, after)
    rows = db.execute(
        f"select {COLUMNS} from event where {where} order by id limit ?",  # noqa: S608 - names are ours
        (*values, count),
    )
    return [event_of(row) for row in rows]


def read_between(db: sqlite3.Connection, scope: Scope, after: str, last: str) -> list[Event]:
    """The events of the scope with ids in (after, last]."""
    where, values = _where(scope, after)
    rows = db.execute(f"select {COLUMNS} from event where {where} and id <= ? order by id", (*values, last))  # noqa: S608
    return [event_of(row) for row in rows]


def _where(scope: Scope, after: str) -> tuple[str, list[Any]]:
    parts: list[str] = ["state = 'settled'", "id > ?"]
    bounds: list[Any] = [after]
    if scope.since is not None:
        parts += ["id >= ?", "created_at >= ?"]
        bounds += [id_floor(scope.since), scope.since]
    if scope.until is not None:
        parts += ["id < ?", "created_at < ?"]
        bounds += [id_floor(scope.until + 1000), scope.until]
    for name in ("provider", "model", "app"):
        value = getattr(scope, name)
        if value is not None:
            parts.append(f"{name} = ?")
            bounds.append(value)
    if scope.only_unknown:
        parts.append("cost is null")
    return " and ".join(parts), bounds
