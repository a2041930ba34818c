"""The law of the ledger: whatever happens to calls, in whatever order, every sum equals the sum of its parts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.errors import SpendBlocked
from costmon.shim import booking, policy
from costmon.shim.money import Rate
from costmon.shim.policy import Budget
from costmon.shim.recorder import Open, Outcome, Recorder
from tests.shim.battery import kit

SLOT = booking.SLOT_US


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def event(home: Path, *columns: str) -> Any:
    (found,) = kit.rows(home, f"select {', '.join(columns)} from event")
    return found


# --- the law ----------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(
        st.just("reserve"), st.integers(0, 3000), st.sampled_from(["a", "b"]), st.sampled_from(["p", "q"])
    ),
    st.tuples(
        st.just("llm"), st.integers(1, 50), st.sampled_from(["gpt-4o-mini", "no-such-model"]), st.booleans()
    ),
    st.tuples(
        st.just("settle"),
        st.integers(0, 9),
        st.integers(0, 5000),
        st.sampled_from(["ok", "error", "dropped"]),
    ),
    st.tuples(st.just("unknown"), st.integers(0, 9)),
    st.tuples(st.just("again"), st.integers(0, 9), st.integers(0, 5000)),
    st.tuples(st.just("refund"), st.integers(0, 9)),
    st.tuples(st.just("die"), st.integers(0, 9)),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("outage"), st.integers(0, 900)),
    st.tuples(st.just("limit"), st.integers(0, 20_000)),
    st.tuples(st.just("later"), st.integers(1, 3 * kit.DAY_US)),
    st.tuples(st.just("same response"), st.integers(0, 9), st.integers(0, 2)),
)


class World:
    """A ledger, its recorder, and the calls that are open in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.recorder = Recorder(str(home))
        self.now = kit.now_us()
        self.recorder.ledger.now = lambda: self.now
        self.open: list[Open] = []
        self.done: list[Open] = []
        self.budgets = [
            kit.add_budget(home, 20_000, name="all"),
            kit.add_budget(home, 9_000, name="a", scope="app=a", mode="strict"),
            kit.add_budget(home, 10**12, name="won", currency="KRW", at_95="warn", at_100="warn"),
        ]
        db = kit.connect(home)
        db.execute("insert into exchange_rate values ('USD', 'KRW', 0, 4437, 3, 'test')")
        kit.put_setting(db, "generation", "law")
        db.close()

    def run(self, step: tuple[Any, ...]) -> None:
        name, *values = step
        try:
            getattr(self, "do_" + name.replace(" ", "_"))(*values)
        except SpendBlocked:
            pass

    def _pick(self, calls: list[Open], number: int) -> Open | None:
        return calls[number % len(calls)] if calls else None

    def _settle(self, number: int, outcome: Outcome) -> None:
        held = self._pick(self.open, number)
        if held is not None:
            self.recorder.settle(held, outcome)
            self.open.remove(held)
            self.done.append(held)

    def do_reserve(self, cost: int, app: str, provider: str) -> None:
        from costmon.shim.context import context

        with context(app=app):
            held = self.recorder.admit(kit.priced(cost or None, provider=provider))
        assert held is not None
        self.open.append(held)

    def do_llm(self, tokens: int, model: str, reported: bool) -> None:
        held = self.recorder.admit(kit.llm(model, tokens, tokens))
        assert held is not None
        usage = {"input_tokens": tokens, "output_tokens": tokens // 2} if reported else None
        self.recorder.settle(held, Outcome("ok", usage=usage))

    def do_settle(self, number: int, cost: int, outcome: str) -> None:
        self._settle(number, Outcome(outcome, cost=cost))

    def do_unknown(self, number: int) -> None:
        self._settle(number, Outcome("ok"))

    def do_refund(self, number: int) -> None:
        self._settle(number, Outcome("error", charged=False, cost=0))

    def do_again(self, number: int, cost: int) -> None:
        held = self._pick(self.done, number)
        if held is not None:
            self.recorder.settle(held, Outcome("ok", cost=cost))

    def do_same_response(self, number: int, response: int) -> None:
        self._settle(number, Outcome("ok", cost=5, response_id=f"r{response}"))

    def do_die(self, number: int) -> None:
        held = self._pick(self.open, number)
        if held is not None:
            self.recorder.ledger.write_once(
                lambda db: db.execute(
                    "update event set owner = 'x:1:1:1', lease_until = 0 where id = ?", (held.attempt.id,)
                )
            )

    def do_sweep(self) -> None:
        self.recorder.ledger.write_once(lambda db: booking.settle_orphans(db, self.now))

    def do_outage(self, cost: int) -> None:
        from costmon.errors import LedgerBusy

        held = self.recorder._without_ledger(LedgerBusy("x"), kit.priced(cost), ("a", "", "", True))
        assert held is not None
        self.open.append(held)

    def do_limit(self, amount: int) -> None:
        db = kit.connect(self.home)
        db.execute("update budget set amount = ? where name = 'all'", (amount,))
        kit.put_setting(db, "generation", f"law{amount}{self.now}")
        db.close()

    def do_later(self, by: int) -> None:
        self.now += by

    def check(self) -> None:
        kit.assert_sums_agree(self.home)
        assert kit.one(self.home, "select count(*) from reservation") == len(
            [held for held in self.open if held.written and self._is_open(held)]
        )
        types = kit.rows(
            self.home,
            "select distinct typeof(spent) from budget_period union select distinct typeof(cost) from rollup_day",
        )
        assert set(types) <= {("integer",)}

    def _is_open(self, held: Open) -> bool:
        return kit.rows(self.home, "select 1 from reservation where id = ?", held.attempt.id) == [(1,)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=40))
def test_every_sum_is_the_sum_of_its_parts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """No order of calls, crashes, refunds, outages and limit changes makes a gauge differ from its events."""
    world = World(tmp_path_factory.mktemp("law") / "home")
    try:
        for step in steps:
            world.run(step)
        world.check()
        while world.open:
            world.do_settle(0, 77, "ok")
        world.check()
        assert kit.one(world.home, "select coalesce(sum(reserved), 0) from budget_period") == 0
        assert kit.one(world.home, "select count(*) from reservation") == 0
    finally:
        world.recorder.ledger.close()


# --- one event, one row -----------------------------------------------------------------------------------------


def test_one_response_seen_twice_is_two_attempts(costmon_home: Path, recorder: Recorder) -> None:
    """A provider that repeats a response id neither loses the second call nor counts the first twice."""
    number = kit.add_budget(costmon_home, 10**9)
    for cost in (10, 30):
        held = recorder.admit(kit.priced(cost))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=cost, response_id="chatcmpl-1"))
    assert kit.rows(costmon_home, "select response_id, cost from event order by id") == [
        ("chatcmpl-1", 10),
        (None, 30),
    ]
    assert kit.period(costmon_home, number)["spent"] == 40
    kit.assert_sums_agree(costmon_home)


def test_a_settlement_comes_once(costmon_home: Path, recorder: Recorder) -> None:
    """A stream that ends, is closed and is collected is charged once."""
    number = kit.add_budget(costmon_home, 10**9)
    held = recorder.admit(kit.priced(10))
    assert held is not None
    for cost in (10, 500, 0):
        recorder.settle(held, Outcome("ok", cost=cost))
    assert kit.period(costmon_home, number) == {
        "spent": 10,
        "assumed": 0,
        "reserved": 0,
        "calls": 1,
        "unpriced": 0,
    }
    kit.assert_sums_agree(costmon_home)


def test_an_unknown_price_is_null_and_assumed(costmon_home: Path, recorder: Recorder) -> None:
    """A model nobody has a price for shows as unpriced, and the budget assumes the dearest."""
    number = kit.add_budget(costmon_home, 10**12)
    held = recorder.admit(kit.llm("some-unheard-of-model", 100, 100))
    assert held is not None
    recorder.settle(held, Outcome("ok", usage={"input_tokens": 100, "output_tokens": 50}))
    found = kit.period(costmon_home, number)
    assert found["spent"] == 0
    assert found["assumed"] > 150 * 1000
    assert (found["unpriced"], found["reserved"]) == (1, 0)
    assert event(costmon_home, "cost", "cost_status") == (None, "unknown")
    kit.assert_sums_agree(costmon_home)


def test_an_answer_without_usage_is_unknown_not_free(costmon_home: Path, recorder: Recorder) -> None:
    """A response that says nothing of its usage is charged its estimate and shown as unknown."""
    number = kit.add_budget(costmon_home, 10**12)
    held = recorder.admit(kit.llm())
    assert held is not None
    recorder.settle(held, Outcome("ok"))
    assert event(costmon_home, "cost", "cost_status", "usage_status") == (None, "unknown", "none")
    assert kit.period(costmon_home, number)["assumed"] == 75_000


def test_a_foreign_budget_is_charged_at_the_rate_of_admission(costmon_home: Path, recorder: Recorder) -> None:
    """A rate edited while a call runs does not move what the call costs the won budget."""
    number = kit.add_budget(costmon_home, 10**15, currency="KRW")

    def rate(numerator: int, denominator: int) -> None:
        db = kit.connect(costmon_home)
        db.execute(
            "insert or replace into exchange_rate values ('USD', 'KRW', 0, ?, ?, 'test')",
            (numerator, denominator),
        )
        kit.put_setting(db, "generation", str(numerator))
        db.close()

    rate(4437, 3)
    held = recorder.admit(kit.priced(1000))
    assert held is not None
    assert kit.period(costmon_home, number)["reserved"] == 1_479_000
    rate(9999, 1)
    recorder.settle(held, Outcome("ok", cost=7))
    assert kit.period(costmon_home, number)["spent"] == 10_353  # 7 x 1479, not 7 x 9999
    kit.assert_sums_agree(costmon_home)


def test_a_removed_budget_does_not_break_a_call_in_flight(costmon_home: Path, recorder: Recorder) -> None:
    """Deleting a budget while a call runs is fine."""
    number = kit.add_budget(costmon_home, 10**9)
    held = recorder.admit(kit.priced(10))
    assert held is not None
    db = kit.connect(costmon_home)
    db.execute("delete from budget where id = ?", (number,))
    db.execute("delete from budget_period where budget_id = ?", (number,))
    kit.put_setting(db, "generation", "gone")
    db.close()
    recorder.settle(held, Outcome("ok", cost=10))
    assert event(costmon_home, "state", "cost") == ("settled", 10)


def test_hostile_texts_are_stored_tame(costmon_home: Path, recorder: Recorder) -> None:
    """Megabyte names, quotes, escape codes and surrogates end as short plain values in one row."""
    evil = "\x1b[31m'; drop table event; --\ud800\n" + "x" * 1_000_000
    held = recorder.admit(kit.priced(1, provider=evil, model=evil, endpoint=evil))
    assert held is not None
    outcome = Outcome(
        "ok", cost=1, error=evil, request_id=evil, response_id=evil, service_tier=evil, model=evil
    )
    recorder.settle(held, outcome)
    for value in event(
        costmon_home, "provider", "model", "endpoint", "error", "request_id", "response_id", "service_tier"
    ):
        assert value.startswith("[31m'; drop table")
        assert len(value) <= 200
    kit.assert_sums_agree(costmon_home)


def test_a_servers_model_names_do_not_fill_the_memory(costmon_home: Path, recorder: Recorder) -> None:
    """A server that answers with another megabyte-long model name each time does not grow the host."""
    for number in range(30):
        held = recorder.admit(kit.llm())
        assert held is not None
        usage = {"input_tokens": 1, "output_tokens": 1}
        recorder.settle(
            held,
            Outcome("ok", usage=usage, model=f"{number}" + "x" * 1_000_000, service_tier="y" * 1_000_000),
        )
    assert sum(len(key[1]) + len(key[2]) for key in recorder._transactions.costing._prices._cards) < 100_000


# --- rollups ----------------------------------------------------------------------------------------------------


def test_rollups_have_both_grains(costmon_home: Path, recorder: Recorder) -> None:
    """Spend by quarter hour and by the operator's own day, each from the call's beginning."""
    base = kit.now_us() // kit.DAY_US * kit.DAY_US
    db = kit.connect(costmon_home)
    nine_hours = 9 * 3600 * 1_000_000
    for day in (-1, 0, 1):
        start = base + day * kit.DAY_US - nine_hours
        db.execute("insert into local_day values (?, ?, ?)", (start, start + kit.DAY_US, f"day{day}"))
    kit.put_setting(db, "generation", "days")
    db.close()
    for offset in (0, SLOT - 1, SLOT, kit.DAY_US - nine_hours - 1, kit.DAY_US - nine_hours):
        recorder.ledger.now = lambda at=base + offset: at  # type: ignore[misc]
        kit.spend(recorder, 1)
    slots = kit.rows(costmon_home, "select slot_at, calls from rollup_quarter order by 1")
    assert slots == [(base, 2), (base + SLOT, 1), (base + 59 * SLOT, 1), (base + 60 * SLOT, 1)]
    days = kit.rows(costmon_home, "select day_at, calls from rollup_day order by 1")
    assert days == [(base - nine_hours, 4), (base + kit.DAY_US - nine_hours, 1)]


def test_two_ledgers_in_one_process_keep_their_own_days(tmp_path: Path) -> None:
    """An app that changes its home, or an operator who moves to another zone, gets the right day at once."""
    now = kit.now_us()
    days = []
    for number in range(2):
        home = tmp_path / str(number)
        start = now - now % SLOT - number * SLOT
        db = kit.connect(home)
        db.execute("insert into local_day values (?, ?, 'x')", (start, start + kit.DAY_US))
        db.close()
        recorder = Recorder(str(home))
        kit.spend(recorder, 1)
        days.append(kit.one(home, "select local_day_at from event") == start)
        recorder.ledger.close()
    assert days == [True, True]


# --- periods ----------------------------------------------------------------------------------------------------


def periods(home: Path, *bounds: tuple[int, int]) -> tuple[sqlite3.Connection, Budget]:
    number = kit.add_budget(home, 100, start=bounds[0][0], end=bounds[0][1])
    db = kit.connect(home)
    for start, end in bounds[1:]:
        db.execute(
            "insert into budget_period (budget_id, start_at, end_at) values (?, ?, ?)", (number, start, end)
        )
    return db, policy.load(db).budgets[0]


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        (100, 100, 200), (199, 100, 200), (200, 200, 350), (349, 200, 350),  # half-open
        (350, 350, 500), (499, 350, 500), (500, 500, 650), (1249, 1100, 1250),  # past the horizon the last length repeats
        (99, 100, 200), (0, 100, 200),  # before the first: a clock that stepped back
    ],
)  # fmt: skip
def test_an_instant_is_in_exactly_one_period(costmon_home: Path, now: int, start: int, end: int) -> None:
    """At the boundary a call belongs to the new day; with no monitor for weeks the days go on."""
    db, budget = periods(costmon_home, (100, 200), (200, 350))
    found = policy.period_at(db, budget, now)
    assert (found.start, found.end) == (start, end)
    assert policy.period_at(db, budget, now) == found
    db.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(1, 10**6), st.integers(1, 10**6)),
        min_size=1,
        max_size=5,
        unique_by=lambda rate: rate[0],
    ),
    st.integers(-10, 1100),
)
def test_the_newest_rate_not_after_the_instant_holds(rates: list[tuple[int, int, int]], at: int) -> None:
    """An old day is converted at its own rate, and the inverse pair is as good as the pair."""
    known = sorted((date, Rate(n, d)) for date, n, d in rates)
    rules = policy.Policy("", "", "", (), {}, {("USD", "KRW"): known}, 0, "", False, 0)
    expected = [rate for date, rate in known if date <= at][-1:] or [known[0][1]]
    assert rules.rate("USD", "KRW", at) == expected[0]
    assert rules.rate("KRW", "USD", at) == Rate(expected[0].denominator, expected[0].numerator)
    assert rules.rate("EUR", "KRW", at) is None


def test_a_call_of_an_absurd_price_is_kept(costmon_home: Path, recorder: Recorder) -> None:
    """A price no sum could hold is unknown and charged at the most a call can cost, and the call is not lost."""
    db = kit.connect(costmon_home)
    db.execute("insert into exchange_rate values ('USD', 'KRW', 0, 1400, 1, 'test')")
    db.close()
    number = kit.add_budget(costmon_home, 10**12, currency="KRW", at_95="warn", at_100="warn")
    kit.spend(recorder, 999_999_999 * 10**9)
    assert kit.period(costmon_home, number)["assumed"] == booking.MOST
    assert kit.rows(costmon_home, "select cost, cost_status, charge from event") == [
        (None, "unknown", 10**16)
    ]
    kit.assert_sums_agree(costmon_home)


def test_sums_of_absurd_prices_stay_integers(costmon_home: Path, recorder: Recorder) -> None:
    """A hundred calls at the most a call can cost: the budget stops counting in time, and every sum is whole."""
    db = kit.connect(costmon_home)
    db.execute("insert into exchange_rate values ('USD', 'KRW', 0, 1400, 1, 'test')")
    db.close()
    number = kit.add_budget(costmon_home, 10**12, currency="KRW", at_95="warn", at_100="warn")
    for _ in range(50):
        kit.spend(recorder, 10**16)
        kit.spend(recorder, 10**17, currency="KRW")
    kinds = kit.rows(costmon_home, "select distinct typeof(cost), typeof(charge), count(*) from event")
    assert kinds == [("integer", "integer", 100)]
    assert kit.rows(costmon_home, "select distinct typeof(cost) from rollup_day") == [("integer",)]
    sums = kit.period(costmon_home, number)
    assert (type(sums["spent"]), sums["calls"], sums["reserved"]) == (int, 100, 0)
    assert sums["spent"] > 10**18


def test_a_cost_in_won_is_bounded_in_won(costmon_home: Path, recorder: Recorder) -> None:
    """50 million won is a bill, 50 million dollars a mistake."""
    kit.spend(recorder, 5 * 10**16, currency="KRW")
    kit.spend(recorder, 5 * 10**16)
    assert kit.rows(costmon_home, "select cost, currency, charge from event order by id") == [
        (5 * 10**16, "KRW", 5 * 10**16),
        (None, "USD", 10**16),
    ]
