"""Rate limits: at most so many calls in a minute or an hour of the clock (UTC), or in the operator's local day."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import SpendBlocked
from costmon.shim.timestamps import to_datetime, until_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection

    from costmon.shim.events import Attempt

_FIXED_US = {"minute": 60_000_000, "hour": 3_600_000_000}


class RateLimit(NamedTuple):
    """At most `calls` per `per` ('minute', 'hour', 'day') of the calls in a scope."""

    id: int
    name: str
    scope_key: str
    scope_value: str
    calls: int
    per: str

    @property
    def scope(self) -> str:
        return "all" if self.scope_key == "all" else f"{self.scope_key}={self.scope_value}"

    def covers(self, labels: Mapping[str, str]) -> bool:
        return self.scope_key == "all" or labels.get(self.scope_key) == self.scope_value


def load(db: Connection) -> tuple[RateLimit, ...]:
    """Every limit compiled into the ledger."""
    rows = db.execute("select id, name, scope_key, scope_value, calls, per from rate_limit order by id")
    return tuple(RateLimit(*row) for row in rows)


def check(
    db: Connection,
    limits: tuple[RateLimit, ...],
    attempt: Attempt,
    labels: Mapping[str, str],
    refuse: Callable[[SpendBlocked], None],
) -> None:
    """Count the call in the present window of every limit that covers it; a full one refuses."""
    for limit in limits:
        if not limit.covers(labels):
            continue
        start, end = window(db, limit.per, attempt.created_at)
        if not db.execute(_COUNT, (limit.id, start, limit.calls, end)).fetchall():
            reached = db.execute(_REACHED, (limit.id,)).fetchone()[0]
            start, end = window(db, limit.per, max(reached, attempt.created_at))
            refuse(refusal(limit, start, end, attempt.created_at))


def window(db: Connection, per: str, now: int) -> tuple[int, int]:
    """The window that contains `now`: (start, end) in µs UTC, half-open."""
    length = _FIXED_US.get(per)
    if length is not None:
        start = now - now % length
        return start, start + length
    from costmon.shim.policy import local_day

    return local_day(db, now)


def refusal(limit: RateLimit, start: int, end: int, now: int) -> SpendBlocked:
    """The limit is used up until `end`."""
    return SpendBlocked(
        f'rate limit "{limit.name}": {limit.calls} {"call" if limit.calls == 1 else "calls"} per {limit.per} for '
        f"{limit.scope} are used up until {until_text(end)}",
        scope=limit.scope,
        rule="rate",
        since=to_datetime(start),
        until=to_datetime(end),
        retry_after=(end - now) / 1e6,
    )


# A clock set back into the window before stays in the one it had reached: that must not give anybody a second helping.
# A window further ahead was reached by a wrong clock (hours, in local time, until NTP corrects it): believing it would
# refuse until that time comes.
_COUNT = """insert into rate_window (limit_id, start_at, calls) values (?1, ?2, 1)
            on conflict (limit_id) do update set
                calls = case when start_at between ?2 and ?4 then calls + 1 else 1 end,
                start_at = case when start_at between ?2 and ?4 then start_at else ?2 end
            where start_at not between ?2 and ?4 or calls < ?3 returning calls"""
_REACHED = "select start_at from rate_window where limit_id = ?"
