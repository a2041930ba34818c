"""What front ends show of schedules, as frozen values. Times are aware UTC, money is `Money` in the display currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from costmon.insight.schedule.values import Count
from costmon.shim.money import Money


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run: `verdict` as in `insight.schedule.values`, `outcome` 'running', 'ok', 'error', 'refused' (costmon refused a
    call of it), 'skipped' or 'unknown'; `cost` None where its calls have no price, or nobody records them. `who` ran it, for
    people; `planned` is the planned time it answers."""

    at: datetime
    ended: datetime | None
    verdict: str
    outcome: str
    who: str
    cost: Money | None
    calls: int
    planned: datetime | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedPlan:
    """Who says what about a job: `source` as in the ledger ('app', 'apscheduler', 'crontab', …), `who` for people, `plan` as
    announced, `seen` how fresh it is. `agrees`: it is the plan of record; `gone`: nobody says so any more."""

    source: str
    who: str
    app: str
    plan: str
    zone: str
    next_run: datetime | None
    seen: datetime
    agrees: bool
    gone: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """One job, its plan of record beside what ran.

    `plan` is 'every 60m', 'cron 0 * * * *', … or '' if nobody has one; `said_by` 'config', 'announced' or 'floor'. `level`
    is 'ok', 'warn' (late, missed, failing, longer than its period), 'bad' (a misfire) or 'unconfirmed' (no plan: `rhythm` is
    what was recognised). `findings` are sentences, the worst first. `upcoming` are the planned times of the next 24 h,
    `recent` and `missed` of the last 24 h, 500 at most each. `median`, `p95` are of the last 7 days' runs; `trend` is their
    median over that of the 7 days before (1 = the same), None without. `tonight`, `this_week`, `this_month`: what the job
    will have cost from now until local midnight, Sunday's end and the month's end if nothing changes. `runs` and `failures`
    count what is kept of it.
    """

    name: str
    apps: tuple[str, ...]
    plan: str
    said_by: str
    plan_who: str
    zone: str
    period: timedelta | None
    next_run: datetime | None
    next_who: str
    announced: tuple[AnnouncedPlan, ...]
    upcoming: tuple[datetime, ...]
    recent: tuple[RunStatus, ...]
    missed: tuple[datetime, ...]
    hour: Count
    day: Count
    week: Count
    runs: int
    failures: int
    outcome: str
    last_started: datetime | None
    last_ended: datetime | None
    median: Money | None
    p95: Money | None
    trend: Decimal | None
    today: Money | None
    tonight: Money | None
    this_week: Money | None
    this_month: Money | None
    rhythm: timedelta | None
    level: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every job, the next to run first. `problems` are sources that could not be read, one sentence each. The sums are of
    the jobs' projections; None where one cannot be told."""

    jobs: tuple[ScheduledJob, ...] = ()
    problems: tuple[str, ...] = ()
    tonight: Money | None = None
    this_week: Money | None = None
    this_month: Money | None = None
