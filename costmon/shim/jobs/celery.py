"""Celery: beat announces its entries, and a task that beat has sent is a run of its entry's job in whatever worker it runs.

Beat puts the job, the run's id and the time it was planned for into a header of the message. A retried task carries the
same header, and is the same run; a message delivered twice is two.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from costmon.shim import context, runtime
from costmon.shim.events import clean, new_id
from costmon.shim.faults import guarded
from costmon.shim.jobs import crons, runs
from costmon.shim.jobs.announcer import Announcer, Entry
from costmon.shim.jobs.books import Plan, Start
from costmon.shim.jobs.intervals import spell_interval
from costmon.shim.jobs.zones import zone_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection
    from types import ModuleType

_SOURCE = "celery"
HEADER = "costmon_job"
# Celery's own housekeeping.
_OWN_TASKS = "celery."
# Beat looks that much before the time.
_EARLY_S = 0.010
_MOST_NAME = 200
_announcer = Announcer(_SOURCE)
# When each entry was next due when last looked, and its schedule: what has not changed is not spelled again.
_seen: dict[tuple[int, str], tuple[float, int]] = {}
_sending: ContextVar[dict[str, Any] | None] = ContextVar("costmon_beat", default=None)
# Runs of tasks that go on here, by (thread, task id).
_tasks: dict[tuple[int, str], tuple[Start, context.context]] = {}


def patch(module: ModuleType) -> None:
    """Hook beat, or what runs a worker's tasks."""
    signals = sys.modules["celery.signals"]  # both need it themselves
    if module.__name__ == "celery.beat":
        _patch_beat(module.Scheduler)
        signals.before_task_publish.connect(_publishing, weak=False, dispatch_uid="costmon")
        return
    signals.task_prerun.connect(_task_begins, weak=False, dispatch_uid="costmon")
    signals.task_postrun.connect(_task_ends, weak=False, dispatch_uid="costmon")


def _patch_beat(scheduler: Any) -> None:
    for name, wrap in (("tick", _wrap_tick), ("apply_async", _wrap_apply), ("close", _wrap_close)):
        original = getattr(scheduler, name)
        if not runs.stands_in(original):
            setattr(scheduler, name, runs.wrapped(wrap(original), original))


# --- beat -------------------------------------------------------------------------------------------------------------


def _wrap_tick(original: Callable[..., Any]) -> Callable[..., Any]:
    def tick(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        guarded("look at beat's schedule", _look, self)
        return result

    return tick


def _wrap_apply(original: Callable[..., Any]) -> Callable[..., Any]:
    def apply_async(self: Any, entry: Any, *args: Any, **kwargs: Any) -> Any:
        header = guarded("label a task", _header, self, entry)
        token = _sending.set(header)
        try:
            return original(self, entry, *args, **kwargs)
        finally:
            _sending.reset(token)

    return apply_async


def _wrap_close(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        guarded("take back beat's schedule", _take_back, self)
        return original(self, *args, **kwargs)

    return close


def _look(scheduler: Any) -> None:
    """Announce what has changed since the last look. The heap has each entry with when it is next due, in s since 1970."""
    if not runtime.enabled() or scheduler._heap is None:
        return
    changed, here = False, set[Any]()
    for event in scheduler._heap:
        at, entry = event[0], event[2]
        key = (id(scheduler), entry.name)
        here.add(key)
        if _is_own(entry) or _seen.get(key) == (at, id(entry.schedule)):
            continue
        _seen[key] = (at, id(entry.schedule))
        _announcer.plan(key, _entry(scheduler, entry, _due(entry.schedule, at)))
        changed = True
    for key in _announcer.of(scheduler):
        if key not in here:
            _forget(key)
            changed = True
    if changed:
        _announcer.tell()


def _due(schedule: Any, at: float) -> int:
    """When an entry is due, in µs: the heap's time without what beat takes off; a crontab's is a whole second."""
    places = 0 if _is_crontab(schedule) else 6
    return round(round(at + _EARLY_S, places) * 1_000_000)


def _take_back(scheduler: Any) -> None:
    for key in _announcer.of(scheduler):
        _forget(key)
    _announcer.tell()


def _forget(key: Any) -> None:
    _announcer.drop(key)
    _seen.pop(key, None)


def _is_own(entry: Any) -> bool:
    return str(entry.task).startswith(_OWN_TASKS)


def _entry(scheduler: Any, entry: Any, next_run_at: int | None) -> Entry:
    plan, zone = plan_of(entry.schedule)
    name = str(entry.name)
    task = scheduler.app.tasks.get(entry.task)
    own = runs.declared(getattr(task, "run", None))
    if own is not None:
        name = own.name
        plan, zone = (own.plan, own.zone) if own.plan else (plan, zone)
    return Entry(runs.named(name), Plan(plan, zone, next_run_at))


def _header(scheduler: Any, entry: Any) -> dict[str, Any] | None:
    """What the message of a due entry carries, made of JSON's types."""
    if not runtime.enabled() or _is_own(entry):
        return None
    now = runtime.recorder().ledger.now()
    known = _announcer.known((id(scheduler), entry.name))
    if known is None:  # a scheduler that keeps no heap
        known = _entry(scheduler, entry, None)
        _announcer.plan((id(scheduler), entry.name), known)
        _announcer.tell()
    planned_at = known.plan.next_run_at
    return {
        "job": known.name,
        "run": new_id(now),
        "plan": known.plan.plan,
        "planned_at": now if planned_at is None else planned_at,
    }


def _publishing(headers: Any = None, **_: Any) -> None:
    header = _sending.get()
    if header is not None and isinstance(headers, dict):
        _sending.set(None)  # not what the task's callbacks, or other tasks sent meanwhile, carry
        headers[HEADER] = header


def plan_of(schedule: Any) -> tuple[str, str]:
    """(plan, zone) of an entry's schedule."""
    kind = type(schedule)
    if kind.__module__ == "celery.schedules" and kind.__name__ == "schedule":
        from datetime import timedelta

        us = schedule.run_every // timedelta(microseconds=1)
        return (f"every {spell_interval(us)}", "") if us > 0 else ("celery without pause", "")
    zone = zone_name(getattr(schedule, "tz", None))
    if _is_crontab(schedule):
        fields = crons.spell(
            schedule.minute,
            schedule.hour,
            schedule.day_of_month,
            schedule.month_of_year,
            schedule.day_of_week,
        )
        if fields and zone:
            return f"cron {fields}", zone
        return clean(f"celery {schedule!r}"), zone
    return clean(f"celery {kind.__name__}"), zone


def _is_crontab(schedule: Any) -> bool:
    return any(
        kind.__module__ == "celery.schedules" and kind.__name__ == "crontab"
        for kind in type(schedule).__mro__
    )


# --- workers ----------------------------------------------------------------------------------------------------------


def _task_begins(task_id: Any = None, task: Any = None, **_: Any) -> None:
    guarded("begin a run", _begin, str(task_id), task)


def _task_ends(task_id: Any = None, state: Any = None, **_: Any) -> None:
    guarded("end a run", _end, str(task_id), str(state))


def _begin(task_id: str, task: Any) -> None:
    request = task.request
    header = getattr(request, HEADER, None) or (request.headers or {}).get(HEADER)
    if not isinstance(header, dict) or not runtime.enabled():
        return
    own = runs.declared(getattr(task, "run", None))
    name = own.name if own is not None else clean(header.get("job"), _MOST_NAME)
    plan = own.plan if own is not None and own.plan else clean(header.get("plan"))
    planned_at = header.get("planned_at")
    run = runs.new(
        name,
        _SOURCE,
        plan,
        planned_at if isinstance(planned_at, int) else None,
        manual=runs.started_by_hand(),
    )
    if run is None:
        return
    sent, again = header.get("run"), bool(request.retries)
    if isinstance(sent, str) and _is_id(sent) and (again or not _is_taken(sent)):
        run = run._replace(id=sent)
    runs.begin(run, again=again)
    labels = context.context(job=run.job, run=run.id)
    labels.__enter__()
    _tasks[threading.get_ident(), task_id] = (run, labels)


def _end(task_id: str, state: str) -> None:
    found = _tasks.pop((threading.get_ident(), task_id), None)
    if found is None:
        return
    run, labels = found
    labels.__exit__()
    if state == "RETRY":
        runs.interrupt(run)
    else:
        runs.end(run, {"SUCCESS": "ok", "FAILURE": "error"}.get(state, "unknown"))


def _is_id(text: str) -> bool:
    return len(text) == 36 and all(letter in "0123456789abcdef-" for letter in text)


def _is_taken(run: str) -> bool:
    """Whether a message has come before: its run is written already."""

    def look(db: Connection) -> bool:
        return db.execute("select 1 from job_run where id = ?", (run,)).fetchone() is not None

    return guarded("look for a run", runtime.recorder().ledger.read, look) is True


def forget() -> None:
    """Nothing was seen (tests)."""
    _announcer.forget()
    _seen.clear()
    _tasks.clear()
