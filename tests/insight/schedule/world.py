"""A machine with its clocks, and processes that run a job on it as real schedulers do; it knows nothing of the judge.

All times inside are true µs since the start; what the ledger would hold is told by `World.view`. Schedulers differ in what
they count by: a loop that sleeps counts awake time, APScheduler plans by the wall clock and waits by awake time, cron and
timers follow the wall clock, Celery's beat counts from its last run and hands the work to one of several processes.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

from costmon.insight.schedule.values import Announcement, Gap, Run

from .makers import DAY, HOUR, MINUTE, SECOND, START

NEVER = 2**61
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Ran:
    """One run, in true time."""

    start: int
    end: int
    owner: str
    plan: str
    planned: int | None = None  # what the wall clock was to show
    manual: bool = False
    outcome: str = "ok"
    fault: bool = False


@dataclass
class Process:
    """What a process announces; `dies` without a word, or `leaves` with one."""

    owner: str
    plan: str
    first: int
    source: str = "app"
    seen: list[int] = field(default_factory=list)
    dies: int = NEVER
    leaves: int = NEVER


@dataclass
class View:
    """What an engine would read at a moment."""

    runs: list[Run]
    announcements: list[Announcement]
    gaps: list[Gap]
    alive: dict[str, bool | None]
    now: int


class World:
    """A machine for some days: when it sleeps, when its clock is set, and when nobody watches."""

    def __init__(self, seed: int, days: float, *, epoch: int = START, known: bool = True) -> None:
        self.random = random.Random(seed)
        self.length = round(days * DAY)
        self.epoch = epoch
        self.known = known
        self.asleep: list[tuple[int, int]] = []
        self.sets: list[tuple[int, int]] = []
        self.off: list[tuple[int, int]] = []
        self.runs: list[Ran] = []
        self.processes: list[Process] = []
        self._pid = 100

    # clocks

    def wall(self, at: int) -> int:
        return self.epoch + at + sum(step for when, step in self.sets if when <= at)

    def awake(self, at: int) -> int:
        """`at`, or when the machine wakes after it."""
        return next((end for start, end in self.asleep if start <= at < end), at)

    def slept(self, at: int, lasts: int) -> int:
        """When so much awake time has passed."""
        at = self.awake(at)
        for start, end in self.asleep:
            if start >= at and start < at + lasts:
                lasts -= start - at
                at = end
        return at + lasts

    def shows(self, wall: int, at: int) -> int:
        """When, from `at` on, the wall clock first shows `wall` or more, awake."""
        edges = [at, *(when for when, _ in self.sets if when > at), NEVER]
        for start, end in pairwise(edges):
            reached = max(start, start + wall - self.wall(start))
            if reached < end:
                return self.awake(reached)
        return NEVER

    # what happens

    def owner(self) -> str:
        self._pid += 1
        return f"boot:1:{self._pid}:{self._pid}"

    def process(self, plan: str, first: int, owner: str = "", source: str = "app") -> Process:
        found = Process(owner or self.owner(), plan, first, source)
        self.processes.append(found)
        return found

    def ran(self, by: Process, start: int, lasts: int, **more: object) -> int:
        """A run of a process; when it ended."""
        end = min(self.slept(start, lasts), by.dies, by.leaves)
        outcome = "ok" if end == self.slept(start, lasts) else "unknown"
        self.runs.append(Ran(start, end, by.owner, by.plan, outcome=outcome, **more))  # type: ignore[arg-type]
        by.seen.append(start)
        return end

    # what is seen of it

    def ready(self) -> None:
        self.runs.sort(key=lambda one: one.start)
        self._starts = [one.start for one in self.runs]

    def view(self, at: int, back: int) -> View:
        first = max(0, at - back - DAY)
        seen = self.runs[bisect_right(self._starts, first - 1) : bisect_right(self._starts, at)]
        since = self.wall(at) - back
        told = [one for one in self.processes if one.first <= at and min(one.dies, one.leaves) > first - back]
        return View(
            runs=[one for one in (self._run(one, at) for one in seen) if one.started_at >= since],
            announcements=[self._announcement(one, at) for one in told],
            gaps=self._gaps(first, at),
            alive={one.owner: (one.dies > at and one.leaves > at) if self.known else None for one in told},
            now=self.wall(at),
        )

    def _run(self, one: Ran, at: int) -> Run:
        over = one.end <= at
        return Run(
            id=f"{one.start:020}{one.owner}",
            app="trader",
            job="trade",
            source="app",
            owner=one.owner,
            who=one.owner,
            plan=one.plan,
            planned_at=one.planned,
            started_at=self.wall(one.start),
            ended_at=self.wall(one.end) if over else None,
            outcome=one.outcome if over else "running",
            elapsed_at=one.start + 10 * DAY,
            manual=one.manual,
            cost=1_200_000,
            calls=1,
        )

    def _announcement(self, one: Process, at: int) -> Announcement:
        seen = one.seen[bisect_right(one.seen, at) - 1] if one.seen and one.seen[0] <= at else one.first
        return Announcement(
            job="trade",
            app="trader",
            source=one.source,
            owner=one.owner,
            who=one.owner,
            plan=one.plan,
            zone="",
            next_run_at=None,
            first_at=self.wall(one.first),
            seen_at=self.wall(seen),
            ended_at=self.wall(one.leaves) if one.leaves <= at else None,
        )

    def _gaps(self, first: int, at: int) -> list[Gap]:
        found = []
        for why, stretches in (("suspended", self.asleep), ("off", self.off)):
            for start, end in stretches:
                unseen = why == "suspended" and any(low <= start and end <= high for low, high in self.off)
                if end > first and start < at and not unseen:
                    found.append(Gap(self.wall(start), self.wall(min(end, at)) + SECOND, why))
        for when, step in self.sets:
            if first < when <= at and not any(start <= when < end for start, end in self.off):
                low, high = sorted((self.epoch + when + self._offset(when - 1) - SECOND, self.wall(when)))
                found.append(Gap(low, high, "clock", step))
        return sorted(found)

    def _offset(self, at: int) -> int:
        return self.wall(at) - self.epoch - at

    def watched(self, at: int) -> bool:
        """Whether an engine looks at that moment."""
        return not any(start <= at < end + SECOND for start, end in (*self.off, *self.asleep))


# schedulers; each runs from `start` until the process's end, and returns nothing


def loop(world: World, by: Process, start: int, every: int, lasts: object, *, first: bool = True) -> None:
    """`while True: run(); time.sleep(every)`, or the other way round."""
    at = world.awake(start) if first else world.slept(start, every)
    while at < min(world.length, by.dies, by.leaves):
        end = world.ran(by, at, lasts())  # type: ignore[operator]
        at = world.slept(end, every + world.random.randrange(20_000))


def polled(world: World, by: Process, start: int, every: int, lasts: object, poll: int, zone: str) -> None:
    """`schedule.run_pending()` in a loop: the next run is a period after the last one ended, by the zone's wall clock."""
    place = ZoneInfo(zone)

    def local(at: int) -> int:
        moment = _EPOCH + timedelta(microseconds=world.wall(at))
        return world.wall(at) + (moment.astimezone(place).utcoffset() or timedelta()) // timedelta(
            microseconds=1
        )

    at = world.awake(start)
    due = local(at) + every
    while at < min(world.length, by.dies, by.leaves):
        if local(at) >= due:
            at = world.ran(by, at, lasts())  # type: ignore[operator]
            due = local(at) + every
        ahead = due - local(at)
        # Polls in which nothing is due are left out, as far as neither clock can change its mind in between.
        far = max(poll, (min(ahead, HOUR // 2) - 1) // poll * poll)
        at = world.slept(at, far)


def planner(
    world: World,
    by: Process,
    start: int,
    every: int,
    lasts: object,
    *,
    coalesce: bool,
    strict: bool,
    hint: bool = True,
) -> None:
    """APScheduler's interval: planned by the wall clock on a grid, waited for by awake time; `strict` drops what is late by
    more than a second (its usual misfire_grace_time), `hint` tells the planned time."""
    due = world.wall(start) + every
    at, busy = world.awake(start), 0
    while at < min(world.length, by.dies, by.leaves):
        now = world.wall(at)
        if now >= due:
            times = list(range(due, now + 1, every))
            due = times[-1] + every
            times = times[-1:] if coalesce else times
            for planned in times:
                if strict and now - planned > SECOND:
                    continue
                began = at + world.random.randrange(2_000, 40_000)
                if busy > began:
                    if not coalesce and len(times) > 1:  # one after another
                        began = busy + 1000
                    else:
                        world.runs.append(
                            Ran(began, began, by.owner, by.plan, planned if hint else None, outcome="skipped")
                        )
                        continue
                if began >= min(by.dies, by.leaves):
                    continue
                busy = world.ran(by, began, lasts(), planned=planned if hint else None)  # type: ignore[operator]
        at = world.slept(at, max(1000, due - world.wall(at)))


def beat(world: World, every: int, lasts: object, pool: list[Process], start: int, *, queue: float) -> None:
    """Celery: beat sends a task a period after it sent the last; one of several workers takes it, now and then late."""
    at = world.awake(start)
    while at < min(world.length, *(max(one.dies, one.leaves) for one in pool)):
        by = world.random.choice([one for one in pool if min(one.dies, one.leaves) > at] or pool)
        late = (
            world.random.randrange(min(every * 3 // 10, 10 * MINUTE)) if world.random.random() < queue else 0
        )
        began = world.slept(at, late + world.random.randrange(50_000))
        if by.first <= began < min(by.dies, by.leaves):
            world.ran(by, began, lasts())  # type: ignore[operator]
        at = world.slept(at, every + world.random.randrange(5_000))


def cron(
    world: World, expression: str, zone: str, lasts: object, *, spread: int = SECOND, persistent: bool = False
) -> None:
    """cron, or (`persistent`) a calendar timer that makes up once for what it slept through: a process for each run."""
    wall, at = world.wall(0), 0
    while at < world.length:
        moment = _EPOCH + timedelta(microseconds=wall)
        following = next(CronSim(expression, moment.astimezone(ZoneInfo(zone))))
        wall = (following.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
        reached = world.shows(wall, at)
        late = world.wall(min(reached, world.length)) - wall
        if late > MINUTE:  # the machine slept, or the clock was put forward
            if persistent and reached < world.length:
                once(world, f"cron {expression}", reached + SECOND, lasts)
            wall = world.wall(min(reached, world.length))
            at = reached
            continue
        began = reached + world.random.randrange(spread)
        if began < world.length:
            once(world, f"cron {expression}", began, lasts)
        at = reached + 1


def once(world: World, plan: str, at: int, lasts: object, **more: object) -> Process:
    """A process that runs the job once and leaves."""
    by = world.process(plan, at)
    by.leaves = world.ran(by, at, lasts(), **more) + 200_000  # type: ignore[operator]
    return by
