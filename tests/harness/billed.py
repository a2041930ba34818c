"""Provider figures and logged calls put straight into a ledger, at any time of the past."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from costmon.shim.money import to_nano

HOUR = 3_600_000_000
DAY = 24 * HOUR
_numbers = count()


def at(text: str) -> int:
    """'2026-11-20' or '2026-11-20 13:45' in UTC as µs."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def nano(dollars: str | int) -> int:
    return to_nano(Decimal(dollars))


def add_source(
    db: sqlite3.Connection,
    name: str = "openai",
    *,
    provider: str = "",
    kind: str = "",
    read_at: int | None = None,
    every_us: int = 600_000_000,
    state: str = "ok",
    reason: str = "",
    notes: Iterable[str] = (),
    **about: Any,
) -> None:
    """As the poller writes a source; `about` overrides what it says of the kind."""
    told = {
        "enabled": True,
        "title": name,
        "series": "day",
        "settles_us": 2 * DAY,
        "lacks": [],
        "overlaps": False,
    }
    db.execute(
        "insert into source (name, kind, provider, about, every_us, state, reason, polled_at, ok_at, notes)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(name, kind or name, provider or name, json.dumps({**told, **about}), every_us, state, reason),
            *(read_at, read_at, json.dumps(list(notes))),
        ),
    )


def add_bucket(
    db: sqlite3.Connection,
    day: str,
    *figures: dict[str, Any],
    source: str = "openai",
    read_at: int,
    days: int = 1,
    complete: bool = True,
    first_at: int | None = None,
) -> None:
    """One bucket; a figure is {"amount": "1.5", "model": …, "label": …, "project": …, "key": …, "line": …}."""
    start, end = at(day), at(day) + days * DAY
    db.execute(
        "insert into figure_bucket (source, start_at, end_at, first_at, fetched_at, grew_at, complete)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        (source, start, end, read_at if first_at is None else first_at, read_at, read_at, int(complete)),
    )
    for figure in figures:
        db.execute(
            "insert into figure (source, start_at, end_at, line, model, label, project, api_key, currency, amount)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(source, start, end, figure.get("line", "usage"), figure.get("model", "")),
                *(figure.get("label", ""), figure.get("project", ""), figure.get("key", "")),
                *(figure.get("currency", "USD"), nano(figure["amount"])),
            ),
        )


def add_usage(db: sqlite3.Connection, day: str, model: str, *, source: str = "openai", **more: Any) -> None:
    """What a provider says was used on one day."""
    counts = (more.get(name) for name in ("requests", "input_tokens", "cached_tokens", "output_tokens"))
    db.execute(
        "insert into figure_usage (source, start_at, end_at, model, project, api_key, requests, input_tokens,"
        " cached_tokens, output_tokens) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(source, at(day), at(day) + DAY, model, more.get("project", ""), more.get("key", "")),
            *counts,
        ),
    )


def add_balance(
    db: sqlite3.Connection,
    first_at: int,
    last_at: int,
    amount: str,
    *,
    source: str = "deepseek",
    unit: str = "USD",
    label: str = "",
    spendable: bool = True,
) -> None:
    db.execute(
        "insert into balance (source, label, unit, first_at, last_at, amount, spendable) values (?, ?, ?, ?, ?, ?, ?)",
        (source, label, unit, first_at, last_at, amount, int(spendable)),
    )


def log_call(
    db: sqlite3.Connection,
    when: int,
    cost: str | None,
    model: str = "gpt-4o-mini",
    *,
    provider: str = "openai",
    currency: str = "USD",
    status: str = "",
    charge: str = "0",
    calls: int = 1,
    source: str = "hook",
) -> None:
    """Calls of an app, settled; `cost` None: of unknown price, and `charge` what enforcement assumes of it. Of the `source`
    'meter' they are what a resource cost."""
    for _ in range(calls):
        db.execute(
            """insert into event (id, created_at, settled_at, local_day_at, machine, source, app, api, provider, model,
               state, outcome, usage_status, input_tokens, output_tokens, charge, cost, currency, cost_status)
               values (?, ?, ?, ?, 'm', ?, 'bot', 'chat', ?, ?, 'settled', 'ok', 'reported', 100, 10, ?, ?, ?, ?)""",
            (
                *(f"{when:020d}-{next(_numbers)}", when, when, when - when % DAY, source, provider, model),
                *(nano(charge), None if cost is None else nano(cost), currency),
                status or ("unknown" if cost is None else "priced"),
            ),
        )
