"""Microseconds since 1970 UTC to and from ISO 8601, without importing datetime until it is needed."""

from __future__ import annotations

from datetime import UTC

FAR_US = 7_258_118_400_000_000
"""The year 2200, in µs: no clock says more, and what does is a mistake."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


def to_iso(at_us: int) -> str:
    """'2026-11-20T09:30:00.000000Z'."""
    from datetime import datetime, timedelta

    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_iso(text: object) -> int | None:
    """The instant an ISO 8601 text with a zone names, in µs; None for anything else, years 1 to 9999 in UTC."""
    if not isinstance(text, str):
        return None
    from datetime import datetime

    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else to_us(at.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def to_us(at: datetime) -> int:
    """An aware datetime as µs since 1970 UTC. Raises ValueError for a naive one."""
    from datetime import datetime, timedelta

    if at.tzinfo is None:
        raise ValueError("a time must be aware of its zone")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def to_datetime(at_us: int) -> datetime:
    """µs since 1970 UTC as an aware datetime in UTC."""
    from datetime import datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


def until_text(at_us: int) -> str:
    """An instant for a sentence: '2026-11-22 00:00 UTC', with seconds where they matter."""
    at = to_datetime(at_us)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC" if at.second else "%Y-%m-%d %H:%M UTC")
