"""May the call go out? Exact boundaries, callers in a crowd, learned estimates, orphans."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from costmon.errors import SpendBlocked
from costmon.shim import admission, booking, context
from costmon.shim.policy import Budget, Period
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit

LIMIT = 1_000_000_000_000
NOW = 1_795_167_000_000_000
STRICT, DEFAULT = "strict", "default"


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def budget(mode: str = DEFAULT, **more: object) -> Budget:
    fields = (1, "total", "all", "", LIMIT, "USD", "day", "UTC", mode == STRICT, True, True)
    return Budget(*fields)._replace(**more)


def period(spent: int, assumed: int = 0, reserved: int = 0) -> Period:
    return Period(NOW - 1, NOW + 3_600_000_000, spent, assumed, reserved)


def admit(
    spent: int,
    estimate: int,
    *,
    mode: str = DEFAULT,
    essential: bool = True,
    assumed: int = 0,
    reserved: int = 0,
) -> int | str:
    """What is reserved, or the rule that refused."""
    try:
        return admission.reservation(
            budget(mode), period(spent, assumed, reserved), estimate, essential=essential, now=NOW
        )
    except SpendBlocked as blocked:
        return blocked.rule


# --- boundaries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["spent", "assumed", "reserved"])
@pytest.mark.parametrize(
    ("mode", "used", "estimate", "result"),
    [
        (STRICT, LIMIT - 100, 99, 99),
        (STRICT, LIMIT - 100, 100, 100),
        (STRICT, LIMIT - 100, 101, "budget"),
        (STRICT, LIMIT - 1, 1, 1),
        (STRICT, LIMIT, 1, "budget"),
        (STRICT, LIMIT + 1, 1, "budget"),
        (STRICT, LIMIT, 0, "budget"),
        (STRICT, LIMIT - 1, 0, 0),
        (DEFAULT, LIMIT - 100, 99, 99),
        (DEFAULT, LIMIT - 100, 100, 100),
        (DEFAULT, LIMIT - 100, 101, 100),
        (DEFAULT, LIMIT - 1, LIMIT, 1),
        (DEFAULT, LIMIT, 1, "budget"),
        (DEFAULT, LIMIT + 1, 1, "budget"),
        (DEFAULT, LIMIT, 0, "budget"),
        (DEFAULT, 0, LIMIT, LIMIT),
        (DEFAULT, 0, LIMIT + 1, LIMIT),
        (STRICT, 0, LIMIT + 1, "budget"),
    ],
)
def test_the_limit_is_exact_to_the_nano(
    mode: str, used: int, estimate: int, result: int | str, before: str
) -> None:
    """The last call that fits goes out, the first that does not is refused, whatever fills the budget."""
    sums = {"spent": 0, "assumed": 0, "reserved": 0, before: used}
    assert (
        admit(sums["spent"], estimate, mode=mode, assumed=sums["assumed"], reserved=sums["reserved"])
        == result
    )


@pytest.mark.parametrize(
    ("used", "essential", "result"),
    [
        (LIMIT * 95 // 100 - 1, False, 5),
        (LIMIT * 95 // 100, False, "budget95"),
        (LIMIT * 95 // 100 + 1, False, "budget95"),
        (LIMIT * 95 // 100, True, 5),
        (LIMIT - 5, True, 5),
        (LIMIT, True, "budget"),
        (LIMIT, False, "budget95"),
    ],
)
def test_ninety_five_per_cent_is_exact(used: int, essential: bool, result: int | str) -> None:
    """Apps that are not essential are refused from exactly 95 %, essential ones only when it is all gone."""
    assert admit(used, 5, essential=essential) == result
    assert admit(0, 5, essential=essential, reserved=used) == result


@pytest.mark.parametrize("amount", [0, 1, 3, 7, 19, 20, 21, 99, 101])
def test_odd_limits_have_no_rounding(amount: int) -> None:
    """A limit that has no whole 95 % is judged exactly all the same."""
    for used in range(amount + 2):
        try:
            admission.reservation(budget(amount=amount), period(used), 1, essential=False, now=NOW)
            passed = True
        except SpendBlocked:
            passed = False
        assert passed == (used * 100 < amount * 95)


def test_a_budget_that_only_warns_refuses_nothing() -> None:
    """With at_95 and at_100 = "warn" the spending goes on, and is still reserved."""
    warning = budget(blocks_95=False, blocks_100=False)
    assert admission.reservation(warning, period(LIMIT * 3), 77, essential=False, now=NOW) == 77
    only_95 = budget(blocks_95=False)
    assert admission.reservation(only_95, period(LIMIT * 97 // 100), 5, essential=False, now=NOW) == 5


# --- what the refusal says --------------------------------------------------------------------------------------


def refusal(
    spent: int, estimate: int, *, reserved: int = 0, mode: str = DEFAULT, essential: bool = True
) -> SpendBlocked:
    with pytest.raises(SpendBlocked) as caught:
        admission.reservation(
            budget(mode), period(spent, 0, reserved), estimate, essential=essential, now=NOW
        )
    return caught.value


def test_spent_is_told_from_reserved() -> None:
    """An app learns whether to come back in seconds or tomorrow."""
    spent = refusal(LIMIT, 5)
    assert spent.until is not None
    assert (spent.retry_after, spent.spent, spent.reserved, spent.limit) == (3600.0, LIMIT, 0, LIMIT)
    held = refusal(LIMIT // 2, 5, reserved=LIMIT // 2)
    assert (held.until, held.retry_after, held.reserved) == (None, 5.0, LIMIT // 2)
    assert "reserved by calls in flight" in held.reason
    crowd = refusal(LIMIT // 2, 5, reserved=LIMIT * 45 // 100, essential=False)
    assert (crowd.rule, crowd.scope, crowd.until) == ("budget95", "nonessential", None)


def test_a_call_too_big_for_a_strict_budget_is_not_told_to_wait_for_others() -> None:
    """With nothing in flight the refusal does not promise that waiting helps."""
    found = refusal(LIMIT // 2, LIMIT, mode=STRICT)
    assert "in flight" not in found.reason
    assert found.until is not None


def test_a_scoped_budget_names_its_scope() -> None:
    """The refusal of a budget on one app names that app."""
    one = budget(scope_key="app", scope_value="trader")
    with pytest.raises(SpendBlocked) as caught:
        admission.reservation(one, period(LIMIT), 5, essential=True, now=NOW)
    assert caught.value.scope == "app=trader"


def test_figures_of_the_refusal_survive_pickling() -> None:
    """A worker pool can send the refusal home."""
    import pickle

    one = refusal(LIMIT, 5)
    other = pickle.loads(pickle.dumps(one))
    assert vars(other) == vars(one)
    assert str(other) == str(one)


# --- in the ledger ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "counts"), [
    ("all", True), ("app=a", True), ("app=b", False), ("provider=p", True), ("model=m", True), ("route=/r", True),
    ("job=j", True), ("route=", False), ("job=x", False),
])  # fmt: skip
def test_a_budget_binds_its_scope_alone(
    costmon_home: Path, recorder: Recorder, scope: str, counts: bool
) -> None:
    """A budget on one app, model or route leaves the others alone."""
    number = kit.add_budget(costmon_home, 100, scope=scope)
    with context.context(app="a", route="/r", job="j"):
        kit.spend(recorder, 60)
        assert kit.period(costmon_home, number)["spent"] == (60 if counts else 0)


def test_the_tightest_budget_decides_and_nothing_is_held_on_refusal(
    costmon_home: Path, recorder: Recorder
) -> None:
    """A call that one of three budgets refuses leaves no reservation in the other two."""
    wide = kit.add_budget(costmon_home, LIMIT)
    tight = kit.add_budget(costmon_home, 100, name="tight", scope="provider=p", mode=STRICT)
    last = kit.add_budget(costmon_home, LIMIT, name="last")
    with pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(101))
    assert caught.value.budget == "tight"
    assert all(kit.period(costmon_home, number)["reserved"] == 0 for number in (wide, tight, last))
    assert kit.one(costmon_home, "select count(*) from event") == 0
    assert kit.rows(costmon_home, "select rule, calls from refusal") == [("budget", 1)]


@pytest.mark.parametrize("mode", [STRICT, DEFAULT])
def test_a_crowd_gets_no_more_than_the_budget(costmon_home: Path, recorder: Recorder, mode: str) -> None:
    """100 callers at the same moment on a budget of ten calls: ten go out."""
    number = kit.add_budget(costmon_home, 10 * 1000, mode=mode, at_95="warn")
    barrier = threading.Barrier(100)
    admitted: list[object] = []
    refused: list[SpendBlocked] = []

    def call() -> None:
        barrier.wait(30)
        try:
            held = recorder.admit(kit.priced(1000))
        except SpendBlocked as blocked:
            refused.append(blocked)
        else:
            admitted.append(held)
            time.sleep(0.02)
            recorder.settle(held, Outcome("ok", cost=1000))  # type: ignore[arg-type]

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(admitted), len(refused)) == (10, 90)
    assert kit.period(costmon_home, number)["spent"] == 10_000
    kit.assert_sums_agree(costmon_home)


def test_the_default_mode_lets_one_call_too_big_through(costmon_home: Path, recorder: Recorder) -> None:
    """The last call may take what is left; a second one at the same time may not."""
    number = kit.add_budget(costmon_home, 1000, at_95="warn")
    kit.spend(recorder, 700)
    held = recorder.admit(kit.priced(5000))
    assert held is not None
    assert kit.period(costmon_home, number)["reserved"] == 300
    with pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(1))
    assert caught.value.until is None
    recorder.settle(held, Outcome("ok", cost=5000))
    assert kit.period(costmon_home, number) == {
        "spent": 5700,
        "assumed": 0,
        "reserved": 0,
        "calls": 2,
        "unpriced": 0,
    }


def test_a_call_that_was_not_billed_gives_its_money_back(costmon_home: Path, recorder: Recorder) -> None:
    """A call refused by the provider costs the budget nothing."""
    number = kit.add_budget(costmon_home, 10**9)
    held = recorder.admit(kit.llm())
    assert held is not None
    assert kit.period(costmon_home, number)["reserved"] == 100 * 150 + 100 * 600
    recorder.settle(held, Outcome("error", charged=False, error="ConnectError"))
    assert kit.period(costmon_home, number) == {
        "spent": 0,
        "assumed": 0,
        "reserved": 0,
        "calls": 1,
        "unpriced": 0,
    }
    kit.assert_sums_agree(costmon_home)


@pytest.mark.parametrize("how", ["cost later", "no price", "free"])
def test_a_tracked_call_without_a_price_beforehand_counts_too(
    costmon_home: Path, recorder: Recorder, how: str
) -> None:
    """A budget binds an API whose price is only known afterwards; a free one it does not."""
    number = kit.add_budget(costmon_home, 1000, at_95="warn")
    call = kit.priced(0 if how == "free" else None)
    for _ in range(2):
        held = recorder.admit(call)
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=500 if how == "cost later" else None))
    found = kit.period(costmon_home, number)
    assert found["spent"] == (1000 if how == "cost later" else 0)
    assert found["unpriced"] == (2 if how == "no price" else 0)
    if how == "cost later":
        with pytest.raises(SpendBlocked):
            recorder.admit(call)
    kit.assert_sums_agree(costmon_home)


def test_a_free_host_is_never_refused(costmon_home: Path, recorder: Recorder) -> None:
    """A local model goes on when the money is gone."""
    kit.add_budget(costmon_home, 1000, spent=5000)
    held = recorder.admit(kit.llm(free=True))
    assert held is not None
    recorder.settle(held, Outcome("ok", usage={"input_tokens": 5, "output_tokens": 5}))
    assert kit.rows(costmon_home, "select cost, cost_status from event") == [(0, "free")]


def test_learning_shrinks_reservations(costmon_home: Path, recorder: Recorder) -> None:
    """After a few short answers a call no longer holds the money of the longest one possible."""
    kit.add_budget(costmon_home, 10**12)
    held = [recorder.admit(kit.llm(max_output=100_000))]
    for number in range(20):
        one = recorder.admit(kit.llm(max_output=100_000))
        assert one is not None
        held.append(one)
        recorder.settle(one, Outcome("ok", usage={"input_tokens": 100, "output_tokens": 10 + number % 10}))
    first, last = held[0], recorder.admit(kit.llm(max_output=100_000))
    assert first is not None
    assert last is not None
    assert first.attempt.output_tokens == 100_000
    assert last.attempt.output_tokens == 29  # 1.5 x 19, rounded up
    other = recorder.admit(kit.llm(model="gpt-4o", max_output=100_000))
    assert other is not None
    assert other.attempt.output_tokens == 100_000
    # Another process of the same app has learned it as well, from the ledger.
    fresh = Recorder(str(costmon_home))
    one = fresh.admit(kit.llm(max_output=100_000))
    assert one is not None
    assert one.attempt.output_tokens == 29
    capped = fresh.admit(kit.llm(max_output=3))
    assert capped is not None
    assert capped.attempt.output_tokens == 3
    fresh.ledger.close()


def test_eight_agents_with_long_limits_are_not_refused_for_nothing(
    costmon_home: Path, recorder: Recorder
) -> None:
    """With $25 and answers of two cents, calls that could cost $4 each are not refused once a few were seen."""
    kit.add_budget(costmon_home, 25 * 10**9)
    refused = 0
    for step in range(60):
        agents = []
        for _ in range(8):
            try:
                agents.append(recorder.admit(kit.llm(input_tokens=1000, max_output=6_000_000)))
            except SpendBlocked:
                refused += step >= 3
        for one in agents:
            assert one is not None
            recorder.settle(one, Outcome("ok", usage={"input_tokens": 1000, "output_tokens": 33_000}))
    assert refused == 0


@pytest.mark.parametrize("mode", [STRICT, DEFAULT])
def test_the_overshoot_stays_within_what_is_published(
    costmon_home: Path, recorder: Recorder, mode: str
) -> None:
    """Calls that cost more than estimated overshoot by that excess alone; by default plus one call."""
    limit = 100_000
    number = kit.add_budget(costmon_home, limit, mode=mode, at_95="warn")
    excess = largest = 0
    for step in range(500):
        estimate, actual = 1 + step * 37 % 400, 1 + step * 91 % 900
        try:
            held = recorder.admit(kit.priced(estimate))
        except SpendBlocked:
            continue
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=actual))
        excess, largest = excess + max(0, actual - estimate), max(largest, estimate)
    over = kit.period(costmon_home, number)["spent"] - limit
    assert 0 < over <= excess + (0 if mode == STRICT else largest)


# --- orphans ----------------------------------------------------------------------------------------------------


def test_the_money_of_a_dead_process_comes_back_to_the_next_caller(
    costmon_home: Path, recorder: Recorder
) -> None:
    """A crashed app's reservations do not block the others until the end of the day."""
    number = kit.add_budget(costmon_home, 1000, mode=STRICT, at_95="warn")

    def crash() -> None:
        for _ in range(2):
            Recorder(str(costmon_home)).admit(kit.priced(450))

    kit.forked(crash)()
    assert kit.period(costmon_home, number)["reserved"] == 900  # the fault is there
    kit.spend(recorder, 90)
    # 900 of it are booked at their estimate: they may have been billed. A sweep comes before the refusal.
    with pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(101))
    assert caught.value.until is not None
    assert caught.value.reserved == 0
    assert kit.period(costmon_home, number) == {
        "spent": 990,
        "assumed": 0,
        "reserved": 0,
        "calls": 3,
        "unpriced": 0,
    }
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where note = 'orphan'") == [(2, 900)]
    kit.assert_sums_agree(costmon_home)


def test_a_late_settlement_replaces_the_orphans_estimate(costmon_home: Path, recorder: Recorder) -> None:
    """A call written off while its process slept is settled at its real cost when it comes back."""
    number = kit.add_budget(costmon_home, 10_000)
    held = recorder.admit(kit.priced(1000))
    assert held is not None
    recorder.ledger.write_once(
        lambda db: db.execute("update reservation set owner = 'elsewhere:1:1:1', lease_until = 1")
    )
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, kit.now_us())) == 1
    assert kit.period(costmon_home, number)["spent"] == 1000
    kit.assert_sums_agree(costmon_home)
    recorder.settle(held, Outcome("ok", cost=30))
    assert kit.period(costmon_home, number) == {
        "spent": 30,
        "assumed": 0,
        "reserved": 0,
        "calls": 1,
        "unpriced": 0,
    }
    recorder.settle(held, Outcome("ok", cost=9999))  # and only once
    assert kit.period(costmon_home, number)["spent"] == 30
    kit.assert_sums_agree(costmon_home)


def test_a_call_is_written_off_after_its_lease_unless_renewed(costmon_home: Path, recorder: Recorder) -> None:
    """A half-hour stream that is alive keeps its reservation, a call that hangs for ever does not keep the money."""
    held = recorder.admit(kit.priced(1000))
    assert held is not None
    soon, late = (kit.now_us() + factor * booking.LEASE_US // 2 for factor in (1, 3))
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, soon)) == 0
    recorder.ledger.now = lambda: late - 1000
    recorder.renew(held)
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, late)) == 0
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, late + booking.LEASE_US)) == 1
    kit.assert_sums_agree(costmon_home)


# --- waiting ----------------------------------------------------------------------------------------------------


async def test_admit_wait_waits_for_calls_in_flight(costmon_home: Path, recorder: Recorder) -> None:
    """With admit_wait a call waits for others to settle instead of being refused, in async code without blocking."""
    kit.add_budget(costmon_home, 1000, mode=STRICT, at_95="warn")
    kit.set_setting(costmon_home, "admit_wait", "5")
    held = recorder.admit(kit.priced(1000))
    assert held is not None

    async def settle_soon() -> None:
        await asyncio.sleep(0.1)
        recorder.settle(held, Outcome("ok", cost=100))

    began = time.monotonic()
    one, _ = await asyncio.gather(recorder.admit_async(kit.priced(900)), settle_soon())
    assert one is not None
    assert 0.1 <= time.monotonic() - began < 2


def test_admit_wait_does_not_wait_for_what_is_spent(costmon_home: Path, recorder: Recorder) -> None:
    """When the money is spent, waiting cannot help and the refusal comes at once."""
    kit.add_budget(costmon_home, 1000, spent=1000)
    kit.set_setting(costmon_home, "admit_wait", "5")
    recorder.provider_hosts()
    began = time.monotonic()
    with pytest.raises(SpendBlocked):
        recorder.admit(kit.priced(1))
    assert time.monotonic() - began < 1


# --- the switch of a full budget ---------------------------------------------------------------------------------


def test_crossing_a_level_writes_the_switch(costmon_home: Path, recorder: Recorder) -> None:
    """At 95 % a shell script that looks at `nonessential` stops, at 100 % one that looks at `all`."""
    folder = costmon_home / "switch"
    kit.add_budget(costmon_home, 1000)
    with context.context(essential=True):
        kit.spend(recorder, 949)
        assert not (folder / "nonessential").exists()
        kit.spend(recorder, 1)
        assert (folder / "nonessential").exists()
        assert not (folder / "all").exists()
        kit.spend(recorder, 49)
        kit.spend(recorder, 1)
        assert (folder / "all").exists()
    with pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(1))
    assert (caught.value.rule, caught.value.scope) == ("switch", "all")
    assert caught.value.until is not None


def test_a_new_period_frees_the_next_call(costmon_home: Path) -> None:
    """After midnight the first call goes out, with no monitor running."""
    midnight = kit.now_us() // kit.DAY_US * kit.DAY_US + kit.DAY_US
    now = [midnight - 1000]
    recorder = Recorder(str(costmon_home))
    recorder.ledger.now = lambda: now[0]
    number = kit.add_budget(costmon_home, 1000)
    kit.spend(recorder, 1000)
    with pytest.raises(SpendBlocked):
        recorder.admit(kit.priced(1))
    now[0] = midnight - 1
    with pytest.raises(SpendBlocked):
        recorder.admit(kit.priced(1))
    now[0] = midnight
    kit.spend(recorder, 7)
    assert os_listing(costmon_home / "switch") == []
    spent = kit.rows(
        costmon_home, "select start_at, spent from budget_period where budget_id = ? order by 1", number
    )
    assert spent == [(midnight - kit.DAY_US, 1000), (midnight, 7)]
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def os_listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "readers")


def test_a_call_over_midnight_counts_where_it_was_admitted(costmon_home: Path) -> None:
    """A stream that ends tomorrow is today's money, once."""
    midnight = kit.now_us() // kit.DAY_US * kit.DAY_US + kit.DAY_US
    now = [midnight - 1]
    recorder = Recorder(str(costmon_home))
    recorder.ledger.now = lambda: now[0]
    number = kit.add_budget(costmon_home, 1000)
    held = recorder.admit(kit.priced(10))
    assert held is not None
    now[0] = midnight + 5
    recorder.settle(held, Outcome("ok", cost=10))
    assert kit.rows(
        costmon_home, "select start_at, spent from budget_period where budget_id = ?", number
    ) == [(midnight - kit.DAY_US, 10)]
    recorder.ledger.close()
