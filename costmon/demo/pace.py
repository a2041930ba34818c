"""How much may be spent by when, so that a simulated day tells the whole story. Plain integers, no clock of its own.

Shares are in hundredths of a percent of the budget ("points": 10,000 is all of it), times in minutes of the day.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

WHOLE = 10_000
MIN_TOKENS = 20
# 70 % at 10:00, 80 at 12:30, 90 at 15:00; just below 95 % until 17:00, just below 100 % until 20:30.
_CURVE = (
    (0, 0),
    (600, 7010),
    (750, 8010),
    (900, 9010),
    (985, 9380),
    (1019, 9380),
    (1020, 9530),
    (1210, 9930),
    (1229, 9930),
    (1230, 10_060),
    (1440, 10_060),
)
_LEAP_FROM, _LEAP_OVER, _LEAP_AT, _LEAP_UNTIL = 9300, 9500, 1020, 1080


class Moment(NamedTuple):
    """Where the day stands: `used` and `limit` of the budget in nano, `minute` of the simulated day."""

    minute: int
    used: int
    limit: int

    @property
    def points(self) -> int:
        return self.used * WHOLE // self.limit


class Request(NamedTuple):
    """What an answer would cost: the prompt's cost and one output token's, in nano, and how long it may be."""

    app: str
    prompt: int
    per_token: int
    max_tokens: int


def goal(minute: int) -> int:
    """How many points shall be spent at `minute`."""
    for (since, low), (until, high) in itertools.pairwise(_CURVE):
        if since <= minute < until:
            return low + (high - low) * (minute - since) // (until - since)
    return _CURVE[-1][1]


def answer_tokens(moment: Moment, request: Request, spread: int = 100) -> int:
    """How long the answer shall be: short while spending is ahead of the day's curve, longer while it is behind.

    Args:
        spread: percent of what it could be, for variety.

    The step over 95 % is left to one call of trader's, so that its next call is the first one refused.
    """
    wanted = goal(moment.minute)
    leap = _leaping(moment)
    if leap and request.app != "trader":
        wanted = min(wanted, _CURVE[5][1])
    missing = moment.limit * wanted // WHOLE - moment.used - request.prompt
    tokens = -(-missing // request.per_token) if request.per_token > 0 else 0
    if leap and request.app == "trader":
        return tokens if MIN_TOKENS <= tokens <= request.max_tokens else MIN_TOKENS
    return max(MIN_TOKENS, min(request.max_tokens, tokens) * spread // 100)


def _leaping(moment: Moment) -> bool:
    return _LEAP_AT <= moment.minute < _LEAP_UNTIL and _LEAP_FROM <= moment.points < _LEAP_OVER
