"""Change what settled events cost, and move the rollups and budgets with them.

Usage is the fact, its cost a judgement that may be corrected. Everything here runs inside the caller's transaction, and
adds up the changes of many events before it writes them: a batch of 2,000 events holds the ledger for some 20 ms.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from costmon.shim.booking import METER, MOST, SLOT_US
from costmon.shim.money import PAR, Rate, convert
from costmon.shim.policy import Policy
from costmon.shim.schema import DIMENSIONS, SUMS


class Settled(NamedTuple):
    """A settled event as far as sums depend on it; money in nano, `charge` in the currency it was reserved in."""

    id: str
    created_at: int
    local_day_at: int
    provider: str
    model: str
    app: str
    route: str
    job: str
    source: str
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    cost: int | None
    currency: str
    cost_status: str
    price_version: str | None
    charge: int | None
    charges: str


COLUMNS = ", ".join(Settled._fields)
_ENABLE_TRIGGER = 1003  # sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, which Python 3.11 does not name


class Judgement(NamedTuple):
    """What an event is said to have cost: nano of `currency`, None = unknown. `charge` is what budgets are charged: the
    cost, or what an unknown price is assumed to have cost."""

    cost: int | None
    currency: str
    cost_status: str
    price_version: str | None
    charge: int | None


Change = tuple[Settled, Judgement]
_Share = tuple[str, str, str, str, str, str]


def settled_events(db: sqlite3.Connection, ids: Iterable[str]) -> list[Settled]:
    """The settled events of `ids`, in the order of their ids; others are left out."""
    rows = db.execute(
        f"select {COLUMNS} from event where state = 'settled' and id in (select value from json_each(?))"  # noqa: S608
        " order by id",
        (json.dumps(list(ids)),),
    )
    return [Settled._make(row) for row in rows]


@contextmanager
def corrections_paused(db: sqlite3.Connection) -> Iterator[None]:
    """Settled events can be rewritten without being taken out of the rollups and put back, row by row.

    From Python 3.12 on this connection's triggers rest. Before, the trigger is dropped and made again inside the
    transaction: nobody ever sees a ledger without it, but every process prepares its statements anew.
    """
    setconfig = getattr(db, "setconfig", None)
    if setconfig is None:
        with _dropped(db):
            yield
        return
    setconfig(_ENABLE_TRIGGER, False)
    try:
        yield
    finally:
        setconfig(_ENABLE_TRIGGER, True)


@contextmanager
def _dropped(db: sqlite3.Connection) -> Iterator[None]:
    trigger = db.execute(
        "select sql from sqlite_master where type = 'trigger' and name = 'event_corrected'"
    ).fetchone()
    if trigger is not None:
        db.execute("drop trigger event_corrected")
    yield
    if trigger is not None:
        db.execute(trigger[0])


class Corrections:
    """Changes of settled events, added up as they come and written together.

    A rate that was fixed at admission stays with its share of a charge while it is one from the event's currency; else
    the rate of the event's moment holds. A budget that is gone, and one whose currency nobody can convert to, keeps its
    share.
    """

    def __init__(self, rules: Policy) -> None:
        self._rate = rules.rate
        self._currencies = {str(budget.id): budget.currency for budget in rules.budgets}
        self._rates: dict[tuple[str, str], Rate] = {}
        self.clear()

    def __len__(self) -> int:
        return len(self._updates)

    def clear(self) -> None:
        """Forget what was added."""
        self._updates: list[tuple[object, ...]] = []
        self._costs: dict[tuple[object, ...], int] = {}
        self._sums: Totals = {}
        self._budgets: dict[tuple[str, str], list[int]] = {}

    def add(self, event: Settled, new: Judgement, charges: str | None = None) -> None:
        """Event by event: what it is to say now. `charges` None: shared by the rates as above."""
        (event_id, at, day, provider, model, app, route, job, *_, cost, currency, status, _, _, shared) = (
            event
        )
        if shared != "[]" or charges:
            charges = self._recharged(event, new) if charges is None else self._replaced(event, new, charges)
        self._updates.append((*new, charges or "[]", event_id))
        place = (at - at % SLOT_US, day, provider, model, app, route, job, currency)
        if status == new.cost_status == "priced" and currency == new.currency:
            self._costs[place] = self._costs.get(place, 0) + (new.cost or 0) - (cost or 0)
            return
        before, after = _contribution(event, event), _contribution(event, new)
        if currency == new.currency:
            _add(self._sums, place, [b - a for a, b in zip(before, after, strict=True)])
        else:
            _add(self._sums, place, [-value for value in before])
            _add(self._sums, (*place[:-1], new.currency), after)

    def write(self, db: sqlite3.Connection, run_id: int | None = None) -> None:
        """Inside the caller's transaction: give each event its new judgement, and move the sums of both rollups and of
        every budget that still exists.

        With `run_id` what the events said before is kept in `cost_revision`, so that the run can be reverted. The
        events must be in the ledger as they were when they were added.
        """
        if not self._updates:
            return
        if run_id is not None:
            db.execute(_KEEP, (run_id, json.dumps([update[-1] for update in self._updates])))
        with corrections_paused(db):
            db.executemany(_UPDATE, self._updates)
        _move_rollups(db, self._whole_sums())
        move_budgets(db, self._budgets)

    def moves(self) -> tuple[Totals, dict[tuple[str, str], list[int]]]:
        """What was added, as it moves other sums than the events': {(local day, dimensions …): SUMS} and {(budget, start
        of its period): [spent, assumed, unpriced]}."""
        days: Totals = {}
        for (_, *place), sums in self._whole_sums().items():
            _add(days, tuple(place), sums)
        return days, self._budgets

    def _whole_sums(self) -> Totals:
        for place, value in self._costs.items():
            _add(self._sums, place, [value if name == "cost" else 0 for name in SUMS])
        self._costs.clear()
        return self._sums

    def _recharged(self, event: Settled, new: Judgement) -> str:
        """The event's shares of its new charge, booked."""
        old_unknown, unknown = event.cost is None, new.cost is None
        charge = (new.charge if new.cost is None else new.cost) or 0
        shares = []
        for old in _shares(event.charges):
            budget, start, reserved, was, numerator, denominator = old
            quote = self._currencies.get(budget)
            if quote is None:
                shares.append(", ".join(old))
                continue
            settled = int(was)
            now, rate = settled, self._rate_of(event, new.currency, quote, settled, numerator, denominator)
            sums = self._booked(budget, start)
            _book(sums, settled, -1, unknown=old_unknown or numerator == "0")
            if rate is not None:
                now = min(charge if rate is PAR else convert(charge, rate), MOST)
                numerator, denominator = str(rate.numerator), str(rate.denominator)
            _book(sums, now, 1, unknown=unknown or numerator == "0")
            shares.append(f"{budget}, {start}, {reserved}, {now}, {numerator}, {denominator}")
        return f"[[{'], ['.join(shares)}]]"

    def merged(self, event: Settled, old: Judgement, charges: str) -> str:
        """The shares of `charges` where the event still has them; its others as they would be with `old`."""
        then = {entry[:2]: entry for entry in _shares(charges)}
        charge = (old.charge if old.cost is None else old.cost) or 0
        shares = [
            then.get(entry[:2]) or self._share(event, entry, old.currency, charge)
            for entry in _shares(event.charges)
        ]
        return f"[{', '.join('[{}]'.format(', '.join(entry)) for entry in shares)}]"

    def _share(self, event: Settled, entry: _Share, currency: str, charge: int) -> _Share:
        """A share of the event once it is charged `charge` of `currency`."""
        budget, start, reserved, settled, numerator, denominator = entry
        rate = self._rate_of(
            event, currency, self._currencies.get(budget), int(settled), numerator, denominator
        )
        if rate is None:
            return entry
        now = str(min(convert(charge, rate), MOST))
        if rate is PAR:
            return budget, start, reserved, now, "1", "1"
        return budget, start, reserved, now, str(rate.numerator), str(rate.denominator)

    def _rate_of(
        self, event: Settled, currency: str, quote: str | None, settled: int, numerator: str, denominator: str
    ) -> Rate | None:
        if quote is None:
            return None
        if currency == quote:
            return PAR
        if currency == event.currency:
            rate = self._rates.get((numerator, denominator))
            if rate is None:
                rate = self._rates[numerator, denominator] = Rate(int(numerator), int(denominator))
            # The reservation may have been in another currency; then the share's rate is one from that.
            known = event.charge if event.cost is None and event.price_version is None else event.cost
            if known and min(convert(known, rate), MOST) == settled:
                return rate
        return self._rate(currency, quote, event.created_at)

    def _replaced(self, event: Settled, new: Judgement, charges: str) -> str:
        """Book the shares of `charges` in place of the event's."""
        for text, cost, sign in ((event.charges, event.cost, -1), (charges, new.cost, 1)):
            for budget, start, _, settled, numerator, _ in _shares(text):
                if budget in self._currencies:
                    sums = self._booked(budget, start)
                    _book(sums, int(settled), sign, unknown=cost is None or numerator == "0")
        return charges

    def _booked(self, budget: str, start: str) -> list[int]:
        sums = self._budgets.get((budget, start))
        if sums is None:
            sums = self._budgets[budget, start] = [0, 0, 0]
        return sums


def _shares(charges: str) -> list[_Share]:
    """The entries of an event's charges as texts; lists of integers print as JSON, with or without blanks."""
    if charges == "[]":
        return []
    return [tuple(entry.split(",")) for entry in charges.replace(" ", "")[2:-2].split("],[")]  # type: ignore[misc]


def _book(sums: list[int], settled: int, sign: int, *, unknown: bool) -> None:
    """Add a share: to `spent`, or to `assumed` where its price or the rate to the budget is unknown."""
    if unknown:
        sums[1] += sign * settled
        sums[2] += sign
    else:
        sums[0] += sign * settled


# --- sums ---------------------------------------------------------------------------------------------------------

_KEY = DIMENSIONS.split(", ")
Totals = dict[tuple[object, ...], list[int]]


def _contribution(event: Settled, now: Settled | Judgement) -> tuple[int, ...]:
    """What an event adds to its rollup rows, in the order of SUMS."""
    cost, status = now.cost, now.cost_status
    estimated = status == "estimated"
    return (
        event.source != METER,
        event.outcome != "ok",
        event.input_tokens or 0,
        event.output_tokens or 0,
        cost or 0,
        cost is None,
        estimated,
        status == "partial",
        (cost or 0) if estimated else 0,
        (now.charge or 0) if cost is None else 0,
    )


def _add(totals: Totals, key: tuple[object, ...], sums: Sequence[int]) -> None:
    known = totals.get(key)
    totals[key] = list(sums) if known is None else [a + b for a, b in zip(known, sums, strict=True)]


def _move_rollups(db: sqlite3.Connection, found: Totals) -> None:
    """`found`: (quarter hour, local day, dimensions …) → what to add to both rows."""
    quarters: Totals = {}
    days: Totals = {}
    for (slot, day, *key), sums in found.items():
        _add(quarters, (slot, *key), sums)
        _add(days, (day, *key), sums)
    _apply(db, "rollup_quarter", "slot_at", quarters)
    _apply(db, "rollup_day", "day_at", days)


def move_days(db: sqlite3.Connection, days: Totals) -> None:
    """Add to the sums of days: {(local day, dimensions …): SUMS}."""
    _apply(db, "rollup_day", "day_at", days)


def move_budgets(db: sqlite3.Connection, budgets: Mapping[tuple[str, str], Sequence[int]]) -> None:
    """Add to budgets that still exist: {(budget, start of its period): [spent, assumed, unpriced]}."""
    db.executemany(_BOOK, [(*sums, *key) for key, sums in budgets.items() if any(sums)])


def _apply(db: sqlite3.Connection, table: str, slot: str, totals: Totals) -> None:
    columns = (slot, *_KEY)
    updates = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    db.executemany(
        f"insert into {table} ({', '.join((*columns, *SUMS))})"  # noqa: S608 - names are ours
        f" values ({', '.join('?' * (len(columns) + len(SUMS)))})"
        f" on conflict ({', '.join(columns)}) do update set {updates}",
        [(*key, *sums) for key, sums in totals.items() if any(sums)],
    )
    same = " and ".join(f"{name} = ?" for name in columns)
    empty = " and ".join(f"{name} = 0" for name in SUMS)
    # Moved to another currency; what a resource used counts no calls.
    emptied = [key for key, sums in totals.items() if min(sums) < 0]
    db.executemany(f"delete from {table} where {same} and {empty}", emptied)  # noqa: S608


_UPDATE = """update event set cost = ?, currency = ?, cost_status = ?, price_version = ?, charge = ?, charges = ?
    where id = ?"""
_KEEP = """insert or ignore into cost_revision
    (run_id, event_id, cost, currency, cost_status, price_version, charge, charges)
    select ?, id, cost, currency, cost_status, price_version, charge, charges from event
    where id in (select value from json_each(?))"""
_BOOK = """update budget_period set spent = spent + ?, assumed = assumed + ?, unpriced = unpriced + ?
    where budget_id = ? and start_at = ?"""

# --- reverting ----------------------------------------------------------------------------------------------------


def add_revision(into: Corrections, event: Settled, old: Judgement, charges: str) -> Change | None:
    """Add what brings an event back to a revision of it; None when it says so already.

    A budget that has adopted the event since is charged what it would have been, one that is gone keeps its share.
    """
    if (*old, charges) == event[-6:]:
        return None
    if [entry[:2] for entry in _shares(event.charges)] == [entry[:2] for entry in _shares(charges)]:
        into.add(event, old, charges)
    else:
        into.add(event, old, into.merged(event, old, charges))
    return event, old
