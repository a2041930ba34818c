"""The budgets of a ledger with their totals in the period of a moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from costmon.budget.periods import period_at
from costmon.budget.status import BudgetRow, PeriodRow

if TYPE_CHECKING:
    import sqlite3

_COLUMNS = (
    "id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels, at_95, at_100,"
    " limit_version"
)


def read_budgets(db: sqlite3.Connection, now_us: int) -> list[tuple[BudgetRow, PeriodRow]]:
    """Every budget, by name, with its period of `now_us`; one the ledger does not hold yet has no spend."""
    found = db.execute(f"select {_COLUMNS} from budget order by name").fetchall()  # noqa: S608 - names are ours
    budgets = [BudgetRow._make((*row[:9], tuple(json.loads(row[9])), *row[10:])) for row in found]
    return [(budget, period_row(db, budget, now_us)) for budget in budgets]


def period_row(db: sqlite3.Connection, budget: BudgetRow, now_us: int) -> PeriodRow:
    """The totals of `budget` in its period of `now_us`."""
    row = db.execute(
        "select start_at, end_at, spent, assumed, reserved, calls, unpriced from budget_period"
        " where budget_id = ? and start_at <= ? and end_at > ?",
        (budget.id, now_us, now_us),
    ).fetchone()
    period = period_at(budget.period, budget.time_zone, now_us)
    return PeriodRow(*period) if row is None else PeriodRow(row[0], row[1], period.label, *row[2:])
