"""What a scheduler inside this process has planned, told to the ledger whenever it changes."""

from __future__ import annotations

import functools
import os
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.shim import context, runtime
from costmon.shim.events import clean
from costmon.shim.faults import guarded, report
from costmon.shim.jobs import late
from costmon.shim.jobs.books import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = (str, bytes, int, float, bool, type(None))
_LOCK_WAIT_S = 1.0
MOST_JOBS = 1000
"""How many jobs of one scheduler are announced: nobody reads more, and the scheduler's thread has others to begin."""


class Entry(NamedTuple):
    """One job of a scheduler: its `name` for costmon and what is planned."""

    name: str
    plan: Plan


class Announcer:
    """The jobs of all schedulers of one kind in this process. `source` as in the table of announcements."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = RLock()
        self._entries: dict[tuple[Any, ...], Entry] = {}
        self._of: dict[Any, dict[tuple[Any, ...], None]] = {}
        self._by_name: dict[str, dict[tuple[Any, ...], None]] = {}
        self._full: set[Any] = set()
        self._changed: set[str] = set()
        self._said: dict[str, tuple[str, Plan]] = {}
        self._names = _Names()

    def name(self, key: Any, wanted: str, work: tuple[Any, ...], plan: str) -> str:
        """A name for the job `key`, which stays: `wanted`, with a number if another job has it.

        Jobs that do the same `work` by the same plan share it: that is one job, planned twice.
        """
        self._own_process()
        with self._lock:
            return self._names.of(key, clean(wanted, 180) or "job", (*work, plan))

    def known(self, key: Any) -> Entry | None:
        """What was last said of a job."""
        self._own_process()
        return self._entries.get(key)

    def of(self, scheduler: object) -> list[tuple[Any, ...]]:
        """The jobs of one scheduler that are planned now; a key begins with its scheduler's id."""
        self._own_process()
        return list(self._of.get(id(scheduler), ()))

    def takes(self, key: Any) -> bool:
        """Whether the job is one of those that are announced; that there are too many is said."""
        self._own_process()
        if key in self._entries or len(self._of.get(key[0], ())) < MOST_JOBS:
            return True
        if key[0] not in self._full:
            self._full.add(key[0])
            report(
                "announce more jobs",
                f"costmon announces the first {MOST_JOBS} jobs of a scheduler only; it records the runs of all",
            )
        return False

    def plan(self, key: Any, entry: Entry) -> None:
        """A job is planned so from now on; `tell` writes it."""
        if not self.takes(key):
            return
        with self._lock:
            self.drop(key)
            self._entries[key] = entry
            self._of.setdefault(key[0], {})[key] = None
            self._by_name.setdefault(entry.name, {})[key] = None
            self._changed.add(entry.name)

    def drop(self, key: Any) -> None:
        """A job is not planned any more."""
        self._own_process()
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                return
            self._changed.add(entry.name)
            for group, of in ((self._of, key[0]), (self._by_name, entry.name)):
                group[of].pop(key, None)
                if not group[of]:
                    del group[of]

    def free(self, key: Any) -> None:
        """A job is gone for good: another one may have its name."""
        with self._lock:
            self._names.free(key)

    def tell(self) -> None:
        """Write what has changed since it was last written, if the ledger takes it at once; else it is written later.

        This is the scheduler's own thread, and while we wait no job begins.
        """
        if not runtime.enabled():
            return
        self._own_process()
        if self._lock.acquire(timeout=_LOCK_WAIT_S):
            try:
                self._tell()
            finally:
                self._lock.release()
        guarded("write a job", late.flush, 0.0)

    def _tell(self) -> None:
        if not self._changed:
            return
        app = clean(context.labels()[0]) or "python"
        now = runtime.recorder().ledger.now()
        while self._changed:
            name = self._changed.pop()
            said = self._said.get(name)
            keys = self._by_name.get(name)
            if not keys:
                if self._said.pop(name, None) is not None:
                    late.say(name, self._source, app, None, now)
                continue
            plan = self._together([self._entries[key].plan for key in keys])
            if said != (app, plan):
                self._said[name] = (app, plan)
                late.say(name, self._source, app, plan, now, anew=said is not None and said[0] != app)

    def _together(self, plans: list[Plan]) -> Plan:
        """Plans for one job: it runs next at the earliest of their times."""
        first = plans[0]
        if len(plans) == 1:
            return first
        times = [plan.next_run_at for plan in plans if plan.next_run_at is not None]
        same = _one(plan[:2] for plan in plans)
        return Plan(
            first.plan if same else f"{self._source} several plans",
            first.zone if _one(plan.zone for plan in plans) else "",
            min(times, default=None),
        )

    def _own_process(self) -> None:
        """A forked child has none of its parent's schedulers running, so it must not speak for them."""
        if self._pid != os.getpid():
            self._begin()

    def forget(self) -> None:
        """Nothing was said (tests)."""
        self._pid = -1


class _Names:
    """Which job has which name. What a job does is compared by `_mark`, as long as its parts are kept here."""

    def __init__(self) -> None:
        # job → (its name, what it does); (wanted name, mark of what is done) → name; name → its jobs
        self._known: dict[Any, tuple[str, str, tuple[Any, ...]]] = {}
        self._by_work: dict[tuple[str, Any], str] = {}
        self._holders: dict[str, dict[Any, None]] = {}
        self._next: dict[str, int] = {}

    def of(self, key: Any, wanted: str, does: tuple[Any, ...]) -> str:
        known = self._known.get(key)
        if known is not None:
            return known[0]
        work = (wanted, _mark(does))
        name = self._by_work.get(work)
        if name is None:
            number = self._next.get(wanted, 1)
            name = _numbered(wanted, number)
            while name in self._holders:
                number += 1
                name = _numbered(wanted, number)
            self._next[wanted] = number + 1
            self._by_work[work] = name
        self._known[key] = (name, wanted, does)
        self._holders.setdefault(name, {})[key] = None
        return name

    def free(self, key: Any) -> None:
        known = self._known.pop(key, None)
        if known is None:
            return
        name, wanted, does = known
        holders = self._holders[name]
        del holders[key]
        if not holders:
            del self._holders[name]
            del self._by_work[wanted, _mark(does)]
            number = name[len(wanted) + 1 :]
            self._next[wanted] = min(self._next[wanted], int(number) if number else 1)


def _numbered(wanted: str, number: int) -> str:
    return f"{wanted} {number}" if number > 1 else wanted


def _one(values: Iterable[Any]) -> bool:
    return len(set(values)) == 1


def work_of(function: Any, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """What tells one job's work from another's: the function and its arguments, as `Announcer.name` compares them."""
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    return (function, *args, *sorted(kwargs.items()))


def _mark(value: Any) -> Any:
    """What two things that are the same share. The app's own types are only compared by identity: == may be anything."""
    kind = type(value)
    if kind is tuple:
        return tuple(map(_mark, value))
    if kind in _PLAIN:
        return kind, value
    # Bound methods are made anew each time they are asked for.
    inner = getattr(value, "__func__", None)
    if inner is not None:
        return "method", id(inner), id(value.__self__)
    return "object", id(value)
