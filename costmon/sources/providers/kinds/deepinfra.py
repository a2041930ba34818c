"""DeepInfra: what each month cost so far, and what is left of the prepaid credit.

Source: `GET /payment/usage` and `/payment/checklist` as clients use them. Two units side by side: `total_cost` is in cents,
the checklist in dollars. Its ledger is turned: a negative `stripe_balance` is credit, a positive one is owed; `recent` is
what was spent and is not billed yet.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from costmon.sources.providers.parts import figure
from costmon.sources.providers.protocol import (
    MONTH,
    Balance,
    Bucket,
    Client,
    Figure,
    Kind,
    Reading,
    Settings,
    Window,
)
from costmon.sources.providers.reading import fail, money, need, rows, table, text

_PERIOD = re.compile(r"(20[0-9]{2})\.(0?[1-9]|1[0-2])")
_CENTS = 2


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """A figure a month, of all models together, and the credit that is left."""
    first = _month(window.start.year, window.start.month)
    this = _month(window.now.year, window.now.month)
    since = "current" if first == this else f"{first.start:%Y.%m}"
    answer = table(await client.get("/payment/usage", [("from", since)]), "answer")
    told = [_told(row) for row in rows(answer.get("months"), "months")]
    if len({bucket for bucket, _ in told}) < len(told):
        fail("months", "tell a month twice")
    asked = [(bucket, cost) for bucket, cost in told if first.start <= bucket.start <= this.start]
    figures: list[Figure] = [figure(bucket, cost) for bucket, cost in asked if cost]
    balance, notes = await _balance(client)
    return Reading([bucket for bucket, _ in asked], figures, balances=[balance], notes=notes)


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """The balance: one request."""
    balance, notes = await _balance(client)
    return Reading(balances=[balance], notes=notes)


def _told(row: dict[str, Any]) -> tuple[Bucket, Decimal]:
    period = _PERIOD.fullmatch(text(need(row, "period", "months"), "months.period"))
    if period is None:
        fail("months.period", "is no month")
    cost = money(need(row, "total_cost", "months"), "months.total_cost", scale=_CENTS)
    return _month(int(period[1]), int(period[2])), cost


def _month(year: int, month: int) -> Bucket:
    start = datetime(year, month, 1, tzinfo=UTC)
    return Bucket(start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))


async def _balance(client: Client) -> tuple[Balance, list[str]]:
    answer = table(await client.get("/payment/checklist", [("compute_owed", "true")]), "answer")
    ledger, recent = (money(need(answer, name), name) for name in ("stripe_balance", "recent"))
    left = -ledger - recent
    notes = [f"{-left:.2f} USD are owed to DeepInfra"] if left < 0 else []
    suspended = need(answer, "suspended")
    if not isinstance(suspended, bool):
        fail("suspended", "is neither true nor false")
    if suspended:
        notes.append("DeepInfra has suspended the account: calls are refused until it is paid")
    return Balance(left, "USD"), notes


KIND = Kind(
    name="deepinfra",
    provider="deepinfra",
    title="DeepInfra",
    base_url="https://api.deepinfra.com",
    fetch=fetch,
    verify=verify,
    key="an API key, the one apps use",
    key_from="API Keys on deepinfra.com/dash",
    env=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
    every_s=300,
    at_least_s=60,
    series=MONTH,
    lacks=(
        "no spend by day: the figure is the month's, rounded to cents",
        "which model spent it is not told",
    ),
)
