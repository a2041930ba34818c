"""How often something runs, from what a file says."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from costmon.audit.values import Cadence
from costmon.insight.schedule import plans
from costmon.shim.jobs.intervals import spell_interval

WEEK_US = 604_800_000_000
_A_WEEK = 1_768_176_000_000_000  # of 2026-01-12, a Monday
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµ]*)\s*")
_SPANS = {
    **dict.fromkeys(("usec", "us", "µs"), 1),
    **dict.fromkeys(("msec", "ms"), 1_000),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1_000_000),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60_000_000),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3_600_000_000),
    **dict.fromkeys(("days", "day", "d"), 86_400_000_000),
    **dict.fromkeys(("weeks", "week", "w"), WEEK_US),
}


def of_interval(us: int) -> Cadence | None:
    """Every `us` µs; None for what is no interval."""
    return Cadence(us, Fraction(WEEK_US, us), f"every {spell_interval(us)}") if us > 0 else None


def of_seconds(seconds: Fraction | None) -> Cadence | None:
    return None if seconds is None or seconds > 10**9 else of_interval(round(seconds * 1_000_000))


@lru_cache(maxsize=1000)
def of_plan(text: str) -> Cadence | None:
    """Of a plan text, such as 'cron */5 * * * *'; None for one that runs once, or that nobody can read."""
    plan = plans.parse(text)
    found = plans.gaps(plan, _A_WEEK) if plan is not None else None
    if plan is None or found is None:
        return None
    return Cadence(found.shortest, Fraction(WEEK_US, found.mean), plans.spelled(plan, plan.zone))


def of_cron(expression: str) -> Cadence | None:
    """Of a crontab's five fields, or of a name such as @hourly."""
    return of_plan(f"cron {expression.strip()}")


def span_us(text: str) -> int | None:
    """A systemd time span ('5min', '1h 30min', '90') in µs; None for another text."""
    total, at = Fraction(0), 0
    while at < len(text):
        match = _SPAN.match(text, at)
        if match is None or match[2] not in _SPANS or len(match[1]) > 15:
            return None
        total += Fraction(match[1]) * _SPANS[match[2]]
        at = match.end()
    return round(total) if total else None
