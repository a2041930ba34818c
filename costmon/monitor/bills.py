"""What sources say was spent, and what the ledger says, read and grouped so that they can be compared.

Which figures of a provider add up: those of its sources with an endpoint; an invoice dropped in a folder only where there
is no other, and a balance only where nobody tells money. A gateway's are shown and never added. Times are µs UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from costmon.insight.models import Names
from costmon.insight.reconcile import bucket_state, worst
from costmon.insight.runway import GAP, LEAST, Seen, Spent, derive
from costmon.insight.values import FINAL, PARTIAL, UNKNOWN, USAGE, Figure, Stretch, Tokens, Used, View
from costmon.monitor.logged import Asked, Span, names_of, with_own
from costmon.shim.money import to_nano
from costmon.store import figures as rows
from costmon.store.figures import DAY_US, BalanceRow, BucketRow, Reach, SourceRow


class Traits(NamedTuple):
    """A source with what its kind says of it. `lacks`: what its figures never contain, as sentences."""

    row: SourceRow
    title: str
    series: str
    settles_us: int
    lacks: tuple[str, ...]
    overlaps: bool
    enabled: bool

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def is_file(self) -> bool:
        return self.row.kind == "file"


class Known(NamedTuple):
    """All that is on file of the days asked for."""

    traits: tuple[Traits, ...]
    buckets: tuple[BucketRow, ...]
    figures: Mapping[tuple[str, Span], list[rows.FigureRow]]
    usage: Mapping[tuple[str, Span], list[rows.UsageRow]]
    balances: tuple[BalanceRow, ...]
    reach: Reach
    asked: Span
    now: int


def read_views(
    db: sqlite3.Connection, now: int, start_at: int, end_at: int, provider: str = ""
) -> list[View]:
    """What the sources say of [start_at, end_at) (UTC midnights), and the ledger of the same stretches; of one provider or
    of all that have a source."""
    known = _known(db, now, start_at, end_at, provider)
    names = names_of(db, now)
    views = [view for of in _by_provider(known.traits) for view in _views(of, known, names)]
    reasons = {one.name: one.row.reason for one in known.traits}
    return with_own(db, views, Asked(known.asked, known.reach, reasons), names)


def read_traits(db: sqlite3.Connection) -> list[Traits]:
    """Every source with what its kind says of it."""
    return [_traits(row) for row in rows.sources(db)]


def _traits(row: SourceRow) -> Traits:
    about = row.about
    lacks = about.get("lacks")
    settles_us = about.get("settles_us")
    return Traits(
        row,
        title=str(about.get("title") or row.name),
        series=str(about.get("series", "day")),
        settles_us=settles_us if isinstance(settles_us, int) else 3 * DAY_US,
        lacks=tuple(map(str, lacks)) if isinstance(lacks, list) else (),
        overlaps=about.get("overlaps") is True,
        enabled=about.get("enabled") is not False,
    )


def _known(db: sqlite3.Connection, now: int, start_at: int, end_at: int, provider: str) -> Known:
    traits = tuple(one for one in read_traits(db) if provider in ("", one.row.provider))
    names = {one.name for one in traits}
    figures: dict[tuple[str, Span], list[rows.FigureRow]] = {}
    for figure in rows.figures(db, start_at, end_at):
        figures.setdefault((figure.source, (figure.start_at, figure.end_at)), []).append(figure)
    usage: dict[tuple[str, Span], list[rows.UsageRow]] = {}
    for used in rows.usage(db, start_at, end_at):
        usage.setdefault((used.source, (used.start_at, used.end_at)), []).append(used)
    return Known(
        traits,
        tuple(bucket for bucket in rows.buckets(db, start_at, end_at) if bucket.source in names),
        figures,
        usage,
        tuple(balance for balance in rows.balances(db, start_at) if balance.source in names),
        rows.reach(db, now),
        (start_at, end_at),
        now,
    )


def _by_provider(traits: Iterable[Traits]) -> list[list[Traits]]:
    groups: dict[str, list[Traits]] = {}
    for one in traits:
        groups.setdefault(one.row.provider, []).append(one)
    return list(groups.values())


def _views(of: list[Traits], known: Known, names: Names) -> list[View]:
    """The views of one provider, the one that adds up first."""
    provider = of[0].row.provider
    gateways = [one for one in of if one.overlaps]
    plain = [one for one in of if not one.overlaps and (one.series or _has_buckets(one, known))]
    groups = [
        [one for one in plain if not one.is_file and one.series != "month"],
        [one for one in plain if not one.is_file and one.series == "month"],
        [one for one in plain if one.is_file],
    ]
    groups = [group for group in groups if group]
    first = next((group for group in groups if any(_has_buckets(one, known) for one in group)), None)
    views = []
    if first is not None:
        views.append(_view(provider, first, known, names, adds=True))
    else:
        views += _derived_views(provider, of, known)
        if not views and groups:
            first = groups[0]
            views.append(_view(provider, first, known, names, adds=True))
        elif not views and not gateways:
            views.append(View(provider, tuple(one.name for one in of)))
    for group in groups:
        if group is not first:
            views.append(_view(provider, group, known, names, adds=False))
    views += [_view(provider, [one], known, names, adds=False) for one in gateways]
    return views


def _has_buckets(one: Traits, known: Known) -> bool:
    return any(bucket.source == one.name for bucket in known.buckets)


# --- stretches ----------------------------------------------------------------------------------------------


def _view(provider: str, group: Sequence[Traits], known: Known, names: Names, *, adds: bool) -> View:
    by_span: dict[Span, list[tuple[Traits, BucketRow]]] = {}
    for one in group:
        for bucket in known.buckets:
            if bucket.source == one.name:
                by_span.setdefault((bucket.start_at, bucket.end_at), []).append((one, bucket))
    stretches: list[Stretch] = []
    for span in sorted(by_span):
        if stretches and span[0] < stretches[-1].end:  # nothing counts twice
            least = "figures of an overlapping time are left out"
            stretches[-1] = stretches[-1]._replace(least=least)
            continue
        stretches.append(_stretch(span, by_span[span], group, known, names))
    return View(provider, tuple(one.name for one in group), adds, stretches=tuple(stretches))


def _stretch(
    span: Span, found: list[tuple[Traits, BucketRow]], group: Sequence[Traits], known: Known, names: Names
) -> Stretch:
    states, figures, used, least = [], [], [], []
    for one, bucket in found:
        states.append(
            bucket_state(
                end=bucket.end_at,
                fetched_at=bucket.fetched_at,
                complete=bucket.complete,
                settles_us=one.settles_us,
                ok_at=one.row.ok_at,
                every_us=one.row.every_us,
                now=known.now,
            )
        )
        here = known.figures.get((one.name, span), [])
        figures += [_figure(one.row.provider, row, names) for row in here]
        used += [_used(one.row.provider, row, names) for row in known.usage.get((one.name, span), [])]
        least += _one_key(one, here)
        if not bucket.complete:
            least.append(f"{one.name} says that something is missing")
    read = {one.name for one, _ in found}
    least += [f"no figure of {one.name}" for one in group if one.enabled and one.name not in read]
    return Stretch(
        *span,
        worst(states),
        tuple(figures),
        tuple(used),
        "; ".join(dict.fromkeys(least)),
        closed=all(bucket.fetched_at >= bucket.end_at for _, bucket in found),
    )


def _one_key(one: Traits, here: list[rows.FigureRow]) -> list[str]:
    """Whether the figures are those of a single key, as an ordinary key of OpenRouter tells them."""
    keys = {row.api_key for row in here if row.line == USAGE}
    whole = any(row.model or row.label for row in here if row.line == USAGE)
    return (
        [f"{one.title} tells the spend of one key only"] if len(keys) == 1 and all(keys) and not whole else []
    )


def _figure(provider: str, row: rows.FigureRow, names: Names) -> Figure:
    model = names.of(provider, row.model)
    return Figure(row.line, model, row.label, row.project, row.api_key, row.currency, row.amount)


def _used(provider: str, row: rows.UsageRow, names: Names) -> Used:
    tokens = Tokens(row.requests, row.input_tokens, row.cached_tokens, row.output_tokens)
    return Used(names.of(provider, row.model), row.project, row.api_key, tokens)


def _derived_views(provider: str, of: Sequence[Traits], known: Known) -> list[View]:
    """Spend as balances of money fell, all of them together."""
    days: dict[int, list[tuple[str, Spent]]] = {}
    for one in of:
        for unit, history in _histories(one, known.balances):
            for spent in derive(history, one.row.every_us, known.now):
                if known.asked[0] <= spent.day_at < known.asked[1]:
                    days.setdefault(spent.day_at, []).append((unit, spent))
    stretches = tuple(_derived(at, days[at], known.now) for at in sorted(days))
    return [View(provider, tuple(one.name for one in of), stretches=stretches)] if stretches else []


def _histories(one: Traits, balances: Iterable[BalanceRow]) -> list[tuple[str, list[Seen]]]:
    """The balances of a source that are money: (currency, how it went); one that never held any is none."""
    found: dict[tuple[str, str], list[Seen]] = {}
    for row in balances:
        if row.source == one.name and row.spendable and is_currency(row.unit):
            seen = Seen(row.first_at, row.last_at, Decimal(row.amount), row.resets_at)
            found.setdefault((row.unit, row.label), []).append(seen)
    return [(unit, went) for (unit, _), went in found.items() if any(seen.amount for seen in went)]


def is_currency(unit: str) -> bool:
    """Whether what a balance is counted in is money."""
    return len(unit) == 3 and unit.isascii() and unit.isupper()


def _derived(day: int, spent: list[tuple[str, Spent]], now: int) -> Stretch:
    span = (day, day + DAY_US)
    watched = {one.watched for _, one in spent}
    if GAP in watched:
        why = "the balance was not watched all the time, so nobody knows on which day it fell"
        return Stretch(*span, UNKNOWN, None, derived=True, why=why)
    amounts: dict[str, Decimal] = {}
    for unit, one in spent:
        amounts[unit] = amounts.get(unit, Decimal(0)) + one.spent
    figures = tuple(
        Figure(USAGE, "", "", "", "", unit, to_nano(amount))
        for unit, amount in amounts.items()
        if amount or len(amounts) == 1
    )
    over = day + DAY_US <= now
    state = PARTIAL if LEAST in watched or not over else FINAL
    least = ""
    if LEAST in watched and over:
        least = "the balance was topped up, or was not watched all day: at least this was spent"
    return Stretch(*span, state, figures, least=least, derived=True)
