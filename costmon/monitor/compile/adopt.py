"""A new budget counts what its current period has already seen. Runs inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from costmon.budget.periods import Period
from costmon.config import Budget
from costmon.monitor.compile.days import corrections_paused
from costmon.shim.events import id_floor
from costmon.shim.money import PAR, Rate, convert

_COLUMNS = {"provider": "provider", "model": "model", "app": "app", "route": "route", "job": "job"}


class _Event(NamedTuple):
    id: str
    created_at: int
    state: str
    reserved: int
    cost: int | None
    currency: str
    charges: str


class _Totals(NamedTuple):
    """What a period's row starts with, in nano of the budget's currency."""

    spent: int = 0
    assumed: int = 0
    reserved: int = 0
    calls: int = 0
    unpriced: int = 0


def adopt_events(db: sqlite3.Connection, budget_id: int, budget: Budget, period: Period) -> None:
    """Charge `budget` with every event of its scope created in `period`, and write its totals.

    A settled event counts with its cost, one without a price with what it reserved; a call in flight is reserved.
    Each event remembers the charge, so that its settlement or a later correction moves this budget too.
    """
    rate_at = _rates(db, budget.amount.currency)
    live = {row[0] for row in db.execute("select id from budget")}
    totals = _Totals()
    charges = []
    for event in _events(db, budget, period):
        rate = rate_at(event.currency, event.created_at)
        totals = _count(totals, event, rate)
        charge = [budget_id, period.start_us, *_amounts(event, rate), *(rate or Rate(0, 1))]
        others = [old for old in json.loads(event.charges) if old[0] in live]
        charges.append((json.dumps([*others, charge], separators=(",", ":")), event.id))
    if not charges:
        return
    with corrections_paused(db):
        db.executemany("update event set charges = ? where id = ?", charges)
    db.execute(
        "update budget_period set spent = ?, assumed = ?, reserved = ?, calls = ?, unpriced = ?"
        " where budget_id = ? and start_at = ?",
        (*totals, budget_id, period.start_us),
    )


def _events(db: sqlite3.Connection, budget: Budget, period: Period) -> list[_Event]:
    """The events of the budget's scope in `period`; ids carry their time, so older events are not even looked at."""
    column = _COLUMNS.get(budget.scope_key)
    scope = f" and {column} = ?" if column else ""
    rows = db.execute(
        "select id, created_at, state, reserved, cost, currency, charges from event"  # noqa: S608 - names are ours
        f" where id >= ? and created_at >= ? and created_at < ?{scope}",
        (id_floor(period.start_us), period.start_us, period.end_us, *([budget.scope_value] if column else [])),
    )
    return [_Event(*row) for row in rows]


def _amounts(event: _Event, rate: Rate | None) -> tuple[int, int]:
    """(reserved, settled) in nano of the budget's currency; a currency nobody can convert charges nothing."""
    if rate is None:
        return 0, 0
    reserved = convert(event.reserved, rate)
    if event.state == "reserved":
        return reserved, 0
    return reserved, reserved if event.cost is None else convert(event.cost, rate)


def _count(totals: _Totals, event: _Event, rate: Rate | None) -> _Totals:
    reserved, settled = _amounts(event, rate)
    if event.state == "reserved":
        return totals._replace(reserved=totals.reserved + reserved)
    totals = totals._replace(calls=totals.calls + 1)
    if event.cost is None or rate is None:
        return totals._replace(assumed=totals.assumed + settled, unpriced=totals.unpriced + 1)
    return totals._replace(spent=totals.spent + settled)


def _rates(db: sqlite3.Connection, quote: str) -> Callable[[str, int], Rate | None]:
    """A function (currency, instant) → the rate into `quote` of that moment, None if there is none on file."""
    rates: dict[str, tuple[list[int], list[Rate]]] = {}
    for base, from_at, numerator, denominator in db.execute(
        "select base, from_at, numerator, denominator from exchange_rate where quote = ? order by from_at", (quote,)
    ):
        starts, values = rates.setdefault(base, ([], []))
        starts.append(from_at)
        values.append(Rate(numerator, denominator))

    def rate_at(currency: str, at: int) -> Rate | None:
        # The currency of an event without a price is not known yet; prices are in USD until a card says otherwise.
        base = currency or "USD"
        if base == quote:
            return PAR
        if base not in rates:
            return None
        starts, values = rates[base]
        return values[max(0, bisect_right(starts, at) - 1)]

    return rate_at
