"""Plans that others tell than the apps: what is nobody's business, what has vanished, what could not be read."""

from __future__ import annotations

from pathlib import Path

from costmon.config.schedules import JobsInForce
from costmon.config.values import Job
from costmon.monitor.schedule import announced
from costmon.monitor.schedule.shown import schedule
from costmon.sources.schedules.values import Found, Planned, Problem
from tests.monitor.schedule.kit import HOUR, NOON, world


def planned(job: str, source: str = "crontab", **more: str) -> Planned:
    told = {"app": job, "owner": "/etc/crontab", "who": "/etc/crontab:3", "plan": "cron 0 * * * *"} | more
    return Planned(job=job, source=source, **told)  # type: ignore[arg-type]


def test_of_a_hosts_schedulers_only_what_spends_or_is_named_is_kept() -> None:
    config = JobsInForce((Job("report"), Job("shop/backup")))
    told = [
        planned("certbot", command="certbot renew"),
        planned("trade", app="trader"),
        planned("report", app="python"),
        planned("x", app="y", command="/usr/bin/costmon run -- python y.py"),
        planned("z", app="z", command="COSTMON_APP=z python z.py"),
        planned("logrotate", source="systemd", command="my-costmonitor"),
        planned("anything", source="compose"),
    ]

    kept = announced.ours(told, config, frozenset({"trader"}))

    assert [one.job for one in kept] == ["trade", "report", "x", "z", "anything"]


def test_an_entry_that_vanished_is_ended_and_one_that_comes_back_begins_anew(costmon_home: Path) -> None:
    with world(costmon_home) as made:
        db = made.store.db

        def put(*told: Planned, at: int, sources: frozenset[str] = frozenset({"crontab"})) -> bool:
            db.execute("begin immediate")
            changed = announced.put(db, told, sources, at)
            db.execute("commit")
            return changed

        def rows() -> list[tuple[object, ...]]:
            return made.rows(
                "select job, first_at - ?, ended_at - ? from announcement order by job", NOON, NOON
            )

        assert put(planned("a"), planned("b"), at=NOON)
        assert not put(planned("a"), planned("b"), at=NOON + 1)
        assert put(planned("a"), at=NOON + 2)
        assert rows() == [("a", 0, None), ("b", 0, 2)]
        assert put(planned("a"), planned("b"), at=NOON + 3)
        assert rows() == [("a", 0, None), ("b", 3, None)]
        assert not put(at=NOON + 4, sources=frozenset({"systemd"}))  # the crontab could not be read
        assert rows() == [("a", 0, None), ("b", 3, None)]


def test_a_source_that_breaks_is_said_and_ends_nothing() -> None:
    def breaks() -> Found:
        raise RuntimeError("secret")

    read = announced.read_all(
        {
            "crontab": breaks,
            "compose": lambda: Found((planned("a", "compose"),), (Problem("f", 3, "f, line 3: odd"),)),
        }
    )

    assert read.sources == {"compose"}
    assert [one.sentence for one in read.problems] == [
        "crontab could not be read (RuntimeError)",
        "f, line 3: odd",
    ]


def test_a_compose_file_of_the_config_announces_its_plan_and_its_faults_are_problems(
    costmon_home: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "docker-compose.yml", tmp_path / "broken" / "docker-compose.yml"
    bad.parent.mkdir()
    good.write_text(
        "services:\n  backend:\n    image: x\n    environment:\n      TRADE_INTERVAL_MINUTES: 5\n"
    )
    bad.write_text("services: [\n")
    with world(costmon_home) as made:
        made.configure(schedules={"compose": [str(good), str(bad)]})
        made.step(NOON)

        shown = schedule(made.store.db, made.judging, made.now, watching=True)
        assert [(one.source, one.plan) for job in shown.jobs for one in job.announced] == [
            ("compose", "every 5m")
        ]
        assert any(str(bad) in problem for problem in shown.problems)

        good.write_text("services: {}\n")
        made.step(NOON + HOUR)
        assert made.rows("select plan, ended_at - ? from announcement", NOON) == [("every 5m", HOUR)]
