"""The plan of record: what a job is held to, and since when.

The config's plan holds whenever it is there. Else it is the longest plan anybody announces at the time: an announcement
holds from its beginning until two periods after its process left, or after the last sign of a process that is not known to
live; what a file says (a crontab, a compose file) holds exactly while it says so. Once nobody announces the job any more, a
process that did not leave by itself is waited for seven days (or three periods); one that left is not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from costmon.config.values import Job
from costmon.insight.schedule.expected import grace
from costmon.insight.schedule.plans import AT, OPAQUE, Plan, gaps, more_often, parse, period_us
from costmon.insight.schedule.values import ANNOUNCED, CONFIG, FLOOR, Announcement, PlanOfRecord
from costmon.insight.schedule.zones import DAY
from costmon.shim.jobs.intervals import spell_interval

FILES = frozenset({"apscheduler-store", "crontab", "systemd", "compose"})
"""Sources of which the owner is a file or the machine, not a process."""
ALWAYS = -(2**62)
NEVER = 2**62
_WAITED = 7 * DAY


class Era(NamedTuple):
    """A stretch start ≤ t < end in which one plan of record holds."""

    start: int
    end: int
    plan: Plan


class Said(NamedTuple):
    """An announcement: its plan holds from `start` to `end`, and its runs are waited for until `waited`."""

    start: int
    end: int
    waited: int
    plan: Plan
    by: Announcement


def plan_of_record(
    job: str,  # noqa: ARG001 - the announcements are its own
    config_job: Job | None,
    announcements: Sequence[Announcement],
    floor_us: int,
    zone: str,
    *,
    now: int | None = None,
    alive: Mapping[str, bool | None] | None = None,
) -> PlanOfRecord:
    """What a job is held to at `now` (without it, at the latest sign of anybody).

    `announcements` are this job's; `zone` is the operator's, for plans that name none.
    """
    if config_job is not None:
        plan = f"every {spell_interval(config_job.every_us)}" if config_job.every_us else ""
        plan = f"cron {config_job.cron}" if config_job.cron else plan
        return PlanOfRecord(plan, config_job.zone or zone, CONFIG)
    if now is None:
        now = max((max(one.first_at, one.seen_at, one.ended_at or 0) for one in announcements), default=0)
    spoken = said(announcements, alive or {}, zone)
    era = next((era for era in eras(spoken) if era.start <= now < era.end), None)
    if era is None:
        return PlanOfRecord(f"every {spell_interval(floor_us)}" if floor_us > 0 else "", zone, FLOOR)
    by = max((one.by for one in spoken if one.plan == era.plan), key=lambda by: (by.seen_at, by.who))
    return PlanOfRecord(by.plan, by.zone or zone, ANNOUNCED, by.who)


def said(
    announcements: Sequence[Announcement],
    alive: Mapping[str, bool | None],
    zone: str,
    began: Mapping[str, int] | None = None,
) -> list[Said]:
    """The announcements whose plan can be read, oldest first; `began` is when each owner's first run did, which counts where
    a clock was set back since."""
    found = []
    lasting: dict[Plan, int] = {}
    for one in announcements:
        plan = parse(one.plan, one.zone, zone)
        if plan is not None and plan.kind != OPAQUE:
            start = min(one.first_at, (began or {}).get(one.owner, one.first_at))
            if plan not in lasting:
                rare = gaps(plan, one.first_at)
                lasting[plan] = rare.longest if rare is not None else 0
            found.append(Said(start, *_until(one, plan, lasting[plan], alive), plan, one))
    return sorted(found, key=lambda one: (one.start, one.by.source, one.by.owner, one.by.app, one.by.plan))


def eras(spoken: Sequence[Said]) -> list[Era]:
    """Which plan of record held when, oldest first."""
    starts: dict[Plan, list[int]] = {}
    for one in spoken:
        starts.setdefault(one.plan, []).append(one.start)
    holds: dict[Plan, list[tuple[int, int]]] = {}
    waits: dict[Plan, list[tuple[int, int]]] = {}
    for one in spoken:
        holds.setdefault(one.plan, []).append((_together(one, starts), one.end))
        waits.setdefault(one.plan, []).append((one.start, one.waited))
    joined = {plan: _join(spans) for plan, spans in holds.items()}
    awaited = {plan: _join(spans) for plan, spans in waits.items()}
    edges = sorted(
        {edge for spans in (*joined.values(), *awaited.values()) for span in spans for edge in span}
    )
    found: list[Era] = []
    for start, end in pairwise(edges):
        plan = _longest(_holding(joined, start), start) or _longest(_holding(awaited, start), start)
        if plan is None:
            continue
        if found and found[-1].plan == plan and found[-1].end == start:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(Era(start, end, plan))
    return found


def _holding(joined: Mapping[Plan, Sequence[tuple[int, int]]], at: int) -> list[Plan]:
    return [plan for plan, spans in joined.items() if any(start <= at < end for start, end in spans)]


def _longest(plans: Sequence[Plan], at: int) -> Plan | None:
    """The plan that runs least often; one that runs once only counts if there is no other."""
    best: Plan | None = None
    for plan in plans:
        if best is None or best.kind == AT or (plan.kind != AT and more_often(best, plan, at)):
            best = plan
    return best


def _until(one: Announcement, plan: Plan, every: int, alive: Mapping[str, bool | None]) -> tuple[int, int]:
    """Until when an announcement holds, and until when a run of it is waited for; `every` is the plan's longest gap."""
    linger = 2 * (every + grace(every, 0))
    if one.ended_at is not None:
        end = one.ended_at + (1 if one.source in FILES else max(linger, 1))
        return end, end
    if one.source in FILES or alive.get(one.owner) is True or plan.kind == AT:
        return NEVER, NEVER
    last = max(one.seen_at, one.first_at)
    return last + linger, last + max(_WAITED, 3 * every)


def _together(one: Said, starts: Mapping[Plan, Sequence[int]]) -> int:
    """When the longer plan of two that were started together begins to hold: with the other's first run."""
    start = one.start
    for plan, begun in starts.items():
        if plan != one.plan and more_often(plan, one.plan, one.start):
            index = bisect_left(begun, one.start - (period_us(plan, one.start) or 0))
            if index < len(begun) and begun[index] < start:
                start = begun[index]
    return start


def _join(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
