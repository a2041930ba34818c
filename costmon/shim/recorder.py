"""One call from admission to settlement: switch, budgets, reservation, call, settlement. One Recorder per process.

Every public method may raise SpendBlocked and nothing else; the shim's own faults are logged and dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from costmon import paths
from costmon.errors import LedgerError, SpendBlocked
from costmon.shim import blocks, booking, context, locks, policy, switch
from costmon.shim.admission import reservation, until_text
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.costing import Costing
from costmon.shim.events import Attempt, Settlement, clean, new_id
from costmon.shim.faults import guarded, report
from costmon.shim.ledger import ADMIT_WAIT_S, SETTLE_WAIT_S, Ledger, async_sleep
from costmon.shim.locks import jitter_s
from costmon.shim.memory import Memory
from costmon.shim.money import Rate, convert
from costmon.shim.refusals import Refusals

if TYPE_CHECKING:
    from sqlite3 import Connection

_SWEEP_EVERY_S = 5.0
_SYNC_EVERY_S = 1.0
_MAX_SPOOL = 10_000
_DRAIN_AT_ONCE = 100  # a call waits for at most so many of the settlements an outage has left


class Recorder:
    """This process's recorder for the ledger in `home`."""

    def __init__(self, home: str) -> None:
        self.ledger = Ledger(home)
        self.folder = paths.switch_dir(home)
        self._explicit = bool(os.environ.get("COSTMON_SWITCH"))
        self._policy: policy.Policy | None = None
        self._costing = Costing()
        self._memory = Memory()
        self._asked_who_warns = False
        self._spool: deque[tuple[Open, Outcome, int]] = deque(maxlen=_MAX_SPOOL)
        self._refusals = Refusals(self.ledger)
        self._swept = -_SWEEP_EVERY_S
        self._synced = -_SYNC_EVERY_S

    # --- before the call -------------------------------------------------------------------------------------------

    def admit(self, call: Call) -> Open | None:
        """Reserve for `call`, waiting at most 250 ms for the ledger. Raises SpendBlocked."""
        labels = self._enter(call)
        deadline = time.monotonic() + self._patience()
        while True:
            try:
                return self._admitted(
                    self.ledger.write(lambda db: self._reserve(db, call, labels), ADMIT_WAIT_S)
                )
            except SpendBlocked as blocked:
                if not self._may_wait(blocked, deadline):
                    raise self._refused(blocked, call, labels) from None
                time.sleep(jitter_s())
            except Exception as error:
                return self._without_ledger(error, call, labels)

    async def admit_async(self, call: Call) -> Open | None:
        """Like `admit`; a busy ledger and `admit_wait` are awaited."""
        labels = self._enter(call)
        deadline = time.monotonic() + self._patience()
        while True:
            try:
                work = self.ledger.write_async(lambda db: self._reserve(db, call, labels), ADMIT_WAIT_S)
                return self._admitted(await work)
            except SpendBlocked as blocked:
                if not self._may_wait(blocked, deadline) or not await async_sleep(jitter_s()):
                    raise self._refused(blocked, call, labels) from None
            except Exception as error:
                return self._without_ledger(error, call, labels)

    def check_switch(self, provider: str, model: str, labels: tuple[str, str, str, bool]) -> None:
        """Raises SpendBlocked when the switch blocks such a call."""
        app, route, job, essential = labels
        switch.touch_reader(self.folder, app, create=not self._explicit)
        scopes = switch.scopes_of(provider, model, app, route, job)
        block = switch.check(
            self.folder, scopes, self.ledger.now(), essential=essential, explicit=self._explicit
        )
        if block is not None:
            raise _blocked(block, self.ledger.now(), self._budget_behind(block))

    def _budget_behind(self, block: switch.Block) -> tuple[policy.Budget, policy.Period] | None:
        """The budget that set an automatic block, with its figures now."""
        if not block.automatic or not block.by.startswith(blocks.BY):
            return None
        name = block.by.removeprefix(blocks.BY)

        def find(db: Connection) -> tuple[policy.Budget, policy.Period] | None:
            standings = blocks.standings(db, self._refresh(db), self.ledger.now())
            return next((found for found in standings if found[0].name == name), None)

        return guarded("read a budget", self.ledger.read, find)

    def provider_hosts(self) -> dict[str, dict[str, Any]]:
        """The config's host map, read once and whenever a call sees a newer config."""
        if self._policy is None:
            guarded("read its config", self.ledger.read, self._refresh)
        return self._policy.hosts if self._policy is not None else {}

    # --- after the call --------------------------------------------------------------------------------------------

    def settle(self, held: Open, outcome: Outcome, *, wait_s: float = SETTLE_WAIT_S) -> None:
        """Settle an admitted attempt; what the ledger cannot take now is spooled and written by a later call or at exit."""
        if outcome.usage is not None and not outcome.estimated:
            guarded("learn", self._costing.learn, held.attempt, outcome.usage.get("output_tokens", 0))
        now = self.ledger.now()
        try:
            self._write_settlement(held, outcome, now, wait_s)
        except LedgerError as error:
            report("settle", f"costmon keeps a settlement in memory: {error}")
            self._memory.spent(held)
            if len(self._spool) == _MAX_SPOOL:
                report("spool", f"costmon keeps {_MAX_SPOOL} settlements in memory and forgets older ones")
            self._spool.append((held, outcome, now))
        except Exception as error:
            report("settle", f"costmon could not settle a call: {type(error).__name__}")

    def renew(self, held: Open) -> None:
        """A long stream is still alive: push its lease out."""
        try:
            self.ledger.write_once(lambda db: booking.renew(db, held.attempt.id, self.ledger.now()))
        except Exception as error:
            report("renew", f"costmon could not renew a reservation: {type(error).__name__}")

    def drain(self, wait_s: float = 0.0) -> int:
        """Write what was spooled; returns how many are left."""
        for _ in range(_MAX_SPOOL if wait_s else _DRAIN_AT_ONCE):
            try:
                entry = self._spool.popleft()  # taken out first: two threads may drain at once
            except IndexError:
                break
            try:
                self._write_settlement(*entry, wait_s)
            except LedgerError:
                self._spool.appendleft(entry)
                break
            except Exception as error:
                report("settle", f"costmon could not settle a call: {type(error).__name__}")
        return len(self._spool)

    def drain_at_exit(self, wait_s: float) -> int:
        """The last chance of what was spooled, whatever kept the ledger from taking it so far."""
        self.ledger.retry_now()
        self._refusals.flush()
        return self.drain(wait_s)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _enter(self, call: Call) -> tuple[str, str, str, bool]:
        app, route, job, essential = context.labels()
        essential = essential if call.essential is None else call.essential
        labels = (clean(app) or "python", clean(route), clean(job), essential)
        if self._spool:
            guarded("settle", self.drain)
        try:
            self.check_switch(clean(call.provider), clean(call.model), labels)
        except SpendBlocked as blocked:
            self._refusals.note(blocked, labels[0], call)
            raise
        except Exception as error:
            report("check the switch", f"costmon could not check the switch: {type(error).__name__}")
        return labels

    def _patience(self) -> float:
        return self._policy.admit_wait if self._policy is not None else 0.0

    def _may_wait(self, blocked: SpendBlocked, deadline: float) -> bool:
        """Whether trying again can help: orphans were just released, or the operator lets calls wait for settlements."""
        if not blocked.reserved or blocked.until is not None:
            return False
        return self._sweep() or time.monotonic() < deadline

    def _sweep(self) -> bool:
        if time.monotonic() - self._swept < _SWEEP_EVERY_S:
            return False
        self._swept = time.monotonic()
        now = self.ledger.now()
        return bool(
            guarded("release orphans", self.ledger.write_once, lambda db: booking.settle_orphans(db, now))
        )

    def _refresh(self, db: Connection) -> policy.Policy:
        current = policy.generation(db)
        if self._policy is None or self._policy.generation != current:
            self._policy = policy.load(db)
            self._costing.forget_prices()
            booking.forget_day()
        return self._policy

    def _reserve(self, db: Connection, call: Call, labels: tuple[str, str, str, bool]) -> Open:
        rules = self._refresh(db)
        now = self.ledger.now()
        attempt = self._attempt(db, rules, call, labels, now)
        charges: list[booking.Charge] = []
        for budget, period, rate in self._counted(db, rules, attempt, call):
            self._memory.saw(budget, period)
            amount = convert(attempt.estimate, rate)
            hold = reservation(budget, period, amount, essential=attempt.essential, now=now)
            charges.append(booking.charge(budget, period, hold, rate))
        booking.reserve(db, attempt, charges, rules.machine)
        return Open(attempt, charges, call, True)

    def _admitted(self, held: Open) -> Open:
        self._memory.recovered()
        if held.charges and not self._asked_who_warns:
            self._asked_who_warns = True
            guarded("look for an engine", self._say_if_nobody_warns)
        return held

    def _say_if_nobody_warns(self) -> None:
        if not locks.held(os.path.join(self.ledger.home, paths.ENGINE_LOCK)):
            report(
                "engine",
                "costmon enforces the budgets, but nobody would warn: run `costmon` or `costmon watch`",
            )

    def _attempt(
        self, db: Connection, rules: policy.Policy, call: Call, labels: tuple[str, str, str, bool], now: int
    ) -> Attempt:
        app, route, job, essential = labels
        expected = self._costing.estimate(db, rules, call, app, now)
        return Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, clean(call.provider),
            clean(call.model), clean(call.endpoint), call.input_tokens, expected.output_tokens, expected.nano,
            expected.currency, expected.assumed,
        )  # fmt: skip

    def _write_settlement(self, held: Open, outcome: Outcome, now: int, wait_s: float) -> None:
        def work(db: Connection) -> bool:
            rules = self._policy if held.written and self._policy is not None else self._refresh(db)
            settlement = self._settlement(db, rules, held, outcome, now)
            charges = held.charges if held.written else self._late_charges(db, rules, held)
            used = booking.settle(db, held.attempt, charges, rules.machine, settlement)
            return self._crossed(rules, used)

        crossed = self.ledger.write(work, wait_s) if wait_s else self.ledger.write_once(work)
        self._costing.committed()
        if crossed:
            self._sync_blocks(at_once=True)
        if wait_s:
            self.ledger.checkpoint_if_large()

    def _counted(
        self, db: Connection, rules: policy.Policy, attempt: Attempt, call: Call
    ) -> Iterator[tuple[policy.Budget, policy.Period, Rate]]:
        """The budgets a call counts against, each with its period and the rate into its currency; a free one, none."""
        if attempt.estimate == 0 and not (call.source != "shim" and call.cost is None):
            return
        for budget in rules.matching(_label_map(attempt)):
            rate = rules.rate(attempt.currency, budget.currency, attempt.created_at)
            if rate is None:
                report(
                    "rate",
                    f"no rate from {attempt.currency} to {budget.currency}: budget {budget.name} misses calls",
                )
            else:
                yield budget, policy.period_at(db, budget, attempt.created_at), rate

    def _late_charges(self, db: Connection, rules: policy.Policy, held: Open) -> list[booking.Charge]:
        """What a call admitted without the ledger counts against, now that the ledger can tell."""
        counted = self._counted(db, rules, held.attempt, held.call)
        return [booking.charge(budget, period, 0, rate) for budget, period, rate in counted]

    def _crossed(self, rules: policy.Policy, used: list[tuple[int, int]]) -> bool:
        """Whether a charged budget is now where it blocks by itself."""
        charged = dict(used)
        crossed = False
        for budget in rules.budgets:
            if budget.id in charged:
                self._memory.used(budget.id, charged[budget.id])
                blocks_by_itself = budget.blocks_95 or budget.blocks_100
                crossed |= blocks_by_itself and policy.percent_reached(charged[budget.id], budget.amount, 95)
        return crossed

    def _settlement(
        self, db: Connection, rules: policy.Policy, held: Open, o: Outcome, now: int
    ) -> Settlement:
        cost = self._costing.cost(db, rules, held, o)
        return Settlement(
            settled_at=now, outcome=o.outcome,
            usage_status="none" if o.usage is None else "estimated" if o.estimated else "reported",
            usage=o.usage or {}, cost=cost.nano, currency=cost.currency,
            cost_status=cost.status, charge=cost.charge, model=o.model, price_version=cost.version,
            status_code=o.status_code, error=o.error, service_tier=o.service_tier, duration_us=o.duration_us,
            first_token_us=o.first_token_us, request_id=o.request_id, response_id=o.response_id,
        )  # fmt: skip

    def _without_ledger(
        self, error: Exception, call: Call, labels: tuple[str, str, str, bool]
    ) -> Open | None:
        """The ledger could not answer: go on enforcing from memory. Raises SpendBlocked when that is used up."""
        if not isinstance(error, LedgerError):
            report("admit", f"costmon could not reserve for a call: {type(error).__name__}")
        else:
            report("admit", f"costmon enforces from memory: {error}")
        app, route, job, essential = labels
        now = self.ledger.now()
        guess = 0 if call.free else self._memory.guess(call.input_tokens, call.max_output)
        estimate = call.cost if call.cost is not None else guess
        attempt = Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, clean(call.provider),
            clean(call.model), clean(call.endpoint), call.input_tokens, call.max_output or 0, estimate, call.currency, False,
        )  # fmt: skip
        strict = self._policy is not None and self._policy.strict
        self._memory.admit(attempt, _label_map(attempt), self._policy, now, strict=strict)
        return Open(attempt, [], call, False)

    def _refused(self, blocked: SpendBlocked, call: Call, labels: tuple[str, str, str, bool]) -> SpendBlocked:
        self._refusals.note(blocked, labels[0], call)
        if blocked.until is not None:
            self._sync_blocks()
        return blocked

    def _sync_blocks(self, *, at_once: bool = False) -> None:
        """Bring the automatic switch files up to date with the budgets; while refusing, at most once a second."""
        if not at_once and time.monotonic() - self._synced < _SYNC_EVERY_S:
            return
        self._synced = time.monotonic()

        def work(db: Connection) -> None:
            blocks.sync(db, self._refresh(db), self.folder, self.ledger.now())

        guarded("write its switch files", self.ledger.read, work)


def _label_map(attempt: Attempt) -> dict[str, str]:
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "app": attempt.app,
        "route": attempt.route,
        "job": attempt.job,
    }


def _blocked(
    block: switch.Block, now: int, behind: tuple[policy.Budget, policy.Period] | None
) -> SpendBlocked:
    from costmon.shim.timestamps import to_datetime

    by = f" by {block.by}" if block.by else ""
    since = f" since {until_text(block.since)}" if block.since is not None else ""
    until = f" until {until_text(block.until)}" if block.until is not None else ", until `costmon allow`"
    return SpendBlocked(
        f"blocked{by}{since}{until} (switch: {block.scope}): {block.reason}",
        scope=block.scope,
        rule="switch",
        since=to_datetime(block.since) if block.since is not None else None,
        until=to_datetime(block.until) if block.until is not None else None,
        retry_after=(block.until - now) / 1e6 if block.until is not None else None,
        **_figures(behind),
    )


def _figures(behind: tuple[policy.Budget, policy.Period] | None) -> dict[str, Any]:
    if behind is None:
        return {}
    budget, period = behind
    return {
        "budget": budget.name,
        "spent": period.used,
        "reserved": period.reserved,
        "limit": budget.amount,
        "currency": budget.currency,
    }
