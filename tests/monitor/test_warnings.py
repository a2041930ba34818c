"""From a call that crosses a level to a pop-up a person sees: real calls, real engines, a real notification daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costmon.shim.recorder import Call, Outcome, Recorder
from tests.harness.desk import Desk, wait_for

LEVELS = (70, 80, 90, 95, 100)


def costmon(home: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "costmon", *words],
        env={**(env or os.environ), "COSTMON_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def engine(home: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "costmon", "watch", "--quiet"], env={**env, "COSTMON_HOME": str(home)}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def spend(home: Path, cents: int) -> None:
    """One essential call that costs `cents` cents."""
    recorder = Recorder(str(home))
    held = recorder.admit(
        Call("call", "x", "x", "m", "", source="track", cost=cents * 10_000_000, essential=True)
    )
    assert held is not None
    recorder.settle(held, Outcome("ok"))
    recorder.ledger.close()


def levels_shown(desk: Desk) -> list[int]:
    """The level in each pop-up's title, as the daemon showed them, oldest first."""
    return [int(shown.title.rsplit(" ", 2)[1]) for shown in reversed(desk.history())]


@pytest.mark.system
@pytest.mark.timeout(120)
def test_each_level_pops_up_once_over_three_restarts(costmon_home: Path, desk: Desk) -> None:
    """70, 80, 90, 95 and 100 % are each announced once, however often the monitor is restarted in between."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD", "--period", "day").returncode == 0
    steps = (
        (72, 2),
        (9, 2),
        (10, 1),
        (5, 1),
        (4, 1),
    )  # percent spent before; the last four cross a level each
    crossed = 0
    for cents, _ in steps:
        with engine(costmon_home, desk.env):
            spend(costmon_home, cents)
            crossed += 1
            wanted = crossed
            wait_for(lambda wanted=wanted: desk.calls() >= wanted, f"pop-up {crossed}")
    with engine(costmon_home, desk.env):
        time.sleep(2.5)
    assert desk.calls() == len(LEVELS)
    assert sorted(levels_shown(desk)) == list(LEVELS)


@pytest.mark.system
@pytest.mark.timeout(60)
@pytest.mark.slow
def test_several_monitors_warn_once_and_soon(costmon_home: Path, desk: Desk) -> None:
    """Three monitors at once show one pop-up, within 2 s of the crossing."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD", "--period", "day").returncode == 0
    with engine(costmon_home, desk.env), engine(costmon_home, desk.env), engine(costmon_home, desk.env):
        wait_for(lambda: '"running": true' in costmon(costmon_home, "status", "--json").stdout, "an engine")
        began = time.monotonic()
        spend(costmon_home, 75)
        wait_for(lambda: desk.calls() >= 1, "the pop-up")
        took = time.monotonic() - began
        time.sleep(2.0)
    assert desk.calls() == 1
    assert took < 4.0, f"{took:.1f} s from the crossing to the pop-up"


@pytest.mark.system
@pytest.mark.timeout(60)
def test_another_engine_takes_over_when_the_first_is_killed(costmon_home: Path, desk: Desk) -> None:
    """kill -9 of the monitor does not end the warnings while another one runs."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD", "--period", "day").returncode == 0
    first = subprocess.Popen(
        [sys.executable, "-m", "costmon", "watch", "--quiet"],
        env={**desk.env, "COSTMON_HOME": str(costmon_home)},
    )
    wait_for(lambda: (costmon_home / "engine.json").exists(), "the first engine")
    with engine(costmon_home, desk.env):
        time.sleep(1.0)
        first.kill()
        first.wait()
        spend(costmon_home, 75)
        wait_for(lambda: desk.calls() >= 1, "the pop-up of the second")


def test_nobody_warns_is_said(costmon_home: Path) -> None:
    """Without an engine `status` and `doctor` say that nobody would warn."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD").returncode == 0
    assert "NOBODY WARNS" in costmon(costmon_home, "status").stdout
    assert "nobody warns" in costmon(costmon_home, "doctor").stdout


def test_a_raised_budget_lifts_its_own_block(costmon_home: Path) -> None:
    """After `costmon budget set` with more money the switch opens at once, without an engine."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD", "--period", "day").returncode == 0
    spend(costmon_home, 100)
    assert costmon(costmon_home, "check").returncode == 1
    assert costmon(costmon_home, "budget", "set", "total", "2USD").returncode == 0
    assert costmon(costmon_home, "check").returncode == 0


def test_a_removed_ledger_is_noticed(costmon_home: Path) -> None:
    """After `rm ledger.db` under a running engine, budgets bind again in the new ledger within seconds."""
    assert costmon(costmon_home, "budget", "set", "total", "1USD", "--period", "day").returncode == 0
    with engine(costmon_home, dict(os.environ)):
        wait_for(lambda: (costmon_home / "engine.json").exists(), "the engine")
        time.sleep(0.5)
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (costmon_home / name).unlink(missing_ok=True)
        wait_for(
            lambda: '"name": "total"' in costmon(costmon_home, "budget", "list", "--json").stdout,
            "the budget",
        )
        spend(costmon_home, 100)
    assert costmon(costmon_home, "check").returncode == 1
