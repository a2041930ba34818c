"""Every job as it stands: judged when something about it changes and once a minute, kept in between.

A look costs one read of what has changed; a job is read and judged anew only when its runs or its announcements did, while
one of its runs goes on, or when a minute has passed. Safe to use from several threads, each with its own connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from sqlite3 import Connection
from threading import Lock
from typing import TYPE_CHECKING

from costmon.config.schedules import JobsInForce
from costmon.config.values import Job
from costmon.insight.schedule import costs, plans
from costmon.insight.schedule.costs import Going, PerRun
from costmon.insight.schedule.judge import watch
from costmon.insight.schedule.plans import Plan
from costmon.insight.schedule.record import FILES, plan_of_record
from costmon.insight.schedule.values import FLOOR, OTHER_PLAN, Announcement, PlanOfRecord, Run, Watched
from costmon.monitor.schedule import load
from costmon.monitor.schedule.load import DAY_US, Name, Names
from costmon.monitor.schedule.projected import Ahead, begins, going_on, look_ahead, next_told, pace_of, paid
from costmon.monitor.schedule.spans import gaps
from costmon.shim import policy
from costmon.shim.events import clean
from costmon.shim.money import Rate
from costmon.shim.owner import is_gone, owner
from costmon.store import queries, schedules
from costmon.store.schedules import Stamp

if TYPE_CHECKING:
    from costmon.monitor.schedule.values import ScheduledJob

SECOND_US = 1_000_000
JUDGE_EVERY_US = 60 * SECOND_US
READ_EVERY_US = 10 * SECOND_US
LATE_US = 120 * SECOND_US
"""A run's calls may settle as long after its end as this."""
SCAN_EVERY_US = 600 * SECOND_US
RECENT_US = 1800 * SECOND_US
_AT_ONCE_S = 0.1
"""What is judged anew only because a minute has passed may take so long in one look."""
_MOST_OWNERS = 200
_SHARE = 10
"""Looking takes at most a tenth of the time."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One job as last judged. `runs` go back two weeks, what is judged of them eight days. Money is nano of `currency`."""

    name: Name
    config: Job | None
    apps: tuple[str, ...]
    announced: tuple[Announcement, ...]
    runs: tuple[Run, ...]
    watched: Watched
    against: PlanOfRecord
    """What its misfire was judged against, which may hold no more; else the plan of record."""
    plan: Plan | None
    pace: Plan | None
    """How it really runs, where that is slower than its plan because its runs take longer."""
    next_at: int | None
    """When it runs next by plan, or as somebody says; None if it was never seen to."""
    period_us: int | None
    currency: str
    zone: str
    cost: PerRun
    trend: Decimal | None
    going: tuple[Going, ...]
    today: int | None
    ahead: Ahead
    kept: int
    failures: int

    @property
    def alert(self) -> bool:
        """Whether its misfires and missed runs are told."""
        return self.config is None or self.config.alert


@dataclass(slots=True)
class _Kept:
    state: JobState
    stamp: object
    read_at: int
    judged_at: int
    runs: tuple[Run, ...] = field(default=())


class Judging:
    """The jobs of one ledger. `refresh` judges what is due and returns all of them, by name.

    `kept`: another thread keeps them up to date, so who shows them only reads. `behind`: not everything that is due was
    judged yet.
    """

    def __init__(self, config: JobsInForce | None = None) -> None:
        """`config` in the place of what is compiled into the ledger."""
        self.kept = False
        self.behind = False
        self.shown: dict[Name, tuple[JobState, ScheduledJob]] = {}
        self.failed: dict[str, str] = {}
        """Jobs that could not be judged, with what to say of each."""
        self._config = config
        self._lock = Lock()
        self._kept: dict[Name, _Kept] = {}
        self._general: object = None
        self._states: tuple[JobState, ...] | None = None
        self._next = 0.0
        self._at = 0
        self._stamps: dict[tuple[str, str], Stamp] = {}
        self._scanned_at = 0

    def refresh(
        self, db: Connection, now: int, *, watching: bool, patient: bool = False
    ) -> tuple[JobState, ...]:
        """`watching`: an engine runs. With `patient` what is known may be some seconds old, so that looking often costs
        little."""
        if patient and self._states is not None:
            soon = time.monotonic() < self._next and abs(now - self._at) < JUDGE_EVERY_US
            if self.kept or soon or self._lock.locked():
                return self._states
        with self._lock:
            began = time.monotonic()
            self._states = self._refresh(db, now, watching=watching)
            self._at, ended = now, time.monotonic()
            self._next = ended + max(1.0, _SHARE * (ended - began))
            return self._states

    def _refresh(self, db: Connection, now: int, *, watching: bool) -> tuple[JobState, ...]:
        look = _Look(db, now, self._config, self._look_at_runs(db, now), watching=watching)
        if look.general != self._general:
            self._kept, self._general, self.shown, self.failed = {}, look.general, {}, {}
        known = look.names.by_name
        for name in [name for name in self._kept if known.get(name.name) != name]:
            del self._kept[name]
        until = time.monotonic() + _AT_ONCE_S
        self.behind = False
        for name in sorted(known.values(), key=lambda name: self._judged_at(name)):
            self._judge(look, name, until)
        states = [kept.state for kept in self._kept.values()]
        return tuple(sorted(filter(is_job, states), key=lambda state: state.name))

    def _judged_at(self, name: Name) -> int:
        kept = self._kept.get(name)
        return kept.judged_at if kept is not None else 0

    def _look_at_runs(self, db: Connection, now: int) -> dict[tuple[str, str], Stamp]:
        """What changes with the runs of each job: all are read now and then, in between what began of late, and what goes
        on."""
        if self._scanned_at <= now < self._scanned_at + SCAN_EVERY_US:
            fresh = schedules.stamps(db, now - RECENT_US)
        else:
            self._scanned_at, self._stamps = now, {}
            fresh = schedules.stamps(db, now - load.COSTS_BACK_US)
        going = schedules.open_by_job(db, now - load.COSTS_BACK_US)
        found = {pair: stamp._replace(open="") for pair, stamp in self._stamps.items()}
        for stamp in fresh:
            known = found.get((stamp.app, stamp.job), stamp)
            found[stamp.app, stamp.job] = stamp._replace(
                started_at=max(stamp.started_at, known.started_at),
                ended_at=max(stamp.ended_at, known.ended_at),
            )
        for app, job, ids in going:
            found[app, job] = found.get((app, job), Stamp(job, app, 0, 0))._replace(open=ids)
        self._stamps = found
        return found

    def _judge(self, look: _Look, name: Name, until: float) -> None:
        kept = self._kept.get(name)
        stamp = look.stamp(name)
        now = look.now
        stale = kept is None or kept.stamp != stamp or now < kept.read_at
        if not stale and kept is not None:
            stale = now - kept.read_at >= READ_EVERY_US and look.restless(name)
        if kept is not None and not stale:
            if 0 <= now - kept.judged_at < JUDGE_EVERY_US:
                return
            if time.monotonic() > until:
                self.behind = True
                return
        runs = (
            load.load_runs(look.db, name, look.names, now - load.COSTS_BACK_US, look.rate, look.calls_seen)
            if stale or kept is None
            else kept.runs
        )
        read_at = now if stale or kept is None else kept.read_at
        try:
            state = _state(look, name, runs)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # one job must not hide the others
            self._fail(name, error)
            return
        self.failed.pop(name.name, None)
        self._kept[name] = _Kept(state, stamp, read_at, now, runs)

    def _fail(self, name: Name, error: Exception) -> None:
        from costmon.shim.faults import report

        self._kept.pop(name, None)
        self.failed[name.name] = f"job {clean(name.name)} cannot be judged ({type(error).__name__})"
        report("schedule", f"{self.failed[name.name]}; please tell costmon's authors")


class _Look:
    """One look at the ledger: what all jobs share, and what tells that a job has changed."""

    def __init__(
        self,
        db: Connection,
        now: int,
        config: JobsInForce | None,
        stamps: dict[tuple[str, str], Stamp],
        *,
        watching: bool,
    ) -> None:
        self.db, self.now = db, now
        self._alive: dict[str, bool | None] = {}
        self._seen: dict[str, bool] = {}
        settings = queries.settings(db)
        rules = policy.load(db)
        self.zone = settings.get("time_zone") or "UTC"
        self.currency = settings.get("display_currency") or "USD"
        self.config = config or load.in_force(settings)
        self._rules = rules
        since = now - load.LOOK_BACK_US
        self._announced: dict[tuple[str, str], list[Announcement]] = {}
        for one in load.announced(db, since):
            self._announced.setdefault((one.app, one.job), []).append(one)
        self._stamps = stamps
        pairs = {*self._announced, *self._stamps}
        self.names = Names(self.config.jobs, pairs)
        self._pairs: dict[Name, list[tuple[str, str]]] = {}
        for pair in sorted(pairs):
            self._pairs.setdefault(self.names.of(*pair), []).append(pair)
        spans = schedules.spans(db, since)
        self.gaps = gaps(spans, since, now, watching=watching)
        self._spans = tuple((span.start_at, span.gap) for span in spans)
        self.general = (
            settings.get("hash_key"),
            settings.get("generation"),
            settings.get("schedules"),
            self.zone,
            self.currency,
            schedules.repriced(db),
            self._spans,
            watching,
        )

    def rate(self, currency: str) -> Rate | None:
        return self._rules.rate(currency, self.currency, self.now)

    def alive(self, announced: Sequence[Announcement], runs: Sequence[Run]) -> dict[str, bool | None]:
        """Of each process whether it lives; None of one of another machine, or container."""
        owners = {one.owner for one in announced if one.ended_at is None}
        owners |= {run.owner for run in runs[-_MOST_OWNERS:]}
        for one in owners - self._alive.keys():
            self._alive[one] = is_alive(one)
        return {one: self._alive[one] for one in owners}

    def calls_seen(self, app: str) -> bool:
        """Whether the ledger has calls of an app since runs are paid attention to."""
        if app not in self._seen:
            self._seen[app] = load.calls_seen(self.db, app, self.now - load.COSTS_BACK_US)
        return self._seen[app]

    def pairs(self, name: Name) -> list[tuple[str, str]]:
        """The (app, job) a job is made of."""
        return self._pairs.get(name, [])

    def announced(self, name: Name) -> tuple[Announcement, ...]:
        found = [one for pair in self.pairs(name) for one in self._announced.get(pair, ())]
        return tuple(sorted(found, key=lambda one: (one.ended_at is not None, -one.seen_at)))

    def stamp(self, name: Name) -> object:
        pairs = self.pairs(name)
        told = [
            one._replace(seen_at=0) for pair in pairs for one in self._announced.get(pair, ())
        ]  # that it is still said is no news
        outside = {one.app for one in told if one.source == "log" or one.source in schedules.ON_HOST}
        recorded = tuple(sorted(app for app in outside if self.calls_seen(app)))
        return tuple(told), tuple(self._stamps.get(pair) for pair in pairs), recorded

    def restless(self, name: Name) -> bool:
        """Whether a run goes on, or may still get a call."""
        found = [self._stamps[pair] for pair in self.pairs(name) if pair in self._stamps]
        return any(one.open or one.ended_at > self.now - LATE_US for one in found)


def is_alive(process: str) -> bool | None:
    """Whether the owner of a run lives; None of what is no process of this machine."""
    return not is_gone(process) if is_here(process) else None


def is_here(process: str) -> bool:
    """Whether the owner of a run is, or was, a process of this machine since it started, and not of another container."""
    return process.count(":") >= 3 and process.rsplit(":", 2)[0] == owner().rsplit(":", 2)[0]


def is_job(state: JobState) -> bool:
    """Whether it is more than calls that come in bursts: somebody plans it or ran it as one, or it has a rhythm."""
    told = state.config is not None or bool(state.announced) or state.watched.rhythm is not None
    return told or any(run.source != "rhythm" for run in state.runs)


def _state(look: _Look, name: Name, runs: tuple[Run, ...]) -> JobState:
    now, announced = look.now, look.announced(name)
    config = look.names.config.get(name.name)
    recent = [run for run in runs if run.started_at >= now - load.LOOK_BACK_US]
    alive = look.alive(announced, recent)
    floor = look.config.schedules.floor_us
    record = plan_of_record(name.name, config, announced, floor, look.zone, now=now, alive=alive)
    since = now - load.LOOK_BACK_US
    if len(runs) >= load.MOST_RUNS:
        since = max(since, runs[0].started_at)  # nothing is expected of a time whose runs are not looked at
    watched = watch(name.name, record, recent, announced, look.gaps, alive, now, since=since)
    plan = plans.parse(watched.plan.plan, watched.plan.zone, look.zone)
    week = costs.per_run([run.cost for run in runs if paid(run) and run.started_at >= now - 7 * DAY_US])
    before = costs.per_run([run.cost for run in runs if paid(run) and run.started_at < now - 7 * DAY_US])
    going = going_on(watched, week)
    pace = pace_of(watched, plan)
    told = next_told(announced, now) if not watched.deserted else None
    next_at = watched.next_run_at if begins(runs, plan, announced) else None
    next_at = told if next_at is None else next_at
    totals = schedules.totals(look.db, name.job)
    pairs = look.pairs(name)
    day = policy.local_day_at(look.db, now)
    return JobState(
        name=name,
        config=config,
        apps=tuple(app for app, _ in pairs),
        announced=announced,
        runs=runs,
        watched=watched,
        against=_against(watched, name.name, config, announced, floor, look.zone, alive),
        plan=plan,
        pace=pace,
        next_at=next_at,
        period_us=plans.period_us(plan, now) if plan is not None else None,
        currency=look.currency,
        zone=look.zone,
        cost=week,
        trend=costs.trend(week, before),
        going=going,
        today=_sum(run.cost for run in runs if run.started_at >= day),
        ahead=look_ahead(
            watched,
            pace or plan,
            week,
            going,
            look.zone,
            next_at,
            unread=any(one.ended_at is None and not one.plan and one.source in FILES for one in announced),
        ),
        kept=sum(totals.get(app, (0, 0))[0] for app, _ in pairs),
        failures=sum(totals.get(app, (0, 0))[1] for app, _ in pairs),
    )


def _against(
    watched: Watched,
    name: str,
    config: Job | None,
    announced: Sequence[Announcement],
    floor_us: int,
    zone: str,
    alive: dict[str, bool | None],
) -> PlanOfRecord:
    """What the latest misfire was judged against, though its own plan may have been accepted since."""
    misfire = watched.misfire
    if misfire is None or config is not None:
        return watched.plan
    for at in (misfire.last_at, misfire.first_at):
        found = plan_of_record(name, None, announced, floor_us, zone, now=at, alive=alive)
        if found.said_by != FLOOR and (misfire.kind != OTHER_PLAN or found.plan != misfire.plan):
            return found
    return watched.plan


def _sum(parts: Iterable[int | None]) -> int | None:
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
