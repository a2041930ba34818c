"""Plan against fact: how each run of a job stands to its plan of record, which planned runs were missed, what is a misfire.

Everything is judged anew from the runs looked back at, so that what is learned later counts for what came before: the first
run of a second process looks like a restart, until the first process runs again and it was a double from its first run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from costmon.insight.schedule.clocked import Clocked
from costmon.insight.schedule.expected import Excuses, is_interval, lasting
from costmon.insight.schedule.interval import Interval
from costmon.insight.schedule.misfires import Unexpected, latest_misfire, rhythm_of
from costmon.insight.schedule.owners import Owners
from costmon.insight.schedule.plans import Plan, more_often, parse, period_us
from costmon.insight.schedule.record import ALWAYS, FILES, NEVER, Era, eras, said
from costmon.insight.schedule.setting import Found, Setting
from costmon.insight.schedule.timeline import Seen, straighten
from costmon.insight.schedule.unplanned import Unplanned
from costmon.insight.schedule.values import (
    CONFIG,
    MANUAL,
    OTHER_PLAN,
    UNEXPECTED,
    UNPLANNED,
    Announcement,
    Count,
    Gap,
    Judged,
    Misfire,
    PlanOfRecord,
    Rhythm,
    Run,
    Watched,
)
from costmon.insight.schedule.zones import DAY, SECOND

_HOUR = 3600 * SECOND
_BY_CALLS = frozenset({"process", "rhythm"})
_KNOWN_BY_CALLS = 5
Judge = Interval | Clocked


def watch(
    job: str,
    record: PlanOfRecord,
    runs: Sequence[Run],
    announcements: Sequence[Announcement],
    gaps: Sequence[Gap],
    alive: Mapping[str, bool | None],
    now: int,
    *,
    since: int | None = None,
) -> Watched:
    """Judge one job at `now` (µs).

    Args:
        job: its name.
        record: what it is held to now (`plan_of_record`); what it was held to before follows from the announcements.
        runs: its runs as far back as is looked, in any order.
        announcements: everybody who says or said that the job has a plan.
        gaps: when nobody watched.
        alive: of each owner whether it lives now; None or absent where that cannot be told.
        since: before it runs and gaps are not known; nothing is planned there.
    """
    happened = {run.id: run for run in runs if run.outcome != "skipped"}.values()
    timeline = straighten(tuple(happened), gaps)
    seen = timeline.seen
    first_said = min((one.first_at for one in announcements), default=ALWAYS)
    announcements = timeline.moved_announcements(announcements)
    owners = Owners(seen, announcements, alive, now)
    lasts = lasting(seen)
    setting = Setting(
        now=now,
        seen=seen,
        timeline=timeline,
        owners=owners,
        excuses=Excuses(timeline.moved_gaps(gaps)),
        gaps=gaps,
        announcements=announcements,
        lasts=lasts,
        zone=record.zone,
        since=ALWAYS if since is None else since,
        first_said=first_said if record.said_by != CONFIG else ALWAYS,
        held=record.said_by == CONFIG,
    )
    walk = _Walk(setting, _eras(record, announcements, alive, seen), record)
    walk.run()
    return walk.watched(job, record)


def _eras(
    record: PlanOfRecord,
    announcements: Sequence[Announcement],
    alive: Mapping[str, bool | None],
    seen: Sequence[Seen],
) -> list[Era]:
    if record.said_by == CONFIG:
        plan = parse(record.plan, record.zone)
        return [Era(ALWAYS, NEVER, plan)] if plan is not None else []
    began: dict[str, int] = {}
    for at, run in seen:
        began.setdefault(run.owner, at)
    return eras(said(announcements, alive, record.zone, began))


class _Walk:
    """Goes through the runs in their order, each held to the plan of its era."""

    def __init__(self, setting: Setting, held: Sequence[Era], record: PlanOfRecord) -> None:
        self._set = setting
        self._by_files = all(one.source in FILES for one in setting.announcements)
        self._held = iter(held)
        self._zone = record.zone
        self._unplanned = Unplanned(setting.seen, setting.owners, setting.lasts)
        self._era: Era | None = None
        self._judge: Judge | None = None
        self._period = 0
        self._judged: list[Judged] = []
        self._unexpected: list[Unexpected] = []
        self._plan: Plan | None = None
        self._planned: list[int] = []
        self._missed: list[int] = []
        self._now: Found | None = None
        self._others: dict[tuple[str, Plan], bool] = {}

    def run(self) -> None:
        """Judge every run."""
        going_until = ALWAYS
        self._next_era()
        for index, one in enumerate(self._set.seen):
            while self._era is not None and one.at >= self._era.end:
                self._next_era()
            verdict, due = self._verdict(index, one)
            took = self._took(one)
            too_long = verdict not in (MANUAL, UNPLANNED) and 0 < self._period < took
            judged = Judged(one.run, verdict, due, one.at < going_until, too_long)
            self._judged.append(judged)
            if verdict in UNEXPECTED:
                self._unexpected.append(
                    Unexpected(one.at, self._period, judged, self._era.plan if self._era else None)
                )
            if verdict != MANUAL:
                going_until = max(going_until, one.at + took)
        while self._era is not None:
            self._next_era()

    def watched(self, job: str, record: PlanOfRecord) -> Watched:
        """What was found."""
        now = self._set.now
        found = self._now or Found()
        self._trust_calls(found)
        self._planned.sort()
        self._missed.sort()
        return Watched(
            job=job,
            now=now,
            plan=record,
            judged=tuple(self._judged),
            missed=tuple(self._missed),
            hour=self._count(now - _HOUR),
            day=self._count(now - DAY),
            week=self._count(now - 7 * DAY),
            misfire=self._misfire(),
            missing=found.overdue,
            failing=_failing(self._judged),
            next_run_at=found.next_at,
            rhythm=self._rhythm(),
            deserted=found.next_at is None and self._set.deserted(now) is not None,
        )

    def _next_era(self) -> None:
        """Be done with the plan of record so far, and go on to the next that has begun."""
        if self._era is not None and self._judge is not None:
            self._judge.finish(min(self._era.end, self._set.now))
            self._planned += self._judge.found.planned
            self._missed += self._judge.found.missed
            if self._era.start <= self._set.now < self._era.end:
                self._now, self._plan = self._judge.found, self._era.plan
        era = next(self._held, None)
        self._era, self._judge, self._period = None, None, 0
        if era is not None and era.start <= self._set.now:
            kind = Interval if is_interval(era.plan) else Clocked
            self._era, self._judge = era, kind(self._set, era, self._unplanned)
            self._period = period_us(era.plan, self._set.now) or 0

    def _verdict(self, index: int, one: Seen) -> tuple[str, int | None]:
        """How a run stands to the plan of its era, and the planned time it answers."""
        if one.run.manual:
            return MANUAL, None
        if self._era is None or self._judge is None or one.at < self._era.start:
            return UNPLANNED, None
        due = None
        if self._other_plan(one.run, self._era.plan):
            verdict = OTHER_PLAN
        else:
            verdict, due = self._judge.judge(index)
        self._judge.happened(one, verdict)
        return verdict, due

    def _other_plan(self, run: Run, plan: Plan) -> bool:
        """Whether the process that ran it has announced that it would run more often."""
        key = (run.plan, plan)
        if run.plan and key not in self._others:
            announced = parse(run.plan, plan.zone, self._zone)
            self._others[key] = announced is not None and more_often(announced, plan, self._set.now)
        return bool(run.plan) and self._others[key]

    def _took(self, one: Seen) -> int:
        """How long a run lasted, or has lasted; 0 where nobody knows."""
        run = one.run
        if run.ended_at is not None:
            return run.ended_at - run.started_at if run.outcome != "unknown" else 0
        return self._set.now - one.at if self._set.owners.alive(run.owner) is True else 0

    def _trust_calls(self, found: Found) -> None:
        """Tell no more missed runs than can be known.

        A run known by its calls alone is missed only where such runs always came; what no process ever ran or announced is
        not waited for; and of a job that only the config knows nobody can tell since when.
        """
        last = self._set.seen[-1].run if self._set.seen else None
        if last is None and not self._set.announcements:
            self._missed.clear()
            self._planned.clear()
        elif last is None and self._by_files:
            self._missed.clear()
            found.overdue = False
        elif last is not None and last.source in _BY_CALLS:
            answered = len(self._planned) - len(self._missed)
            if answered < _KNOWN_BY_CALLS or 10 * len(self._missed) > len(self._planned):
                self._missed.clear()
                found.overdue = False

    def _count(self, since: int) -> Count:
        now = self._set.now
        first, end = (bisect_right(self._set.seen, at, key=lambda one: one.at) for at in (since, now))
        recent = self._judged[first:end]
        return Count(
            planned=bisect_right(self._planned, now) - bisect_right(self._planned, since),
            actual=len(recent),
            unexpected=sum(judged.verdict in UNEXPECTED for judged in recent),
            missed=len(self._missed) - bisect_right(self._missed, since),
        )

    def _misfire(self) -> Misfire | None:
        """The latest misfire. One of another plan is over once that is the plan of record, or one that asks for as much."""
        found = latest_misfire(self._unexpected, self._set.now, self._set.lasts)
        last = self._unexpected[-1].judged if self._unexpected else None
        if found is None or last is None or self._plan is None or last.verdict != OTHER_PLAN:
            return found
        return found if self._other_plan(last.run, self._plan) else replace(found, going_on=False)

    def _rhythm(self) -> Rhythm | None:
        starts = [one.at for one in self._set.seen if not one.run.manual]
        return rhythm_of(starts) if self._now is None else None


def _failing(judged: Sequence[Judged]) -> int:
    """How many of the latest runs failed in a row and still cost, or may have."""
    count = 0
    for one in reversed(judged):
        run = one.run
        if run.outcome in (
            "running",
            "refused",
        ):  # what was refused cost nothing, and says nothing of the job
            continue
        if run.outcome != "error" or run.cost == 0:
            break
        count += 1
    return count
