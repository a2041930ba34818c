"""Plans: what a text means, when it is due, how often, and which of several is the longest."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.schedule.plans import (
    Gaps,
    Plan,
    gaps,
    latest_until,
    longest,
    longest_gap,
    more_often,
    next_after,
    occurrences,
    parse,
    period_us,
    spelled,
)

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _plan(text: str, zone: str = "") -> Plan:
    plan = parse(text, zone)
    assert plan is not None
    return plan


NOW = _us("2026-11-20T12:07:30")


def test_an_interval_counts_from_its_anchor() -> None:
    """A restart at 12:00:10 moves the runs of an hour's job to ten seconds past."""
    plan = _plan("every 60m")
    anchor = _us("2026-11-20T09:00:10")
    assert next_after(plan, NOW, anchor) == _us("2026-11-20T13:00:10")
    assert next_after(plan, _us("2026-11-20T13:00:10"), anchor) == _us("2026-11-20T14:00:10")
    assert next_after(plan, _us("2026-11-20T08:30:00"), anchor) == anchor
    assert latest_until(plan, NOW, anchor) == _us("2026-11-20T12:00:10")
    assert occurrences(plan, anchor, anchor + 3 * HOUR, anchor) == (anchor, anchor + HOUR, anchor + 2 * HOUR)


def test_an_interval_without_an_anchor_counts_from_the_question() -> None:
    plan = _plan("every 90 s")
    assert next_after(plan, NOW) == NOW + 90 * SECOND
    assert occurrences(plan, NOW, NOW + 3 * MINUTE) == (NOW + 90 * SECOND,)
    assert latest_until(plan, NOW) is None


def test_an_interval_knows_no_daylight_saving() -> None:
    """Twenty-four hours over the night of the change are twenty-four hours."""
    anchor = _us("2026-03-28T11:00:00")
    assert next_after(_plan("every 24h"), anchor, anchor) == _us("2026-03-29T11:00:00")
    assert next_after(_plan("after 24h"), anchor, anchor) == _us("2026-03-29T11:00:00")


def test_cron_is_read_in_the_zone_it_names_else_in_the_operators() -> None:
    assert next_after(_plan("cron 0 9 * * *", "Asia/Seoul"), NOW) == _us("2026-11-21T00:00:00")
    plan = parse("cron 0 9 * * *", "", "America/New_York")
    assert plan is not None
    assert next_after(plan, NOW) == _us("2026-11-20T14:00:00")


def test_a_zone_in_a_timers_expression_wins() -> None:
    plan = _plan("timer daily America/New_York", "Asia/Seoul")
    assert plan.zone == "America/New_York"
    assert next_after(plan, NOW) == _us("2026-11-21T05:00:00")


def test_a_night_without_its_hour_and_one_with_it_twice() -> None:
    """By hand, Paris: cron makes up for a run the clock skipped, systemd does not; of an hour shown twice, cron's set times
    and systemd's timers run in the first only, cron's stars in both."""
    spring, autumn = _us("2026-03-29T00:00:00"), _us("2026-10-25T00:00:00")

    def times(text: str, start: int) -> list[str]:
        due = occurrences(_plan(text, "Europe/Paris"), start, start + 2 * HOUR)
        return [f"{_EPOCH + timedelta(microseconds=one):%H:%M}" for one in due]

    assert times("cron 30 2 * * *", spring) == ["01:00"]
    assert times("timer 02:30", spring) == []
    assert times("cron 30 2 * * *", autumn) == ["00:30"]
    assert times("timer 02:30", autumn) == ["00:30"]
    assert times("cron 0 * * * *", autumn) == ["00:00", "01:00"]
    assert times("timer hourly", autumn) == ["00:00"]
    assert times("cron */30 * * * *", spring) == ["00:00", "00:30", "01:00", "01:30"]


def test_once_is_once() -> None:
    plan = _plan("at 2026-12-01T09:00:00Z")
    due = _us("2026-12-01T09:00:00")
    assert next_after(plan, NOW) == due
    assert next_after(plan, due) is None
    assert occurrences(plan, NOW, NOW + 30 * DAY) == (due,)
    assert _plan("at 2026-12-01T09:00:00", "Asia/Seoul").at_us == _us("2026-12-01T00:00:00")


@pytest.mark.parametrize(
    ("macro", "fields"),
    [
        ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@Annually", "0 0 1 1 *"),
    ],
)  # fmt: skip
def test_crons_names_are_fields(macro: str, fields: str) -> None:
    assert _plan(f"cron {macro}") == _plan(f"cron {fields}")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "every", "every 0m", "every soon", "every -5m", "cron", "cron 61 * * * *", "cron * * * *",
        "cron * * * * * *",
        "cron @reboot", "cron 0 0 30 2 *", "cron 5~10 * * * *", "cron ٣ * * * *", "timer", "timer someday", "at noon",
        "at 2026-13-01", "hourly", "60m", "cron " + "1," * 400 + "1 * * * *", "timer " + "1," * 300 + "1:00", "every 1e5m",
        "timer \x00", "at 99999-01-01", "cron \ud800 * * * *",
    ],
)  # fmt: skip
def test_a_text_nobody_can_read_is_no_plan(text: str) -> None:
    assert parse(text) is None


def test_a_zone_nobody_knows_makes_a_plan_unknown() -> None:
    assert parse("cron 0 9 * * *", "Mars/Base") is None
    assert parse("cron 0 9 * * *", "../../etc/passwd") is None
    assert parse("every 60m", "Mars/Base") is not None  # needs none


@given(st.text(max_size=40), st.sampled_from(["", "every ", "cron ", "timer ", "at ", "after ", "cron 0 0 "]))
def test_no_text_is_an_error(text: str, kind: str) -> None:
    plan = parse(kind + text)
    if plan is not None:
        next_after(plan, NOW)
        spelled(plan)


def test_a_plan_of_another_kind_is_known_but_never_due() -> None:
    plan = _plan("apscheduler calendarinterval[0, 1, 0, 0]")
    assert next_after(plan, NOW) is None
    assert gaps(plan, NOW) is None
    assert spelled(plan) == "apscheduler calendarinterval[0, 1, 0, 0]"
    assert not more_often(plan, _plan("every 60m"), NOW)
    assert not more_often(_plan("every 60m"), plan, NOW)


def test_how_far_apart_runs_are() -> None:
    assert gaps(_plan("every 5m"), NOW) == Gaps(5 * MINUTE, 5 * MINUTE, 5 * MINUTE, 5 * MINUTE)
    office = _plan("cron 0 9-17 * * 1-5", "Asia/Seoul")
    found = gaps(office, NOW)
    assert found is not None
    assert found.shortest == period_us(office, NOW) == HOUR
    assert longest_gap(office, NOW) == 64 * HOUR
    found = gaps(office, NOW)
    assert found is not None
    assert found.mean == 7 * DAY // 45
    monthly = gaps(_plan("cron 0 0 1 * *"), NOW)
    assert monthly is not None
    assert (monthly.shortest, monthly.longest) == (28 * DAY, 31 * DAY)
    assert gaps(_plan("at 2026-12-01T09:00:00Z"), NOW) is None
    assert gaps(_plan("timer *-02-30"), NOW) is None
    leap = gaps(_plan("cron 0 0 29 2 *"), NOW)
    assert leap is not None
    assert leap.typical == 1461 * DAY


def test_a_change_of_the_clock_makes_no_plan_longer() -> None:
    """In the week of the change an hourly timer runs once less; it is still as often as every hour."""
    week = _us("2026-10-25T00:00:00")
    timer, every = _plan("timer hourly", "Europe/Paris"), _plan("every 60m")
    assert not more_often(timer, every, week)
    assert not more_often(every, timer, week)


@pytest.mark.parametrize(
    ("often", "seldom"),
    [
        ("every 5m", "every 60m"),
        ("every 59m", "cron @hourly"),
        ("cron */5 * * * *", "every 6m"),
        ("timer *:*:0/10", "every 11s"),
        ("every 1h", "cron 0 9-17 * * 1-5"),
        ("cron 0 0 1 * *", "timer quarterly"),
        ("timer yearly", "cron 0 0 29 2 *"),
        ("cron 0 0 29 2 *", "at 2026-12-01T09:00:00Z"),
        ("timer Mon *:*:*", "every 8s"),
        ("after 10m", "every 11m"),
    ],
)
def test_which_plan_runs_more_often(often: str, seldom: str) -> None:
    one, other = _plan(often), _plan(seldom)
    assert more_often(one, other, NOW)
    assert not more_often(other, one, NOW)
    assert longest([one, other], NOW) == longest([other, one], NOW) == other


def test_the_longest_of_equals_is_the_first_and_of_none_none() -> None:
    hour = _plan("every 60m")
    assert longest([hour, _plan("cron @hourly")], NOW) == hour
    assert longest([], NOW) is None
    assert longest([_plan("apscheduler date")], NOW) is None


def test_the_last_time_a_plan_was_due() -> None:
    assert latest_until(_plan("cron 0 9 * * 1", "Asia/Seoul"), NOW) == _us("2026-11-16T00:00:00")
    assert latest_until(_plan("cron 7 * * * *"), _us("2026-11-20T12:07:00")) == _us("2026-11-20T12:07:00")
    assert latest_until(_plan("timer *-02-29"), NOW) == _us("2024-02-29T00:00:00")
    assert latest_until(_plan("timer 2030-*-*"), NOW) is None


def test_spelled_for_people() -> None:
    assert spelled(_plan("every 3600s")) == "every 60m"
    assert spelled(_plan("cron @hourly"), "UTC") == "cron 0 * * * *"
    assert spelled(_plan("cron 0 9 * * *", "Asia/Seoul"), "UTC") == "cron 0 9 * * * (Asia/Seoul)"
    assert spelled(_plan("after 15min")) == "15m after the last"
    assert spelled(_plan("at 2026-12-01T09:00:00Z")) == "once at 2026-12-01 09:00 UTC"


@pytest.mark.parametrize(
    "text",
    [
        "cron 0 0 */40 * 1#5",
        "timer *-02-30",
        "timer Mon 2027-02-29",
        "timer 1999-*-*",
        "cron 0 0 29 2 6#5",
        "cron */5 0 29 2 0",
    ],
)
def test_what_is_never_or_hardly_ever_due_is_answered_soon(text: str) -> None:
    plan = _plan(text, "Europe/Paris")
    began = time.perf_counter()
    next_after(plan, NOW)
    gaps(plan, NOW)
    latest_until(plan, NOW)
    assert time.perf_counter() - began < 5


def test_the_end_of_time_is_no_error() -> None:
    last = (datetime(9999, 12, 31, 23, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    for text in ("cron 0 0 * * *", "timer daily", "cron 0 0 1 1 *", "every 2h", "cron * 0 * * *"):
        occurrences(_plan(text, "Asia/Seoul"), last, last + 2 * DAY, limit=3)
        next_after(_plan(text, "America/New_York"), last)


@given(
    st.sampled_from(
        ["cron */7 3-5 * * *", "timer *:0/25", "every 17m", "cron 30 2 * * *", "timer Sun 02:30"]
    ),
    st.integers(_us("2026-01-01T00:00:00"), _us("2026-12-31T00:00:00")),
    st.integers(0, 3 * DAY),
)
def test_occurrences_are_what_next_after_walks_through(text: str, start: int, length: int) -> None:
    plan, end = _plan(text, "Europe/Paris"), start + length
    walked = []
    due = next_after(plan, start - 1, start)
    while due is not None and due < end:
        walked.append(due)
        due = next_after(plan, due, start)
    assert occurrences(plan, start, end, start) == tuple(walked)
    if walked:
        assert latest_until(plan, end - 1, start) == walked[-1]
