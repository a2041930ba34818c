"""The runs of jobs that go on in this process: begun and ended in the ledger, whatever state that is in.

What a busy ledger does not take is written later; see `late`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.shim import context, runtime
from costmon.shim.events import clean, new_id
from costmon.shim.faults import guarded
from costmon.shim.jobs import books, late, threads
from costmon.shim.jobs.books import Start
from costmon.shim.jobs.zones import plausible
from costmon.shim.process import process, refused

if TYPE_CHECKING:
    from sqlite3 import Connection

_TRUE = ("1", "true", "yes", "on")
# What goes on here: (process id, run) → the job's name.
_going: dict[tuple[int, str], str] = {}
Also = Callable[["Connection"], object]


class Declared(NamedTuple):
    """What `costmon.job` says of a function: its job's name, plan and zone. The function carries it as `MARK`."""

    name: str
    plan: str
    zone: str


MARK = "__costmon_job__"


def declared(function: object) -> Declared | None:
    """What `costmon.job` says of a function a scheduler was given, through partials, methods and other decorators."""
    for _ in range(16):
        found = getattr(function, MARK, None)
        if isinstance(found, Declared):
            return found
        inner = (
            function.func
            if isinstance(function, functools.partial)
            else getattr(function, "__wrapped__", None)
        )
        if inner is None:
            return None
        function = inner
    return None


def started_by_hand() -> bool:
    """Whether the environment says that a person started this process."""
    return os.environ.get("COSTMON_MANUAL", "").lower() in _TRUE


def new(
    job: str, source: str, plan: str = "", planned_at: int | None = None, *, manual: bool = False
) -> Start | None:
    """A run that begins now, in this process and under the labels we are in; None when costmon is off or has a fault."""
    return guarded("begin a run", _new, job, source, plan, planned_at, manual) if runtime.enabled() else None


def _new(job: str, source: str, plan: str, planned_at: int | None, manual: bool) -> Start:
    ledger = runtime.recorder().ledger
    now = ledger.now()
    return Start(
        id=new_id(now),
        app=clean(context.labels()[0]) or "python",
        job=named(job),
        source=source,
        started_at=now,
        plan=clean(plan),
        planned_at=plausible(planned_at),
        elapsed_at=books.elapsed_us(ledger.home),
        manual=manual,
    )


def inside(job: str) -> bool:
    """Whether a run of the job goes on around us: then what begins under its name is that run."""
    return _going.get((os.getpid(), context.run())) == (named(job))


def begin(run: Start, also: Also | None = None, *, again: bool = False, wait_s: float = late.WAIT_S) -> None:
    """Write that a run has begun, or goes on `again` after a retry, and what `also` writes."""
    _goes_on(run)
    guarded("write a run's start", _write, _beginning(run, also, again), wait_s)


async def begin_async(run: Start, also: Also | None = None) -> None:
    """The same on an event loop, where nothing may wait."""
    begin(run, also, wait_s=0.0)


def end(run: Start, outcome: str, wait_s: float = late.WAIT_S) -> None:
    """Write that a run has ended. A child that was forked inside of it does not end it."""
    if _keep_end(run, outcome):
        guarded("write a run's end", late.flush, wait_s)


async def end_async(run: Start, outcome: str) -> None:
    """The same on an event loop, where nothing may wait."""
    end(run, outcome, 0.0)


def interrupt(run: Start) -> None:
    """A run will go on elsewhere, or later."""
    _going.pop((os.getpid(), run.id), None)


def skip(run: Start) -> None:
    """A run was left out. A scheduler says so while it has others to begin: `late.flush` writes it."""
    _goes_on(run)
    guarded("write a run's end", _keep_end, run, "skipped")


def end_elsewhere(run: Start, outcome: str, also_called: str) -> None:
    """A run handed to another process has ended: write it whole, unless that process has (maybe `also_called`)."""
    ended_at = runtime.recorder().ledger.now()

    def work(db: Connection) -> None:
        row = db.execute(
            _WRITTEN, (run.job, also_called, run.planned_at, run.source, run.started_at)
        ).fetchone()
        if row is None:
            books.end(db, run, ended_at, outcome)
        elif row[1] != run.job:
            db.execute("update job_run set job = ? where id = ?", (run.job, row[0]))

    process.tell(run.started_at)
    guarded("write a run", _write, work, 0.0)


def named(job: str) -> str:
    """A job's name as the ledger has it."""
    return clean(job) or "job"


def _goes_on(run: Start) -> None:
    _going[os.getpid(), run.id] = run.job
    process.tell(run.started_at)
    guarded("follow threads", threads.install, _going)


def _keep_end(run: Start, outcome: str) -> bool:
    if _going.pop((os.getpid(), run.id), None) is None:
        return False
    ended_at, told = runtime.recorder().ledger.now(), _told(run, outcome)
    late.mine().add(lambda db: books.end(db, run, ended_at, told))
    return True


def _told(run: Start, outcome: str) -> str:
    """'refused' where costmon refused a call of the run, whatever the app made of that."""
    if run.id not in refused:
        return outcome
    refused.discard(run.id)
    return "refused" if outcome in ("ok", "error") else outcome


def _beginning(run: Start, also: Also | None, again: bool = False) -> Also:
    def both(db: Connection) -> None:
        if not (again and books.go_on(db, run)):
            books.begin(db, run)
        if also is not None:
            also(db)

    return both


def _write(work: Also, wait_s: float) -> None:
    late.mine().add(work)
    late.flush(wait_s)


def forget() -> None:
    """Nothing goes on here (tests)."""
    _going.clear()
    late.forget()


_WRITTEN = """select id, job from job_run where job in (?, ?) and planned_at = ? and source = ? and started_at >= ?
    order by id limit 1"""


def wrapped(function: Any, original: Any) -> Any:
    """`function` as a stand-in for `original`, marked so that it is not set twice."""
    functools.update_wrapper(function, original)
    function.__costmon_stand_in__ = True
    return function


def stands_in(function: Any) -> bool:
    """Whether a function is a stand-in of ours."""
    return getattr(function, "__costmon_stand_in__", False) is True
