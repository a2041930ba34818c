"""Runs nobody wrote down: processes of a crontab, bursts of calls, and what is never read twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from costmon.monitor.schedule import recognise
from costmon.monitor.schedule.shown import schedule
from costmon.shim.events import new_id
from tests.monitor.schedule.kit import DAY, HOUR, MINUTE, NOON, RUN_NANO, SECOND, World, world


def call(
    made: World, at: int, run: str, *, app: str = "bot", job: str = "", cost: int | None = RUN_NANO
) -> None:
    made.write(
        """insert into event (id, created_at, local_day_at, machine, source, app, job, api, provider, model, state,
               outcome, cost_status, cost, currency, run_id)
           values (?, ?, ?, 'm', 'shim', ?, ?, 'chat', 'openai', 'gpt-4o-mini', 'settled', 'ok', 'priced', ?, 'USD', ?)""",
        *(new_id(at), at, at - at % DAY, app, job, cost, run),
    )


def process(made: World, at: int, *, app: str = "bot", ended_at: int | None = None) -> str:
    run = f"p{new_id(at)}"
    made.write(
        "insert into process (id, app, owner, who, first_at, ended_at) values (?, ?, ?, ?, ?, ?)",
        *(run, app, f"here:{run}", f"pid 1 of {app}", at, ended_at),
    )
    return run


def runs(made: World, source: str) -> list[Any]:
    return made.rows(
        "select r.app, r.job, r.outcome, coalesce(s.calls, 0), coalesce(s.cost, 0) from job_run r"
        " left join rollup_run s on s.run_id = r.id where source = ? order by started_at",
        source,
    )


def test_each_process_of_a_crontab_job_is_one_run_with_its_calls(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.configure(schedules={"crontab": False})
        made.announce("report", "cron 0 * * * *", "/etc/crontab", NOON - DAY, app="report", source="crontab")
        for hour in (3, 2, 1):
            at = NOON - hour * HOUR
            run = process(made, at, app="report", ended_at=at + 30 * SECOND)
            call(made, at, run, app="report")
            call(made, at + 9 * SECOND, run, app="report")
        other = process(made, NOON - HOUR, app="chatbot")
        call(made, NOON - HOUR, other, app="chatbot")
        made.configure(schedules={"crontab": True})
        made.step(NOON + 5 * MINUTE)
        made.step()

        assert runs(made, "process") == [("report", "report", "ok", 2, 2 * RUN_NANO)] * 3
        assert [row[0] for row in runs(made, "rhythm")] == ["chatbot"]


def test_a_process_without_an_app_of_that_name_is_known_by_the_label_of_its_calls(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        made.announce("report", "cron 0 * * * *", "/etc/crontab", NOON - DAY, app="", source="compose")
        made.write("update announcement set source = 'systemd'")
        run = process(made, NOON - HOUR, app="python", ended_at=NOON - HOUR + SECOND)
        call(made, NOON - HOUR, run, app="python", job="report")
        hosts = recognise.HostJobs({}, frozenset({"report"}))
        found = recognise.Recogniser()
        assert found.step(made.store.db, hosts, NOON)
        assert found.step(made.store.db, hosts, NOON)

        assert runs(made, "process") == [("python", "report", "ok", 1, RUN_NANO)]


def test_calls_in_bursts_every_ten_minutes_are_a_rhythm_nobody_has_confirmed(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        run = process(made, NOON - 3 * HOUR)
        for number in range(16):
            at = NOON - 160 * MINUTE + number * 10 * MINUTE
            for second in (0, 4, 30):
                call(made, at + second * SECOND, run)
        made.watched = NOON - DAY
        made.step(NOON)
        made.step()

        assert runs(made, "rhythm") == [("bot", "bot", "ok", 3, 3 * RUN_NANO)] * 16
        (job,) = schedule(made.store.db, made.judging, made.now, watching=True).jobs
        assert (job.name, job.level, job.rhythm and job.rhythm.total_seconds()) == ("bot", "unconfirmed", 600)
        assert made.rows("select * from misfire") == []


def test_calls_are_read_once_also_by_the_next_engine(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        run = process(made, NOON - 3 * HOUR)
        hosts = recognise.HostJobs({}, frozenset())
        for second in range(0, 200, 40):
            call(made, NOON - HOUR + second * SECOND, run)
            recognise.Recogniser().step(made.store.db, hosts, NOON)

        assert runs(made, "rhythm") == [("bot", "bot", "ok", 5, 5 * RUN_NANO)]
        assert recognise.Recogniser().step(made.store.db, hosts, NOON) is False


def test_calls_of_a_jobs_own_runs_are_no_rhythm(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        run = made.run("trade", "scheduler", NOON - HOUR)
        call(made, NOON - HOUR, run, job="trade")
        made.step(NOON)

        assert runs(made, "rhythm") == []


def test_a_busy_app_keeps_so_many_bursts_and_no_more(costmon_home: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(recognise, "KEPT_BURSTS", 5)
    with world(costmon_home) as made:
        run = process(made, NOON - 5 * HOUR)
        for number in range(9):
            call(made, NOON - 5 * HOUR + number * 5 * MINUTE, run)
        recognise.Recogniser().step(made.store.db, recognise.HostJobs({}, frozenset()), NOON)

        assert len(runs(made, "rhythm")) == 5
        assert made.rows("select count(*) from rollup_run") == [(5,)]
