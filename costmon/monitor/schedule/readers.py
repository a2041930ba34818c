"""Where the config says that plans are to be read, each as a call that reads them now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from costmon.config.schedules import JobsInForce
from costmon.monitor.schedule.announced import Reader
from costmon.sources.schedules.values import Found


def readers(config: JobsInForce, now: int, *, host: bool = True) -> dict[str, Reader]:
    """By the source's name, as announcements have it. `host` False leaves this machine's own schedulers out, whose jobs a
    simulation has nothing to do with."""
    found: dict[str, Reader] = {}
    where = config.schedules
    if where.crontab and host:
        found["crontab"] = partial(_crontab, now)
    if where.systemd and host:
        found["systemd"] = partial(_systemd, now)
    if where.apscheduler:
        found["apscheduler-store"] = partial(_stores, where.apscheduler)
    if where.compose:
        found["compose"] = partial(_each, _composed, where.compose)
    return found


def _each(read: Callable[[str], Found], paths: Sequence[str]) -> Found:
    """Several files as one source."""
    looks = [read(path) for path in paths]
    return Found(
        tuple(one for look in looks for one in look.planned),
        tuple(one for look in looks for one in look.problems),
    )


def _crontab(now: int) -> Found:
    from costmon.config.zones import machine_zone
    from costmon.sources.schedules import crontab

    return crontab.read(now, machine_zone())


def _systemd(now: int) -> Found:
    from costmon.config.zones import machine_zone
    from costmon.sources.schedules import systemd

    return systemd.read(now, machine_zone())


def _stores(paths: Sequence[str]) -> Found:
    from costmon.sources.schedules import jobstore

    return jobstore.read(paths)


def _composed(path: str) -> Found:
    from costmon.sources.schedules import composed

    return composed.read(path)
