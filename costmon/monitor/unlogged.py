"""Budgets that count unlogged spend: what providers billed in the current period beyond what the budget counts already."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from costmon.insight.values import USAGE, View, total_of
from costmon.monitor import bills
from costmon.monitor.compile.writing import transaction
from costmon.shim import policy
from costmon.shim.money import convert
from costmon.store import figures as rows
from costmon.store.figures import DAY_US

_EVERY_US = 60_000_000
_ON = "select id from budget where count_unlogged <> 0"
_STALE = """select 1 from budget_period join budget on budget.id = budget_id
            where unlogged <> 0 and count_unlogged = 0 limit 1"""
_CLEAR = """update budget_period set unlogged = 0 where unlogged <> 0
            and budget_id in (select id from budget where count_unlogged = 0)"""


class Unlogged:
    """Keeps `budget_period.unlogged` right: looks when a figure came or the config changed, and once a minute."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._until = 0

    def refresh(self, db: sqlite3.Connection, now: int) -> bool:
        """`refresh` below if it is due; whether a row was written. Must not be called inside a transaction."""
        seen = (*rows.stamp(db), policy.generation(db))
        if seen == self._seen and now < self._until <= now + _EVERY_US:
            return False
        written = refresh(db, now)
        self._seen, self._until = seen, now + _EVERY_US
        return written


def refresh(db: sqlite3.Connection, now: int) -> bool:
    """Write the unlogged spend of every budget's current period; whether anything changed.

    Per provider it is max(0, billed − logged) over the closed buckets that begin in the period, so that what one
    provider billed too little hides nothing of another. Logged is what the budget counts: known costs, what calls of
    unknown price are assumed to cost, and what is reserved; before the ledger began it is nothing. Gateways and spend
    derived from balances do not count, nor does a bucket whose own figure is unknown, or what has no rate (`uncounted` tells
    of it). A bucket that is only the least that was billed hides nothing of others.

    Raises LedgerBusy when others hold the ledger for 5 s.
    """
    wanted = _wanted(db, now)
    stale = db.execute(_STALE).fetchone() is not None
    changes = [
        (unlogged, budget, start)
        for (budget, start), unlogged in wanted.items()
        if db.execute(
            "select 1 from budget_period where budget_id = ? and start_at = ? and unlogged <> ?",
            (budget, start, unlogged),
        ).fetchone()
    ]
    if not changes and not stale:
        return False

    def write() -> None:
        db.execute(_CLEAR)
        db.executemany("update budget_period set unlogged = ? where budget_id = ? and start_at = ?", changes)

    transaction(db, write)
    return True


def _wanted(db: sqlite3.Connection, now: int) -> dict[tuple[int, int], int]:
    """{(budget, start of its current period): unlogged} of the budgets that count it."""
    return {
        (budget.id, period.start): sum(
            max(0, _gap(view, period, budget.currency, rules, set())) for view in views
        )
        for rules, budget, period, views in _counting(db, now)
    }


def uncounted(db: sqlite3.Connection, now: int, provider: str = "") -> list[str]:
    """What of a provider's bills, or of all, budgets do not count for want of a rate, one sentence each."""
    found = []
    for rules, budget, period, views in _counting(db, now):
        for view in views:
            missing: set[str] = set()
            _gap(view, period, budget.currency, rules, missing)
            if missing and provider in ("", view.provider):
                found.append(
                    f'budget "{budget.name}" does not count all unlogged spend at {view.provider}, no rate from'
                    f" {' and '.join(sorted(missing))} to {budget.currency}: add [[currency.rate]] to the config"
                )
    return found


def _counting(
    db: sqlite3.Connection, now: int
) -> Iterator[tuple[policy.Policy, policy.Budget, policy.Period, list[View]]]:
    """The budgets that count unlogged spend, with their current period and the views of it that add up."""
    counting = {row[0] for row in db.execute(_ON)}
    if not counting:
        return
    rules = policy.load(db)
    for budget in rules.budgets:
        if budget.id not in counting or budget.scope_key not in ("all", "provider"):
            continue
        period = policy.period_at(db, budget, now)
        provider = "" if budget.scope_key == "all" else budget.scope_value
        views = bills.read_views(db, now, period.start - period.start % DAY_US, now, provider)
        yield rules, budget, period, [view for view in views if view.adds]


def _gap(view: View, period: policy.Period, currency: str, rules: policy.Policy, missing: set[str]) -> int:
    """Billed − logged of one provider's closed buckets, in nano of `currency`; `missing` takes what has no rate to it."""
    total = 0
    for stretch in view.stretches:
        if not period.start <= stretch.start < period.end or not stretch.closed or stretch.derived:
            continue
        own = () if (stretch.start, stretch.end) in view.prior else view.own[stretch.start, stretch.end]
        if isinstance(own, str):
            continue
        figures = [figure for figure in stretch.figures or () if figure.line == USAGE]
        billed = [_in(currency, one.amount, one.currency, stretch.start, rules, missing) for one in figures]
        logged = [_in(currency, one.counted, one.currency, stretch.start, rules, missing) for one in own]
        own_sum = total_of(logged)
        if own_sum is None:
            continue
        known = [nano for nano in billed if nano is not None]
        gap = sum(known) - own_sum
        total += max(0, gap) if stretch.least or len(known) < len(billed) else gap
    return total


def _in(currency: str, nano: int, base: str, at: int, rules: policy.Policy, missing: set[str]) -> int | None:
    if not nano:
        return 0
    rate = rules.rate(base, currency, at)
    if rate is None:
        missing.add(base)
        return None
    return convert(nano, rate)
