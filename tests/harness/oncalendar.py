"""Oracles for schedules that are none of costmon's: `systemd-analyze calendar`, and a cron daemon's minutes, walked."""

from __future__ import annotations

import calendar
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.harness import need

_ELAPSES = re.compile(
    r"(?:\(in UTC\)|Next elapse|Iter(?:\.|ation) #\d+): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC"
)
_NAMES = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])} | {
    name.lower(): number for number, name in enumerate(calendar.month_abbr) if name
}


def systemd_times(
    expressions: Sequence[str], zone: str, base: datetime, count: int
) -> dict[str, list[datetime]]:
    """When systemd says each expression elapses after `base`, at most `count` times, to the second."""
    need("systemd-analyze")
    done = subprocess.run(
        [
            "systemd-analyze", "calendar", f"--iterations={count}",
            f"--base-time={base.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", *expressions,
        ],
        env={**os.environ, "TZ": zone, "LC_ALL": "C.UTF-8"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    # An expression that is in its normal form already has no line of its original one.
    parts = re.split(r"^(?=\s*(?:Original form|Normalized form): )", done.stdout, flags=re.MULTILINE)
    answers = [part for part in parts if "Normalized form: " in part]
    assert len(answers) == len(expressions), done.stdout
    return {
        expression: [datetime.fromisoformat(f"{found}+00:00") for found in _ELAPSES.findall(answer)]
        for expression, answer in zip(expressions, answers, strict=True)
    }


def systemd_gives_up(error: subprocess.CalledProcessError) -> bool:
    """Whether systemd failed by a fault of its own ("Infinite loop in calendar calculation")."""
    return "Resource deadlock avoided" in str(error.stderr)


def systemd_refuses(expression: str) -> bool:
    """Whether systemd cannot read the expression."""
    need("systemd-analyze")
    command = ["systemd-analyze", "calendar", "--", expression]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode != 0


class Minutes:
    """Every minute of a stretch of time with what the zone's clock shows, made once for many expressions."""

    def __init__(self, zone: str, start: datetime, end: datetime) -> None:
        self._minutes: list[tuple[datetime, datetime]] = []
        now = start.astimezone(UTC).replace(second=0, microsecond=0)
        while now < end:
            self._minutes.append((now, now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)))
            now += timedelta(minutes=1)

    def cron_times(self, expression: str) -> list[datetime]:
        """When a cron daemon, awake once a minute, starts the job in these minutes, the first of them left out.

        A job with a star for its minute or hour goes by what the clock shows now. Any other is caught up with when the
        clock jumped forward, and waits when it was put back until the clock has passed where it had been.
        """
        matches = _matcher(expression)
        by_clock = any(field.startswith("*") for field in expression.split()[:2])
        found: list[datetime] = []
        reached = self._minutes[0][1]
        for now, shown in self._minutes[1:]:
            due = matches(shown) if by_clock else False
            while not by_clock and reached < shown:
                reached += timedelta(minutes=1)
                due = matches(reached) or due
            if due:
                found.append(now)
        return found


def _matcher(expression: str) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = expression.lower().split()
    minutes, hours, days, months = (
        _values(text, low, high)
        for text, low, high in ((minute, 0, 59), (hour, 0, 23), (day, 1, 31), (month, 1, 12))
    )
    weekdays = {value % 7 for value in _values(weekday, 0, 7)}
    both = day.startswith("*") or weekday.startswith("*")

    def matches(shown: datetime) -> bool:
        if shown.minute not in minutes or shown.hour not in hours or shown.month not in months:
            return False
        by_day, by_weekday = shown.day in days, shown.isoweekday() % 7 in weekdays
        return by_day and by_weekday if both else by_day or by_weekday

    return matches


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        values, _, step = part.partition("/")
        if values == "*":
            first, last = low, high
        elif "-" in values:
            first, last = (_number(value) for value in values.split("-"))
        else:
            first = _number(values)
            last = high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)
