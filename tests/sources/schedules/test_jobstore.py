"""APScheduler's SQLite stores, written by a real scheduler and read while it runs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from costmon.sources.schedules import jobstore

_APP = """
import sys
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
def work(): pass
store = SQLAlchemyJobStore(url="sqlite:///" + sys.argv[1])
if sys.argv[2] == "wal":
    with store.engine.connect() as db:
        db.exec_driver_sql("pragma journal_mode = wal")
scheduler = BackgroundScheduler(jobstores={"default": store}, timezone="Asia/Seoul")
scheduler.start()
scheduler.add_job("__main__:work", "interval", minutes=60, id="trade")
scheduler.add_job("__main__:work", "interval", seconds=1, id="pulse")
scheduler.add_job("__main__:work", "cron", hour=9, id="mail").pause()
print(scheduler.get_job("trade").next_run_time.timestamp(), flush=True)
sys.stdin.readline()
print(scheduler.get_job("pulse").next_run_time.timestamp(), flush=True)
scheduler.shutdown()
"""


@contextmanager
def _scheduler(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _APP, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_next_runs_of_a_running_scheduler_are_read_and_it_goes_on(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "jobs 50%.sqlite"
    with _scheduler(path, mode) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        due = float(process.stdout.readline())
        found = jobstore.read([str(path)])
        assert not found.problems
        jobs = {one.job: one for one in found.planned}
        assert jobs["trade"].next_run_at == pytest.approx(due * 1e6, abs=2)
        assert (jobs["trade"].plan, jobs["trade"].source, jobs["trade"].who) == (
            "",
            "apscheduler-store",
            str(path),
        )
        assert (jobs["mail"].next_run_at, jobs["mail"].note) == (None, "paused")
        first = jobs["pulse"].next_run_at
        assert first is not None
        began = time.monotonic()
        reads = 0
        while jobs["pulse"].next_run_at == first:  # it writes its next run while it is being read
            jobs = {one.job: one for one in jobstore.read([str(path)]).planned}
            reads += 1
            assert time.monotonic() - began < 10
        process.stdin.write("\n")
        process.stdin.flush()
        assert float(process.stdout.readline()) >= first / 1e6
        _, errors = process.communicate(timeout=20)
        assert errors == ""
        assert reads > 1


def test_a_jobs_state_is_never_unpickled(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "jobs.sqlite"
    witness = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(witness), "w")

    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table apscheduler_jobs (id text primary key, next_run_time float, job_state blob)")
        db.execute("insert into apscheduler_jobs values ('trap', 1800000000.5, ?)", (pickle.dumps(Trap()),))
    (job,) = jobstore.read([str(path)]).planned
    assert (job.job, job.next_run_at) == ("trap", 1_800_000_000_500_000)
    assert not witness.exists()


def test_a_store_of_apscheduler_four_counts_in_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "create table schedules (id text, task_id text, trigger blob, paused boolean, next_fire_time bigint)"
        )
        db.execute(
            "insert into schedules values ('trade', 't', x'00', 0, 1800000000500000), ('off', 't', x'00', 1, 5)"
        )
    found = jobstore.read([str(path)])
    assert [(one.job, one.next_run_at, one.note) for one in found.planned] == [
        ("off", None, "paused"),
        ("trade", 1_800_000_000_500_000, ""),
    ]


def test_a_table_of_another_name_is_found_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute('create table "my ""jobs" (id text, next_run_time float, job_state blob)')
        db.execute('insert into "my ""jobs" values (\'trade\', null, null)')
    (job,) = jobstore.read([str(path)]).planned
    assert job.who == f'{path}, table my "jobs'


def test_odd_rows_are_counted_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table apscheduler_jobs (id, next_run_time, job_state blob)")
        rows = [("a", "soon"), (None, 1.0), ("c", float("inf")), ("d", -5), ("e\x1b[2J\n", 1.0), ("f", 1e300)]
        db.executemany("insert into apscheduler_jobs values (?, ?, null)", rows)
    found = jobstore.read([str(path)])
    assert [one.job for one in found.planned] == ["e[2J"]
    assert [one.sentence for one in found.problems] == [
        f"{path} has 5 jobs without a readable name or time; left out"
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        (b"", "it is empty, so no scheduler has written to it yet"),
        (b"\x89PNG\r\n" * 1000, "it is no SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "it is no SQLite database"),
    ],
)
def test_what_is_no_store_is_one_problem(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "jobs.sqlite"
    if content is not None:
        path.write_bytes(content)
    found = jobstore.read([str(path)])
    assert not found.planned
    assert [one.sentence for one in found.problems] == [
        f"{path} is not read as a job store of APScheduler: {why}"
    ]


def test_a_database_without_jobs_a_folder_and_a_locked_store_are_told_apart(tmp_path: Path) -> None:
    other, locked = tmp_path / "other.sqlite", tmp_path / "locked.sqlite"
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("create table t (id)")
    with closing(sqlite3.connect(locked, isolation_level=None)) as db:
        db.execute("create table apscheduler_jobs (id, next_run_time, job_state)")
        db.execute("begin exclusive")
        found = jobstore.read([str(other), str(tmp_path), str(locked)])
    assert [one.sentence.partition(": ")[2] for one in found.problems] == [
        "it has no table of APScheduler's jobs",
        "it is no file",
        "it is locked by another program",
    ]


def test_a_store_at_rest_is_left_as_it_is(tmp_path: Path) -> None:
    """A write-ahead log and its index made by us would be ours, and the app could not write to its own store any more."""
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table apscheduler_jobs (id text, next_run_time float, job_state blob)")
        db.execute("insert into apscheduler_jobs values ('trade', 1795298613.5, x'00')")
        db.commit()
    assert [item.name for item in tmp_path.iterdir()] == ["jobs.sqlite"]
    assert [one.job for one in jobstore.read_store(str(path)).planned] == ["trade"]
    assert [item.name for item in tmp_path.iterdir()] == ["jobs.sqlite"]


def test_a_time_no_clock_says_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table apscheduler_jobs (id text, next_run_time float, job_state blob)")
        db.executemany(
            "insert into apscheduler_jobs values (?, ?, x'00')", [("far", 1e12), ("near", 1795298613.5)]
        )
        db.commit()
    found = jobstore.read_store(str(path))
    assert [one.job for one in found.planned] == ["near"]
    assert len(found.problems) == 1
