"""May this call go out? The decision itself, on plain integers.

*strict*: admit iff used + reserved + estimate ≤ limit. *default*: also admit one call at a time whose estimate exceeds a
positive remainder; it reserves the remainder, so nothing is left for a second one. The overshoot is bounded: strict by
the sum over calls in flight of max(0, actual − estimate), default by that plus one call. It is a bound, not a hard cap.
"""

from __future__ import annotations

from collections.abc import Callable

from costmon.errors import SpendBlocked
from costmon.shim.money import format_money
from costmon.shim.policy import Budget, Period, percent, percent_reached
from costmon.shim.timestamps import to_datetime, until_text

RETRY_RESERVED_S = 5.0


def reservation(
    budget: Budget,
    period: Period,
    estimate: int,
    *,
    essential: bool,
    now: int,
    remainder_is_out: Callable[[], bool] = bool,
) -> int:
    """What to reserve in this budget for a call estimated at `estimate` (nano of its currency).

    `remainder_is_out` tells whether a call that holds less than its estimate is in flight: what others give back
    meanwhile must not let a second one out. Raises SpendBlocked when the call may not go out.
    """
    before = period.used + period.reserved
    if budget.blocks_95 and not essential and percent_reached(before, budget.amount, 95):
        raise refusal(budget, period, now, nonessential=True)
    full = estimate == 0 and before >= budget.amount  # a call whose price comes later counts as some cost
    if not budget.blocks_100 or (before + estimate <= budget.amount and not full):
        return estimate
    remainder = budget.amount - before
    if remainder > 0 and not budget.strict and not remainder_is_out():
        return remainder
    raise refusal(budget, period, now, nonessential=False, estimate=estimate)


def refusal(
    budget: Budget, period: Period, now: int, *, nonessential: bool, estimate: int = 0
) -> SpendBlocked:
    """The refusal with its figures. When reservations alone are in the way, a retry soon makes sense."""
    threshold = 95 if nonessential else 100
    by_reserved = period.reserved > 0 and not percent_reached(period.used, budget.amount, threshold)
    until = to_datetime(period.end)
    return SpendBlocked(
        _sentence(budget, period, estimate, nonessential=nonessential, by_reserved=by_reserved),
        scope=_scope(budget, nonessential=nonessential),
        rule="budget95" if nonessential else "budget",
        since=to_datetime(now),
        until=None if by_reserved else until,
        retry_after=RETRY_RESERVED_S if by_reserved else (period.end - now) / 1e6,
        budget=budget.name,
        spent=period.used,
        reserved=period.reserved,
        limit=budget.amount,
        currency=budget.currency,
    )


def _scope(budget: Budget, *, nonessential: bool) -> str:
    if budget.scope_key == "all":
        return "nonessential" if nonessential else "all"
    return budget.scope


def _sentence(budget: Budget, period: Period, estimate: int, *, nonessential: bool, by_reserved: bool) -> str:
    spent = format_money(period.used, budget.currency)
    limit = format_money(budget.amount, budget.currency)
    held = (
        f", {format_money(period.reserved, budget.currency)} reserved by calls in flight"
        if period.reserved
        else ""
    )
    left = budget.amount - period.used - period.reserved
    who = "apps not declared essential are refused from 95 %" if nonessential else "no further call fits"
    if not nonessential and 0 < left < estimate:
        who = (
            f"this call may cost {format_money(estimate, budget.currency)} and "
            f"{format_money(left, budget.currency)} is left: a smaller one may fit; it is refused"
        )
    when = "until calls in flight settle" if by_reserved else f"until {until_text(period.end)}"
    share = f"{percent(period.used, budget.amount)} %"
    if period.unlogged:
        share += f", {format_money(period.unlogged, budget.currency)} of it logged by no app"
    return f'budget "{budget.name}": {spent} of {limit} spent ({share}){held}; {who}, {when}'
