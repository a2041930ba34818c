"""What the published bound promises, in a crowd and across processes: overshoot, dead owners, a missing engine, latency."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.errors import SpendBlocked
from costmon.shim import admission, booking, switch
from costmon.shim.policy import Budget, Period
from costmon.shim.recorder import Outcome, Recorder
from tests.harness.cli import COSTMON, costmon, environ
from tests.shim.battery import kit

NOW = 1_795_262_400_000_000
LIMIT = 100_000


# --- the bound, simulated ---------------------------------------------------------------------------------------


def crowd(rng: random.Random, *, strict: bool, reserving: bool) -> tuple[int, int, int]:
    """100 callers on one budget, admitted and settled in any order; (spent, Σ in flight max(0, actual − held), one call).

    `reserving` False is the control: a guard that looks at what is spent and books afterwards.
    """
    budget = Budget(1, "b", "all", "", LIMIT, "USD", "day", "UTC", strict, False, True)
    spent = excess = largest = 0
    flying: list[tuple[int, int]] = []  # held, actual
    waiting = 100
    while waiting or flying:
        if waiting and (not flying or rng.random() < 0.7):
            waiting -= 1
            estimate = rng.randint(1, 2 * LIMIT // 10)
            held = sum(hold for hold, _ in flying) if reserving else 0
            try:
                hold = admission.reservation(
                    budget, Period(NOW - 1, NOW + 1, spent, 0, held), estimate, essential=True, now=NOW
                )
            except SpendBlocked:
                continue
            flying.append((hold, estimate))
            largest = max(largest, estimate)
        else:
            hold, actual = flying.pop(rng.randrange(len(flying)))
            spent += actual
            excess += max(0, actual - hold)
    return spent, excess, largest


@pytest.mark.parametrize("strict", [True, False])
def test_a_hundred_callers_fifty_times(strict: bool) -> None:
    """Honest estimates: strict never overshoots, the default by less than one call; booking afterwards by ten."""
    worst = control = 0
    for number in range(50):
        spent, excess, largest = crowd(random.Random(number), strict=strict, reserving=True)
        assert spent - LIMIT <= (0 if strict else largest)
        assert excess <= (0 if strict else largest)
        worst = max(worst, spent - LIMIT)
        control = max(control, crowd(random.Random(number), strict=True, reserving=False)[0] - LIMIT)
    assert worst <= 2 * LIMIT // 10
    assert control >= LIMIT  # ten calls of the average


@settings(max_examples=300, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 40), st.booleans()), max_size=60),
    strict=st.booleans(),
)
def test_the_overshoot_is_what_calls_cost_beyond_what_they_held(
    calls: list[tuple[int, int, bool]], strict: bool
) -> None:
    """With actual = estimate x factor, checked to the nano: spent ≤ limit + Σ max(0, actual − held)."""
    budget = Budget(1, "b", "all", "", 1_000, "USD", "day", "UTC", strict, False, True)
    spent, flying, excess = 0, [], 0
    for estimate, tenths, settle_first in calls:
        if settle_first and flying:
            hold, actual = flying.pop(0)
            spent, excess = spent + actual, excess + max(0, actual - hold)
        period = Period(NOW - 1, NOW + 1, spent, 0, sum(hold for hold, _ in flying))
        try:
            flying.append(
                (
                    admission.reservation(budget, period, estimate, essential=True, now=NOW),
                    estimate * tenths // 10,
                )
            )
        except SpendBlocked:
            continue
    for hold, actual in flying:
        spent, excess = spent + actual, excess + max(0, actual - hold)
    assert spent <= 1_000 + excess


# --- owners that die while they reserve -------------------------------------------------------------------------

RESERVING = """
import os, sys
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit
recorder = Recorder(os.environ["COSTMON_HOME"])
number = 0
while True:
    held = recorder.admit(kit.priced(10))
    number += 1
    if number == 3:
        print("going", flush=True)
    if number % 2:
        recorder.settle(held, Outcome("ok", cost=7))
"""


def kill_while_reserving(home: Path, times: int) -> None:
    """Kill so many processes in the middle of it; each time the next caller has all the headroom there is."""
    number = kit.add_budget(home, 10**12, mode="strict")
    rng = random.Random(42)
    survivor = Recorder(str(home))
    lost = 0
    for _ in range(times):
        child = kit.start_python(RESERVING)
        assert child.stdout is not None
        assert child.stdout.readline() == "going\n"
        time.sleep(rng.random() / 100)
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        child.communicate()
        open_calls = kit.one(home, "select count(*) from reservation")
        assert kit.period(home, number)["reserved"] == 10 * open_calls
        assert survivor.ledger.write(lambda db: booking.settle_orphans(db, kit.now_us()), 5.0) == open_calls
        lost += open_calls
        assert kit.period(home, number)["reserved"] == 0
    assert lost >= times  # the fault was there
    assert kit.rows(home, "select count(*), sum(cost) from event where note = 'orphan'") == [
        (lost, 10 * lost)
    ]
    settled = kit.one(home, "select count(*) from event where note is null")
    assert kit.period(home, number)["spent"] == 10 * lost + 7 * settled
    kit.assert_sums_agree(home)


def test_owners_killed_while_reserving(costmon_home: Path) -> None:
    """Eight kills: the headroom is back at once, what was in flight is booked at its estimate, and nothing is a phantom."""
    kill_while_reserving(costmon_home, 8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_owners_killed_while_reserving_two_hundred_times(costmon_home: Path) -> None:
    """The same, 200 times."""
    kill_while_reserving(costmon_home, 200)


# --- no engine, a frozen engine ---------------------------------------------------------------------------------


def spend_until_refused(home: Path) -> tuple[int, str, int | None]:
    """How many calls of 7 nano go out on a budget of 1,000, what refuses the next, and what is spent by then."""
    recorder = Recorder(str(home))
    for number in range(1_000):
        try:
            kit.spend(recorder, 7, essential=True)
        except SpendBlocked as blocked:
            recorder.ledger.close()
            return number, f"{blocked.rule} {blocked.scope}", blocked.spent
    raise AssertionError("nothing refused")


@pytest.mark.parametrize("engine", ["never started", "frozen", "running"])
def test_the_engine_is_not_needed_to_enforce(costmon_home: Path, engine: str) -> None:
    """Refused at the same nano whether the engine runs, hangs, or never ran."""
    costmon(costmon_home, "budget", "set", "total", "0.000001USD", "--period", "day")  # 1,000 nano
    child = None
    if engine != "never started":
        child = subprocess.Popen(
            [*COSTMON, "watch"], env=environ(costmon_home), cwd=kit.PACKAGE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (costmon_home / "engine.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if engine == "frozen":
            child.send_signal(signal.SIGSTOP)
    try:
        assert spend_until_refused(costmon_home) == (143, "switch all", 1001)
    finally:
        if child is not None:
            child.kill()
            child.wait(30)


# --- how soon ---------------------------------------------------------------------------------------------------

OTHER = """
import os, sys
from costmon.errors import SpendBlocked
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit
recorder = Recorder(os.environ["COSTMON_HOME"])
for line in sys.stdin:
    try:
        recorder.settle(recorder.admit(kit.priced(1)), Outcome("ok", cost=1))
        print("through", flush=True)
    except SpendBlocked as blocked:
        print(blocked.rule, flush=True)
"""


@pytest.mark.parametrize("way", ["over the limit", "kill", "limit lowered"])
def test_another_process_stops_at_its_next_call(costmon_home: Path, way: str) -> None:
    """Whatever blocks here blocks there at once: not one more call goes out, and none waits for a poll."""
    number = kit.add_budget(costmon_home, 1_000)
    here = Recorder(str(costmon_home))
    child = kit.start_python(OTHER)
    assert child.stdin is not None
    assert child.stdout is not None

    def there() -> str:
        child.stdin.write("call\n")  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]
        return child.stdout.readline().strip()  # type: ignore[union-attr]

    try:
        for _ in range(5):
            assert there() == "through"
        if way == "over the limit":
            held = here.admit(kit.priced(1))
            assert held is not None
            assert there() == "through"
            here.settle(held, Outcome("ok", cost=5_000))
            assert os.path.exists(
                os.path.join(here.folder, "all")
            )  # for readers that know nothing of the ledger
            assert there() == "switch"
            os.unlink(os.path.join(here.folder, "all"))
            assert there() in ("budget", "budget95")  # and without the file
        elif way == "kill":
            switch.write(here.folder, switch.Block("all", "stop", by="me"))
            assert there() == "switch"
            switch.lift(here.folder, "all")
            assert there() == "through"
        else:
            db = kit.connect(costmon_home)
            db.execute("update budget set amount = 5 where id = ?", (number,))
            db.close()
            kit.set_setting(costmon_home, "renewed", "1")
            assert there() == "budget95"
    finally:
        child.communicate(timeout=30)
