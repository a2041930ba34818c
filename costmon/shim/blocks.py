"""The blocks budgets put into the switch by themselves, for readers that know nothing of the ledger.

At 95 % a budget over everything blocks `nonessential`, at 100 % `all`; a scoped budget blocks its own scope, at 95 %
with essential apps exempt. They carry their period and lapse with it. Only what is spent counts, never reservations.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from costmon.shim import switch
from costmon.shim.money import format_money
from costmon.shim.policy import Budget, Period, Policy, percent, percent_reached, period_at

if TYPE_CHECKING:
    from sqlite3 import Connection


BY = "budget "  # who set an automatic block: this and the budget's name


def standings(db: Connection, policy: Policy, now: int) -> list[tuple[Budget, Period]]:
    """Every budget with its current period."""
    return [(budget, period_at(db, budget, now)) for budget in policy.budgets]


def automatic_blocks(budgets: Iterable[tuple[Budget, Period]], now: int) -> dict[str, switch.Block]:
    """The blocks that must stand at `now`, by scope. Where two budgets want the same one, the later end wins."""
    wanted: dict[str, switch.Block] = {}
    for budget, period in budgets:
        block = _block(budget, period, now)
        if block is None:
            continue
        standing = wanted.get(block.scope)
        if standing is None or _rank(block) > _rank(standing):
            wanted[block.scope] = block
    return wanted


def apply(folder: str, wanted: dict[str, switch.Block], now: int) -> None:
    """Make the folder's automatic blocks be the wanted ones; what a person set stays. Raises OSError.

    A block that began after `now` stays too: the clock was set back, and that must not free anybody.
    """
    present = {block.scope for block in switch.blocks(folder) if block.automatic}
    for scope in present | set(wanted):
        standing = switch.read(folder, scope)  # again: a person may have acted since the listing
        block = wanted.get(scope)
        if standing is not None and (not standing.automatic or (standing.since or 0) > now):
            continue
        if block is None:
            switch.lift(folder, scope)
        elif standing is None:
            switch.write(folder, block)
        elif _differs(standing, block):
            same = standing.by == block.by and standing.since is not None
            switch.write(folder, block._replace(since=standing.since) if same else block)


def sync(db: Connection, policy: Policy, folder: str, now: int) -> None:
    """`apply` what the ledger says now."""
    if policy.budgets or os.path.isdir(folder):
        apply(folder, wanted(db, policy, now), now)


def wanted(db: Connection, policy: Policy, now: int) -> dict[str, switch.Block]:
    """The automatic blocks that must stand at `now`: none in a dry run, and none whose scope a bypass covers."""
    found = automatic_blocks(standings(db, policy, now), now)
    return {scope: block for scope, block in found.items() if not policy.rules.excuses(_labels(scope), now)}


def _labels(scope: str) -> dict[str, str]:
    key, _, value = scope.partition("=")
    return {key: value} if value else {}


def _block(budget: Budget, period: Period, now: int) -> switch.Block | None:
    everything = budget.blocks_100 and percent_reached(period.used, budget.amount, 100)
    if not everything and not (budget.blocks_95 and percent_reached(period.used, budget.amount, 95)):
        return None
    over_all = budget.scope_key == "all"
    scope = ("all" if everything else "nonessential") if over_all else budget.scope
    return switch.Block(
        scope=scope,
        reason=_reason(budget, period),
        by=f"{BY}{budget.name}",
        since=now,
        until=period.end,
        period=budget.period,
        automatic=True,
        exempts_essential=not everything and not over_all,
    )


def _reason(budget: Budget, period: Period) -> str:
    spent, limit = (format_money(nano, budget.currency) for nano in (period.used, budget.amount))
    parts = [
        f", {format_money(nano, budget.currency)} {what}"
        for nano, what in ((period.assumed, "of it assumed"), (period.unlogged, "of it logged by no app"))
        if nano
    ]
    share = f"{percent(period.used, budget.amount)} %{''.join(parts)}"
    return f'budget "{budget.name}" has used {spent} of {limit} ({share})'


def _rank(block: switch.Block) -> tuple[bool, int]:
    return (not block.exempts_essential, block.until or 0)


def _differs(one: switch.Block, other: switch.Block) -> bool:
    """Whether the file must be written again; the spent figure alone is no reason to write on every call."""
    return (one.by, one.until, one.exempts_essential) != (other.by, other.until, other.exempts_essential)
