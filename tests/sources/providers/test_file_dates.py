"""Days, months and periods as bills write them; nothing that may be two things is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.providers.billing import read_text, refusal


def spans(folder: Path, *written: str, header: str = "date;cost", **options: str) -> list[tuple[str, str]]:
    text = f"{header}\n" + "".join(f"{row};$1\n" for row in written)
    return [
        (f"{bucket.start:%Y-%m-%dT%H}", f"{bucket.end:%Y-%m-%dT%H}")
        for bucket in read_text(folder, text, **options).buckets
    ]


@pytest.mark.parametrize(
    "written",
    [
        *(
            "2026-11-03",
            "2026/11/03",
            "2026.11.03",
            "2026. 11. 3.",
            "2026년 11월 3일",
            "2026年11月3日",
            "20261103",
        ),
        *("3 Nov 2026", "3. November 2026", "03-Nov-2026", "Nov 3, 2026", "November 3 2026", "NOV 3, 2026"),
        *(
            "2026-11-03T00:00:00Z",
            "2026-11-03 05:06:07",
            "2026-11-03 23:59:59 UTC",
            "2026-11-03T09:00:00+09:00",
        ),
        *("1793664000", "1793664000000"),
    ],
)
def test_a_day_in_any_writing_is_that_utc_day(tmp_path: Path, written: str) -> None:
    assert spans(tmp_path, written) == [("2026-11-03T00", "2026-11-04T00")]


@pytest.mark.parametrize(
    "written", ["2026-10", "2026/10", "Oct 2026", "October 2026", "2026년 10월", "202610", "2026年10月"]
)
@pytest.mark.parametrize("name", ["month", "period", "Invoice month", "date"])
def test_a_month_is_one_bucket(tmp_path: Path, written: str, name: str) -> None:
    assert spans(tmp_path, written, header=f"{name};cost") == [("2026-10-01T00", "2026-11-01T00")]


def test_a_date_that_may_be_two_days_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "date,cost\n2026-11-01,$1\n03/04/2026,$1\n") == (
        'bill.csv:3: "03/04/2026" may be 2026-04-03 or 2026-03-04; write date_format = "DD/MM/YYYY" or date_format = '
        '"MM/DD/YYYY"'
    )


@pytest.mark.parametrize(
    ("style", "start"),
    [("DD/MM/YYYY", "2026-04-03T00"), ("MM/DD/YYYY", "2026-03-04T00"), ("%d/%m/%Y", "2026-04-03T00")],
)
def test_the_config_decides(tmp_path: Path, style: str, start: str) -> None:
    assert spans(tmp_path, "03/04/2026", date_format=style)[0][0] == start


def test_another_date_of_the_file_decides(tmp_path: Path) -> None:
    assert spans(tmp_path, "03/11/2026", "13/11/2026")[0][0] == "2026-11-03T00"
    assert spans(tmp_path, "11/03/2026", "11/13/2026")[0][0] == "2026-11-03T00"
    assert spans(tmp_path, "11.11.2026")[0][0] == "2026-11-11T00"
    assert "has its day second" in refusal(tmp_path, "date,cost\n11/13/2026,$1\n13/11/2026,$1\n")


@pytest.mark.parametrize(
    "written",
    [
        "2026-13-01",
        "2026-02-30",
        "31/31/2026",
        "yesterday",
        "03/04/26",
        "26-11-03",
        "2026",
        "202613",
        "1",
        "Nov 31, 2026",
    ],
)
def test_what_is_no_date_is_refused_by_place(tmp_path: Path, written: str) -> None:
    assert refusal(tmp_path, f"date,cost\n{written.replace(',', '')},$1\n").startswith("bill.csv:2: ")


def test_a_day_still_to_come_is_a_misread_date(tmp_path: Path) -> None:
    assert "is for 2026-12-03, which is still to come" in refusal(tmp_path, "date,cost\n2026-12-03,$1\n")


PERIODS = "start;end;cost"


def test_periods_show_themselves_whether_their_end_is_inside(tmp_path: Path) -> None:
    october = [("2026-10-01T00", "2026-11-01T00")]
    assert spans(tmp_path, "2026-10-01;2026-10-31", header=PERIODS) == october
    assert spans(tmp_path, "2026-10-01;2026-11-01", header=PERIODS) == october
    assert spans(tmp_path, "2026-10-01T00:00:00Z;2026-10-31T23:59:59Z", header=PERIODS) == october
    assert spans(tmp_path, "2026-10;2026-10", header=PERIODS) == october
    day = ("2026-11-03T00", "2026-11-04T00")
    assert spans(tmp_path, "2026-11-03;2026-11-03", header=PERIODS) == [day]
    assert spans(tmp_path, "2026-11-03T05:00:00Z;2026-11-03T06:00:00Z", header=PERIODS) == [day]
    assert spans(tmp_path, "2026-11-03;", header=PERIODS) == [day]
    weeks = spans(tmp_path, "2026-11-02;2026-11-08", "2026-11-09;2026-11-15", header=PERIODS)
    assert weeks == [("2026-11-02T00", "2026-11-09T00"), ("2026-11-09T00", "2026-11-16T00")]
    assert spans(tmp_path, "2026-11-02;2026-11-09", "2026-11-09;2026-11-16", header=PERIODS) == weeks


def test_an_end_that_may_be_inside_or_not_is_refused_until_the_config_says(tmp_path: Path) -> None:
    row = "2026-11-03;2026-11-05"
    assert 'write end = "inclusive" or end = "exclusive"' in refusal(tmp_path, f"{PERIODS}\n{row};$1\n")
    assert spans(tmp_path, row, header=PERIODS, end="inclusive") == [("2026-11-03T00", "2026-11-06T00")]
    assert spans(tmp_path, row, header=PERIODS, end="exclusive") == [("2026-11-03T00", "2026-11-05T00")]


def test_a_period_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    text = f"{PERIODS}\n2026-11-05T00:00:00Z;2026-11-03T00:00:00Z;$1\n"
    assert refusal(tmp_path, text) == "bill.csv:2: ends before it begins"


def test_days_are_those_of_the_bill_s_zone(tmp_path: Path) -> None:
    text = ("2026-11-01", "2026-11-02", "2026-11-02T23:30:00Z")
    assert spans(tmp_path, *text, time_zone="America/Los_Angeles") == [
        ("2026-11-01T07", "2026-11-02T08"),  # clocks go back: 25 hours
        ("2026-11-02T08", "2026-11-03T08"),
    ]
