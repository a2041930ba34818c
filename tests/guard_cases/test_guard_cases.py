"""The cases that defeat guards which check after the call, on our shim with the real OpenAI SDK: calls in a loop, at
once, in several processes, and streams.

Every call truly costs $0.01; the budget is $0.10, so ten calls are right. The callers catch every error and go on. What
counts is how many calls reach the provider. The app is as `instrument()` makes it (not essential, `at_95 = "block"`): nine
calls are 90 %, the tenth fills the budget, so the rule at 95 % and the one at 100 % both refuse the eleventh.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

import costmon
from costmon import paths
from tests.guard_cases import callers, provider
from tests.guard_cases.conftest import Budget
from tests.harness.cli import environ
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, mock_server

ROOT = Path(__file__).resolve().parents[2]  # where the tests are; the package may be installed elsewhere
AT_ONCE = pytest.mark.parametrize("at_once", [callers.threads, callers.tasks], ids=["threads", "asyncio"])
AtOnce = Callable[..., callers.Ends]
NOTICES = "select subject from notice where kind = 'unpriced'"


def test_the_price_of_a_call_is_one_cent_at_list_price(server: MockServer, costmon_home: Path) -> None:
    callers.sequential(server.base, 1)
    [event] = events(costmon_home)
    assert (event["cost"], event["cost_status"], event["currency"]) == (provider.PRICE, "priced", "USD")
    assert Decimal(provider.PRICE) / 10**9 == (1000 * Decimal("2.5") + 750 * 10) / 10**6


def test_of_25_sequential_calls_exactly_ten_reach_the_provider(server: MockServer, budget: Budget) -> None:
    budget("0.10")
    ends = callers.sequential(server.base, 25)
    assert len(server.received) == 10
    assert ends == {"ok": 10, "SpendBlocked": 15}


@AT_ONCE
def test_of_40_calls_at_once_at_most_ten_reach_the_provider_and_later_ones_none(
    at_once: AtOnce, budget: Budget
) -> None:
    budget("0.10")
    with mock_server(provider.slow(0.2)) as server:
        ends = at_once(server.base, 40)
        assert 9 <= len(server.received) <= 10
        assert ends == {"ok": len(server.received), "SpendBlocked": 40 - len(server.received)}
        left = 10 - len(server.received)
        assert callers.sequential(server.base, 5)["ok"] == left
    assert spent(paths.state_home()) == provider.PRICE * 10


def test_of_25_streams_without_usage_at_most_eleven_reach_the_provider(
    server: MockServer, budget: Budget, costmon_home: Path
) -> None:
    budget("0.10")
    callers.streams(server.base, 25)
    assert 9 <= len(server.received) <= 11
    assert {event["usage_status"] for event in events(costmon_home)} == {"estimated"}
    assert spent(costmon_home) >= 9 * provider.PRICE


def test_of_25_streams_dropped_early_at_most_eleven_reach_the_provider_and_their_cost_is_booked(
    server: MockServer, budget: Budget, costmon_home: Path
) -> None:
    budget("0.10")
    callers.streams(server.base, 25, drop=True)
    reached = len(server.received)
    assert 9 <= reached <= 11
    booked = events(costmon_home)
    assert [event["outcome"] for event in booked] == ["dropped"] * reached
    assert all(event["cost"] >= provider.PRICE for event in booked)
    assert spent(costmon_home) == sum(event["cost"] for event in booked)


@pytest.mark.parametrize(
    ("unknown_price", "charge", "reach"),
    [(5, 8_750_000, 11), ("dearest", 600_000_000, 1)],
    ids=["at a stated rate", "at the dearest model's"],
)
def test_calls_of_an_unknown_model_are_refused_once_what_is_assumed_fills_the_budget_with_one_alert(
    unknown_price: object, charge: int, reach: int, server: MockServer, budget: Budget, costmon_home: Path
) -> None:
    """At $5 for a million tokens 1,750 of them are assumed to cost $0.00875, so eleven calls are 96 %. OpenAI's dearest
    text model would cost $0.60: the first call alone overfills the budget. The cost stays unknown all the same."""
    budget("0.10", unknown_price=unknown_price)
    ends = callers.sequential(server.base, 25, model="brand-new-model")
    assert len(server.received) == reach
    assert ends == {"ok": reach, "SpendBlocked": 25 - reach}
    booked = events(costmon_home)
    assert [(event["cost"], event["cost_status"], event["charge"]) for event in booked] == [
        (None, "unknown", charge)
    ] * reach
    assert [row["subject"] for row in rows(costmon_home, NOTICES)] == ["brand-new-model"]


def test_a_second_process_spends_nothing_more(server: MockServer, budget: Budget, costmon_home: Path) -> None:
    budget("0.10")
    callers.sequential(server.base, 25)
    assert another_process(server.base, costmon_home) == 0
    assert len(server.received) == 10


def test_a_restart_spends_nothing_more(server: MockServer, budget: Budget, costmon_home: Path) -> None:
    budget("0.10")
    assert another_process(server.base, costmon_home) == 10
    assert another_process(server.base, costmon_home) == 0
    assert len(server.received) == 10


@AT_ONCE
def test_a_burst_of_120_callers_that_may_wait_uses_the_budget_and_no_more(
    at_once: AtOnce, budget: Budget, costmon_home: Path
) -> None:
    """They ask for ten times the tokens they use. An essential app, so that the rule at 95 % is not what stops it."""
    budget("1.00", admit_wait=30)
    with mock_server(provider.slow(0.05)) as server, costmon.context(essential=True):
        ends = at_once(server.base, 120, max_tokens=10 * provider.OUTPUT)
        assert 90 <= len(server.received) <= 100
        assert ends["ok"] == len(server.received)
        assert set(ends) <= {"ok", "SpendBlocked"}
    assert spent(costmon_home) <= 1_000_000_000


def another_process(base: str, home: Path) -> int:
    """How many of 25 calls another process of the same user gets answered."""
    command = [sys.executable, "-m", "tests.guard_cases.callers", base, "25"]
    done = subprocess.run(
        command,
        env=environ(home, PYTHONPATH=str(ROOT)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def spent(home: str | os.PathLike[str]) -> int:
    """What the budget says was spent, nano USD; nothing may be reserved still."""
    [period] = rows(home, "select spent, reserved from budget_period where spent + reserved > 0")
    assert period["reserved"] == 0
    return int(period["spent"])
