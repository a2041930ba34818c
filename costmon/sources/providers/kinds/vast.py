"""Vast.ai: what each UTC day was charged by contract, and the prepaid credit.

Source: Vast.ai's API reference and command line tool: `GET /api/v0/users/current/` (`credit`, dollars; `balance` is another
thing) and `GET /api/v0/charges/`. One row sums a contract over all the days asked for, so each day is asked for by itself.
The user object also holds the account's keys: only `credit` is taken out of it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from costmon.sources.providers.pages import pages
from costmon.sources.providers.parts import days, figure, summed, unless_refused
from costmon.sources.providers.protocol import (
    Balance,
    Bucket,
    Client,
    Figure,
    Kind,
    Reading,
    Settings,
    Window,
)
from costmon.sources.providers.reading import cursor, fail, money, need, rows, table, text, unix

_MOST = 100


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Charges by day, kind of contract and contract; the credit if the key may read the user."""
    asked = days(window)
    figures = [found for bucket in asked for found in await _charges(client, bucket)]
    credit, notes = await unless_refused(_credit(client), "no balance")
    return Reading(asked, figures, balances=[] if credit is None else [Balance(credit, "USD")], notes=notes)


async def _credit(client: Client) -> Decimal:
    user = table(await client.get("/api/v0/users/current/"), "answer")
    return money(need(user, "credit"), "credit")


async def _charges(client: Client, bucket: Bucket) -> list[Figure]:
    first, last = int(bucket.start.timestamp()), int(bucket.end.timestamp()) - 1
    query = [
        ("select_filters", json.dumps({"day": {"gte": first, "lte": last}}, separators=(",", ":"))),
        ("latest_first", "true"),
        ("limit", str(_MOST)),
        ("format", "table"),
    ]

    async def ask(token: str) -> Any:
        return await client.get("/api/v0/charges/", [*query, ("after_token", token)] if token else query)

    found = [
        _figure(row, bucket)
        async for page in pages(ask, _next)
        for row in rows(page.get("results"), "results")
    ]
    return summed(found)


def _next(page: dict[str, Any]) -> str:
    if "next_token" not in page:
        fail("next_token", "is missing")
    return cursor(page["next_token"], "next_token")


def _figure(row: dict[str, Any], bucket: Bucket) -> Figure:
    start = unix(need(row, "start", "results"), "results.start")
    end = unix(need(row, "end", "results"), "results.end")
    if not bucket.start <= start < bucket.end or end > bucket.end:
        fail("results.start", "and end reach beyond the one day asked for")
    return figure(
        bucket,
        money(need(row, "amount", "results"), "results.amount"),
        label=text(row.get("type"), "results.type"),
        project=text(row.get("source"), "results.source"),
    )


KIND = Kind(
    name="vast",
    provider="vast",
    title="Vast.ai",
    base_url="https://console.vast.ai",
    fetch=fetch,
    key="an API key that may read the user and billing",
    key_from="Keys on cloud.vast.ai",
    env=("VAST_API_KEY",),
    every_s=600,
    at_least_s=60,
    lacks=("charges appear some time after they were made",),
)
