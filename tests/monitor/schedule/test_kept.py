"""How long runs and announcements are kept, what a lost process leaves behind, and that many jobs are cheap to show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from costmon.cli.doctor import _schedules
from costmon.monitor.schedule import judging
from costmon.monitor.schedule.judging import Judging
from costmon.monitor.schedule.shown import schedule
from costmon.shim.owner import owner
from costmon.store.retention import Cutoffs, prune_schedules
from tests.monitor.schedule.kit import DAY, HOUR, MINUTE, NOON, SECOND, World, world

FAR = "0-1:2-3:999999:1"
"""A process of another machine."""
DEAD = ":".join([*owner().split(":")[:-2], "4194303", "1"])
"""One of this machine that was killed."""


def names(made: World) -> list[str]:
    return [
        row[0] for row in made.rows("select job || ' ' || ((? - started_at) / ?) from job_run", NOON, DAY)
    ]


def test_runs_go_with_the_events_of_their_time_but_the_last_of_each_job(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        for days in (200, 100, 80, 1):
            made.run("trade", "a", NOON - days * DAY)
        for days in (400, 300):
            made.run("yearly", "a", NOON - days * DAY)
        made.announce("trade", "every 60m", "old", NOON - 99 * DAY)
        made.write("update announcement set ended_at = ?", NOON - 40 * DAY)
        made.announce("trade", "every 60m", "new", NOON - 99 * DAY)
        db = made.store.db
        db.execute("begin immediate")
        more = prune_schedules(db, Cutoffs(NOON - 90 * DAY, NOON - 365 * DAY), NOON)
        db.execute("commit")

        assert not more
        assert sorted(names(made)) == ["trade 1", "trade 80", "yearly 300"]
        assert made.rows("select count(*) from rollup_run") == [(3,)]
        assert made.rows("select owner from announcement") == [("new",)]


def test_a_run_whose_process_was_killed_is_unknown_and_one_far_away_after_a_day(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.run("trade", DEAD, NOON - MINUTE, outcome="running", ended_at=None)
        made.run("trade", owner(), NOON - 30 * HOUR, outcome="running", ended_at=None)
        made.run("far", FAR, NOON - 29 * HOUR, outcome="running", ended_at=None)
        made.run("near", FAR, NOON - 3 * HOUR, outcome="running", ended_at=None)
        made.step(NOON)

        assert made.rows("select job, outcome, owner = ? from job_run order by started_at", DEAD) == [
            ("trade", "running", 0),  # a long one of a process that lives
            ("far", "unknown", 0),
            ("near", "running", 0),
            ("trade", "unknown", 1),
        ]


def test_a_scheduler_that_was_killed_is_missed_until_another_takes_over(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        for hour in range(-4, 1):
            made.run("trade", DEAD, NOON + hour * HOUR, plan="every 60m")
        made.step(NOON + MINUTE)
        assert made.rows("select kind, state from misfire") == []
        made.step(NOON + 150 * MINUTE)
        assert made.rows("select kind, state from misfire") == [("missed", "open")]

        made.run("trade", owner(), NOON + 151 * MINUTE, plan="every 60m")
        made.step(NOON + 152 * MINUTE)
        assert made.rows("select kind, state from misfire") == [("missed", "over")]
        assert made.rows("select owner from announcement where ended_at is not null") == [(DEAD,)]


def test_what_nobody_has_heard_of_for_a_month_is_announced_no_more(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        for name, process in (("far", FAR), ("here", owner())):
            made.announce(name, "every 60m", process, NOON - 40 * DAY)
            made.announce(name, "every 60m", f"{process}0", NOON - 3 * DAY)
        made.step(NOON)

        assert made.rows("select job, owner = ? from announcement where ended_at is not null", FAR) == [
            ("far", 1)
        ]


def test_doctor_says_what_could_not_be_read_and_since_when_nobody_watches(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.run("trade", "a", NOON, plan="every 60m")
        made.configure(schedules={"compose": [str(costmon_home / "missing.yml")]})
        made.step(NOON)
        assert any(
            str(costmon_home / "missing.yml") in found.text
            for found in _schedules()
            if found.state == "wrong"
        )
        assert _schedules()[-1].text.startswith("1 job announced; nobody has watched for ")


def test_a_job_that_cannot_be_judged_hides_no_other(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judging.watch
    fired = []

    def watch(job: str, *facts: Any, **more: Any) -> Any:
        if job == "odd":
            fired.append(job)
            raise ValueError("odd")
        return judge(job, *facts, **more)

    monkeypatch.setattr(judging, "watch", watch)
    with world(costmon_home) as made:
        for job in ("odd", "trade"):
            made.run(job, "a", NOON - MINUTE, plan="every 60m")
        made.step(NOON)

        shown = schedule(made.store.db, made.judging, NOON, watching=True)
        assert [job.name for job in shown.jobs] == ["trade"]
        assert shown.problems == ("job odd cannot be judged (ValueError)",)
        assert fired


@pytest.mark.slow
def test_two_hundred_jobs_of_eight_days_are_shown_in_no_time(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        db = made.store.db
        db.execute("begin immediate")
        for number in range(200):
            for hour in range(8 * 24):
                at = NOON - 8 * DAY + hour * HOUR + number * SECOND
                db.execute(
                    "insert into job_run (id, app, job, source, owner, who, plan, started_at, ended_at, outcome)"
                    " values (?, 'bot', ?, 'app', 'o', 'o', 'every 60m', ?, ?, 'ok')",
                    (f"0{at:018d}{number:03d}", f"job{number}", at, at + SECOND),
                )
            db.execute(
                "insert into announcement (job, app, source, owner, plan, first_at, seen_at)"
                " values (?, 'bot', 'app', 'o', 'every 60m', ?, ?)",
                (f"job{number}", NOON - 9 * DAY, NOON - HOUR),
            )
        db.execute("commit")
        kept = Judging()
        assert len(schedule(db, kept, NOON, watching=True, patient=False).jobs) == 200

        def warm() -> float:
            began = time.perf_counter()
            schedule(db, kept, NOON, watching=True, patient=False)
            return time.perf_counter() - began

        assert min(warm() for _ in range(5)) < 0.15
