"""A folder of bills: copies, overlaps, files that cannot be read, and what the ledger makes of it."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event

import pytest

from costmon.sources.providers.kinds.file import KIND
from costmon.sources.providers.kinds.file import folder as folders
from costmon.sources.providers.kinds.file.aside import aside
from costmon.sources.providers.protocol import Settings, SourceError
from tests.sources.polling.kit import Home
from tests.sources.providers.ask import NOW, days_until
from tests.sources.providers.billing import SAVED, by_day, put, read, refusal


def days(first: int, last: int, **other: str) -> str:
    """A day's amount is its number in dollars, unless told otherwise: d14="3.00"."""
    return "date,cost\n" + "".join(
        f"2026-11-{day:02},${other.get(f'd{day}', f'{day}.00')}\n" for day in range(first, last + 1)
    )


def test_all_files_count_together_whatever_the_window(tmp_path: Path) -> None:
    put(
        tmp_path,
        a_csv=days(1, 2),
        b_csv=days(3, 3),
        old_csv="month,cost\n2025-12,$7\n",
        c_TSV="date\tcost\n2026-11-09\t$9\n",
    )
    reading = read(tmp_path)
    assert by_day(reading) == {
        "2026-11-01": 1,
        "2026-11-02": 2,
        "2026-11-03": 3,
        "2026-11-09": 9,
        "2025-12-01": 7,
    }
    assert reading.whole
    assert not reading.partial


def test_the_same_bill_under_two_names_counts_once(tmp_path: Path) -> None:
    put(tmp_path, **{"bill_csv": days(1, 3), "bill (1)_csv": days(1, 3)})
    reading = read(tmp_path)
    assert sum(by_day(reading).values()) == 6
    assert reading.notes == ["bill.csv is the same as bill (1).csv and counts once"]


def test_a_bill_downloaded_again_later_replaces_the_earlier_one(tmp_path: Path) -> None:
    put(tmp_path, z_csv=days(1, 14), a_csv=days(1, 18, d13="13.50", d14="20.00"))
    reading = read(tmp_path)
    assert sum(by_day(reading).values()) == sum(range(1, 19)) + Decimal("0.50") + 6
    assert reading.notes == ["z.csv is contained in a.csv and does not count again"]


@pytest.mark.parametrize(
    "other",
    [
        days(1, 18, d3="3.01"),  # another account, or a bill that was changed
        days(1, 14, d14="15.00"),  # the same days: nothing shows which is newer
        days(14, 18),  # one day in both
        days(1, 11) + days(15, 18).removeprefix("date,cost\n"),  # the other one's last days are missing
        "month,cost\n2026-11,$200\n",
    ],
)
def test_two_files_for_the_same_days_are_never_added_up_nor_guessed_about(tmp_path: Path, other: str) -> None:
    put(tmp_path, a_csv=days(1, 14), b_csv=other)
    sentence = refusal(tmp_path)
    assert sentence.startswith("a.csv and b.csv are both for 2026-11-")
    assert "never added up" in sentence
    (tmp_path / "a.csv").unlink()
    assert read(tmp_path).figures


@pytest.mark.parametrize(
    "files",
    [
        {"invoice-00017_csv": "month,cost\n2026-10,$20\n", "invoice-00018_csv": "month,cost\n2026-10,$35\n"},
        {"invoice-00017_csv": "month,cost\n2026-10,$20\n", "invoice-00018_csv": "month,cost\n2026-10,$20\n"},
        {
            "a_csv": "month,invoice number,cost\n2026-10,00017,$20\n",
            "b_csv": "month,invoice number,cost\n2026-10,00018,$20\n",
        },
        {
            "a_csv": "Invoice number,00017\n\nmonth,cost\n2026-10,$20\n",
            "b_csv": "Invoice number,00018\n\nmonth,cost\n2026-10,$20\n",
        },
    ],
)
def test_two_invoices_for_a_month_are_told_apart_by_their_numbers(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """By name, column or head, even where they are alike: each needs a source of its own, and the sentence says so."""
    put(tmp_path, **files)
    sentence = refusal(tmp_path)
    assert 'are two invoices ("00017" and "00018") for 2026-10-01' in sentence
    assert "a folder of its own and add a source for it beside [source.google-bill]" in sentence
    assert "adds such sources up" in sentence


def test_the_same_invoice_again_counts_once_whatever_its_name(tmp_path: Path) -> None:
    bill = "month,cost\n2026-10,$20\n"
    put(tmp_path, **{"invoice-00017_csv": bill, "invoice-00017 (1)_csv": bill, "invoice 2026-10_csv": bill})
    assert by_day(read(tmp_path)) == {"2026-10-01": 20}


def test_tax_is_not_taken_out_twice(tmp_path: Path) -> None:
    put(tmp_path, a_csv="date,description,cost\n2026-11-03,gpt,$10\n2026-11-03,VAT 10%,$1\n")
    given = {option.name: option.default or "" for option in KIND.options} | {"folder": str(tmp_path)}
    settings = Settings("google-bill", "google", "", given, Decimal("0.1"))
    with pytest.raises(SourceError) as caught:
        asyncio.run(KIND.fetch(None, settings, days_until(NOW, 3)))  # type: ignore[arg-type]
    assert caught.value.state == "config"
    assert str(caught.value) == (
        "a.csv has tax in a line of its own, and tax_included in [source.google-bill] would take it out of the other lines "
        "once more; remove tax_included"
    )
    put(tmp_path, a_csv="date,description,cost\n2026-11-03,gpt,$10\n2026-11-03,VAT 0%,$0\n")
    asyncio.run(KIND.fetch(None, settings, days_until(NOW, 3)))  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_makes_the_sum_partial_and_is_named(tmp_path: Path) -> None:
    put(tmp_path, a_csv=days(1, 3), b_csv="date,cost\n2026-11-09,rubbish\n")
    reading = read(tmp_path)
    assert sum(by_day(reading).values()) == 6
    assert (reading.partial, reading.whole) == (True, False)
    assert reading.notes == [
        'left out: b.csv:2: "rubbish" is no amount; its days are not known, so any day may be incomplete'
    ]


def test_the_days_of_a_file_that_cannot_be_read_are_named_where_they_are_known(tmp_path: Path) -> None:
    """By what it said before it broke, and by its name."""
    put(tmp_path, a_csv=days(1, 3), b_csv=days(4, 5), c_csv=days(9, 9))
    assert not read(tmp_path).partial
    put(
        tmp_path,
        saved=SAVED + timedelta(seconds=1),
        **{"b_csv": "half a downl", "c_csv": "x", "google 2026-10_csv": "x"},
    )
    reading = read(tmp_path)
    assert reading.partial
    ends = [note.rpartition("; ")[2] for note in reading.notes]
    assert ends == [
        "2026-11-04 to 2026-11-05 may be incomplete",
        "2026-11-09 may be incomplete",
        "2026-10-01 to 2026-10-31 may be incomplete",
    ]


def test_with_nothing_that_can_be_read_the_round_fails(tmp_path: Path) -> None:
    put(tmp_path, a_csv="rubbish", b_csv="rubbish2")
    assert "(1 more files cannot be read either)" in refusal(tmp_path)


def test_odd_things_in_the_folder_are_named_or_passed_over(tmp_path: Path) -> None:
    put(tmp_path, good_csv=days(1, 3), notes_txt="not a bill", _hidden_csv="x")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "gone.csv").symlink_to("nowhere")
    (tmp_path / "folder.csv").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "door.csv"))
        reading = read(tmp_path)
    assert sum(by_day(reading).values()) == 6
    assert reading.partial
    assert sorted(note.split(":")[1].strip() for note in reading.notes) == [
        *("door.csv", "folder.csv", "gone.csv", "loop.csv", "pipe.csv"),
    ]


def test_a_link_to_a_bill_is_a_bill(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, bill_csv=days(1, 3))
    bills = tmp_path / "bills"
    bills.mkdir()
    (bills / "bill.csv").symlink_to(elsewhere / "bill.csv")
    assert sum(by_day(read(bills)).values()) == 6


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Here a link in a circle, which not even root can open."""
    put(tmp_path, a_csv=days(1, 3))
    (tmp_path / "b.csv").symlink_to(tmp_path / "b.csv")
    assert read(tmp_path).notes == [
        "left out: b.csv: cannot be read; check that it is a file and who may read it; its days are not known, so any day "
        "may be incomplete"
    ]


def test_a_file_or_a_folder_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, a_csv=days(1, 3))
    with (tmp_path / "huge.csv").open("wb") as huge:
        huge.truncate(folders.MAX_BYTES + 1)
    assert read(tmp_path).notes == [
        "left out: huge.csv: has over 16 MB; download a shorter period; its days are not known, so any day may be incomplete"
    ]
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    assert "over 1 files" in refusal(tmp_path)


def test_a_missing_or_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"there is no folder .*/none; make it, or correct folder"
    ) as caught:
        read(tmp_path / "none")
    assert caught.value.state == "not_found"
    with pytest.raises(SourceError, match=r"no \.csv or \.json file in .* yet"):
        read(tmp_path)
    put(tmp_path, a_csv="x")
    with pytest.raises(SourceError, match="this is no folder"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"folder": "invoices"}, "folder in .* must begin with / or ~/"),
        ({"time_zone": "Mars/Base"}, "time_zone in .* must be a time zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone in .* must be a time zone"),
        ({"currency": "w0n"}, "currency in .* must be three letters"),
        ({"decimal": "'"}, 'decimal in .* must be "." or ","'),
        ({"end": "maybe"}, 'end in .* must be "inclusive" or "exclusive"'),
        ({"date_format": "DD/MM"}, "date_format in .* must have a year"),
        ({"encoding": "klingon"}, "encoding in .* must be an encoding"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, options: dict[str, str], says: str) -> None:
    put(tmp_path, a_csv=days(1, 3))
    with pytest.raises(SourceError, match=says):
        read(tmp_path, **options)


def test_a_bill_saved_before_a_day_was_over_cannot_know_all_of_it(tmp_path: Path) -> None:
    put(tmp_path, saved=datetime(2026, 11, 14, 12, tzinfo=UTC), a_csv=days(12, 14))
    reading = read(tmp_path)
    assert [bucket.complete for bucket in reading.buckets] == [True, True, False]
    assert reading.notes == ["a.csv was saved on 2026-11-14, before its last day was over; download it again"]
    put(tmp_path, saved=datetime(2026, 11, 15, 0, tzinfo=UTC), a_csv=days(12, 14))
    reading = read(tmp_path)
    assert all(bucket.complete for bucket in reading.buckets)
    assert not reading.notes


def test_a_file_is_parsed_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = folders.read_bill

    def counted(name: str, *rest: object) -> object:
        parsed.append(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(folders, "read_bill", counted)
    put(tmp_path, a_csv=days(1, 3), b_csv="rubbish")
    first = read(tmp_path)
    assert read(tmp_path).notes == first.notes
    assert parsed == ["a.csv", "b.csv"]
    put(tmp_path, saved=SAVED + timedelta(seconds=1), b_csv=days(4, 4))
    assert sum(by_day(read(tmp_path)).values()) == 10
    assert parsed == ["a.csv", "b.csv", "b.csv"]
    read(tmp_path, now=NOW + timedelta(days=1))
    assert len(parsed) == 5


def test_the_ledger_forgets_a_bill_that_was_taken_out_and_keeps_one_that_broke(tmp_path: Path) -> None:
    bills = tmp_path / "bills"
    bills.mkdir()
    put(bills, a_csv=days(1, 3), b_csv=days(4, 5))
    home = Home(
        tmp_path / "home",
        f'[source.google-bill]\nkind = "file"\nprovider = "google"\nfolder = "{bills}"\n',
    )

    def held() -> int:
        home.now += 700 * 1_000_000
        home.turn("google-bill")
        (nano,) = home.store.db.execute("select coalesce(sum(amount), 0) from figure").fetchone()
        return int(nano) // 10**9

    assert held() == 1 + 2 + 3 + 4 + 5
    put(bills, b_csv="half a downl")
    assert held() == 1 + 2 + 3 + 4 + 5
    (bills / "b.csv").unlink()
    assert held() == 1 + 2 + 3
    put(bills, a_csv="month,cost\n2026-11,$7\n")
    assert held() == 7


def test_a_folder_that_does_not_answer_holds_up_neither_the_loop_nor_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, a_csv=days(1, 3))
    asked, answers = Event(), Event()
    real = folders.os.listdir

    def hanging(path: str) -> list[str]:
        asked.set()
        assert answers.wait(20)
        return real(path)

    async def rounds_of_two() -> None:
        first = asyncio.ensure_future(aside(str(tmp_path), lambda: folders.os.listdir(str(tmp_path))))
        await asyncio.to_thread(asked.wait, 20)
        with pytest.raises(SourceError, match="does not answer"):
            await aside(str(tmp_path), list)
        answers.set()
        assert await first == ["a.csv"]

    monkeypatch.setattr(folders.os, "listdir", hanging)
    asyncio.run(rounds_of_two())
    monkeypatch.undo()
    assert sum(by_day(read(tmp_path)).values()) == 6


def test_the_kind_needs_no_key_and_no_network() -> None:
    assert (KIND.key, KIND.base_url, KIND.env, KIND.hosts) == ("", "", (), ())
