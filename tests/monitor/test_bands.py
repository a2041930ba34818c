"""Low, best and high of the snapshot: what is missing from a sum is said, and never taken for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmon import config
from costmon.cli.status import to_json, to_text
from costmon.monitor.compile import compile_config
from costmon.monitor.snapshot import Snapshot
from costmon.monitor.view import build_snapshot
from costmon.shim.calls import Outcome
from costmon.shim.recorder import Recorder
from costmon.store import open_ledger
from tests.shim.battery import kit

DOLLAR = 10**9


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    store = open_ledger(str(costmon_home))
    text = 'time_zone = "UTC"\n[budget.total]\namount = "900 USD"\nperiod = "day"\n'
    compile_config(store.db, config.parse(text.encode(), "config.toml"), store.now())
    store.close()
    return Recorder(str(costmon_home))


def snapshot(recorder: Recorder) -> Snapshot:
    store = open_ledger(recorder.ledger.home)
    try:
        return build_snapshot(store, mine=False)
    finally:
        store.close()


def call(recorder: Recorder, model: str = "gpt-4o-mini", **outcome: object) -> None:
    held = recorder.admit(kit.llm(model, max_output=1000))
    assert held is not None
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    recorder.settle(held, Outcome("ok", **{"usage": usage, **outcome}))  # type: ignore[arg-type]


def test_estimates_widen_a_sum_both_ways(recorder: Recorder) -> None:
    """One call reported, one estimated, each $0.15: 0.15 + 0.15 ± 30 % of the second, in the day and in the budget."""
    call(recorder)
    call(recorder, estimated=True)
    found = snapshot(recorder)
    for part in (found.today, found.hour, found.by_model[0].spend, found.by_app[0].spend, found.budgets[0]):
        assert (part.low.nano, part.high and part.high.nano) == (255_000_000, 345_000_000)
        assert (part.mark, part.estimated) == ("~", 1)
    (budget, today) = (to_text(found)[0], to_text(found)[1])
    assert "~$0.30 between $0.255 and $0.345 of $900.00" in budget
    assert today.startswith("today ~$0.30 between $0.255 and $0.345 (2 calls, 1 estimated)")


def test_a_call_in_flight_is_part_of_the_most_it_can_be(recorder: Recorder) -> None:
    """What it has reserved is in the high, counted once, and in the row of its model too."""
    held = recorder.admit(kit.llm(input_tokens=0, max_output=1000))  # 1,000 output tokens at $0.6 a million
    found = snapshot(recorder)
    for part in (found.today, found.by_model[0].spend, found.budgets[0]):
        assert (part.low.nano, part.high and part.high.nano, part.in_flight) == (0, 600_000, 1)
    assert held is not None
    recorder.settle(held, Outcome("error", charged=False))
    assert snapshot(recorder).today.high == snapshot(recorder).today.low


def test_a_call_without_a_price_may_cost_what_is_assumed_of_it(recorder: Recorder) -> None:
    """The sum is at least what is known, at most that and what enforcement assumes."""
    call(recorder)
    call(recorder, "no-such-model-9")
    found = snapshot(recorder)
    assert (found.today.mark, found.today.unpriced) == ("≥ ", 1)
    assert found.today.low.nano == found.today.cost.nano == 150_000_000
    assumed = found.budgets[0].assumed.nano
    assert assumed > 0
    for part in (found.today, found.budgets[0]):
        assert part.high is not None
        assert part.high.nano == 150_000_000 + assumed


def test_a_part_without_a_price_leaves_the_most_open(recorder: Recorder) -> None:
    """Nobody can say what a fee without a price costs, so there is no high, in text or JSON."""
    call(recorder, "o1", usage={"input_tokens": 1000, "output_tokens": 100, "web_searches": 1000})
    found = snapshot(recorder)
    assert found.today.partial == found.budgets[0].partial == 1
    assert found.today.high is None
    assert found.budgets[0].high is None
    assert "≥ $0.021 (1 call, 1 partly priced)" in to_text(found)[1]
    assert to_json(found)["today"]["high"] is None


def test_money_nobody_can_convert_is_not_nothing(recorder: Recorder) -> None:
    """₩500 without a rate stand beside the dollars, and the sum is a lower bound."""
    call(recorder)
    held = recorder.admit(kit.priced(500 * DOLLAR, currency="KRW"))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=500 * DOLLAR))
    found = snapshot(recorder)
    assert (found.today.mark, found.today.high) == ("≥ ", None)
    assert "today ≥ $0.15 + ₩500 (2 calls)" in to_text(found)[1]
    assert to_json(found)["today"]["unconverted"] == [{"amount": "500", "currency": "KRW"}]
