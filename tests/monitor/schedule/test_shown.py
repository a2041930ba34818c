"""What is shown of a job of which not everything is known: nothing invented, and nothing that reads as nothing."""

from __future__ import annotations

from pathlib import Path

from costmon.monitor.schedule.shown import schedule
from costmon.monitor.schedule.values import ScheduledJob
from tests.monitor.schedule.kit import DAY, HOUR, MINUTE, NOON, RUN_NANO, SECOND, World, world

LOG = "log scheduler_log.txt"


def shown(made: World, name: str = "trade") -> ScheduledJob:
    found = schedule(made.store.db, made.judging, made.now, watching=True, patient=False).jobs
    return next(job for job in found if job.name == name)


def in_minutes(job: ScheduledJob) -> float | None:
    """From noon until its next run."""
    return (job.next_run.timestamp() * SECOND - NOON) / MINUTE if job.next_run is not None else None


def test_a_job_store_tells_the_next_run_of_a_plan_nobody_can_read(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        for minutes, store in ((-5, "past.sqlite"), (90, "late.sqlite"), (7, "jobs.sqlite")):
            at = NOON + minutes * MINUTE
            made.announce("trade", "", store, NOON - HOUR, source="apscheduler-store", app="", next_run_at=at)
        made.now = NOON

        job = shown(made)
        assert (in_minutes(job), job.next_who) == (7, "jobs.sqlite")
        assert job.today is not None
        assert job.today.nano == 0
        assert (job.tonight, job.this_week, job.this_month) == (None, None, None)

        made.write("update announcement set next_run_at = ?", NOON - MINUTE)  # its scheduler was stopped
        job = shown(made)
        assert (job.next_run, job.tonight) == (None, None)


def test_runs_that_only_a_log_tells_of_cost_what_nobody_knows(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        made.announce("trade", "every 60m", "log", NOON - 5 * HOUR, source="log", who=LOG)
        for hour in range(-4, 1):
            made.run("trade", "log", NOON + hour * HOUR, source="log", who=LOG)
        made.write("delete from rollup_run")
        made.now = NOON + MINUTE
        job = shown(made)
        assert (job.median, job.today, job.tonight) == (None, None, None)

        made.write(
            "insert into rollup_day (day_at, provider, model, app, route, job, currency, calls, errors, input_tokens,"
            " output_tokens, cost, unpriced, estimated)"
            " values (?, 'openai', 'm', 'bot', '', '', 'USD', 1, 0, 0, 0, 5, 0, 0)",
            NOON - NOON % DAY,
        )
        made.now = NOON + 2 * MINUTE
        job = shown(made)
        assert job.today is not None
        assert job.today.nano == 0


def test_an_interval_that_only_a_file_asks_for_has_no_next_run_yet(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        made.configure(jobs=[{"name": "bare", "every_us": HOUR, "cron": "", "zone": "", "alert": True}])
        made.announce("trade", "every 60m", "compose.yml", NOON - HOUR, source="compose", app="")
        made.announce("other", "every 60m", "a", NOON - HOUR, next_run_at=NOON + 50 * MINUTE)
        made.now = NOON

        for name in ("bare", "trade"):
            job = shown(made, name)
            assert (job.next_run, job.next_who, job.upcoming) == (None, "", ())
            assert job.tonight is None


def test_who_runs_it_next_is_who_says_that_time(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        for minutes in range(-60, 1, 10):
            made.run("trade", "a", NOON + minutes * MINUTE, plan="every 10m")
        made.announce(
            "trade", "", "far.sqlite", NOON, source="apscheduler-store", next_run_at=NOON + 30 * DAY
        )
        made.now = NOON + MINUTE
        assert (in_minutes(shown(made)), shown(made).next_who) == (10, "")

        made.announce("trade", "every 10m", "a", NOON, next_run_at=NOON + 10 * MINUTE)
        made.now = NOON + 2 * MINUTE
        assert shown(made).next_who == "a"


def test_a_job_slower_than_its_plan_is_projected_as_it_runs(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        for minutes in range(-180, 0, 15):
            at = NOON + minutes * MINUTE
            made.run("trade", "a", at, plan="every 10m", ended_at=at + 14 * MINUTE)
        made.now = NOON - SECOND

        tonight = shown(made).tonight
        assert tonight is not None
        assert abs(tonight.nano // RUN_NANO - 4 * 12) <= 1


def test_a_container_that_is_gone_contradicts_nobody(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.write("insert into watch_span (start_at, end_at) values (?, ?)", NOON - DAY, NOON)
        for number in range(4):
            made.announce("trade", "every 30m", f"c{number}", NOON - (9 - number) * HOUR)
        for minutes in range(-300, 1, 60):
            made.run("trade", "new", NOON + minutes * MINUTE, plan="every 60m")
        made.now = NOON + MINUTE

        job = shown(made)
        assert [one for one in job.findings if "says" in one] == []
        assert len(job.announced) == 5
