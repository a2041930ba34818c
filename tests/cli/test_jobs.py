"""`costmon jobs`: what a person and a program read of their jobs, with and without an engine."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from costmon.cli import main
from tests.monitor.schedule.kit import DAY, HOUR, MINUTE, NOON, SECOND, World, world


def costmon(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def noon(costmon_home: Path) -> World:
    """The incident, an hour after it began, with the clock standing still."""
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        for hour in range(-4, 2):
            made.run("trade", "pid 7 of scheduler", NOON + hour * HOUR, app="scheduler", plan="every 60m")
        for number in range(12):
            at = NOON + 2 * MINUTE + number * 5 * MINUTE
            made.run("trade", "pid 9 of backend", at, app="backend", plan="every 5m")
        made.run(
            "night", "pid 7 of scheduler", NOON - 9 * HOUR, app="scheduler", plan="cron 0 3 * * *", cost=None
        )
        made.now = NOON + HOUR
        made.step()
    clock = {"real_at": 0, "at": made.now, "rate": 0}
    (costmon_home / "clock.json").write_text(json.dumps(clock))
    return made


def test_the_table_fits_a_terminal_and_names_what_goes_wrong(noon: World) -> None:
    lines = costmon("jobs").splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["JOB", "PLAN", "NEXT", "RUN", "LAST", "RUN", "A", "RUN", "TONIGHT"]
    trade = next(line for line in lines if line.startswith("trade"))
    assert "every 60m" in trade
    assert "$0.0012" in trade
    assert "  ran 13 (1 planned) in 1 h" in "\n".join(lines)
    assert "12 runs nobody planned by pid 9 of backend, every 5m" in " ".join(" ".join(lines).split())
    night = next(line for line in lines if line.startswith("night"))
    assert "unknown" in night
    total = " ".join(" ".join(lines[lines.index(next(x for x in lines if x[:8] == "all jobs")) :]).split())
    assert total.startswith("all jobs: $0.1704 tonight · ≥ $")
    assert "this month, 1 job unknown" in total
    assert lines[-1].startswith("nobody watches")


def test_one_job_tells_who_says_what_and_each_run_with_its_verdict(noon: World) -> None:
    text = costmon("jobs", "trade")

    assert "trade: every 60m, what pid 7 of scheduler announces" in text
    assert "every 5m · app · pid 9 of backend · app backend · seen 3m ago" in text
    assert text.count("other plan") >= 12
    assert text.count("expected") >= 2


def test_the_document_holds_what_a_hand_calculation_gives(noon: World) -> None:
    document = json.loads(costmon("jobs", "--json"))
    trade: dict[str, Any] = next(job for job in document["jobs"] if job["name"] == "trade")

    assert document["watching"] is False
    assert trade["runs"]["hour"] == {"planned": 1, "actual": 13, "unexpected": 12, "missed": 0}
    assert trade["cost_per_run"]["median"] == {"amount": "0.0012", "currency": "USD"}
    assert trade["today"] == {"amount": "0.0216", "currency": "USD"}
    # 10 planned runs from 14:00 to 23:00 and 132 every 5 minutes from 13:02 on
    assert trade["tonight"] == {"amount": "0.1704", "currency": "USD"}
    assert trade["next_run"] == "2026-11-18T13:02:00.000000Z"  # the wrong process comes before the plan
    night = next(job for job in document["jobs"] if job["name"] == "night")
    assert night["cost_per_run"]["median"] is None
    assert night["this_month"] is None
    assert document["this_month"] is None
    assert document["at_least"]["this_month"] == trade["this_month"]
    assert document["unknown_jobs"] == {"tonight": 0, "this_week": 1, "this_month": 1}


def test_nothing_is_written(noon: World, costmon_home: Path) -> None:
    path = costmon_home / "ledger.db"
    before = path.read_bytes()

    costmon("jobs")
    costmon("jobs", "trade", "--json")

    assert path.read_bytes() == before


def test_the_config_as_it_is_now_counts_though_no_engine_has_read_it(noon: World, costmon_home: Path) -> None:
    (costmon_home / "config.toml").write_text('[jobs.trade]\nevery = "5m"\n')

    (trade,) = json.loads(costmon("jobs", "trade", "--json"))["jobs"]

    assert (trade["plan"], trade["said_by"]) == ("every 5m", "config")


def test_a_job_nobody_knows_names_those_there_are(noon: World) -> None:
    assert "no job is called 'trde'; there is night, trade" in costmon("jobs", "trde", code=2)


def test_without_a_ledger_there_is_none_made(costmon_home: Path) -> None:
    assert "No job has been seen yet" in costmon("jobs")
    assert json.loads(costmon("jobs", "--json"))["jobs"] == []
    assert not (costmon_home / "ledger.db").exists()


def test_an_older_ledger_is_said_in_one_line(costmon_home: Path) -> None:
    costmon_home.mkdir()
    with sqlite3.connect(costmon_home / "ledger.db") as db:
        db.execute("pragma user_version = 4")
    db.close()

    assert "made by an older costmon; costmon status renews it" in costmon("jobs", code=2)


def test_names_from_outside_cannot_paint_the_terminal(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.run("a\x1b[31mb", "who\x1b[0m", NOON - SECOND, plan="every 60m\x1b[31m")
        made.step()
    assert "\x1b" not in costmon("jobs") + costmon("jobs", "--json") + costmon("status")
