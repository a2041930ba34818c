"""The overshoot that is published: in default mode at most one call is out on a remainder it does not fit into."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmon.errors import SpendBlocked
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.recorder import Recorder
from tests.guard_cases.conftest import Budget
from tests.harness.events import rows

CENT = 10_000_000  # nano USD
ESTIMATE, ACTUAL = 18 * CENT, 14 * CENT


def test_what_settled_calls_give_back_lets_no_second_call_out_on_a_remainder(
    budget: Budget, costmon_home: Path
) -> None:
    """Five calls hold $0.90 of $1, a sixth the rest. Each of the five gives $0.04 back, far less than a call costs."""
    budget("1.00", admit_wait=0)
    recorder = Recorder(str(costmon_home))
    out = [held for _ in range(6) if (held := _admitted(recorder))]
    for held in out[:5]:
        recorder.settle(held, Outcome("ok", cost=ACTUAL))
        out += [late for _ in range(3) if (late := _admitted(recorder))]
    for held in out[5:]:
        recorder.settle(held, Outcome("ok", cost=ACTUAL))
    recorder.ledger.close()
    [spent] = [row["spent"] for row in rows(costmon_home, "select spent from budget_period where spent > 0")]
    assert spent == len(out) * ACTUAL
    assert 5 * ACTUAL < spent <= 100 * CENT + ACTUAL


@pytest.mark.parametrize("essential", [True, False])
def test_a_lone_call_may_use_the_remainder(essential: bool, budget: Budget, costmon_home: Path) -> None:
    """Estimates are cautious: without this the last part of every budget could not be spent."""
    budget("0.10")
    recorder = Recorder(str(costmon_home))
    held = _admitted(recorder, essential=essential)
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=9 * CENT))
    last = _admitted(recorder, essential=essential)
    assert last is not None
    recorder.settle(last, Outcome("ok", cost=1 * CENT))
    assert _admitted(recorder, essential=essential) is None
    recorder.ledger.close()


def _admitted(recorder: Recorder, *, essential: bool = True) -> Open | None:
    call = Call(
        "track", "coupang", "coupang", "search", "", source="track", cost=ESTIMATE, essential=essential
    )
    try:
        return recorder.admit(call)
    except SpendBlocked:
        return None
