"""The story told as text, from the first level to the last refusal, and what is left of it afterwards."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demo.driver import environment, first, homes, processes, start, wait_for
from tests.harness import need
from tests.harness.desk import Desk, desktop

_DESK = ("Xvfb", "dbus-daemon", "dbus-send", "dbus-monitor", "dunst", "dunstctl")


@dataclass
class Told:
    """One run of `costmon demo --headless`; `desk` is where its pop-ups went, if there was one."""

    lines: list[str]
    code: int
    temporary: Path
    left: list[int]
    desk: Desk | None


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    temporary = tmp_path_factory.mktemp("demo")
    with ExitStack() as parts:
        desk = None
        if all(shutil.which(program) for program in _DESK):
            desk = parts.enter_context(desktop(tmp_path_factory.mktemp("desk")))
        env = environment(temporary, desk.env if desk else None)
        process = start(env, "--headless", "--day", "40")
        output, _ = process.communicate(timeout=100)
        yield Told(output.splitlines(), process.returncode, temporary, processes(temporary), desk)


def test_it_says_first_that_it_is_a_simulation(told: Told) -> None:
    """Nobody can take the figures for their own."""
    assert told.lines[0].startswith("SIMULATION")
    assert told.lines[-1].startswith("SIMULATION over: ")


def test_every_level_is_crossed_alone_and_in_order(told: Told) -> None:
    """70, 80, 90, 95 and 100 % come one after another, seconds apart, not in one burst."""
    crossed = [line for line in told.lines if "reached" in line and "  level " in line]
    assert [int(re.findall(r"reached (\d+) %", line)[0]) for line in crossed] == [70, 80, 90, 95, 100]
    minutes = [int(line[11:13]) * 60 + int(line[14:16]) for line in crossed]
    gaps = [later - earlier for earlier, later in itertools.pairwise(minutes)]
    assert all(60 <= gap <= 300 for gap in gaps), minutes


def test_trader_is_refused_at_95_and_chatbot_at_100(told: Told) -> None:
    """The app that is not essential stops first, in its own words; the essential one goes on until nothing is left."""
    at_95 = first("reached 95 %", told.lines)
    blocked = first("blocked +nonessential", told.lines, at_95)
    trader = first("trader: SpendBlocked: ", told.lines, blocked)
    goes_on = first("chatbot: answered a customer", told.lines, trader)
    at_100 = first("reached 100 %", told.lines, goes_on)
    first("blocked +all", told.lines, at_100)
    first("chatbot: SpendBlocked: ", told.lines, at_100)
    assert not any("chatbot: SpendBlocked" in line for line in told.lines[:at_100])
    assert not any("trader: SpendBlocked" in line for line in told.lines[:at_95])


def test_it_ends_by_itself_and_sums_up(told: Told) -> None:
    """The last line tells what it came to: calls, money, refusals, pop-ups."""
    assert told.code == 0, told.lines
    summary = r"over: \d{2,} calls, \$1\.0\d* spent, [1-9]\d* refused; pop-ups: \d of 5 shown"
    assert re.search(summary, told.lines[-1]), told.lines[-1]


def test_nothing_goes_wrong_on_the_way(told: Told) -> None:
    """No traceback, no problem line, no app that ended early, no complaint of the shim in an app's log."""
    text = "\n".join(told.lines)
    assert "Traceback" not in text
    assert "  problem " not in text
    assert "the process ended" not in text
    assert "costmon could not" not in text


def test_nothing_is_left_behind(told: Told) -> None:
    """No process and no file remains."""
    assert told.left == []
    assert list(told.temporary.iterdir()) == []


def test_without_a_desktop_it_says_once_why_no_pop_up_came(told: Told) -> None:
    """A container has no desktop; the story goes on and says so in one line and in the summary."""
    if told.desk is not None:
        return  # the next test looks at the pop-ups themselves
    assert sum("no desktop here: " in line for line in told.lines) == 2
    assert "pop-ups: 0 of 5 shown" in told.lines[-1]


@pytest.mark.system
def test_every_level_pops_up_once(told: Told) -> None:
    """A real notification daemon shows five pop-ups, each level once."""
    need(*_DESK)
    assert told.desk is not None
    titles = [shown.title for shown in told.desk.history()]
    assert titles == [f'costmon: budget "daily" reached {level} %' for level in (70, 80, 90, 95, 100)]
    assert told.desk.calls() == 5
    assert "pop-ups: 5 of 5 shown" in told.lines[-1]


def test_sigterm_tears_everything_down(tmp_path: Path) -> None:
    """Stopped from outside it ends at once, sums up, and leaves nothing."""
    process = start(environment(tmp_path), "--headless", "--seconds", "60")
    try:
        wait_for(lambda: len(processes(tmp_path)) >= 2, 15, "both apps")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert "SIMULATION over" in output
    assert "Traceback" not in output
    assert processes(tmp_path) == []
    assert homes(tmp_path) == []


def test_apps_end_with_a_killed_demo(tmp_path: Path) -> None:
    """After kill -9 both apps are gone within two seconds; only the home's files stay."""
    process = start(environment(tmp_path), "--headless", "--seconds", "60")
    with process:
        wait_for(lambda: len(processes(tmp_path)) >= 2, 15, "both apps")
        process.kill()
        process.wait(5)
        wait_for(lambda: not processes(tmp_path), 2, "the apps to end")
    assert len(homes(tmp_path)) == 1


@pytest.mark.slow
def test_keep_keeps_the_home_and_prints_where(tmp_path: Path) -> None:
    """`--keep` leaves a ledger to look into, with the events of both apps, none of them unpriced."""
    process = start(environment(tmp_path), "--headless", "--seconds", "5", "--keep")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    [home] = homes(tmp_path)
    assert output.splitlines()[-1] == f"the home is kept: {home}"
    with sqlite3.connect(home / "ledger.db") as db:
        apps = {row[0] for row in db.execute("select distinct app from event")}
        unpriced = db.execute(
            "select count(*) from event where state = 'settled' and cost is null"
        ).fetchone()[0]
    db.close()
    assert apps == {"trader", "chatbot"}
    assert unpriced == 0


def test_a_day_too_short_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """A day in which the story has no room is an error that names the option."""
    process = start(environment(tmp_path), "--headless", "--day", "5")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "--day" in output
    assert homes(tmp_path) == []
