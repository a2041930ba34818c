"""Runs nobody wrote down: a process that a crontab or timer started, calls that come in bursts, and what a log's runs cost.

What is read is bounded: events once each, in order of their ids, so many at a time. Times are µs since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.monitor.compile.settings import put, setting
from costmon.monitor.compile.writing import transaction
from costmon.shim.events import id_floor
from costmon.store import schedules

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
BURST_GAP_US = 60 * SECOND_US
SETTLED_US = 120 * SECOND_US
"""A call is written when it has ended, under the id of its beginning: what began later than this may still be missing."""
FIRST_LOOK_US = 2 * DAY_US
PROCESSES_US = 8 * DAY_US
AT_ONCE = 2_000
KEPT_BURSTS = 500
CURSOR = "rhythm_seen"


class HostJobs(NamedTuple):
    """The jobs whole processes are runs of: by the app's name, and by the label of their calls."""

    by_app: Mapping[str, str]
    names: frozenset[str]

    def of(self, app: str, label: str) -> str:
        """The job a process of this app, or a call with this label, belongs to; '' if none."""
        return label if label in self.names else self.by_app.get(app, "")


class _Burst:
    """Calls of one process that followed one another."""

    __slots__ = ("id", "last_at", "ok")

    def __init__(self, run_id: str, last_at: int) -> None:
        self.id = run_id
        self.last_at = last_at
        self.ok = False


class Recogniser:
    """Keeps up with new processes and calls."""

    def __init__(self) -> None:
        self._hosts: HostJobs | None = None
        self._processes_seen = ""
        self._bursts: dict[tuple[str, str, str], _Burst] = {}
        self._logged: set[str] = set()
        self._sums_at = 0

    def step(self, db: Connection, hosts: HostJobs, now: int) -> bool:
        """Read what is new, and write what it tells, if it tells anything; whether it did. Raises LedgerBusy."""
        started = self._started(db, hosts, now)
        calls = self._calls(db, now)
        running = self._running(db, now)
        logged = self._ended_in_logs(db, now)
        if not (started or calls or running or logged):
            return False

        def write() -> None:
            for row, job in started:
                _add_process(db, row, job)
            for call in calls:
                self._call(db, hosts, *call)
            if calls:
                put(db, CURSOR, calls[-1][0])
            for process in running:
                _follow(db, *process, now)
            for run_id, app, job, started_at, ended_at in logged:
                schedules.put_sums(db, run_id, schedules.sum_app(db, app, job, started_at, ended_at))

        transaction(db, write)
        self._logged.update(row[0] for row in logged)
        for key in [key for key, burst in self._bursts.items() if burst.last_at < now - 10 * BURST_GAP_US]:
            del self._bursts[key]
        return True

    def again(self) -> None:
        """Past calls were priced anew: sum what no trigger keeps up to date."""
        self._logged.clear()

    def _started(self, db: Connection, hosts: HostJobs, now: int) -> list[tuple[schedules.ProcessRow, str]]:
        """New processes of the jobs that a crontab or a timer starts: each is a run."""
        if hosts != self._hosts:
            self._hosts, self._processes_seen = hosts, f"p{id_floor(now - PROCESSES_US)}"
        if not hosts.names:
            return []
        rows = schedules.processes(db, self._processes_seen)
        self._processes_seen = rows[-1].id if rows else self._processes_seen
        return [(row, job) for row in rows if (job := hosts.of(row.app, ""))]

    def _calls(self, db: Connection, now: int) -> list[tuple[Any, ...]]:
        return schedules.calls_after(
            db, setting(db, CURSOR) or id_floor(now - FIRST_LOOK_US), now - SETTLED_US, AT_ONCE
        )

    def _running(self, db: Connection, now: int) -> list[tuple[str, int, int | None]]:
        """(id, start, end) of the processes that are runs and were not written as ended; those that go on twice a minute."""
        rows: list[tuple[str, int, int | None]] = db.execute(
            "select r.id, r.started_at, p.ended_at from job_run r join process p on p.id = r.id and p.app = r.app"
            " where r.source = 'process' and r.outcome = 'running'"
        ).fetchall()
        if abs(now - self._sums_at) >= 30 * SECOND_US:
            self._sums_at = now
            return rows
        return [row for row in rows if row[2] is not None]

    def _ended_in_logs(self, db: Connection, now: int) -> list[tuple[str, str, str, int, int]]:
        """(id, app, job, start, end) of runs a log has told of, whose calls were not summed yet."""
        rows = db.execute(
            "select id, app, job, started_at, ended_at from job_run"
            " where source = 'log' and started_at > ? and ended_at < ?",
            (now - PROCESSES_US, now - 5 * SECOND_US),
        )
        return [row for row in rows if row[0] not in self._logged][:AT_ONCE]

    def _call(
        self,
        db: Connection,
        hosts: HostJobs,
        event_id: str,
        at: int,
        app: str,
        label: str,
        run_id: str,
        outcome: str,
        input_tokens: int,
        output_tokens: int,
        cost: int | None,
        currency: str,
    ) -> None:
        if run_id and run_id < "p":
            return  # a job's run made it
        planned = hosts.of(app, label)
        if planned and run_id:  # a process is one run, told by its label
            for row in schedules.process_rows(db, run_id)[:1]:
                _add_process(db, row, planned)
            return
        burst = self._burst(db, event_id, at, app, label or app, run_id)
        burst.ok = burst.ok or outcome == "ok"
        burst.last_at = max(burst.last_at, at)
        db.execute(
            "update job_run set ended_at = max(coalesce(ended_at, 0), ?), outcome = ? where id = ?",
            (burst.last_at, "ok" if burst.ok else "error", burst.id),
        )
        db.execute(
            """insert into rollup_run (run_id, currency, calls, errors, input_tokens, output_tokens, cost, unpriced)
               values (?, ?, 1, ?, ?, ?, ?, ?)
               on conflict do update set calls = calls + 1, errors = errors + excluded.errors,
                   input_tokens = input_tokens + excluded.input_tokens,
                   output_tokens = output_tokens + excluded.output_tokens,
                   cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced""",
            (burst.id, currency, outcome != "ok", input_tokens, output_tokens, cost or 0, cost is None),
        )

    def _burst(self, db: Connection, event_id: str, at: int, app: str, job: str, run_id: str) -> _Burst:
        """The burst this call belongs to, a new one after a pause."""
        key = (run_id, app, job)
        burst = self._bursts.get(key)
        who = next(iter(schedules.process_rows(db, run_id)), None) if run_id else None
        if burst is None:
            burst = _known(db, app, job, who.owner if who else "", at)
        if burst is None or at - burst.last_at > BURST_GAP_US:
            burst = _Burst(f"q{event_id}", at)
            db.execute(
                """insert or ignore into job_run (id, app, job, source, owner, who, started_at, ended_at, outcome)
                   values (?, ?, ?, 'rhythm', ?, ?, ?, ?, 'ok')""",
                (burst.id, app, job, who.owner if who else "", who.who if who else "", at, at),
            )
            _forget_oldest(db, app, job)
        self._bursts[key] = burst
        return burst


def _known(db: Connection, app: str, job: str, owner: str, at: int) -> _Burst | None:
    """A burst an engine before this one has begun to write."""
    row = db.execute(
        """select id, ended_at, outcome from job_run where job = ? and app = ? and source = 'rhythm' and owner = ?
           and started_at <= ? order by started_at desc limit 1""",
        (job, app, owner, at),
    ).fetchone()
    if row is None or row[1] is None:
        return None
    found = _Burst(row[0], row[1])
    found.ok = row[2] == "ok"
    return found


def _forget_oldest(db: Connection, app: str, job: str) -> None:
    old = db.execute(
        "select id from job_run where job = ? and app = ? and source = 'rhythm' order by started_at desc limit -1 offset ?",
        (job, app, KEPT_BURSTS),
    ).fetchall()
    db.executemany("delete from rollup_run where run_id = ?", old)
    db.executemany("delete from job_run where id = ?", old)


def _follow(db: Connection, run_id: str, started_at: int, ended_at: int | None, now: int) -> None:
    """What a process that is a run came to so far, and its end."""
    sums = schedules.sum_process(db, run_id, started_at, now if ended_at is None else ended_at)
    schedules.put_sums(db, run_id, sums)
    if ended_at is not None:
        calls, errors = (sum(row[place] for row in sums) for place in (1, 2))
        outcome = "error" if calls and errors == calls else "ok"
        db.execute("update job_run set ended_at = ?, outcome = ? where id = ?", (ended_at, outcome, run_id))


def _add_process(db: Connection, row: schedules.ProcessRow, job: str) -> None:
    db.execute(
        """insert or ignore into job_run (id, app, job, source, owner, who, started_at, outcome)
           values (?, ?, ?, 'process', ?, ?, ?, 'running')""",
        (row.id, row.app, job, row.owner, row.who, row.first_at),
    )
