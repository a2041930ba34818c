"""One call from admission to settlement: switch, budgets, reservation, call, settlement. One Recorder per process.

Every public method may raise SpendBlocked and nothing else; the shim's own faults are logged and dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon import paths
from costmon.errors import LedgerError, SpendBlocked
from costmon.shim import blocks, booking, cards, context, policy, switch
from costmon.shim.admission import reservation, until_text
from costmon.shim.events import Attempt, Settlement, Usage, clean, new_id
from costmon.shim.faults import guarded, report
from costmon.shim.ledger import ADMIT_WAIT_S, SETTLE_WAIT_S, Ledger, async_sleep, jitter_s
from costmon.shim.memory import Memory
from costmon.shim.money import PAR, convert
from costmon.shim.prices import Prices

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.cards import Card

_SWEEP_EVERY_S = 5.0
_SYNC_EVERY_S = 1.0
_HISTORY = 100
_ENOUGH = 5
_MAX_SPOOL = 10_000


class Call(NamedTuple):
    """A metered call about to be made. `free`: the config says that its host costs nothing.

    `cost`: nano of `currency` the caller states for it (a tracked API), else None = priced by tokens.
    """

    api: str
    family: str
    provider: str
    model: str
    endpoint: str
    input_tokens: int = 0
    max_output: int | None = None
    has_output: bool = True
    free: bool = False
    anywhere: bool = False
    source: str = "shim"
    cost: int | None = None
    currency: str = "USD"
    essential: bool | None = None


class Outcome(NamedTuple):
    """What is known after the call. `cost`: nano stated by the caller; `charged` False = provably not billed."""

    outcome: str
    usage: Usage | None = None
    estimated: bool = False
    charged: bool = True
    at_least_reserved: bool = False
    model: str = ""
    cost: int | None = None
    status_code: int | None = None
    error: str | None = None
    service_tier: str = ""
    duration_us: int | None = None
    first_token_us: int | None = None
    request_id: str = ""
    response_id: str = ""


class Open(NamedTuple):
    """An admitted attempt, not yet settled. `written`: its reservation is in the ledger."""

    attempt: Attempt
    charges: list[booking.Charge]
    call: Call
    written: bool


class Recorder:
    """This process's recorder for the ledger in `home`."""

    def __init__(self, home: str) -> None:
        self.ledger = Ledger(home)
        self.folder = paths.switch_dir(home)
        self._explicit = bool(os.environ.get("COSTMON_SWITCH"))
        self._policy: policy.Policy | None = None
        self._prices = Prices()
        self._memory = Memory()
        self._outputs: dict[tuple[str, str, str], deque[int]] = {}
        self._spool: deque[tuple[Open, Outcome, int]] = deque(maxlen=_MAX_SPOOL)
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
            raise _blocked(block, self.ledger.now())

    def provider_hosts(self) -> dict[str, dict[str, Any]]:
        """The config's host map, read once and whenever a call sees a newer config."""
        if self._policy is None:
            guarded("read its config", self.ledger.read, self._refresh)
        return self._policy.hosts if self._policy is not None else {}

    # --- after the call --------------------------------------------------------------------------------------------

    def settle(self, held: Open, outcome: Outcome, *, wait_s: float = SETTLE_WAIT_S) -> None:
        """Settle an admitted attempt; what the ledger cannot take now is spooled and written by a later call or at exit."""
        if outcome.usage is not None and not outcome.estimated:
            self._learn(held.attempt, outcome.usage.get("output_tokens", 0))
        now = self.ledger.now()
        try:
            self._write_settlement(held, outcome, now, wait_s)
        except LedgerError as error:
            report("settle", f"costmon keeps a settlement in memory: {error}")
            self._memory.spent(held)
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
        while self._spool:
            held, outcome, at = self._spool[0]
            try:
                self._write_settlement(held, outcome, at, wait_s)
            except LedgerError:
                break
            except Exception as error:
                report("settle", f"costmon could not settle a call: {type(error).__name__}")
            self._spool.popleft()
        return len(self._spool)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _enter(self, call: Call) -> tuple[str, str, str, bool]:
        app, route, job, essential = context.labels()
        essential = essential if call.essential is None else call.essential
        labels = (clean(app) or "python", clean(route), clean(job), essential)
        if self._spool:
            self.drain()
        try:
            self.check_switch(clean(call.provider), clean(call.model), labels)
        except SpendBlocked as blocked:
            self._note_refusal(blocked, call, labels)
            raise
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
            self._prices = Prices()
        return self._policy

    def _reserve(self, db: Connection, call: Call, labels: tuple[str, str, str, bool]) -> Open:
        rules = self._refresh(db)
        now = self.ledger.now()
        attempt = self._attempt(db, rules, call, labels, now)
        charges: list[booking.Charge] = []
        wanted = rules.matching(_label_map(attempt)) if attempt.estimate else []
        for budget in wanted:
            period = policy.period_at(db, budget, now)
            self._memory.saw(budget, period)
            rate = rules.rate(attempt.currency or "USD", budget.currency, now) or PAR
            amount = convert(attempt.estimate, rate)
            hold = reservation(budget, period, amount, essential=attempt.essential, now=now)
            charges.append(booking.charge(budget, period, hold, rate))
        booking.reserve(db, attempt, charges, rules.machine)
        return Open(attempt, charges, call, True)

    def _admitted(self, held: Open) -> Open:
        self._memory.recovered()
        return held

    def _attempt(
        self, db: Connection, rules: policy.Policy, call: Call, labels: tuple[str, str, str, bool], now: int
    ) -> Attempt:
        app, route, job, essential = labels
        output = self._expected_output(db, rules, call, app) if call.has_output and call.cost is None else 0
        estimate, assumed = call.cost or 0, False
        if call.cost is None and not call.free and call.source == "shim":
            usage = {"input_tokens": call.input_tokens, "output_tokens": output}
            card = self._card(db, call, call.model, now, "")
            estimate, assumed = self._price(db, rules, call, card, usage, now)
        return Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, clean(call.provider),
            clean(call.model), clean(call.endpoint), call.input_tokens, output, estimate, call.currency, assumed,
        )  # fmt: skip

    def _card(self, db: Connection, call: Call, model: str, at: int, tier: str) -> Card | None:
        return (
            self._prices.card(db, call.provider, model, at, tier, anywhere=call.anywhere) if model else None
        )

    def _price(
        self, db: Connection, rules: policy.Policy, call: Call, card: Card | None, usage: Usage, at: int
    ) -> tuple[int, bool]:
        """(what enforcement charges, whether that is an assumption)."""
        if card is not None:
            return cards.price(card, usage).nano or 0, False
        if rules.unknown_price == "refuse":
            raise SpendBlocked(
                f'the price of {clean(call.model, 80)} ({clean(call.provider, 40)}) is unknown and unknown_price = "refuse"; '
                "add the model to prices.toml (costmon prices show MODEL)",
                scope=f"model={clean(call.model)}",
                rule="price",
            )
        return self._prices.assumed(db, call.provider, call.family, at, rules.unknown_price, usage), True

    def _expected_output(self, db: Connection, rules: policy.Policy, call: Call, app: str) -> int:
        history = self._history(db, (app, clean(call.provider), clean(call.model)))
        learned = None
        if len(history) >= _ENOUGH:
            ordered = sorted(history)
            learned = -(-3 * ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)] // 2)
        known = [bound for bound in (call.max_output, learned) if bound is not None]
        return min(known) if known else rules.assumed_output

    def _history(self, db: Connection, key: tuple[str, str, str]) -> deque[int]:
        if key not in self._outputs:
            rows = db.execute(_RECENT_OUTPUTS, key).fetchall()
            self._outputs[key] = deque((row[0] for row in reversed(rows)), maxlen=_HISTORY)
        return self._outputs[key]

    def _learn(self, attempt: Attempt, output_tokens: int) -> None:
        self._outputs.setdefault(
            (attempt.app, attempt.provider, attempt.model), deque(maxlen=_HISTORY)
        ).append(output_tokens)

    def _write_settlement(self, held: Open, outcome: Outcome, now: int, wait_s: float) -> None:
        def work(db: Connection) -> bool:
            rules = self._policy or self._refresh(db)
            settlement = self._settlement(db, rules, held, outcome, now)
            used = booking.settle(db, held.attempt, held.charges, rules.machine, settlement)
            return self._crossed(rules, used)

        crossed = self.ledger.write(work, wait_s) if wait_s else self.ledger.write_once(work)
        self._prices.committed()
        if crossed:
            self._sync_blocks(at_once=True)
        if wait_s:
            self.ledger.checkpoint_if_large()

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
        attempt = held.attempt
        usage = o.usage or {}
        cost, status, charge, version = self._cost(db, rules, held, o)
        return Settlement(
            settled_at=now, outcome=o.outcome,
            usage_status="none" if o.usage is None else "estimated" if o.estimated else "reported",
            usage=usage, cost=cost, currency=attempt.currency if cost is not None else "", cost_status=status,
            charge=charge, model=o.model, price_version=version, status_code=o.status_code, error=o.error,
            service_tier=o.service_tier, duration_us=o.duration_us, first_token_us=o.first_token_us,
            request_id=o.request_id, response_id=o.response_id,
        )  # fmt: skip

    def _cost(
        self, db: Connection, rules: policy.Policy, held: Open, o: Outcome
    ) -> tuple[int | None, str, int, str | None]:
        """(cost, cost status, charge, price version) of a finished attempt."""
        attempt, call = held.attempt, held.call
        if call.source != "shim":
            stated = o.cost if o.cost is not None else call.cost
            return (
                (None, "unknown", 0, None) if stated is None else (stated, "reported", stated, "stated:app")
            )
        if call.free:
            return 0, "free", 0, "config:free"
        if not o.charged:
            return 0, "priced", 0, None
        if o.usage is None and o.outcome == "ok":
            return None, "unknown", attempt.estimate, None  # answered, but the wire carried no usage (C2)
        usage = o.usage or {"input_tokens": attempt.input_tokens, "output_tokens": attempt.output_tokens}
        at = attempt.created_at
        card = self._card(db, call, o.model, at, o.service_tier) or self._card(
            db, call, call.model, at, o.service_tier
        )
        if card is None:
            assumed = self._prices.assumed(db, call.provider, call.family, at, _rate(rules), usage)
            return None, "unknown", max(assumed, attempt.estimate if o.at_least_reserved else 0), None
        self._prices.keep(db, card, at)
        priced = cards.price(card, _priced_units(usage))
        if priced.nano is None:  # not one of the reported units has a price
            return None, "unknown", attempt.estimate, cards.price_version(card)
        cost = max(priced.nano, attempt.estimate) if o.at_least_reserved else priced.nano
        status = "estimated" if o.estimated or o.usage is None else priced.status
        return cost, status, cost, cards.price_version(card)

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
        estimate = (
            call.cost if call.cost is not None else self._memory.guess(call.input_tokens, call.max_output)
        )
        attempt = Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, clean(call.provider),
            clean(call.model), clean(call.endpoint), call.input_tokens, call.max_output or 0, estimate, call.currency, False,
        )  # fmt: skip
        strict = self._policy is not None and self._policy.strict
        charges = self._memory.admit(attempt, _label_map(attempt), self._policy, now, strict=strict)
        return Open(attempt, charges, call, False)

    def _refused(self, blocked: SpendBlocked, call: Call, labels: tuple[str, str, str, bool]) -> SpendBlocked:
        self._note_refusal(blocked, call, labels)
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

    def _note_refusal(self, blocked: SpendBlocked, call: Call, labels: tuple[str, str, str, bool]) -> None:
        now = self.ledger.now()
        row = (
            now - now % 60_000_000, labels[0], clean(call.provider), clean(call.model), blocked.rule, blocked.scope,
            clean(blocked.reason, 500), now, now,
        )  # fmt: skip
        guarded("record a refusal", self.ledger.write_once, lambda db: db.execute(_REFUSAL, row).rowcount)


def _rate(rules: policy.Policy) -> str:
    return "dearest" if rules.unknown_price == "refuse" else rules.unknown_price


def _priced_units(usage: Usage) -> Usage:
    """The usage without the total, which is no unit of its own."""
    return {name: count for name, count in usage.items() if name != "total_tokens"}


def _label_map(attempt: Attempt) -> dict[str, str]:
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "app": attempt.app,
        "route": attempt.route,
        "job": attempt.job,
    }


def _blocked(block: switch.Block, now: int) -> SpendBlocked:
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
    )


_RECENT_OUTPUTS = """select output_tokens from
    (select app, provider, model, output_tokens, usage_status from event order by id desc limit 2000)
    where app = ? and provider = ? and model = ? and usage_status = 'reported' limit 100"""
_REFUSAL = """insert into refusal (minute_at, app, provider, model, rule, scope, reason, first_at, last_at, calls)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
    on conflict do update set calls = calls + 1, last_at = excluded.last_at, reason = excluded.reason"""
