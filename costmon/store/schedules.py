"""What the ledger knows of jobs: announcements, runs and their sums, processes, and when somebody watched.

Every function takes the connection first; times are µs since 1970 UTC, money is nano of the named currency. Reads use the
index of runs by job and time, so that years of other jobs' runs cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.shim.events import id_floor

IN_APP = ("app", "apscheduler", "schedule", "celery")
"""Sources whose announcements and runs a process writes itself."""
ON_HOST = ("crontab", "systemd")
READ = (*ON_HOST, "apscheduler-store", "compose")
"""Sources the engine reads; their announcements are its own to end."""
ANNOUNCEMENT = "job, app, source, owner, who, plan, zone, next_run_at, first_at, seen_at, ended_at, note"
_AHEAD_US = 60 * 1_000_000
RUN = "id, app, job, source, owner, who, plan, planned_at, started_at, ended_at, outcome, elapsed_at, manual"


class Stamp(NamedTuple):
    """What changes when runs of a job do: the newest start and end, and the ids of those that go on."""

    job: str
    app: str
    started_at: int
    ended_at: int
    open: str = ""


class RunSums(NamedTuple):
    """What the calls of one run came to in one currency; `cost` without what the `unpriced` calls cost, which
    have no full price; the usage of the `estimated` ones is."""

    run_id: str
    currency: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: int
    unpriced: int
    estimated: int


class OpenRun(NamedTuple):
    """A run that has not ended."""

    id: str
    source: str
    owner: str
    started_at: int


class ProcessRow(NamedTuple):
    """A process that makes calls, under one app's name."""

    id: str
    app: str
    owner: str
    who: str
    first_at: int
    ended_at: int | None


class Span(NamedTuple):
    """While an engine watched; `gap` is why the one before ended."""

    start_at: int
    end_at: int
    gap: str
    step: int


class MisfireRow(NamedTuple):
    """A plan that did not hold, as in the ledger."""

    id: int
    kind: str
    job: str
    first_at: int
    last_at: int
    runs: int
    state: str
    evidence: str


def announcements(db: Connection, since: int, most: int = 5_000) -> list[tuple[Any, ...]]:
    """Rows of `ANNOUNCEMENT` that hold, or held at `since` or later; the newest if there are too many."""
    return db.execute(
        f"select {ANNOUNCEMENT} from announcement where ended_at is null or ended_at >= ?"  # noqa: S608 - names are ours
        " order by seen_at desc limit ?",
        (since, most),
    ).fetchall()


def stamps(db: Connection, since: int) -> list[Stamp]:
    """One for each job and app with runs that began since then; ids sort by time, in each of their three kinds."""
    floor, end = id_floor(since - _AHEAD_US), "g"
    rows = db.execute(
        f"""select job, app, max(started_at), max(coalesce(ended_at, 0)) from ({_SINCE} union all {_SINCE}
            union all {_SINCE}) group by job, app""",  # noqa: S608 - constants
        (floor, end, since, f"p{floor}", "q", since, f"q{floor}", "r", since),
    )
    return [Stamp(*row) for row in rows]


_SINCE = "select job, app, started_at, ended_at from job_run where id >= ? and id < ? and started_at >= ?"


def open_by_job(db: Connection, since: int) -> list[tuple[str, str, str]]:
    """(app, job, the ids of its runs that go on), of those that began since then."""
    return db.execute(
        "select app, job, group_concat(id) from job_run where outcome = 'running' and started_at >= ?"
        " group by app, job",
        (since,),
    ).fetchall()


def totals(db: Connection, job: str) -> dict[str, tuple[int, int]]:
    """App → (runs, failures) of everything that is kept of a job."""
    rows = db.execute(
        "select app, count(*), sum(outcome = 'error') from job_run where job = ? group by app", (job,)
    )
    return {app: (runs, failures) for app, runs, failures in rows}


def runs_of(db: Connection, job: str, since: int, most: int) -> list[tuple[Any, ...]]:
    """Rows of `RUN` that began at `since` or later, the newest `most`, oldest first."""
    rows = db.execute(
        f"select {RUN} from job_run where job = ? and started_at >= ? order by started_at desc limit ?",  # noqa: S608
        (job, since, most),
    ).fetchall()
    return rows[::-1]


def sums_of(db: Connection, job: str, since: int) -> list[RunSums]:
    """The sums of those runs, one for each run and currency."""
    rows = db.execute(
        """select run_id, currency, s.calls, s.errors, s.input_tokens, s.output_tokens, s.cost,
                  s.unpriced + s.partial, s.estimated
           from job_run r join rollup_run s on s.run_id = r.id where r.job = ? and r.started_at >= ?""",
        (job, since),
    )
    return [RunSums(*row) for row in rows]


def open_runs(db: Connection, since: int = 0) -> list[OpenRun]:
    """The runs that have not ended, of those that began at `since` or later."""
    rows = db.execute(
        "select id, source, owner, started_at from job_run where outcome = 'running' and started_at >= ?",
        (since,),
    )
    return [OpenRun(*row) for row in rows]


def lose_runs(db: Connection, ended: Iterable[tuple[int | None, str]]) -> None:
    """Runs whose end nobody saw: (when it was noticed, or None, and the run's id)."""
    db.executemany(
        "update job_run set outcome = 'unknown', ended_at = ? where id = ? and outcome = 'running'", ended
    )


def doubtful_announcements(db: Connection, before: int) -> list[tuple[tuple[str, str, str, str], bool]]:
    """((job, app, source, owner), whether it is old) of what processes announce: old is what nobody has heard of since
    `before`, though a run was due; of the others another process of that app has announced the job since."""
    marks = ", ".join("?" * len(IN_APP))
    rows = db.execute(
        f"""select job, app, source, owner, seen_at < ? and coalesce(next_run_at, 0) < ? as old from announcement a
            where ended_at is null and source in ({marks}) and (old or exists (select 1 from announcement n
                where n.job = a.job and n.app = a.app and n.owner <> a.owner and n.ended_at is null
                    and n.first_at >= a.seen_at))""",  # noqa: S608 - constants
        (before, before, *IN_APP),
    )
    return [((job, app, source, owner), bool(old)) for job, app, source, owner, old in rows]


def end_announcements(db: Connection, keys: Sequence[tuple[str, str, str, str]]) -> None:
    """Nobody announces these any more, since they were last heard of."""
    db.executemany(
        "update announcement set ended_at = seen_at where job = ? and app = ? and source = ? and owner = ?",
        keys,
    )


def processes(db: Connection, after: str, most: int = 500) -> list[ProcessRow]:
    """Processes with an id past `after` (ids sort by time), in order."""
    rows = db.execute(
        "select id, app, owner, who, first_at, ended_at from process where id > ? order by id limit ?",
        (after, most),
    )
    return [ProcessRow(*row) for row in rows]


def process_rows(db: Connection, run_id: str) -> list[ProcessRow]:
    """One process, a row for each app."""
    rows = db.execute("select id, app, owner, who, first_at, ended_at from process where id = ?", (run_id,))
    return [ProcessRow(*row) for row in rows]


def living_processes(db: Connection) -> list[tuple[str, str]]:
    """(id, owner) of processes nobody has seen end."""
    return db.execute("select distinct id, owner from process where ended_at is null").fetchall()


def end_processes(db: Connection, ended: Iterable[tuple[int, str]]) -> None:
    db.executemany("update process set ended_at = ? where id = ? and ended_at is null", ended)


def calls_after(db: Connection, after: str, before_us: int, most: int) -> list[tuple[Any, ...]]:
    """(id, created_at, app, job, run_id, outcome, input tokens, output tokens, cost, currency) of events past the id
    `after` that were created before `before_us`, in order of their ids; a price that is not known is None."""
    return db.execute(
        """select id, created_at, app, job, coalesce(run_id, ''), outcome, coalesce(input_tokens, 0),
                  coalesce(output_tokens, 0), cost, currency
           from event where id > ? and id < ? and state = 'settled' and source <> 'meter' order by id limit ?""",
        (after, id_floor(before_us), most),
    ).fetchall()


_SUMMED = """select currency, count(*), sum(outcome <> 'ok'), sum(coalesce(input_tokens, 0)),
    sum(coalesce(output_tokens, 0)), sum(coalesce(cost, 0)), sum(cost is null), sum(cost_status = 'estimated'),
    sum(iif(cost_status = 'estimated', coalesce(cost, 0), 0)), sum(iif(cost is null, coalesce(charge, 0), 0)),
    sum(cost_status = 'partial')
    from event where id >= ? and id < ? and state = 'settled' and source <> 'meter'"""


def sum_process(db: Connection, run_id: str, first_at: int, until: int) -> list[tuple[Any, ...]]:
    """The calls one process made, as the columns of `rollup_run` after its id."""
    return db.execute(
        f"{_SUMMED} and run_id = ? group by currency",
        (id_floor(first_at - 1_000_000), id_floor(until + 1_000_000), run_id),
    ).fetchall()


def sum_app(db: Connection, app: str, job: str, first_at: int, until: int) -> list[tuple[Any, ...]]:
    """The calls of one app in [first_at, until] that no run made and no other job is named for, as `sum_process`."""
    return db.execute(
        f"{_SUMMED} and app = ? and job in ('', ?) and created_at between ? and ? and coalesce(run_id, 'p') >= 'p'"
        " group by currency",
        (id_floor(first_at), id_floor(until + 1_000), app, job, first_at, until),
    ).fetchall()


def put_sums(db: Connection, run_id: str, sums: Iterable[tuple[Any, ...]]) -> None:
    """Say anew what the calls of a run came to, for a run whose calls do not name it."""
    db.execute("delete from rollup_run where run_id = ?", (run_id,))
    db.executemany(
        """insert into rollup_run (run_id, currency, calls, errors, input_tokens, output_tokens, cost, unpriced, estimated,
               estimated_cost, assumed, partial) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [(run_id, *row) for row in sums],
    )


def spans(db: Connection, since: int) -> list[Span]:
    """When somebody watched, oldest first: the spans that reach past `since`."""
    rows = db.execute(
        "select start_at, end_at, gap, step from watch_span where end_at >= ? order by start_at", (since,)
    )
    return [Span(*row) for row in rows]


def misfires(db: Connection, since: int) -> list[MisfireRow]:
    """Plans that did not hold at `since` or later, or still do not, oldest first."""
    rows = db.execute(
        "select id, kind, job, first_at, last_at, runs, state, evidence from misfire"
        " where state = 'open' or last_at >= ? order by first_at, id",
        (since,),
    )
    return [MisfireRow(*row) for row in rows]


def repriced(db: Connection) -> tuple[int, int]:
    """Changes when past calls were priced anew."""
    row = db.execute("select coalesce(max(id), 0), coalesce(max(ended_at), 0) from reprice_run").fetchone()
    return int(row[0]), int(row[1])
