"""Hold a call's money in all its budgets by one statement, where it fits under every limit at once.

That is nearly every call. Anything else (a refusal, the last remainder of a budget, a period not compiled yet) holds
nothing here and is decided budget by budget, by `admission.reservation`: the same rule, with its reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costmon.shim.policy import Budget, Period

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.money import Rate

Counted = list[tuple[Budget, int, "Rate"]]
_NEVER = 2**63 - 1


class Holds:
    """The prepared statements of one policy, by the budgets they hold in."""

    def __init__(self) -> None:
        self._statements: dict[tuple[tuple[int, ...], bool], str] = {}

    def try_all(
        self, db: Connection, counted: Counted, *, essential: bool, now: int
    ) -> dict[int, Period] | None:
        """Hold each amount (nano of the budget's currency, positive) in its budget's period at `now`.

        Returns the periods as they were before, by budget id; None when not every budget takes it, and then nothing is
        held.
        """
        ids = tuple(budget.id for budget, _, _ in counted)
        sql = self._statements.get((ids, essential))
        if sql is None:
            sql = _statement([budget for budget, _, _ in counted], essential=essential)
            self._statements[ids, essential] = sql
        amounts = {budget.id: amount for budget, amount, _ in counted}
        rows = db.execute(sql, [now, *amounts.values()]).fetchall()
        if len(rows) == len(counted) == len({row[0] for row in rows}):
            return {
                row[0]: Period(row[1], row[2], row[3], row[4], row[5] - amounts[row[0]], row[6])
                for row in rows
            }
        for budget_id, start, *_ in rows:
            db.execute(_UNHOLD, (amounts[budget_id], budget_id, start))
        return None


def _statement(budgets: list[Budget], *, essential: bool) -> str:
    """One UPDATE over the current periods of `budgets`. Limits are in the text: they change with the policy only."""
    amount = " ".join(f"when {budget.id} then ?{number}" for number, budget in enumerate(budgets, start=2))
    before = " ".join(f"when {budget.id} then {_ceiling(budget, essential)}" for budget in budgets)
    limit = " ".join(
        f"when {budget.id} then {budget.amount if budget.blocks_100 else _NEVER}" for budget in budgets
    )
    used = "spent + assumed + unlogged + reserved"
    return f"""update budget_period set reserved = reserved + case budget_id {amount} end
        where budget_id in ({", ".join(str(budget.id) for budget in budgets)}) and start_at <= ?1 and end_at > ?1
            and {used} < case budget_id {before} end
            and {used} + case budget_id {amount} end <= case budget_id {limit} end
        returning budget_id, start_at, end_at, spent, assumed, reserved, unlogged"""  # noqa: S608 - integers of ours


def _ceiling(budget: Budget, essential: bool) -> int:
    """What a budget must not have reached before the call: 95 % of it for an app that is not essential."""
    return -(-budget.amount * 95 // 100) if budget.blocks_95 and not essential else _NEVER


_UNHOLD = "update budget_period set reserved = reserved - ? where budget_id = ? and start_at = ?"
