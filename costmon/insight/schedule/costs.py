"""What runs of a job cost, and what a schedule will cost. Money is nano of one currency, times µs; nothing is a float."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from costmon.shim.money import divide_half_even

_MILLION = 1_000_000


class PerRun(NamedTuple):
    """What runs cost: `median` and `p95` (nearest rank) of `runs` runs whose cost is known, both None if there is none.

    `unknown` runs made calls without a price, or in a currency without a rate; they are in neither.
    """

    runs: int
    median: int | None
    p95: int | None
    unknown: int = 0


class Going(NamedTuple):
    """Runs that go on beside the plan: one every `every_us` since `last_at`, each of `cost` (None = unknown)."""

    every_us: int
    last_at: int
    cost: int | None

    def runs(self, now: int, until: int) -> int:
        """How many of them begin in (now, until]."""
        begun = max(0, now - self.last_at) // self.every_us
        return max(0, max(0, until - self.last_at) // self.every_us - begun)


def per_run(costs: Sequence[int | None]) -> PerRun:
    """Of the costs of runs, None where it is not known."""
    known = sorted(cost for cost in costs if cost is not None)
    if not known:
        return PerRun(0, None, None, len(costs))
    half = len(known) // 2
    middle = known[half] if len(known) % 2 else divide_half_even(known[half - 1] + known[half], 2)
    return PerRun(len(known), middle, known[-(-95 * len(known) // 100) - 1], len(costs) - len(known))


def trend(recent: PerRun, before: PerRun) -> Decimal | None:
    """The median over what it was, 1 = the same, to two decimals; None where either is unknown or it was nothing."""
    if recent.median is None or not before.median:
        return None
    return Decimal(divide_half_even(100 * recent.median, before.median)) / 100


def ahead(planned: int, each: int | None, going: Sequence[Going], now: int, until: int) -> int | None:
    """What `planned` runs of `each` cost, with what goes on beside the plan until then; None where one of them has no known
    cost. Runs that do not come cost nothing, whatever they would."""
    parts = [(planned, each), *((one.runs(now, until), one.cost) for one in going)]
    if any(runs and cost is None for runs, cost in parts):
        return None
    return sum(runs * (cost or 0) for runs, cost in parts)


def project(calls: int, tokens: tuple[int, int], per_million: tuple[Decimal, Decimal]) -> Decimal:
    """What so many calls of (input, output) tokens cost at prices per million tokens: 2,016 calls of 4,000 and 1,000 at
    0.15 and 0.60 are 2.4192."""
    return (
        sum((calls * count * price for count, price in zip(tokens, per_million, strict=True)), Decimal(0))
        / _MILLION
    )


def saving(now: int, other: int) -> Fraction | None:
    """The share of `now` that `other` saves (0.9167 for 0.2016 instead of 2.4192; below zero it costs more); None of
    nothing."""
    return Fraction(now - other, now) if now else None
