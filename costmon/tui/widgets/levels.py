"""What a budget's state is called and how it is coloured, everywhere the same and always both."""

from __future__ import annotations

from costmon.monitor.snapshot import BudgetStatus, Snapshot, SwitchStatus

_STEPS = (100, 95, 90, 80, 70)


def style_of(budget: BudgetStatus) -> str:
    """'ok', '70' … '100': the ending of a level's style names. An own level takes the step below it."""
    if budget.blocks == "all" or budget.ratio >= 1:
        return "100"
    if not budget.level:
        return "ok"
    return str(next((step for step in _STEPS if budget.level >= step), 70))


def word_of(budget: BudgetStatus) -> str:
    """'ok', 'past 80 %', 'part blocked', 'OVER LIMIT', 'BLOCKED'."""
    if budget.blocks == "all":
        return "BLOCKED"
    if budget.blocks:
        return "part blocked"
    if budget.ratio >= 1:
        return "OVER LIMIT"
    return f"past {budget.level} %" if budget.level else "ok"


def fullest(snapshot: Snapshot) -> BudgetStatus | None:
    """The budget nearest to its limit."""
    return max(snapshot.budgets, key=lambda budget: budget.ratio, default=None)


def offers_allow(switch: SwitchStatus) -> bool:
    """Whether the `k` key would free: something was stopped by hand, or everything is stopped already.

    While only a part is blocked by itself (apps that are not essential, say), `k` still stops the rest.
    """
    return any(block.scope == "all" or not block.automatic for block in switch.blocks)
