"""Who is meant by a misfire: the processes beside the plan, those that keep it, and how the operator accepts both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from costmon.insight.schedule import plans
from costmon.insight.schedule.values import ANNOUNCED, DOUBLED, UNEXPECTED
from costmon.monitor.schedule.judging import JobState
from costmon.monitor.schedule.projected import misfires_every
from costmon.monitor.schedule.wording import rough
from costmon.shim.events import clean
from costmon.shim.jobs.intervals import spell_interval

_NAMED = 4
_BACK = 2
_SILENT = "alert = false"


class Party(NamedTuple):
    """A process, for people, and the app whose calls it makes."""

    who: str
    app: str


def culprits(state: JobState) -> tuple[Party, ...]:
    """Those whose runs nobody planned, in the misfire's order."""
    misfire = state.watched.misfire
    if misfire is None:
        return ()
    apps = {
        run.who or run.owner or run.app: run.app
        for run in (one.run for one in state.watched.judged if one.verdict in UNEXPECTED)
        if run.started_at >= misfire.first_at
    }
    return tuple(Party(who, apps.get(who, "")) for who in misfire.who)


def beside(state: JobState) -> tuple[Party, ...]:
    """Those that ran the job as planned in the meantime."""
    misfire = state.watched.misfire
    if misfire is None:
        return ()
    since = misfire.first_at - _BACK * (state.period_us or 0)
    found = [
        Party(run.who or run.owner or run.app, run.app)
        for run in (one.run for one in state.watched.judged if one.verdict not in UNEXPECTED)
        if run.started_at >= since and not run.manual
    ]
    others = {party: None for party in found if party.who not in misfire.who}
    return tuple(others)[-_NAMED:]


def named(parties: Iterable[tuple[str, str]]) -> list[str]:
    """'pid 1 of python on c4 (app trader)'; the app is left out where the process's name has it."""
    return [
        clean(who) if not app or _has(who, app) else f"{clean(who)} (app {clean(app)})"
        for who, app in parties
    ]


def both(state: JobState) -> list[str]:
    """Where a job runs twice: the two apps, or two processes of one; [] if there is no telling."""
    planned, more = beside(state), culprits(state)
    apps = list(dict.fromkeys(one.app for one in (*planned[-1:], *more[-1:])))
    if len(apps) > 1:
        return [clean(app) for app in apps]
    found = [*planned[-1:], *more[-1:]] if planned else list(more[-2:])
    return [clean(one.who) for one in found] if len(found) > 1 else []


def announcer(state: JobState) -> str:
    """Who announces the plan a misfire was judged against, other than those who broke it; '' if nobody does."""
    record, misfire = state.against, state.watched.misfire
    if record.said_by != ANNOUNCED or misfire is None or record.who not in misfire.who:
        return clean(record.who)
    plan = plans.parse(record.plan, record.zone, state.zone)
    others = [
        one
        for one in state.announced
        if one.who and one.who not in misfire.who and plans.parse(one.plan, one.zone, state.zone) == plan
    ]
    return clean(max(others, key=lambda one: one.seen_at).who) if others else ""


def two_jobs(state: JobState) -> str:
    """How to tell apart what is called alike in two apps: '[jobs."crawler/sync"] every = "10m"'; '' if one app runs it."""
    misfire = state.watched.misfire
    if misfire is None or misfire.kind != DOUBLED or state.name.app:
        return ""
    planned = {one.app for one in beside(state)}
    other = [one.app for one in culprits(state) if one.app and one.app not in planned]
    if not planned or not other:
        return ""
    return f"[jobs.{key(f'{other[-1]}/{state.name.job}')}] {_plan(state)}"


def accept(state: JobState) -> str:
    """The sentence that tells how a misfire is accepted."""
    apart = two_jobs(state)
    if apart:
        return f"If these are two jobs: {apart} in config.toml"
    misfire = state.watched.misfire
    meant = _SILENT if misfire is None or misfire.kind == DOUBLED else _plan(state)
    return f"If it is meant: [jobs.{key(state.name.name)}] {meant} in config.toml"


def key(name: str) -> str:
    """A name as a key of TOML."""
    if re.fullmatch("[A-Za-z0-9_-]+", name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plan(state: JobState) -> str:
    """What would make the runs planned ones, as the config has it: the plan their process announces, else how they come."""
    misfire = state.watched.misfire
    if misfire is None:
        return _SILENT
    plan = plans.parse(misfire.plan, "", state.zone)
    if plan is not None and (misfire.kind == DOUBLED or misfire.plan != state.against.plan):
        if plan.kind == plans.CRON:
            return f'cron = "{plan.expression}"'
        if plan.kind == plans.EVERY:
            return f'every = "{spell_interval(plan.every_us)}"'
    every = misfires_every(state.watched)
    return f'every = "{rough(every)}"' if every else _SILENT


def _has(who: str, app: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(app)}(?![\w-])", who) is not None
