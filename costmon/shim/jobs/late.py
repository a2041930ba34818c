"""What this process has to write of its runs and plans, and what the ledger has not taken of it yet.

A job must not come late for our reasons, so nobody waits here for long: what a busy ledger does not take is written with
the next run, else a second later by a thread of our own that lives as long as something is left, else at exit. Of many
threads that have something to write one writes it all.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from threading import RLock, get_ident
from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import LedgerBusy, LedgerError
from costmon.shim import runtime
from costmon.shim.events import clean
from costmon.shim.faults import guarded, report
from costmon.shim.jobs import books
from costmon.shim.jobs.books import Plan
from costmon.shim.jobs.zones import plausible
from costmon.shim.locks import jitter_s
from costmon.shim.process import process

if TYPE_CHECKING:
    from sqlite3 import Connection

WAIT_S = 0.025
"""How long a run may be held up by a ledger that is busy, unless it was just now."""
BACK_OFF_S = 1.0
_THREAD_WAIT_S = 0.25
# How long one thread may write for all the others.
_WRITER_S = 0.25
_PAUSE_S = 0.01
_RUSH, _RUSH_S = 20, 0.1
# More than a scheduler's own thread may write: other threads want Python's lock between any two rows.
_MANY = 50
_MOST = 10_000
# An interrupt in the wrong instant may leave a writer behind.
_STALE_S = 10.0
Work = Callable[["Connection"], object]


class Said(NamedTuple):
    """The last that is to be said of a job's plan; None takes it back. `anew`: what was said before is taken back first."""

    app: str
    plan: Plan | None
    at: int
    anew: bool


class Waiting:
    """What one process has to write. `lock` guards the queues and is never held while anything is written."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = RLock()
        self.writing_since = -_STALE_S
        self.works: deque[Work] = deque()
        self.plans: dict[tuple[str, str], Said] = {}
        self.lost = 0
        self.busy_until = 0.0
        self.thread = False
        self.turns: deque[tuple[float, int]] = deque(maxlen=_RUSH)

    def __len__(self) -> int:
        return len(self.works) + len(self.plans)

    def add(self, work: Work) -> None:
        """Have `work` written, after all that came before it. It may be written twice."""
        with self.lock:
            self.works.append(work)
            self._cut()

    def say(self, key: tuple[str, str], said: Said) -> None:
        """Have a plan written; only the last one of a job is."""
        with self.lock:
            before = self.plans.get(key)
            anew = before is not None and (before.anew or before.plan is None)
            self.plans[key] = said._replace(anew=said.anew or anew)

    def take(self, works: list[Work], plans: dict[tuple[str, str], Said]) -> None:
        """Move all there is into `works` and `plans`."""
        with self.lock:
            works.extend(self.works)
            plans.update(self.plans)
            self.works.clear()
            self.plans.clear()

    def put_back(self, works: list[Work], plans: dict[tuple[str, str], Said]) -> None:
        """What was taken could not be written."""
        with self.lock:
            self.works.extendleft(reversed(works))
            newer = dict(self.plans)
            self.plans = dict(plans)
            for key, said in newer.items():
                self.say(key, said)
            self._cut()

    def begin(self) -> bool:
        """Whether the caller is to write now. Somebody else who does looks again afterwards."""
        with self.lock:
            now = time.monotonic()
            if now - self.writing_since < _STALE_S:
                return False
            self.writing_since = now
            return True

    def is_rush(self) -> bool:
        """Whether threads have written in turn so often just now that one of our own had better write for them.

        Each row they write themselves costs them Python's lock, for which the others stand in line.
        """
        now, turns = time.monotonic(), self.turns
        with self.lock:
            turns.append((now, get_ident()))
            if now < self.busy_until:  # that thread waits
                return False
            return len(turns) == _RUSH and now - turns[0][0] < _RUSH_S and len({by for _, by in turns}) > 2

    def end(self) -> None:
        """The caller has written."""
        self.writing_since = -_STALE_S

    def _cut(self) -> None:
        while len(self.works) > _MOST:
            self.works.popleft()
            self.lost += 1
            if self.lost == 1:
                report("keep runs", f"costmon loses runs of jobs: the ledger has not taken the last {_MOST}")


_waiting = Waiting()


def mine() -> Waiting:
    """This process's; a forked child has nothing to write of its parent's."""
    global _waiting
    if _waiting.pid != os.getpid():
        _waiting = Waiting()
    return _waiting


def say(job: str, source: str, app: str, plan: Plan | None, now: int, *, anew: bool = False) -> None:
    """This process will run the job by `plan`, or, with None, will not any more. `flush` writes it."""
    if plan is not None:
        plan = Plan(clean(plan.plan), clean(plan.zone), plausible(plan.next_run_at))
    process.tell(now)
    mine().say((job, source), Said(app, plan, now, anew))


def flush(wait_s: float = WAIT_S) -> None:
    """Write what there is. Waits `wait_s` for other processes at most, and not at all while the ledger has just been busy.

    Raises what the ledger does, but LedgerBusy: then it is written later.
    """
    waiting, until = mine(), time.monotonic() + _WRITER_S
    while len(waiting):
        if waiting.is_rush() or (not wait_s and len(waiting) > _MANY):
            _soon(waiting, _PAUSE_S)
            return
        if not waiting.begin():
            return
        try:
            written = _write(waiting, 0.0 if time.monotonic() < waiting.busy_until else wait_s)
        finally:
            waiting.end()
        if not written:
            return
        if not wait_s or time.monotonic() > until:
            if len(waiting):
                _soon(waiting, 0.0)
            return


def _write(waiting: Waiting, wait_s: float) -> bool:
    """Write what there is in one transaction; False if the ledger is busy.

    `Ledger.write` waits longer where others make progress, which is too long for a job.
    """
    until = time.monotonic() + wait_s
    works: list[Work] = []
    plans: dict[tuple[str, str], Said] = {}

    def work(db: Connection) -> None:
        waiting.take(works, plans)
        _write_all(db, works, plans)

    ledger = runtime.recorder().ledger
    try:
        while True:
            try:
                ledger.write_once(work)
                break
            except LedgerBusy:
                if time.monotonic() >= until:
                    raise
                time.sleep(jitter_s())
    except LedgerBusy:
        waiting.put_back(works, plans)
        waiting.busy_until = time.monotonic() + BACK_OFF_S
        guarded("write runs later", _soon, waiting, BACK_OFF_S)
        return False
    except BaseException:
        waiting.put_back(works, plans)
        raise
    waiting.busy_until = 0.0
    return True


def _write_all(db: Connection, works: list[Work], plans: dict[tuple[str, str], Said]) -> None:
    for work in works:
        _written(db, work)
    for (job, source), said in plans.items():
        _written(db, lambda db, job=job, source=source, said=said: _write_plan(db, job, source, said))  # type: ignore[misc]


def _written(db: Connection, work: Work) -> None:
    """Write one thing. What no ledger would take is left out, or nothing that comes after it would ever be written."""
    try:
        work(db)
    except Exception as error:
        if _is_the_ledgers(error):
            raise
        report("write a row", f"costmon could not write a row of a job: {type(error).__name__}")


def _is_the_ledgers(error: Exception) -> bool:
    import sqlite3

    if isinstance(error, sqlite3.ProgrammingError):
        return "bind" not in str(error)
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError)):
        return False
    return isinstance(error, (sqlite3.Error, LedgerError, OSError))


def _write_plan(db: Connection, job: str, source: str, said: Said) -> None:
    if said.plan is None or said.anew:
        books.withdraw(db, said.at, job, source)
    if said.plan is not None:
        books.announce(db, job, said.app, source, said.plan, said.at)


def leaving() -> Work:
    """What writes all that is left, at the end of the process."""
    waiting = mine()
    works: list[Work] = []
    plans: dict[tuple[str, str], Said] = {}

    def write(db: Connection) -> None:
        waiting.take(works, plans)
        _write_all(db, works, plans)

    return write


def _soon(waiting: Waiting, delay_s: float) -> None:
    """Have a thread write what there is after `delay_s`, unless there is one."""
    from threading import Thread

    with waiting.lock:
        if waiting.thread:
            return
        waiting.thread = True
    try:
        Thread(target=_later, args=(waiting, delay_s), name="costmon-late", daemon=True).start()
    except BaseException:
        waiting.thread = False
        raise


def _later(waiting: Waiting, delay_s: float) -> None:
    while True:
        time.sleep(delay_s)
        with waiting.lock:
            if waiting is not _waiting or not len(waiting):
                waiting.thread = False
                return
        if not waiting.begin():
            delay_s = _PAUSE_S
            continue
        try:
            delay_s = _PAUSE_S if _write(waiting, _THREAD_WAIT_S) else BACK_OFF_S
        except Exception as error:  # it goes with the next run
            waiting.thread = False
            report("write runs later", f"costmon could not write runs of jobs: {type(error).__name__}")
            return
        finally:
            waiting.end()


def forget() -> None:
    """There is nothing to write (tests)."""
    global _waiting
    _waiting = Waiting()
