"""The two transactions of an event, as SQL: reserve before the call, settle after it. The caller holds the transaction.

A charge is one budget's share of an event: [budget id, period start µs, reserved, settled, rate numerator, rate
denominator], money in nano of the budget's currency. The rate is the one at admission and stays with the event.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from costmon.shim.events import TOKEN_COLUMNS, Attempt, Settlement, clean
from costmon.shim.money import Rate, convert
from costmon.shim.owner import is_gone, owner
from costmon.shim.policy import Budget, Period, local_day_at

if TYPE_CHECKING:
    from sqlite3 import Connection

LEASE_US = 600 * 1_000_000
SLOT_US = 900 * 1_000_000  # every time zone's day starts on a quarter hour
Charge = list[int]


def charge(budget: Budget, period: Period, reserved: int, rate: Rate) -> Charge:
    """A charge that has reserved `reserved` and settled nothing yet."""
    return [budget.id, period.start, reserved, 0, rate.numerator, rate.denominator]


def reserve(db: Connection, attempt: Attempt, charges: list[Charge], machine: str) -> None:
    """Insert the event as reserved and hold its money in every budget it counts against."""
    for budget_id, start, reserved, *_ in charges:
        db.execute(_HOLD, (reserved, budget_id, start))
    db.execute(_INSERT, _attempt_row(db, attempt, charges, machine))


def settle(
    db: Connection, attempt: Attempt, charges: list[Charge], machine: str, settlement: Settlement
) -> list[tuple[int, int]]:
    """Replace the reservation by what the call cost; returns (budget id, used in its period) of every budget charged.

    An event whose reservation could not be written is inserted now. One already settled for good stays; one settled
    as an orphan is replaced, its owner having come back.
    """
    settled = [_settled(entry, settlement) for entry in charges]
    if not _update(db, attempt, settled, settlement, _text(charges)):
        held = _held(db, attempt, charges, machine)
        if held is None:
            return []
        settled = [_settled(entry, settlement) for entry in held]
        _update(db, attempt, settled, settlement, None)
    return [(entry[0], _book(db, entry, settlement)) for entry in settled]


def _held(db: Connection, attempt: Attempt, charges: list[Charge], machine: str) -> list[Charge] | None:
    """The charges to settle when the event is not as its owner left it; None when it is settled for good."""
    row = db.execute(
        "select state, note, charges, cost is null from event where id = ?", (attempt.id,)
    ).fetchone()
    if row is None:
        held = [[c[0], c[1], 0, *c[3:]] for c in charges]
        db.execute(_INSERT, _attempt_row(db, attempt, held, machine))
        return held
    if row[0] == "reserved":
        return list(json.loads(row[2]))  # a budget set meanwhile has adopted the call
    return _take_back(db, json.loads(row[2]), unpriced=bool(row[3])) if row[1] == "orphan" else None


def renew(db: Connection, event_id: str, now: int) -> None:
    """A long call is still alive."""
    db.execute(
        "update event set lease_until = ? where id = ? and state = 'reserved'", (now + LEASE_US, event_id)
    )


def settle_orphans(db: Connection, now: int) -> int:
    """Settle, at their estimate and flagged, the reservations whose owner died or whose lease ran out. Returns how many."""
    rows = db.execute(
        "select id, owner, lease_until, charges, reserved, currency, cost_status from event where state = 'reserved'"
    ).fetchall()
    orphans = [row for row in rows if is_gone(row[1] or "") or (row[2] or 0) < now]
    for event_id, _, _, charges, reserved, currency, status in orphans:
        known = status != "unknown"
        settlement = Settlement(
            now,
            "unknown",
            "estimated",
            {},
            reserved if known else None,
            currency,
            "estimated" if known else "unknown",
            reserved,
        )
        settled = [_settled(entry, settlement) for entry in json.loads(charges)]
        for entry in settled:
            _book(db, entry, settlement)
        db.execute(_ORPHAN, (now, settlement.cost, settlement.cost_status, _text(settled), event_id))
    return len(orphans)


def _settled(entry: Charge, settlement: Settlement) -> Charge:
    budget_id, start, reserved, _, numerator, denominator = entry
    charged = convert(settlement.charge, Rate(numerator, denominator))
    return [budget_id, start, reserved, charged, numerator, denominator]


def _book(db: Connection, entry: Charge, settlement: Settlement) -> int:
    """Move a charge of the budget's period from reserved to spent, or to assumed where the price is unknown.

    Returns what the period has used now; 0 when the budget is gone.
    """
    budget_id, start, reserved, charged, *_ = entry
    unpriced = settlement.cost is None
    sql = _BOOK_ASSUMED if unpriced else _BOOK
    rows = db.execute(sql, (reserved, charged, 1, int(unpriced), budget_id, start)).fetchall()
    return int(rows[0][0]) if rows else 0


def _take_back(db: Connection, charges: list[Charge], *, unpriced: bool) -> list[Charge]:
    """Undo settled charges, so that the event can be settled anew."""
    sql = _BOOK_ASSUMED if unpriced else _BOOK
    for budget_id, start, _, charged, *_ in charges:
        db.execute(sql, (0, -charged, -1, -int(unpriced), budget_id, start)).fetchall()
    return [[entry[0], entry[1], 0, 0, *entry[4:]] for entry in charges]


def _attempt_row(db: Connection, a: Attempt, charges: list[Charge], machine: str) -> tuple[Any, ...]:
    return (
        a.id, a.created_at, _day_of(db, a.created_at), machine, a.source, a.app, a.route, a.job, int(a.essential),
        a.api, a.provider, a.model, a.endpoint, a.estimate, a.currency, "unknown" if a.assumed else None,
        owner(), a.created_at + LEASE_US, _text(charges),
    )  # fmt: skip


def _update(db: Connection, a: Attempt, charges: list[Charge], s: Settlement, as_held: str | None) -> bool:
    """Write the settlement. With `as_held`, only if the event still is reserved with exactly these charges."""
    usage = s.usage
    other = {name: count for name, count in usage.items() if name not in TOKEN_COLUMNS}
    values = (
        s.settled_at, s.charge, s.outcome, s.status_code, clean(s.error) or None, s.usage_status,
        *[usage.get(name) for name in TOKEN_COLUMNS],
        json.dumps(other) if other else None, clean(s.service_tier, 40) or None, s.cost, s.currency, s.cost_status,
        s.price_version, s.duration_us, s.first_token_us, clean(s.request_id) or None, _text(charges), s.note,
    )  # fmt: skip
    sql, key = (_SETTLE, (a.id,)) if as_held is None else (_SETTLE_HELD, (a.id, as_held))
    response_id = clean(s.response_id) or None
    try:
        return db.execute(sql, (*values, response_id, *key)).rowcount == 1
    except _integrity_error():
        # Another attempt already bears this response id. Both were seen on the wire, so both are attempts.
        return db.execute(sql, (*values, None, *key)).rowcount == 1


def _integrity_error() -> type[Exception]:
    import sqlite3

    return sqlite3.IntegrityError


_day: tuple[int, int] = (-1, 0)


def _day_of(db: Connection, at: int) -> int:
    """The operator's local day of an instant; the last answer serves for the quarter hour it is surely right for."""
    global _day
    slot = at - at % SLOT_US
    if _day[0] != slot:
        _day = (slot, local_day_at(db, at))
    return _day[1]


def forget_day() -> None:
    """The operator's time zone may have changed."""
    global _day
    _day = (-1, 0)


def _text(charges: list[Charge]) -> str:
    """Lists of integers print as JSON."""
    return str(charges)


_HOLD = "update budget_period set reserved = reserved + ? where budget_id = ? and start_at = ?"
_BOOK = """update budget_period set reserved = reserved - ?, spent = spent + ?, calls = calls + ?,
           unpriced = unpriced + ? where budget_id = ? and start_at = ? returning spent + assumed"""
_BOOK_ASSUMED = _BOOK.replace("spent = spent", "assumed = assumed")
_INSERT = """insert into event (id, created_at, local_day_at, machine, source, app, route, job, essential,
             api, provider, model, endpoint, reserved, currency, cost_status, owner, lease_until, charges, state)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'reserved')"""
_SETTLE = f"""update event set state = 'settled', owner = null, lease_until = null, settled_at = ?, charge = ?, outcome = ?,
             status_code = ?, error = ?, usage_status = ?, {" = ?, ".join(TOKEN_COLUMNS)} = ?, units = ?,
             service_tier = ?, cost = ?, currency = ?, cost_status = ?, price_version = ?, duration_us = ?,
             first_token_us = ?, request_id = ?, charges = ?, note = ?, response_id = ? where id = ?"""  # noqa: S608
_SETTLE_HELD = _SETTLE + " and state = 'reserved' and charges = ?"
_ORPHAN = """update event set state = 'settled', outcome = 'unknown', usage_status = 'estimated', settled_at = ?,
             charge = reserved, cost = ?, cost_status = ?, charges = ?, owner = null, lease_until = null, note = 'orphan'
             where id = ?"""
