"""What reconciling needs and finds: a provider's figures and the ledger's of the same stretch of time, as frozen values.

One `Day` is one stretch a provider accounted for (a UTC day, or the month of a monthly series) with a `Line` for each
model. Unlogged spend is billed − logged; below zero more was logged than billed. What is not known is None, never 0: a day
without a figure, a model whose calls have no price, a currency without a rate. Money is integer nano (1e-9) of the day's
`currency`, which is the provider's; what the ledger holds in others is converted at the rate of the day's beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from costmon.shim.money import Money

USAGE, TAX, CREDIT = "usage", "tax", "credit"
FINAL, SETTLING, PARTIAL, STALE, UNKNOWN = STATES = ("final", "settling", "partial", "stale", "unknown")
"""Of a stretch, the best first. `partial`: it is not over, was last read before it was, or lacks something; `settling`: it
is over, and may still grow; `stale`: it is not final and its source has not been read for three of its rhythms; `unknown`:
no figure."""


class Span(NamedTuple):
    """`low` <= `best` <= `high`; None where nobody can say."""

    low: int | None
    best: int | None
    high: int | None


UNSAID = Span(None, None, None)


class Tokens(NamedTuple):
    """What a side says was used; None = it does not say."""

    requests: int | None = None
    input: int | None = None
    cached: int | None = None
    output: int | None = None


_UNTOLD = Tokens()


class Figure(NamedTuple):
    """One group of a bill, its model under the id of `insight.models`."""

    line: str
    model: str
    label: str
    project: str
    key: str
    currency: str
    amount: int


class Used(NamedTuple):
    """What one group of a provider's usage report says."""

    model: str
    project: str
    key: str
    tokens: Tokens


class Own(NamedTuple):
    """What the ledger says of one model, in one currency. `high` None: nobody can say. `unpriced` counts calls without a
    price, or with a part without one; `counted` is what budgets count of all of them, those in flight too."""

    model: str
    currency: str
    low: int
    best: int
    high: int | None
    calls: int = 0
    unpriced: int = 0
    estimated: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    counted: int = 0


class Stretch(NamedTuple):
    """What the sources of one provider say of [start, end), µs UTC. `figures` None: nothing was read. `least`: why the
    figures are only the least that was spent, '' if they are not. `derived`: from a balance that fell. `closed`: it was over
    when it was last read."""

    start: int
    end: int
    state: str
    figures: tuple[Figure, ...] | None
    used: tuple[Used, ...] = ()
    least: str = ""
    derived: bool = False
    why: str = ""
    closed: bool = False


class Likely(NamedTuple):
    """A project and key the provider names for a model, with what it billed for them; `amount` None: it tells tokens
    only."""

    project: str
    key: str
    amount: int | None
    tokens: int | None

    @property
    def text(self) -> str:
        named = [f"project {self.project}"] * bool(self.project) + [f"key {self.key}"] * bool(self.key)
        return ", ".join(named)


@dataclass(frozen=True, slots=True)
class Line:
    """One model of a day; `model` '' with no `label`: all of them, or the provider names none."""

    model: str
    label: str
    billed: int | None
    own: Span
    unlogged: Span
    calls: int = 0
    unpriced: int = 0
    estimated: int = 0
    why: str = ""
    billed_tokens: Tokens = _UNTOLD
    own_tokens: Tokens = _UNTOLD
    likely: tuple[Likely, ...] = ()

    @property
    def name(self) -> str:
        return self.model or self.label or "all models"


@dataclass(frozen=True, slots=True)
class Day:
    """One stretch of one provider.

    `adds`: it belongs into sums over all providers; a gateway passes on what others bill. `read`: there are figures; else
    `tax` and `credit` are None. `first`: the ledger began in it, and when; `part`: the ledger holds only a part of it. `why`
    says what is unknown or lacking, and what amounts are converted by.
    """

    provider: str
    sources: tuple[str, ...]
    start: datetime
    end: datetime
    currency: str
    state: str
    lines: tuple[Line, ...] = ()
    tax: int | None = None
    credit: int | None = None
    adds: bool = True
    derived: bool = False
    least: bool = False
    read: bool = True
    first: str = ""
    why: tuple[str, ...] = ()
    part: bool = False

    @property
    def billed(self) -> int | None:
        """Usage alone: what is compared. The least, where a line has an amount that no rate converts."""
        known = [line.billed for line in self.lines if line.billed is not None]
        return sum(known) if self.read and (known or not self.lines) else None

    @property
    def bill(self) -> int | None:
        """Usage, tax and credit."""
        return total_of([self.billed, self.tax, self.credit])

    @property
    def own(self) -> Span:
        return add(line.own for line in self.lines)

    @property
    def unlogged(self) -> Span:
        if not self.read or self.billed is None:
            return UNSAID
        if all(line.billed is not None for line in self.lines):
            return add(line.unlogged for line in self.lines)
        own = self.own
        best = None if own.best is None or self.billed < own.best else self.billed - own.best
        return Span(None if own.high is None or self.part else self.billed - own.high, best, None)

    @property
    def top(self) -> Line | None:
        """The model most of the unlogged spend is of."""
        known = [line for line in self.lines if line.unlogged.best is not None]
        return max(known, key=lambda line: line.unlogged.best or 0, default=None)

    def money(self, nano: int | None) -> Money | None:
        return None if nano is None else Money(nano, self.currency)


@dataclass(frozen=True, slots=True)
class Total:
    """The days of one provider in one UTC month ('2026-11') and currency.

    `billed`, `tax` and `credit` are of the days that were read; `compared` (what was billed), `own` and `unlogged` of
    those where both sides are known. Of the others `unread` have no figure, and of `unknown` the ledger cannot say.
    """

    provider: str
    sources: tuple[str, ...]
    month: str
    currency: str
    state: str
    billed: int
    tax: int
    credit: int
    compared: int
    own: Span
    unlogged: Span
    days: int
    unread: int
    unknown: int
    adds: bool
    derived: bool
    least: bool

    @property
    def bill(self) -> int:
        return self.billed + self.tax + self.credit


class Sum(NamedTuple):
    """All providers of one currency, gateways left out."""

    currency: str
    bill: int
    billed: int
    compared: int
    own: Span
    unlogged: Span
    complete: bool


@dataclass(frozen=True, slots=True)
class View:
    """Whose figures are compared with what of the ledger: the sources of one provider that add up."""

    provider: str
    sources: tuple[str, ...]
    adds: bool = True
    currency: str = ""
    stretches: tuple[Stretch, ...] = ()
    own: Mapping[tuple[int, int], tuple[Own, ...] | str] = field(default_factory=dict)
    """By stretch: what the ledger says, or why it cannot."""
    only_some: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """By stretch: why the ledger holds only a part of it."""
    first: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """The stretch in which the ledger began, and when, in words: what was spent before is in no own figure."""
    prior: frozenset[tuple[int, int]] = frozenset()
    """The stretches that were over before the ledger began."""


def add(spans: Iterable[Span]) -> Span:
    """The sum of spans; a side nobody can say of one, nobody can say of the sum."""
    columns = list(zip(*spans, strict=True)) or [(0,), (0,), (0,)]
    return Span(*(total_of(list(column)) for column in columns))


def total_of(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
