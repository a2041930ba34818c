"""The table [retention]: how long the ledger remembers."""

from __future__ import annotations

from costmon.config.source import Section
from costmon.config.values import Retention

MAX_DAYS = 36_500
MIN_DAYS = 14
"""A resource's end may be told ten days late, and needs what it cost since in detail."""


def read_retention(top: Section) -> Retention:
    """Raises ConfigError."""
    section = top.section("retention")
    section.only("events", "aggregates")
    found = Retention(
        events=_events(section),
        aggregates=section.whole("aggregates", 365, 0, MAX_DAYS),
    )
    if found.aggregates and not found.events <= found.aggregates:
        section.fail("aggregates", f"must be at least events ({found.events} days), or 0 for ever")
    if found.aggregates and not found.events:
        section.fail("aggregates", "must be 0 (for ever), since events are kept for ever too")
    return found


def _events(section: Section) -> int:
    days = section.whole("events", 90, 0, MAX_DAYS)
    if 0 < days < MIN_DAYS:
        section.fail("events", f"must be at least {MIN_DAYS} (days), or 0 for ever")
    return days
