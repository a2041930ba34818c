"""Which days a round asks for: the last three and today, and once a day all that may still change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from costmon.sources.providers.protocol import Window

RECENT = timedelta(days=3)
FURTHEST = timedelta(days=92)
_DAY = timedelta(days=1)


def window(
    now: datetime, wide_at: datetime | None, settles_after: timedelta, since: datetime | None = None
) -> Window:
    """The window of a round at `now` (aware UTC); `wide_at` is when a wide one last succeeded, None = never.

    The first round of a UTC day is wide: from the day before the month on, and from the oldest day that was not yet final
    at the last wide round, however long ago that was (three months at most).
    since: reach back to it too, as what is on file from then on is to be replaced.
    """
    midnight = _midnight(now)
    if not is_wide(now, wide_at):
        return Window(midnight - RECENT, midnight + _DAY, now)
    last = min(wide_at or now, now)
    settling = _midnight(last) - _DAY * (-(-settles_after // _DAY) + 1)
    start = min(midnight.replace(day=1) - _DAY, midnight - RECENT, settling)
    start = start if since is None else min(start, _midnight(since))
    return Window(max(start, midnight - FURTHEST), midnight + _DAY, now)


def is_wide(now: datetime, wide_at: datetime | None) -> bool:
    """Whether a round at `now` is the day's wide one."""
    return wide_at is None or wide_at.astimezone(UTC).date() != now.astimezone(UTC).date()


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
