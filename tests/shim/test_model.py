"""A model of the ledger: whatever happens in whatever order, its sums are those of a simple account kept beside it.

Hypothesis drives two processes through calls, crashes, limits, months, prices and clocks. The account below knows
nothing of SQL: lists of calls, each with what it holds and what it cost. The default run is short; the full one is
`pytest -m slow -n 0 tests/shim/test_model.py` (10,000 examples of up to 50 steps, in ten parts with seeds of their own).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from costmon.errors import LedgerBusy, SpendBlocked
from costmon.shim import booking, owner
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit

SECOND = 1_000_000
MINUTE = 60 * SECOND
BEGIN = 1_795_219_200_000_000  # 2026-11-21 00:00 UTC
MONTH = 1_800 * SECOND
COMPILED = 3  # months the ledger knows; later ones repeat the last
LIMIT = 10_000
LEASE = 600 * SECOND
NO_PROCESS = 4_194_305  # above the largest pid Linux gives
EXAMPLES = 10_000
PARTS = 10


# --- the account ------------------------------------------------------------------------------------------------


@dataclass
class Purse:
    """A budget as a person would keep it."""

    id: int
    name: str
    app: str  # '' = everybody's
    rate: Fraction  # of a dollar
    limit: int
    strict: bool
    stops_95: bool
    stops_100: bool
    highest: int = 0

    def counts(self, app: str) -> bool:
        return self.app in ("", app)

    def convert(self, nano: int) -> int:
        return round(nano * self.rate)  # Python rounds a Fraction half to even


@dataclass
class Share:
    """What one call holds, and in the end costs, in one month of one budget."""

    purse: Purse
    month: int
    held: int
    excused: bool
    cost: int = 0


@dataclass
class Paid:
    """One call."""

    id: str
    process: int
    app: str
    estimate: int
    lease: int
    created: int
    shares: list[Share]
    state: str = "open"  # open → settled; or open → orphan → settled
    cost: int = 0


@dataclass
class Window:
    start: int = -1
    calls: int = 0


@dataclass
class Account:
    """Everything that should be in the ledger."""

    purses: list[Purse] = field(default_factory=list)
    calls: dict[str, Paid] = field(default_factory=dict)
    window: Window = field(default_factory=Window)
    rate_limit: int = 0
    price: int = 3
    dry_run: bool = False
    bypasses: list[tuple[str, int, int]] = field(default_factory=list)

    def used(self, purse: Purse, month: int) -> int:
        shares = self.shares(purse, month)
        return sum(share.cost for paid, share in shares if paid.state != "open")

    def held(self, purse: Purse, month: int) -> int:
        return sum(share.held for paid, share in self.shares(purse, month) if paid.state == "open")

    def shares(self, purse: Purse, month: int) -> list[tuple[Paid, Share]]:
        return [
            (paid, share)
            for paid in self.calls.values()
            for share in paid.shares
            if share.purse is purse and share.month == month
        ]

    def excuses(self, app: str, now: int) -> bool:
        over = any(scope in ("all", f"app={app}") and a <= now < b for scope, a, b in self.bypasses)
        return self.dry_run or over

    def ask(self, app: str, estimate: int, *, essential: bool, now: int) -> tuple[str, list[Share]]:
        """Why the call is refused ('' if it is not) and what it holds if it goes out all the same."""
        reasons, shares = [], []
        for purse in self.purses:
            if not purse.counts(app) or not estimate:
                continue
            month, amount = month_of(now), purse.convert(estimate)
            before = self.used(purse, month) + self.held(purse, month)
            refused = self._refuses(purse, before, amount, essential, self._remainder_is_out(purse, month))
            remainder = min(amount, purse.limit - before) if purse.stops_100 and not refused else amount
            reasons += (
                [(f"budget95 {purse.name}" if refused == 95 else f"budget {purse.name}")] if refused else []
            )
            shares.append(Share(purse, month, remainder, bool(refused)))
        if self.rate_limit and not (reasons and not self.excuses(app, now)) and self._full(now):
            reasons.append("rate ")
        return (reasons[0] if reasons else ""), shares

    def count(self, now: int) -> None:
        """A call goes out."""
        if not self.rate_limit:
            return
        start = now - now % MINUTE
        if start <= self.window.start <= start + MINUTE:
            self.window.calls += 0 if self._full(now) else 1
        else:
            self.window = Window(start, 1)

    def _full(self, now: int) -> bool:
        start = now - now % MINUTE
        return start <= self.window.start <= start + MINUTE and self.window.calls >= self.rate_limit

    def _remainder_is_out(self, purse: Purse, month: int) -> bool:
        """Whether a call that got only what was left is still in flight."""
        return any(
            share.purse is purse and share.month == month and share.held < purse.convert(paid.estimate)
            for paid in self.calls.values()
            if paid.state == "open"
            for share in paid.shares
        )

    @staticmethod
    def _refuses(purse: Purse, before: int, amount: int, essential: bool, remainder_is_out: bool) -> int:
        if purse.stops_95 and not essential and Fraction(before, purse.limit) >= Fraction(95, 100):
            return 95
        if not purse.stops_100:
            return 0
        left = purse.limit - before
        if amount <= left and (amount or left > 0):
            return 0
        return 0 if left > 0 and not purse.strict and not remainder_is_out else 100


def month_of(at: int) -> int:
    return max(0, (at - BEGIN) // MONTH)


# --- the machine ------------------------------------------------------------------------------------------------


_template: list[str] = []


def template() -> str:
    """An empty ledger with two months and no prices, to be copied."""
    if not _template:
        home = tempfile.mkdtemp(dir=RAM)
        db = kit.connect(home)
        db.execute("delete from catalog")
        db.execute("vacuum")
        db.execute("pragma wal_checkpoint(truncate)")
        db.close()
        _template.append(home)
    return _template[0]


RAM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# (process, app, estimate in nano or input tokens, essential, whether it is priced by tokens)
CALLS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["a", "b"]),
    st.sampled_from([1, 2, 7, 100, 1_000, 3_000, LIMIT // 3, LIMIT]),
    st.booleans(),
    st.booleans(),
)


class LedgerModel(RuleBasedStateMachine):
    """Two processes on one ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp(dir=RAM)
        shutil.copy(os.path.join(template(), "ledger.db"), self.home)
        self.now = BEGIN + 10 * SECOND
        self.account = Account()
        self.held: dict[str, tuple[Recorder, Open]] = {}
        self.db = kit.connect(self.home)
        self.generation = 10
        self.processes = [self._process() for _ in range(2)]
        self.read = [-1, -1]  # the generation of the config each process knows
        self.prices: list[int | None] = [None, None]  # as each has read it since, None until it needs one

    def teardown(self) -> None:
        for process in self.processes:
            process.ledger.close()
        self.db.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _process(self) -> Recorder:
        recorder = Recorder(self.home)
        recorder.ledger.now = lambda: self.now
        # What runs by the real clock, and the switch's files, have tests of their own.
        recorder._swept = float("inf")
        recorder._asked_who_warns = True
        recorder._sync_blocks = lambda **_: None  # type: ignore[method-assign]
        return recorder

    def _write(self, *statements: tuple[str, Any]) -> None:
        self.db.execute("begin immediate")
        for sql, values in statements:
            self.db.execute(sql, values)
        self.generation += 1
        kit.put_setting(self.db, "generation", str(self.generation))
        self.db.execute("commit")

    @initialize(
        modes=st.lists(st.sampled_from(["strict", "default"]), min_size=3, max_size=3),
        stops=st.lists(st.sampled_from(["block", "warn"]), min_size=4, max_size=4),
        rate_limit=st.sampled_from([0, 0, 3, 8]),
    )
    def budgets(self, modes: list[str], stops: list[str], rate_limit: int) -> None:
        kinds = [
            ("all", "", "USD", Fraction(1)),
            ("mine", "a", "KRW", Fraction(2701, 2)),
            ("coarse", "", "XAU", Fraction(1, 7)),
        ]
        for number, (name, app, currency, rate) in enumerate(kinds, start=1):
            limit = round(LIMIT * rate) or 1
            at_95, at_100 = ("block", stops[number]) if number < 3 else (stops[0], stops[3])
            purse = Purse(
                number,
                name,
                app,
                rate,
                limit,
                modes[number - 1] == "strict",
                at_95 == "block",
                at_100 == "block",
            )
            purse.highest = limit
            self.account.purses.append(purse)
            self._write(
                ("insert into budget (id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels,"
                 " at_95, at_100, definition) values (?, ?, ?, ?, ?, ?, 'month', 'UTC', ?, '[]', ?, ?, '{}')",
                 (number, name, "app" if app else "all", app, limit, currency, modes[number - 1], at_95, at_100)),
                *(("insert into budget_period (budget_id, start_at, end_at) values (?, ?, ?)",
                   (number, BEGIN + k * MONTH, BEGIN + (k + 1) * MONTH)) for k in range(COMPILED)),
                ("insert or replace into exchange_rate values ('USD', ?, 0, ?, ?, 'test')",
                 (currency, rate.numerator, rate.denominator)),
            )  # fmt: skip
        self.account.rate_limit = rate_limit
        if rate_limit:
            self._write(
                ("insert into rate_limit values (1, 'r', 'all', '', ?, 'minute')", (rate_limit,)),
            )
        self._put_price()

    def _put_price(self) -> None:
        models = [{"id": "m", "match": {"equals": "m"},
                   "prices": [{"rates": {"input_tokens": f"{self.account.price / 1000:.3f}"}}]}]  # fmt: skip
        self._write(
            ("insert or replace into catalog (provider, layer, source, version, models) values ('px', 0, 'user', ?, ?)",
             (str(self.generation), json.dumps(models))),
        )  # fmt: skip

    # --- calls --------------------------------------------------------------------------------------------------

    @rule(calls=st.lists(CALLS, min_size=1, max_size=5))
    def reserve(self, calls: list[tuple[int, str, int, bool, bool]]) -> None:
        """Calls ask to go out: each time the same answer, for the same reason, and exactly as much held."""
        for call in calls:
            self._reserve(*call)

    @rule(calls=st.lists(CALLS, min_size=1, max_size=5), percent=st.sampled_from([1, 50, 100, 130]))
    def call(self, calls: list[tuple[int, str, int, bool, bool]], percent: int) -> None:
        """Calls go out and come back one after the other."""
        for call in calls:
            self._reserve(*call)
            self._settle(-1, percent)

    def _reserve(self, process: int, app: str, size: int, essential: bool, tokens: bool) -> None:
        call, estimate = self._call(process, size, tokens)
        account = self.account
        reason, shares = account.ask(app, estimate, essential=essential, now=self.now)
        excused = account.excuses(app, self.now)
        recorder = self.processes[process]
        with kit_labels(app, essential):
            try:
                held = recorder.admit(call)
            except SpendBlocked as blocked:
                refused = f"{blocked.rule} {blocked.budget or ''}"
                held = None
        if held is None:
            assert (excused, refused) == (False, reason)
            return
        assert held.written
        assert excused or not reason, reason
        account.count(self.now)
        self._opened(held, process, app, estimate, shares)
        assert [entry[2] for entry in held.charges] == [share.held for share in shares]

    def _call(self, process: int, size: int, tokens: bool) -> tuple[Call, int]:
        self._reads_config(process)
        if not tokens:
            return kit.priced(size), size
        call = kit.llm("m", size, None, provider="px", has_output=False, api="embeddings")
        return call, size * self._price(process)

    def _reads_config(self, process: int) -> None:
        """Every admission does, and what follows an outage."""
        if self.read[process] != self.generation:
            self.read[process], self.prices[process] = self.generation, None

    def _price(self, process: int) -> int:
        """A call in flight when prices change costs what its process had read before; what it had not, it reads then."""
        price = self.prices[process]
        if price is None:
            price = self.prices[process] = self.account.price
        return price

    def _opened(self, held: Open, process: int, app: str, estimate: int, shares: list[Share]) -> None:
        created = held.attempt.created_at
        self.account.calls[held.attempt.id] = Paid(
            held.attempt.id, process, app, estimate, created + LEASE, created, shares
        )
        self.held[held.attempt.id] = (self.processes[process], held)

    @rule(process=st.integers(0, 1), app=st.sampled_from(["a", "b"]), size=st.sampled_from([1, 500]))
    def outage(self, process: int, app: str, size: int) -> None:
        """The ledger does not answer a call that is let through from memory, and takes its settlement later."""
        recorder = self.processes[process]
        self._reads_config(process)
        try:
            held = recorder._without_ledger(LedgerBusy("test"), kit.priced(size), (app, "", "", True))
        except SpendBlocked:
            return
        assert held is not None
        shares = [Share(p, month_of(self.now), 0, True) for p in self.account.purses if p.counts(app)]
        self._opened(held, process, app, size, shares)
        self.account.calls[held.attempt.id].state = "outside"

    def _pick(self, choice: int, *states: str) -> Paid | None:
        found = [p for p in self.account.calls.values() if p.state in states and p.id in self.held]
        return found[choice % len(found)] if found else None

    @rule(
        choices=st.lists(st.integers(0, 30), min_size=1, max_size=5),
        percent=st.sampled_from([0, 1, 50, 100, 130, 400]),
    )
    def settle(self, choices: list[int], percent: int) -> None:
        """Calls come back, costing less or more than was thought; one given up for lost is corrected."""
        for choice in choices:
            self._settle(choice, percent)

    def _settle(self, choice: int, percent: int) -> None:
        paid = self._pick(choice, "open", "orphan", "outside")
        if paid is not None:
            self._finish(paid, percent)

    def _finish(self, paid: Paid, percent: int) -> None:
        recorder, held = self.held[paid.id]
        if held.call.source == "shim":
            tokens = held.call.input_tokens * percent // 100
            paid.cost = tokens * self._price(paid.process)
            outcome = Outcome("ok", usage={"input_tokens": tokens}, model="m")
        else:
            paid.cost = paid.estimate * percent // 100
            outcome = Outcome("ok", cost=paid.cost)
        if paid.state == "outside":
            self._reads_config(paid.process)
        recorder.settle(held, outcome)
        self._closed(paid, "settled")

    def _closed(self, paid: Paid, state: str) -> None:
        paid.state = state
        for share in paid.shares:
            share.cost = share.purse.convert(paid.cost)

    @rule(choice=st.integers(0, 30))
    def release(self, choice: int) -> None:
        """A call that never reached the provider costs nothing."""
        paid = self._pick(choice, "open", "orphan")
        if paid is None or self.held[paid.id][1].call.source != "shim":
            return
        recorder, held = self.held[paid.id]
        recorder.settle(held, Outcome("error", charged=False, error="ConnectError"))
        paid.cost = 0
        self._closed(paid, "settled")

    @rule(choice=st.integers(0, 30))
    def settle_again(self, choice: int) -> None:
        """What is settled for good stays as it is."""
        paid = self._pick(choice, "settled")
        if paid is not None:
            recorder, held = self.held[paid.id]
            if not held.written:
                self._reads_config(paid.process)
            if held.call.source == "shim":
                self._price(paid.process)
                recorder.settle(held, Outcome("ok", usage={"input_tokens": 999_999}))
            else:
                recorder.settle(held, Outcome("ok", cost=999_999))

    @rule(choice=st.integers(0, 30))
    def renew(self, choice: int) -> None:
        """A long call says that it lives."""
        paid = self._pick(choice, "open")
        if paid is not None:
            recorder, held = self.held[paid.id]
            recorder.renew(held)
            paid.lease = self.now + LEASE

    # --- processes and time -------------------------------------------------------------------------------------

    @rule(process=st.integers(0, 1))
    def kill(self, process: int) -> None:
        """A process dies with its calls in flight, and is started again."""
        self.processes[process].ledger.close()
        dead = f"{owner._place()}:{NO_PROCESS}:1"
        gone = [p for p in self.account.calls.values() if p.process == process and p.id in self.held]
        self.db.execute("begin immediate")
        for paid in gone:
            del self.held[paid.id]
            if paid.state == "open":
                paid.lease = -1
                self.db.execute("update reservation set owner = ? where id = ?", (dead, paid.id))
            elif paid.state == "outside":
                del self.account.calls[paid.id]  # nobody knows of it
        self.db.execute("commit")
        self.processes[process] = self._process()
        self.read[process] = -1

    @rule(process=st.integers(0, 1))
    def sweep(self, process: int) -> None:
        """Calls whose owner is dead, or whose lease is over, are settled at their estimate."""
        lost = [p for p in self.account.calls.values() if p.state == "open" and p.lease < self.now]
        now = self.now
        assert self.processes[process].ledger.write(lambda db: booking.settle_orphans(db, now), 2.0) == len(
            lost
        )
        for paid in lost:
            paid.cost = paid.estimate
            self._closed(paid, "orphan")

    @rule(process=st.integers(0, 1), choice=st.integers(0, 30), percent=st.sampled_from([0, 100, 400]))
    def come_back_late(self, process: int, choice: int, percent: int) -> None:
        """Leases run out, calls are written off, and one of them comes back after all."""
        self.now += LEASE + 1
        self.sweep(process)
        paid = self._pick(choice, "orphan")
        if paid is not None:
            self._finish(paid, percent)

    @rule(seconds=st.sampled_from([0, 1, 30, 60, 61, 599, 601, 1_800]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(seconds=st.sampled_from([1, 59, 60, 119, 121, 1_800]))
    def clock_set_back(self, seconds: int) -> None:
        self.now -= seconds * SECOND

    # --- the operator -------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 2), percent=st.sampled_from([1, 50, 90, 100, 101, 150, 300]))
    def change_limit(self, number: int, percent: int) -> None:
        """A budget is raised or lowered, maybe below what is spent."""
        purse = self.account.purses[number]
        purse.limit = max(1, round(LIMIT * purse.rate) * percent // 100)
        purse.highest = max(purse.highest, purse.limit)
        self._write(("update budget set amount = ? where id = ?", (purse.limit, purse.id)))

    @rule(number=st.integers(0, 2))
    def change_mode(self, number: int) -> None:
        purse = self.account.purses[number]
        purse.strict = not purse.strict
        self._write(
            ("update budget set mode = ? where id = ?", ("strict" if purse.strict else "default", purse.id))
        )

    @rule(price=st.integers(0, 9))
    def change_price(self, price: int) -> None:
        self.account.price = price
        self._put_price()

    @rule(scope=st.sampled_from(["all", "app=a", "app=x"]), seconds=st.sampled_from([1, 60, 700]))
    def bypass(self, scope: str, seconds: int) -> None:
        until = self.now + seconds * SECOND
        self.account.bypasses.append((scope, self.now, until))
        self._write((
            "insert into override (kind, scope, by, reason, created_at, until_at) values ('bypass', ?, 'me', '', ?, ?)",
            (scope, self.now, until),
        ))  # fmt: skip

    @precondition(lambda self: self.account.bypasses)
    @rule()
    def end_bypasses(self) -> None:
        self.account.bypasses.clear()
        self._write(("update override set lifted_at = ?, lifted_by = 'me'", (self.now,)))

    @rule()
    def toggle_dry_run(self) -> None:
        self.account.dry_run = not self.account.dry_run
        self._write((
            "insert or replace into setting values ('dry_run', ?)", ("1" if self.account.dry_run else "0",),
        ))  # fmt: skip

    # --- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def sums_are_those_of_the_account(self) -> None:
        account = self.account
        expected: dict[tuple[int, int], tuple[int, int, int]] = {}
        for paid in account.calls.values():
            if paid.state == "outside":
                continue
            for share in paid.shares:
                key = (share.purse.id, share.month)
                spent, held, calls = expected.get(key, (0, 0, 0))
                opened = paid.state == "open"
                expected[key] = (
                    spent + (0 if opened else share.cost), held + (share.held if opened else 0), calls + (not opened),
                )  # fmt: skip
        found = {}
        for budget, start, spent, assumed, reserved, calls in self.db.execute(
            "select budget_id, start_at, spent, assumed, reserved, calls from budget_period"
        ):
            assert (start - BEGIN) % MONTH == 0
            assert min(spent, assumed, reserved, calls) >= 0
            assert assumed == 0
            if (spent, reserved, calls) != (0, 0, 0):
                found[budget, (start - BEGIN) // MONTH] = (spent, reserved, calls)
        assert found == {key: sums for key, sums in expected.items() if sums != (0, 0, 0)}

    @invariant()
    def every_call_is_in_one_state(self) -> None:
        account = self.account.calls.values()
        in_flight = {row[0] for row in self.db.execute("select id from reservation")}
        assert in_flight == {paid.id for paid in account if paid.state == "open"}
        events = {row[0]: row[1:] for row in self.db.execute("select id, cost, note, state from event")}
        assert events == {
            paid.id: (paid.cost, booking.ORPHAN if paid.state == "orphan" else None, "settled")
            for paid in account
            if paid.state in ("settled", "orphan")
        }

    @invariant()
    def rollups_are_the_sum_of_the_events(self) -> None:
        sums = "count(*), coalesce(sum(cost), 0), coalesce(sum(input_tokens), 0), coalesce(sum(outcome <> 'ok'), 0)"
        (events,) = self.db.execute(f"select {sums} from event").fetchall()
        for table in ("rollup_quarter", "rollup_day"):
            rolled = sums.replace("count(*)", "coalesce(sum(calls), 0)").replace("outcome <> 'ok'", "errors")
            assert self.db.execute(f"select {rolled} from {table}").fetchone() == events

    @invariant()
    def no_budget_is_exceeded_by_more_than_is_published(self) -> None:
        """What is over a limit came from calls dearer than what they held, or from calls a person excused."""
        for purse in self.account.purses:
            if not purse.stops_100:
                continue
            for month in {share.month for paid in self.account.calls.values() for share in paid.shares}:
                shares = self.account.shares(purse, month)
                total = self.account.used(purse, month) + self.account.held(purse, month)
                excess = sum(
                    max(share.cost, share.held) if share.excused else max(0, share.cost - share.held)
                    for _, share in shares
                )
                assert total <= purse.highest + excess


class kit_labels:  # noqa: N801
    """Whose call it is, for one call."""

    def __init__(self, app: str, essential: bool) -> None:
        from costmon.shim import context

        self._context = context.context(app=app, essential=essential)

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(self, *_: object) -> None:
        self._context.__exit__()


def run(examples: int, steps: int, number: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    """Drive the machine through so many histories, always the same ones for the same `number`."""
    run_state_machine_as_test(
        seed(number)(type("LedgerModel", (LedgerModel,), {})),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=True,
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def cleared() -> Iterator[None]:
    yield
    while _template:
        shutil.rmtree(_template.pop(), ignore_errors=True)


def test_the_ledger_is_the_account() -> None:
    """80 histories of up to 30 steps."""
    run(80, 30, 1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_ledger_is_the_account_ten_thousand_times(part: int) -> None:
    """1,000 histories of up to 50 steps in each of ten parts."""
    run(EXAMPLES // PARTS, 50, part + PARTS * int(os.environ.get("COSTMON_TEST_SEED", "1")))


@pytest.mark.parametrize("fault", ["reserved", "spent", "lost", "twice"])
def test_a_ledger_that_is_wrong_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account notices a nano held too long, a nano too much, a lost event, and a call settled twice."""
    statements = {
        "reserved": "update budget_period set reserved = reserved + 1 where budget_id = 1",
        "spent": "update budget_period set spent = spent + 1 where budget_id = 1",
        "lost": "delete from event",
        "twice": "insert or ignore into reservation select id, 0, 0, '', 0, '[]', '', '', '', '', 0, '', '', '', '', '', 0,"
        " null from event",
    }
    real = booking.settle

    def wrong(db: sqlite3.Connection, *args: Any) -> Any:
        answer = real(db, *args)
        db.execute(statements[fault])
        return answer

    monkeypatch.setattr(booking, "settle", wrong)
    with pytest.raises(AssertionError):
        run(40, 20, 1, [Phase.generate])


def test_the_template_is_a_real_ledger(tmp_path: Path) -> None:
    """The copied ledger opens like any other."""
    shutil.copy(os.path.join(template(), "ledger.db"), tmp_path)
    assert kit.one(tmp_path, "pragma integrity_check") == "ok"
