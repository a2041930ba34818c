"""How `costmon reconcile` shows what it found: a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from costmon.cli.values import table, wrapped
from costmon.insight.reconcile import worst
from costmon.insight.values import Day, Line, Span, Total, add, total_of
from costmon.monitor import bills
from costmon.monitor.reconciled import Reconciliation, stretch_text
from costmon.shim.events import clean
from costmon.shim.money import format_money

if TYPE_CHECKING:
    from costmon.monitor.bills import Traits
    from costmon.store import Store

_LEAST_NAME = 12
Silent = dict[str, object]


def to_text(store: Store, found: Reconciliation, silent: Sequence[Silent], by: str | None) -> list[str]:
    """The lines of the whole answer, at most 80 columns wide."""
    traits = bills.read_traits(store.db)
    lines: list[str] = []
    for group in groups(found.days):
        lines += [*_group_text(group, found.totals, by, traits, store.now()), ""]
    if len([total for total in found.totals if total.adds]) > 1:
        for one in found.sums:
            mark = "" if one.complete else "≥ "
            text = f"all providers: bill {mark}{format_money(one.bill, one.currency)}, of which unlogged "
            lines.append(f"{text}{mark}{_money(one.unlogged.best, one.currency)}")
        lines.append("")
    lines += _lacking(traits, {day.provider for day in found.days})
    lines += [line for problem in found.problems for line in wrapped(problem, "").splitlines()]
    lines += _silent_text(silent)
    if not found.days:
        lines = [_nothing(traits), *lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def groups(days: Iterable[Day]) -> list[list[Day]]:
    """By provider, sources and currency."""
    found: dict[tuple[object, ...], list[Day]] = {}
    for day in days:
        found.setdefault(_of(day), []).append(day)
    return list(found.values())


def _group_text(
    days: list[Day], totals: Iterable[Total], by: str | None, traits: Iterable[Traits], now: int
) -> list[str]:
    first = days[0]
    head = clean(first.provider, 40)
    if first.sources != (first.provider,):
        head += f" · {', '.join(first.sources)}"
    head += f" · {_age(traits, first, now)}"
    if not first.adds:
        head += " · shown, not added: others bill the same"
    if first.derived:
        head += " · derived from its balance"
    told = [day for day in days if not _is_empty(day)]
    rows = _by_model(told) if by == "model" else _by_day(told) if by == "day" else _both(told)
    mine = [
        total for total in totals if (total.provider, total.sources, total.adds, total.currency) == _of(first)
    ]
    rows += [_total_row(total, by, _stretch(total, days)) for total in mine]
    lines = [head, *table(_fitted(rows, 0 if by else 1), left=1 if by else 2)]
    for total in mine:
        lines += _bill_text(total)
    return [*lines, *_why_text(told)]


def _fitted(rows: list[tuple[str, ...]], name: int) -> list[tuple[str, ...]]:
    """The rows with their names, in column `name`, cut so that a line has at most 80 columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = max(_LEAST_NAME, 80 - sum(widths) + widths[name] - 2 * (len(widths) - 1))
    return [(*row[:name], _cut(row[name], room), *row[name + 1 :]) for row in rows]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _is_empty(day: Day) -> bool:
    """Whether nothing was billed, and nothing is known to have been logged."""
    return day.billed == day.bill == 0 and not day.own.best and not any(line.unpriced for line in day.lines)


def _age(traits: Iterable[Traits], day: Day, now: int) -> str:
    """How long ago the source that was read the longest ago was."""
    read = [one.row.ok_at for one in traits if one.name in day.sources]
    if not read or None in read:
        return "never read"
    seconds = max(0, now - min(at for at in read if at is not None)) // 1_000_000
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"read {seconds // size} {unit} ago"
    return "read just now"


def _of(day: Day) -> tuple[object, ...]:
    return day.provider, day.sources, day.adds, day.currency


def _both(days: list[Day]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("DAY", "MODEL", "BILLED", "LOGGED", "UNLOGGED", "STATE")]
    for day in days:
        name = stretch_text(day)
        for line in day.lines:
            cells = _cells(line.billed, line.own, line.unlogged, [line], day)
            rows.append((name, clean(line.name, 200), *cells, day.state))
        if not day.lines:
            rows.append((name, "-", *_cells(day.billed, day.own, day.unlogged, [], day), day.state))
    return rows


def _by_day(days: list[Day]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("DAY", "BILLED", "LOGGED", "UNLOGGED", "STATE")]
    for day in days:
        cells = _cells(day.billed, day.own, day.unlogged, day.lines, day)
        rows.append((stretch_text(day), *cells, day.state))
    return rows


def _by_model(days: list[Day]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("MODEL", "BILLED", "LOGGED", "UNLOGGED", "STATE")]
    for name, of in models(compared(days)):
        lines = [line for line, _ in of]
        cells = _cells(
            total_of([line.billed for line in lines]),
            add(line.own for line in lines),
            add(line.unlogged for line in lines),
            lines,
            *(day for _, day in of),
        )
        rows.append((clean(name, 200), *cells, worst(day.state for _, day in of)))
    return rows


def compared(days: list[Day]) -> list[Day]:
    """The days of which both sides are known; all, if there is none."""
    return [day for day in days if day.unlogged.best is not None] or days


def models(days: Iterable[Day]) -> list[tuple[str, list[tuple[Line, Day]]]]:
    """By model, or the label of what names none, the largest bill first."""
    found: dict[str, list[tuple[Line, Day]]] = {}
    for day in days:
        for line in day.lines:
            found.setdefault(line.name, []).append((line, day))
    return sorted(found.items(), key=lambda item: (-sum(line.billed or 0 for line, _ in item[1]), item[0]))


def _stretch(total: Total, days: Iterable[Day]) -> str:
    """'2026-11', or '7 days' where the days shown do not begin with the month."""
    of = [day for day in days if f"{day.start:%Y-%m}" == total.month]
    return (
        total.month if any(day.start.day == 1 for day in of) else f"{total.days} day{'s' * (total.days != 1)}"
    )


def _total_row(total: Total, by: str | None, stretch: str) -> tuple[str, ...]:
    mark = "≥ " if total.least else "~" if total.derived else ""
    if total.days == total.unread + total.unknown:
        cells = (
            "?" if total.days == total.unread else mark + format_money(total.billed, total.currency),
            "?",
            "?",
        )
    else:
        low, _, high = total.unlogged
        less = "~" if low is high is None else "≥ " if high is None else "≤ " if low is None else ""
        own_mark = "≥ " if total.own.high is None else ""
        cells = (
            mark + format_money(total.compared, total.currency),
            own_mark + _money(total.own.best, total.currency),
            less + _money(total.unlogged.best, total.currency),
        )
    what = "compared" if 0 < total.unread + total.unknown < total.days else "total"
    names = (stretch, what) if not by else (f"{stretch} {what}",)
    return (*names, *cells, "")


def _cells(
    billed: int | None, own: Span, unlogged: Span, lines: Iterable[Line], *days: Day
) -> tuple[str, ...]:
    lines = list(lines)
    currency = days[0].currency
    least = any(day.least for day in days)
    unpriced = any(line.unpriced for line in lines)
    estimated = any(line.estimated for line in lines)
    mark = "≥ " if least else "~" if days[0].derived else ""
    own_mark = "≥ " if unpriced else "~" if estimated else ""
    both = unlogged.high is None and unpriced
    less = (
        "~" if both else "≥ " if unlogged.high is None else "≤ " if unpriced or unlogged.low is None else ""
    )
    return (
        "?" if billed is None else mark + format_money(billed, currency),
        "?" if own.best is None else own_mark + format_money(own.best, currency),
        "?" if unlogged.best is None else less + format_money(unlogged.best, currency),
    )


def _money(nano: int | None, currency: str) -> str:
    return "?" if nano is None else format_money(nano, currency)


def _bill_text(total: Total) -> list[str]:
    lines = []
    if total.unread or total.unknown:
        text = (
            f"{total.days - total.unread - total.unknown} of {total.days} days of {total.month} are compared"
        )
        text += f"; {total.unread} without a figure" if total.unread else ""
        text += f"; {total.unknown} not known to the ledger" if total.unknown else ""
        lines += wrapped(text).splitlines()
    if not total.tax and not total.credit:
        return lines
    parts = f"usage {format_money(total.billed, total.currency)}"
    for name, nano in (("tax", total.tax), ("credit", total.credit)):
        if nano:
            parts += f" {'-' if nano < 0 else '+'} {name} {format_money(abs(nano), total.currency)}"
    mark = "≥ " if total.unread or total.least else ""
    text = f"bill of these days of {total.month}: {mark}{format_money(total.bill, total.currency)} = {parts}"
    return [*lines, *wrapped(text).splitlines()]


def _why_text(days: Iterable[Day]) -> list[str]:
    """Each reason once, with the days it is of."""
    of: dict[str, list[str]] = {}
    for day in days:
        for why in (*day.why, *(f"{clean(line.name, 200)}: {line.why}" for line in day.lines if line.why)):
            of.setdefault(why, []).append(stretch_text(day))
    return [line for why, names in of.items() for line in wrapped(f"{_some(names)}: {why}").splitlines()]


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _lacking(traits: Iterable[Traits], providers: set[str]) -> list[str]:
    lines = []
    for one in traits:
        if one.row.provider not in providers:
            continue
        texts = [*one.lacks, *one.row.notes]
        if one.row.state not in ("", "ok"):
            texts.insert(0, f"not read: {one.row.reason}")
        if not one.enabled:
            texts.insert(0, "switched off")
        lines += [
            line for text in dict.fromkeys(texts) for line in wrapped(f"{one.name}: {text}", "").splitlines()
        ]
    return [*lines, ""] if lines else []


def _silent_text(silent: Iterable[Silent]) -> list[str]:
    lines: list[str] = []
    for one in silent:
        calls = one["calls"]
        text = f"{clean(one['provider'], 60)} ({calls} call{'s' * (calls != 1)}): no figures to compare with"
        why = str(one["why"] or "").rstrip(".")
        if one["how"]:
            text += f"; {one['how']} gets them"
        elif not why:
            text += '; drop its invoices into a folder and add a source of kind = "file"'
        lines += wrapped(f"{text}. {why}".rstrip(". ") + ".", "").splitlines()
    return lines


def _nothing(traits: Sequence[Traits]) -> str:
    if traits:
        return "Nothing to compare in these days: no figure was read, and no app called those providers."
    return "No source of provider figures yet: costmon keys set openai adds one, costmon poll --kinds lists them."
