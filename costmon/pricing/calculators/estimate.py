"""What a call will cost, before it is made: pure arithmetic on a rate card, no I/O.

A band is low, best and high. Token counts may be uncertain, and so may the length of the answer; the price is not: a
model without one has no cost, and is never priced by a name like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from costmon.shim.cards import Card, price
from costmon.shim.money import Rate, convert

BATCH = {"processing": "batch"}
ASSUMED_OUTPUT = 1000
UNBOUNDED = "a longer answer costs more than this says"


class Band(NamedTuple):
    """Counts of tokens, or nano of a currency: the least, the likeliest and the most."""

    low: int
    best: int
    high: int

    @property
    def exact(self) -> bool:
        return self.low == self.high


class Call(NamedTuple):
    """One call: all input tokens (`cached` of them are cache reads) and output tokens."""

    input: Band
    output: Band
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one call to one model would cost, nano of `currency`; `cost` is None when the price is unknown.

    `status` is priced, free, partial (`unpriced` has units or contexts without a price) or unknown; `notes` are
    sentences about what was assumed.
    """

    call: Call
    cost: Band | None
    currency: str
    status: str
    unpriced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def in_currency(self, rate: Rate) -> Band | None:
        """The cost at an exchange rate (units of another currency for one of this)."""
        return None if self.cost is None else Band(*(convert(nano, rate) for nano in self.cost))


def exactly(count: int) -> Band:
    """A count that is known."""
    return Band(count, count, count)


def output_band(card: Card | None, max_output: int | None, assumed: int) -> tuple[Band, str]:
    """(the output of a call that says nothing of it, the sentence that states the assumption).

    Without a limit the band is only as wide as the assumption: nobody knows how long an answer may get. A model that
    has no price for output (an embedding) is taken to have none.
    """
    if card is not None and "output_tokens" not in card.plan.shape.covered:
        return exactly(0), ""
    if max_output is None:
        return exactly(assumed), f"{assumed:,} output tokens are assumed; {UNBOUNDED}"
    if assumed >= max_output:
        return Band(
            0, max_output, max_output
        ), f"{max_output:,} output tokens, the most there may be, are assumed"
    return Band(0, assumed, max_output), f"{assumed:,} output tokens are assumed, {max_output:,} at most"


def estimate(card: Card | None, call: Call) -> Estimate:
    """What `call` costs by `card`; None = the price is unknown. A context the card has no price for is in `unpriced`,
    and its list price counts."""
    if card is None:
        return Estimate(call, None, "", "unknown")
    priced = [price(card, _usage(call, place)) for place in range(3)]
    gaps = tuple(dict.fromkeys(gap for found in priced for gap in found.unpriced_units))
    nanos = [found.nano for found in priced]
    if priced[1].nano is None:
        return Estimate(call, None, card.currency, "unknown", gaps, _notes(card, call))
    # Prices above a tier may fall, so that fewer tokens cost more.
    known = [nano for nano in nanos if nano is not None]
    cost = Band(min(known), priced[1].nano, max(known))
    status = "partial" if gaps else priced[1].status
    return Estimate(call, cost, card.currency, status, gaps, _notes(card, call))


def _usage(call: Call, place: int) -> dict[str, int]:
    usage = {"input_tokens": call.input[place], "output_tokens": call.output[place]}
    if call.cached:
        usage["cache_read_tokens"] = min(call.cached, call.input[place])
    return usage


def _notes(card: Card, call: Call) -> tuple[str, ...]:
    notes = []
    if "processing=batch" in card.unpriced:
        notes.append("no batch price is known; this is the list price")
    if call.cached and "cache_read_tokens" not in card.rates and "input_tokens" in card.rates:
        notes.append("no price for cache reads is known; they count as plain input")
    if "input_tokens" not in card.plan.shape.covered:
        units = ", ".join(unit for unit in card.rates if unit != "requests") or "requests"
        notes.append(f"it is not priced by input tokens but by {units}")
    return tuple(notes)
