"""Alerts: each exactly once, however many monitors run, race, restart or die."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import costmon.act.alerts as alerts_module
from costmon.act.alerts import LEASE_US, PAUSE_US, Alert, Crossing, claim, deliver, level_alerts, mark
from costmon.act.channels import Delivery
from costmon.act.channels.none import NullNotifier
from costmon.errors import LedgerBusy
from costmon.shim.money import Money
from tests.act import driver
from tests.harness.desk import Desk

NOW = 1_800_000_000_000_000
SENT = Delivery(True, "dbus", "shown by dunst 1.9.0")
FAILED = Delivery(False, "desktop", "no notification daemon runs on the session bus")
# The package under test and these tests, wherever they lie (checkout or wheel).
_ROOTS = [Path(alerts_module.__file__).parents[2], Path(driver.__file__).parents[2]]


class Recorder:
    """Remembers the tags it was sent; fails as long as `ok` is false."""

    def __init__(self, *, ok: bool = True) -> None:
        self.ok = ok
        self.tags: list[str] = []

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
        self.tags.append(replaces)
        return SENT if self.ok else FAILED


def start_driver(ledger: Path, now: int, notifier: str, periods: int = 1) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _ROOTS))}
    command = [sys.executable, str(driver.__file__), str(ledger), str(now), notifier, str(periods)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE)


def run_driver(ledger: Path, now: int, notifier: str, periods: int = 1) -> int:
    """How many alerts a new monitor sent."""
    with start_driver(ledger, now, notifier, periods) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return int(out)


def states(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return db.execute("select level, state, attempts from alert order by period_at, level").fetchall()


def one(**changes: Any) -> Alert:
    return driver.alerts(1)[0]._replace(**changes)


@pytest.mark.system
def test_five_levels_pop_up_once_each_over_three_restarts(
    desk: Desk, ledger: Path, db: sqlite3.Connection
) -> None:
    """A monitor started four times shows each of the five levels exactly once."""
    assert [run_driver(ledger, NOW + start * 2 * LEASE_US, "desktop") for start in range(4)] == [5, 0, 0, 0]
    shown = desk.history()
    titles = [f'costmon: budget "total" reached {level} %' for level in driver.LEVELS]
    assert [one.title for one in shown] == titles
    assert [one.urgency for one in shown] == ["normal", "normal", "normal", "critical", "critical"]
    assert {one.app for one in shown} == {"costmon"}
    assert desk.calls() == 5
    assert states(db) == [(level, "sent", 1) for level in driver.LEVELS]


@pytest.mark.system
def test_a_repeat_after_a_crash_replaces_the_first_pop_up(
    desk: Desk, ledger: Path, db: sqlite3.Connection
) -> None:
    """A monitor that dies right after a pop-up leads to a repeat, which replaces the first."""
    with start_driver(ledger, NOW, "desktop!after") as process:
        assert process.wait(30) == -signal.SIGKILL
    assert run_driver(ledger, NOW + LEASE_US + 1, "desktop") == 5
    assert desk.calls() == 6
    assert [one.title[-4:] for one in desk.history()] == ["70 %", "80 %", "90 %", "95 %", "00 %"]
    assert states(db)[0] == (70, "sent", 2)


def test_a_death_before_the_pop_up_loses_nothing(
    tmp_path: Path, ledger: Path, db: sqlite3.Connection
) -> None:
    """A monitor killed between claim and send delays that alert by the lease, and no alert is lost."""
    sent = tmp_path / "sent"
    with start_driver(ledger, NOW, f"{sent}!before") as process:
        assert process.wait(30) == -signal.SIGKILL
    assert run_driver(ledger, NOW + LEASE_US - 1, str(sent)) == 4
    assert states(db)[0] == (70, "claimed", 1)
    assert run_driver(ledger, NOW + LEASE_US + 1, str(sent)) == 1
    assert Counter(sent.read_text().split()) == {alert.tag: 1 for alert in driver.alerts(1)}
    assert states(db)[0] == (70, "sent", 2)


def test_eight_monitors_race_and_each_alert_comes_once(tmp_path: Path, ledger: Path) -> None:
    """Eight monitors that see 24 periods of five levels at the same moment raise 120 alerts, none twice."""
    sent = tmp_path / "sent"
    racers = [start_driver(ledger, NOW, str(sent), 24) for _ in range(8)]
    counts = [int(racer.communicate(timeout=90)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 8
    assert sum(counts) == 120
    assert Counter(sent.read_text().split()) == {alert.tag: 1 for alert in driver.alerts(24)}


@pytest.mark.slow
def test_kill_storm_loses_no_alert(tmp_path: Path, ledger: Path, db: sqlite3.Connection) -> None:
    """Monitors killed around a notification and at random moments lose no alert; each repeats at most one."""
    sent = tmp_path / "sent"
    kills = 0
    for turn in range(50):
        now = NOW + turn * (LEASE_US + 1)
        three = [start_driver(ledger, now, f"{sent}!{how}", 24) for how in ("before", "after", "slow")]
        time.sleep(random.uniform(0.05, 0.25))
        three[-1].kill()
        for process in three:
            process.communicate(timeout=30)
            kills += process.returncode == -signal.SIGKILL
    run_driver(ledger, NOW + 1000 * LEASE_US, str(sent), 24)
    times = Counter(sent.read_text().split())
    assert set(times) == {alert.tag for alert in driver.alerts(24)}
    assert sum(times.values()) <= 120 + kills
    assert {state for _, state, _ in states(db)} == {"sent"}
    print(f"{kills} kills, {sum(times.values()) - 120} repeats")


def test_a_failed_alert_is_tried_three_times_with_pauses(db: sqlite3.Connection) -> None:
    """Where nothing can be shown, costmon tries three times, half a minute apart, and then stays silent."""
    recorder = Recorder(ok=False)
    for seconds in (0, 1, 29, 30, 31, 60, 90, 3600):
        deliver(db, [one()], recorder, lambda at=NOW + seconds * 1_000_000: at, "test")  # type: ignore[misc]
    assert len(recorder.tags) == 3
    row = db.execute("select state, attempts, channel, detail, sent_at from alert").fetchone()
    assert row == ("failed", 3, "desktop", FAILED.detail, None)


def test_a_failed_alert_recovers(db: sqlite3.Connection) -> None:
    """An alert that could not be shown comes as soon as a later try succeeds, and then never again."""
    recorder = Recorder(ok=False)
    deliver(db, [one()], recorder, lambda: NOW, "test")
    recorder.ok = True
    assert deliver(db, [one()], recorder, lambda: NOW + PAUSE_US, "test") == [(one(), SENT)]
    assert deliver(db, [one()], recorder, lambda: NOW + 10 * LEASE_US, "test") == []


def test_levels_are_sent_in_ascending_order(db: sqlite3.Connection) -> None:
    """A jump from 0 to 100 % tells the story from 70 % upwards."""
    recorder = Recorder()
    deliver(db, reversed(driver.alerts(1)), recorder, lambda: NOW, "test")
    assert [int(tag.rpartition("/")[2]) for tag in recorder.tags] == list(driver.LEVELS)


def test_a_new_limit_or_period_alerts_anew(db: sqlite3.Connection) -> None:
    """After the limit is changed, or in the next period, the same level is announced again."""
    again = [one(), one(limit_version=2), one(period_at=driver.DAY_US), one(subject="other")]
    assert [claim(db, alert, NOW, "test") for alert in again * 2] == [True] * 4 + [False] * 4


def test_a_clock_set_back_does_not_hold_a_dead_claim(db: sqlite3.Connection) -> None:
    """A dead monitor's claim from before the clock was set back a day delays the alert by no day."""
    assert claim(db, one(), NOW, "dead")
    assert claim(db, one(), NOW - driver.DAY_US, "alive")


def test_a_late_failure_does_not_undo_a_success(db: sqlite3.Connection) -> None:
    """A monitor that was suspended while sending cannot make a shown alert come back."""
    claim(db, one(), NOW, "slow")
    claim(db, one(), NOW + 2 * LEASE_US, "quick")
    mark(db, one(), SENT, NOW + 2 * LEASE_US)
    mark(db, one(), FAILED, NOW + 3 * LEASE_US)
    assert states(db) == [(70, "sent", 2)]


def test_a_done_alert_needs_no_write_lock(ledger: Path, db: sqlite3.Connection) -> None:
    """Asking for an alert that was sent long ago does not wait for a busy ledger."""
    deliver(db, [one()], NullNotifier(), lambda: NOW, "test")
    other = driver.open_ledger(ledger)
    other.execute("begin immediate")
    assert not claim(db, one(), NOW, "test")
    other.close()


def test_a_locked_ledger_is_a_clear_error(
    ledger: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the ledger stays locked one sentence says so, and the alert can still be claimed later."""
    monkeypatch.setattr(alerts_module, "BUSY_S", 0.2)
    other = driver.open_ledger(ledger)
    other.execute("begin immediate")
    with pytest.raises(LedgerBusy, match="locked by another process"):
        claim(db, one(), NOW, "test")
    other.close()
    assert claim(db, one(), NOW, "test")


def test_hostile_names_reach_the_ledger_bounded(db: sqlite3.Connection) -> None:
    """A name of 10 MB, a NUL or half a character in an alert is stored short and clean."""
    hostile = one(subject="x\ud800", title="a\0b\x1b[2J" + "t" * 10_000_000, body="\ud800" + "b" * 10_000_000)
    assert claim(db, hostile, NOW, "test")
    title, body = db.execute("select title, body from alert").fetchone()
    assert title.startswith("ab[2Jtt")
    assert (len(title), len(body)) == (200, 1000)


def test_a_hung_desktop_costs_a_bounded_time(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """When each send takes long, one round stops early and the next one goes on where it stopped."""
    monkeypatch.setattr(alerts_module, "ROUND_S", -1.0)
    assert deliver(db, driver.alerts(1), Recorder(), lambda: NOW, "test") == []
    assert states(db) == []


# Texts


def crossing(**changes: Any) -> Crossing:
    base = Crossing(
        budget="total",
        scope="all",
        limit_version=1,
        levels=driver.LEVELS,
        level=90,
        ratio=0.9,
        spent=Money(9_000_000_000, "USD"),
        limit=Money(10_000_000_000, "USD"),
        period="day",
        start=datetime(2026, 11, 19, 15, tzinfo=UTC),
        end=datetime(2026, 11, 20, 15, tzinfo=UTC),
        time_zone="Asia/Seoul",
        crosses_at=datetime(2026, 11, 20, 5, 20, tzinfo=UTC),
    )
    return base._replace(**changes)


def test_the_alert_says_what_was_spent_and_when_it_ends() -> None:
    """At 90 % the pop-up names the budget, the money, and when the limit will be reached."""
    alert = level_alerts(crossing())[-1]
    assert alert.title == 'costmon: budget "total" reached 90 %'
    assert alert.body == "Spent $9.00 of $10.00 today (90 %); at this rate the limit is reached at 14:20."
    assert (alert.level, alert.urgency, alert.period_at) == (90, "normal", 1_795_100_400_000_000)


@pytest.mark.parametrize(
    ("level", "changes", "ending"),
    [
        (95, {}, ". Apps not declared essential are refused until 00:00 (Asia/Seoul)."),
        (100, {}, ". All calls are refused until 00:00 (Asia/Seoul)."),
        (95, {"at_95": "warn", "crosses_at": None}, "(95 %)."),
        (100, {"scope": "app=trader"}, ". All calls of app=trader are refused until 00:00 (Asia/Seoul)."),
        (
            95,
            {"scope": "provider=openai"},
            " from apps not declared essential are refused until 00:00 (Asia/Seoul).",
        ),
        (100, {"at_100": "warn"}, "(100 %)."),
        (100, {"period": "week"}, ". All calls are refused until 2026-11-21 00:00 (Asia/Seoul)."),
        (100, {"time_zone": "Nowhere/None"}, ". All calls are refused until 15:00 (Nowhere/None)."),
    ],
)
def test_the_alert_says_what_is_refused(level: int, changes: dict[str, Any], ending: str) -> None:
    """At 95 and 100 % the pop-up says whose calls are refused and until when; critical, so that it stays."""
    alert = level_alerts(crossing(level=level, ratio=level / 100, **changes))[-1]
    assert alert.body.endswith(ending)
    assert alert.urgency == "critical"


def test_a_jump_makes_one_alert_for_each_level() -> None:
    """One call that takes a budget from 0 to 120 % raises all five levels, with the true figures."""
    jumped = level_alerts(crossing(level=100, ratio=1.2, spent=Money(12_000_000_000, "USD")))
    assert [alert.level for alert in jumped] == list(driver.LEVELS)
    assert jumped[0].body == "Spent $12.00 of $10.00 today (120 %)."


def test_unpriced_calls_are_not_counted_as_free() -> None:
    """When calls have no price the pop-up says how many, and between what the sum lies."""
    plain = crossing(unpriced=37, crosses_at=None)
    assert level_alerts(plain)[-1].body == "Spent $9.00 of $10.00 today (90 %, 37 calls unpriced)."
    known = plain._replace(low=Money(8_000_000_000, "USD"), high=Money(9_400_000_000, "USD"))
    assert level_alerts(known)[-1].body == (
        "Spent $9.00, between $8.00 and $9.40, of $10.00 today (90 %, 37 calls unpriced)."
    )


def test_no_level_no_alert() -> None:
    """Below the first level nothing is said."""
    assert level_alerts(crossing(level=0, ratio=0.2)) == []
