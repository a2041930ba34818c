"""What `costmon poll --json` says of a source. Money is {amount, currency}, times are UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from costmon.cli.polled import Round, Shown
from costmon.monitor.figures import is_ahead
from costmon.monitor.snapshot import BalanceStatus, SourceStatus
from costmon.shim.money import Money
from costmon.shim.timestamps import to_iso, to_us
from costmon.store import figures as rows


def to_json(one: Round) -> dict[str, Any]:
    """One source with its figures; every figure names its source, window, age and state."""
    return {
        **status_json(one.status, one.now),
        "said": one.said or None,
        "round": {"requests": one.requests, "bytes": one.bytes},
        "figures": [figure for shown in one.buckets for figure in _figures_json(shown, one.now)],
        "buckets": [_bucket_json(shown, one.now) for shown in one.buckets],
        "usage": [_usage_json(row) for row in one.usage],
    }


def _figures_json(shown: Shown, now: int) -> Iterator[dict[str, Any]]:
    for row in shown.figures:
        yield {
            **_bucket_json(shown, now),
            "line": row.line,
            "model": row.model or None,
            "label": row.label or None,
            "project": row.project or None,
            "api_key": row.api_key or None,
            "cost": Money(row.amount, row.currency).to_json(),
        }


def _bucket_json(shown: Shown, now: int) -> dict[str, Any]:
    bucket = shown.bucket
    return {
        "source": bucket.source,
        "start": to_iso(bucket.start_at),
        "end": to_iso(bucket.end_at),
        "state": shown.state,
        "complete": bucket.complete,
        "read_at": to_iso(bucket.fetched_at),
        "age_seconds": _age(bucket.fetched_at, now),
        "revisions": bucket.revisions,
    }


def _usage_json(row: rows.UsageRow) -> dict[str, Any]:
    return {
        "start": to_iso(row.start_at),
        "end": to_iso(row.end_at),
        "model": row.model or None,
        "project": row.project or None,
        "api_key": row.api_key or None,
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
    }


def status_json(status: SourceStatus, now: int) -> dict[str, Any]:
    """One source as it stands."""
    return {
        "name": status.name,
        "kind": status.kind,
        "provider": status.provider,
        "host": status.host or None,
        "state": status.state or "never",
        "reason": status.reason or None,
        "stale": status.stale,
        "reading": status.reading,
        "polled_at": _time(status.polled_at),
        "read_at": _time(status.ok_at),
        "age_seconds": _age(to_us(status.ok_at), now) if status.ok_at is not None else None,
        "next_at": _time(status.next_at),
        "every_seconds": int(status.every.total_seconds()),
        "this_hour": {
            "rounds": status.rounds_hour,
            "requests": status.requests_hour,
            "bytes": status.bytes_hour,
        },
        "last_24_hours": {
            "rounds": status.rounds_day,
            "requests": status.requests_day,
            "bytes": status.bytes_day,
            "failures": status.failures_day,
        },
        "fee": status.fee.to_json() if status.fee is not None else None,
        "fees_last_24_hours": status.fees_day.to_json() if status.fees_day is not None else None,
        "month": status.month.to_json() if status.month is not None else None,
        "month_others": [money.to_json() for money in status.month_others],
        "month_state": status.month_state,
        "month_missing_days": status.month_missing_days,
        "overlaps": status.overlaps,
        "balances": [_balance_json(balance) for balance in status.balances],
        "notes": list(status.notes),
        "lacks": list(status.lacks),
    }


def _age(at: int, now: int) -> int | None:
    """None where a clock that was ahead told it."""
    return None if is_ahead(at, now) else max(0, now - at) // 1_000_000


def _balance_json(balance: BalanceStatus) -> dict[str, Any]:
    return {
        "label": balance.label or None,
        "amount": f"{balance.amount:f}",
        "unit": balance.unit,
        "limit": f"{balance.limit:f}" if balance.limit is not None else None,
        "per_hour": f"{balance.per_hour:f}" if balance.per_hour is not None else None,
        "spendable": balance.spendable,
        "resets_at": _time(balance.resets_at),
        "seen_at": _time(balance.seen_at),
        "age_seconds": int(balance.age.total_seconds()),
        "run_out": _time(balance.run_out),
    }


def time_of(at_us: int) -> str:
    return to_iso(at_us)


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None
