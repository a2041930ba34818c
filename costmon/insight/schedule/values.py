"""What judging a schedule needs and finds, as frozen values. Times are µs since 1970 UTC, money nano of one currency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# How a run stands to the plan of record.
EXPECTED, EARLY, LATE, RESTART, MANUAL, CATCH_UP, CLOCK = (
    "expected",
    "early",
    "late",
    "restart",
    "manual",
    "catch-up",
    "clock",
)
OTHER_PLAN, DOUBLED, EXTRA, RESTART_LOOP = "other plan", "doubled", "extra", "restart loop"
UNPLANNED = "unplanned"
UNEXPECTED = frozenset({OTHER_PLAN, DOUBLED, EXTRA, RESTART_LOOP})
"""What counts toward a misfire. `UNPLANNED` is a run of a job nobody has a plan for: it is neither."""
CONFIG, ANNOUNCED, FLOOR = "config", "announced", "floor"
"""Who says what the plan of record is: the config, the longest plan a process announces, or the audit's floor."""


class Announcement(NamedTuple):
    """Somebody says that a job has a plan; fields as in the ledger's table of announcements."""

    job: str
    app: str
    source: str
    owner: str
    who: str
    plan: str
    zone: str
    next_run_at: int | None
    first_at: int
    seen_at: int
    ended_at: int | None
    note: str = ""


class Run(NamedTuple):
    """One run of a job; fields as in the ledger's table of runs. `cost` is nano of the currency everything is judged in;
    None = its calls have no price, or no rate. `elapsed_at` is
    µs since the machine's start."""

    id: str
    app: str
    job: str
    source: str
    owner: str
    who: str
    plan: str
    planned_at: int | None
    started_at: int
    ended_at: int | None
    outcome: str
    elapsed_at: int | None = None
    manual: bool = False
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = 0
    unpriced: int = 0


class Gap(NamedTuple):
    """While nobody watched: `why` is 'off', 'suspended' or 'clock' (then `step` µs the clock was set by)."""

    start_at: int
    end_at: int
    why: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class PlanOfRecord:
    """What a job is held to. `plan` as in an announcement ('' only if nobody has one and there is no floor); `said_by` is
    CONFIG, ANNOUNCED or FLOOR; `who` the process or file that announced it."""

    plan: str
    zone: str
    said_by: str
    who: str = ""


class Judged(NamedTuple):
    """A run and how it stands to the plan. `due_at`: the planned time it answers, None if none. `overlaps`: it began while
    an earlier run of the job was going on; `too_long`: it took longer than its period."""

    run: Run
    verdict: str
    due_at: int | None = None
    overlaps: bool = False
    too_long: bool = False


class Count(NamedTuple):
    """Runs in a stretch of time: planned, actual, of these unexpected, and planned ones that were missed. `planned` is what
    the plan asks for while somebody watched."""

    planned: int
    actual: int
    unexpected: int
    missed: int


@dataclass(frozen=True, slots=True)
class Misfire:
    """Runs nobody planned, two or more of them within two periods: `runs` from `first_at` on, by `who` (for
    people), of `kind` (a verdict of UNEXPECTED), announcing `plan` ('' = nothing). `cost` is what they have cost so far,
    `every_us` how far apart they come, `going_on` whether the last
    one is younger than two periods of the wrong rhythm, and nothing has made its plan the plan of record. `held_to` is the
    plan of record its last run was judged against (and `held_zone` its zone), which may be another by now."""

    kind: str
    first_at: int
    last_at: int
    runs: int
    who: tuple[str, ...]
    plan: str
    cost: int | None
    every_us: int | None
    going_on: bool
    held_to: str = ""
    held_zone: str = ""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A period recognised from when runs began, `confirmed` by nobody; `runs` is how many it rests on."""

    every_us: int
    runs: int


@dataclass(frozen=True, slots=True)
class Watched:
    """One job, judged at `now`."""

    job: str
    now: int
    plan: PlanOfRecord
    judged: tuple[Judged, ...]
    """Oldest first, as far back as was asked."""
    missed: tuple[int, ...]
    """Planned times without a run while somebody watched, oldest first."""
    hour: Count
    day: Count
    week: Count
    misfire: Misfire | None
    missing: bool
    """The latest planned run is overdue past its grace, or was missed."""
    failing: int
    """The latest runs, in a row, that failed and still cost."""
    next_run_at: int | None
    rhythm: Rhythm | None
    """Only of a job without any plan."""
    deserted: bool = False
    """Nobody announces it any more and it was given up: there is no next run, and nothing to project."""
