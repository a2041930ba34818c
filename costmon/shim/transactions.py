"""What happens inside the two transactions of an attempt: reserve before the call, settle after it.

The caller runs both in `Ledger.write`; nothing here waits, and only a refusal is raised on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import SpendBlocked
from costmon.shim import booking, context, policy, rules
from costmon.shim.admission import reservation
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.costing import Costing, Estimate
from costmon.shim.events import Attempt, Settlement, new_id
from costmon.shim.faults import report
from costmon.shim.holds import Counted, Holds
from costmon.shim.memory import Memory
from costmon.shim.money import convert
from costmon.shim.process import process

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.money import Rate

Labels = tuple[str, str, str, bool]


class Admitted(NamedTuple):
    """An attempt that may go out. `excused`: what would have refused it, were it not for a dry run or a bypass."""

    held: Open
    excused: list[SpendBlocked]
    dry_run: bool = False


class Transactions:
    """This process's view of the policy and the prices, and the work done under the ledger's write lock."""

    def __init__(self, memory: Memory) -> None:
        self.policy: policy.Policy | None = None
        self.costing = Costing()
        self._memory = memory
        self._holds = Holds()

    def refresh(self, db: Connection) -> policy.Policy:
        """The policy as the ledger has it now."""
        current = policy.generation(db)
        if self.policy is None or self.policy.generation != current:
            self.policy = policy.load(db)
            self.costing.forget_prices()
            self._holds = Holds()
            booking.forget_day()
        return self.policy

    def forget(self) -> None:
        """The ledger is another one."""
        self.policy = None
        process.forget()

    def reserve(self, db: Connection, call: Call, labels: Labels, now: int) -> Admitted:
        """Decide and reserve. Raises SpendBlocked."""
        rules_now = self.refresh(db)
        app, route, job, essential = labels
        expected, unpriced = self._estimate(db, rules_now, call, app, now)
        attempt = Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, call.provider,
            call.model, call.endpoint, call.input_tokens, expected.output_tokens, expected.nano,
            expected.currency, expected.assumed, call.fingerprint, context.run() or process.id(now),
        )  # fmt: skip
        named = label_map(attempt)
        refusals = _Refusals(excused=rules_now.rules.excuses(named, now))
        if unpriced is not None:
            refusals.refuse(unpriced)
        charges = self._hold(db, rules_now, attempt, call, named, refusals)
        rules.check(db, rules_now.rules, attempt, named, refusals.refuse)
        booking.reserve(db, attempt, charges)
        return Admitted(Open(attempt, charges, call, True), refusals.found, rules_now.rules.dry_run)

    def settle(self, db: Connection, held: Open, outcome: Outcome, now: int) -> bool:
        """Settle; whether a charged budget is now where it blocks by itself."""
        if outcome.once:
            from costmon.shim.batches import seen

            if seen(db, held.attempt.provider, outcome.response_id):
                return False
        current = self.policy if held.written and self.policy is not None else self.refresh(db)
        settlement = self._settlement(db, current, held, outcome, now)
        charges = held.charges if held.written else self._late_charges(db, current, held)
        used = booking.settle(db, held.attempt, charges, current.machine, settlement)
        process.write(db, held.attempt.run, held.attempt.app, held.attempt.created_at)
        if not outcome.once:
            rules.after(db, current.rules, held.attempt, settlement)
        return self._crossed(current, used)

    def _estimate(
        self, db: Connection, current: policy.Policy, call: Call, app: str, now: int
    ) -> tuple[Estimate, SpendBlocked | None]:
        """What to reserve, and what refuses a call whose price is unknown and must not be."""
        try:
            return _bounded(self.costing.estimate(db, current, call, app, now)), None
        except SpendBlocked as blocked:
            assuming = current._replace(unknown_price="dearest")
            return _bounded(self.costing.estimate(db, assuming, call, app, now)), blocked

    def _hold(
        self,
        db: Connection,
        current: policy.Policy,
        attempt: Attempt,
        call: Call,
        named: dict[str, str],
        refusals: _Refusals,
    ) -> list[booking.Charge]:
        """Hold the estimate in every budget the call counts against."""
        counted = self._counted(current, attempt, call, named)
        if not counted:
            return []
        if not refusals.excused and all(amount > 0 for _, amount, _ in counted):
            periods = self._holds.try_all(db, counted, essential=attempt.essential, now=attempt.created_at)
            if periods is not None:
                return [
                    self._charge(budget, periods[budget.id], amount, rate) for budget, amount, rate in counted
                ]
        charges = []
        for budget, amount, rate in counted:
            period = policy.period_at(db, budget, attempt.created_at)
            hold = amount
            try:
                hold = reservation(
                    budget,
                    period,
                    amount,
                    essential=attempt.essential,
                    now=attempt.created_at,
                    remainder_is_out=lambda budget=budget, period=period: booking.remainder_is_out(
                        db, budget.id, period.start
                    ),  # type: ignore[misc]
                )
            except SpendBlocked as blocked:
                refusals.refuse(blocked)
            charges.append(self._charge(budget, period, hold, rate))
        booking.hold(db, charges)
        return charges

    def _charge(self, budget: policy.Budget, period: policy.Period, hold: int, rate: Rate) -> booking.Charge:
        self._memory.saw(budget, period)
        return booking.charge(budget, period, hold, rate)

    def _counted(
        self, current: policy.Policy, attempt: Attempt, call: Call, named: dict[str, str]
    ) -> Counted:
        """The budgets a call counts against, each with the estimate in its currency and the rate; a free one, none."""
        if attempt.estimate == 0 and not (call.source != "shim" and call.cost is None):
            return []
        found: Counted = []
        for budget in current.matching(named):
            rate = current.rate(attempt.currency, budget.currency, attempt.created_at)
            if rate is None:
                report(
                    "rate",
                    f"no rate from {attempt.currency} to {budget.currency}: budget {budget.name} misses calls",
                )
            else:
                found.append((budget, min(convert(attempt.estimate, rate), booking.MOST), rate))
        return found

    def _late_charges(self, db: Connection, current: policy.Policy, held: Open) -> list[booking.Charge]:
        """What a call admitted without the ledger counts against, now that the ledger can tell."""
        at = held.attempt.created_at
        return [
            booking.charge(budget, policy.period_at(db, budget, at), 0, rate)
            for budget, _, rate in self._counted(current, held.attempt, held.call, label_map(held.attempt))
        ]

    def _crossed(self, current: policy.Policy, used: list[tuple[int, int]]) -> bool:
        charged = dict(used)
        crossed = False
        for budget in current.budgets:
            if budget.id in charged:
                self._memory.used(budget.id, charged[budget.id])
                blocks_by_itself = budget.blocks_95 or budget.blocks_100
                crossed |= blocks_by_itself and policy.percent_reached(charged[budget.id], budget.amount, 95)
        return crossed

    def _settlement(
        self, db: Connection, current: policy.Policy, held: Open, o: Outcome, now: int
    ) -> Settlement:
        cost = self.costing.cost(db, current, held, o)
        settlement = Settlement(
            settled_at=now, outcome=o.outcome,
            usage_status="none" if o.usage is None else "estimated" if o.estimated else "reported",
            usage=o.usage or {}, cost=cost.nano, currency=cost.currency,
            cost_status=cost.status, charge=cost.charge, model=o.model, price_version=cost.version,
            status_code=o.status_code, error=o.error, service_tier=o.service_tier, duration_us=o.duration_us,
            first_token_us=o.first_token_us, request_id=o.request_id, response_id=o.response_id,
        )  # fmt: skip
        return booking.bounded(held.attempt, settlement)


def _bounded(estimate: Estimate) -> Estimate:
    return estimate._replace(nano=min(estimate.nano, booking.most(estimate.currency)))


class _Refusals:
    """What refuses a call: raised at once, or only collected while it is excused."""

    def __init__(self, *, excused: bool) -> None:
        self.excused = excused
        self.found: list[SpendBlocked] = []

    def refuse(self, blocked: SpendBlocked) -> None:
        if not self.excused:
            raise blocked
        self.found.append(blocked)


def label_map(attempt: Attempt) -> dict[str, str]:
    """The attempt's labels by scope key."""
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "app": attempt.app,
        "route": attempt.route,
        "job": attempt.job,
    }
