"""Names of time zones, and times, as other schedulers have them. Standard library only; nothing is raised."""

from __future__ import annotations

import os
import time
from typing import Any

_MARK = "zoneinfo/"


def local_zone() -> str:
    """The IANA name of this process's zone, '' where nothing says so."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named:
        name = named.rpartition(_MARK)[2]
        return name if _is_zone(name) else ""
    _, mark, name = os.path.realpath("/etc/localtime").rpartition(_MARK)
    if mark and _is_zone(name):
        return name
    try:
        with open("/etc/timezone", encoding="ascii") as file:
            name = file.read(100).strip()
    except (OSError, ValueError):
        name = ""
    if _is_zone(name):
        return name
    return "UTC" if time.timezone == 0 and not time.daylight else ""


def zone_name(zone: Any) -> str:
    """The IANA name of a tzinfo (zoneinfo's, pytz's, dateutil's UTC, a fixed offset of whole hours), '' if it has none."""
    for attribute in ("key", "zone"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and _is_zone(name):
            return name
    try:
        from datetime import timedelta, timezone

        if isinstance(zone, timezone):
            offset = zone.utcoffset(None)
        elif type(zone).__name__.lower() in ("tzutc", "utc"):
            offset = timedelta(0)
        else:
            return ""
        hours, rest = divmod(offset, timedelta(hours=1))
        if rest or not -12 <= hours <= 14:
            return ""
        return f"Etc/GMT{-hours:+d}" if hours else "UTC"  # the sign is POSIX's: Etc/GMT-9 is ahead of UTC
    except Exception:
        return ""


def _is_zone(name: str) -> bool:
    """Whether a name may be one of the database's: TZ may also be a rule such as 'EST5EDT,M3.2.0'."""
    parts = name.split("/")
    return bool(name) and all(
        part
        and not part.startswith(".")
        and part.replace("_", "").replace("-", "").replace("+", "").isalnum()
        for part in parts
    )


def instant_us(moment: Any) -> int | None:
    """An aware datetime, or a naive one of this process's zone, in µs since 1970 UTC; None for anything else."""
    try:
        from datetime import UTC, datetime, timedelta

        aware = moment if moment.tzinfo is not None else moment.astimezone()
        us: int = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return us
    except Exception:
        return None


def at_text(moment: Any) -> str:
    """The plan of a job that runs once: 'at 2026-12-01T09:00:00Z'; '' for what is no time."""
    us = instant_us(moment)
    if us is None:
        return ""
    from datetime import UTC, datetime, timedelta

    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()
    return "at " + text.replace("+00:00", "Z")


_LATEST_US = 253_402_300_799_999_999  # the end of the year 9999


def plausible(us: object) -> int | None:
    """A time in µs since 1970 UTC as it is, None for what is none (another process may say anything)."""
    return us if type(us) is int and 0 <= us <= _LATEST_US else None
