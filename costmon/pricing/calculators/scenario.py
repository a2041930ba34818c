"""So many calls a day, of so many tokens, to one model: what a day, a week and a month cost. Pure and exact.

Shares are fractions: of the input tokens that are cache reads, and of the calls that go through the batch API. A sum is
rounded to nano once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from costmon.pricing.lookup.timetable import Share
from costmon.shim.cards import Card, price
from costmon.shim.money import Rate, divide_half_even

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """What an app sends: `calls_per_day` (may be a fraction), tokens of each call, and the two shares (0 to 1)."""

    calls_per_day: Fraction
    input_tokens: int
    output_tokens: int
    cached_share: Fraction = Fraction(0)
    batch_share: Fraction = Fraction(0)
    days: int = 30


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a load costs, exact nano of `currency`: the average call, a day, seven days, and `load.days` days.

    `unpriced` names units without a price, `notes` what was assumed. All sums are None when nothing is known. Where the
    price depends on the hour of the week, `low` and `high` are the average call in its cheapest and dearest hours;
    elsewhere they are None.
    """

    load: Load
    currency: str
    call: Fraction | None
    unpriced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    low: Fraction | None = None
    high: Fraction | None = None

    def of_days(self, days: int) -> int | None:
        """Nano of so many days, rounded once, half to even."""
        return None if self.call is None else self._sum(self.call, days)

    def range_of_days(self, days: int) -> tuple[int, int] | None:
        """(all calls in the cheapest hours, all in the dearest) of so many days; None when every hour costs the same."""
        if self.low is None or self.high is None:
            return None
        return self._sum(self.low, days), self._sum(self.high, days)

    def _sum(self, call: Fraction, days: int) -> int:
        return whole_nano(call * self.load.calls_per_day * days)


def calls_per_day(every_seconds: Fraction) -> Fraction:
    """Calls a day of something that calls once every so many seconds (> 0): every 5 minutes is 288."""
    return DAY_SECONDS / every_seconds


def scenario(card: Card | None, batch_card: Card | None, load: Load) -> Scenario:
    """What `load` costs by `card`, its batch share by `batch_card`; without a batch price, all of it by `card`."""
    if card is None:
        return Scenario(load, "", None)
    usual, gaps = average_call(card, load)
    notes = _notes(card, load)
    if not load.batch_share or usual is None:
        return Scenario(load, card.currency, usual, gaps, notes)
    if batch_card is None or "processing=batch" in batch_card.unpriced:
        said = "no batch price is known; the batch share is at the list price"
        return Scenario(load, card.currency, usual, (*gaps, "processing=batch"), (*notes, said))
    batched, more = average_call(batch_card, load)
    if batched is None:
        return Scenario(load, card.currency, None, gaps + more, notes)
    mixed = (1 - load.batch_share) * usual + load.batch_share * batched
    return Scenario(load, card.currency, mixed, tuple(dict.fromkeys((*gaps, *more))), notes)


NO_HOURS = "hours of the week"
"""Stands in `unpriced` when some hours have no price."""


def over_week(shares: Sequence[Share], load: Load, windows: Sequence[str] = ()) -> Scenario:
    """`scenario` with calls spread evenly over the hours of a week.

    Args:
        shares: of (list card, batch card), as `Found.week_shares` gives them; together the whole week.
        windows: the hours that differ, as texts to name.
    """
    parts = [(scenario(one.cards[0], one.cards[-1], load), one.share) for one in shares]
    if len(parts) == 1:
        return parts[0][0]
    known = [(part, part.call, share) for part, share in parts if part.call is not None]
    if not known:
        return parts[0][0]
    # Shares are of all hours: those without a price count nothing, and the sum is a lower bound.
    call = sum((cost * share for _, cost, share in known), Fraction(0))
    unpriced = [gap for part, _, _ in known for gap in part.unpriced]
    notes = [note for part, _, _ in known for note in part.notes]
    unpriced += [NO_HOURS] if len(known) < len(parts) else []
    costs = [cost for _, cost, _ in known]
    if min(costs) < max(costs):
        hours = f" ({', '.join(windows)})" if windows else ""
        notes.append(
            f"the price depends on the hour{hours}; calls are taken to be spread evenly over the week"
        )
    return Scenario(
        load,
        known[0][0].currency,
        call,
        tuple(dict.fromkeys(unpriced)),
        tuple(dict.fromkeys(notes)),
        *((min(costs), max(costs)) if min(costs) < max(costs) else ()),
    )


def average_call(card: Card, load: Load) -> tuple[Fraction | None, tuple[str, ...]]:
    """(exact nano of one call with its share of cache reads, units without a price).

    The cost is linear in the cache reads of a call of fixed size, so the mix of "none" and "all" is exact.
    """
    usage = {"input_tokens": load.input_tokens, "output_tokens": load.output_tokens}
    plain, gaps = exact_nano(card, usage)
    if not load.cached_share or plain is None:
        return plain, gaps
    cached, more = exact_nano(card, {**usage, "cache_read_tokens": load.input_tokens})
    if cached is None:
        return None, gaps + more
    mixed = (1 - load.cached_share) * plain + load.cached_share * cached
    return mixed, tuple(dict.fromkeys((*gaps, *more)))


def exact_nano(card: Card, usage: dict[str, int]) -> tuple[Fraction | None, tuple[str, ...]]:
    """(what `usage` costs before any rounding, units without a price)."""
    divisor = card.plan.divisor
    finer = card._replace(plan=card.plan._replace(divisor=1))  # whole parts of a nano, so nothing is rounded
    priced = price(finer, usage)
    return None if priced.nano is None else Fraction(priced.nano, divisor), priced.unpriced_units


def whole_nano(value: Fraction) -> int:
    """`value` as whole nano, half to even."""
    return divide_half_even(value.numerator, value.denominator)


def converted(value: Fraction, rate: Rate) -> Fraction:
    """`value` of the base currency in the quote currency, exact."""
    return value * Fraction(rate.numerator, rate.denominator)


def _notes(card: Card, load: Load) -> tuple[str, ...]:
    if load.cached_share and "cache_read_tokens" not in card.rates and "input_tokens" in card.rates:
        return ("no price for cache reads is known; they count as plain input",)
    return ()
