"""Schedulers' own plans as plan texts: written as cron only where cron means the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from celery import Celery, schedules
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from costmon.shim.jobs import apscheduler_plans, crons, zones
from costmon.shim.jobs import celery as celery_plans

SEOUL = ZoneInfo("Asia/Seoul")  # no clock change
START = datetime(2026, 11, 20, 12, 0, 30, tzinfo=SEOUL)


class Custom(IntervalTrigger):
    """An app's own trigger, whose text may hold anything."""

    def __str__(self) -> str:
        return "sk-secret"


class Tides(schedules.BaseSchedule):  # type: ignore[misc]
    """An app's own schedule of beat's."""


@pytest.mark.parametrize(
    ("trigger", "plan", "zone"),
    [
        (IntervalTrigger(minutes=5), "every 5m", ""),
        (IntervalTrigger(hours=1, start_date="2026-01-01", timezone="UTC"), "every 60m", ""),
        (IntervalTrigger(seconds=0.25), "every 0.25s", ""),
        (IntervalTrigger(minutes=5, jitter=10), "apscheduler interval[0:05:00] jitter 10s", "UTC"),
        (DateTrigger("2026-12-01 09:00:00", "Asia/Seoul"), "at 2026-12-01T00:00:00Z", ""),
        (CronTrigger(hour=9, timezone="Asia/Seoul"), "cron 0 9 * * *", "Asia/Seoul"),
        (CronTrigger(minute="*/5", timezone="UTC"), "cron */5 * * * *", "UTC"),
        # 5/15 is cron's 5-59/15
        (CronTrigger(minute="5-59/15", timezone="UTC"), "cron 5,20,35,50 * * * *", "UTC"),
        # APScheduler's 0 is Monday
        (CronTrigger(day_of_week="0", timezone="UTC"), "cron 0 0 * * 1", "UTC"),
        (CronTrigger(day_of_week="6", hour=3, timezone="UTC"), "cron 0 3 * * 0", "UTC"),
        (CronTrigger(day_of_week="mon-fri", hour="9-17", timezone="UTC"), "cron 0 9-17 * * 1-5", "UTC"),
        (CronTrigger.from_crontab("0 9 * * 1-5", "UTC"), "cron 0 9 * * 2-6", "UTC"),
        (CronTrigger(month="jan-mar", day=1, timezone="UTC"), "cron 0 0 1 1-3 *", "UTC"),
        (CronTrigger(hour=9, timezone=timezone(timedelta(hours=9))), "cron 0 9 * * *", "Etc/GMT-9"),
    ],
)
def test_a_trigger_as_a_plan(trigger: Any, plan: str, zone: str) -> None:
    """What people set in APScheduler, in costmon's words."""
    found, found_zone = apscheduler_plans.plan_of(trigger)
    assert found == plan
    assert found_zone == zone or not zone or plan.startswith("apscheduler")


@pytest.mark.parametrize(
    "trigger",
    [
        CronTrigger(second="*/10", timezone="UTC"),
        CronTrigger(second=30, minute="*", timezone="UTC"),
        CronTrigger(year=2030, timezone="UTC"),
        CronTrigger(week="*/2", day_of_week="mon", timezone="UTC"),
        CronTrigger(day="last", timezone="UTC"),
        CronTrigger(day="2nd mon", timezone="UTC"),
        CronTrigger(day="1-7", day_of_week="mon", timezone="UTC"),  # cron would mean "or"
        CronTrigger(hour=9, jitter=60, timezone="UTC"),
        CronTrigger(hour=9, start_date="2099-01-01", timezone="UTC"),
        CronTrigger(hour=9, timezone=timezone(timedelta(hours=5, minutes=30))),  # a zone without a name
        OrTrigger([CronTrigger(hour=9, timezone="UTC"), IntervalTrigger(hours=1, timezone="UTC")]),
    ],
)
def test_a_trigger_cron_cannot_say_is_not_called_cron(trigger: Any) -> None:
    """No plan at all is better than a wrong one."""
    plan, _ = apscheduler_plans.plan_of(trigger)
    assert plan.startswith("apscheduler ")
    assert len(plan) <= 200


def test_an_apps_own_trigger_is_named_only() -> None:
    """Its text is the app's business."""
    assert apscheduler_plans.plan_of(Custom(minutes=5))[0] == "apscheduler Custom"
    inner = OrTrigger([Custom(minutes=5)])
    assert apscheduler_plans.plan_of(inner)[0] == "apscheduler OrTrigger[Custom]"


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    """A field of APScheduler's cron: star, step, number, range, range with step, and lists of these."""
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    steps = st.integers(1, max(1, (high - low) // 2))
    one = st.one_of(
        st.just("*"),
        steps.map(lambda step: f"*/{step}"),
        number.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
    )
    return st.lists(one, min_size=1, max_size=3).map(",".join)


def fires(trigger: CronTrigger, count: int) -> Iterator[datetime]:
    moment = trigger.get_next_fire_time(None, START)
    while moment is not None and count:
        yield moment
        count -= 1
        moment = trigger.get_next_fire_time(moment, moment + timedelta(seconds=1))


@given(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), st.one_of(st.just("*"), fields(0, 6)))
def test_a_plan_called_cron_is_due_when_the_trigger_fires(
    minute: str, hour: str, day: str, month: str, weekday: str
) -> None:
    """Whatever fields: another program that reads the text comes to the same times."""
    trigger = CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone="Asia/Seoul"
    )
    plan, zone = apscheduler_plans.plan_of(trigger)
    assume(plan.startswith("cron "))
    assert zone == "Asia/Seoul"
    expected = list(fires(trigger, 12))
    found = list(islice(CronSim(plan.removeprefix("cron "), START), len(expected)))
    assert found == expected


@given(st.sets(st.integers(0, 59), min_size=1))
def test_a_field_is_the_set_it_was_made_of(values: set[int]) -> None:
    """Nothing is added or lost in spelling minutes."""
    field = crons.spell_field(values, crons.MINUTES)
    hours = {moment.minute for moment in islice(CronSim(f"{field} * * * *", START), len(values))}
    assert hours == values


def test_no_field_stands_for_nothing() -> None:
    """An empty or impossible set has no crontab."""
    assert crons.spell([], range(24), crons.DAYS, crons.MONTHS, crons.WEEKDAYS) == ""
    assert crons.spell([61], range(24), crons.DAYS, crons.MONTHS, crons.WEEKDAYS) == ""


@pytest.mark.parametrize(
    ("said", "plan", "zone"),
    [
        (schedules.schedule(300), "every 5m", ""),
        (schedules.schedule(timedelta(hours=1)), "every 60m", ""),
        (
            schedules.crontab(minute=30, hour="9-17", day_of_week="mon-fri"),
            "cron 30 9-17 * * 1-5",
            "Europe/Paris",
        ),
        (schedules.crontab(minute="*/15"), "cron */15 * * * *", "Europe/Paris"),
        (schedules.crontab(minute=0, hour=0, day_of_month=1), "cron 0 0 1 * *", "Europe/Paris"),
        (schedules.crontab(minute=0, hour=0, day_of_week="sun"), "cron 0 0 * * 0", "Europe/Paris"),
        (Tides(), "celery Tides", "Europe/Paris"),
    ],
)
def test_an_entry_of_beat_as_a_plan(said: Any, plan: str, zone: str) -> None:
    """What people set in Celery, in costmon's words."""
    app = Celery("plans", set_as_current=False)
    app.conf.timezone = "Europe/Paris"
    said.app = app
    assert celery_plans.plan_of(said) == (plan, zone)


def test_a_crontab_cron_would_read_otherwise_is_not_called_cron() -> None:
    """Celery wants the day of the month and of the week, cron one of them."""
    app = Celery("plans", set_as_current=False)
    said = schedules.crontab(minute=0, hour=0, day_of_month="1-7", day_of_week="mon", app=app)
    assert celery_plans.plan_of(said)[0].startswith("celery <crontab")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Asia/Seoul", "Asia/Seoul"), (":Europe/Paris", "Europe/Paris"), ("/usr/share/zoneinfo/UTC", "UTC"),
        ("EST5EDT,M3.2.0,M11.1.0", ""), ("../../etc/passwd", ""), ("<+09>-9", ""),
    ],
)  # fmt: skip
def test_the_zone_of_a_process(monkeypatch: pytest.MonkeyPatch, value: str, name: str) -> None:
    """TZ names it, unless it is a rule."""
    monkeypatch.setenv("TZ", value)
    assert zones.local_zone() == name


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (SEOUL, "Asia/Seoul"), (UTC, "UTC"), (timezone(timedelta(hours=-3)), "Etc/GMT+3"),
        (timezone(timedelta(minutes=330)), ""), (None, ""), ("Asia/Seoul", ""), (object(), ""),
    ],
)  # fmt: skip
def test_the_name_of_a_zone(zone: object, name: str) -> None:
    """Only what the time zone database knows by that name."""
    assert zones.zone_name(zone) == name
    if name:
        moment = datetime(2026, 11, 20, 12, tzinfo=ZoneInfo(name))
        assert moment.utcoffset() == moment.astimezone(zone).utcoffset()  # type: ignore[arg-type]


def test_times() -> None:
    """To the microsecond, and None for what is no time."""
    assert zones.instant_us(datetime(1970, 1, 1, 9, 0, 1, 5, tzinfo=SEOUL)) == 1_000_005
    assert zones.instant_us("soon") is None
    assert zones.at_text(datetime(2026, 12, 1, 9, 0, 0, 250, tzinfo=UTC)) == "at 2026-12-01T09:00:00.000250Z"
    assert zones.at_text(None) == ""
