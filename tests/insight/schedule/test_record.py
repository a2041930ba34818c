"""Which plan a job is held to: the config's, else the longest anybody announces, else the floor."""

from __future__ import annotations

from costmon.config.values import Job
from costmon.insight.schedule.record import eras, plan_of_record, said
from costmon.insight.schedule.values import ANNOUNCED, CONFIG, FLOOR, Announcement

from .makers import DAY, HOUR, MINUTE, SECOND, START, announcement

A, B = "boot:1:100:100", "boot:1:200:200"


def plan(
    *announcements: Announcement, now: int = MINUTE, config: Job | None = None, **alive: bool
) -> tuple[str, str]:
    known: dict[str, bool | None] = {"boot:1:100:100": alive.get("a"), "boot:1:200:200": alive.get("b")}
    found = plan_of_record("trade", config, announcements, HOUR, "UTC", now=START + now, alive=known)
    return found.plan, found.said_by


def test_the_config_comes_first() -> None:
    assert plan(announcement("every 5m"), config=Job("trade", every_us=HOUR)) == ("every 60m", CONFIG)
    assert plan(announcement("every 5m"), config=Job("trade", cron="0 * * * *", zone="UTC")) == (
        "cron 0 * * * *",
        CONFIG,
    )
    assert plan(announcement("every 5m"), config=Job("trade")) == ("", CONFIG)


def test_then_the_longest_plan_and_who_announces_it() -> None:
    both = (announcement("every 5m", A), announcement("every 60m", B))
    assert plan(*both) == plan(*both[::-1]) == ("every 60m", ANNOUNCED)
    found = plan_of_record("trade", None, both, HOUR, "Asia/Seoul")
    assert (found.who, found.zone) == ("pid 200 of trader", "Asia/Seoul")
    crons = (announcement("cron */10 * * * *", A, zone="Europe/Berlin"), announcement("every 5m", B))
    assert plan(*crons) == ("cron */10 * * * *", ANNOUNCED)


def test_then_the_floor_where_nobody_announces_a_plan_anybody_can_read() -> None:
    assert (
        plan() == plan(announcement("")) == plan(announcement("every now and then")) == ("every 60m", FLOOR)
    )
    assert plan_of_record("trade", None, (), 0, "UTC").plan == ""


def test_a_plan_holds_two_periods_after_its_process_left() -> None:
    left = announcement("every 60m", A, ended_at=START + HOUR)
    shorter = announcement("every 5m", B, START + HOUR)
    assert plan(left, shorter, now=2 * HOUR, b=True) == ("every 60m", ANNOUNCED)
    assert plan(left, shorter, now=4 * HOUR, b=True) == ("every 5m", ANNOUNCED)
    assert plan(left, now=4 * HOUR) == ("every 60m", FLOOR)


def test_a_plan_of_a_process_nobody_hears_of_gives_way_to_one_that_is_alive() -> None:
    silent = announcement("every 60m", A, seen_at=START)
    assert plan(silent, announcement("every 5m", B), now=4 * HOUR, b=True) == ("every 5m", ANNOUNCED)
    assert plan(silent, announcement("every 5m", B), now=4 * HOUR, a=True, b=True) == ("every 60m", ANNOUNCED)
    assert plan(silent, now=4 * HOUR) == ("every 60m", ANNOUNCED), "it may have crashed, and is waited for"
    assert plan(silent, now=8 * DAY) == ("every 60m", FLOOR)


def test_what_a_file_says_holds_exactly_while_it_says_so() -> None:
    line = announcement(
        "cron 0 3 * * *", "/etc/crontab", source="crontab", seen_at=START, ended_at=START + 2 * DAY
    )
    assert plan(line, now=2 * DAY) == ("cron 0 3 * * *", ANNOUNCED)
    assert plan(line, now=2 * DAY + SECOND) == ("every 60m", FLOOR)


def test_a_plan_that_was_changed_on_purpose_does_not_judge_what_ran_before() -> None:
    before = announcement("every 5m", A, seen_at=START + DAY, ended_at=START + DAY)
    after = announcement("every 60m", B, START + DAY + MINUTE)
    found = eras(said((before, after), {B: True}, "UTC"))
    assert [(era.plan.every_us, era.start) for era in found] == [
        (5 * MINUTE, START),
        (HOUR, START + DAY + MINUTE),
    ]


def test_two_plans_that_begin_together_are_held_to_the_longer_from_the_first_moment() -> None:
    first, second = announcement("every 5m", A), announcement("every 60m", B, START + 3 * SECOND)
    found = eras(said((first, second), {A: True, B: True}, "UTC"))
    assert (found[0].start, found[0].plan.every_us) == (START, HOUR)


def test_a_run_planned_once_never_stands_above_a_plan_that_repeats() -> None:
    once = announcement("at 2026-12-01T09:00:00Z", A)
    assert plan(once, announcement("every 60m", B))[0] == "every 60m"
    assert plan(once)[0] == "at 2026-12-01T09:00:00Z"
