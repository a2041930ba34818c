"""What a scheduler inside this process has planned, told to the ledger whenever it changes."""

from __future__ import annotations

import functools
import os
import sys
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.shim import context, runtime
from costmon.shim.events import clean
from costmon.shim.jobs import books, runs
from costmon.shim.jobs.books import Plan

if TYPE_CHECKING:
    from sqlite3 import Connection

# On an event loop everything waits with us.
_LOOP_WAIT_S = 0.02
_LOCK_WAIT_S = 1.0
_PLAIN = (str, bytes, int, float, bool, type(None))


class Entry(NamedTuple):
    """One job of a scheduler: its `name` for costmon and what is planned."""

    name: str
    plan: Plan


class Announcer:
    """The jobs of all schedulers of one kind in this process. `source` as in the table of announcements."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._pid = os.getpid()
        self._lock = RLock()
        self._entries: dict[tuple[Any, ...], Entry] = {}
        self._said: dict[str, tuple[str, Plan]] = {}
        self._named: dict[Any, tuple[str, tuple[Any, ...]]] = {}

    def name(self, key: Any, wanted: str, work: tuple[Any, ...], plan: str) -> str:
        """A name for the job `key`, which stays: `wanted`, with a number if another job has it.

        Jobs that do the same `work` by the same plan share it: that is one job, planned twice.
        """
        self._own_process()
        known = self._named.get(key)
        wanted = clean(wanted, 180) or "job"
        if known is not None:
            return known[0]
        does = (*work, plan)
        taken: dict[str, tuple[Any, ...]] = {}
        for name, other in self._named.values():
            taken.setdefault(name, other)
        name, number = wanted, 1
        while name in taken and not _same(taken[name], does):
            number += 1
            name = f"{wanted} {number}"
        self._named[key] = (name, does)
        return name

    def known(self, key: Any) -> Entry | None:
        """What was last said of a job."""
        self._own_process()
        return self._entries.get(key)

    def of(self, scheduler: object) -> list[tuple[Any, ...]]:
        """The jobs of one scheduler that are planned now; a key begins with its scheduler's id."""
        self._own_process()
        return [key for key in list(self._entries) if key[0] == id(scheduler)]

    def plan(self, key: Any, entry: Entry) -> None:
        """A job is planned so from now on; `tell` writes it."""
        self._own_process()
        self._entries[key] = entry

    def drop(self, key: Any) -> None:
        """A job is not planned any more."""
        self._own_process()
        self._entries.pop(key, None)

    def free(self, key: Any) -> None:
        """A job is gone for good: another one may have its name."""
        self._named.pop(key, None)

    def tell(self) -> None:
        """Write what has changed since it was last written. What the ledger does not take is told with the next change."""
        if not runtime.enabled():
            return
        self._own_process()
        if self._lock.acquire(timeout=_LOCK_WAIT_S):
            try:
                self._tell()
            finally:
                self._lock.release()

    def _tell(self) -> None:
        app = clean(context.labels()[0]) or "python"
        wanted = {name: (app, plan) for name, plan in self._by_name().items()}
        changed = {name: said for name, said in wanted.items() if self._said.get(name) != said}
        ended = [name for name in self._said if name not in wanted]
        moved = [name for name, said in changed.items() if self._said.get(name, said)[0] != said[0]]
        if not changed and not ended:
            return
        now = runtime.recorder().ledger.now()

        def write(db: Connection) -> None:
            for name in (*ended, *moved):
                books.withdraw(db, now, name, self._source)
            for name, (app_now, plan) in changed.items():
                books.announce(db, name, app_now, self._source, plan, now)

        if runs.write(write, _LOOP_WAIT_S if _on_loop() else runs.WAIT_S):
            self._said = wanted

    def _by_name(self) -> dict[str, Plan]:
        plans: dict[str, Plan] = {}
        for entry in list(self._entries.values()):
            other = plans.get(entry.name)
            plans[entry.name] = self._both(other, entry.plan) if other is not None else entry.plan
        return plans

    def _both(self, one: Plan, two: Plan) -> Plan:
        """Two plans for one job: it runs next at the earlier of their times."""
        times = [at for at in (one.next_run_at, two.next_run_at) if at is not None]
        same = (one.plan, one.zone) == (two.plan, two.zone)
        return Plan(
            one.plan if same else f"{self._source} several plans",
            one.zone if one.zone == two.zone else "",
            min(times, default=None),
        )

    def _own_process(self) -> None:
        """A forked child has none of its parent's schedulers running, so it must not speak for them."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), RLock()
            self._entries, self._said, self._named = {}, {}, {}

    def forget(self) -> None:
        """Nothing was said (tests)."""
        self._pid = -1


def work_of(function: Any, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """What tells one job's work from another's: the function and its arguments, as `Announcer.name` compares them."""
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    return (function, *args, *sorted(kwargs.items()))


def _same(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """Whether two jobs do the same. Arguments of the app's own types are only compared by identity: == may be anything."""
    return len(one) == len(two) and all(map(_equal, one, two))


def _equal(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if type(one) is not type(two):
        return False
    if type(one) is tuple:
        return _same(one, two)
    if type(one) in _PLAIN:
        return bool(one == two)
    # Bound methods are made anew each time they are asked for.
    inner = getattr(one, "__func__", None)
    return inner is not None and inner is getattr(two, "__func__", None) and one.__self__ is two.__self__


def _on_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
