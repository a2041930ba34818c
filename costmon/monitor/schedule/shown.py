"""What front ends show of jobs, made from how they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection

from costmon.insight.schedule import plans
from costmon.insight.schedule.record import FILES
from costmon.insight.schedule.values import (
    ANNOUNCED,
    CONFIG,
    DOUBLED,
    FLOOR,
    LATE,
    UNEXPECTED,
    Announcement,
    Judged,
    Watched,
)
from costmon.monitor.schedule import misfires, parties
from costmon.monitor.schedule.judging import JobState, Judging
from costmon.monitor.schedule.load import DAY_US
from costmon.monitor.schedule.projected import misfires_every
from costmon.monitor.schedule.values import AnnouncedPlan, RunStatus, Schedule, ScheduledJob
from costmon.shim.events import clean
from costmon.shim.jobs.intervals import spell_interval
from costmon.shim.money import Money, format_money
from costmon.shim.timestamps import to_datetime, to_us

MOST_SHOWN = 500
_NEAR_US = 60 * 1_000_000
_NEVER = datetime.max.replace(tzinfo=UTC)
PROBLEMS = "schedule_problems"
"""The setting in which the engine keeps what it could not read, one sentence a line."""


def schedule(db: Connection, judging: Judging, now: int, *, watching: bool, patient: bool = True) -> Schedule:
    """Every job as of `now` (µs UTC), the next to run first. `watching`: an engine runs."""
    states = judging.refresh(db, now, watching=watching, patient=patient)
    jobs = sorted((_kept(judging, state, now) for state in states), key=_order)
    row = db.execute("select value from setting where key = ?", (PROBLEMS,)).fetchone()
    currency = states[0].currency if states else "USD"
    sums = zip(
        *((state.ahead.tonight, state.ahead.this_week, state.ahead.this_month) for state in states),
        strict=True,
    )
    tonight, week, month = [_money(_total(parts), currency) for parts in sums] or [None] * 3
    return Schedule(
        jobs=tuple(jobs),
        problems=(*(row[0].splitlines() if row is not None else ()), *sorted(judging.failed.values())),
        tonight=tonight,
        this_week=week,
        this_month=month,
    )


def _kept(judging: Judging, state: JobState, now: int) -> ScheduledJob:
    """The same value until the job is judged anew, or its next run is due."""
    state_before, found = judging.shown.get(state.name, (None, None))
    if found is None or state_before is not state or (found.upcoming and to_us(found.upcoming[0]) <= now):
        found = job(state, now)
        judging.shown[state.name] = (state, found)
    return found


def job(state: JobState, now: int) -> ScheduledJob:
    """One job as of `now`."""
    watched, currency = state.watched, state.currency
    judged = watched.judged
    last = judged[-1].run if judged else None
    since = now - DAY_US
    recent = [one for one in judged[-MOST_SHOWN:] if one.run.started_at >= since]
    next_at = state.next_at
    upcoming = _upcoming(state, next_at, now)
    soonest = _soonest(state, next_at, now)
    findings = tuple(told(state))
    return ScheduledJob(
        name=clean(state.name.name),
        apps=tuple(clean(app) for app in state.apps),
        plan=watched.plan.plan,
        said_by=watched.plan.said_by if watched.plan.plan else "",
        plan_who=clean(watched.plan.who),
        zone=watched.plan.zone,
        period=timedelta(microseconds=state.period_us) if state.period_us is not None else None,
        next_run=to_datetime(soonest) if soonest is not None else None,
        next_who=_next_who(state, soonest),
        announced=tuple(_announced(one, watched) for one in state.announced[:MOST_SHOWN]),
        upcoming=tuple(map(to_datetime, upcoming)),
        recent=tuple(_run(one, currency) for one in recent),
        missed=tuple(to_datetime(at) for at in watched.missed if at >= since)[-MOST_SHOWN:],
        hour=watched.hour,
        day=watched.day,
        week=watched.week,
        runs=state.kept,
        failures=state.failures,
        outcome=last.outcome if last is not None else "",
        last_started=to_datetime(last.started_at) if last is not None else None,
        last_ended=to_datetime(last.ended_at) if last is not None and last.ended_at is not None else None,
        median=_money(state.cost.median, currency),
        p95=_money(state.cost.p95, currency),
        trend=state.trend,
        today=_money(state.today, currency),
        tonight=_money(state.ahead.tonight, currency),
        this_week=_money(state.ahead.this_week, currency),
        this_month=_money(state.ahead.this_month, currency),
        rhythm=timedelta(microseconds=watched.rhythm.every_us) if watched.rhythm is not None else None,
        level=level(watched),
        findings=findings,
    )


def _upcoming(state: JobState, next_at: int | None, now: int) -> Sequence[int]:
    """The planned times of the next 24 h; of a job without a plan the next that anybody tells."""
    if next_at is None:
        return ()
    if state.plan is not None and state.plan.kind != plans.OPAQUE:
        return plans.occurrences(state.plan, now, now + DAY_US, next_at, MOST_SHOWN)
    return (next_at,) if now <= next_at < now + DAY_US else ()


def level(watched: Watched) -> str:
    """'bad', 'warn', 'unconfirmed' or 'ok', as in `ScheduledJob`."""
    if watched.misfire is not None and watched.misfire.going_on:
        return "bad"
    last = _last_planned(watched.judged)
    if watched.missing or watched.failing > 1 or (last is not None and (last.too_long or last.overlaps)):
        return "warn"
    if watched.misfire is not None or (last is not None and last.verdict == LATE):
        return "warn"
    return "ok" if watched.plan.plan and watched.plan.said_by != FLOOR else "unconfirmed"


def told(state: JobState) -> Iterable[str]:
    """What is to be said of a job, the worst first, each a sentence without a full stop."""
    watched, zone = state.watched, state.zone
    plan = misfires.spelled(watched.plan.plan, watched.plan.zone, zone)
    if watched.misfire is not None:
        against = state.against
        yield _misfire_told(state, misfires.spelled(against.plan, against.zone, zone))
        if watched.misfire.going_on and parties.two_jobs(state):
            yield parties.accept(state)
    if watched.missing:
        yield _missing_told(watched, plan)
    if watched.deserted:
        yield "nobody announces it any more"
    if watched.failing:
        runs = "the last run" if watched.failing == 1 else f"the last {watched.failing} runs"
        yield f"{runs} failed and still cost"
    last = _last_planned(watched.judged)
    if last is not None and last.too_long and state.period_us is not None:
        yield f"the last run took longer than the {spell_interval(_whole(state.period_us))} between two of them"
    if last is not None and last.overlaps:
        yield "the last run began while the one before it was still going on"
    others = [
        one for one in state.announced if _is_fresh(one, watched.now, zone) and _differs(one, watched, zone)
    ]
    blamed = watched.misfire.who if watched.misfire is not None else ()
    for one in [one for one in others if one.who not in blamed][:3]:
        said = misfires.spelled(one.plan, one.zone, zone)
        yield f"{clean(one.who) or clean(one.owner) or one.source} says {said}, not {plan}"
    if watched.rhythm is not None and not _is_planned(watched):
        every = misfires.rough(watched.rhythm.every_us)
        yield (
            f"it seems to run every {every}, which nobody has confirmed: "
            f'[jobs.{parties.key(state.name.name)}] every = "{every}"'
        )
    if state.cost.unknown:
        yield f"what {state.cost.unknown} of its runs cost is unknown"


def _misfire_told(state: JobState, plan: str) -> str:
    found = state.watched.misfire
    if found is None:
        return ""
    who = f" by {' and '.join(parties.named(parties.culprits(state)[:2]))}" if found.who else ""
    more = f" and {len(found.who) - 2} more" if len(found.who) > 2 else ""
    every = misfires_every(state.watched)
    fact = f"every {misfires.rough(every)}" if every else ""
    planned = f" where {plan} is planned" if plan else ""
    if found.kind == DOUBLED and parties.beside(state):
        more += f" beside {' and '.join(parties.named(parties.beside(state)[-2:]))}"
    planned = f", planned {plan}" if fact == plan else planned
    fact = f", {fact}" if fact and fact != plan else ""
    cost = (
        f", {format_money(found.cost, state.currency)} so far" if found.cost is not None else ", cost unknown"
    )
    over = "" if found.going_on else " (over now)"
    return f"{found.kind}: {found.runs} runs nobody planned{who}{more}{fact}{planned}{cost}{over}"


def _missing_told(watched: Watched, plan: str) -> str:
    if not watched.judged:
        return f"it has not run yet, planned {plan}" if plan else "it has not run yet"
    ran = watched.judged[-1].run.started_at
    absent = sum(at > ran for at in watched.missed)
    return f"{max(1, absent)} planned run{'s' if absent > 1 else ''} did not come" + (
        f", planned {plan}" if plan else ""
    )


def _is_planned(watched: Watched) -> bool:
    return bool(watched.plan.plan) and watched.plan.said_by in (CONFIG, ANNOUNCED)


def _differs(one: Announcement, watched: Watched, zone: str) -> bool:
    """Whether an announcement contradicts a plan of record."""
    if not one.plan or not _is_planned(watched):
        return False
    mine = plans.parse(one.plan, one.zone, zone)
    record = plans.parse(watched.plan.plan, watched.plan.zone, zone)
    return mine != record and mine is not None and mine.kind != plans.OPAQUE


def _is_fresh(one: Announcement, now: int, zone: str) -> bool:
    """Whether somebody still says so: a file, or a process that was heard of within two of its periods."""
    if one.ended_at is not None:
        return False
    plan = plans.parse(one.plan, one.zone, zone)
    period = plans.period_us(plan, now) if plan is not None else None
    return one.source in FILES or now - one.seen_at <= 2 * (period or DAY_US)


def _last_planned(judged: Sequence[Judged]) -> Judged | None:
    return next((one for one in reversed(judged) if one.verdict not in UNEXPECTED), None)


def _announced(one: Announcement, watched: Watched) -> AnnouncedPlan:
    return AnnouncedPlan(
        source=one.source,
        who=clean(one.who) or clean(one.owner),
        app=clean(one.app),
        plan=clean(one.plan),
        zone=one.zone,
        next_run=to_datetime(one.next_run_at) if one.next_run_at is not None else None,
        seen=to_datetime(one.seen_at),
        agrees=bool(one.plan) and not _differs(one, watched, watched.plan.zone or "UTC"),
        gone=one.ended_at is not None,
        note=clean(one.note),
    )


def _run(one: Judged, currency: str) -> RunStatus:
    run = one.run
    return RunStatus(
        at=to_datetime(run.started_at),
        ended=to_datetime(run.ended_at) if run.ended_at is not None else None,
        verdict=one.verdict,
        outcome=run.outcome,
        who=clean(run.who),
        cost=_money(run.cost, currency),
        calls=run.calls,
        planned=to_datetime(one.due_at) if one.due_at is not None else None,
    )


def _soonest(state: JobState, planned: int | None, now: int) -> int | None:
    """The next run there will be: while a misfire goes on, its process runs before the plan of record is due."""
    misfire = state.watched.misfire
    if misfire is None or not misfire.going_on:
        return planned
    told = [
        one.next_run_at for one in state.announced if one.ended_at is None and one.next_run_at is not None
    ]
    rhythm = misfire.last_at + misfire.every_us if misfire.every_us is not None else None
    return min([at for at in (*told, rhythm, planned) if at is not None and at > now], default=planned)


def _next_who(state: JobState, next_at: int | None) -> str:
    """Who says that very time, as exact as clocks and runs are; '' if nobody does."""
    if next_at is None:
        return ""
    off = min(_NEAR_US, max(_NEAR_US // 30, (state.period_us or 0) // 20))
    told = [
        (abs(one.next_run_at - next_at), clean(one.who) or clean(one.owner))
        for one in state.announced
        if one.ended_at is None and one.next_run_at is not None
    ]
    near = [one for one in told if one[0] <= off]
    return min(near, key=lambda one: one[0])[1] if near else ""


def _order(one: ScheduledJob) -> tuple[object, ...]:
    return (one.next_run is None, one.next_run or _NEVER, one.name)


def _money(nano: int | None, currency: str) -> Money | None:
    return None if nano is None else Money(nano, currency)


def _total(parts: Sequence[int | None]) -> int | None:
    return None if None in parts else sum(part or 0 for part in parts)


def _whole(us: int) -> int:
    return max(1_000_000, us // 1_000_000 * 1_000_000)
