"""Everything known of one stretch of a provider's bill: its models, whose the unlogged spend may be, and what is unknown.
Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from costmon.insight.values import Day, Line, Tokens, Total, add, total_of
from costmon.tui import lines as picture
from costmon.tui.format import count, money, safe
from costmon.tui.lines import EMPTY, line, wrapped
from costmon.tui.widgets.reconciled import (
    bill_text,
    draw_models,
    lacking_text,
    likely_text,
    long_text,
    model_row,
    month_text,
)

_MOST = 6
_MEANING = {
    "final": "final: the provider will not change it any more",
    "settling": "settling: it is over, and may still grow",
    "partial": "partial: it is not over, was read before it was, or lacks something",
    "stale": "stale: not final, and its source has not been read for long",
    "unknown": "unknown: there is no figure of the provider",
}
_MONTH = {
    "final": "final: no day of it will change any more",
    "settling": "settling: some of its days may still grow",
    "partial": "partial: some of its days are not over, were read before they were, or lack something",
    "stale": "stale: some of its days are not final, and have not been read for long",
    "unknown": "unknown in part: some of its days have no figure",
}


def title(of: tuple[Day, ...] | Total) -> str:
    """'openai · Friday 20 November 2026'."""
    if isinstance(of, Total):
        return f"{safe(of.provider)} · {month_text(of.month)}"
    return f"{safe(of[0].provider)} · {long_text(of)}"


def details(of: tuple[Day, ...] | Total, days: Iterable[Day], width: int) -> list[picture.Line]:
    """Of a day, of days that are alike, or of a month with its `days`."""
    if isinstance(of, Total):
        return _month(of, list(days), width)
    if len(of) > 1:
        said = f"Nothing was billed and nothing was logged on these {len(of)} days."
        return [*_said(_MEANING.get(of[0].state, of[0].state), width), *_said(said, width)]
    return _day(of[0], width)


def _month(total: Total, days: list[Day], width: int) -> list[picture.Line]:
    lines = _said(_MONTH.get(total.state, total.state), width)
    lines += _said(bill_text(total), width, "strong")
    lacking = lacking_text(total)
    lines += _said(lacking, width, "warn")
    lines += _said("at least this much: some days are told in part" if total.least else "", width, "warn")
    known = [day for day in days if day.unlogged.best is not None]
    return [*lines, *_models(_by_model(known), total.currency, width, total)]


def _day(day: Day, width: int) -> list[picture.Line]:
    lines = _said(_MEANING.get(day.state, day.state), width, "" if day.state != "unknown" else "warn")
    for why in day.why:
        lines += _said(why, width, "warn" if day.least or not day.read else "dim")
    if not day.adds:
        lines += _said("not added to others: they tell, or bill, the same", width, "dim")
    for name, nano in (("tax", day.tax), ("credit", day.credit)):
        amount = day.money(nano)
        if amount is not None and amount.nano:
            lines += _said(f"{name} {money(amount)}, beside the usage below", width)
    if not day.lines and day.read:
        return [*lines, *_said("Nothing was billed and nothing was logged.", width)]
    return [*lines, *_models(day.lines, day.currency, width, day)]


def _models(found: Sequence[Line], currency: str, width: int, of: Day | Total) -> list[picture.Line]:
    if not found:
        return []
    ordered = sorted(found, key=lambda one: (-max(0, one.unlogged.best or 0), -(one.billed or 0), one.name))
    heads, *drawn = draw_models(
        [model_row(one, currency, least=of.least, derived=of.derived) for one in ordered], width
    )
    lines: list[picture.Line] = [EMPTY, *heads]
    for one, rows in zip(ordered, drawn, strict=True):
        lines += [*rows, *_beside(one, currency, width)]
    return lines


def _beside(one: Line, currency: str, width: int) -> list[picture.Line]:
    """What stands below a model: whose it may be, what is unknown of it, and the counts of both sides."""
    lines: list[picture.Line] = []
    if (one.unlogged.best or 0) > 0:
        for likely in one.likely:
            lines += _said(f"  {likely_text(likely, currency)}", width, "warn") if likely.text else []
    for text in (one.why, tokens_text(one)):
        lines += _said(f"  {text}" if text else "", width, "dim")
    return lines


def tokens_text(one: Line) -> str:
    """'counted 1,204 requests, 4.1M in, 320.0k out; logged 1,100, 4.0M, 310.0k' where the provider counts too."""
    both = (("requests", 0), ("in", 1), ("out", 3))
    told = [(name, one.billed_tokens[at], one.own_tokens[at]) for name, at in both]
    told = [(name, theirs, ours) for name, theirs, ours in told if theirs is not None]
    if not told:
        return ""
    theirs = ", ".join(f"{count(number or 0)} {name}" for name, number, _ in told)
    ours = ", ".join(count(number) if number is not None else "?" for _, _, number in told)
    return f"counted {theirs}; logged {ours}"


def _by_model(days: Iterable[Day]) -> list[Line]:
    groups: dict[tuple[str, str], list[Line]] = {}
    for day in days:
        for one in day.lines:
            groups.setdefault((one.model, one.label), []).append(one)
    return [_added(group) for group in groups.values()]


def _added(group: list[Line]) -> Line:
    return Line(
        model=group[0].model,
        label=group[0].label,
        billed=total_of([one.billed for one in group]),
        own=add(one.own for one in group),
        unlogged=add(one.unlogged for one in group),
        calls=sum(one.calls for one in group),
        unpriced=sum(one.unpriced for one in group),
        estimated=sum(one.estimated for one in group),
        billed_tokens=_tokens(one.billed_tokens for one in group),
        own_tokens=_tokens(one.own_tokens for one in group),
    )


def _tokens(found: Iterable[Tokens]) -> Tokens:
    return Tokens(*(total_of(list(column)) for column in zip(*found, strict=True)))


def _said(text: str, width: int, style: str = "") -> list[picture.Line]:
    if not text:
        return []
    indent = "  " if text.startswith("  ") else ""
    return [
        line(indent, *one) for one in wrapped(safe(text.strip()), max(1, width - len(indent)), style, _MOST)
    ]
