"""Who spends: the day's models or apps with the share of each."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.snapshot import Snapshot, SpendBy
from costmon.tui.format import bar, count, cut, fit, on_the_point, percent, safe
from costmon.tui.lines import Line, line
from costmon.tui.widgets.figures import band, spend
from costmon.tui.widgets.panel import Panel

_NOTHING = (("Nothing spent today.", "dim"),)


class Models(Panel):
    BORDER_TITLE = "Models today"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:  # noqa: ARG002
        return shares(snapshot.by_model, width)


class Apps(Panel):
    BORDER_TITLE = "Apps today"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:  # noqa: ARG002
        return shares(snapshot.by_app, width)


def shares(rows: tuple[SpendBy, ...], width: int) -> list[Line]:
    """Name, bar, share, cost and (with room) its band and the calls; costs stand on the decimal point."""
    if not rows:
        return [_NOTHING]
    costs = {row: _cost(row) for row in rows}
    aligned = on_the_point(costs.values())
    money_width = max(len(text) for text in aligned.values())
    calls = 13 if width >= 60 else 0
    bands = max(cell_len(band(row.spend)) for row in rows)
    bands = bands + 2 if bands and width >= 76 + bands else 0
    figures = 1 + 6 + 2 + money_width + bands + calls
    name = min(max(cell_len(safe(row.name)) for row in rows), max(10, width - figures - max(8, width // 4)))
    bars = max(0, width - name - figures)
    return [_share(row, name, bars, aligned[costs[row]], bands, calls) for row in rows]


def _cost(row: SpendBy) -> str:
    return spend(row.spend)


def _share(row: SpendBy, name: int, bars: int, cost: str, bands: int, calls: int) -> Line:
    filled, rest = bar(row.share, bars)
    return line(
        fit(cut(safe(row.name) or "(none)", name), name),
        " ",
        (filled, "share"),
        (rest, "head"),
        (f"{percent(row.share):>6}", "dim"),
        (f"  {cost}", "strong"),
        (fit(f"  {band(row.spend)}", bands), "dim"),
        (f"{count(row.spend.calls) + ' calls':>{calls}}" if calls else "", "dim"),
    )
