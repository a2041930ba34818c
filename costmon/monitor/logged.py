"""What the ledger says of the stretches that providers account for, under the names of the price list."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from costmon.budget.bands import band
from costmon.insight.models import Names
from costmon.insight.values import UNKNOWN, Own, Stretch, View
from costmon.shim import policy
from costmon.shim.prices import Prices
from costmon.shim.timestamps import to_datetime
from costmon.store import figures as rows
from costmon.store.figures import DAY_US, OwnRow, Reach

_HOUR_US = DAY_US // 24
Span = tuple[int, int]


class Asked(NamedTuple):
    """The days asked for, [start, end) of `span`, how far back the ledger reaches, and why a source was not read."""

    span: Span
    reach: Reach
    reasons: Mapping[str, str]


def with_own(db: sqlite3.Connection, views: list[View], asked: Asked, names: Names) -> list[View]:
    """The views with what the ledger says of every stretch; the days an app spent on and nobody told of are added."""
    spans = [asked.span, *(span for view in views for span in _spans(view))]
    low, high = min(start for start, _ in spans), max(end for _, end in spans)
    by_provider: dict[str, dict[int, list[OwnRow]]] = {}
    for row in rows.own_days(db, _day(low), -_day(-high), {view.provider for view in views}):
        by_provider.setdefault(row.provider, {}).setdefault(row.start_at, []).append(row)
    found, done = [], set[str]()
    for view in views:
        days = by_provider.get(view.provider, {})
        if view.provider not in done:
            done.add(view.provider)
            view = replace(view, stretches=(*view.stretches, *_untold(view, days, asked)))
        own = {span: _own_of(db, view.provider, span, days, asked.reach, names) for span in _spans(view)}
        prior = frozenset(span for span in own if _is_prior(span, asked.reach))
        some, first = _only_some(view, asked.reach), _first(view, asked.reach)
        found.append(replace(view, own=own, only_some=some, first=first, prior=prior))
    return found


def _spans(view: View) -> list[Span]:
    return [(stretch.start, stretch.end) for stretch in view.stretches]


def _untold(view: View, days: Mapping[int, object], asked: Asked) -> list[Stretch]:
    """The days of the ledger that no stretch covers."""
    covered = _spans(view)
    reasons = [asked.reasons[name] for name in view.sources if asked.reasons.get(name)]
    start, end = asked.span
    return [
        Stretch(day, day + DAY_US, UNKNOWN, None, why=reasons[0] if reasons else "it was not read")
        for day in sorted(days)
        if start <= day < end and not any(low < day + DAY_US and day < high for low, high in covered)
    ]


def _own_of(
    db: sqlite3.Connection,
    provider: str,
    span: Span,
    days: Mapping[int, list[OwnRow]],
    reach: Reach,
    names: Names,
) -> tuple[Own, ...] | str:
    start, end = span
    if _is_prior(span, reach):
        return f"the ledger begins on {to_datetime(reach.began_at or 0):%Y-%m-%d}"
    if start < reach.kept_from:
        return "the ledger no longer keeps its quarter hours of then"
    if start % DAY_US == 0 and end % DAY_US == 0:
        found = [row for day in range(start, end, DAY_US) for row in days.get(day, ())]
    elif rows.fits(start, end):
        found = rows.own_between(db, start, end, [provider])
    else:
        return "it begins or ends within a quarter hour"
    return tuple(own_sums(found, lambda model: names.of(provider, model)))


def last_hour(db: sqlite3.Connection, now: int, provider: str, at: int) -> list[Own]:
    """What apps logged of a provider in the hour before `at`, a UTC midnight."""
    names = names_of(db, now)
    found = rows.own_between(db, at - _HOUR_US, at, [provider])
    return own_sums(found, lambda model: names.of(provider, model))


def _is_prior(span: Span, reach: Reach) -> bool:
    return reach.began_at is not None and span[1] <= reach.began_at


def own_sums(found: Iterable[OwnRow], name: Callable[[str], str]) -> list[Own]:
    """By model and currency; a call without a price costs between nothing and what is assumed of it."""
    groups: dict[tuple[str, str], list[OwnRow]] = {}
    for row in found:
        groups.setdefault((name(row.model), row.currency or "USD"), []).append(row)
    return [_own(model, currency, group) for (model, currency), group in groups.items()]


def _own(model: str, currency: str, group: list[OwnRow]) -> Own:
    bounded = not any(row.partial or (row.unpriced and not row.assumed) for row in group)
    cost = band(
        sum(row.cost for row in group),
        estimated=sum(row.estimated_cost for row in group),
        assumed=sum(row.assumed for row in group),
        reserved=sum(row.reserved for row in group),
        bounded=bounded,
    )
    return Own(
        model,
        currency,
        *cost,
        calls=sum(row.calls for row in group),
        unpriced=sum(row.unpriced + row.partial for row in group),
        estimated=sum(row.estimated for row in group),
        input_tokens=sum(row.input_tokens for row in group),
        output_tokens=sum(row.output_tokens for row in group),
        counted=sum(row.cost + row.assumed + row.reserved for row in group),
    )


def _first(view: View, reach: Reach) -> dict[Span, str]:
    """The day the ledger began on: what it does not know of that day counts as unlogged, and that is said."""
    began = reach.began_at
    if began is None:
        return {}
    at = to_datetime(began)
    text = f"the ledger begins at {at:%H:%M} UTC of {at:%Y-%m-%d}: what was spent before is in it"
    return {
        (start, end): text for start, end in _spans(view) if start < began <= start + DAY_US and began < end
    }


def _only_some(view: View, reach: Reach) -> dict[Span, str]:
    """A month in the middle of which the ledger began; a first day counts as whole."""
    began = reach.began_at
    if began is None:
        return {}
    text = f"the ledger begins on {to_datetime(began):%Y-%m-%d} only"
    return {(start, end): text for start, end in _spans(view) if start + DAY_US < began < end}


def _day(at: int) -> int:
    return at - at % DAY_US


_held = threading.local()


def names_of(db: sqlite3.Connection, now: int) -> Names:
    """What models are called, by the ledger's price list; each name is looked up once for as long as that stays."""
    key = (db.execute("pragma database_list").fetchone()[2], policy.generation(db))
    if getattr(_held, "key", None) != key:
        prices = Prices()
        known = {row[0] for row in db.execute("select distinct provider from catalog")}
        _held.names = Names(lambda provider, model: _resolve(prices, provider, model, known))
        _held.key = key
    _held.db, _held.now = db, now
    names: Names = _held.names
    return names


def _resolve(prices: Prices, provider: str, model: str, known: set[str]) -> str | None:
    db: sqlite3.Connection = _held.db
    card = prices.card(db, provider, model, _held.now, "", anywhere=provider not in known)
    if card is None:
        return None
    return card.model if card.provider in (provider, "") else f"{card.provider}/{card.model}"
