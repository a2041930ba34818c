"""Budgets begin where the calendar says, in every zone; no instant counts twice or not at all."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.budget.periods import day_start, period_at, period_before, periods, periods_until
from costmon.shim.timestamps import from_iso, to_datetime, to_iso, to_us

ZONES = sorted(zone for zone in available_timezones() if zone not in ("localtime", "posixrules", "Factory"))
AWKWARD = [
    *(
        "America/Sao_Paulo",
        "Asia/Beirut",
        "Africa/Cairo",
        "Pacific/Apia",
        "America/Havana",
        "America/St_Johns",
    ),
    *("Asia/Gaza", "Asia/Tehran", "Asia/Amman", "America/Asuncion", "Atlantic/Azores", "Antarctica/Casey"),
    *("Antarctica/Troll", "Asia/Pyongyang", "Pacific/Kwajalein", "Pacific/Fakaofo", "America/Scoresbysund"),
]
START, END = from_iso("2000-01-01T00:00:00Z"), from_iso("2037-12-31T00:00:00Z")
assert START
assert END
INSTANTS = st.integers(START, END)
KINDS = st.sampled_from(["day", "week", "month"])
ANY_ZONE = st.sampled_from(AWKWARD) | st.sampled_from(ZONES)


def at(text: str) -> int:
    found = from_iso(text)
    assert found is not None
    return found


@given(KINDS, ANY_ZONE, INSTANTS)
@settings(max_examples=400, deadline=None)
def test_an_instant_lies_in_its_period_and_periods_tile(kind, zone, instant):
    """Every call counts in exactly one period, and the next begins where this one ends."""
    found = period_at(kind, zone, instant)
    assert found.start_us <= instant < found.end_us
    assert period_at(kind, zone, found.start_us) == found
    assert period_at(kind, zone, found.end_us - 1) == found
    assert period_at(kind, zone, found.end_us).start_us == found.end_us
    assert period_before(kind, zone, found).end_us == found.start_us


@given(KINDS, st.sampled_from(AWKWARD), INSTANTS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_row_of_periods_has_no_gap_and_no_overlap(kind, zone, instant, count):
    """The table an app enforces by covers all time."""
    row = periods(kind, zone, instant, count)
    assert len(row) == count
    assert all(one.end_us == two.start_us and one.start_us < one.end_us for one, two in zip(row, row[1:]))  # noqa: B905, RUF007
    assert len({period.label for period in row}) == count
    assert periods_until(kind, zone, instant, row[-1].end_us) == row


@given(ANY_ZONE, INSTANTS)
@settings(max_examples=200, deadline=None)
def test_a_period_begins_at_the_first_instant_of_its_day(zone, instant):
    """A day is spent from its first moment on: one microsecond earlier it was still yesterday."""
    found = period_at("day", zone, instant)
    info = ZoneInfo(zone)
    first = to_datetime(found.start_us).astimezone(info)
    before = to_datetime(found.start_us - 1).astimezone(info)
    assert first.date().isoformat() == found.label
    assert before.date() < first.date()


@given(ANY_ZONE, INSTANTS)
@settings(max_examples=200, deadline=None)
def test_days_begin_on_quarter_hours(zone, instant):
    """The 15-minute rollup can be summed into any zone's days."""
    assert period_at("day", zone, instant).start_us % 900_000_000 == 0


@pytest.mark.parametrize("zone", [pytest.param(ZONES[n::20], id=str(n)) for n in range(20)])
def test_every_month_of_every_zone_tiles(zone):
    """From 2000 to 2037 no zone has a month that overlaps the next or leaves a moment out."""
    for name in zone:
        starts = [
            day_start(date(year, month, 1), name) for year in range(2000, 2038) for month in range(1, 13)
        ]
        lengths = [(late - early) / 86_400e6 for early, late in zip(starts, starts[1:])]  # noqa: B905, RUF007
        assert all(27.8 < length < 31.2 for length in lengths), name


def test_month_starts_in_gaps_and_folds_are_the_first_instant():
    """The month begins at the right moment where the clock changes at its first midnight."""
    gaps = folds = 0
    for zone in ZONES:
        info = ZoneInfo(zone)
        for number in range(38 * 12):
            wall = datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=info)
            one, two = wall.utcoffset(), wall.replace(fold=1).utcoffset()
            if one == two:
                continue
            gaps, folds = gaps + (one < two), folds + (one > two)
            found = day_start(wall.date(), zone)
            assert to_datetime(found).astimezone(info).date() == wall.date()
            assert to_datetime(found - 1).astimezone(info).date() < wall.date()
    assert gaps >= 32
    assert folds >= 14


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00Z"),  # 00:00 to 01:00 does not exist
        ("America/Sao_Paulo", date(2018, 2, 18), "2018-02-18T03:00:00Z"),  # 23:00 of the 17th comes twice
        ("Asia/Beirut", date(2023, 3, 26), "2023-03-25T22:00:00Z"),
        ("Africa/Cairo", date(2023, 4, 28), "2023-04-27T22:00:00Z"),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00Z"),  # midnight comes twice
        (
            "America/St_Johns",
            date(2006, 10, 29),
            "2006-10-29T02:30:00Z",
        ),  # 00:00 comes twice, 23:01 again after it
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00Z"),
        ("Asia/Seoul", date(2026, 11, 1), "2026-10-31T15:00:00Z"),
        ("UTC", date(2026, 11, 1), "2026-11-01T00:00:00Z"),
    ],
)
def test_days_of_a_changing_clock(zone, day, start):
    """Where midnight is skipped or doubled the day still begins at its first instant."""
    assert day_start(day, zone) == at(start)


def test_an_hour_that_comes_again_counts_to_the_day_that_had_begun():
    """Newfoundland once set its clock back at 00:01: the second 23:30 belongs to the day already begun."""
    instant = at("2006-10-29T03:00:00Z")
    assert to_datetime(instant).astimezone(ZoneInfo("America/St_Johns")).date() == date(2006, 10, 28)
    assert period_at("day", "America/St_Johns", instant).label == "2006-10-29"


def test_a_jump_over_midnight_begins_the_day_where_it_lands():
    """Toronto once jumped from 23:30 to 00:30: the day began with the jump, half an hour past midnight."""
    assert day_start(date(1919, 3, 31), "America/Toronto") == at("1919-03-31T04:30:00Z")


def test_a_day_the_calendar_skipped_has_no_period():
    """Samoa had no 30 December 2011, and no budget for it."""
    labels = [day.label for day in periods("day", "Pacific/Apia", at("2011-12-29T12:00:00Z"), 3)]
    assert labels == ["2011-12-29", "2011-12-31", "2012-01-01"]
    week = period_at("week", "Pacific/Apia", at("2011-12-31T00:00:00Z"))
    assert week.end_us - week.start_us == timedelta(days=6) // timedelta(microseconds=1)


def test_labels_name_the_period():
    """A block says which period it belongs to."""
    instant = at("2027-01-02T00:00:00Z")
    assert [period_at(kind, "UTC", instant).label for kind in ("day", "week", "month")] == [
        "2027-01-02",
        "2026-W53",
        "2027-01",
    ]


def test_the_edge_of_a_month_is_exact():
    """The last microsecond of November counts to November, the next to December."""
    edge = at("2026-11-30T15:00:00Z")
    assert [period_at("month", "Asia/Seoul", edge + step).label for step in (-1, 0, 1)] == [
        "2026-11",
        "2026-12",
        "2026-12",
    ]
    assert to_iso(edge) == to_iso(to_us(datetime(2026, 12, 1, tzinfo=ZoneInfo("Asia/Seoul"))))
