"""Where a budget stands. Money is integer nano of the budget's currency, instants are µs since 1970 UTC."""

from __future__ import annotations

from typing import NamedTuple

from costmon.config import scope_text
from costmon.shim.money import divide_half_even

PROJECT_AFTER_US = 5 * 60 * 1_000_000


class BudgetRow(NamedTuple):
    """A budget as the ledger keeps it."""

    id: int
    name: str
    scope_key: str
    scope_value: str
    amount: int
    currency: str
    period: str
    time_zone: str
    mode: str
    levels: tuple[int, ...]
    at_95: str
    at_100: str
    limit_version: int = 1
    count_unlogged: int = 0

    @property
    def scope(self) -> str:
        return scope_text(self.scope_key, self.scope_value)


class PeriodRow(NamedTuple):
    """One period's totals: `assumed` is what its `unpriced` calls may have cost, `reserved` is in flight, `unlogged` what
    providers billed beyond what apps logged (where the budget counts it)."""

    start_us: int
    end_us: int
    label: str
    spent: int = 0
    assumed: int = 0
    reserved: int = 0
    calls: int = 0
    unpriced: int = 0
    unlogged: int = 0


class Standing(NamedTuple):
    """`used` = spent + assumed + unlogged; levels and blocks follow from it exactly, reservations do not count.

    `ratio` is used / limit for display only. `projected` is `used` at the period's end if spending goes on at
    its average rate so far, None in the first 5 minutes (or the first percent, if that is shorter).
    `crosses_at` is when that projection reaches the limit, None unless that lies ahead and inside the period.
    `blocks` is '', 'nonessential' or 'all'.
    """

    used: int
    remaining: int
    ratio: float
    level: int
    crossed: tuple[int, ...]
    projected: int | None
    crosses_at: int | None
    blocks: str


def standing(budget: BudgetRow, period: PeriodRow, now_us: int) -> Standing:
    """Where `budget` stands in `period` at `now_us`."""
    used = period.spent + period.assumed + period.unlogged
    crossed = tuple(level for level in budget.levels if reaches(used, budget.amount, level))
    projected = _projected(used, period, now_us)
    return Standing(
        used=used,
        remaining=budget.amount - used,
        ratio=used / budget.amount,
        level=crossed[-1] if crossed else 0,
        crossed=crossed,
        projected=projected,
        crosses_at=None if projected is None else _crosses_at(used, budget.amount, period, now_us),
        blocks=_blocks(budget, used),
    )


def reaches(used: int, limit: int, level: int) -> bool:
    """Whether `used` is at least `level` percent of `limit`, to the nano."""
    return used * 100 >= limit * level


def _blocks(budget: BudgetRow, used: int) -> str:
    if budget.at_100 == "block" and reaches(used, budget.amount, 100):
        return "all"
    if budget.at_95 == "block-nonessential" and reaches(used, budget.amount, 95):
        return "nonessential"
    return ""


def _projected(used: int, period: PeriodRow, now_us: int) -> int | None:
    length = period.end_us - period.start_us
    elapsed = min(now_us, period.end_us) - period.start_us
    if elapsed < min(PROJECT_AFTER_US, length // 100):
        return None
    return divide_half_even(used * length, elapsed)


def _crosses_at(used: int, limit: int, period: PeriodRow, now_us: int) -> int | None:
    if used <= 0 or used >= limit:
        return None
    elapsed = now_us - period.start_us
    at = period.start_us + -(-limit * elapsed // used)
    return at if now_us < at < period.end_us else None
