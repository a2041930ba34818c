"""From runs nobody planned to what is told of them: rows, alerts, and when each ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costmon.monitor.schedule import misfires
from costmon.monitor.schedule.shown import schedule
from costmon.monitor.warner import due_alerts
from costmon.shim.owner import owner
from tests.monitor.schedule.kit import DAY, HOUR, MINUTE, NOON, RUN_NANO, SECOND, World, world


def two_schedulers(made: World, runs: int) -> None:
    """One every 60 minutes as planned, since the morning, and from noon on one every 5."""
    made.watched = NOON - DAY
    for hour in range(-4, 1):
        made.run("trade", "scheduler", NOON + hour * HOUR, plan="every 60m")
    for number in range(runs):
        at = NOON + 2 * MINUTE + number * 5 * MINUTE
        made.run("trade", "backend", at, plan="every 5m")
        made.now = at + 6 * SECOND


def open_rows(made: World) -> list[tuple[str, str, int, str]]:
    return made.rows("select kind, job, runs, state from misfire order by id")


def test_the_second_unexpected_run_is_a_misfire_and_the_first_is_none(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        two_schedulers(made, 1)
        made.step()
        assert (open_rows(made), made.told) == ([], 0)

        second = NOON + 7 * MINUTE
        made.run("trade", "backend", second, plan="every 5m")
        made.step(second + 6 * SECOND)

        assert open_rows(made) == [("misfire", "trade", 2, "open")]
        (alert,) = [one for one in due_alerts(made.store) if one.kind == "misfire"]
        assert alert.title == "costmon: trade runs every 5m, planned every 60m"
        assert "2 runs nobody planned since 12:02, by backend (app bot)." in alert.body
        assert "The plan, every 60m, is what scheduler announces." in alert.body
        # every 5 minutes from 12:07 on: 142 runs until midnight, and 12 days of 288 more
        assert (
            f"They cost $0.0024 so far; if nothing changes ${142 * 0.0012:.4f} more until tonight"
            in alert.body
        )
        assert f"${(142 + 12 * 288) * 0.0012:.2f} until the month ends" in alert.body
        assert alert.body.endswith(
            'To stop it: costmon kill job=trade. If it is meant: [jobs.trade] every = "5m" in config.toml'
        )
        assert made.told == 1


def test_it_is_told_once_and_once_more_a_day_while_it_goes_on(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        two_schedulers(made, 12)
        made.step()
        first = [one.tag for one in due_alerts(made.store) if one.kind == "misfire"]
        next_noon = NOON + DAY + 10 * MINUTE
        for at in range(NOON + 62 * MINUTE, next_noon, 5 * MINUTE):
            made.run("trade", "backend", at, plan="every 5m")
        for hour in range(1, 25):
            made.run("trade", "scheduler", NOON + hour * HOUR, plan="every 60m")
        made.step(next_noon)
        second = [one.tag for one in due_alerts(made.store) if one.kind == "misfire"]

        assert len(first) == len(second) == 1
        assert first != second
        assert [one.tag for one in due_alerts(made.store) if one.kind == "misfire"] == second
        assert open_rows(made) == [("misfire", "trade", 288 + 2, "open")]


def test_it_is_over_when_the_runs_stop_and_its_cost_stays_on_record(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        two_schedulers(made, 4)
        made.step()
        made.write("update announcement set ended_at = ? where owner = 'backend'", made.now)
        made.run("trade", "scheduler", NOON + HOUR, plan="every 60m")
        made.step(NOON + HOUR + 10 * MINUTE)

        assert open_rows(made) == [("misfire", "trade", 4, "over")]
        (evidence,) = made.rows("select evidence from misfire")[0]
        assert json.loads(evidence)["cost"] == 4 * 1_200_000
        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert job.level != "bad"
        assert "(over now)" in job.findings[0]


def test_what_a_call_without_a_price_cost_is_unknown_not_nothing(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        two_schedulers(made, 1)
        made.run("trade", "backend", NOON + 7 * MINUTE, plan="every 5m", cost=None)
        made.step(NOON + 7 * MINUTE + 6 * SECOND)

        (alert,) = [one for one in due_alerts(made.store) if one.kind == "misfire"]
        assert "What they cost is unknown: their calls have no price." in alert.body
        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert job.today is None
        assert job.tonight is None
        assert "what 1 of its runs cost is unknown" in job.findings


def test_a_job_that_two_apps_call_alike_names_both_and_how_to_tell_them_apart(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        for minutes in range(-60, 1, 10):
            made.run("sync", "pid 1 of app on c1", NOON + minutes * MINUTE, app="trader", plan="every 10m")
        for minutes in range(-36, 1, 10):
            at = NOON + minutes * MINUTE
            made.run("sync", "pid 1 of app on c2", at, app="crawler", plan="every 10m")
        made.step(NOON + 20 * SECOND)

        (alert,) = [one for one in due_alerts(made.store) if one.kind == "misfire"]
        assert alert.title == "costmon: sync runs twice: in trader and in crawler"
        assert "by pid 1 of app on c2 (app crawler)." in alert.body
        assert "The plan, every 10m, is what pid 1 of app on c1 announces." in alert.body
        assert alert.body.endswith(
            'If these are two jobs: [jobs."crawler/sync"] every = "10m" in config.toml'
        )
        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert job.findings[0].startswith(
            "doubled: 4 runs nobody planned by pid 1 of app on c2 (app crawler)"
            " beside pid 1 of app on c1 (app trader), planned every 10m"
        )
        assert job.findings[1].startswith("If these are two jobs: ")


def test_a_plan_that_was_accepted_since_is_not_what_its_misfire_was_judged_against(
    costmon_home: Path,
) -> None:
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        for minutes in range(-180, -60, 20):
            made.run("trade", "old", NOON + minutes * MINUTE, plan="every 20m")
        made.write("update announcement set ended_at = ?", NOON - 79 * MINUTE)
        for minutes in range(-70, 1, 10):
            made.run("trade", "new", NOON + minutes * MINUTE, plan="every 10m")
            made.step(NOON + minutes * MINUTE + 6 * SECOND)

        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert job.plan == "every 10m"
        assert "every 10m where every 20m is planned" in job.findings[0]
        (evidence,) = made.rows("select evidence from misfire")[0]
        assert json.loads(evidence)["plan"] == "every 20m"


def test_what_costmon_refused_is_not_what_a_run_costs(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        two_schedulers(made, 3)
        for number in range(3, 12):
            at = NOON + 2 * MINUTE + number * 5 * MINUTE
            made.run("trade", "backend", at, plan="every 5m", outcome="refused", cost=0)
        made.step(NOON + 58 * MINUTE)

        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert job.outcome == "refused"
        assert job.failures == 0
        assert job.median is not None
        assert job.median.nano == RUN_NANO
        (evidence,) = made.rows("select evidence from misfire")[0]
        # every 5 minutes from 13:02 on until midnight
        assert json.loads(evidence)["tonight"] == 132 * RUN_NANO


def test_a_job_the_config_silences_is_shown_and_not_told(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        silent = {"name": "trade", "every_us": HOUR, "cron": "", "zone": "", "alert": False}
        made.configure(jobs=[silent])
        two_schedulers(made, 3)
        made.step()

        assert open_rows(made) == [("misfire", "trade", 3, "open")]
        assert [one for one in due_alerts(made.store) if one.kind == "misfire"] == []


def test_a_job_that_does_not_run_is_told_and_is_over_when_it_runs(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        made.announce("trade", "every 60m", "scheduler", at=NOON - 4 * HOUR, next_run_at=NOON + HOUR)
        for hour in range(-4, 1):
            made.run("trade", owner(), NOON + hour * HOUR, plan="every 60m")
        for minutes in range(0, 100, 10):
            made.step(NOON + minutes * MINUTE)

        assert [row[:2] for row in open_rows(made)] == [("missed", "trade")]
        (alert,) = [one for one in due_alerts(made.store) if one.kind == "missed"]
        assert alert.title == "costmon: trade has not run since 12:00, planned every 60m"

        made.run("trade", owner(), made.now, plan="every 60m")
        made.step(made.now + MINUTE)
        assert [row[3] for row in open_rows(made)] == ["over"]
        assert [one for one in due_alerts(made.store) if one.kind == "missed"] == []


def test_one_apps_job_is_split_off_by_its_name_in_the_config(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.configure(
            jobs=[{"name": "backend/trade", "every_us": 5 * MINUTE, "cron": "", "zone": "", "alert": True}]
        )
        made.watched = NOON - DAY
        for app, every in (("backend", 5), ("scheduler", 60)):
            for minutes in range(-120, 1, every):
                made.run("trade", app, NOON + minutes * MINUTE, app=app, plan=f"every {every}m")
        made.step(NOON + MINUTE)

        jobs = {job.name: job for job in schedule(made.store.db, made.judging, made.now, watching=True).jobs}
        assert {name: job.level for name, job in jobs.items()} == {"backend/trade": "ok", "trade": "ok"}
        assert open_rows(made) == []


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (301_115_520, "5m"),
        (3_599_000_000, "60m"),
        (59_700_000, "60s"),
        (1_400_000, "1.4s"),
        (615_000_000, "10m"),
        (90_000_000, "90s"),
        (7_260_000_000, "2h"),
        (5_400_000_000, "90m"),
    ],
)
def test_a_measured_rhythm_reads_like_a_plan(us: int, text: str) -> None:
    assert misfires.rough(us) in (text, {"60m": "60m", "60s": "1m"}.get(text, text))
