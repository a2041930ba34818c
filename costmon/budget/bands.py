"""Low, best and high: what a sum may be, given what is not known of its parts. Integers, nano of one currency.

A call whose usage was estimated is off by up to 30 % either way (that is how far the estimate of tokens by bytes was
from a tokenizer over English, Korean, code and JSON). A call without a price costs something between nothing and what
enforcement assumes of it; one in flight between nothing and what it has reserved.
"""

from __future__ import annotations

from typing import NamedTuple

ESTIMATE_ERROR_PERCENT = 30


class Band(NamedTuple):
    """`low` <= `best` <= `high`; `best` is the sum of the costs that are known. `high` is None when nobody can say: a part
    of a call has no price, or a sum no rate."""

    low: int
    best: int
    high: int | None


def band(cost: int, *, estimated: int = 0, assumed: int = 0, reserved: int = 0, bounded: bool = True) -> Band:
    """The band around `cost`, of which `estimated` rests on estimated usage; `assumed` of calls without a price and
    `reserved` of calls in flight are not part of `cost`."""
    error = -(-estimated * ESTIMATE_ERROR_PERCENT // 100)
    return Band(cost - error, cost, cost + error + assumed + reserved if bounded else None)


def mark(*, estimated: bool, missing: bool) -> str:
    """What stands before a sum: '~' when a part rests on estimates, '≥ ' when a part is missing from it."""
    return "~" if estimated else "≥ " if missing else ""
