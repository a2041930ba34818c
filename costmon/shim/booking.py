"""The two transactions of an event, as SQL: reserve before the call, settle after it. The caller holds the transaction.

In flight an attempt is a row of `reservation`; settled it is a row of `event`. A charge is one budget's share of it:
[budget id, period start µs, reserved, settled, rate numerator, rate denominator], money in nano of the budget's
currency. The rate is the one at admission and stays with the event.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from costmon.shim import schema
from costmon.shim.events import TOKEN_COLUMNS, Attempt, Settlement, clean
from costmon.shim.faults import report
from costmon.shim.money import NANO, Rate, convert
from costmon.shim.owner import is_gone, owner
from costmon.shim.policy import Budget, Period, local_day_at

if TYPE_CHECKING:
    from sqlite3 import Connection

_LARGE_UNITS = frozenset({"USD", "EUR", "GBP", "CHF", "CAD", "AUD", "CNY"})
LEASE_US = 600 * 1_000_000
MOST = 2**59  # nano one call can hold or cost in one budget
_MOST_SUM = 2**61  # where a budget's sums stop: all of them together still fit into a column
SLOT_US = 900 * 1_000_000  # every time zone's day starts on a quarter hour
Charge = list[int]


def most(currency: str) -> int:
    """The most one event can cost, nano: 10 million units, 100 million in a currency of small units.

    A price that is wrong by a factor of a million must not make sums that no column holds: 900 such events still
    add up to an integer, and 90 in a currency of small units.
    """
    return 10**16 if currency in _LARGE_UNITS else 10**17


def bounded(attempt: Attempt, settlement: Settlement) -> Settlement:
    """The settlement; one that costs more than an event can becomes one of unknown cost, charged at the most."""
    highest = most(settlement.currency)
    if settlement.cost is not None and settlement.cost > highest:
        report("cost", f"a call would cost over {highest // NANO:,} {settlement.currency}: kept as unknown")
        settlement = settlement._replace(cost=None, cost_status="unknown")
    charged = min(settlement.charge, most(attempt.currency))
    return settlement if charged == settlement.charge else settlement._replace(charge=charged)


def charge(budget: Budget, period: Period, reserved: int, rate: Rate) -> Charge:
    """A charge that has reserved `reserved` and settled nothing yet."""
    return [budget.id, period.start, reserved, 0, rate.numerator, rate.denominator]


def hold(db: Connection, charges: list[Charge]) -> None:
    """Hold each charge's money in its budget."""
    for budget_id, start, reserved, *_ in charges:
        db.execute(_HOLD, (reserved, budget_id, start))


def reserve(db: Connection, attempt: Attempt, charges: list[Charge]) -> None:
    """Insert the reservation whose money `charges` already hold."""
    a = attempt
    values = (
        a.id, a.created_at, a.created_at + LEASE_US, owner(), _estimate(a), _text(charges), a.source, a.app, a.route, a.job,
        int(a.essential), a.api, a.provider, a.model, a.endpoint, a.currency, int(a.assumed), a.fingerprint or None,
        a.run or None,
    )  # fmt: skip
    db.execute(_RESERVE, values)


def settle(
    db: Connection, attempt: Attempt, charges: list[Charge], machine: str, settlement: Settlement
) -> list[tuple[int, int]]:
    """Replace the reservation by what the call cost; returns (budget id, used in its period) of every budget charged.

    An event whose reservation could not be written is inserted all the same. One already settled for good stays; one
    settled as an orphan is replaced, its owner having come back.
    """
    settlement = bounded(attempt, settlement)
    sql, calls = _INSERT, int(attempt.source != METER)
    if db.execute(_RELEASE_AS_HELD, (attempt.id, _text(charges))).rowcount != 1:
        released = db.execute(_RELEASE, (attempt.id,)).fetchall()
        found = db.execute(_SETTLED, (attempt.id,)).fetchone()
        if released:
            charges = json.loads(released[0][0])  # a budget set meanwhile has adopted the call
        elif found is None:
            charges = [[c[0], c[1], 0, *c[3:]] for c in charges]
        elif found[0] == ORPHAN:
            sql = _REPLACE
            charges = _take_back(db, json.loads(found[1]), unpriced=bool(found[2]), calls=calls)
        else:
            return []
    settled = [_settled(entry, settlement) for entry in charges]
    _write(db, sql, _event_row(db, attempt, settled, machine, settlement))
    return _book_all(db, settled, settlement, calls)


def remainder_is_out(db: Connection, budget_id: int, period_start: int) -> bool:
    """Whether a call in flight holds less of a budget's period than it is estimated to cost."""
    for estimate, charges in db.execute("select reserved, charges from reservation"):
        for charged_to, start, held, _, numerator, denominator in json.loads(charges):
            ours = (charged_to, start) == (budget_id, period_start)
            if ours and held < convert(estimate, Rate(numerator, denominator)):
                return True
    return False


def renew(db: Connection, event_id: str, now: int) -> None:
    """A long call is still alive."""
    db.execute("update reservation set lease_until = ? where id = ?", (now + LEASE_US, event_id))


def settle_orphans(db: Connection, now: int) -> int:
    """Settle, at their estimate and flagged, the reservations whose owner died or whose lease ran out. Returns how many."""
    db.execute(_MOVE_OLD, (now,))  # an older shim that is still running reserves in the table of events
    db.execute(_FORGET_OLD, (now,))
    found = orphans(db, now)
    if found:
        machine = str(db.execute("select value from setting where key = 'machine'").fetchone()[0])
        for event_id in found:
            _settle_orphan(db, event_id, machine, now)
    return len(found)


def orphans(db: Connection, now: int) -> list[str]:
    """The ids of those reservations; looking needs no lock on the ledger."""
    rows = db.execute("select id, owner, lease_until from reservation").fetchall()
    return [row[0] for row in rows if row[2] < now or is_gone(row[1])]


def _settle_orphan(db: Connection, event_id: str, machine: str, now: int) -> None:
    if db.execute(_SETTLED, (event_id,)).fetchone() is not None:
        # An older shim settled it where it had reserved it; what is left is the money held here.
        for charges in db.execute(_RELEASE, (event_id,)).fetchall():
            hold(db, [[c[0], c[1], -c[2], *c[3:]] for c in json.loads(charges[0])])
        return
    row = db.execute(_TAKE, (event_id,)).fetchall()[0]
    (
        created_at,
        reserved,
        charges,
        *labels,
        essential,
        api,
        provider,
        model,
        endpoint,
        currency,
        assumed,
        fingerprint,
        run,
    ) = row
    source, app, route, job = labels
    attempt = Attempt(
        event_id, created_at, source, app, route, job, bool(essential), api, provider, model, endpoint, 0, 0, reserved,
        currency, bool(assumed), fingerprint or "", run or "",
    )  # fmt: skip
    settlement = Settlement(
        settled_at=now,
        outcome="unknown",
        usage_status="estimated",
        usage={},
        cost=None if assumed else reserved,
        currency=currency,
        cost_status="unknown" if assumed else "estimated",
        charge=reserved,
        note=ORPHAN,
    )
    settled = [_settled(entry, settlement) for entry in json.loads(charges)]
    _write(db, _INSERT, _event_row(db, attempt, settled, machine, settlement))
    _book_all(db, settled, settlement)


def _estimate(attempt: Attempt) -> int:
    return min(attempt.estimate, most(attempt.currency))


def _settled(entry: Charge, settlement: Settlement) -> Charge:
    budget_id, start, reserved, _, numerator, denominator = entry
    charged = min(convert(settlement.charge, Rate(numerator, denominator)), MOST)
    return [budget_id, start, reserved, charged, numerator, denominator]


def _book_all(
    db: Connection, charges: list[Charge], settlement: Settlement, calls: int = 1
) -> list[tuple[int, int]]:
    """Move every charge from reserved to spent, or to assumed where the price is unknown.

    Returns (budget id, what its period has used now); a budget that is gone is left out.
    """
    unpriced = settlement.cost is None
    book = _BOOK_ASSUMED if unpriced else _BOOK
    if (
        len(charges) == 2 and charges[0][2:4] == charges[1][2:4]
    ):  # the usual pair of budgets, in one statement
        (one, one_start, reserved, charged, *_), (other, other_start, *_) = charges
        values = (reserved, charged, calls, int(unpriced), one, one_start, other, other_start)
        return db.execute(book[1], values).fetchall()
    used: list[tuple[int, int]] = []
    for budget_id, start, reserved, charged, *_ in charges:
        used += db.execute(book[0], (reserved, charged, calls, int(unpriced), budget_id, start)).fetchall()
    return used


def _take_back(db: Connection, charges: list[Charge], *, unpriced: bool, calls: int) -> list[Charge]:
    """Undo settled charges, so that the event can be settled anew."""
    book = _BOOK_ASSUMED if unpriced else _BOOK
    for budget_id, start, _, charged, *_ in charges:
        db.execute(book[0], (0, -charged, -calls, -int(unpriced), budget_id, start)).fetchall()
    return [[entry[0], entry[1], 0, 0, *entry[4:]] for entry in charges]


def _event_row(db: Connection, a: Attempt, charges: list[Charge], machine: str, s: Settlement) -> list[Any]:
    usage = s.usage
    other = {name: count for name, count in usage.items() if name not in TOKEN_COLUMNS}
    return [
        a.created_at, s.settled_at, _day_of(db, a.created_at), machine, a.source, a.app, a.route, a.job,
        int(a.essential), a.api, a.provider, a.model, a.endpoint, s.outcome, s.status_code, clean(s.error) or None,
        s.usage_status, *[usage.get(name) for name in TOKEN_COLUMNS], json.dumps(other) if other else None,
        clean(s.service_tier, 40) or None, _estimate(a), s.charge, s.cost, s.currency, s.cost_status, s.price_version,
        s.duration_us, s.first_token_us, clean(s.request_id) or None, _text(charges), s.note, a.fingerprint or None,
        a.run or None, clean(s.response_id) or None, a.id,
    ]  # fmt: skip


def _write(db: Connection, sql: str, row: list[Any]) -> None:
    try:
        db.execute(sql, row)
    except _integrity_error():
        if row[-2] is None:
            raise
        # Another attempt already bears this response id. Both were seen on the wire, so both are attempts.
        db.execute(sql, [*row[:-2], None, row[-1]])


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


ORPHAN = "orphan"
METER = "meter"
"""The source of what a resource used: it costs, and is no call."""
_MOVE_OLD = schema.MOVE_RESERVED + " and lease_until < ?"
_FORGET_OLD = "delete from event where state = 'reserved' and lease_until < ?"
_RESERVATION = """created_at, reserved, charges, source, app, route, job, essential, api, provider, model, endpoint,
                  currency, assumed, fingerprint, run_id"""
_RESERVE = """insert into reservation (id, created_at, lease_until, owner, reserved, charges, source, app, route, job,
              essential, api, provider, model, endpoint, currency, assumed, fingerprint, run_id)
              values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_RELEASE_AS_HELD = "delete from reservation where id = ? and charges = ?"
_RELEASE = "delete from reservation where id = ? returning charges"
_SETTLED = "select note, charges, cost is null from event where id = ?"
_TAKE = f"delete from reservation where id = ? returning {_RESERVATION}"  # noqa: S608 - names are ours
_HOLD = "update budget_period set reserved = reserved + ? where budget_id = ? and start_at = ?"
_SPENT = f"""update budget_period set reserved = reserved - ?, spent = min(spent + ?, {_MOST_SUM}), calls = calls + ?,
            unpriced = unpriced + ? where """  # noqa: S608 - an integer of ours
_ASSUMED = _SPENT.replace("spent = min(spent", "assumed = min(assumed")
_ONE = "budget_id = ? and start_at = ? returning budget_id, spent + assumed + unlogged"
_TWO = "(budget_id = ? and start_at = ?) or " + _ONE
_BOOK = (_SPENT + _ONE, _SPENT + _TWO)
_BOOK_ASSUMED = (_ASSUMED + _ONE, _ASSUMED + _TWO)
_EVENT = f"""created_at, settled_at, local_day_at, machine, source, app, route, job, essential, api, provider, model,
             endpoint, outcome, status_code, error, usage_status, {", ".join(TOKEN_COLUMNS)}, units, service_tier,
             reserved, charge, cost, currency, cost_status, price_version, duration_us, first_token_us, request_id,
             charges, note, fingerprint, run_id, response_id"""
_MARKS = ", ".join("?" * (_EVENT.count(",") + 1))
_INSERT = f"insert into event ({_EVENT}, id, state) values ({_MARKS}, ?, 'settled')"  # noqa: S608
_REPLACE = f"update event set ({_EVENT}) = ({_MARKS}) where id = ?"  # noqa: S608
