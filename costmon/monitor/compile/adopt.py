"""A new budget counts what its current period has already seen. Runs inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from costmon.budget.periods import Period
from costmon.config import Budget
from costmon.shim.booking import METER
from costmon.shim.events import id_floor
from costmon.shim.money import Rate, convert
from costmon.shim.policy import load
from costmon.store.corrections import corrections_paused

_COLUMNS = {"provider": "provider", "model": "model", "app": "app", "route": "route", "job": "job"}


class _Event(NamedTuple):
    id: str
    created_at: int
    table: str
    reserved: int
    charge: int
    cost: int | None
    currency: str
    charges: str
    source: str


class _Share(NamedTuple):
    """One event's share of the budget, in nano of the budget's currency; `rate` None = not convertible."""

    event: _Event
    rate: Rate | None
    reserved: int
    settled: int


def adopt_events(db: sqlite3.Connection, budget_id: int, budget: Budget, period: Period) -> None:
    """Charge `budget` with every event of its scope created in `period`, and write its totals.

    A settled event counts with its cost, one without a price with what it reserved; a call in flight is
    reserved. Each event remembers the charge, so that settling or correcting it moves this budget too.
    """
    rate_at = _rates(db, budget.amount.currency)
    live = {row[0] for row in db.execute("select id from budget")}
    events = _events(db, budget, period)
    shares = [_share(event, rate_at(event.currency, event.created_at)) for event in events]
    if not shares:
        return
    with corrections_paused(db):
        for table in ("event", "reservation"):
            charges = [
                (_charges(share, live, budget_id, period.start_us), share.event.id)
                for share in shares
                if share.event.table == table
            ]
            db.executemany(f"update {table} set charges = ? where id = ?", charges)  # noqa: S608 - names are ours
    db.execute(
        "update budget_period set spent = ?, assumed = ?, reserved = ?, calls = ?, unpriced = ?"
        " where budget_id = ? and start_at = ?",
        (*_totals(shares), budget_id, period.start_us),
    )


def _events(db: sqlite3.Connection, budget: Budget, period: Period) -> list[_Event]:
    """The events of the budget's scope in `period`; ids carry their time, so older ones are not looked at."""
    column = _COLUMNS.get(budget.scope_key)
    scope = f" and {column} = ?" if column else ""
    where = f"where id >= ? and created_at >= ? and created_at < ?{scope}"
    values: list[object] = [id_floor(period.start_us), period.start_us, period.end_us]
    values += [budget.scope_value] if column else []
    settled = db.execute(
        "select id, created_at, 'event', reserved, coalesce(charge, reserved), cost, currency, charges, source from event "  # noqa: S608 - names are ours
        + where,
        values,
    )
    flying = db.execute(
        "select id, created_at, 'reservation', reserved, reserved, null, currency, charges, source from reservation "  # noqa: S608
        + where,
        values,
    )
    return [_Event._make(row) for row in (*settled, *flying)]


def _share(event: _Event, rate: Rate | None) -> _Share:
    """What the event charges; in a currency nobody can convert it charges nothing and counts as unpriced."""
    if rate is None:
        return _Share(event, None, 0, 0)
    reserved = convert(event.reserved, rate)
    if event.table == "reservation":
        return _Share(event, rate, reserved, 0)
    return _Share(event, rate, reserved, convert(event.charge if event.cost is None else event.cost, rate))


def _charges(share: _Share, live: set[int], budget_id: int, start_us: int) -> str:
    """The event's `charges`: those of budgets that still exist, then this one."""
    rate = share.rate or Rate(0, 1)
    own = f"[{budget_id},{start_us},{share.reserved},{share.settled},{rate.numerator},{rate.denominator}]"
    if share.event.charges == "[]":
        return f"[{own}]"
    others = [charge for charge in json.loads(share.event.charges) if charge[0] in live]
    return json.dumps([*others, json.loads(own)], separators=(",", ":"))


def _totals(shares: list[_Share]) -> tuple[int, int, int, int, int]:
    """(spent, assumed, reserved, calls, unpriced) of the period."""
    settled = [share for share in shares if share.event.table == "event"]
    unpriced = [share for share in settled if share.event.cost is None or share.rate is None]
    assumed = sum(share.settled for share in unpriced)
    in_flight = sum(share.reserved for share in shares if share.event.table == "reservation")
    spent = sum(share.settled for share in settled) - assumed
    calls = sum(share.event.source != METER for share in settled)
    return spent, assumed, in_flight, calls, len(unpriced)


def _rates(db: sqlite3.Connection, quote: str) -> Callable[[str, int], Rate | None]:
    """A function (currency, instant) → the rate into `quote` of that moment, None if none is on file."""
    rules = load(db)

    def rate_at(currency: str, at: int) -> Rate | None:
        return rules.rate(currency or "USD", quote, at)

    return rate_at
