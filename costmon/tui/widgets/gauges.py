"""One gauge per budget: how much is spent, how close the limit is, and where the period will end."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from costmon.monitor.snapshot import BudgetStatus, Snapshot
from costmon.shim.money import Money
from costmon.tui.format import beside, coarse, duration, fit, moment, money, percent, safe
from costmon.tui.lines import EMPTY, Line, Span, apart, joined, line, width_of
from costmon.tui.widgets.levels import style_of, word_of
from costmon.tui.widgets.panel import Panel

_EIGHTHS = " ▏▎▍▌▋▊▉"
_EMPTY = (
    (("No budget yet.", "strong"), (" In a shell:", "")),
    (("costmon budget set total 10USD --period month", "key"),),
)
_UNREADABLE = (
    (("The ledger cannot be read: what is spent is unknown.", "bad"),),
    (("costmon doctor", "key"), (" tells what to do.", "")),
)


class Gauges(Panel):
    """Every budget. The more there are for the room, the fewer lines each one gets."""

    BORDER_TITLE = "Budgets"

    def waiting(self, width: int) -> list[Line]:  # noqa: ARG002
        return [(("Waiting for the first figures …", "dim"),)]

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        if not snapshot.budgets:
            return list(_EMPTY if snapshot.readable else _UNREADABLE)
        return gauges(snapshot.budgets, now, width, self.screen.size.height)


def gauges(budgets: tuple[BudgetStatus, ...], now: datetime, width: int, height: int) -> list[Line]:
    """All gauges at the same detail: 5, 3, 2 or 1 lines each, the most that fits 2/5 of the `height`.

    What is blocked or past a level comes first: there may be more than fit.
    """
    budgets = tuple(
        sorted(budgets, key=lambda budget: (budget.blocks != "all", not budget.blocks, -budget.level))
    )
    sizes = (5, 3, 2) if height >= 32 else (3, 2)
    each = next(
        (lines for lines in sizes if len(budgets) * lines <= max(3, height * 2 // 5) + (lines == 5)), 1
    )
    if each == 1:
        names = min(24, max(cell_len(name_of(budget)) for budget in budgets), width // 4)
        return [_one_line(budget, width, names) for budget in budgets]
    words = max(len(word_of(budget)) for budget in budgets)
    shown: list[Line] = []
    for budget in budgets:
        shown += [*_gauge(budget, now, width, each, words), *([EMPTY] if each == 5 else [])]
    return shown[:-1] if each == 5 else shown


def _gauge(budget: BudgetStatus, now: datetime, width: int, each: int, words: int) -> list[Line]:
    parts = [_head(budget, width, words), gauge_bar(budget, width)]
    if each == 5:
        parts.append(_scale(budget, width))
    return parts if each == 2 else [*parts, _detail(budget, now, width)]


def _head(budget: BudgetStatus, width: int, words: int) -> Line:
    left = line((name_of(budget), "strong"), (f"  {about(budget)}", "dim"))
    right = line(
        (spent_of(budget), "strong"),
        (f" / {money(budget.limit)}", "dim"),
        (f"{percent(budget.ratio):>8}", f"word-{style_of(budget)}"),
        (f"  {word_of(budget):<{words}}", f"word-{style_of(budget)}"),
    )
    return apart(left, right, width)


def _one_line(budget: BudgetStatus, width: int, names: int) -> Line:
    style = f"word-{style_of(budget)}"
    right = line((f" {percent(budget.ratio):>6}  {word_of(budget):<12}", style))
    left = line((fit(name_of(budget), names), "strong"), "  ")
    return (*left, *thin_bar(budget, max(1, width - width_of(left) - width_of(right))), *right)


def name_of(budget: BudgetStatus) -> str:
    return safe(budget.name) or "(no name)"


def about(budget: BudgetStatus) -> str:
    """'all apps · month', 'app=trader · day · strict'."""
    scope = safe(budget.scope)
    parts = ["everything" if scope in ("", "all") else scope, safe(budget.period)]
    return " · ".join(parts + ([safe(budget.mode)] if budget.mode not in ("", "default") else []))


def spent_of(budget: BudgetStatus) -> str:
    """With unlogged spend, where the budget counts it. A lower bound says so with '≥', an estimate with '~'."""
    beyond = budget.unlogged.nano if budget.unlogged is not None else 0
    spent = beside(Money(budget.spent.nano + beyond, budget.spent.currency), budget.limit)
    return budget.mark + spent


def gauge_bar(budget: BudgetStatus, width: int) -> Line:
    """The bar: filled to the ratio, hatched for what is reserved, with a mark at each level."""
    level = style_of(budget)
    ratio = min(max(budget.ratio, 0.0), 1.0) if budget.ratio == budget.ratio else 0.0
    eighths = max(1 if ratio else 0, int(ratio * width * 8))
    filled = eighths // 8
    held = (
        min(width, filled + _cells(budget.reserved.nano, budget.limit.nano, width))
        if budget.reserved.nano
        else 0
    )
    cells: list[Span] = [("█", f"level-{level}")] * filled
    if filled < width and eighths % 8:
        cells.append((_EIGHTHS[eighths % 8], f"level-{level}"))
    cells += [("▒", "hold")] * (held - len(cells))
    # The empty part is blank, so that the bar can be read without any colour.
    cells += [(" ", "track")] * (width - len(cells))
    for position in _marks(budget.levels, width).values():
        cells[position] = ("│", f"tick-{level}" if position < filled else "tick-track")
    return _merged(cells)


def thin_bar(budget: BudgetStatus, width: int) -> Line:
    """A bar half a line high, so that one below the other stay apart; a gap at each level that is passed."""
    ratio = min(max(budget.ratio, 0.0), 1.0) if budget.ratio == budget.ratio else 0.0
    filled = max(1 if ratio else 0, int(ratio * width))
    cells: list[Span] = [("▄", f"word-{style_of(budget)}")] * filled + [("▁", "thin")] * (width - filled)
    for position in _marks(budget.levels, width).values():
        cells[position] = (" ", "") if position < filled else ("╷", "dim")
    return _merged(cells)


def _cells(part: int, whole: int, width: int) -> int:
    return max(1, min(width, part * width // whole)) if whole > 0 else 0


def _marks(levels: tuple[int, ...], width: int) -> dict[int, int]:
    """Each level below 100 and the cell its mark stands in."""
    return {level: level * width // 100 for level in levels if 0 < level < 100 and width >= 20}


def _merged(cells: list[Span]) -> Line:
    spans: list[Span] = []
    for text, style in cells:
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + text, style)
        else:
            spans.append((text, style))
    return tuple(spans)


def _scale(budget: BudgetStatus, width: int) -> Line:
    """The levels' numbers under their marks; one that would touch its neighbour is left out."""
    spans: list[Span] = []
    used = 0
    for level, position in sorted({**_marks(budget.levels, width), 100: width - 3}.items()):
        text = str(level)
        start = position if level < 100 else width - 3
        if start > used and start + len(text) <= (width if level == 100 else width - 4):
            reached = f"word-{style_of(budget)}" if budget.level >= level else "dim"
            spans += [(" " * (start - used), ""), (text, reached)]
            used = start + len(text)
    return tuple(spans)


def _detail(budget: BudgetStatus, now: datetime, width: int) -> Line:
    """What does not fit is left out, the least pressing first; the numbers are the ranks."""
    return joined(
        [
            (0, _unpriced(budget)),
            (0, _unlogged(budget)),
            (1, _band(budget)),
            (2, _projection(budget)),
            (3, _crossing(budget, now)),
            (
                5,
                line((f"{beside(budget.reserved, budget.limit)} reserved", "dim"))
                if budget.reserved.nano
                else EMPTY,
            ),
            (4, line((f"{duration(budget.end - now)} left", "dim"))),
            (6, line((f"{budget.calls:,} calls", "dim"))),
            (
                7,
                line((f"{beside(budget.remaining, budget.limit)} to go", "dim"))
                if budget.remaining.nano > 0
                else EMPTY,
            ),
        ],
        width,
    )


def _unpriced(budget: BudgetStatus) -> Line:
    if not budget.unpriced:
        return EMPTY
    calls = "1 call" if budget.unpriced == 1 else f"{budget.unpriced:,} calls"
    return line((f"{calls} unpriced (assumed {beside(budget.assumed, budget.limit)})", "warn"))


def _unlogged(budget: BudgetStatus) -> Line:
    if budget.unlogged is None or not budget.unlogged.nano:
        return EMPTY
    return line((f"{beside(budget.unlogged, budget.limit)} of it unlogged", "warn"))


def _band(budget: BudgetStatus) -> Line:
    low = beside(budget.low, budget.limit)
    if budget.high is None:
        return line((f"at least {low}", "dim")) if budget.mark == "~" else EMPTY
    high = beside(budget.high, budget.limit)
    return line((f"between {low} and {high}", "dim")) if low != high else EMPTY


def _projection(budget: BudgetStatus) -> Line:
    if budget.projected is None:
        return line(("projection in a few minutes", "dim"))
    over = budget.projected.nano > budget.limit.nano > 0
    return line(("projected ", "dim"), (beside(budget.projected, budget.limit), "warn" if over else ""))


def _crossing(budget: BudgetStatus, now: datetime) -> Line:
    if budget.crosses_at is None or budget.ratio >= 1:
        return EMPTY
    when = moment(budget.crosses_at, now, budget.time_zone)
    return line((f"limit at {when} (in {coarse(budget.crosses_at - now)})", "warn"))
