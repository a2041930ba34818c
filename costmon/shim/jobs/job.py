"""Scheduled jobs announce themselves: `@costmon.job("trade", every="60m")` or `with costmon.job("trade", every="60m"):`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from costmon.shim.context import context, kind_of
from costmon.shim.events import clean
from costmon.shim.jobs import late, runs
from costmon.shim.jobs.books import Plan, Start
from costmon.shim.jobs.intervals import interval_us, spell_interval
from costmon.shim.jobs.zones import local_zone

if TYPE_CHECKING:
    from sqlite3 import Connection

_F = TypeVar("_F", bound=Callable[..., Any])
# The first run of each job in this process, if a terminal started it: (pid, job) → its id, '' once it is judged.
_first: dict[tuple[int, str], str] = {}
# The blocks we are in, innermost last, with whose they are: one job object may serve many threads and tasks at once.
_blocks: ContextVar[tuple[tuple[job, Start | None, context], ...]] = ContextVar("costmon_jobs", default=())


class job:  # noqa: N801 - reads as a keyword where it is used
    """One run of a scheduled job: a context manager, and a decorator of sync and async functions.

    Args:
        name: the job's name; calls made inside are labelled with it.
        every: its interval ('60m', '1h30m', seconds); the next run is expected that long after this one started.
        cron: or its five fields, as crontab(5) has them ('0 * * * *').
        zone: the IANA name of the time zone of `cron`; '' is this machine's.
        manual: a person started this run, the plan did not. Default: `COSTMON_MANUAL`, else whether it is the only run of a
            process that was started in a terminal.

    Raises ValueError for an interval nobody can read. The ledger's faults never reach the app.
    """

    def __init__(
        self,
        name: str,
        *,
        every: str | float | None = None,
        cron: str | None = None,
        zone: str = "",
        manual: bool | None = None,
    ) -> None:
        if every is not None and cron is not None:
            raise ValueError(f"job {name!r} has every= and cron=: give one of them")
        if cron is not None and len(str(cron).split()) != 5:
            raise ValueError(f"cron={cron!r} is no cron expression: use five fields, such as '0 * * * *'")
        self._name = name
        self._every_us = interval_us(every) if every is not None else None
        self._cron = " ".join(cron.split()) if cron is not None else ""
        self._zone = zone or (local_zone() if self._cron else "")
        self._manual = manual

    def __enter__(self) -> job:
        run = self._new()
        if run is not None:
            runs.begin(run, self._also(run))
        return self._entered(run)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        run = self._left()
        if run is not None:
            runs.end(run, _outcome(error))

    async def __aenter__(self) -> job:
        run = self._new()
        if run is not None:
            await runs.begin_async(run, self._also(run))
        return self._entered(run)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        run = self._left()
        if run is not None:
            await runs.end_async(run, _outcome(error))

    def __call__(self, function: _F) -> _F:
        kind = kind_of(function, "job")
        if kind == "async":

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with self:
                    return await function(*args, **kwargs)

            return self._marked(run_async)  # type: ignore[no-any-return]

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return self._marked(run)  # type: ignore[no-any-return]

    def _marked(self, function: Any) -> Any:
        setattr(function, runs.MARK, runs.Declared(self._name, self._plan(), self._zone))
        return function

    def _plan(self) -> str:
        if self._cron:
            return clean(f"cron {self._cron}")
        return f"every {spell_interval(self._every_us)}" if self._every_us is not None else ""

    def _new(self) -> Start | None:
        """The run that begins, or None: costmon is off, or we are inside a run of this very job (its scheduler's)."""
        if runs.inside(self._name):
            return None
        manual = self._manual if self._manual is not None else runs.started_by_hand()
        run = runs.new(self._name, "app", self._plan(), manual=manual)
        if run is None or run.manual or self._manual is not None or not _in_terminal():
            return run
        return run._replace(manual=(os.getpid(), run.job) not in _first)

    def _also(self, run: Start) -> runs.Also:
        """What is written with the start: the announcement, and that the first run in a terminal was not by hand."""
        repeated, key = "", (os.getpid(), run.job)
        if self._manual is None and not runs.started_by_hand() and (run.manual or key in _first):
            repeated, _first[key] = _first.get(key, ""), run.id if run.manual else ""
        next_run = run.started_at + self._every_us if self._every_us is not None else None
        if not run.manual:
            late.say(run.job, "app", run.app, Plan(run.plan, self._zone, next_run), run.started_at)

        def write(db: Connection) -> None:
            if repeated:  # what runs again by itself is no person's doing
                db.execute("update job_run set manual = 0 where id = ?", (repeated,))

        return write

    def _entered(self, run: Start | None) -> job:
        labels = context(job=self._name, run=run.id if run is not None else None)
        labels.__enter__()
        _blocks.set((*_blocks.get(), (self, run, labels)))
        return self

    def _left(self) -> Start | None:
        blocks = _blocks.get()
        for at in reversed(
            range(len(blocks))
        ):  # a generator may be left while others are in blocks of their own
            owner, run, labels = blocks[at]
            if owner is self:
                _blocks.set(blocks[:at] + blocks[at + 1 :])
                labels.__exit__()
                return run
        return None  # left in another context than it was entered in: the end of the process ends the run


def _outcome(error: BaseException | None) -> str:
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "ok"
    return "error"


def _in_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError, OSError):  # no standard input, or a closed one
        return False
