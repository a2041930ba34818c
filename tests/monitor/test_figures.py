"""Provider figures in the engine: polled in its own thread, shown in the Snapshot with their age, state and reason."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from costmon.monitor import figures
from costmon.monitor.engine import Engine, read_config
from costmon.monitor.figures import source_problems, source_status
from costmon.monitor.reprice.forgetting import Forgetting
from costmon.shim.money import Money
from costmon.sources.providers.protocol import Balance, Reading
from costmon.store import open_ledger
from tests.harness.cli import environ
from tests.harness.venvs import ROOT
from tests.sources.polling.kit import DAY, HOUR, MINUTE, NOW, Home, bucket, figure
from tests.sources.polling.test_books import put
from tests.sources.providers.fake import Answer, openai
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("POLL_KEY", openai.FAKE.key)
    with Server(openai.FAKE, Bill(), NOW) as one:
        yield one


@pytest.fixture
def home(tmp_path, server):
    made = Home(tmp_path / "ledger", f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n')
    yield made
    made.close()


def status(home: Home):
    (one,) = source_status(home.store.db, home.now)
    return one


def test_the_engine_polls_and_shows_what_it_read(costmon_home, server):
    costmon_home.mkdir(mode=0o700)
    server.now = datetime.now(UTC)
    server.bill.spend(server.now.date(), "2.5", "m")
    (costmon_home / "config.toml").write_text(
        f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n[notify]\ndesktop = false\n'
    )
    engine = Engine(str(costmon_home))
    try:
        deadline = time.monotonic() + 20
        while True:
            snapshot = engine.next_snapshot(0.2)
            if snapshot is not None and snapshot.sources and snapshot.sources[0].state == "ok":
                break
            assert time.monotonic() < deadline
        (source,) = snapshot.sources
        assert (source.month, source.month_state) == (Money(2_500_000_000, "USD"), "partial")
        assert source.requests_hour == len(server.journal)
        assert source.next_at > source.polled_at
    finally:
        began = time.monotonic()
        engine.close()
    assert time.monotonic() - began < 8


def test_a_figure_is_shown_with_its_state_and_becomes_final_and_stale(home, server):
    server.bill.spend(NOW.date(), "1", "m")
    server.bill.spend(NOW.date() - timedelta(days=30), "9", "m")
    home.turn()
    assert (status(home).month, status(home).month_state, status(home).month_missing_days) == (
        Money(10**9, "USD"),
        "partial",
        0,
    )
    home.now += 31 * MINUTE
    assert status(home).stale
    assert status(home).month_state == "stale"
    home.now += 11 * DAY
    assert status(home).month is None  # of December nothing was read: it is not known, not zero


def test_days_that_nobody_read_are_said(home):
    put(home, Reading([bucket(3), bucket(20)], [figure("1", day=3), figure("2", day=20)]), after=0)
    one = status(home)
    assert (one.month, one.month_missing_days, one.month_state) == (Money(3 * 10**9, "USD"), 18, "partial")


def test_a_source_that_fails_is_a_problem_with_its_age_and_one_that_waits_its_turn_is_none(home, server):
    assert source_problems([status(home)]) == []
    home.turn()
    assert source_problems([status(home)]) == []
    server.faults.append(Answer({}, 429, {"retry-after": "60"}))
    home.due()
    home.turn()
    assert status(home).state == "rate_limited"
    assert source_problems([status(home)]) == []
    home.now += HOUR
    assert len(source_problems([status(home)])) == 1
    server.faults.append(Answer({}, 500))
    home.turn()
    (line,) = source_problems([status(home)])
    assert line.startswith("source openai: ")
    assert "2026-11-20 15:30 UTC are kept" in line


def test_a_balance_is_shown_with_its_age_and_when_it_runs_out(home):
    for hour in range(0, 49, 6):
        left = Decimal(100) - Decimal(hour) / 2
        put(home, Reading(balances=[Balance(left, "USD", limit=Decimal(100))]), after=6 * HOUR)
    home.now += MINUTE
    (found,) = status(home).balances
    assert (found.amount, found.unit, found.limit) == (Decimal(76), "USD", Decimal(100))
    assert found.age == timedelta(minutes=1)
    assert found.run_out is not None
    left = (found.run_out - found.seen_at) / timedelta(days=1)
    assert 5 < left < 8  # 76 at 12 a day
    put(home, Reading(balances=[Balance(Decimal(5), "credits")]))
    assert [one.unit for one in status(home).balances] == ["credits"]  # the last answer told of no dollars


def test_a_clock_that_was_ahead_leaves_no_plan_no_age_and_no_balance_of_the_future(home, server):
    """Five days ahead, then right: the next round is due now, not in five days, and what was read is old."""
    server.now = NOW + timedelta(days=5)
    home.now += 5 * DAY
    put(home, Reading(balances=[Balance(Decimal(9), "USD")]), after=0)
    home.turn()
    home.now -= 5 * DAY
    one = status(home)
    assert (one.stale, one.next_at) == (True, NOW)
    assert home.turn(after=MINUTE).booked  # and so it is
    put(home, Reading(balances=[Balance(Decimal(5), "USD")]), after=MINUTE)
    assert not status(home).stale
    assert [balance.amount for balance in status(home).balances] == [5]


def test_days_that_fell_to_nothing_at_once_leave_the_month_doubtful(home):
    days = [bucket(day) for day in range(1, 20)]
    for amount in ("3", "0"):
        put(home, Reading(days, [figure(amount, day=4)]))
    one = status(home)
    assert one.month == Money(3 * 10**9, "USD")
    assert one.month_state == "partial"
    assert "not believed" in one.notes[0]


def test_what_is_old_leaves_the_ledger(home):
    put(
        home,
        Reading([bucket(1)], [figure("1", day=1)], balances=[Balance(Decimal(1), "USD")]),
        after=-18 * DAY,
    )
    put(home, Reading([bucket(20)], [figure("2", day=20)]), after=18 * DAY)
    home.now += 31 * DAY
    Forgetting().forget(home.store)
    assert home.value("select count(*) from poll_hour") == 0
    assert home.total() == 3
    home.now += 330 * DAY
    Forgetting().forget(home.store)
    assert home.total() == 2
    assert home.value("select count(*) from balance") == 0
    assert home.value("select count(*) from figure_bucket") == 1


def test_polling_that_breaks_down_is_a_problem_and_starts_again(costmon_home, server, monkeypatch):
    from costmon.sources.providers.polling import keeper

    monkeypatch.setattr(figures, "_AGAIN_S", 0.3)
    run, calls = keeper.Keeper.run, []

    async def faulty(self):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("secret")
        await run(self)

    monkeypatch.setattr(keeper.Keeper, "run", faulty)
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text(
        f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n'
    )
    engine = Engine(str(costmon_home))
    try:
        seen: list[str] = []
        deadline = time.monotonic() + 20
        while not (seen and engine._figures.trouble == "" and len(calls) > 1):
            assert time.monotonic() < deadline
            snapshot = engine.next_snapshot(0.05)
            seen += [] if snapshot is None else [line for line in snapshot.problems if "KeyError" in line]
            if engine._figures.trouble and not seen:
                engine._shown_at = -10.0  # look at once
    finally:
        engine.close()
    assert seen[0] == "provider figures wait: polling failed (KeyError)"


def test_without_a_source_nothing_of_http_is_loaded(costmon_home):
    code = (
        "import sys, time\nfrom costmon.monitor.engine import Engine\nfrom costmon import paths\n"
        "engine = Engine(paths.state_home())\nengine.next_snapshot(0.1)\ntime.sleep(1.0)\nengine.next_snapshot(0.1)\n"
        "print('httpx' in sys.modules, engine._figures.is_alive())\nengine.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ(costmon_home),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "False True\n", done.stderr


def test_a_removed_source_is_gone_at_once_without_an_engine(costmon_home: Path) -> None:
    """What the config no longer names is in no status and no sum, also where nothing runs but `costmon status`."""
    costmon_home.mkdir(exist_ok=True)
    settings = costmon_home / "config.toml"
    settings.write_text("[source.openai]\n[source.deepseek]\n")
    store = open_ledger(str(costmon_home))
    read_config(store)
    assert [one.name for one in source_status(store.db, store.now())] == ["deepseek", "openai"]
    settings.write_text("[source.openai]\nenabled = false\n")
    read_config(store)
    assert source_status(store.db, store.now()) == ()
    store.close()
