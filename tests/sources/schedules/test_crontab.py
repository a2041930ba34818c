"""Cron tables: what they plan, and what nobody can read in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from costmon.insight.schedule.plans import next_after, parse
from costmon.sources.schedules import crontab
from costmon.sources.schedules.values import Found, Planned
from tests.harness.cron import with_crontab

NOW = int(datetime(2026, 11, 20, 12, 7, tzinfo=UTC).timestamp()) * 1_000_000


def _read(content: str | bytes, *, system: bool = False, cron_tz: bool = False) -> Found:
    data = content.encode() if isinstance(content, str) else content
    table = crontab.Table("crontab of kim", "crontab of kim", "/var/spool/cron/crontabs/kim", data, system)
    return crontab.read_table(table, NOW, "Asia/Seoul", cron_tz=cron_tz)


def _plans(found: Found) -> list[tuple[str, str, str, str]]:
    return [(one.app, one.job, one.plan, one.who) for one in found.planned]


TABLE = r"""# the trading bot
SHELL=/bin/bash
MAILTO = "kim@example.org"
COSTMON_APP=trader

*/5 * * * *  cd /srv/trader && .venv/bin/python trade.py --key=sk-proj-aaaaaaaaaaaaaaaa
@hourly      python -m news.crawl >/dev/null 2>&1
0 9 * * 1-5  COSTMON_JOB="morning mail" python mail.py --format \%Y%line for stdin
@reboot      python warm_up.py
   0 0 30 * *	python tabs.py
"""


def test_each_line_is_a_plan() -> None:
    found = _read(TABLE)
    assert not found.problems
    assert _plans(found) == [
        ("trader", "trade", "cron */5 * * * *", "crontab of kim, line 6"),
        ("trader", "news.crawl", "cron 0 * * * *", "crontab of kim, line 7"),
        ("trader", "morning mail", "cron 0 9 * * 1-5", "crontab of kim, line 8"),
        ("trader", "warm_up", "", "crontab of kim, line 9"),
        ("trader", "tabs", "cron 0 0 30 * *", "crontab of kim, line 10"),
    ]
    assert [one.zone for one in found.planned] == ["Asia/Seoul"] * 3 + ["", "Asia/Seoul"]
    assert found.planned[2].command.endswith("--format %Y")
    assert found.planned[3].note == "when the machine starts"


def test_a_table_of_the_system_names_a_user() -> None:
    found = _read(
        "17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n*/10 * * * * bot\tpython /opt/crawl.py\n",
        system=True,
    )
    assert _plans(found) == [("crawl", "crawl", "cron */10 * * * *", "crontab of kim, line 2")]
    assert not found.problems


def test_two_times_of_one_job_are_one_plan() -> None:
    """A job that a table starts at 9 and at 15 o'clock has one owner: its second run of the day is no stranger's."""
    found = _read("0 9 * * * python a.py\n0 15 * * * python a.py\n")
    assert [(one.owner, one.plan, one.who) for one in found.planned] == [
        ("crontab of kim", "cron 0 9,15 * * *", "crontab of kim, lines 1, 2")
    ]


def test_two_times_that_are_no_single_schedule_tell_the_next_run() -> None:
    (planned,) = _read("0 9 * * * python a.py\n30 15 * * 6 python a.py\n").planned
    assert (planned.plan, planned.note) == ("", "2 lines that make no single schedule")
    assert planned.next_run_at == int(datetime(2026, 11, 21, 0, 0, tzinfo=UTC).timestamp()) * 1_000_000


def test_the_same_line_twice_has_two_owners() -> None:
    found = _read("0 * * * * python a.py\n@hourly python a.py\n")
    assert [one.owner for one in found.planned] == ["crontab of kim", "crontab of kim #2"]


def test_cron_tz_counts_where_cron_heeds_it() -> None:
    table = "CRON_TZ=America/New_York\n0 9 * * * python a.py\n"
    (heeded,), (ignored,) = _read(table, cron_tz=True).planned, _read(table).planned
    assert (heeded.zone, heeded.note) == ("America/New_York", "")
    assert ignored.zone == "Asia/Seoul"
    assert "not heeded" in ignored.note
    (problem,) = _read("CRON_TZ=Mars/Base\n0 9 * * * python a.py\n", cron_tz=True).problems
    assert problem.sentence == (
        "/var/spool/cron/crontabs/kim, line 2: CRON_TZ is no known time zone: 'Mars/Base'"
    )


def test_a_line_nobody_can_read_is_named_without_its_secrets() -> None:
    found = _read(
        "61 * * * * python a.py --api-key=sk-proj-Zx81kfoAAAAqqqq11\n"
        "\x1b[31mhello\nx 0 * * * python b.py\n0 5 * * * python ok.py\n"
    )
    assert [one.job for one in found.planned] == ["ok"]
    assert [one.line for one in found.problems] == [1, 2, 3]
    assert found.problems[0].sentence == (
        "/var/spool/cron/crontabs/kim, line 1 cannot be read as a line of a crontab, so it is left out"
    )
    assert "Zx81" not in repr(found.problems)
    assert "hello" not in found.problems[1].sentence


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x7fELF\x02\x01\0\0\0" * 100, "it is no text"),
        (b"* * * * * python a.py\n" * 10_000, "it has more than 2,000 lines or 1 MB"),
        (b"x" * 1_000_000, "it has more than 2,000 lines or 1 MB"),
    ],
)
def test_what_is_no_table_is_one_problem(content: bytes, why: str) -> None:
    found = _read(content)
    assert not found.planned
    (problem,) = found.problems
    assert problem.sentence == f"/var/spool/cron/crontabs/kim is not read as a crontab: {why}"


def test_a_thousand_bad_lines_do_not_flood_the_page() -> None:
    found = _read("nonsense here\n" * 1000 + "\xff\xfe 0 5 * * * caf\xe9\n")
    assert len(found.problems) == 11
    assert "has 991 more lines" in found.problems[-1].sentence


def test_files_of_a_folder_are_read_as_cron_does(tmp_path: Path) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (tmp_path / "crontab").write_text("0 1 * * * root python one.py\n")
    (folder / "trader").write_text("0 2 * * * bot python two.py\n")
    (folder / "trader.dpkg-old").write_text("0 3 * * * bot python three.py\n")
    os.mkfifo(folder / "pipe")
    found = crontab.read(NOW, "UTC", etc=str(tmp_path), spools=(), user="", cron_tz=False)
    assert [(one.job, one.who) for one in found.planned] == [
        ("one", f"{tmp_path}/crontab, line 1"),
        ("two", f"{folder}/trader, line 1"),
    ]
    assert not found.problems


def test_a_machine_without_cron_has_no_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert crontab.read(NOW, "UTC", etc=str(tmp_path), spools=(), user="kim") == Found()


def test_a_crontab_command_that_hangs_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crontab").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "crontab").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(crontab, "_TIMEOUT_S", 0.2)
    found = crontab.read(NOW, "UTC", etc=str(tmp_path / "none"), spools=(), user="kim")
    assert [one.sentence for one in found.problems] == [
        "the crontab of kim is not known: `crontab -l` did not answer in 0.2 s"
    ]


@pytest.mark.system
@pytest.mark.parametrize("spools", ["None", "()"], ids=["file", "crontab -l"])
def test_a_real_crontab_is_read(tmp_path: Path, spools: str) -> None:
    table = tmp_path / "table"
    table.write_text("COSTMON_APP=trader\n*/20 * * * * python /srv/trade.py\n@daily python report.py\n")
    code = (
        "import json; from costmon.sources.schedules import crontab as c; "
        f"f = c.read({NOW}, 'Asia/Seoul', etc='/nowhere', **({{}} if {spools} is None else {{'spools': {spools}}})); "
        "print(json.dumps([f.planned, f.problems]))"
    )
    rows, problems = json.loads(with_crontab(table, code))
    assert not problems
    planned = [Planned(*row) for row in rows]
    user = planned[0].owner
    assert user.startswith("crontab of ")
    # The lines are counted as the user sees them, without the three that crontab put before them.
    assert [(one.app, one.job, one.plan, one.who) for one in planned] == [
        ("trader", "trade", "cron */20 * * * *", f"{user}, line 2"),
        ("trader", "report", "cron 0 0 * * *", f"{user}, line 3"),
    ]
    plan = parse(planned[0].plan, planned[0].zone)
    assert plan is not None
    assert next_after(plan, NOW) == int(datetime(2026, 11, 20, 12, 20, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.system
def test_the_program_tells_whether_cron_heeds_cron_tz() -> None:
    debian = subprocess.run(["dpkg", "-S", "/usr/sbin/cron"], check=False, capture_output=True, text=True)
    if debian.returncode == 0 and debian.stdout.startswith("cron:"):
        assert not crontab._heeds_cron_tz()
    assert sys.platform != "win32"
