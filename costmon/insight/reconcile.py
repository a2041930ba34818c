"""Two views of the same spend side by side: what a provider billed, and what apps logged. Pure: values in, values out.

Unlogged spend is billed − logged; below zero more was logged than billed. What is not known stays None (see `values`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import NamedTuple

from costmon.insight.values import (
    CREDIT,
    FINAL,
    PARTIAL,
    SETTLING,
    STALE,
    STATES,
    TAX,
    UNKNOWN,
    UNSAID,
    USAGE,
    Day,
    Figure,
    Likely,
    Line,
    Own,
    Span,
    Stretch,
    Sum,
    Tokens,
    Total,
    Used,
    View,
    add,
    total_of,
)
from costmon.shim.money import Rate, convert
from costmon.shim.timestamps import to_datetime

UNREAD_RHYTHMS = 3
SKEW_US = 60_000_000
"""What was read later than this after now was read by a wrong clock."""
LIKELY = 3

RateAt = Callable[[str, str, int], Rate | None]
"""From base, quote and an instant in µs to the rate that holds then."""


def bucket_state(
    *,
    end: int,
    fetched_at: int,
    complete: bool,
    settles_us: int,
    ok_at: int | None,
    every_us: int,
    now: int,
) -> str:
    """The state of what a source said of a stretch that ends at `end`; all µs. When it was read by a clock that was ahead,
    nobody knows, so it proves nothing."""
    ahead = fetched_at > now + SKEW_US
    if complete and fetched_at >= end + settles_us and not ahead:
        return FINAL
    if is_unread(ok_at, every_us, now):
        return STALE
    if end > now or fetched_at < end or not complete or ahead:
        return PARTIAL
    return SETTLING


def is_unread(ok_at: int | None, every_us: int, now: int) -> bool:
    """Whether a source has not been read for three of its rhythms."""
    return ok_at is None or now - ok_at >= UNREAD_RHYTHMS * max(1, every_us)


def worst(states: Iterable[str]) -> str:
    """Of several states the one that says least; 'unknown' of none."""
    return max(states, key=STATES.index, default=UNKNOWN)


def compare(view: View, rate: RateAt, display: str) -> list[Day]:
    """The days of a view, oldest first; `display` is the currency where a provider bills in several, or in none."""
    currency = view.currency or _currency(view, display)
    return [_day(view, stretch, currency, rate) for stretch in sorted(view.stretches)]


class Alarming(NamedTuple):
    """Unlogged spend worth an alarm, 0 or more; `at_most`: calls without a full price may be a part of it."""

    nano: int
    at_most: bool = False


def alarming(day: Day, before: Day | None = None, last_hour: int = 0) -> Alarming:
    """What of a day's unlogged spend is to be told of.

    Calls of unknown cost count with the most they can have cost; where nobody can say that, with what is known of their
    cost, and the sum is the most there is. Where nobody can say what was logged, there is no alarm.

    Args:
        before: the stretch that ends where `day` begins: what was logged in it and not billed may be billed in `day`.
        last_hour: the most that was logged in the last hour of `before`, in the currency of `day`; no more was late.
    """
    if day.billed is None or day.own.best is None or day.part:
        return Alarming(0)
    open_lines = [line for line in day.lines if line.billed is not None and _is_open(line)]
    found = sum(_sure(line) for line in day.lines)
    found += sum(line.unlogged.best or 0 for line in open_lines)
    late = min(_late(before), last_hour) if found > 0 and before is not None else 0
    nano = max(0, found - late)
    return Alarming(nano, nano > 0 and any((line.unlogged.best or 0) > 0 for line in open_lines))


def totals(days: Iterable[Day]) -> list[Total]:
    """By provider and sources, UTC month and currency."""
    groups: dict[tuple[object, ...], list[Day]] = {}
    for day in days:
        key = (day.provider, day.sources, f"{day.start:%Y-%m}", day.currency, day.adds, day.derived)
        groups.setdefault(key, []).append(day)
    return [_month(group) for group in groups.values()]


def sums(found: Iterable[Total]) -> list[Sum]:
    """Over all providers, currencies apart."""
    groups: dict[str, list[Total]] = {}
    for total in found:
        if total.adds:
            groups.setdefault(total.currency, []).append(total)
    return [
        Sum(
            currency,
            sum(total.bill for total in group),
            sum(total.billed for total in group),
            sum(total.compared for total in group),
            add(total.own for total in group),
            add(total.unlogged for total in group),
            not any(total.unread or total.unknown or total.least for total in group),
        )
        for currency, group in sorted(groups.items())
    ]


# --- one day ------------------------------------------------------------------------------------------------


def _currency(view: View, display: str) -> str:
    """That of the provider's figures; of several, or of none, the display currency."""
    billed = {figure.currency for stretch in view.stretches for figure in stretch.figures or ()}
    logged = {
        own.currency for found in view.own.values() if not isinstance(found, str) for own in found if own.best
    }
    codes = billed or logged
    return codes.pop() if len(codes) == 1 else display


class _Exchange:
    """Converts into one currency at one instant, and remembers by what, and what it could not."""

    def __init__(self, currency: str, at: int, rate: RateAt) -> None:
        self.currency = currency
        self.said: list[str] = []
        self.missing: set[str] = set()
        self._at = at
        self._rate = rate

    def __call__(self, nano: int | None, base: str) -> int | None:
        if nano is None or not nano or base == self.currency:
            return nano
        found = self._rate(base, self.currency, self._at)
        if found is None:
            self.missing.add(base)
            return None
        text = f"{base} at {_figure(found)} {self.currency}"
        if text not in self.said:
            self.said.append(text)
        return convert(nano, found)


def _figure(rate: Rate) -> str:
    value = Context(prec=6).divide(Decimal(rate.numerator), Decimal(rate.denominator))
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"


def _day(view: View, stretch: Stretch, currency: str, rate: RateAt) -> Day:
    exchange = _Exchange(currency, stretch.start, rate)
    span = (stretch.start, stretch.end)
    own = view.own.get(span, ())
    part = view.only_some.get(span, "")
    lines = [_line(row, stretch, exchange, part=bool(part)) for row in _rows(stretch, own)]
    read = stretch.figures is not None
    tax = _line_sum(stretch, TAX, exchange) if read else None
    credit = _line_sum(stretch, CREDIT, exchange) if read else None
    lost = exchange.missing & {figure.currency for figure in stretch.figures or () if figure.amount}
    why = [stretch.why, stretch.least, own if isinstance(own, str) else "", part, view.first.get(span, "")]
    why += [f"no rate from {code} to {currency}" for code in sorted(exchange.missing)]
    why += [f"converted: {said}" for said in exchange.said]
    return Day(
        provider=view.provider,
        sources=view.sources,
        start=to_datetime(stretch.start),
        end=to_datetime(stretch.end),
        currency=currency,
        state=stretch.state if read else UNKNOWN,
        lines=tuple(sorted(lines, key=lambda line: (-(line.billed or 0), line.name))),
        tax=tax,
        credit=credit,
        adds=view.adds,
        derived=stretch.derived,
        least=bool(stretch.least or lost),
        read=read,
        first=view.first.get(span, ""),
        why=tuple(dict.fromkeys(filter(None, why))),
        part=bool(part),
    )


def _line_sum(stretch: Stretch, line: str, exchange: _Exchange) -> int | None:
    return total_of([exchange(f.amount, f.currency) for f in stretch.figures or () if f.line == line])


class _Row(NamedTuple):
    """What both sides say of one line; `own` None: the ledger cannot say. `whole`: of all models together."""

    model: str
    label: str
    billed: list[Figure]
    own: list[Own] | None
    used: list[Used]
    whole: bool = False


def _rows(stretch: Stretch, own: tuple[Own, ...] | str) -> list[_Row]:
    """By model; what names none by its label. Where nothing names a model, one row for all."""
    billed = [figure for figure in stretch.figures or () if figure.line == USAGE]
    logged = None if isinstance(own, str) else list(own)
    if billed and not any(figure.model for figure in billed):
        labels = {figure.label for figure in billed}
        label = labels.pop() if len(labels) == 1 else ""
        return [_Row("", label, billed, logged, list(stretch.used), whole=True)]
    keys = [_key(figure) for figure in billed] + [(entry.model, "") for entry in logged or ()]
    if not keys and logged is None:  # of what was logged nothing is known: that is no row of nothing
        return [_Row("", "", [], None, [], whole=True)]
    return [
        _Row(
            model,
            label,
            [figure for figure in billed if _key(figure) == (model, label)],
            None if logged is None else [entry for entry in logged if (entry.model, "") == (model, label)],
            [entry for entry in stretch.used if (entry.model, "") == (model, label)],
        )
        for model, label in dict.fromkeys(keys)
    ]


def _key(figure: Figure) -> tuple[str, str]:
    return (figure.model, "") if figure.model else ("", figure.label or "no model named")


def _line(row: _Row, stretch: Stretch, exchange: _Exchange, *, part: bool) -> Line:
    cost, least = None, bool(stretch.least)
    if stretch.figures is not None:
        amounts = [exchange(figure.amount, figure.currency) for figure in row.billed]
        known = [amount for amount in amounts if amount is not None]
        cost = sum(known) if known or not amounts else None
        least = least or len(known) < len(amounts)
    logged = UNSAID if row.own is None else add(_converted(entry, exchange) for entry in row.own)
    own = row.own or []
    unpriced = sum(entry.unpriced for entry in own)
    counted = Tokens(
        sum(entry.calls for entry in own),
        sum(entry.input_tokens for entry in own),
        None,
        sum(entry.output_tokens for entry in own),
    )
    nameless = bool(row.label) and not row.whole
    return Line(
        model=row.model,
        label=row.label,
        billed=cost,
        own=logged,
        unlogged=_difference(cost, logged, least=least, part=part),
        calls=sum(entry.calls for entry in own),
        unpriced=unpriced,
        estimated=sum(entry.estimated for entry in own),
        why=_why_line(unpriced, nameless=nameless),
        billed_tokens=_tokens(row.used),
        own_tokens=Tokens() if nameless or row.own is None else counted,
        likely=_likely(row.billed, row.used, exchange),
    )


def _converted(own: Own, exchange: _Exchange) -> Span:
    base = own.currency or "USD"
    return Span(exchange(own.low, base), exchange(own.best, base), exchange(own.high, base))


def _difference(billed: int | None, own: Span, *, least: bool, part: bool) -> Span:
    """Billed − logged. The figures may be the `least` that was spent, the ledger may have only a `part` of it."""
    if billed is None:
        return UNSAID
    low = None if own.high is None or part else billed - own.high
    best = None if own.best is None else billed - own.best
    high = None if own.low is None or least else billed - own.low
    if least and best is not None and best < 0:
        best = None  # one key's spend says nothing of what the others were billed
    return Span(low, best, high)


def _why_line(unpriced: int, *, nameless: bool) -> str:
    if nameless:
        return "names no model: what apps logged of it is in the rows of models"
    if unpriced:
        return f"{unpriced} call{'s' * (unpriced != 1)} without a full price: at most this was not logged"
    return ""


def _tokens(used: list[Used]) -> Tokens:
    if not used:
        return Tokens()
    return Tokens(*(total_of(list(column)) for column in zip(*(entry.tokens for entry in used), strict=True)))


def _likely(billed: list[Figure], used: list[Used], exchange: _Exchange) -> tuple[Likely, ...]:
    """The projects and keys with the largest spend; by tokens where no money is told by them."""
    groups: dict[tuple[str, str], int] = {}
    for figure in billed:
        amount = exchange(figure.amount, figure.currency)
        if amount and (figure.project or figure.key):
            key = (figure.project, figure.key)
            groups[key] = groups.get(key, 0) + amount
    if groups:
        found = [Likely(*key, amount, None) for key, amount in groups.items()]
        return tuple(sorted(found, key=lambda one: (-(one.amount or 0), one))[:LIKELY])
    for entry in used:
        if entry.project or entry.key:
            key = (entry.project, entry.key)
            groups[key] = groups.get(key, 0) + (entry.tokens.input or 0) + (entry.tokens.output or 0)
    found = [Likely(*key, None, tokens) for key, tokens in groups.items()]
    return tuple(sorted(found, key=lambda one: (-(one.tokens or 0), one.project, one.key))[:LIKELY])


# --- sums ---------------------------------------------------------------------------------------------------


def _is_open(line: Line) -> bool:
    """Whether nobody can say how much the calls of a model can have cost at most."""
    return line.own.best is not None and line.own.high is None


def _sure(line: Line) -> int:
    """The least that is unlogged of a model, of which the most that was logged is known. What was billed of it in a currency
    without a rate is at least nothing."""
    if _is_open(line):
        return 0
    if line.billed is None:
        return -(line.own.high or 0)
    return line.unlogged.low or 0


def _late(before: Day) -> int:
    """What may have been logged on one day and billed on the next; nobody can say of a day without a figure."""
    own = before.own
    most = own.high if own.high is not None else own.best
    if before.billed is None or most is None:
        return 0
    return max(0, most - before.billed)


def _month(days: list[Day]) -> Total:
    first = days[0]
    both = [day for day in days if day.unlogged.best is not None]
    return Total(
        provider=first.provider,
        sources=first.sources,
        month=f"{first.start:%Y-%m}",
        currency=first.currency,
        state=worst(day.state for day in days),
        billed=sum(day.billed or 0 for day in days),
        tax=sum(day.tax or 0 for day in days),
        credit=sum(day.credit or 0 for day in days),
        compared=sum(day.billed or 0 for day in both),
        own=add(day.own for day in both),
        unlogged=add(day.unlogged for day in both),
        days=len(days),
        unread=sum(day.billed is None for day in days),
        unknown=sum(day.billed is not None and day.unlogged.best is None for day in days),
        adds=first.adds,
        derived=first.derived,
        least=any(day.least for day in days),
    )
