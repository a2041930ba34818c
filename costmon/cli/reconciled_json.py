"""How `costmon reconcile` tells programs what it found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from costmon.cli.reconciled import Silent, compared, groups, models
from costmon.insight.reconcile import worst
from costmon.insight.values import UNSAID, Day, Line, Span, Tokens, Total, add, total_of
from costmon.monitor import bills
from costmon.monitor.reconciled import Reconciliation
from costmon.shim.money import Money
from costmon.shim.timestamps import to_datetime, to_iso, to_us

if TYPE_CHECKING:
    from costmon.monitor.bills import Traits
    from costmon.store import Store


def to_json(
    store: Store, found: Reconciliation, silent: Sequence[Silent], start: int, end: int, by: str | None
) -> dict[str, Any]:
    """Everything exact; days are [start, end)."""
    days = [_day_json(day, lines=by != "day") for day in found.days]
    answer: dict[str, Any] = {
        "at": to_iso(store.now()),
        "since": f"{to_datetime(start):%Y-%m-%d}",
        "until": f"{to_datetime(end) - timedelta(days=1):%Y-%m-%d}",
        "time_zone": "UTC",
    }
    if by == "model":
        answer["models"] = [
            _model_json(group[0], of, group)
            for group in groups(found.days)
            for _, of in models(compared(group))
        ]
    else:
        answer["days"] = days
    answer["totals"] = [total_json(total) for total in found.totals]
    answer["all"] = [
        {
            "currency": one.currency,
            "bill": _json(one.bill, one.currency),
            "billed": _json(one.billed, one.currency),
            "compared": _json(one.compared, one.currency),
            "logged": _span_json(one.own, one.currency),
            "unlogged": _span_json(one.unlogged, one.currency),
            "complete": one.complete,
        }
        for one in found.sums
    ]
    answer["sources"] = [_source_json(one) for one in bills.read_traits(store.db)]
    answer["without_source"] = [{**one, "how": one["how"] or None} for one in silent]
    answer["problems"] = list(found.problems)
    return answer


def _json(nano: int | None, currency: str) -> dict[str, str] | None:
    return None if nano is None else Money(nano, currency).to_json()


def _span_json(span: Span, currency: str) -> dict[str, Any] | None:
    if span == UNSAID:
        return None
    return {name: _json(value, currency) for name, value in span._asdict().items()}


def _day_json(day: Day, *, lines: bool) -> dict[str, Any]:
    return {
        "provider": day.provider,
        "sources": list(day.sources),
        "start": to_iso(to_us(day.start)),
        "end": to_iso(to_us(day.end)),
        "state": day.state,
        "billed": _json(day.billed, day.currency),
        "tax": _json(day.tax, day.currency),
        "credit": _json(day.credit, day.currency),
        "bill": _json(day.bill, day.currency),
        "logged": _span_json(day.own, day.currency),
        "unlogged": _span_json(day.unlogged, day.currency),
        "at_least": day.least,
        "derived": day.derived,
        "added": day.adds,
        "why": list(day.why),
        **({"models": [_line_json(line, day.currency) for line in day.lines]} if lines else {}),
    }


def _line_json(line: Line, currency: str) -> dict[str, Any]:
    return {
        "model": line.model or None,
        "label": line.label or None,
        "billed": _json(line.billed, currency),
        "logged": _span_json(line.own, currency),
        "unlogged": _span_json(line.unlogged, currency),
        "unpriced": line.unpriced,
        "estimated": line.estimated,
        "billed_usage": _tokens_json(line.billed_tokens),
        "logged_usage": _tokens_json(line.own_tokens),
        "largest": [
            {
                "project": one.project or None,
                "key": one.key or None,
                "billed": _json(one.amount, currency),
                "tokens": one.tokens,
            }
            for one in line.likely
        ],
        "why": line.why or None,
    }


def _tokens_json(tokens: Tokens) -> dict[str, int | None] | None:
    if tokens == Tokens():
        return None
    return {
        "requests": tokens.requests,
        "input_tokens": tokens.input,
        "cached_tokens": tokens.cached,
        "output_tokens": tokens.output,
    }


def _model_json(first: Day, of: Sequence[tuple[Line, Day]], days: Sequence[Day]) -> dict[str, Any]:
    lines = [line for line, _ in of]
    return {
        "provider": first.provider,
        "sources": list(first.sources),
        "model": lines[0].model or None,
        "label": lines[0].label or None,
        "days": len(of),
        "days_not_compared": sum(day.unlogged.best is None for day in days),
        "state": worst(day.state for _, day in of),
        "billed": _json(total_of([line.billed for line in lines]), first.currency),
        "logged": _span_json(add(line.own for line in lines), first.currency),
        "unlogged": _span_json(add(line.unlogged for line in lines), first.currency),
        "unpriced": sum(line.unpriced for line in lines),
        "added": first.adds,
    }


def total_json(total: Total) -> dict[str, Any]:
    """One provider's month."""
    currency = total.currency
    return {
        "provider": total.provider,
        "sources": list(total.sources),
        "month": total.month,
        "state": total.state,
        "billed": _json(total.billed, currency),
        "tax": _json(total.tax, currency),
        "credit": _json(total.credit, currency),
        "bill": _json(total.bill, currency),
        "compared": _json(total.compared, currency),
        "logged": _span_json(total.own, currency),
        "unlogged": _span_json(total.unlogged, currency),
        "days": total.days,
        "days_without_figure": total.unread,
        "days_not_compared": total.unknown,
        "at_least": total.least,
        "derived": total.derived,
        "added": total.adds,
    }


def _source_json(one: Traits) -> dict[str, Any]:
    row = one.row
    return {
        "name": row.name,
        "kind": row.kind,
        "provider": row.provider,
        "state": row.state or None,
        "reason": row.reason or None,
        "read_at": to_iso(row.ok_at) if row.ok_at is not None else None,
        "enabled": one.enabled,
        "overlaps": one.overlaps,
        "lacks": list(one.lacks),
        "notes": list(row.notes),
    }
