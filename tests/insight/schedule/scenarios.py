"""Healthy schedules with everything that looks like a fault and is none,
by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from costmon.insight.schedule.judge import watch
from costmon.insight.schedule.record import plan_of_record
from costmon.insight.schedule.values import Watched
from costmon.shim.jobs.intervals import spell_interval

from .makers import DAY, HOUR, MINUTE, SECOND
from .world import NEVER, Process, Ran, World, beat, cron, loop, once, planner, polled

PERIODS = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY)
KINDS = (
    "loop",
    "wait first",
    "polled",
    "planner",
    "planner coalesced",
    "planner strict",
    "planner unhinted",
    "pool",
    "cron",
    "timer",
)
# Over the changes of the clocks in Berlin and New York in 2026 and 2027.
EPOCHS = tuple(
    int(datetime(*day, tzinfo=UTC).timestamp()) * SECOND
    for day in ((2026, 10, 10), (2027, 3, 1), (2027, 3, 15), (2026, 11, 21), (2027, 6, 1))
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Seoul", "Australia/Lord_Howe")
CRONS = {
    MINUTE: "* * * * *",
    5 * MINUTE: "*/5 * * * *",
    15 * MINUTE: "*/15 * * * *",
    HOUR: "17 * * * *",
    6 * HOUR: "0 */6 * * *",
    DAY: "30 2 * * *",
}


@dataclass
class Healthy:
    """A schedule that keeps to its plan for so many days."""

    world: World
    kind: str
    every: int
    zone: str
    troubled: list[tuple[int, int]]


def healthy(seed: int, days: float, kind: str, every: int, *, calm: bool = False) -> Healthy:
    """The schedule, run to its end; `calm` leaves out what disturbs it."""
    world = World(seed, days, known=seed % 3 != 0)
    random = world.random
    world.epoch = random.choice(EPOCHS)
    zone = random.choice(ZONES)
    made = Healthy(world, kind, every, zone, [])
    if not calm:
        _disturb(made)
    work = _work(world, every)
    if kind in ("cron", "timer"):
        cron(
            world,
            CRONS[every],
            zone,
            work,
            spread=SECOND if kind == "cron" else min(MINUTE, every // 10),
            persistent=kind == "timer",
        )
    elif kind == "pool":
        for start, end, clean in _lives(made):
            pool = [_born(world, f"every {spell_interval(every)}", start, end, clean) for _ in range(4)]
            beat(world, every, work, pool, start, queue=0.02)
    else:
        for start, end, clean in _lives(made):
            _live(made, _born(world, f"every {spell_interval(every)}", start, end, clean), start, work)
    if not calm:
        for _ in range(random.randrange(4)):
            by_hand(made, random.randrange(world.length))
    world.ready()
    return made


def by_hand(made: Healthy, at: int) -> None:
    """A person runs the job in a terminal."""
    world = made.world
    if world.awake(at) == at:
        end = world.slept(at, 5 * SECOND)
        world.runs.append(Ran(at, end, world.owner(), f"every {spell_interval(made.every)}", manual=True))
        made.troubled.append((at, at + made.every))


def _live(made: Healthy, by: Process, start: int, work: Callable[[], int]) -> None:
    world, every, kind = made.world, made.every, made.kind
    if kind in ("loop", "wait first"):
        if kind == "wait first":  # announces with its first run
            by.first = min(world.slept(start, every), NEVER)
        loop(world, by, start, every, work, first=kind == "loop")
    elif kind == "polled":
        poll = SECOND if every < 15 * MINUTE else world.random.choice((SECOND, MINUTE))
        polled(world, by, start, every, work, poll, made.zone)
    else:
        hint = kind != "planner unhinted"
        planner(
            world,
            by,
            start,
            every,
            work,
            coalesce=kind != "planner",
            strict=kind == "planner strict",
            hint=hint,
        )


def _born(world: World, plan: str, start: int, end: int, clean: bool) -> Process:
    by = world.process(plan, start)
    if end < world.length:
        by.leaves, by.dies = (end, NEVER) if clean else (NEVER, end)
    return by


def _lives(made: Healthy) -> Iterator[tuple[int, int, bool]]:
    """Processes one after another: deployed anew now and then, cleanly or killed, away for some seconds."""
    world, every = made.world, made.every
    random = world.random
    start = random.randrange(MINUTE)
    while start < world.length:
        end = start + max(3 * every, random.randrange(HOUR, 8 * DAY))
        yield start, world.awake(end), random.random() < 0.5
        start = world.awake(end) + random.randrange(SECOND, MINUTE)
        made.troubled.append((end, start + 3 * every))


def _work(world: World, every: int) -> Callable[[], int]:
    """How long runs last: much the same, now and then a third of the period."""
    usual = min(every // 20, world.random.randrange(SECOND, 2 * MINUTE))

    def lasts() -> int:
        if world.random.random() < 0.01:
            return every // 3
        return round(usual * world.random.uniform(0.7, 1.4))

    return lasts


def _disturb(made: Healthy) -> None:
    """The machine sleeps, its clock is set, nobody watches."""
    world, random = made.world, made.world.random
    for _ in range(random.randrange(4)):
        start = random.randrange(world.length)
        world.asleep.append((start, start + random.choice((5 * MINUTE, 40 * MINUTE, 3 * HOUR, 9 * HOUR))))
    world.asleep = _apart(world.asleep, 0)
    for _ in range(random.randrange(3)):
        start = random.randrange(world.length)
        world.off.append((start, start + random.choice((10 * MINUTE, 2 * HOUR, 8 * HOUR, 2 * DAY))))
    world.off = _apart(world.off, 0)
    for _ in range(random.randrange(3)):
        when = world.awake(random.randrange(world.length))
        step = random.choice((-1, 1)) * random.choice((20 * SECOND, 7 * MINUTE, HOUR, 2 * HOUR))
        if all(abs(when - other) > DAY for other, _ in world.sets):
            world.sets.append((when, step))
    world.sets.sort()
    made.troubled += [(start, end + 2 * made.every) for start, end in (*world.asleep, *world.off)]
    made.troubled += [(when - MINUTE, when + 3 * HOUR + 2 * made.every) for when, _ in world.sets]


def _apart(stretches: list[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if not kept or start > kept[-1][1] + least:
            kept.append((start, end))
    return kept


def moments(made: Healthy, share: float) -> list[int]:
    """When to judge: at each run, at its end, and right before the next; away from trouble only this share of them."""
    world, found = made.world, []
    starts = [one.start for one in world.runs if not one.manual]
    for one, following in zip(starts, [*starts[1:], world.length], strict=True):
        troubled = any(start <= one < end or start <= following < end for start, end in made.troubled)
        if troubled or world.random.random() < share:
            found += [one + SECOND, world.random.randrange(one, max(one + 1, following)), following - 1000]
    return [at for at in sorted(found) if world.watched(at)]


def judged(made: Healthy, at: int, back: int) -> Watched:
    """What an engine would say at that moment."""
    seen = made.world.view(at, back)
    record = plan_of_record(
        "trade", None, seen.announcements, HOUR, made.zone, now=seen.now, alive=seen.alive
    )
    return watch(
        "trade", record, seen.runs, seen.announcements, seen.gaps, seen.alive, seen.now, since=seen.now - back
    )


def look_back(every: int) -> int:
    """As far as it takes to judge, so that simulating short periods does not take hours."""
    return max(8 * HOUR, min(8 * DAY, 60 * every))


@dataclass
class Fault:
    """A planted fault: of what kind, when its runs that nobody planned began, when a run was missed, or (`overlap`) when one
    began while another went on."""

    made: Healthy
    kind: str
    unplanned: list[int]
    missed: int | None = None
    overlap: int | None = None

    @property
    def proven(self) -> int:
        """When it can be known: at the second unplanned run; where nobody can tell whether the first process lives, not
        before that ran again beside the other."""
        second = self.unplanned[1]
        if self.made.world.known or not self.kind.startswith("double"):
            return second
        beside = [one.start for one in self.made.world.runs if one.start not in self.unplanned]
        return max(second, next(at for at in beside if at > self.unplanned[0]))


FAULTS = (
    "other plan",
    "silent interval",
    "double",
    "double same phase",
    "double once",
    "crash loop",
    "overlap",
    "missed",
    "stopped",
)


def faulty(seed: int, fault: str, every: int, known: bool) -> Fault:
    """A schedule that goes well for a while, and what then goes wrong."""
    world = World(seed, (every * 14) / DAY, known=known)
    random = world.random
    made = Healthy(world, "loop", every, "UTC", [])
    plan = f"every {spell_interval(every)}"
    work = _work(world, every)
    begins = random.randrange(3 * every, 6 * every)
    planted = Fault(made, fault, [])
    if fault in ("other plan", "double", "double same phase"):
        _first_and_second(planted, begins, plan, work)
    elif fault == "double once":
        _two_crontabs(planted, begins, work)
    elif fault == "silent interval":
        _silent(planted, begins, plan, work)
    elif fault == "crash loop":
        _crashes(planted, begins, plan, work)
    else:
        _skips(planted, fault, begins, plan, work)
    world.ready()
    return planted


def _keeps(world: World, plan: str, every: int, work: Callable[[], int], until: int = NEVER) -> Process:
    """The process that keeps to the plan: a loop, a planner or one of a pool's."""
    by = world.process(plan, world.random.randrange(MINUTE))
    by.dies = until
    if world.random.random() < 0.5:
        loop(world, by, by.first, every, work)
    else:
        strict, hint = world.random.random() < 0.5, world.random.random() < 0.5
        planner(world, by, by.first, every, work, coalesce=True, strict=strict, hint=hint)
    return by


def _first_and_second(planted: Fault, begins: int, plan: str, work: Callable[[], int]) -> None:
    world, every, random = planted.made.world, planted.made.every, planted.made.world.random
    first = _keeps(world, plan, every, work)
    period, announced = every, plan
    if planted.kind == "other plan":
        period = max(SECOND, round(every * random.choice((1 / 12, 1 / 6, 0.25, 0.5, 0.7, 0.8))))
        announced = f"every {spell_interval(period)}"
    elif planted.kind == "double same phase":
        following = next((one for one in first.seen if one >= begins), begins)
        begins = max(0, following + random.randrange(-2 * SECOND, 2 * SECOND))
    second = world.process(announced, begins)
    before = len(world.runs)
    if planted.kind == "other plan" and random.random() < 0.5:
        planner(world, second, begins, period, lambda: work() // 12, coalesce=True, strict=True)
    else:
        loop(world, second, begins, period, lambda: work() // 12)
    planted.unplanned = [one.start for one in world.runs[before:] if one.outcome != "skipped"]


def _two_crontabs(planted: Fault, begins: int, work: Callable[[], int]) -> None:
    """The same line in the crontabs of two machines, or twice in one."""
    world, every, random = planted.made.world, planted.made.every, planted.made.world.random
    text = f"every {spell_interval(every)}" if random.random() < 0.5 else f"cron {CRONS[every]}"
    apart = random.choice((0, random.randrange(every)))
    for slot in range({HOUR: 17 * MINUTE, DAY: 150 * MINUTE}.get(every, 0), world.length, every):
        once(world, text, slot + random.randrange(SECOND), work)
        if slot + apart >= begins:
            by = once(world, text, slot + apart + random.randrange(SECOND), work)
            planted.unplanned.append(by.seen[0])
    if (
        min(apart, every - apart) <= every // 10
    ):  # either of two that come close may be called the second: both have run
        planted.unplanned = [
            at + (every - apart if apart > every // 2 else 0) + SECOND for at in planted.unplanned
        ]


def _silent(planted: Fault, begins: int, plan: str, work: Callable[[], int]) -> None:
    """A process that says it keeps to the plan, and runs more often."""
    world, every, random = planted.made.world, planted.made.every, planted.made.world.random
    _keeps(world, plan, every, work, begins)
    wrong = world.process(plan, begins + SECOND)
    period = max(SECOND, round(every * random.choice((1 / 12, 1 / 6, 0.25, 0.5, 0.7, 0.8))))
    before = len(world.runs)
    loop(world, wrong, begins + SECOND, period, lambda: work() // 12)
    planned = begins + SECOND
    for one in world.runs[
        before + 1 :
    ]:  # the first may be a restart; what comes within the period after is too early
        if one.start < planned + every * 9 // 10:
            planted.unplanned.append(one.start)
        else:
            planned = one.start


def _crashes(planted: Fault, begins: int, plan: str, work: Callable[[], int]) -> None:
    """A process that runs the job first, crashes, and is started again."""
    world, every, random = planted.made.world, planted.made.every, planted.made.world.random
    kept = _keeps(world, plan, every, work, begins)
    at = begins
    on_time = any(
        abs(begins - one - every * round((begins - one) / every)) < every // 9 for one in kept.seen[-3:]
    )
    for count in range(8):
        by = world.process(plan, at)
        by.dies = at + random.randrange(SECOND, max(2 * SECOND, every // 6))
        world.ran(by, at, work())
        at = by.dies + random.randrange(SECOND, max(2 * SECOND, every // 6))
        if count > on_time:  # one restart is free
            planted.unplanned.append(by.first)
    loop(world, world.process(plan, at), at, every, work)


def _skips(planted: Fault, fault: str, begins: int, plan: str, work: Callable[[], int]) -> None:
    """A run that lasts into the next, one that never came, or a process that hangs from then on."""
    world, every = planted.made.world, planted.made.every
    by = world.process(plan, 0)
    at = world.random.randrange(MINUTE)
    done = False
    while at < world.length:
        if at >= begins and not done:
            done = True
            if fault == "overlap":
                world.ran(by, at, every + every // 10 + work())
                planted.overlap = at + every
                at += every
                continue
            planted.missed = at
            if fault == "stopped":
                break
        else:
            world.ran(by, at, work())
        at += every
