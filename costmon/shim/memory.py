"""Enforcement while the ledger cannot answer: from the last known remainder of each budget, less what was spent since.

With nothing known a process may spend min(1 % of the budget, $1), then calls are refused until the ledger answers. Rate
limits go on by this process's own count; the breaker and the guards, which live by what others saw, rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costmon.errors import SpendBlocked
from costmon.shim.money import NANO, convert
from costmon.shim.policy import Budget, Period, Policy, percent_reached
from costmon.shim.rules.rate import refusal as limit_reached

if TYPE_CHECKING:
    from costmon.shim.calls import Open
    from costmon.shim.events import Attempt

_NANO_PER_TOKEN = 10_000  # $10 per million tokens where not even a price can be read
_ALLOWANCE = NANO
_DEFAULT_OUTPUT = 1000
_WINDOW_US = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}


class Memory:
    """What this process last knew of its budgets, and what it let through since."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Budget, Period]] = {}
        self._since: dict[int, int] = {}
        self._outside: dict[str, list[tuple[int, int]]] = {}  # what the ledger does not have yet, by attempt
        self._unknown: dict[int, int] = {}
        self._calls: dict[int, tuple[int, int]] = {}  # by rate limit: start of its window, calls

    def saw(self, budget: Budget, period: Period) -> None:
        """The ledger just said this: what it has is in it, what was let through without it is not."""
        self._known[budget.id] = (budget, period)
        self._since[budget.id] = self._not_there(budget.id) if self._outside else 0

    def used(self, budget_id: int, used: int) -> None:
        """A settlement just said what a budget's period has used."""
        known = self._known.get(budget_id)
        if known is not None:
            self._known[budget_id] = (known[0], known[1]._replace(spent=used, assumed=0, unlogged=0))

    def recovered(self) -> None:
        """The ledger answers again; everything spent meanwhile is spooled and on its way there."""
        self._unknown.clear()

    def guess(self, input_tokens: int, max_output: int | None) -> int:
        """A reservation in nano USD without any price at hand."""
        return (input_tokens + (max_output or _DEFAULT_OUTPUT)) * _NANO_PER_TOKEN

    def admit(self, attempt: Attempt, labels: dict[str, str], policy: Policy | None, now: int) -> None:
        """Let a call through from memory, or raise SpendBlocked."""
        if policy is not None and policy.strict:
            raise _refused("the ledger cannot answer and strict = true", attempt)
        if policy is None:
            self._allow(0, attempt, attempt.estimate, _ALLOWANCE)
            return
        counts = self._counts(policy, labels, now)
        taken: list[tuple[int, int]] = []
        for budget in policy.matching(labels) if attempt.estimate else []:
            rate = policy.rate(attempt.currency, budget.currency, now)
            amount = convert(attempt.estimate, rate) if rate is not None else 0
            known = self._known.get(budget.id)
            if known is None or known[1].end <= now:
                dollar = policy.rate("USD", budget.currency, now)
                ceiling = convert(_ALLOWANCE, dollar) if dollar is not None else budget.amount
                self._allow(budget.id, attempt, amount, min(budget.amount // 100, ceiling))
                continue
            period = known[1]
            before = period.used + period.reserved + self._since.get(budget.id, 0)
            left = budget.amount - before
            refused = budget.blocks_100 and (left <= 0 or (budget.strict and amount > left))
            if budget.blocks_95 and not attempt.essential:
                refused = refused or percent_reached(before, budget.amount, 95)
            if refused:
                raise _refused(
                    f'the ledger cannot answer and budget "{budget.name}" was used up when it last did',
                    attempt,
                )
            taken.append((budget.id, amount))
        for budget_id, amount in taken:
            self._since[budget_id] = self._since.get(budget_id, 0) + amount
        if taken:
            self._outside[attempt.id] = taken
        self._calls.update(counts)

    def spent(self, held: Open) -> None:
        """A settlement had to be spooled: its reservation is in the ledger already if it was written."""
        if not held.written:
            return
        for budget_id, _, reserved, *_ in held.charges:
            self._since[budget_id] = self._since.get(budget_id, 0) + max(0, reserved)

    def wrote(self, held: Open) -> None:
        """A call let through from memory has reached the ledger."""
        for budget_id, amount in self._outside.pop(held.attempt.id, ()):
            self._since[budget_id] = max(0, self._since.get(budget_id, 0) - amount)

    def _not_there(self, budget_id: int) -> int:
        return sum(
            amount for found in list(self._outside.values()) for id_, amount in found if id_ == budget_id
        )

    def _counts(self, policy: Policy, labels: dict[str, str], now: int) -> dict[int, tuple[int, int]]:
        """The windows this call counts in, it included; a day is one of UTC here. Raises SpendBlocked for a full one."""
        counts = {}
        for limit in policy.rules.limits:
            if limit.covers(labels):
                start = now - now % _WINDOW_US[limit.per]
                begun, calls = self._calls.get(limit.id, (start, 0))
                if begun < start:
                    begun, calls = start, 0
                if calls >= limit.calls:
                    raise limit_reached(limit, begun, begun + _WINDOW_US[limit.per], now)
                counts[limit.id] = (begun, calls + 1)
        return counts

    def _allow(self, budget_id: int, attempt: Attempt, amount: int, allowance: int) -> None:
        """Spend from the allowance of a budget nothing is known of (0: of all of them together)."""
        spent = self._unknown.get(budget_id, 0) + amount
        if spent > allowance:
            raise _refused("the ledger cannot answer and the allowance without it is used up", attempt)
        self._unknown[budget_id] = spent


def _refused(reason: str, attempt: Attempt) -> SpendBlocked:
    return SpendBlocked(
        f"{reason}; run `costmon doctor`", scope=f"app={attempt.app}", rule="ledger", retry_after=5.0
    )
