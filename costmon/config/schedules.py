"""Jobs and their plans, `[jobs.NAME]`; where else plans are read, `[schedules]`; logs that tell of runs, `[log.NAME]`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from costmon.config.source import Section, spell
from costmon.config.values import Job, Log, Schedules
from costmon.config.zones import is_zone, similar_zones

MAX_JOBS = 200
MAX_LOGS = 20
MAX_PATHS = 50
TELLS = ("start", "next", "run", "success", "failure", "done", "restart")
"""What a pattern of a log can tell."""


@dataclass(frozen=True, slots=True)
class JobsInForce:
    """What the compiled config says of jobs, their sources and their logs."""

    jobs: tuple[Job, ...] = ()
    schedules: Schedules = field(default_factory=Schedules)
    logs: tuple[Log, ...] = ()

    @property
    def by_name(self) -> dict[str, Job]:
        return {job.name: job for job in self.jobs}


def to_json(jobs: Sequence[Job], schedules: Schedules, logs: Sequence[Log]) -> str:
    """As the ledger keeps it."""
    told = {
        "jobs": [asdict(job) for job in jobs],
        "schedules": asdict(schedules),
        "logs": [
            {**{key: getattr(log, key) for key in _LOG_TEXTS}, "patterns": dict(log.patterns)} for log in logs
        ],
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False)


def from_json(text: str) -> JobsInForce:
    """The same back; '' is the defaults."""
    if not text:
        return JobsInForce()
    told = json.loads(text)
    schedules = told["schedules"]
    return JobsInForce(
        tuple(Job(**job) for job in told["jobs"]),
        Schedules(
            **{
                **schedules,
                "apscheduler": tuple(schedules["apscheduler"]),
                "compose": tuple(schedules["compose"]),
            }
        ),
        tuple(Log(**{**log, "patterns": MappingProxyType(log["patterns"])}) for log in told["logs"]),
    )


_LOG_TEXTS = ("name", "path", "app", "job", "zone")
_ANY_START = 1_767_225_600  # 2026-01-01, where an expression is tried


def read_jobs(section: Section, zone: str) -> tuple[Job, ...]:
    """Every `[jobs.NAME]`; `zone` is the operator's. Raises ConfigError."""
    for name in list(section.data)[MAX_JOBS:]:
        section.fail(name, f"is one job too many; {MAX_JOBS} at most are held to a plan, remove some")
    return tuple(_job(section, name, zone) for name in section.data)


def read_schedules(section: Section) -> Schedules:
    """`[schedules]`. Raises ConfigError."""
    section.only("floor", "crontab", "systemd", "apscheduler", "compose")
    usual = Schedules()
    return Schedules(
        floor_us=section.duration("floor", usual.floor_us),
        crontab=section.flag("crontab", usual.crontab),
        systemd=section.flag("systemd", usual.systemd),
        apscheduler=_paths(section, "apscheduler"),
        compose=_paths(section, "compose"),
    )


def read_logs(section: Section) -> tuple[Log, ...]:
    """Every `[log.NAME]`. Raises ConfigError."""
    for name in list(section.data)[MAX_LOGS:]:
        section.fail(name, f"is one log too many; {MAX_LOGS} at most are followed, remove some")
    return tuple(_log(section, name) for name in section.data)


def _job(parent: Section, name: str, zone: str) -> Job:
    section = _table(parent, name, "[jobs.trade]")
    section.only("every", "cron", "zone", "alert")
    if "every" in section.data and "cron" in section.data:
        section.fail("cron", 'stands beside "every"; a job has one plan, remove one of the two')
    cron = section.text("cron", "", '"0 * * * *"') if "cron" in section.data else ""
    own_zone = _zone(section, zone if cron else "")
    if cron:
        _check_cron(section, cron)
    elif own_zone:
        section.fail("zone", 'is the zone of "cron", and there is none; remove it')
    return Job(
        name=name,
        every_us=section.duration("every", 0),
        cron=" ".join(cron.split()),
        zone=own_zone,
        alert=section.flag("alert", True),
    )


def _check_cron(section: Section, cron: str) -> None:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        if len(cron.split()) != 5:
            raise CronSimError("five fields")
        CronSim(cron, datetime.fromtimestamp(_ANY_START, UTC))
    except CronSimError:
        section.fail("cron", f'must be five fields as in a crontab, such as "0 * * * *", not {spell(cron)}')


def _log(parent: Section, name: str) -> Log:
    section = _table(parent, name, "[log.trader]")
    section.only("path", "app", "job", "zone", *TELLS)
    if "path" not in section.data:
        section.fail(None, 'needs "path", the file to follow')
    path = os.path.expanduser(section.text("path", "", '"/srv/trader/scheduler.log"'))
    if not os.path.isabs(path):
        section.fail("path", "must be a whole path, such as /srv/trader/scheduler.log")
    return Log(
        name=name,
        path=path,
        app=section.text("app", name, '"trader"'),
        job=section.text("job", name, '"trade"'),
        zone=_zone(section, ""),
        patterns=MappingProxyType({tell: _pattern(section, tell) for tell in TELLS if tell in section.data}),
    )


def _pattern(section: Section, key: str) -> str:
    text = section.text(key, "", '"next run at (?P<time>.+)"')
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        section.fail(key, f"is no regular expression: {error}")
    return text


def _table(parent: Section, name: str, written: str) -> Section:
    if not isinstance(parent.data[name], dict):
        parent.fail(name, f"must be a table with a name, written {written}, not {spell(parent.data[name])}")
    if not name.strip() or len(name) > 200 or not name.isprintable():
        parent.fail(name, f"is no name; use 1 to 200 printable characters, as in {written}")
    return parent.section(name)


def _zone(section: Section, default: str) -> str:
    if "zone" not in section.data:
        return default
    zone = section.text("zone", default, '"Asia/Seoul"')
    if not is_zone(zone):
        similar = " or ".join(f'"{one}"' for one in similar_zones(zone)) or 'a name such as "Asia/Seoul"'
        section.fail("zone", f"is no known time zone: {spell(zone)}; write {similar}")
    return zone


def _paths(section: Section, key: str) -> tuple[str, ...]:
    value = section.data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one.isprintable() for one in value):
        section.fail(key, f'must be a list of paths in quotes, such as ["/srv/trader/{_EXAMPLE[key]}"]')
    if len(value) > MAX_PATHS:
        section.fail(key, f"has {len(value)} paths; {MAX_PATHS} at most are read")
    found = tuple(os.path.expanduser(one) for one in value)
    for one in found:
        if not os.path.isabs(one):
            section.fail(key, f"must hold whole paths, not {spell(one)}")
    return found


_EXAMPLE = {"apscheduler": "jobs.sqlite", "compose": "docker-compose.yml"}
