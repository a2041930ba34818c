"""The budgets of a ledger with their totals in the period of a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from costmon.budget.bands import Band, band
from costmon.budget.periods import period_at
from costmon.budget.status import BudgetRow, PeriodRow
from costmon.shim.money import Rate, convert
from costmon.store.queries import uncertain_of

if TYPE_CHECKING:
    import sqlite3

_COLUMNS = (
    "id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels, at_95, at_100,"
    " limit_version, count_unlogged"
)


def read_budgets(db: sqlite3.Connection, now_us: int) -> list[tuple[BudgetRow, PeriodRow]]:
    """Every budget, by name, with its period of `now_us`; one the ledger does not hold yet has no spend."""
    found = db.execute(f"select {_COLUMNS} from budget order by name").fetchall()  # noqa: S608 - names are ours
    budgets = [BudgetRow._make((*row[:9], tuple(json.loads(row[9])), *row[10:])) for row in found]
    return [(budget, period_row(db, budget, now_us)) for budget in budgets]


def period_row(db: sqlite3.Connection, budget: BudgetRow, now_us: int) -> PeriodRow:
    """The totals of `budget` in its period of `now_us`."""
    row = db.execute(
        "select start_at, end_at, spent, assumed, reserved, calls, unpriced, unlogged from budget_period"
        " where budget_id = ? and start_at <= ? and end_at > ?",
        (budget.id, now_us, now_us),
    ).fetchone()
    period = period_at(budget.period, budget.time_zone, now_us)
    return PeriodRow(*period) if row is None else PeriodRow(row[0], row[1], period.label, *row[2:])


class Uncertain(NamedTuple):
    """What of a budget's `spent` rests on estimated usage (nano of its currency), and how many calls have a part without
    a price or estimated usage."""

    estimated_cost: int
    partial: int
    estimated: int


def uncertain(
    db: sqlite3.Connection,
    budget: BudgetRow,
    period: PeriodRow,
    rate: Callable[[str, str, int], Rate | None],
    now_us: int,
) -> Uncertain:
    """From the rollups: weeks and months by the operator's local days, at the `rate` of `now_us`. Never more than is
    spent."""
    rows = uncertain_of(
        db,
        period.start_us,
        period.end_us,
        budget.scope_key,
        budget.scope_value,
        days=budget.period != "day",
    )
    rates = [(rate(currency or "USD", budget.currency, now_us), cost) for currency, cost, *_ in rows]
    estimated = sum(convert(cost, found) for found, cost in rates if found is not None)
    return Uncertain(min(estimated, period.spent), sum(row[2] for row in rows), sum(row[3] for row in rows))


def period_band(period: PeriodRow, unsure: Uncertain) -> Band:
    """What a budget's period has spent, unlogged spend included, low, best and high: nano of its currency."""
    return band(
        period.spent + period.unlogged,
        estimated=unsure.estimated_cost,
        assumed=period.assumed,
        reserved=period.reserved,
        bounded=not unsure.partial,
    )
