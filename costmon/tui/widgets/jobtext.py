"""A scheduled job in words: its state, plan, next run, record and figures. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from costmon.insight.schedule.values import ANNOUNCED, CONFIG, FLOOR, Count
from costmon.monitor.schedule.values import RunStatus, Schedule, ScheduledJob
from costmon.shim.money import Money
from costmon.tui.format import age, coarse, cut, duration, every, fine_money, safe
from costmon.tui.lines import Span

MARKS: dict[str, Span] = {
    "ok": ("●", "word-ok"),
    "warn": ("▲", "warn"),
    "bad": ("✗", "bad"),
    "unconfirmed": ("?", "warn"),
}
"""The state of a job, told apart without colour too."""
WORDS: dict[str, Span] = {
    "ok": ("runs as planned", "word-ok"),
    "warn": ("not quite as planned", "warn"),
    "bad": ("MISFIRE", "bad"),
    "unconfirmed": ("UNCONFIRMED", "warn"),
}
_RANKS = ("bad", "warn", "unconfirmed", "ok")
_LAST = datetime.max.replace(tzinfo=UTC)
_MOST_GAPS = 12
_KNOWN = timedelta(hours=24)
"""So far ahead planned runs are told."""


def ordered(jobs: Iterable[ScheduledJob], *, worst_first: bool) -> list[ScheduledJob]:
    """The worst first, or all by when they run next; of those alike, by name."""

    def rank(job: ScheduledJob) -> tuple[object, ...]:
        return (_rank(job) if worst_first else 0, job.next_run or _LAST, job.name, job.apps)

    return sorted(jobs, key=rank)


def _rank(job: ScheduledJob) -> int:
    return _RANKS.index(job.level) if job.level in _RANKS else 0


def misfiring(schedule: Schedule) -> list[ScheduledJob]:
    return [job for job in schedule.jobs if job.level == "bad"]


def name_of(job: ScheduledJob) -> str:
    return safe(job.name) or (safe(job.apps[0]) if job.apps else "") or "(no name)"


def mark_of(job: ScheduledJob) -> Span:
    return MARKS.get(job.level, MARKS["warn"])


def plan_text(job: ScheduledJob, width: int = 0) -> str:
    """'every 60m', or what its rhythm seems to be, or that nobody has a plan; at most `width` cells, 0 = any."""
    seems = f"seems {every(job.rhythm)}" if job.rhythm else ""
    text = (safe(job.plan) if job.said_by != FLOOR or not seems else "") or seems or "no plan"
    return cut(text, width) if width else text


def said_by(job: ScheduledJob) -> str:
    """Who says so, after the plan."""
    if not job.plan:
        return "nobody says a plan"
    if job.said_by == CONFIG:
        return "said by the config"
    if job.said_by == FLOOR:
        return "the floor of [schedules]; nobody says a plan"
    who = safe(job.plan_who)
    return f"announced by {who}" if who else ANNOUNCED


def when(job: ScheduledJob, now: datetime) -> Span:
    """'next in 12m 03s', 'unplanned in 2m', 'overdue 3m', 'running 8s', or that nothing is planned."""
    if job.outcome == "running":
        return (f"running {coarse(now - job.last_started)}" if job.last_started else "running", "name")
    if job.next_run is None:
        return ("not planned", "dim")
    if job.next_run < now:
        return (f"overdue {coarse(now - job.next_run)}", "warn")
    left = duration(job.next_run - now)
    return (f"unplanned in {left}", "bad") if is_next_unplanned(job, now) else (f"next in {left}", "")


def is_next_unplanned(job: ScheduledJob, now: datetime) -> bool:
    """Whether the next run is one of a misfire that goes on, before any that is planned."""
    if job.level != "bad" or job.next_run is None:
        return False
    if any(one.agrees and one.next_run == job.next_run for one in job.announced):
        return False
    return job.next_run < (job.upcoming[0] if job.upcoming else now + _KNOWN)


def last_text(job: ScheduledJob, now: datetime) -> Span:
    """'ok 3m ago', 'FAILED 3m ago', 'never ran'."""
    at = job.last_ended or job.last_started
    if not job.outcome or at is None:
        return ("never ran", "dim")
    if job.outcome == "running":
        return ("running", "name")
    word, style = outcome_word(job.outcome)
    return (f"{word} {age(at, now)}", style)


def outcome_word(outcome: str) -> Span:
    return {
        "ok": ("ok", ""),
        "error": ("FAILED", "bad"),
        "running": ("running", "name"),
        "refused": ("refused", "warn"),
        "skipped": ("skipped", "warn"),
        "unknown": ("end not seen", "warn"),
    }.get(outcome, (cut(safe(outcome), 16) or "?", "warn"))


def record(job: ScheduledJob) -> tuple[Span, ...]:
    """'14 runs, 1 failed'."""
    runs = "1 run" if job.runs == 1 else f"{job.runs:,} runs"
    if not job.failures:
        return ((runs, "dim"),)
    return ((f"{runs}, ", "dim"), (f"{job.failures:,} failed", "bad" if job.outcome == "error" else "warn"))


def count_text(found: Count, *, planned: bool) -> Span:
    """'12/1': runs and how many of them were planned; '12/–' where nobody has a plan."""
    style = "bad" if found.unexpected else "warn" if found.missed else ""
    return (f"{found.actual:,}/{f'{found.planned:,}' if planned else '–'}", style)


def money_text(value: Money | None) -> str:
    """'$0.0012'; what nobody can tell is '?'."""
    return "?" if value is None else fine_money(value.nano, value.currency)


def trend_text(trend: Decimal | None) -> Span:
    """An arrow and by how much a run's cost moved: '↑ 1.20x', '→ 1.01x', '↓ 0.50x'; '' where there is nothing to compare."""
    if trend is None or not trend.is_finite():
        return ("", "")
    steady = Decimal("0.95") <= trend <= Decimal("1.05")
    arrow, style = ("→", "dim") if steady else ("↑", "warn") if trend > 1 else ("↓", "")
    return (f"{arrow} {trend:.2f}x" if trend < 100 else f"{arrow} >100x", style)


def is_planned(job: ScheduledJob) -> bool:
    """Whether anybody planned it; the floor is no plan."""
    return bool(job.plan) and job.said_by != FLOOR


def fact_text(job: ScheduledJob, verb: str = "") -> str:
    """'runs every 5m, planned every 60m', of a job that misfires; in counts where no one interval says it, after `verb` if
    they are to be a sentence."""
    verb = f"{verb} " if verb else ""
    plan = safe(job.plan)
    planned = f"planned {plan}" if plan else "nobody planned it"
    found = _gap(job.recent)
    if found is not None and (job.period is None or found * 10 < job.period * 9):
        return f"runs {every(found)}, {planned}"
    hour, day = job.hour, job.day
    if hour.actual > hour.planned:
        return f"{verb}{hour.actual:,} runs in the last hour, {hour.planned:,} planned"
    if day.actual > day.planned:
        return f"{verb}{day.actual:,} runs in the last day, {day.planned:,} planned"
    return f"{verb}runs that nobody planned, {planned}"


def _gap(recent: tuple[RunStatus, ...]) -> timedelta | None:
    """The time between two of the last runs, the middle one, to the minute or the second; None of fewer than three."""
    starts = sorted(run.at for run in recent)[-_MOST_GAPS - 1 :]
    gaps = sorted(b - a for a, b in pairwise(starts))
    if len(gaps) < 2:
        return None
    middle = gaps[len(gaps) // 2].total_seconds()
    unit = 60 if middle >= 90 else 1
    rounded = round(middle / unit) * unit
    return timedelta(seconds=rounded) if rounded else None
