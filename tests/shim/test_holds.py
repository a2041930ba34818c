"""One statement holds a call's money in all its budgets; budget by budget the same is decided, to the nano."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.errors import SpendBlocked
from costmon.shim import admission, booking, schema
from costmon.shim.holds import Holds
from costmon.shim.money import Rate, convert
from costmon.shim.policy import Budget, Period

NOW = 1_795_262_400_000_000
START, END = NOW - 5, NOW + 5
LARGEST = 2 * 10**18  # nano: two billion of any currency


class Case(NamedTuple):
    """One budget and what is in it."""

    amount: int
    spent: int
    assumed: int
    reserved: int
    strict: bool
    blocks_95: bool
    blocks_100: bool
    rate: Rate
    unlogged: int = 0


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for name in ("budget_period", "budget "):
        connection.execute(next(sql for sql in schema._LEDGER if f"create table if not exists {name}" in sql))
    connection.execute(next(sql for sql in schema._FIGURES if "add column unlogged" in sql))
    yield connection
    connection.close()


def put(db: sqlite3.Connection, cases: list[Case]) -> list[tuple[Budget, Period, Rate]]:
    db.execute("delete from budget_period")
    found = []
    for number, case in enumerate(cases, start=3):
        budget = Budget(
            number, f"b{number}", "all", "", case.amount, "USD", "day", "UTC", case.strict, case.blocks_95, case.blocks_100
        )  # fmt: skip
        period = Period(START, END, case.spent, case.assumed, case.reserved, case.unlogged)
        db.execute(
            "insert into budget_period (budget_id, start_at, end_at, spent, assumed, reserved, unlogged)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            (number, *period),
        )
        # Yesterday and tomorrow, full and empty, are nobody's business today.
        db.execute("insert into budget_period (budget_id, start_at, end_at, spent) values (?, ?, ?, ?)",
                   (number, START - 10, START, case.amount))  # fmt: skip
        db.execute(
            "insert into budget_period (budget_id, start_at, end_at) values (?, ?, ?)",
            (number, END, END + 10),
        )
        found.append((budget, period, case.rate))
    return found


def held(db: sqlite3.Connection) -> list[tuple[int, int, int]]:
    return db.execute("select budget_id, start_at, reserved from budget_period order by 1, 2").fetchall()


small = st.integers(0, 120)
limits = st.integers(0, 120) | st.sampled_from([1, 19, 20, 21, 99, 100, 101, 10**9, LARGEST])
rates = st.sampled_from([Rate(1, 1), Rate(2701, 2), Rate(1, 7), Rate(1, 1000), Rate(3, 2)])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A budget that is empty, nearly full, exactly full, or overdrawn."""
    amount = draw(limits)
    near = draw(st.sampled_from([0, amount * 95 // 100, amount]))
    used = max(0, near + draw(st.integers(-3, 3)))
    assumed = draw(st.integers(0, used))
    reserved = draw(st.integers(0, used - assumed))
    flags = [draw(st.booleans()) for _ in range(3)]
    unlogged = draw(st.integers(0, used - assumed - reserved))
    spent = used - assumed - reserved - unlogged
    return Case(amount, spent, assumed, reserved, *flags, draw(rates), unlogged)


@settings(max_examples=200, deadline=None)
@given(
    budgets=st.lists(cases(), min_size=1, max_size=4),
    estimate=st.integers(1, 200) | limits,
    essential=st.booleans(),
)
def test_both_ways_decide_alike(
    db: sqlite3.Connection, budgets: list[Case], estimate: int, essential: bool
) -> None:
    """Where the statement holds, each budget alone would hold just that; where it does not, at least one would not."""
    found = put(db, budgets)
    counted = [(budget, min(convert(estimate, rate), booking.MOST), rate) for budget, _, rate in found]
    alone: list[int | None] = []
    for (budget, amount, _), (_, period, _) in zip(counted, found, strict=True):
        try:
            alone.append(admission.reservation(budget, period, amount, essential=essential, now=NOW))
        except SpendBlocked:
            alone.append(None)
    amounts = [amount for _, amount, _ in counted]
    if not all(amounts):  # the caller never asks it to hold nothing
        return
    before = held(db)
    periods = Holds().try_all(db, counted, essential=essential, now=NOW)
    assert (periods is not None) == (alone == amounts)
    if periods is None:
        assert held(db) == before
        return
    assert periods == {budget.id: period for budget, period, _ in found}
    gained = dict(zip((budget.id for budget, _, _ in counted), amounts, strict=True))
    assert held(db) == [(i, at, was + (gained[i] if at == START else 0)) for i, at, was in before]


@pytest.mark.parametrize("essential", [False, True])
@pytest.mark.parametrize(
    ("level", "off", "passes"),
    [
        (95, -1, True), (95, 0, False), (95, 1, False),
        (100, -1, True), (100, 0, True), (100, 1, False),
    ],
)  # fmt: skip
def test_the_boundary_is_exact_to_the_nano(
    db: sqlite3.Connection, level: int, off: int, passes: bool, essential: bool
) -> None:
    """At limit − 1 nano, the limit and + 1 nano: 95 % is asked of what is used before the call, 100 % of it with the call.

    The amount is one a float cannot hold: its last nano is lost in a double.
    """
    amount = 9_007_199_254_740_993 * 20  # 95 % is whole, neither fits into 53 bits
    assert int(float(amount - 1)) != amount - 1
    if level == 95:
        spent, estimate = amount * 95 // 100 + off, 1
        passes = passes or essential
    else:
        spent, estimate = amount // 2, amount - amount // 2 + off
    case = Case(amount, spent, 0, 0, strict=True, blocks_95=True, blocks_100=True, rate=Rate(1, 1))
    ((budget, period, rate),) = put(db, [case])
    found = Holds().try_all(db, [(budget, estimate, rate)], essential=essential, now=NOW)
    assert (found is not None) == passes
    if passes:
        assert admission.reservation(budget, period, estimate, essential=essential, now=NOW) == estimate
    else:
        with pytest.raises(SpendBlocked) as caught:
            admission.reservation(budget, period, estimate, essential=essential, now=NOW)
        assert caught.value.rule == ("budget95" if level == 95 else "budget")


def test_periods_that_overlap_are_left_to_the_careful_way(db: sqlite3.Connection) -> None:
    """One budget with two periods of now must not be taken for two budgets with one each."""
    plain = Case(100, 0, 0, 0, strict=True, blocks_95=True, blocks_100=True, rate=Rate(1, 1))
    found = put(db, [plain, plain._replace(spent=100)])
    db.execute("insert into budget_period (budget_id, start_at, end_at) values (3, ?, ?)", (START + 1, END))
    before = held(db)
    counted = [(budget, 5, rate) for budget, _, rate in found]
    assert Holds().try_all(db, counted, essential=True, now=NOW) is None
    assert held(db) == before


def test_a_changed_policy_needs_new_statements(db: sqlite3.Connection) -> None:
    """Limits are in the statement's text, so they belong to one policy; an app that is essential has one of its own."""
    case = Case(100, 95, 0, 0, strict=True, blocks_95=True, blocks_100=True, rate=Rate(1, 1))
    ((budget, _, rate),) = put(db, [case])
    holds = Holds()
    for essential, passes in ((False, False), (True, True), (False, False)):
        found = holds.try_all(db, [(budget, 1, rate)], essential=essential, now=NOW)
        assert (found is not None) == passes
    assert len(holds._statements) == 2
