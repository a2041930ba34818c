"""Guards against the same request over and over: too many identical calls, or too many failed tries of one of them.

Requests are told apart by a keyed hash of their body (`Attempt.fingerprint`); what they say is not stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import SpendBlocked
from costmon.shim.timestamps import to_datetime, until_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from costmon.shim.events import Attempt

_PRUNE_ONE_IN = 64


class Guard(NamedTuple):
    """At most `most` within `within_us` of the first."""

    most: int
    within_us: int


def check(
    db: Connection,
    repeat: Guard | None,
    retry_loop: Guard | None,
    attempt: Attempt,
    refuse: Callable[[SpendBlocked], None],
) -> None:
    """Refuse a request that failed too often, or was made too often; else count it."""
    now = attempt.created_at
    row = db.execute(_STATE, (attempt.fingerprint,)).fetchone()
    first_at, calls, failed_at, failures = row or (now, 0, now, 0)
    looping = retry_loop is not None and failures >= retry_loop.most
    if retry_loop is not None and looping and _inside(failed_at, now, retry_loop):
        refuse(_refusal(attempt, "retry_loop", failed_at, failed_at + retry_loop.within_us, failures))
    if repeat is None:
        return
    if row is not None and _inside(first_at, now, repeat) and calls >= repeat.most:
        refuse(_refusal(attempt, "repeat", first_at, first_at + repeat.within_us, calls))
    db.execute(_CALLED, (attempt.fingerprint, now, now - repeat.within_us))
    _prune(db, attempt, repeat, retry_loop)


def after(
    db: Connection, repeat: Guard | None, retry_loop: Guard, attempt: Attempt, now: int, *, failed: bool
) -> None:
    """Count a failed try; one that worked ends the loop."""
    if failed:
        db.execute(_FAILED, (attempt.fingerprint, now, now - retry_loop.within_us))
        _prune(db, attempt, repeat, retry_loop)
    else:
        db.execute(_WORKED, (attempt.fingerprint,))


def _inside(first_at: int, now: int, guard: Guard) -> bool:
    """Whether a window that began at `first_at` still runs; one that began in the future (a clock set back) does not."""
    return first_at <= now < first_at + guard.within_us


def _prune(db: Connection, attempt: Attempt, *guards: Guard | None) -> None:
    """Forget windows that are over for every guard, at one call in 64: the last digits of the id are random."""
    if int(attempt.id[-2:], 16) % _PRUNE_ONE_IN == 0:
        before = attempt.created_at - max(guard.within_us for guard in guards if guard is not None)
        db.execute(_PRUNE, (before, before))


def _refusal(attempt: Attempt, rule: str, since: int, until: int, count: int) -> SpendBlocked:
    what = "the same request was made" if rule == "repeat" else "the same request failed"
    minutes = f"since {until_text(since)}"
    return SpendBlocked(
        f"{what} {count} times {minutes} (rule {rule}); it is refused until {until_text(until)}",
        scope=f"app={attempt.app}",
        rule=rule,
        since=to_datetime(since),
        until=to_datetime(until),
        retry_after=(until - attempt.created_at) / 1e6,
    )


_STATE = "select first_at, calls, failed_at, failures from repetition where fingerprint = ?"
_CALLED = """insert into repetition (fingerprint, first_at, calls) values (?1, ?2, 1)
    on conflict (fingerprint) do update set
        calls = case when first_at between ?3 + 1 and ?2 then calls + 1 else 1 end,
        first_at = case when first_at between ?3 + 1 and ?2 then first_at else ?2 end"""
_FAILED = """insert into repetition (fingerprint, first_at, calls, failed_at, failures) values (?1, ?2, 0, ?2, 1)
    on conflict (fingerprint) do update set
        failures = case when failed_at between ?3 + 1 and ?2 then failures + 1 else 1 end,
        failed_at = case when failed_at between ?3 + 1 and ?2 then failed_at else ?2 end"""
_WORKED = "update repetition set failures = 0, failed_at = null where fingerprint = ? and failures > 0"
_PRUNE = "delete from repetition where first_at < ? and coalesce(failed_at, 0) < ?"
