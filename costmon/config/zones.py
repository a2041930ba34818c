"""Time zones by name: is there one, which did they mean, and which one is this machine in."""

from __future__ import annotations

import difflib
import os
from zoneinfo import ZoneInfo, available_timezones


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA zone this machine knows."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def similar_zones(name: str) -> list[str]:
    """Up to three zones `name` may have meant: by city first, then by spelling."""
    # Fixed-offset zones look like UTC+9 with the opposite sign: never suggest one.
    zones = sorted(zone for zone in available_timezones() if not zone.startswith(("Etc/", "SystemV/")))
    wanted = name.lower().replace(" ", "_")
    city = wanted.rpartition("/")[2]
    exact = [zone for zone in zones if city and zone.lower().rpartition("/")[2] == city]
    by_lower = {zone.lower(): zone for zone in zones}
    close = [by_lower[match] for match in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.7)]
    return list(dict.fromkeys(exact + close))[:3]


def machine_zone() -> str:
    """The IANA name of this machine's zone: `TZ`, what /etc/localtime points at, /etc/timezone, else UTC."""
    for name in (os.environ.get("TZ", "").lstrip(":"), _linked_zone(), _written_zone()):
        if name and is_zone(name):
            return name
    return "UTC"


def _linked_zone() -> str:
    target = os.path.realpath("/etc/localtime")
    return target.partition("zoneinfo/")[2]


def _written_zone() -> str:
    try:
        with open("/etc/timezone", encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""
