"""Hours of the week with their own price: edges to the second, zones, midnights, week ends, changes of the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.errors import PriceError
from costmon.pricing.files import windows
from costmon.pricing.files.read import load_price_file
from costmon.shim import cards
from costmon.shim.timestamps import to_us

PEAK = '{ days = ["mon", "tue", "wed", "thu", "fri"], hours = ["09:00-12:00", "14:00-18:00"], tz = "%s", multiply = 2 }'
SINCE, UNTIL = 1_609_459_200, 2_177_452_800  # 2021 to 2038
DST = ["America/New_York", "Europe/London", "Australia/Lord_Howe"]
HEAD = 'schema = 1\n[[price]]\nprovider = "acme"\nmodel = "m"\ncurrency = "USD"\n'


def entry_of(folder: Path, when: str, more: str = "") -> cards.Entry:
    path = folder / "prices.toml"
    path.write_text(f"{HEAD}[[price.rate]]\ninput = 1\noutput = 3\n{more}when = [{when}]\n")
    return load_price_file(str(path)).models["acme"][0]


def price_at(entry: cards.Entry, at: datetime, **context: str) -> str:
    card = cards.resolve(entry, "acme", to_us(at), context, "user", "1")
    assert card is not None
    return str(card.rates["input_tokens"]["price"])


def utc(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "price"),
    [
        ("2026-11-20T00:59:59", "1"),  # Friday, 08:59:59 in Shanghai
        ("2026-11-20T01:00:00", "2"),
        ("2026-11-20T03:59:59", "2"),
        ("2026-11-20T04:00:00", "1"),
        ("2026-11-20T06:00:00", "2"),
        ("2026-11-20T09:59:59", "2"),
        ("2026-11-20T10:00:00", "1"),
        ("2026-11-21T02:00:00", "1"),  # Saturday
        ("2026-11-22T02:00:00", "1"),
        ("2026-11-23T01:00:00", "2"),  # Monday
    ],
)
def test_weekday_peak_in_a_zone(tmp_path: Path, stamp: str, price: str) -> None:
    """Nine to twelve and two to six in Shanghai, Monday to Friday."""
    assert price_at(entry_of(tmp_path, PEAK % "Asia/Shanghai"), utc(stamp)) == price


def test_over_midnight_and_over_the_week(tmp_path: Path) -> None:
    """Sunday's night goes on until Monday morning, in UTC as in Honolulu, whose Sunday night is UTC's Monday."""
    night = '{ days = ["sun"], hours = ["22:00-06:00"], multiply = 0.5 }'
    entry = entry_of(tmp_path, night)
    stamps = {
        "2026-11-22T21:59:59": "1",
        "2026-11-22T22:00:00": "0.5",
        "2026-11-23T00:00:00": "0.5",
        "2026-11-23T05:59:59": "0.5",
        "2026-11-23T06:00:00": "1",
        "2026-11-22T05:00:00": "1",
    }
    assert {stamp: price_at(entry, utc(stamp)) for stamp in stamps} == stamps
    entry = entry_of(tmp_path, night.replace("multiply", 'tz = "Pacific/Honolulu", multiply'))
    assert price_at(entry, utc("2026-11-23T07:59:59")) == "1"
    assert price_at(entry, utc("2026-11-23T08:00:00")) == "0.5"
    assert price_at(entry, utc("2026-11-23T16:00:00")) == "1"


def test_all_day_and_the_whole_week(tmp_path: Path) -> None:
    """Days without hours are whole days; hours without days are every day's."""
    assert entry_of(tmp_path, '{ days = ["sat", "sun"], multiply = 0 }')["prices"][1]["week"] == [
        [7200, 10080]
    ]
    daily = entry_of(tmp_path, '{ hours = ["00:00-24:00"], multiply = 3 }')
    assert daily["prices"][1]["week"] == [[0, 10080]]


def test_replaced_prices_and_dates(tmp_path: Path) -> None:
    """A window replaces what it names, leaves the rest, and ends with its rate."""
    entry = entry_of(
        tmp_path, '{ days = ["fri"], input = 0.25 }', "from = 2026-11-01\nuntil = 2026-11-20T12:00:00Z\n"
    )
    card = cards.resolve(entry, "acme", to_us(utc("2026-11-20T11:59:59")), {}, "user", "1")
    assert card is not None
    assert {unit: rate["price"] for unit, rate in card.rates.items()} == {
        "input_tokens": "0.25",
        "output_tokens": "3",
    }
    assert cards.resolve(entry, "acme", to_us(utc("2026-11-20T12:00:00")), {}, "user", "1") is None
    assert cards.resolve(entry, "acme", to_us(utc("2026-10-30T12:00:00")), {}, "user", "1") is None


def test_multiply_reaches_tiers(tmp_path: Path) -> None:
    """Twice the price is twice the tier's price as well."""
    entry = entry_of(tmp_path, '{ days = ["fri"], multiply = 2 }', "tiers = [{ above = 10, input = 5 }]\n")
    card = cards.resolve(entry, "acme", to_us(utc("2026-11-20T00:00:00")), {}, "user", "1")
    assert card is not None
    assert card.rates["input_tokens"] == {"per": 1_000_000, "price": "2", "tiers": [[10, "10"]]}
    graduated = entry_of(
        tmp_path,
        '{ days = ["fri"], multiply = 2 }',
        'mode = "graduated"\ntiers = [{ above = 1_000_000, input = 5 }]\n',
    )
    assert graduated["prices"][1]["rates"]["input_tokens"] == {"price": "2", "graduated": [[1, "10"]]}


def test_a_contexts_own_hours(tmp_path: Path) -> None:
    """Batch may have hours of its own; without them it costs the same all week."""
    batch = '[[price.rate]]\ncontext = { processing = "batch" }\ninput = 0.4\n'
    entry = entry_of(tmp_path, '{ days = ["fri"], multiply = 2 }')
    path = tmp_path / "prices.toml"
    path.write_text(path.read_text() + batch)
    (entry,) = load_price_file(str(path)).models["acme"]
    assert price_at(entry, utc("2026-11-20T00:00:00"), processing="batch") == "0.4"
    path.write_text(path.read_text() + 'when = [{ days = ["fri"], multiply = 0.5 }]\n')
    (entry,) = load_price_file(str(path)).models["acme"]
    assert price_at(entry, utc("2026-11-20T00:00:00"), processing="batch") == "0.2"
    assert price_at(entry, utc("2026-11-21T00:00:00"), processing="batch") == "0.4"
    assert price_at(entry, utc("2026-11-20T00:00:00")) == "2"


def test_touching_windows_are_no_overlap(tmp_path: Path) -> None:
    """One may begin in the second the other ends, in another zone too."""
    windows = '{ hours = ["09:00-12:00"], multiply = 2 }, { hours = ["21:00-24:00"], tz = "Asia/Seoul", multiply = 3 }'
    entry = entry_of(tmp_path, windows)
    assert [
        price_at(entry, utc(f"2026-11-20T{hour}"))
        for hour in ("08:59:59", "11:59:59", "12:00:00", "15:00:00")
    ] == [
        "1",
        "2",
        "3",
        "1",
    ]


def test_changes_of_the_clock(tmp_path: Path) -> None:
    """Two to four on a Sunday in New York: an hour of it is skipped in March and doubled in November."""
    entry = entry_of(
        tmp_path, '{ days = ["sun"], hours = ["02:00-04:00"], tz = "America/New_York", multiply = 2 }'
    )
    stamps = {
        "2026-03-08T06:59:59": "1",  # 01:59:59 EST
        "2026-03-08T07:00:00": "2",  # 03:00:00 EDT
        "2026-03-08T08:00:00": "1",  # 04:00:00 EDT
        "2026-11-01T05:59:59": "1",  # 01:59:59 EDT
        "2026-11-01T06:59:59": "1",  # 01:59:59 EST
        "2026-11-01T07:00:00": "2",  # 02:00:00 EST
        "2026-11-01T09:00:00": "1",
        "2019-11-03T07:30:00": "1",  # before the years that are worked out
    }
    assert {stamp: price_at(entry, utc(stamp)) for stamp in stamps} == stamps


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(
        ["UTC", "Asia/Kolkata", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
    ),
    days=st.sets(st.integers(0, 6), min_size=1),
    opens=st.integers(0, 1439),
    length=st.integers(1, 1440),
    at=st.integers(SINCE, UNTIL),
)
def test_a_window_is_what_the_clock_on_the_wall_says(
    tmp_path: Path, zone: str, days: set[int], opens: int, length: int, at: int
) -> None:
    """For any zone and instant: inside exactly if the local day and hour are, or the night of the day before is."""
    closes = opens + length
    if closes > 1440:
        closes -= 1440
    if closes == opens:
        opens, closes = 0, 1440
    names = [("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day] for day in sorted(days)]
    hours = f"{opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02}"
    entry = entry_of(tmp_path, f'{{ days = {names}, hours = ["{hours}"], tz = "{zone}", multiply = 2 }}')
    instant = datetime.fromtimestamp(at, UTC)
    local = instant.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    if opens < closes:
        inside = local.weekday() in days and opens <= minute < closes
    else:
        before = (local - timedelta(days=1)).weekday()
        inside = (local.weekday() in days and minute >= opens) or (before in days and minute < closes)
    assert price_at(entry, instant) == ("2" if inside else "1")


def many(zones: list[str], rates: int) -> str:
    """Rates one after the other, each with 48 half hours of Monday in turns of these zones."""
    rows = []
    for year in range(rates):
        windows = ", ".join(
            f'{{ days = ["mon"], hours = ["{i // 2:02}:{i % 2 * 30:02}-{i // 2:02}:{i % 2 * 30 + 29:02}"], '
            f'tz = "{zones[i % len(zones)]}", multiply = 2 }}'
            for i in range(48)
        )
        dates = f"from = {2020 + year}-01-01\nuntil = {2021 + year}-01-01\n"
        rows.append(f"[[price.rate]]\ninput = 1\noutput = 3\n{dates}when = [{windows}]\n")
    return HEAD + "".join(rows)


@pytest.mark.parametrize("zones", [["America/New_York"], ["America/New_York", "Europe/London"]], ids=len)
def test_many_windows_are_read_quickly(tmp_path: Path, zones: list[str]) -> None:
    """Eight rates of 48 windows where the clocks are changed: every command reads them."""
    path = tmp_path / "prices.toml"
    path.write_text(many(zones, 8))
    began = time.process_time()
    entry = load_price_file(str(path)).models["acme"][0]
    assert len(entry["prices"]) > 8 * 48
    assert time.process_time() - began < 8


def test_a_file_of_too_many_windows_is_refused_quickly(tmp_path: Path) -> None:
    """A megabyte of them is one sentence."""
    path = tmp_path / "prices.toml"
    text = many(["America/New_York"], 1)
    path.write_text(
        text + "".join(text.removeprefix("schema = 1\n").replace('"m"', f'"m{i}"') for i in range(200))
    )
    began = time.process_time()
    with pytest.raises(
        PriceError, match="makes more than 20,000 rows or 100,000 spans of hours of this file"
    ):
        load_price_file(str(path))
    assert time.process_time() - began < 12


SPANS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 23), st.integers(1, 24), st.sampled_from(["UTC", *DST])),
    min_size=2,
    max_size=4,
)


@settings(max_examples=60)
@given(SPANS)
def test_an_overlap_is_one_on_the_clocks(spans: list[tuple[int, int, int, str]]) -> None:
    """Two windows overlap exactly when some minute of some season lies in both, as their zones' clocks have it."""
    listed = [
        windows.Window([[day * 1440 + hour * 60, min(day * 1440 + (hour + length) * 60, 10_080)]], zone)
        for day, hour, length, zone in spans
    ]
    found = set()
    for i, one in enumerate(listed):
        for j, other in enumerate(listed[:i]):
            for since, until, minutes in windows.in_utc(one, None, None):
                for _, _, more in windows.in_utc(other, since, until):
                    if any(a < d and c < b for a, b in minutes for c, d in more):
                        found.add((j, i))
    pair = windows.first_overlap(listed)
    assert pair in found if found else pair is None
