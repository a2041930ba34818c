"""The plans compose files announce."""

from __future__ import annotations

from costmon.sources.schedules.composed import read
from tests.sources.compose.kit import incident, write


def plans(path) -> list[tuple[str, str, str]]:
    return [(plan.job, plan.app, plan.plan) for plan in read(str(path)).planned]


def test_both_services_of_the_incident_announce_the_scheduler(tmp_path):
    found = read(str(incident(tmp_path)))
    assert found.problems == ()
    assert [(plan.job, plan.app, plan.plan, plan.source) for plan in found.planned] == [
        ("scheduler", "api", "every 5m", "compose"),
        ("scheduler", "worker", "every 60m", "compose"),
    ]
    assert found.planned[0].who == f"{tmp_path}/docker-compose.yml:20 (api)"
    assert len({plan.owner for plan in found.planned}) == 2
    assert found.planned[1].command == "python -m trading.worker"


def test_the_fixed_file_announces_one_and_its_env_brings_the_other_back(tmp_path):
    assert plans(incident(tmp_path, fixed=True)) == [("scheduler", "worker", "every 60m")]
    incident(tmp_path, fixed=True, doubled=True)
    assert plans(tmp_path) == [("scheduler", "api", "every 60m"), ("scheduler", "worker", "every 60m")]


def test_who_does_not_run_plans_nothing(tmp_path):
    text = """
        services:
          off: {image: a, environment: {CRAWL_EVERY: 5m}, profiles: [night]}
          none: {image: a, environment: {CRAWL_EVERY: 5m}, scale: 0}
          switched: {image: a, environment: {CRAWL_EVERY: 5m, DISABLE_SCHEDULER: 1}}
          on: {image: a, environment: {CRAWL_EVERY: 5m, DISABLE_SCHEDULER: 0}}
    """
    write(tmp_path, {"compose.yml": text})
    assert plans(tmp_path) == [("crawl", "on", "every 5m")]


def test_names_zones_and_notes(tmp_path):
    text = """
        services:
          a: {image: a, environment: {COSTMON_APP: shop, REPORT_CRON: 0 9 * * *, TZ: Asia/Seoul}, deploy: {replicas: 2}}
          b: {image: a, environment: {INTERVAL_MINUTES: 10}}
          c: {image: a, environment: {SYNC_INTERVAL: 10}}
          d: {image: a, environment: {SYNC_INTERVAL_MINUTES: "${FROM_SHELL}"}}
    """
    write(tmp_path, {"compose.yml": text})
    a, b, c, d = read(str(tmp_path)).planned
    assert (a.job, a.app, a.plan, a.zone) == ("report", "shop", "cron 0 9 * * *", "Asia/Seoul")
    assert "2 containers" in a.note
    assert (b.job, b.app, b.plan, b.zone, b.note) == ("b", "b", "every 10m", "", "")
    assert (c.plan, "without a unit" in c.note) == ("", True)
    assert (d.plan, "FROM_SHELL from the shell" in d.note) == ("", True)


def test_of_a_folder_only_what_compose_would_start_is_a_plan(tmp_path):
    incident(tmp_path)
    write(tmp_path, {"docker-compose.dev.yml": "services: {dev: {image: a, environment: {CRAWL_EVERY: 1m}}}"})
    assert [job for job, _, _ in plans(tmp_path)] == ["scheduler", "scheduler"]
    assert plans(tmp_path / "docker-compose.dev.yml") == [("crawl", "dev", "every 1m")]


def test_what_cannot_be_read_is_said_and_the_rest_is_planned(tmp_path):
    write(
        tmp_path,
        {
            "a/compose.yml": "services: [",
            "b/compose.yml": "services: {b: {image: b, environment: {X_EVERY: 5m}}}",
        },
    )
    found = read(str(tmp_path))
    assert [plan.job for plan in found.planned] == ["x"]
    assert [(problem.line, "a/compose.yml" in problem.sentence) for problem in found.problems] == [(1, True)]
