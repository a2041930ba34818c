"""One call from admission to settlement: switch, budgets, reservation, call, settlement. One Recorder per process.

Every public method may raise SpendBlocked and nothing else; the shim's own faults are logged and dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from costmon import paths
from costmon.errors import LedgerBusy, LedgerError, SpendBlocked
from costmon.shim import blocks, booking, context, locks, notices, switch
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Attempt, clean, new_id
from costmon.shim.faults import guarded, report
from costmon.shim.ledger import ADMIT_WAIT_S, SETTLE_WAIT_S, Ledger, async_sleep
from costmon.shim.locks import Naps
from costmon.shim.memory import Memory
from costmon.shim.policy import Budget, Period, Policy
from costmon.shim.process import process
from costmon.shim.refusals import Refusals
from costmon.shim.timestamps import until_text
from costmon.shim.transactions import Admitted, Labels, Transactions, label_map

if TYPE_CHECKING:
    from sqlite3 import Connection

_SWEEP_EVERY_S = 5.0
_SYNC_EVERY_S = 1.0
_MAX_SPOOL = 10_000
_MAX_NAMES = 1_000
_DRAIN_AT_ONCE_S = 0.005  # so long a call, and with it an event loop, writes what an outage has left


class Recorder:
    """This process's recorder for the ledger in `home`."""

    def __init__(self, home: str) -> None:
        self.ledger = Ledger(home)
        self.folder = paths.switch_dir(home)
        self._explicit = bool(os.environ.get("COSTMON_SWITCH"))
        self._memory = Memory()
        self._transactions = Transactions(self._memory)
        self._opened = 0
        self._clean_names: set[tuple[str, str, str]] = set()
        self._asked_who_warns = False
        self._spool: deque[tuple[Open, Outcome, int]] = deque(maxlen=_MAX_SPOOL)
        self._refusals = Refusals(self.ledger)
        self._swept = -_SWEEP_EVERY_S
        self._synced = -_SYNC_EVERY_S

    @property
    def policy(self) -> Policy | None:
        """The compiled config as this process last read it."""
        return self._transactions.policy

    # --- before the call -------------------------------------------------------------------------------------------

    def admit(self, call: Call) -> Open | None:
        """Reserve for `call`, waiting for the ledger at most 250 ms, or 2 s while others make progress in it.

        Raises SpendBlocked. None when a fault of ours kept even the memory from deciding: the call goes out unseen.
        """
        try:
            return self._admit(call)
        except SpendBlocked:
            raise
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")
            return None

    async def admit_async(self, call: Call) -> Open | None:
        """Like `admit`; a busy ledger and `admit_wait` are awaited."""
        try:
            return await self._admit_async(call)
        except SpendBlocked:
            raise
        except Exception as error:
            report("admit", f"costmon could not admit a call: {type(error).__name__}")
            return None

    def _admit(self, call: Call) -> Open | None:
        call = self._cleaned(call)
        labels = self._enter(call)
        began, naps = time.monotonic(), Naps()
        self._read_policy()
        while True:
            try:
                return self._admitted(
                    self.ledger.write(lambda db: self._reserve(db, call, labels), ADMIT_WAIT_S, synced=False),
                    call,
                )
            except SpendBlocked as blocked:
                if not self._may_wait(blocked, began):
                    raise self._refused(blocked, call, labels) from None
            except Exception as error:
                if not isinstance(error, LedgerBusy) or not self._has_patience(began):
                    return self._without_ledger(error, call, labels)
            time.sleep(naps.next_s())

    async def _admit_async(self, call: Call) -> Open | None:
        call = self._cleaned(call)
        labels = self._enter(call)
        began, naps = time.monotonic(), Naps()
        self._read_policy()
        while True:
            try:
                work = self.ledger.write_async(
                    lambda db: self._reserve(db, call, labels), ADMIT_WAIT_S, synced=False
                )
                return self._admitted(await work, call)
            except SpendBlocked as blocked:
                if not self._may_wait(blocked, began) or not await async_sleep(naps.next_s()):
                    raise self._refused(blocked, call, labels) from None
            except Exception as error:
                waits = isinstance(error, LedgerBusy) and self._has_patience(began)
                if not waits or not await async_sleep(naps.next_s()):
                    return self._without_ledger(error, call, labels)

    def check_switch(self, provider: str, model: str, labels: Labels) -> SpendBlocked | None:
        """Raises SpendBlocked when the switch blocks such a call.

        Returns the refusal of a block costmon set by itself when a dry run or a bypass excuses the call from it.
        """
        app, route, job, essential = labels
        switch.touch_reader(self.folder, app, create=not self._explicit)
        scopes = switch.scopes_of(provider, model, app, route, job)
        now = self.ledger.now()
        block = switch.check(self.folder, scopes, now, essential=essential, explicit=self._explicit)
        if block is None:
            return None
        blocked = _blocked(block, now, self._budget_behind(block))
        if block.automatic and self._excuses(provider, model, labels, now):
            # A person's block may stand beside it.
            by_hand = switch.check(self.folder, scopes, now, essential=essential, by_hand=True)
            if by_hand is None:
                return blocked
            blocked = _blocked(by_hand, now, None)
        raise blocked

    def _excuses(self, provider: str, model: str, labels: Labels, now: int) -> bool:
        current = guarded("read its config", self.ledger.read, self._transactions.refresh)
        app, route, job, _ = labels
        named = {"provider": provider, "model": model, "app": app, "route": route, "job": job}
        return current is not None and current.rules.excuses(named, now)

    def _budget_behind(self, block: switch.Block) -> tuple[Budget, Period] | None:
        """The budget that set an automatic block, with its figures now."""
        if not block.automatic or not block.by.startswith(blocks.BY):
            return None
        name = block.by.removeprefix(blocks.BY)

        def find(db: Connection) -> tuple[Budget, Period] | None:
            standings = blocks.standings(db, self._transactions.refresh(db), self.ledger.now())
            return next((found for found in standings if found[0].name == name), None)

        return guarded("read a budget", self.ledger.read, find)

    def provider_hosts(self) -> dict[str, dict[str, Any]]:
        """The config's host map, read once and whenever a call sees a newer config."""
        self._read_policy()
        current = self._transactions.policy
        return current.hosts if current is not None else {}

    def fingerprint(self, path: str, body: bytes | None) -> str:
        """A keyed hash of a request's path (which may name the model) and body.

        It finds repeats, and tells nothing to whoever lacks the ledger's key.
        """
        current = self._transactions.policy
        if not body or current is None:
            return ""
        found = blake2b(
            path.encode("utf-8", "replace") + b"\n", digest_size=12, key=current.hash_key.encode()
        )
        found.update(body)
        return found.hexdigest()

    # --- after the call --------------------------------------------------------------------------------------------

    def settle(self, held: Open, outcome: Outcome, *, wait_s: float = SETTLE_WAIT_S) -> None:
        """Settle an admitted attempt; what the ledger cannot take now is spooled and written by a later call or at exit."""
        if outcome.usage is not None:
            outcome = guarded("learn", self._transactions.costing.learned, held.attempt, outcome) or outcome
        now = self.ledger.now()
        try:
            self._write_settlement(held, outcome, now, wait_s)
        except LedgerError as error:
            if wait_s or not isinstance(
                error, LedgerBusy
            ):  # on an event loop a busy ledger is nothing special
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
        until = float("inf") if wait_s else time.monotonic() + _DRAIN_AT_ONCE_S
        while time.monotonic() < until:
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
        notices.flush(self.ledger)
        return self.drain(wait_s)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _cleaned(self, call: Call) -> Call:
        """The call with names that are safe to store and to show; those met before are known to be."""
        names = (call.provider, call.model, call.endpoint)
        if names in self._clean_names:
            return call
        cleaned = call._replace(
            provider=clean(call.provider), model=clean(call.model), endpoint=clean(call.endpoint)
        )
        if cleaned == call and len(self._clean_names) < _MAX_NAMES:
            self._clean_names.add(names)
        return cleaned

    def _enter(self, call: Call) -> Labels:
        app, route, job, essential = context.labels()
        essential = essential if call.essential is None else call.essential
        labels = (clean(app) or "python", clean(route), clean(job), essential)
        if self._spool:
            guarded("settle", self.drain)
        try:
            excused = self.check_switch(call.provider, call.model, labels)
            if excused is not None and self._dry_run():
                self._refusals.note(excused, labels[0], call, dry_run=True)
        except SpendBlocked as blocked:
            self._refusals.note(blocked, labels[0], call)
            raise
        except Exception as error:
            report("check the switch", f"costmon could not check the switch: {type(error).__name__}")
        return labels

    def _dry_run(self) -> bool:
        current = self._transactions.policy
        return current is not None and current.rules.dry_run

    def _has_patience(self, began: float) -> bool:
        """Whether the operator lets a call that was asked for at `began` (monotonic s) wait still."""
        current = self._transactions.policy  # the first calls of a process learn it while they wait
        return current is not None and time.monotonic() < began + current.admit_wait

    def _may_wait(self, blocked: SpendBlocked, began: float) -> bool:
        """Whether trying again can help: orphans were just released, or the operator lets calls wait for settlements."""
        if not blocked.reserved or blocked.until is not None:
            return False
        return self._sweep() or self._has_patience(began)

    def _sweep(self) -> bool:
        if time.monotonic() - self._swept < _SWEEP_EVERY_S:
            return False
        self._swept = time.monotonic()
        now = self.ledger.now()
        return bool(guarded("release orphans", self._release, now))

    def _release(self, now: int) -> int:
        # Many processes find a budget full at once: they look without the lock, and take it only for a find.
        try:
            if self.ledger.read(lambda db: booking.orphans(db, now), 0.01):
                return self.ledger.write_once(lambda db: booking.settle_orphans(db, now))
        except LedgerBusy:
            pass  # somebody else is at it, or the next refusal looks again
        return 0

    def _reserve(self, db: Connection, call: Call, labels: Labels) -> Admitted:
        if self._opened != self.ledger.opened:
            self._opened = self.ledger.opened
            self._transactions.forget()
        return self._transactions.reserve(db, call, labels, self.ledger.now())

    def _admitted(self, admitted: Admitted, call: Call) -> Open:
        held, attempt = admitted.held, admitted.held.attempt
        self._memory.recovered()
        for blocked in admitted.excused:
            if admitted.dry_run:
                self._refusals.note(blocked, attempt.app, call, dry_run=True)
        if attempt.assumed:
            notices.note(self.ledger, "unpriced", attempt.model, attempt.app, f"provider {attempt.provider}")
        current = self._transactions.policy
        if current is not None and 0 < current.rules.warn_prompt_tokens <= attempt.input_tokens:
            detail = f"about {attempt.input_tokens:,} tokens"
            notices.note(self.ledger, "prompt", attempt.model, attempt.app, detail)
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

    def _write_settlement(self, held: Open, outcome: Outcome, now: int, wait_s: float) -> None:
        def work(db: Connection) -> bool:
            return self._transactions.settle(db, held, outcome, now)

        crossed = self.ledger.write(work, wait_s) if wait_s else self.ledger.write_once(work)
        self._transactions.costing.committed()
        if not held.written:
            self._memory.wrote(held)
        if crossed:
            self._sync_blocks(at_once=True)
        if wait_s:
            self.ledger.checkpoint_if_large()

    def _read_policy(self) -> None:
        """The first look at the config, outside the first transaction: nobody has to wait while it is parsed."""
        if self._transactions.policy is None:
            try:
                self.ledger.read(self._transactions.refresh, 0.01)
            except LedgerError:
                pass  # the admission that follows meets it too, and says so
            except Exception as error:
                report("read its config", f"costmon could not read its config: {type(error).__name__}")

    def _look(self, db: Connection) -> None:
        """Where the budgets stand now, for the memory; writers do not hold up a reader."""
        current, now = self._transactions.refresh(db), self.ledger.now()
        for budget, period in blocks.standings(db, current, now):
            self._memory.saw(budget, period)

    def _without_ledger(self, error: Exception, call: Call, labels: Labels) -> Open | None:
        """The ledger could not answer: go on enforcing from memory. Raises SpendBlocked when that is used up."""
        if not isinstance(error, LedgerError):
            report("admit", f"costmon could not reserve for a call: {type(error).__name__}")
        else:
            report("admit", f"costmon enforces from memory: {error}")
        if isinstance(error, LedgerBusy):
            guarded("look at its budgets", self.ledger.read, self._look, 0.01)
        app, route, job, essential = labels
        now = self.ledger.now()
        guess = 0 if call.free else self._memory.guess(call.input_tokens, call.max_output)
        estimate = call.cost if call.cost is not None else guess
        attempt = Attempt(
            new_id(now), now, call.source, app, route, job, essential, call.api, call.provider,
            call.model, call.endpoint, call.input_tokens, call.max_output or 0, estimate, call.currency, False,
            call.fingerprint, context.run() or process.id(now),
        )  # fmt: skip
        current = self._transactions.policy
        named = label_map(attempt)
        try:
            self._memory.admit(attempt, named, current, now)
        except SpendBlocked as blocked:
            if current is None or not current.rules.excuses(named, now):
                self._refusals.note(blocked, app, call)  # written when the ledger answers again
                raise blocked from None
            if current.rules.dry_run:
                self._refusals.note(blocked, app, call, dry_run=True)
        return Open(attempt, [], call, False)

    def _refused(self, blocked: SpendBlocked, call: Call, labels: Labels) -> SpendBlocked:
        self._refusals.note(blocked, labels[0], call)
        if blocked.budget is not None and blocked.until is not None:
            self._sync_blocks()
        return blocked

    def _sync_blocks(self, *, at_once: bool = False) -> None:
        """Bring the automatic switch files up to date with the budgets; while refusing, at most once a second."""
        if not at_once and time.monotonic() - self._synced < _SYNC_EVERY_S:
            return
        self._synced = time.monotonic()

        def work(db: Connection) -> None:
            blocks.sync(db, self._transactions.refresh(db), self.folder, self.ledger.now())

        guarded("write its switch files", self.ledger.read, work)


def _blocked(block: switch.Block, now: int, behind: tuple[Budget, Period] | None) -> SpendBlocked:
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


def _figures(behind: tuple[Budget, Period] | None) -> dict[str, Any]:
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
