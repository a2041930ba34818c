"""What sources say was spent, and what the ledger says, read and grouped so that they can be compared.

Which figures of a provider add up: those of its sources with an endpoint; an invoice dropped in a folder only where there
is no other, and a balance only where nobody tells money. A gateway's are shown and never added. Where stretches of several
sources overlap, one by days and one by months, they are added up over the whole time they cover. Times are µs UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from costmon.insight.models import Names
from costmon.insight.reconcile import SKEW_US, bucket_state, is_unread, worst
from costmon.insight.runway import GAP, LEAST, Seen, Spent, derive
from costmon.insight.values import (
    FINAL,
    PARTIAL,
    STALE,
    UNKNOWN,
    USAGE,
    Figure,
    Stretch,
    Tokens,
    Used,
    View,
)
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
    buckets, low, high = _reaching(db, {one.name: one.row.provider for one in traits}, start_at, end_at)
    figures: dict[tuple[str, Span], list[rows.FigureRow]] = {}
    for figure in rows.figures(db, low, high):
        figures.setdefault((figure.source, (figure.start_at, figure.end_at)), []).append(figure)
    usage: dict[tuple[str, Span], list[rows.UsageRow]] = {}
    for used in rows.usage(db, low, high):
        usage.setdefault((used.source, (used.start_at, used.end_at)), []).append(used)
    return Known(
        traits,
        buckets,
        figures,
        usage,
        tuple(balance for balance in rows.balances(db, start_at) if balance.source in names),
        rows.reach(db, now),
        (start_at, end_at),
        now,
    )


def _reaching(
    db: sqlite3.Connection, provider_of: Mapping[str, str], start_at: int, end_at: int
) -> tuple[tuple[BucketRow, ...], int, int]:
    """The buckets that overlap [start_at, end_at), and those that overlap these of the same provider, and so on; and from
    when to when they are."""
    reach = dict.fromkeys(provider_of.values(), (start_at, end_at))
    low, high = start_at, end_at
    while True:
        found = [bucket for bucket in rows.buckets(db, low, high) if bucket.source in provider_of]
        before = dict(reach)
        for bucket in found:
            provider = provider_of[bucket.source]
            first, last = reach[provider]
            if bucket.start_at < last and bucket.end_at > first:
                reach[provider] = (min(first, bucket.start_at), max(last, bucket.end_at))
        if reach == before:
            break
        low = min(first for first, _ in reach.values())
        high = max(last for _, last in reach.values())
    near = [
        bucket
        for bucket in found
        for first, last in (reach[provider_of[bucket.source]],)
        if bucket.start_at < last and bucket.end_at > first
    ]
    return tuple(near), low, high


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
        [one for one in plain if not one.is_file],
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
    low, high = known.asked
    stretches = [_stretch(part, group, known, names) for part in _parts(group, known)]
    return View(
        provider,
        tuple(one.name for one in group),
        adds,
        stretches=tuple(one for one in stretches if one.start < high and one.end > low),
    )


class _Part(NamedTuple):
    """Buckets that overlap, of the whole time they cover; `doubled`: the sources of which one more was left out."""

    start: int
    end: int
    found: list[tuple[Traits, BucketRow]]
    doubled: set[str]


def _parts(group: Sequence[Traits], known: Known) -> list[_Part]:
    """The oldest first. Of one source nothing counts twice."""
    told = [(one, bucket) for one in group for bucket in known.buckets if bucket.source == one.name]
    told.sort(key=lambda item: (item[1].start_at, item[1].end_at))
    parts: list[_Part] = []
    ends: dict[str, int] = {}
    for one, bucket in told:
        if not parts or bucket.start_at >= parts[-1].end:
            parts.append(_Part(bucket.start_at, bucket.end_at, [], set()))
        part = parts[-1]
        if bucket.start_at < ends.get(one.name, bucket.start_at):
            part.doubled.add(one.name)
            continue
        ends[one.name] = bucket.end_at
        part.found.append((one, bucket))
        parts[-1] = part._replace(end=max(part.end, bucket.end_at))
    return parts


def _stretch(part: _Part, group: Sequence[Traits], known: Known, names: Names) -> Stretch:
    states, figures, used, least = [], [], [], []
    for one, bucket in part.found:
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
        span = (bucket.start_at, bucket.end_at)
        here = known.figures.get((one.name, span), [])
        figures += [_figure(one.row.provider, row, names) for row in here]
        used += [_used(one.row.provider, row, names) for row in known.usage.get((one.name, span), [])]
        least += _one_key(one, here)
        if not bucket.complete:
            least.append(f"{one.name} says that something is missing")
    for one in group:
        lacking = _lacking(one, part, known.now)
        if lacking:
            least.append(lacking)
            states.append(_unfinished(one, known.now))
    least += [f"figures of {name} that overlap others of it are left out" for name in sorted(part.doubled)]
    return Stretch(
        part.start,
        part.end,
        worst(states),
        tuple(figures),
        tuple(used),
        "; ".join(dict.fromkeys(least)),
        closed=all(_is_closed(bucket, known.now) for _, bucket in part.found),
    )


def _is_closed(bucket: BucketRow, now: int) -> bool:
    return bucket.end_at <= min(now, bucket.fetched_at) and bucket.fetched_at <= now + SKEW_US


def _lacking(one: Traits, part: _Part, now: int) -> str:
    """What a source does not tell of the time of `part`, as far as it is over; '' if it tells all."""
    told = [bucket for of, bucket in part.found if of.name == one.name]
    if not told:
        return f"no figure of {one.name}" if one.enabled else ""
    until = max(part.start, min(part.end, now - now % DAY_US))
    covered = sum(max(0, min(bucket.end_at, until) - bucket.start_at) for bucket in told)
    return f"{one.name} tells a part of this time only" if covered < until - part.start else ""


def _unfinished(one: Traits, now: int) -> str:
    """The state of what a source has not told."""
    return STALE if is_unread(one.row.ok_at, one.row.every_us, now) else PARTIAL


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


class _Fell(NamedTuple):
    """What a balance of a source fell by in a day; `last`: it was not seen later."""

    source: Traits
    unit: str
    spent: Spent
    last: bool


def _derived_views(provider: str, of: Sequence[Traits], known: Known) -> list[View]:
    """Spend as balances of money fell, all of them together."""
    days: dict[int, list[_Fell]] = {}
    watched = set()
    for one in of:
        for unit, history in _histories(one, known.balances):
            watched.add(one.name)
            found = derive(history, one.row.every_us, known.now)
            for spent in found:
                if known.asked[0] <= spent.day_at < known.asked[1]:
                    days.setdefault(spent.day_at, []).append(_Fell(one, unit, spent, spent is found[-1]))
    sources = [one for one in of if one.enabled and one.name in watched]
    stretches = tuple(_derived(at, days[at], sources, known.now) for at in sorted(days))
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


def _derived(day: int, fell: list[_Fell], sources: Iterable[Traits], now: int) -> Stretch:
    span = (day, day + DAY_US)
    watched = {one.spent.watched for one in fell}
    if GAP in watched:
        why = "the balance was not watched all the time, so nobody knows on which day it fell"
        return Stretch(*span, UNKNOWN, None, derived=True, why=why)
    amounts: dict[str, Decimal] = {}
    for one in fell:
        amounts[one.unit] = amounts.get(one.unit, Decimal(0)) + one.spent.spent
    figures = tuple(
        Figure(USAGE, "", "", "", "", unit, to_nano(amount))
        for unit, amount in amounts.items()
        if amount or len(amounts) == 1
    )
    over = day + DAY_US <= now
    states = [PARTIAL if LEAST in watched or not over else FINAL]
    states += [_unfinished(one.source, now) for one in fell if one.last and one.spent.watched == LEAST]
    least = []
    if LEAST in watched and over:
        least.append("the balance was topped up, or was not watched all day: at least this was spent")
    seen = {one.source.name for one in fell}
    for source in sources:
        if source.name not in seen:
            least.append(f"no balance of {source.name}")
            states.append(_unfinished(source, now))
    return Stretch(*span, worst(states), figures, least="; ".join(least), derived=True)
