"""The schedule while the engine runs: a thread that reads plans, follows logs, recognises runs and judges every job."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from costmon.config.schedules import JobsInForce
from costmon.errors import CostmonError
from costmon.monitor.compile.settings import put, setting
from costmon.monitor.compile.writing import transaction
from costmon.monitor.schedule import announced, load, misfires
from costmon.monitor.schedule.judging import Judging, is_here
from costmon.monitor.schedule.recognise import Recogniser
from costmon.monitor.schedule.shown import PROBLEMS
from costmon.monitor.schedule.spans import Watch
from costmon.shim.clock import is_demo
from costmon.shim.events import clean
from costmon.shim.faults import report
from costmon.shim.owner import is_gone
from costmon.store import Store, open_ledger, schedules

if TYPE_CHECKING:
    from costmon.sources.schedules.logs import LogFollower

LOOK_EVERY_S = 0.2
LOGS_EVERY_S = 1.0
RECOGNISE_EVERY_S = 2.0
TIDY_EVERY_S = 5.0
SOURCES_EVERY_S = 30.0
JUDGE_EVERY_S = 10.0
_AGAIN_S = 20.0
_STOP_WITHIN_S = 2.0
DAY_US = 86_400 * 1_000_000
_FORGOTTEN_US = 32 * DAY_US
_MOST_PROBLEMS = 50
_SHARE = 30
"""Judging takes at most a thirtieth of the time."""


class ScheduleKeeper(Thread):
    """One for the engine that holds the lock, with its own ledger connection.

    `judging` is shared with who shows it; `tell` is called when something is to be told.
    """

    def __init__(self, home: str, judging: Judging, tell: Callable[[], None]) -> None:
        super().__init__(name="costmon-schedule", daemon=True)
        self.trouble = ""
        self._home = home
        self._judging = judging
        self._tell = tell
        self._ending = Event()

    def stop(self) -> None:
        """End within 2 s."""
        self._ending.set()
        self.join(_STOP_WITHIN_S)

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                self._keep()
            except (CostmonError, sqlite3.Error, OSError) as error:
                self.trouble = f"schedules wait: {clean(str(error), 200)}"
            except Exception as error:
                report("schedule", f"watching schedules failed ({type(error).__name__}); it starts again")
                self.trouble = f"schedules wait: watching them failed ({type(error).__name__})"
            if self.trouble:
                self._ending.wait(_AGAIN_S)

    def _keep(self) -> None:
        """Until `stop`, or until the ledger is another file."""
        store = open_ledger(self._home)
        try:
            rounds = Rounds(store, self._judging, self._tell)
            while not self._ending.is_set() and not store.replaced():
                rounds.step()
                self._judging.kept, self.trouble = True, ""
                self._ending.wait(LOOK_EVERY_S)
            if not store.replaced():
                rounds.close()
        finally:
            self._judging.kept = False
            store.close()


class Rounds:
    """What is done over and over, each in its own rhythm of real seconds."""

    def __init__(self, store: Store, judging: Judging, tell: Callable[[], None]) -> None:
        self._store = store
        self._db = store.db
        self._judging = judging
        self._tell = tell
        self._simulated = is_demo(store.home)
        self._judge_every_s = 0.5 if self._simulated else JUDGE_EVERY_S
        self._watch = Watch(store.home, store.now)
        self._recogniser = Recogniser()
        self._due: dict[str, float] = {}
        self._config = JobsInForce()
        self._config_text: str | None = None
        self._apps: frozenset[str] = frozenset()
        self._seen: object = None
        self._repriced: object = None
        self._alive: set[str] = set()
        self._follower: LogFollower | None = None
        self._log_problems: tuple[str, ...] = ()
        self._judged_cost = 0.0
        self._unjudged = True

    def step(self) -> None:
        """Do what is due."""
        now = self._store.now()
        self._read_config()
        news = self._watch.note(self._db)
        if self._is_due("logs", LOGS_EVERY_S):
            self._follow_logs(now)
        if self._is_due("sources", SOURCES_EVERY_S):
            news = self._read_sources(now) or news
        if self._is_due("tidy", TIDY_EVERY_S):
            news = self._tidy(now) or news
        if self._is_due("recognise", RECOGNISE_EVERY_S):
            news = self._recognise(now) or news
        version = self._version()
        if news or version != self._seen or self._is_due("judge", self._judge_every_s):
            self._unjudged = True
        if self._unjudged and self._is_due("look", self._judged_cost):
            self._unjudged = False
            self._seen = version
            self._judge()

    def close(self) -> None:
        """Note until when this engine watched, and how far logs were read."""
        self._end_following()
        self._watch.close(self._db)

    def _is_due(self, what: str, every_s: float) -> bool:
        at = time.monotonic()
        if at < self._due.get(what, 0.0):
            return False
        self._due[what] = at + every_s
        return True

    def _read_config(self) -> None:
        text = setting(self._db, "schedules") or ""
        if text != self._config_text:
            self._config, self._config_text = load.in_force({"schedules": text}), text
            self._due.pop("sources", None)

    def _follow_logs(self, now: int) -> None:
        zone = setting(self._db, "time_zone") or "UTC"
        if self._follower is None or self._follower.zone != zone:
            if not self._config.logs and not self._has_followed():
                return
            from costmon.sources.schedules.logs import LogFollower

            self._end_following()
            self._follower = LogFollower(zone)
        problems = self._follower.poll(self._db, self._config.logs, now)
        self._log_problems = tuple(one.sentence for one in problems)
        if self._follower.behind:
            self._due.pop("logs", None)

    def _has_followed(self) -> bool:
        """Whether an engine has ever followed a log; one that is followed no more announces nothing."""
        return bool(self._db.execute("select exists (select 1 from log_position)").fetchone()[0])

    def _end_following(self) -> None:
        if self._follower is not None:
            self._follower.close(self._db, self._store.now())
            self._follower = None

    def _read_sources(self, now: int) -> bool:
        from costmon.monitor.schedule.readers import readers

        apps = announced.known_apps(self._db)
        read = announced.read_all(readers(self._config, now, host=not self._simulated))
        wanted = announced.ours(read.planned, self._config, apps)
        said = [*(one.sentence for one in read.problems), *self._log_problems]
        text = "\n".join(dict.fromkeys(clean(one, 500) for one in said[:_MOST_PROBLEMS]))

        def write() -> bool:
            changed = announced.put(self._db, wanted, _readable(read.sources, self._config), now)
            if (setting(self._db, PROBLEMS) or "") != text:
                put(self._db, PROBLEMS, text)
            return changed

        return transaction(self._db, write)

    def _recognise(self, now: int) -> bool:
        hosts = announced.host_jobs(self._db)
        repriced = schedules.repriced(self._db)
        if self._repriced not in (None, repriced):
            self._recogniser.again()
        self._repriced = repriced

        return self._recogniser.step(self._db, hosts, now)

    def _tidy(self, now: int) -> bool:
        """What is left of processes that are gone, or that nobody can look at and has heard of for long.

        What one that was killed has announced holds until another takes over: its next run is waited for, and missed.
        """
        db = self._db
        ended = [(now, run_id) for run_id, one in schedules.living_processes(db) if is_gone(one)]
        lost: list[tuple[int | None, str]] = []
        alive = set()
        for run in schedules.open_runs(db):
            if is_gone(run.owner):
                if not run.id.startswith("p"):  # a process's end is in its own row
                    lost.append((now if run.id in self._alive else None, run.id))
            elif run.started_at < now - DAY_US and not is_here(run.owner):
                lost.append((None, run.id))
            else:
                alive.add(run.id)
        self._alive = alive
        over = [
            key
            for key, old in schedules.doubtful_announcements(db, now - _FORGOTTEN_US)
            if is_gone(key[3]) or (old and not is_here(key[3]))
        ]
        if not (ended or lost or over):
            return False

        def write() -> bool:
            schedules.end_processes(db, ended)
            schedules.lose_runs(db, lost)
            schedules.end_announcements(db, over)
            return True

        return transaction(db, write)

    def _version(self) -> object:
        """Changes when anybody, this connection too, has written."""
        return self._db.execute("pragma data_version").fetchone()[0], self._db.total_changes

    def _judge(self) -> None:
        began = time.monotonic()
        now = self._store.now()
        states = self._judging.refresh(self._db, now, watching=True)
        found = misfires.changes(self._db, states, now)
        if found.statements:
            transaction(self._db, lambda: found.write(self._db))
        if found.news:
            self._tell()
        self._unjudged = self._judging.behind
        self._judged_cost = _SHARE * (time.monotonic() - began)


def _readable(sources: frozenset[str], config: JobsInForce) -> frozenset[str]:
    """What was read, and what the config says is not to be read any more."""
    off = {"crontab": config.schedules.crontab, "systemd": config.schedules.systemd}
    off |= {
        "apscheduler-store": bool(config.schedules.apscheduler),
        "compose": bool(config.schedules.compose),
    }
    return sources | {source for source, on in off.items() if not on}
