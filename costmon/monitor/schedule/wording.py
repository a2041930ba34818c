"""Plans and intervals in words."""

from __future__ import annotations

from costmon.insight.schedule import plans
from costmon.insight.schedule.values import ANNOUNCED, CONFIG, FLOOR
from costmon.shim.events import clean
from costmon.shim.jobs.intervals import spell_interval

_SECOND = 1_000_000
_ROUND = ((86_400, 50), (3600, 50), (60, 20), (15, 4), (1, 2))
"""Units in seconds, and which part of the whole an interval may be off to be told in them."""


def said_by(source: str, who: str) -> str:
    """Who says what the plan is, to follow 'the plan is': 'as config.toml says', 'as pid 4711 of trader announces'."""
    if source == CONFIG:
        return "what config.toml says"
    if source == ANNOUNCED:
        return f"what {clean(who)} announces" if who else "what its process announces"
    return "the least there may be between two runs that nobody planned" if source == FLOOR else ""


def spelled(plan: str, zone: str, operator_zone: str) -> str:
    """A plan for people, as announced where nobody can read it."""
    found = plans.parse(plan, zone, operator_zone)
    return plans.spelled(found, operator_zone) if found is not None else clean(plan)


def rough(us: int) -> str:
    """An interval measured, not announced, in the largest unit that tells it: 615 s are '10m', 90 s stay '90s'."""
    for unit, part in _ROUND:
        step = unit * _SECOND
        whole = (us + step // 2) // step * step
        if whole and us >= 5 * _SECOND and part * abs(whole - us) <= us:
            return spell_interval(whole)
    return spell_interval(us)
