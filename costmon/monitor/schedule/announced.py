"""Plans that others tell than the apps themselves: read from the host's schedulers, job stores and compose files, and kept
as announcements for as long as they are still told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING, NamedTuple

from costmon.config.schedules import JobsInForce
from costmon.shim.events import clean
from costmon.sources.schedules.values import Found, Planned, Problem
from costmon.store import schedules

if TYPE_CHECKING:
    from costmon.monitor.schedule.recognise import HostJobs

SEEN_EVERY_US = 60 * 1_000_000
"""A plan that is still told is noted this often."""
_OURS = re.compile(r"(?:^|[\s/;&|])costmon(?:\s|$)|\bCOSTMON_[A-Z]+=")
_LABEL = re.compile(r"\bCOSTMON_JOB=(?:\"([^\"]+)\"|'([^']+)'|(\S+))")
Reader = Callable[[], Found]


class Read(NamedTuple):
    """One look at every source: `sources` are those that could be read at all."""

    planned: tuple[Planned, ...]
    problems: tuple[Problem, ...]
    sources: frozenset[str]


def read_all(readers: Mapping[str, Reader]) -> Read:
    """Ask every source; one that fails says so and ends nothing it told before."""
    planned: list[Planned] = []
    problems: list[Problem] = []
    read = set()
    for source, reader in readers.items():
        try:
            found = reader()
        except Exception as error:
            problems.append(Problem(source, None, f"{source} could not be read ({type(error).__name__})"))
            continue
        planned += found.planned
        problems += found.problems
        read.add(source)
    return Read(tuple(planned), tuple(problems), frozenset(read))


def ours(planned: Iterable[Planned], config: JobsInForce, apps: frozenset[str]) -> list[Planned]:
    """Without what is nobody's business here: of a host's schedulers only the jobs of apps that make calls, the jobs the
    config names, and what runs costmon."""
    names = {one for job in config.jobs for one in (job.name, job.name.rpartition("/")[2])}
    found = []
    for one in planned:
        label = next(filter(None, _groups(_LABEL.search(one.command))), "")
        named = one._replace(job=clean(label)) if label else one
        if one.source not in schedules.ON_HOST or (
            named.app in apps or named.job in names or one.app in names or _OURS.search(one.command)
        ):
            found.append(named)
    return found


def put(db: Connection, planned: Sequence[Planned], sources: Iterable[str], now: int) -> bool:
    """Inside the caller's transaction: announce these plans, and end what their `sources` tell no more; whether anything
    changed but that it was seen again."""
    rows = db.execute(
        "select job, app, source, owner, who, plan, zone, next_run_at, seen_at, note from announcement"  # noqa: S608
        f" where ended_at is null and source in ({', '.join('?' * len(schedules.READ))})",
        schedules.READ,
    ).fetchall()
    before = {row[:4]: row[4:] for row in rows}
    changed = False
    told = set()
    for one in planned:
        key = (clean(one.job) or "job", clean(one.app), one.source, clean(one.owner, 1000))
        if key in told:
            continue
        told.add(key)
        said = (clean(one.who), clean(one.plan, 500), one.zone, one.next_run_at, clean(one.note, 500))
        old = before.get(key)
        if old is None or (*old[:4], old[5]) != said or now - old[4] >= SEEN_EVERY_US or now < old[4]:
            changed = changed or old is None or (*old[:4], old[5]) != said
            _announce(db, key, said, now)
    reached = set(sources)
    for key in before:
        if key not in told and key[2] in reached:
            db.execute(
                "update announcement set ended_at = ? where job = ? and app = ? and source = ? and owner = ?",
                (now, *key),
            )
            changed = True
    return changed


def host_jobs(db: Connection) -> HostJobs:
    """The jobs that a crontab or a timer starts as processes."""
    from costmon.monitor.schedule.recognise import HostJobs

    rows = db.execute(
        "select job, app from announcement where ended_at is null and source in (?, ?)", schedules.ON_HOST
    ).fetchall()
    return HostJobs({app: job for job, app in sorted(rows) if app}, frozenset(job for job, _ in rows))


def known_apps(db: Connection) -> frozenset[str]:
    """Every app that has made a call, or told of a run, that is still kept."""
    rows = db.execute("select distinct app from rollup_day union select distinct app from job_run")
    return frozenset(row[0] for row in rows)


def _announce(db: Connection, key: tuple[str, ...], said: tuple[object, ...], now: int) -> None:
    db.execute(
        """insert into announcement (job, app, source, owner, who, plan, zone, next_run_at, note, first_at, seen_at)
           values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           on conflict do update set who = excluded.who, plan = excluded.plan, zone = excluded.zone,
               next_run_at = excluded.next_run_at, note = excluded.note, seen_at = excluded.seen_at, ended_at = null,
               first_at = iif(ended_at is null, first_at, excluded.first_at)""",
        (*key, *said, now, now),
    )


def _groups(match: re.Match[str] | None) -> tuple[str, ...]:
    return match.groups(default="") if match is not None else ()
