"""APScheduler 3: every scheduler announces its jobs, and each run of a job is one.

Hooked are the two functions in which all executors run a job, where a job is handed to one, and where a scheduler tells
its listeners what happened. No job store is asked for anything but at the start: a question may remove jobs from it.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from costmon.shim import context, runtime
from costmon.shim.faults import guarded
from costmon.shim.jobs import late, runs
from costmon.shim.jobs.announcer import Announcer, Entry, work_of
from costmon.shim.jobs.apscheduler_plans import plan_of
from costmon.shim.jobs.books import Plan, Start
from costmon.shim.jobs.zones import instant_us

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_SOURCE = "apscheduler"
_TAKERS = tuple(
    f"apscheduler.executors.{name}"
    for name in ("base", "pool", "asyncio", "debug", "gevent", "tornado", "twisted")
)
# Of apscheduler.events.
_STARTED, _SHUT_DOWN, _PAUSED, _RESUMED = 2**0, 2**1, 2**2, 2**3
_STORE_REMOVED, _ALL_REMOVED, _REMOVED = 2**7, 2**8, 2**10
_EXECUTED, _ERROR, _MISSED = 2**12, 2**13, 2**14
_SUBMITTED, _FULL = 2**15, 2**16
_OUTCOMES = {_EXECUTED: "ok", _ERROR: "error", _MISSED: "skipped"}
_STOPPED, _RUNNING = 0, 1
_MOST = 10_000
_announcer = Announcer(_SOURCE)
# Jobs that a scheduler deals with right now, by (scheduler, id); runs handed to an executor, by (job, time), with what the
# job was when it was; and those handed to another process, with when.
_jobs: dict[tuple[int, str], Any] = {}
_handed: dict[tuple[str, int | None], Entry] = {}
_away: dict[tuple[str, int | None], tuple[Start, str]] = {}
_paused: dict[tuple[int, str, str], Entry] = {}
# Schedulers that look for jobs that are due, each with its thread.
_waking: set[tuple[int, int]] = set()


def patch(module: ModuleType) -> None:
    """Hook one of the two modules."""
    if module.__name__ == "apscheduler.schedulers.base":
        _patch_scheduler(module.BaseScheduler)
        return
    for name, wrap in (("run_job", _wrap_run), ("run_coroutine_job", _wrap_run_async)):
        original = getattr(module, name, None)
        if original is None or runs.stands_in(original):
            continue
        stand_in = runs.wrapped(wrap(original), original)
        for taker in [module, *(sys.modules.get(taker) for taker in _TAKERS)]:
            if taker is not None and getattr(taker, name, None) is original:
                setattr(taker, name, stand_in)
    executor = getattr(module, "BaseExecutor", None)
    if executor is not None and not runs.stands_in(executor.submit_job):
        executor.submit_job = runs.wrapped(_wrap_submit(executor.submit_job), executor.submit_job)


def _patch_scheduler(scheduler: Any) -> None:
    for name, wrap in (
        ("_dispatch_event", _wrap_dispatch),
        ("_real_add_job", _wrap_add),
        ("modify_job", _wrap_modify),
        ("_process_jobs", _wrap_process),
    ):
        original = getattr(scheduler, name)
        if not runs.stands_in(original):
            setattr(scheduler, name, runs.wrapped(wrap(original), original))


# --- runs -------------------------------------------------------------------------------------------------------------


def _wrap_run(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_job(job: Any, jobstore_alias: Any, run_times: Any, *rest: Any, **more: Any) -> Any:
        if not runtime.enabled():
            return original(job, jobstore_alias, run_times, *rest, **more)
        events: list[Any] = []
        for run_time in run_times:
            run = guarded("begin a run", _new, job, run_time)
            if run is None:
                events += original(job, jobstore_alias, [run_time], *rest, **more)
                continue
            if not _is_late(job, run_time):
                runs.begin(run)
            labels = context.context(job=run.job, run=run.id)
            labels.__enter__()
            told: Any = None
            try:
                told = original(job, jobstore_alias, [run_time], *rest, **more)
            finally:
                labels.__exit__()
                guarded("end a run", _end, run, told)
            events += told
        return events

    return run_job


def _wrap_run_async(original: Callable[..., Any]) -> Callable[..., Any]:
    async def run_coroutine_job(
        job: Any, jobstore_alias: Any, run_times: Any, *rest: Any, **more: Any
    ) -> Any:
        if not runtime.enabled():
            return await original(job, jobstore_alias, run_times, *rest, **more)
        events: list[Any] = []
        for run_time in run_times:
            run = guarded("begin a run", _new, job, run_time)
            if run is None:
                events += await original(job, jobstore_alias, [run_time], *rest, **more)
                continue
            if not _is_late(job, run_time):
                await runs.begin_async(run)
            labels = context.context(job=run.job, run=run.id)
            labels.__enter__()
            told: Any = None
            try:
                told = await original(job, jobstore_alias, [run_time], *rest, **more)
            finally:
                labels.__exit__()
                await _end_async(run, told)
            events += told
        return events

    return run_coroutine_job


def _new(job: Any, run_time: Any) -> Start | None:
    planned_at = instant_us(run_time)
    entry = _handed.pop((job.id, planned_at), None) or _entry(job, None)
    return runs.new(entry.name, _SOURCE, entry.plan.plan, planned_at, manual=runs.started_by_hand())


def _end(run: Start, told: Any) -> None:
    outcome = _outcome(told)
    if outcome == "skipped":
        runs.skip(run)
        late.flush(0.0)
    else:
        runs.end(run, outcome)


async def _end_async(run: Start, told: Any) -> None:
    outcome = _outcome(told)
    if outcome == "skipped":
        runs.skip(run)
        guarded("write a run's end", late.flush, 0.0)
    else:
        await runs.end_async(run, outcome)


def _outcome(told: Any) -> str:
    return _OUTCOMES.get(getattr(told[0], "code", 0), "unknown") if told else "error"


def _is_late(job: Any, run_time: Any) -> bool:
    """Whether APScheduler will leave this run out for being late; it asks itself again, and decides."""
    return guarded("compare times", _past_grace, job, run_time) is True


def _past_grace(job: Any, run_time: Any) -> bool:
    from datetime import UTC, datetime, timedelta

    grace = job.misfire_grace_time
    return grace is not None and datetime.now(UTC) - run_time > timedelta(seconds=grace)


# --- plans ------------------------------------------------------------------------------------------------------------


def _entry(job: Any, next_run_time: Any) -> Entry:
    """What a job is called and planned as. A function that names its job itself says both."""
    own = runs.declared(job.func)
    plan, zone = plan_of(job.trigger)
    if own is not None:
        name = own.name
        plan, zone = (own.plan, own.zone) if own.plan else (plan, zone)
    elif not _is_random(job.id):
        name = _announcer.name(job.id, job.id, (job.id,), "")
    elif type(job.trigger).__module__ == "apscheduler.triggers.date":
        # What runs once, a thousand times over, is one job: by their arguments each would be one of its own.
        name = _announcer.name(job.id, job.name, work_of(job.func, (), {})[:1], "at")
    else:
        name = _announcer.name(job.id, job.name, work_of(job.func, job.args, job.kwargs), plan)
    return Entry(runs.named(name), Plan(plan, zone, instant_us(next_run_time) if next_run_time else None))


def _is_random(job_id: str) -> bool:
    return len(job_id) == 32 and all(digit in "0123456789abcdef" for digit in job_id)


def _wrap_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit_job(self: Any, job: Any, run_times: Any) -> Any:
        guarded("see a job begin", _submitting, self, job, run_times)
        return original(self, job, run_times)

    return submit_job


def _submitting(executor: Any, job: Any, run_times: Any) -> None:
    if not runtime.enabled():
        return
    _jobs[id(executor._scheduler), job.id] = job
    entry = _entry(job, None)
    pool = sys.modules.get("apscheduler.executors.pool")
    away = pool is not None and isinstance(executor, pool.ProcessPoolExecutor)
    for run_time in run_times:
        key = (job.id, instant_us(run_time))
        if len(_handed) + len(_away) > _MOST:
            return
        _handed[key] = entry
        if away:
            run = runs.new(entry.name, _SOURCE, entry.plan.plan, key[1], manual=runs.started_by_hand())
            if run is not None:
                _away[key] = (run, job.name)


def _wrap_add(original: Callable[..., Any]) -> Callable[..., Any]:
    def _real_add_job(self: Any, job: Any, jobstore_alias: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, job, jobstore_alias, *args, **kwargs)
        guarded("see a job", _planned, self, job, jobstore_alias)
        return result

    return _real_add_job


def _wrap_modify(original: Callable[..., Any]) -> Callable[..., Any]:
    def modify_job(self: Any, job_id: Any, *args: Any, **kwargs: Any) -> Any:
        job = original(self, job_id, *args, **kwargs)
        guarded("see a job", _planned, self, job, getattr(job, "_jobstore_alias", None))
        return job

    return modify_job


def _planned(scheduler: Any, job: Any, alias: Any) -> None:
    """A job was added or changed. It is announced once its scheduler has started."""
    if not runtime.enabled() or alias is None:
        return
    _note(scheduler, job, alias)
    if scheduler.state != _STOPPED:
        _tell(scheduler)


def _note(scheduler: Any, job: Any, alias: Any) -> None:
    key = (id(scheduler), str(alias), job.id)
    next_run_time = getattr(job, "next_run_time", None)
    _paused.pop(key, None)
    if next_run_time is None:
        _announcer.drop(key)
    elif not _announcer.takes(key):
        pass
    elif scheduler.state > _RUNNING:  # paused as a whole: its jobs wait for resume()
        _announcer.drop(key)
        _paused[key] = _entry(job, next_run_time)
    else:
        _announcer.plan(key, _entry(job, next_run_time))


def _wrap_process(original: Callable[..., Any]) -> Callable[..., Any]:
    def _process_jobs(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not runtime.enabled():
            return original(self, *args, **kwargs)
        here = (id(self), threading.get_ident())
        _waking.add(here)
        try:
            return original(self, *args, **kwargs)
        finally:
            _waking.discard(here)
            guarded("announce jobs", _announcer.tell)

    return _process_jobs


def _wrap_dispatch(original: Callable[..., Any]) -> Callable[..., Any]:
    def _dispatch_event(self: Any, event: Any) -> Any:
        guarded("see a scheduler's event", _happened, self, event)
        return original(self, event)

    return _dispatch_event


def _happened(scheduler: Any, event: Any) -> None:
    if not runtime.enabled():
        return
    code = event.code
    if code in _OUTCOMES:
        _came_back(event)
        return
    if code in (_SUBMITTED, _FULL):
        job = _jobs.pop((id(scheduler), event.job_id), None)
        if job is not None:
            _note(scheduler, job, event.jobstore)
        if code == _FULL:
            _left_out(event)
    elif code == _STARTED:
        _look_into_stores(scheduler)
        if scheduler.state > _RUNNING:
            _pause(scheduler)
    elif code in (_SHUT_DOWN, _PAUSED, _RESUMED, _STORE_REMOVED, _ALL_REMOVED, _REMOVED):
        _changed(scheduler, event)
    else:
        return
    _tell(scheduler)


def _tell(scheduler: Any) -> None:
    """Write what has changed; what changes while a scheduler looks for jobs that are due is written when it has."""
    if (id(scheduler), threading.get_ident()) not in _waking:
        _announcer.tell()


def _changed(scheduler: Any, event: Any) -> None:
    code = event.code
    alias = getattr(event, "alias", None)
    if code == _PAUSED:
        _pause(scheduler)
    elif code == _RESUMED:
        for key in [key for key in _paused if key[0] == id(scheduler)]:
            _announcer.plan(key, _paused.pop(key))
    elif code == _REMOVED:
        _forget((id(scheduler), str(event.jobstore), event.job_id))
        _jobs.pop((id(scheduler), event.job_id), None)  # it was its last time: there is no next one to tell
    else:
        for key in [*_announcer.of(scheduler), *(key for key in _paused if key[0] == id(scheduler))]:
            if alias is None or code == _SHUT_DOWN or key[1] == str(alias):
                _forget(key)


def _pause(scheduler: Any) -> None:
    for key in _announcer.of(scheduler):
        entry = _announcer.known(key)
        if entry is not None:
            _paused[key] = entry
        _announcer.drop(key)


def _forget(key: Any) -> None:
    _paused.pop(key, None)
    _announcer.drop(key)
    _announcer.free(key[2])


def _left_out(event: Any) -> None:
    """Too many runs of the job go on already: APScheduler leaves these out."""
    for run_time in event.scheduled_run_times:
        planned_at = instant_us(run_time)
        _away.pop((event.job_id, planned_at), None)
        entry = _handed.pop((event.job_id, planned_at), None)
        if entry is not None:
            run = runs.new(entry.name, _SOURCE, entry.plan.plan, planned_at, manual=runs.started_by_hand())
            if run is not None:
                runs.skip(run)


def _came_back(event: Any) -> None:
    """A run in another process has ended. If nothing there wrote it, it is written here, whole."""
    key = (event.job_id, instant_us(event.scheduled_run_time))
    if key in _away:
        _handed.pop(key, None)
        run, also_called = _away.pop(key)
        runs.end_elsewhere(run, _OUTCOMES[event.code], also_called)


def _look_into_stores(scheduler: Any) -> None:
    """Announce what a database of jobs has kept since the last time.

    APScheduler's own questions remove jobs that cannot be restored at this moment, so this one is our own.
    """
    for alias, store in list(scheduler._jobstores.items()):
        table, engine = getattr(store, "jobs_t", None), getattr(store, "engine", None)
        if table is not None and engine is not None:
            guarded("look into a job store", _look_into, scheduler, alias, store, table, engine)


def _look_into(scheduler: Any, alias: Any, store: Any, table: Any, engine: Any) -> None:
    with engine.connect() as connection:
        rows = connection.execute(table.select()).fetchall()
    for row in rows:
        if _announcer.known((id(scheduler), str(alias), row.id)) is None:
            guarded("read a kept job", _kept, scheduler, alias, store, row.job_state)


def _kept(scheduler: Any, alias: Any, store: Any, state: bytes) -> None:
    _note(scheduler, store._reconstitute_job(state), alias)


def forget() -> None:
    """Nothing was seen (tests)."""
    _announcer.forget()
    for seen in (_jobs, _handed, _away, _paused, _waking):
        seen.clear()
