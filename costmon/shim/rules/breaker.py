"""A circuit breaker for each provider: closed, open for a while after failures in a row, then half-open with one probe.

Its whole state is one row of the ledger, so that it holds in every process: closed while `opened_at` is null, open for
`pause_us` from there, then half-open. The probe holds a lease: one that never comes back is replaced by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import SpendBlocked
from costmon.shim.timestamps import to_datetime, until_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from costmon.shim.events import Attempt

PROBE_LEASE_US = 60_000_000


class Breaker(NamedTuple):
    """Opens at `failures` failures within `within_us`, for `pause_us`."""

    failures: int
    within_us: int
    pause_us: int


def check(db: Connection, breaker: Breaker, attempt: Attempt, refuse: Callable[[SpendBlocked], None]) -> None:
    """Refuse while the provider's breaker is open; once the pause is over let one call through as the probe."""
    row = db.execute(_STATE, (attempt.provider,)).fetchone()
    if row is None or row[0] is None:
        return
    opened_at, probe_until, failures = row
    now = attempt.created_at
    end = opened_at + breaker.pause_us
    if (
        opened_at - breaker.pause_us < now < end
    ):  # a clock set back further than a pause does not keep it open
        refuse(_refusal(attempt, failures, opened_at, end, "calls to it are paused"))
    elif probe_until is not None and now < probe_until <= now + PROBE_LEASE_US:
        refuse(_refusal(attempt, failures, opened_at, probe_until, "one call is trying it"))
    else:
        db.execute(_PROBE, (attempt.id, now + PROBE_LEASE_US, attempt.provider))


def after(db: Connection, breaker: Breaker, attempt: Attempt, now: int, failed: bool | None) -> None:
    """Count a failure, or a success; None = the app gave the call up, which frees a probe's place."""
    if failed is None:
        db.execute(_FREE, (attempt.provider, attempt.id))
    elif failed:
        values = (attempt.provider, now, now - breaker.within_us, breaker.failures, attempt.id)
        db.execute(_FAILED, values)
    else:
        # While it is open only the probe's word counts: an older call may have begun before the trouble.
        db.execute(_WORKED, (attempt.provider, attempt.id))


def _refusal(attempt: Attempt, failures: int, opened_at: int, until: int, what: str) -> SpendBlocked:
    return SpendBlocked(
        f"circuit breaker of {attempt.provider}: {failures} failures in a row, {what} until {until_text(until)}",
        scope=f"provider={attempt.provider}",
        rule="breaker",
        since=to_datetime(opened_at),
        until=to_datetime(until),
        retry_after=max(0.0, (until - attempt.created_at) / 1e6),
    )


_STATE = "select opened_at, probe_until, failures from breaker where provider = ?"
_PROBE = "update breaker set probe = ?, probe_until = ? where provider = ?"
_FREE = "update breaker set probe = null, probe_until = null where provider = ? and probe = ?"
_WORKED = "delete from breaker where provider = ? and (opened_at is null or probe = ?)"
_FAILED = """insert into breaker (provider, failures, first_failure_at, opened_at)
    values (?1, 1, ?2, case when ?4 <= 1 then ?2 end)
    on conflict (provider) do update set
        opened_at = case
            when opened_at is not null then case when probe = ?5 then ?2 else opened_at end
            when first_failure_at >= ?3 and failures + 1 >= ?4 or ?4 <= 1 then ?2 end,
        failures = case when opened_at is not null or first_failure_at >= ?3 then failures + 1 else 1 end,
        first_failure_at = case when opened_at is not null or first_failure_at >= ?3 then first_failure_at else ?2 end,
        probe_until = case when probe = ?5 then null else probe_until end,
        probe = case when probe = ?5 then null else probe end"""
