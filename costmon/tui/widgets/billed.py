"""What providers bill this month and nobody logged, and what is left of balances, for the overview."""

from __future__ import annotations

from datetime import datetime

from costmon.insight.values import Day, Total
from costmon.monitor.snapshot import Snapshot, SourceStatus
from costmon.tui.format import age, coarse, safe
from costmon.tui.lines import Line, Span, apart, line, width_of
from costmon.tui.widgets.balances import left_text, run_out
from costmon.tui.widgets.panel import Panel
from costmon.tui.widgets.reconciled import Row, month_row, of_total


class Billed(Panel):
    """Hidden while there is no source."""

    BORDER_TITLE = "Billed this month"
    BORDER_SUBTITLE = "r: by day"

    def watch_snapshot(self) -> None:
        self.set_class(not (self.snapshot and self.snapshot.sources), "-none")
        super().watch_snapshot()

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return billed(snapshot, now, width)


def billed(snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
    """A line for each provider, the most unlogged first, and one for each balance, the soonest used up first."""
    month, days = f"{now:%Y-%m}", snapshot.reconciled.days
    totals = [total for total in snapshot.reconciled.totals if total.month == month and total.adds]
    rows = [(total, _row(total, days)) for total in sorted(totals, key=_urgency)]
    lines = [_provider(total, row, snapshot.sources, now, width) for total, row in rows]
    told = {total.provider for total in totals}
    lines += [
        apart(line(_mark([one]), safe(one.name)), line(_state(one, now)), width)
        for one in snapshot.sources
        if one.provider not in told and not one.balances
    ]
    return [*lines, *_balances(snapshot, now, width)]


def _urgency(total: Total) -> tuple[object, ...]:
    return (-max(0, total.unlogged.best or 0), total.provider)


def _row(total: Total, days: tuple[Day, ...]) -> Row:
    return month_row(total, of_total(total, days), ("", ""))


def _provider(total: Total, row: Row, sources: tuple[SourceStatus, ...], now: datetime, width: int) -> Line:
    mine = [one for one in sources if one.name in total.sources]
    text, style = row.unlogged
    gap: tuple[Span, ...] = ()
    if style == "warn":
        gap = ((", ", "dim"), (f"{text} unlogged" if text != "?" else "unlogged unknown", "warn"))
    old = next((_state(one, now) for one in mine if _is_off(one)), None)
    left = line(_mark(mine), safe(total.provider))
    right = line((row.billed[0], row.billed[1] or "strong"), *gap)
    if old is not None and width_of(left) + width_of(right) + len(old[0]) + 4 <= width:
        left = line(*left, "  ", old)
    return apart(left, right, width)


def _is_off(one: SourceStatus) -> bool:
    return one.stale or one.state not in ("", "ok", "rate_limited")


def _mark(sources: list[SourceStatus]) -> Span:
    """'●' is read as it should be, '○' is not."""
    return ("○ ", "warn") if any(_is_off(one) for one in sources) else ("● ", "word-ok")


def _state(one: SourceStatus, now: datetime) -> Span:
    if one.ok_at is None:
        return ("never read", "warn") if _is_off(one) else ("not read yet", "dim")
    return (f"read {age(one.ok_at, now)}", "warn" if _is_off(one) else "dim")


def _balances(snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
    found = [(one, balance) for one in snapshot.sources for balance in one.balances if balance.spendable]
    found.sort(key=lambda pair: (pair[1].run_out is None, pair[1].run_out or now, pair[0].name))
    lines = []
    for source, balance in found:
        text, style = run_out(balance, now, snapshot.time_zone)
        if balance.run_out is not None and balance.run_out > now and balance.amount > 0:
            text = f"lasts {coarse(balance.run_out - now)}"
        amount = line(
            (left_text(balance), "strong"),
            (" left", "dim"),
            *(((", ", "dim"), (text, style)) if text else ()),
        )
        lines.append(apart(line(_mark([source]), safe(source.name)), amount, width))
    return lines
