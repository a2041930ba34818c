"""Without the ledger: the app goes on, within what was last known to be left."""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from costmon.errors import SpendBlocked
from costmon.shim import context
from costmon.shim.money import NANO
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit

LABELS = ("a", "", "", False)


@pytest.fixture
def recorder(costmon_home: Path) -> Iterator[Recorder]:
    made = Recorder(str(costmon_home))
    yield made
    made.ledger.close()


class Outage:
    """The ledger's write lock held by somebody else."""

    def __init__(self, home: Path) -> None:
        self._db = kit.connect(home)

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, *_: object) -> None:
        self._db.execute("rollback")
        self._db.close()


class Gone:
    """The ledger out of reach altogether, a folder in its place: not even a reader gets an answer."""

    def __init__(self, home: Path, recorder: Recorder) -> None:
        self._recorder, self._path, self._aside = recorder, home / "ledger.db", home / "aside.db"

    def __enter__(self) -> None:
        self._recorder.ledger.close()
        self._path.rename(self._aside)
        self._path.mkdir()

    def __exit__(self, *_: object) -> None:
        self._path.rmdir()
        self._aside.rename(self._path)
        self._recorder.ledger.retry_now()


def spend_quickly(recorder: Recorder, cost: int, **more: object) -> None:
    held = recorder.admit(kit.priced(cost, **more))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=cost), wait_s=0.0)


def test_a_process_that_knew_the_budget_spends_what_was_left(costmon_home: Path, recorder: Recorder) -> None:
    """During an outage exactly the known remainder may go out, and all of it is booked afterwards."""
    number = kit.add_budget(costmon_home, 1000, mode="strict", at_95="warn")
    kit.spend(recorder, 400)
    with Outage(costmon_home):
        for _ in range(3):
            spend_quickly(recorder, 200)
        with pytest.raises(SpendBlocked) as caught:
            recorder.admit(kit.priced(1))
    assert caught.value.rule == "ledger"
    assert "costmon doctor" in caught.value.reason
    assert recorder.drain(2) == 0
    assert kit.period(costmon_home, number) == {
        "spent": 1000,
        "assumed": 0,
        "reserved": 0,
        "calls": 4,
        "unpriced": 0,
    }
    kit.assert_sums_agree(costmon_home)


def test_the_default_mode_allows_one_call_too_big_in_an_outage_too(
    costmon_home: Path, recorder: Recorder
) -> None:
    """The rule of the last call is the same with and without the ledger."""
    kit.add_budget(costmon_home, 1000, at_95="warn")
    kit.spend(recorder, 400)
    with Outage(costmon_home):
        spend_quickly(recorder, 5000)
        with pytest.raises(SpendBlocked):
            recorder.admit(kit.priced(1))


def test_ninety_five_per_cent_holds_in_an_outage(costmon_home: Path, recorder: Recorder) -> None:
    """An app that is not essential is refused from 95 % though the ledger is busy; an essential one goes on."""
    kit.add_budget(costmon_home, 1000)
    kit.spend(recorder, 940)
    with Outage(costmon_home):
        spend_quickly(recorder, 20)
        with pytest.raises(SpendBlocked):
            recorder.admit(kit.priced(1))
        with context.context(essential=True):
            spend_quickly(recorder, 40)
            with pytest.raises(SpendBlocked):
                recorder.admit(kit.priced(1))


def test_a_settlement_that_must_wait_is_not_spent_twice_over(costmon_home: Path, recorder: Recorder) -> None:
    """A call admitted by the ledger and settled in the outage takes its money from the remainder too."""
    number = kit.add_budget(costmon_home, 1000, mode="strict", at_95="warn")
    held = recorder.admit(kit.priced(600))
    assert held is not None
    with Outage(costmon_home):
        recorder.settle(held, Outcome("ok", cost=600), wait_s=0.0)
        spend_quickly(recorder, 400)
        with pytest.raises(SpendBlocked):
            recorder.admit(kit.priced(1))
    recorder.drain(2)
    assert kit.period(costmon_home, number)["spent"] == 1000


@pytest.mark.parametrize(("limit", "allowed"), [(50 * NANO, NANO // 2), (1000 * NANO, NANO)])
def test_with_nothing_known_one_per_cent_or_a_dollar(costmon_home: Path, limit: int, allowed: int) -> None:
    """A process that starts in the outage but knows the config may spend min(1 %, $1), then it is refused."""
    number = kit.add_budget(costmon_home, limit)
    recorder = Recorder(str(costmon_home))
    recorder.provider_hosts()  # the config was read, no budget's standing was
    with Gone(costmon_home, recorder):
        for _ in range(2):
            spend_quickly(recorder, allowed // 2)
        with pytest.raises(SpendBlocked, match="allowance"):
            recorder.admit(kit.priced(1))
    assert recorder.drain(2) == 0
    assert kit.period(costmon_home, number)["spent"] == allowed // 2 * 2
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_locked_ledger_still_says_where_its_budgets_stand(costmon_home: Path) -> None:
    """A new process that meets a ledger somebody sits on reads it: neither an allowance nor a refusal for nothing."""
    full = kit.add_budget(costmon_home, 1000, name="full", scope="app=full", spent=1000)
    kit.add_budget(costmon_home, 1000, name="left", scope="app=left", mode="strict", at_95="warn", spent=400)
    with Outage(costmon_home):
        recorder = Recorder(str(costmon_home))
        with context.context(app="full"), pytest.raises(SpendBlocked, match='"full" was used up'):
            recorder.admit(kit.priced(1))
        with context.context(app="left"):
            for _ in range(3):
                spend_quickly(recorder, 200)
            with pytest.raises(SpendBlocked, match='"left" was used up'):
                recorder.admit(kit.priced(1))
    assert recorder.drain(2) == 0
    assert kit.one(costmon_home, "select spent from budget_period where budget_id = ?", full) == 1000
    assert kit.one(costmon_home, "select sum(cost) from event") == 600
    with context.context(app="left"), pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(1))
    assert caught.value.rule != "ledger"
    recorder.ledger.close()


def test_without_any_ledger_a_dollar_goes_out(costmon_home: Path) -> None:
    """Where no ledger can be made at all an app may spend a dollar, then it is refused in clear words."""
    (costmon_home / "ledger.db").mkdir(parents=True)  # in the way
    recorder = Recorder(str(costmon_home))
    for _ in range(4):
        spend_quickly(recorder, NANO // 4)
    with pytest.raises(SpendBlocked, match="allowance"):
        recorder.admit(kit.priced(1))


def test_what_was_let_through_blindly_is_charged_afterwards(costmon_home: Path) -> None:
    """Calls made before the process ever saw a budget count against it once the ledger is back."""
    number = kit.add_budget(costmon_home, 100 * NANO)
    recorder = Recorder(str(costmon_home))
    with Outage(costmon_home):
        spend_quickly(recorder, NANO // 2, provider="q")
    kit.spend(recorder, 5)
    assert kit.period(costmon_home, number)["spent"] == NANO // 2 + 5
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_strict_means_refused(costmon_home: Path, recorder: Recorder) -> None:
    """With strict = true nothing goes out while the ledger cannot answer."""
    kit.set_setting(costmon_home, "strict", "true")
    kit.spend(recorder, 1)
    with Outage(costmon_home), pytest.raises(SpendBlocked, match="strict"):
        recorder.admit(kit.priced(1))


def test_a_free_call_goes_on(costmon_home: Path, recorder: Recorder) -> None:
    """A local model is not refused because the ledger is busy and the money gone."""
    kit.add_budget(costmon_home, 1000, at_95="warn")
    kit.spend(recorder, 999)
    with Outage(costmon_home):
        for _ in range(3):
            assert recorder.admit(kit.llm(free=True)) is not None


def test_the_switch_holds_without_the_ledger(costmon_home: Path, recorder: Recorder) -> None:
    """`costmon kill` stops the app while the ledger is locked."""
    kit.spend(recorder, 1)
    (costmon_home / "switch").mkdir(exist_ok=True)
    (costmon_home / "switch" / "all").touch()
    with Outage(costmon_home), pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(1))
    assert caught.value.rule == "switch"


def test_a_known_budget_of_yesterday_is_not_todays(costmon_home: Path) -> None:
    """An outage over midnight falls back to the small allowance, not to yesterday's remainder."""
    midnight = kit.now_us() // kit.DAY_US * kit.DAY_US + kit.DAY_US
    kit.add_budget(costmon_home, 10 * NANO)
    recorder = Recorder(str(costmon_home))
    now = [midnight - 1]
    recorder.ledger.now = lambda: now[0]
    kit.spend(recorder, 1)
    now[0] = midnight
    with Gone(costmon_home, recorder):
        spend_quickly(recorder, NANO // 10)
        with pytest.raises(SpendBlocked, match="allowance"):
            recorder.admit(kit.priced(1))
    recorder.ledger.close()


@pytest.mark.slow
def test_three_seconds_of_lock(
    costmon_home: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process locks the ledger for 3 s: calls wait 0.3 s at most, the log says it once, nothing is lost."""
    caplog.set_level(logging.WARNING, "costmon")
    kit.add_budget(costmon_home, 10**12)
    kit.spend(recorder, 1)
    waits, calls = [], 0
    with Outage(costmon_home):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            began = time.monotonic()
            held = recorder.admit(kit.priced(10))
            waits.append(time.monotonic() - began)
            assert held is not None
            recorder.settle(held, Outcome("ok", cost=10), wait_s=0.0)
            calls += 1
    assert min(waits) >= 0.2  # the fault was there, every time
    assert sorted(waits)[len(waits) // 2] <= 0.4  # a loaded machine may keep one of them from running
    assert max(waits) <= 1
    began = time.monotonic()
    kit.spend(recorder, 1)
    assert time.monotonic() - began <= 0.2
    while (
        recorder.drain()
    ):  # a call writes for 5 ms what an outage has left; a slow machine needs more than one
        pass
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (calls + 2, calls * 10 + 2)
    ]
    kit.assert_sums_agree(costmon_home)
    messages = [
        record.getMessage() for record in caplog.records if "nobody would warn" not in record.getMessage()
    ]
    assert [message.split(":")[0] for message in messages] == ["costmon enforces from memory"]


def test_a_settlement_waits_two_seconds_at_most(costmon_home: Path, recorder: Recorder) -> None:
    """A synchronous app is held up for 2 s at most by a locked ledger, and its settlement is kept."""
    held = recorder.admit(kit.priced(10))
    assert held is not None
    with Outage(costmon_home):
        began = time.monotonic()
        recorder.settle(held, Outcome("ok", cost=10))
        assert 1.5 <= time.monotonic() - began <= 2.4
    assert recorder.drain() == 0
    assert kit.one(costmon_home, "select cost from event") == 10


@pytest.mark.parametrize(
    "name",
    [
        "ledger.write_once", "ledger._connect", "_reserve", "_transactions.refresh",
        "_transactions.reserve", "_transactions._hold", "_transactions._counted", "_transactions.settle",
        "_transactions._settlement", "_transactions._crossed", "_admitted", "_memory.saw", "_memory.used",
        "check_switch", "drain", "_transactions.costing.estimate", "_transactions.costing.cost",
        "_transactions.costing.learned", "_transactions.costing.committed",
    ],
)  # fmt: skip
def test_a_fault_of_ours_is_not_the_apps(
    costmon_home: Path, recorder: Recorder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever part of the shim breaks, the app's own call goes through."""
    kit.add_budget(costmon_home, 10**12)
    kit.spend(recorder, 1)
    fired = []

    def broken(*_: object, **__: object) -> None:
        fired.append(name)
        raise ZeroDivisionError

    part, _, function = name.rpartition(".")
    recorder._spool.append(
        (recorder._without_ledger(sqlite3.Error(), kit.priced(3), LABELS), Outcome("ok", cost=3), 5)
    )  # type: ignore[arg-type]
    owner = functools.reduce(getattr, part.split("."), recorder) if part else recorder
    with monkeypatch.context() as patched:
        patched.setattr(owner, function, broken)
        held = recorder.admit(kit.llm())
        if held is not None:
            recorder.settle(held, Outcome("ok", usage={"input_tokens": 1, "output_tokens": 1}))
    assert fired
    kit.assert_sums_agree(costmon_home)
