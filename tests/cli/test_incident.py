"""`costmon incident` as a user meets it, and who moved the switch."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from costmon import paths
from costmon.cli import main
from costmon.monitor.live import Live
from costmon.shim import switch
from costmon.store import open_ledger
from tests.report import story


@pytest.fixture
def db(costmon_home: Path) -> Iterator[sqlite3.Connection]:
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text('time_zone = "Asia/Seoul"\n')
    store = open_ledger(str(costmon_home))
    yield store.db
    store.close()


def run(*args: str, code: int = 0, command: str = "incident") -> str:
    result = CliRunner().invoke(main, (command, *args))
    assert not isinstance(result.exception, Exception), result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_without_a_word_it_tells_of_the_latest_misfire(db: sqlite3.Connection) -> None:
    """Markdown, on the terminal."""
    story.tell(db)
    told = run()
    assert told.startswith("# Incident: `trade` ran when nobody had planned it\n")
    assert "$0.0132 of $0.0144" in told


def test_times_are_those_of_the_config(db: sqlite3.Connection) -> None:
    """A date is a day there; a time with an offset is that one."""
    story.tell(db)
    for since, until in (
        ("2026-11-21 13:11", "2026-11-21 13:20"),
        ("2026-11-21T04:11+00:00", "2026-11-21T13:20+09:00"),
    ):
        told = json.loads(run("--since", since, "--until", until, "--json"))
        assert (told["since"], told["until"]) == ("2026-11-21T13:11:00+09:00", "2026-11-21T13:20:00+09:00")
        assert [job["unplanned"] for job in told["jobs"]] == [2]
    day = json.loads(run("--since", "2026-11-20", "--until", "2026-11-20", "--json"))
    assert (day["since"], day["until"]) == ("2026-11-20T00:00:00+09:00", "2026-11-21T00:00:00+09:00")


def test_files_are_written_whole_or_not_at_all(db: sqlite3.Connection, tmp_path: Path) -> None:
    """Both at once, over what was there; a folder that is not there is one sentence."""
    story.tell(db)
    page, text = tmp_path / "i.html", tmp_path / "i.md"
    page.write_text("old")
    assert run("--html", str(page), "--md", str(text)).splitlines() == [f"wrote {page}", f"wrote {text}"]
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert text.read_text().startswith("# Incident")
    said = run("--html", str(tmp_path / "no" / "i.html"), code=2)
    assert said == f"costmon: {tmp_path / 'no' / 'i.html'} cannot be written: No such file or directory\n"
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["i.html", "i.md"]
    assert run("--html", "-").startswith("<!DOCTYPE html>")


def test_nothing_happened_on_a_new_machine() -> None:
    """No ledger yet."""
    assert "Nothing happened" in run()


def test_bad_input_is_one_sentence(db: sqlite3.Connection) -> None:
    """That names the option and says what to write."""
    story.tell(db)
    for args, said in (
        (("--since", "yesterday"), "--since 'yesterday' is no time; write it like 2026-11-20"),
        (("--until", "2026-13-01"), "--until '2026-13-01' is no time"),
        (("--since", "2199-01-01"), "lies in the future"),
        (
            ("--since", "2026-11-21", "--until", "2026-11-19"),
            "does not lie before --until 2026-11-19; swap them",
        ),
        (("--since", "2020-01-01"), "more than 400 days"),
        (("--since", "1900-01-01"), "must lie in the years"),
        (("--job", "nothing\x1b[31m"), "is no job costmon knows; there is trade"),
    ):
        shown = run(*args, code=2)
        assert said in shown
        assert "Traceback" not in shown
        assert "\x1b" not in shown


def test_who_moved_the_switch_is_on_record(db: sqlite3.Connection, costmon_home: Path) -> None:
    """By the commands and by the terminal's key; a block that was not there is no move."""
    run("app=trader", "--why", "too often", command="kill")
    run("app=trader", command="allow")
    run("app=trader", command="allow")
    live = Live(str(costmon_home))
    live.toggle()
    live.toggle()
    live.close()
    rows = db.execute("select action, scope, by, reason from switch_journal order by id").fetchall()
    who = rows[0][2]
    assert who.endswith("at a shell")
    assert rows == [
        ("kill", "app=trader", who, "too often"),
        ("allow", "app=trader", who, ""),
        ("kill", "all", "the terminal", ""),
        ("allow", "all", "the terminal", ""),
    ]


def test_a_block_never_waits_for_the_record(
    db: sqlite3.Connection, costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the ledger locked by another it stands all the same, and the command says what is missing."""
    monkeypatch.setattr("costmon.monitor.journal.WAIT_S", 0.2)
    db.execute("begin immediate")
    try:
        said = run(command="kill")
    finally:
        db.execute("rollback")
    assert "blocked: all" in said
    assert "not in the journal" in said
    assert switch.read(paths.switch_dir(str(costmon_home)), "all") is not None
    assert db.execute("select count(*) from switch_journal").fetchone() == (0,)


def test_without_a_ledger_none_is_made(costmon_home: Path) -> None:
    """`costmon kill` works on a machine where nothing ran yet."""
    run(command="kill")
    assert not os.path.exists(paths.ledger_file(str(costmon_home)))


def test_a_stretch_before_anything_ran_is_empty(db: sqlite3.Connection) -> None:
    """And says so."""
    story.tell(db)
    assert "Nothing happened" in run("--since", "2026-01-01", "--until", "2026-01-02")
