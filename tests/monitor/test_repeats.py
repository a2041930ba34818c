"""A loop that pays for the same request again and again is told, once a day, though no rule refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmon import paths
from costmon.monitor.engine import read_config
from costmon.monitor.repeats import Repeats, loops
from costmon.monitor.warner import due_alerts
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger
from tests.shim.battery import kit


def call(home: Path, fingerprint: str, times: int, *, outcome: str = "ok") -> None:
    recorder = Recorder(str(home))
    for _ in range(times):
        held = recorder.admit(kit.llm()._replace(fingerprint=fingerprint))
        assert held is not None
        recorder.settle(held, Outcome(outcome, usage={"input_tokens": 5, "output_tokens": 1}))
    recorder.ledger.close()


def said(home: Path) -> list[tuple[str, int]]:
    store = open_ledger(str(home))
    try:
        read_config(store)
        return [(loop.kind, loop.calls) for loop in loops(store.db, store.now())]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("times", "outcome", "expected"),
    [
        (19, "ok", []), (20, "ok", [("repeat", 20)]), (4, "error", []), (5, "error", [("retry", 5)]),
        (20, "unknown", [("repeat", 20), ("retry", 20)]), (19, "dropped", []),
    ],
)  # fmt: skip
def test_from_how_many_on(
    costmon_home: Path, times: int, outcome: str, expected: list[tuple[str, int]]
) -> None:
    """Twenty identical calls within ten minutes, or five failed tries within five, are a loop; fewer are not."""
    call(costmon_home, "a", times, outcome=outcome)
    assert said(costmon_home) == expected


def test_different_requests_are_no_loop(costmon_home: Path) -> None:
    """A busy crawler asks a hundred different things."""
    for number in range(100):
        call(costmon_home, f"request {number}", 1)
    assert said(costmon_home) == []


def test_it_is_told_once_a_day(costmon_home: Path) -> None:
    """The loop goes on and grows; the pop-up names the app and the model, and how to refuse them."""
    call(costmon_home, "a", 20)
    for more in (0, 5):
        call(costmon_home, "a", more)
        store = open_ledger(str(costmon_home))
        read_config(store)
        assert Repeats().look(store.db, store.now())
        (alert,) = [one for one in due_alerts(store) if one.kind == "repeat"]
        store.close()
    assert "over and over" in alert.title
    assert "25 identical calls within 10 minutes" in alert.body
    assert "[repeat]" in alert.body


def test_it_can_be_switched_off(costmon_home: Path) -> None:
    """`warn_repeats = 0` for an app that means it."""
    call(costmon_home, "a", 30)
    assert said(costmon_home) == [("repeat", 30)]
    config = Path(paths.config_file())
    config.write_text("[limits]\nwarn_repeats = 0\n", encoding="utf-8")
    assert said(costmon_home) == []
