"""APScheduler's SQLite job stores, read from outside. A job's pickled state is never looked at."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from urllib.parse import quote

from costmon.shim.events import clean
from costmon.shim.timestamps import FAR_US
from costmon.sources.schedules.values import Found, Planned, Problem

SOURCE = "apscheduler-store"
MAX_JOBS = 1000
_WHY = {
    sqlite3.SQLITE_BUSY: "it is locked by another program",
    sqlite3.SQLITE_LOCKED: "it is locked by another program",
    sqlite3.SQLITE_CANTOPEN: "this user may not open it",
    sqlite3.SQLITE_PERM: "this user may not open it",
    sqlite3.SQLITE_READONLY: "this user may not open it",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database",
}
_BUSY_S = 0.5
# A writer is never kept waiting: one short read, then the file is closed.
_OLD = {"id", "next_run_time", "job_state"}  # 3.x: epoch seconds as a float, NULL = paused
_NEW = {"id", "task_id", "trigger", "next_fire_time"}  # 4.x: µs


def read(paths: Sequence[str]) -> Found:
    """What the stores at these paths plan; each that cannot be read is one problem."""
    planned: list[Planned] = []
    problems: list[Problem] = []
    for path in paths:
        found = read_store(path)
        planned += found.planned
        problems += found.problems
    return Found(tuple(planned), tuple(problems))


def read_store(path: str) -> Found:
    """The jobs of one store: name = the job's id, no plan (only the app knows it), and the next run."""
    why = _no_database(path) or _not_opened(path)
    if why:
        return _problem(path, why)
    try:
        with closing(_open(path)) as db:
            tables = list(_tables(db))
            if not tables:
                return _problem(path, "it has no table of APScheduler's jobs")
            return _rows(db, path, tables)
    except sqlite3.Error as error:
        return _problem(
            path, _WHY.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "it is no whole SQLite database")
        )


def _no_database(path: str) -> str:
    """Why a file is not even opened, '' if it may be."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "its path is none"
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    return "" if status.st_size else "it is empty, so no scheduler has written to it yet"


def _not_opened(path: str) -> str:
    """Why a store with a write-ahead log is left alone. Opening one without its files would make them anew, as this user's,
    and its own app could not write any more."""
    if os.path.exists(f"{path}-wal") and not os.path.exists(f"{path}-shm"):
        return "its app has ended in the middle of writing; it is read again once that runs"
    return ""


def _is_at_rest(path: str) -> bool:
    """Whether a store with a write-ahead log is not open anywhere: nothing of it is anywhere but in its file."""
    try:
        with open(path, "rb") as file:
            header = file.read(20)
    except OSError:
        return False
    return header[18:20] == b"\x02\x02" and not os.path.exists(f"{path}-wal")


def _open(path: str) -> sqlite3.Connection:
    how = "mode=ro&immutable=1" if _is_at_rest(path) else "mode=ro"
    db = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True, timeout=_BUSY_S)
    db.execute("pragma query_only = on")
    return db


def _tables(db: sqlite3.Connection) -> Iterator[tuple[str, bool]]:
    """The tables that hold jobs, and whether they are of APScheduler 4."""
    names = [
        str(row[0]) for row in db.execute("select name from sqlite_master where type = 'table' limit 1000")
    ]
    for name in names:
        columns = {row[1] for row in db.execute("select * from pragma_table_info(?)", (name,))}
        if columns >= _NEW or columns >= _OLD:
            yield name, columns >= _NEW


def _rows(db: sqlite3.Connection, path: str, tables: Sequence[tuple[str, bool]]) -> Found:
    planned: list[Planned] = []
    odd = more = 0
    for table, new in tables:
        column = "next_fire_time" if new else "next_run_time"
        paused = ", paused" if new and _has(db, table, "paused") else ", 0"
        rows = db.execute(
            f"select id, {column}{paused} from {_quoted(table)} order by id limit {MAX_JOBS + 1}"  # noqa: S608 - the name is quoted
        ).fetchall()
        more += len(rows) > MAX_JOBS
        for job, due, stopped in rows[:MAX_JOBS]:
            name = clean(job)
            scale = 1 if new else 1_000_000
            if not name or not _is_time(due, scale):
                odd += 1
                continue
            at = None if due is None else round(due * scale)
            planned.append(_planned(path, table, name, at, paused=bool(stopped) or at is None))
    problems = []
    if odd:
        problems.append(
            Problem(
                path,
                None,
                f"{path} has {odd} job{'s' * (odd != 1)} without a readable name or time; left out",
            )
        )
    if more:
        problems.append(
            Problem(path, None, f"{path} has more than {MAX_JOBS:,} jobs; the first {MAX_JOBS:,} are read")
        )
    return Found(tuple(planned), tuple(problems))


def _planned(path: str, table: str, name: str, due: int | None, *, paused: bool) -> Planned:
    usual = table in ("apscheduler_jobs", "schedules")
    return Planned(
        job=name,
        app="",
        source=SOURCE,
        owner=path if usual else f"{path}#{clean(table)}",
        who=clean(path if usual else f"{path}, table {table}"),
        plan="",
        next_run_at=None if paused else due,
        note="paused" if paused else "",
    )


def _is_time(due: object, scale: int) -> bool:
    if due is None:
        return True
    return isinstance(due, (int, float)) and math.isfinite(due) and 0 <= due * scale < FAR_US


def _has(db: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in db.execute("select * from pragma_table_info(?)", (table,)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _problem(path: str, why: str) -> Found:
    return Found((), (Problem(path, None, f"{path} is not read as a job store of APScheduler: {why}"),))
