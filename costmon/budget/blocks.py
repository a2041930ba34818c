"""What budgets block by themselves: the switch files their standing calls for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from costmon.budget.status import BudgetRow, PeriodRow, Standing
from costmon.shim.money import NANO, format_money


class AutomaticBlock(NamedTuple):
    """One switch file: it lapses at `until_us`, the end of the budget's period `period`.

    `level` is 95 or 100, the rule that blocks. `exempts_essential` lets essential apps through a scope that
    would stop them too; `nonessential` needs no exemption.
    """

    reason: str
    budget: str
    level: int
    period: str
    until_us: int
    exempts_essential: bool


def automatic_blocks(
    standings: Iterable[tuple[BudgetRow, PeriodRow, Standing]],
) -> dict[str, AutomaticBlock]:
    """Switch scope (`all`, `nonessential`, `app=trader` …) → the block that holds there.

    Where several budgets block one scope the strictest counts, among equals the one that lasts longest; when
    it lapses, the next look finds what the others still block.
    """
    found: dict[str, AutomaticBlock] = {}
    for budget, period, standing in standings:
        if standing.blocks:
            scope, block = _block(budget, period, standing)
            found[scope] = max(found.get(scope, block), block, key=_precedence)
    return found


def reason_of(budget: BudgetRow, period: PeriodRow, standing: Standing) -> str:
    """`budget "total" has spent 96 % ($0.096 of $0.10)`, with what of it is assumed."""
    percent = standing.used * 100 // budget.amount
    sums = f"{brief(standing.used, budget.currency)} of {brief(budget.amount, budget.currency)}"
    if period.assumed:
        calls = "1 unpriced call" if period.unpriced == 1 else f"{period.unpriced} unpriced calls"
        sums += f", {brief(period.assumed, budget.currency)} of it assumed for {calls}"
    return f'budget "{budget.name}" has spent {percent} % ({sums})'


def brief(nano: int, currency: str) -> str:
    """Money with the decimals it needs, six at most: $0.096, $0.10, ₩15,000."""
    usual = len(format_money(NANO, currency).partition(".")[2])
    digits = f"{abs(nano) % NANO:09d}"[:6].rstrip("0")
    return format_money(nano, currency, places=max(usual, len(digits) if abs(nano) < NANO else 0))


def _block(budget: BudgetRow, period: PeriodRow, standing: Standing) -> tuple[str, AutomaticBlock]:
    everyone = standing.blocks == "all"
    block = AutomaticBlock(
        reason=reason_of(budget, period, standing),
        budget=budget.name,
        level=100 if everyone else 95,
        period=period.label,
        until_us=period.end_us,
        exempts_essential=not everyone and budget.scope_key != "all",
    )
    return (standing.blocks if budget.scope_key == "all" else budget.scope), block


def _precedence(block: AutomaticBlock) -> tuple[bool, int, str]:
    return not block.exempts_essential, block.until_us, block.budget
