"""Retry loops and identical calls over and over: noticed from the ledger, whether or not a rule refuses them.

Requests are told apart by the keyed hash every event carries; what they said is not known.
"""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

from costmon.monitor.compile.writing import transaction
from costmon.shim import policy
from costmon.shim.events import id_floor
from costmon.store.queries import settings

LOOK_EVERY_S = 15.0
REPEAT_WITHIN_US = 600_000_000
RETRY_WITHIN_US = 300_000_000
_MOST = 50_000


class Loop(NamedTuple):
    """Identical requests of one app to one model: `kind` is 'repeat' or 'retry', `calls` how many (of 'retry': that failed),
    from `first_at` to `last_at` (µs UTC)."""

    kind: str
    subject: str
    app: str
    calls: int
    first_at: int
    last_at: int


class Repeats:
    """Looks every 15 s, and only when there are new events."""

    def __init__(self) -> None:
        self._looked_at = -LOOK_EVERY_S
        self._newest = ""

    def look(self, db: sqlite3.Connection, now: int) -> bool:
        """Write a notice for each loop there is; whether there was one. Must not be called inside a transaction."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = time.monotonic()
        newest = db.execute("select max(id) from event").fetchone()[0] or ""
        if newest == self._newest:
            return False
        self._newest = newest
        found = loops(db, now)
        if found:
            transaction(db, lambda: _write(db, found))
        return bool(found)


def loops(db: sqlite3.Connection, now: int) -> list[Loop]:
    """The loops of the last minutes, by the thresholds of the config: `warn_repeats` identical calls within 10 minutes,
    `warn_retries` failed ones within 5; 0 is never. The newest 50,000 events are looked at."""
    said = settings(db)
    found = []
    for kind, most, within, failed in (
        (
            "repeat",
            int(said.get("warn_repeats") or 0),
            REPEAT_WITHIN_US,
            "('ok', 'error', 'unknown', 'dropped')",
        ),
        ("retry", int(said.get("warn_retries") or 0), RETRY_WITHIN_US, "('error', 'unknown')"),
    ):
        if most:
            rows = db.execute(
                _LOOPS.format(outcomes=failed), (id_floor(now - within), now - within, _MOST, most)
            )
            found += [Loop(kind, *row) for row in rows]
    return found


def _write(db: sqlite3.Connection, found: list[Loop]) -> None:
    for loop in found:
        what = "identical calls" if loop.kind == "repeat" else "failed tries of one request"
        minutes = (REPEAT_WITHIN_US if loop.kind == "repeat" else RETRY_WITHIN_US) // 60_000_000
        values = (
            loop.kind, loop.subject, loop.app, policy.local_day_at(db, loop.last_at),
            f"{loop.calls} {what} within {minutes} minutes", loop.first_at, loop.last_at, loop.calls,
        )  # fmt: skip
        db.execute(_NOTICE, values)


_LOOPS = """select model, app, count(*), min(created_at), max(created_at)
    from (select model, app, fingerprint, created_at from event
        where id >= ? and created_at >= ? and fingerprint is not null and outcome in {outcomes} and source <> 'meter'
        order by id desc limit ?)
    group by fingerprint, app having count(*) >= ? order by count(*)"""
_NOTICE = """insert into notice (kind, subject, app, day_at, detail, first_at, last_at, calls)
    values (?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (kind, subject, app, day_at) do update set detail = iif(excluded.calls >= notice.calls, excluded.detail,
        notice.detail), calls = max(notice.calls, excluded.calls), last_at = excluded.last_at"""
