"""Providers that tell a balance and nothing else: what was spent, derived from how it fell, and when it runs out.

Pure. A balance is a series of `Seen`: an amount and from when to when it was seen so, oldest first. Amounts are Decimal in
major units of the balance's unit; times are µs since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
LOOK_BACK_US = 7 * DAY_US
LEAST_HISTORY_US = DAY_US
WATCHED_RHYTHMS = 3
_FURTHEST_US = 3650 * DAY_US


class Seen(NamedTuple):
    """A balance of `amount`, first and last seen so; `resets_at`: when it is filled up by itself."""

    first_at: int
    last_at: int
    amount: Decimal
    resets_at: int | None = None


WHOLE, LEAST, GAP = WATCHED = ("whole", "least", "gap")
"""How a day was watched: all of it; so that at least this was spent; with a gap, so that nobody knows on which day."""


class Spent(NamedTuple):
    """What a balance fell by in one UTC day, and rose by apart; `watched` is one of `WATCHED`."""

    day_at: int
    spent: Decimal
    topped_up: Decimal
    watched: str


class Runway(NamedTuple):
    """When a balance is used up at `per_day`; `at` None: not in ten years, or not before it is filled up by itself. `said`:
    the provider tells the rate, otherwise it is that of the last `over_us`."""

    at: int | None
    per_day: Fraction
    said: bool
    over_us: int


def derive(history: Sequence[Seen], every_us: int, now: int) -> list[Spent]:
    """What was spent by UTC day, oldest first: each fall counts for the day it was seen on.

    Two sightings further apart than three rhythms leave a gap in every day they touch, also where they are equal; within
    one day the fall is surely that day's, and the least of it. A rise is a top-up, and what was spent beside it is not
    seen: of its day, of the first one and of one that is not over, the fall is the least.
    """
    if not history:
        return []
    found: dict[int, list[Decimal]] = {
        day: [Decimal(0), Decimal(0)] for day in _days(history[0].first_at, history[-1].last_at)
    }
    least, gaps = {_day(history[-1].last_at)}, set[int]()
    if now >= _day(history[-1].last_at) + DAY_US and _near_end(history[-1].last_at, every_us):
        least.clear()
    if history[0].first_at % DAY_US > WATCHED_RHYTHMS * every_us:
        least.add(_day(history[0].first_at))
    for before, after in pairwise(history):
        change = after.amount - before.amount
        day = _day(after.first_at)
        found[day][change > 0] += abs(change)
        if change > 0:
            least.add(day)
        if after.first_at - before.last_at > WATCHED_RHYTHMS * every_us:
            touched = set(_days(before.last_at, after.first_at))
            (gaps if len(touched) > 1 else least).update(touched)
    return [
        Spent(day, fell, rose, GAP if day in gaps else LEAST if day in least else WHOLE)
        for day, (fell, rose) in sorted(found.items())
    ]


def run_out(history: Sequence[Seen], now: int, per_hour: Decimal | None = None) -> Runway | None:
    """When the balance is used up: at the provider's own `per_hour`, else at the rate of the last seven days.

    None: nobody can say, for it was watched for less than a day, or did not fall.
    """
    if not history:
        return None
    if per_hour is not None and per_hour > 0:
        return _runway(history[-1], Fraction(per_hour) * 24, said=True, over_us=HOUR_US)
    since = max(now - LOOK_BACK_US, history[0].first_at)
    watched = history[-1].last_at - since
    if watched < LEAST_HISTORY_US:
        return None
    fell = Fraction(0)
    for before, after in pairwise(history):
        if after.first_at > since and after.amount < before.amount:
            fell += Fraction(before.amount - after.amount)
    return _runway(history[-1], fell * DAY_US / watched, said=False, over_us=watched) if fell else None


def gauge(amount: Decimal, limit: Decimal | None) -> float | None:
    """The share that is left, 0 to 1, of what a balance was filled to; None without a limit. Only for showing."""
    if limit is None or limit <= 0:
        return None
    return float(min(Fraction(1), max(Fraction(0), Fraction(amount) / Fraction(limit))))


def _runway(last: Seen, per_day: Fraction, *, said: bool, over_us: int) -> Runway:
    left = max(Fraction(0), Fraction(last.amount))
    lasts = left / per_day * DAY_US
    at = last.last_at + int(lasts) if lasts <= _FURTHEST_US else None
    if at is not None and last.resets_at is not None and last.last_at < last.resets_at <= at:
        at = None
    return Runway(at, per_day, said, over_us)


def _near_end(at: int, every_us: int) -> bool:
    return DAY_US - at % DAY_US <= WATCHED_RHYTHMS * every_us


def _day(at: int) -> int:
    return at - at % DAY_US


def _days(first: int, last: int) -> Iterable[int]:
    return range(_day(first), _day(last) + 1, DAY_US)
