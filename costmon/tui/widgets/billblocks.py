"""The bills as lines: a summary of the month, then a block for each provider with its sources, balances and days. Pure
functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from costmon.insight.reconcile import sums
from costmon.insight.values import Day, Total
from costmon.monitor.reconciled import Reconciliation
from costmon.monitor.snapshot import Snapshot, SourceStatus
from costmon.sources.providers import absent
from costmon.tui.format import safe
from costmon.tui.lines import EMPTY, Line, line, wrapped
from costmon.tui.widgets.balances import balances
from costmon.tui.widgets.reconciled import (
    bill_text,
    day_rows,
    draw_rows,
    lacking_text,
    month_row,
    month_text,
    of_total,
    sum_row,
    total_row,
)
from costmon.tui.widgets.sources import by_provider, footnotes, headline, troubles, unasked, unasked_lines

_INDENT = "  "
_MOST = 6


class Chosen(NamedTuple):
    """What the cursor is on: days that are alike, or a total; `days` are all of it."""

    of: tuple[Day, ...] | Total
    days: tuple[Day, ...]
    summary: bool = False
    """In the table of all providers."""

    @property
    def block(self) -> tuple[object, ...]:
        return (self.summary,) if self.summary else (self.days[0].provider,)

    @property
    def key(self) -> tuple[object, ...]:
        first = self.days[0]
        about = (self.summary, first.provider, first.sources, first.adds, first.currency)
        return (*about, self.of.month) if isinstance(self.of, Total) else (*about, first.start)


Shown = tuple[Line, Chosen | None]
"""A line, and what is chosen when the cursor is on it."""


def bills(
    snapshot: Snapshot, now: datetime, width: int, tables: dict[object, list[Shown]] | None = None
) -> list[Shown]:
    """Every line; `tables` keeps what depends on nothing but the width and the figures."""
    lacking = unasked(snapshot)
    if not snapshot.readable:
        return [_plain(one) for one in wrapped("The ledger cannot be read: nothing is known.", width, "bad")]
    if not snapshot.sources and not snapshot.reconciled.days:
        return [_plain(one) for one in nothing_yet(lacking, width)]
    tables = tables if tables is not None else {}
    shown = list(_summary(snapshot, now, width, tables))
    days = _by_provider(snapshot.reconciled.days)
    sources = by_provider(snapshot.sources)
    for provider in sorted({*sources, *days}):
        found = sources.get(provider, [])
        shown += [_plain(EMPTY)] if shown else []
        shown += [_plain(one) for one in _head(provider, found, now, width, snapshot.time_zone)]
        gateways = {source.name for source in found if source.overlaps}
        shown += _tables(provider, days.get(provider, []), gateways, snapshot.reconciled, width, tables)
        shown += [_plain(one) for source in found for one in footnotes(source, width, named=len(found) > 1)]
    if lacking:
        shown += [_plain(EMPTY), *(_plain(one) for one in unasked_lines(lacking, width))]
    return shown


def _plain(one: Line) -> Shown:
    return (one, None)


def _head(provider: str, found: list[SourceStatus], now: datetime, width: int, zone_name: str) -> list[Line]:
    if not found:
        return [line((safe(provider), "name"), ("  its source is gone from the config", "dim"))]
    lines = []
    for number, source in enumerate(found):
        lines.append(headline(source, now, width, provider="" if number else provider))
        lines += troubles(source, now, width)
        lines += balances(source, now, width, zone_name)
    return lines


def _by_provider(days: Iterable[Day]) -> dict[str, list[Day]]:
    groups: dict[str, list[Day]] = {}
    for day in days:
        groups.setdefault(day.provider, []).append(day)
    return groups


def _tables(
    provider: str,
    days: list[Day],
    gateways: set[str],
    reconciled: Reconciliation,
    width: int,
    known: dict[object, list[Shown]],
) -> list[Shown]:
    key = (provider, width)
    if key in known:
        return known[key]
    views: dict[tuple[object, ...], list[Day]] = {}
    for day in days:
        views.setdefault((not day.adds, day.sources, day.derived, day.currency), []).append(day)
    shown: list[Shown] = []
    for view in sorted(views, key=lambda one: one[:2]):
        totals = [total for total in reconciled.totals if of_total(total, views[view])]
        about = _about(views[view][0], gateways, several=len(views) > 1)
        shown += [_plain(line(_INDENT, *one)) for one in wrapped(about, width - 2, "dim")] if about else []
        shown += _table(views[view], totals, width)
    known[key] = shown
    return shown


def _about(first: Day, gateways: set[str], *, several: bool) -> str:
    """What is odd about a view, '' for nothing."""
    about = [f"of {' and '.join(map(safe, first.sources))}"] if several else []
    about += ["spend as the balance fell"] if first.derived else []
    if not first.adds and not gateways & set(first.sources):
        about.append("in no sum: another source tells the same")
    return " · ".join(about)


def _table(days: list[Day], totals: list[Total], width: int) -> list[Shown]:
    """A heading, the total of each month above its days, the newest first."""
    groups = []
    for total in sorted(totals, key=lambda one: one.month, reverse=True):
        of = of_total(total, days)
        alone = len(of) == 1 and of[0].end.day == 1 and (of[0].end - of[0].start).days > 1
        groups.append(
            (
                total,
                of,
                [] if alone else [total_row(total, of, (_month_name(total), "strong"))],
                day_rows(of),
            )
        )
    rows = [row for _, _, head, found in groups for row in (*head, *found)]
    heading, *drawn = draw_rows(rows, width - len(_INDENT), "day (UTC)")
    shown = [_plain(line(_INDENT, *heading))]
    for total, of, head, found in groups:
        for row in (*head, *found):
            mine = tuple(of) if isinstance(row.of, Total) else row.of or ()
            chosen = Chosen(total if isinstance(row.of, Total) else mine, mine)
            shown.append((line(_INDENT, *drawn.pop(0)), chosen))
            if row.of is total or not head:
                texts = ((bill_text(total), "strong"), (lacking_text(total), "warn"))
                shown += [
                    _plain(line(_INDENT * 2, *one))
                    for text, style in texts
                    if text
                    for one in wrapped(text, width - 4, style)
                ]
    return shown


def _month_name(total: Total) -> str:
    """'Nov 2026', or 'compared' where the row is of some of its days only."""
    return "compared" if total.unread or total.unknown else month_text(total.month)


def _summary(snapshot: Snapshot, now: datetime, width: int, tables: dict[object, list[Shown]]) -> list[Shown]:
    """A row for each provider in this month, and one for all of a currency where there are several."""
    month, reconciled = f"{now:%Y-%m}", snapshot.reconciled
    key = (month, width, snapshot.currency)
    if key in tables:
        return tables[key]
    totals = [total for total in reconciled.totals if total.month == month]
    totals.sort(key=lambda one: (not one.adds, one.currency != snapshot.currency, one.currency, one.provider))
    rows = []
    for total in totals:
        name = total.provider if total.adds else f"({total.provider}: {', '.join(total.sources)})"
        rows.append(
            month_row(total, of_total(total, reconciled.days), (safe(name), "" if total.adds else "dim"))
        )
    known = [total for total in totals if total.days > total.unread + total.unknown]
    several = {
        one.currency for one in known if sum(one.currency == each.currency for each in known if each.adds) > 1
    }
    rows += [sum_row(one, f"all in {safe(one.currency)}") for one in sums(known) if one.currency in several]
    shown = []
    if rows:
        heading, *drawn = draw_rows(rows, width - len(_INDENT), month_text(month))
        shown = [_plain(line(_INDENT, *heading))]
        for row, one in zip(rows, drawn, strict=True):
            of = row.of if isinstance(row.of, Total) else None
            chosen = (
                Chosen(of, tuple(of_total(of, reconciled.days)), summary=True) if of is not None else None
            )
            shown.append((line(_INDENT, *one), chosen))
    for problem in reconciled.problems:
        shown += [_plain(one) for one in wrapped(safe(problem), width, "warn", _MOST)]
    tables[key] = shown
    return shown


def nothing_yet(lacking: list[str], width: int) -> list[Line]:
    """What to do so that there is something to show."""
    name = next((one for one in lacking if absent.stub(one)), "openai")
    lines = wrapped("No provider is asked what it bills yet.", width, "strong")
    lines += wrapped(
        "With its figures beside the ledger's, spend that no app logged becomes visible. Two ways:",
        width,
        most=_MOST,
    )
    lines += [
        EMPTY,
        *wrapped(
            "1. A key that may read usage and costs; its provider is then asked every few minutes:",
            width,
            most=_MOST,
        ),
    ]
    lines += [line(("   costmon keys set openai", "key"))]
    lines += [
        EMPTY,
        *wrapped("2. A folder for invoices, CSV or JSON, named in config.toml:", width, most=_MOST),
    ]
    lines += [line((f"   {text}", "key")) for text in (absent.stub(name) or "").splitlines()]
    lines += [
        EMPTY,
        *wrapped("Until then costmon asks nobody. Which keys it can use: costmon keys list", width, "dim"),
    ]
    return [*lines, EMPTY, *unasked_lines(lacking, width)] if lacking else lines
