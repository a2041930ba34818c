"""A budget that counts unlogged spend refuses by what the provider billed, not only by what apps logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costmon.errors import SpendBlocked
from costmon.shim import blocks, policy
from costmon.shim.calls import Outcome
from costmon.shim.money import NANO
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def found_unlogged(home: Path, nano: int) -> None:
    db = kit.connect(home)
    db.execute("update budget_period set unlogged = ?", (nano,))
    db.close()


def test_unlogged_spend_fills_a_budget(costmon_home: Path, recorder: Recorder) -> None:
    """$10 a month: $4 logged, $5.50 billed beyond it: at 95 % an app that is not essential is refused, and told why."""
    kit.add_budget(costmon_home, 10 * NANO)
    kit.spend(recorder, 4 * NANO)
    assert recorder.admit(kit.priced(NANO // 100)) is not None
    found_unlogged(costmon_home, 11 * NANO // 2)
    with pytest.raises(SpendBlocked, match=r"\$5\.50 of it logged by no app") as caught:
        recorder.admit(kit.priced(NANO // 100))
    assert (caught.value.rule, caught.value.spent) == ("budget95", 95 * NANO // 10)


def test_the_last_call_that_fits(costmon_home: Path, recorder: Recorder) -> None:
    """settled + reserved + unlogged + estimate ≤ limit lets a call out, to the nano; one nano more does not."""
    kit.add_budget(costmon_home, 1000, at_95="warn", mode="strict")
    kit.spend(recorder, 300)
    found_unlogged(costmon_home, 600)
    with pytest.raises(SpendBlocked):
        recorder.admit(kit.priced(101))
    assert recorder.admit(kit.priced(100)) is not None
    with pytest.raises(SpendBlocked):
        recorder.admit(kit.priced(1))


def test_it_blocks_apps_that_only_look_at_the_switch(costmon_home: Path, recorder: Recorder) -> None:
    """The switch says so, too: a shell script that never loads the shim is stopped as well."""
    kit.add_budget(costmon_home, 10 * NANO)
    kit.spend(recorder, 4 * NANO)
    found_unlogged(costmon_home, 6 * NANO)
    db = kit.connect(costmon_home)
    wanted = blocks.wanted(db, policy.load(db), kit.now_us())
    db.close()
    assert "$6.00 of it logged by no app" in wanted["all"].reason


def test_a_settlement_that_crosses_writes_the_switch(costmon_home: Path, recorder: Recorder) -> None:
    kit.add_budget(costmon_home, 10 * NANO)
    held = recorder.admit(kit.priced(NANO))
    assert held is not None
    found_unlogged(costmon_home, 9 * NANO)
    recorder.settle(held, Outcome("ok", cost=NANO))
    block = json.loads((costmon_home / "switch" / "all").read_text())
    assert "100 %" in block["reason"]


def test_memory_knows_it(costmon_home: Path, recorder: Recorder) -> None:
    """While the ledger is locked, what was unlogged when it last answered still counts."""
    from tests.shim.test_memory import Outage

    kit.add_budget(costmon_home, 1000, at_95="warn", mode="strict")
    found_unlogged(costmon_home, 900)
    kit.spend(recorder, 50)
    with Outage(costmon_home):
        with pytest.raises(SpendBlocked):
            recorder.admit(kit.priced(60))
        assert recorder.admit(kit.priced(40)) is not None
