"""The `schedule` library: its jobs announce themselves, and each run of a job is one.

It reckons in naive local time, and counts an interval from the end of the run before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from costmon.shim import context, runtime
from costmon.shim.events import clean
from costmon.shim.faults import guarded
from costmon.shim.jobs import crons, runs
from costmon.shim.jobs.announcer import Announcer, Entry, work_of
from costmon.shim.jobs.books import Plan, Start
from costmon.shim.jobs.intervals import interval_us, spell_interval
from costmon.shim.jobs.zones import instant_us, local_zone, zone_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_SOURCE = "schedule"
_UNITS = {"seconds": "s", "minutes": "m", "hours": "h", "days": "d", "weeks": "w"}
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
# A run that begins this long before its time was not begun by the clock (run_all).
_EARLY_US = 1_000_000
_announcer = Announcer(_SOURCE)


def patch(module: ModuleType) -> None:
    """Hook `schedule`; another module of that name, the app's own for example, is left alone."""
    job, scheduler = getattr(module, "Job", None), getattr(module, "Scheduler", None)
    if not all(hasattr(job, name) for name in ("do", "run", "_schedule_next_run", "_is_overdue")):
        return
    if not all(hasattr(scheduler, name) for name in ("cancel_job", "clear", "run_pending")):
        return
    for owner, name, wrap in (
        (job, "do", _wrap_do),
        (job, "run", _wrap_run),
        (scheduler, "cancel_job", _wrap_change),
        (scheduler, "clear", _wrap_change),
    ):
        original = getattr(owner, name)
        if not runs.stands_in(original):
            setattr(owner, name, runs.wrapped(wrap(original), original))
    default = getattr(module, "default_scheduler", None)
    if default is not None and default.jobs:
        guarded("see jobs", _all_of, default)


def _wrap_do(original: Callable[..., Any]) -> Callable[..., Any]:
    def do(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        guarded("see a job", _planned, self)
        return result

    return do


def _wrap_run(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = guarded("begin a run", _new, self) if runtime.enabled() else None
        if begun is None:
            return original(self, *args, **kwargs)
        runs.begin(begun)
        labels = context.context(job=begun.job, run=begun.id)
        labels.__enter__()
        outcome = "error"
        try:
            result = original(self, *args, **kwargs)
            outcome = "ok"
        finally:
            labels.__exit__()
            guarded("end a run", runs.end, begun, outcome)
            guarded("see a job", _planned, self)
        return result

    return run


def _wrap_change(original: Callable[..., Any]) -> Callable[..., Any]:
    def change(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        guarded("see jobs", _all_of, self)
        return result

    return change


def _new(job: Any) -> Start | None:
    from datetime import datetime

    if job.job_func is None or job._is_overdue(datetime.now()):  # noqa: DTZ005 - as it reckons
        return None  # its last time is over: it will not run
    entry = _entry(job)
    planned_at = entry.plan.next_run_at
    run = runs.new(entry.name, _SOURCE, entry.plan.plan, planned_at, manual=runs.started_by_hand())
    if run is not None and planned_at is not None and planned_at > run.started_at + _EARLY_US:
        return run._replace(planned_at=None)
    return run


def _planned(job: Any) -> None:
    """A job was set up, or has run. (One that has just had its last run is taken back by `cancel_job`.)"""
    if runtime.enabled() and job.scheduler is not None and any(job is one for one in job.scheduler.jobs):
        _announcer.plan(_key(job), _entry(job))
        _announcer.tell()


def _all_of(scheduler: Any) -> None:
    """Jobs of a scheduler may be gone."""
    if not runtime.enabled():
        return
    here = {_key(job): job for job in scheduler.jobs}
    for key in _announcer.of(scheduler):
        if key not in here:
            _announcer.drop(key)
            _announcer.free(key)
    for key, job in here.items():
        if job.job_func is not None:
            _announcer.plan(key, _entry(job))
    _announcer.tell()


def _key(job: Any) -> tuple[int, int]:
    return id(job.scheduler), id(job)


def _entry(job: Any) -> Entry:
    own = runs.declared(job.job_func)
    plan, zone = plan_of(job)
    if own is not None:
        name = own.name
        plan, zone = (own.plan, own.zone) if own.plan else (plan, zone)
    else:
        called = getattr(job.job_func, "__name__", None) or type(job.job_func.func).__name__
        name = _announcer.name(_key(job), called, work_of(job.job_func, (), {}), plan)
    return Entry(runs.named(name), Plan(plan, zone, instant_us(job.next_run) if job.next_run else None))


def plan_of(job: Any) -> tuple[str, str]:
    """(plan, zone) of a job of `schedule`."""
    if job.latest is not None:
        return clean(f"schedule every {job.interval} to {job.latest} {job.unit}"), ""
    fields = _cron(job)
    if fields:
        return f"cron {fields}", zone_name(job.at_time_zone) if job.at_time_zone is not None else local_zone()
    return f"every {spell_interval(interval_us(f'{job.interval}{_UNITS[job.unit]}'))}", ""


def _cron(job: Any) -> str:
    """The five fields of a job that runs at a time of the hour or day, '' for one that does not."""
    at = job.at_time
    if at is None or at.second or job.interval != 1:
        return ""
    if job.at_time_zone is not None and not zone_name(job.at_time_zone):
        return ""
    hours, weekdays = [at.hour], list(crons.WEEKDAYS)
    if job.unit == "weeks" and job.start_day in _WEEKDAYS:
        weekdays = [_WEEKDAYS.index(job.start_day)]
    elif job.unit == "hours":
        hours = list(crons.HOURS)
    elif job.unit != "days":
        return ""
    return crons.spell([at.minute], hours, crons.DAYS, crons.MONTHS, weekdays)


def forget() -> None:
    """Nothing was seen (tests)."""
    _announcer.forget()
