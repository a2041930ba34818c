"""Fireworks: what an account was billed each UTC day, by line item.

Source: docs.fireworks.ai, `GET /accounts` and `/accounts/{id}/billing/summary`. The summary is one sum of its range; what
its daily buckets look like is not documented, so each day is asked for by itself. An account name that is not the key's may
be answered with nothing, which would look like zero: it is looked for among the key's accounts first.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from costmon.sources.providers.pages import pages
from costmon.sources.providers.parts import days, figure, id_of, id_option, or_zero, summed
from costmon.sources.providers.protocol import (
    Bucket,
    Client,
    Figure,
    Kind,
    Option,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import currency, cursor, decimal, fail, money, need, rows, table, text


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Figures by day, category, series and what they are grouped by."""
    account = await _account(client, settings)
    asked = days(window)
    return Reading(asked, [found for bucket in asked for found in await _figures(client, account, bucket)])


async def _account(client: Client, settings: Settings) -> str:
    told = id_option(settings, "account", "my-account")
    found = await _accounts(client)
    if told in found or (not told and len(found) == 1):
        return told or found[0]
    name = f"[source.{settings.name}] account"
    known = ", ".join(found)
    if not found:
        raise SourceError("config", "the key sees no Fireworks account; make another key")
    if told:
        raise SourceError("config", f'{name} is "{told}", but the key is of {known}')
    raise SourceError("config", f"the key sees several Fireworks accounts; set {name} to one of {known}")


async def _accounts(client: Client) -> list[str]:
    async def ask(token: str) -> Any:
        return await client.get("/accounts", [("pageToken", token)] if token else [])

    return [
        id_of(text(need(row, "name", "accounts"), "accounts.name").rpartition("/")[2], "accounts.name")
        async for page in pages(ask, _next)
        for row in rows(page.get("accounts"), "accounts")
    ]


def _next(page: dict[str, Any]) -> str:
    return cursor(page.get("nextPageToken"), "nextPageToken")


async def _figures(client: Client, account: str, bucket: Bucket) -> list[Figure]:
    query = [
        ("startTime", f"{bucket.start:%Y-%m-%dT%H:%M:%SZ}"),
        ("endTime", f"{bucket.end:%Y-%m-%dT%H:%M:%SZ}"),
    ]
    answer = table(await client.get(f"/accounts/{account}/billing/summary", query), "answer")
    return summed(_figure(row, bucket) for row in rows(answer.get("lineItems"), "lineItems"))


def _figure(row: dict[str, Any], bucket: Bucket) -> Figure:
    cost = table(need(row, "totalCost", "lineItems"), "lineItems.totalCost")
    category, series, key, value = (
        text(row.get(name), f"lineItems.{name}")
        for name in ("category", "series", "groupingKey", "groupingValue")
    )
    return figure(
        bucket,
        _amount(cost),
        currency(need(cost, "currencyCode", "lineItems.totalCost"), "lineItems.totalCost.currencyCode"),
        model=value if key.startswith("model") else "",
        label=", ".join(part for part in (value, category, series) if part),
    )


def _amount(cost: dict[str, Any]) -> Decimal:
    """Whole units and nanos of the same sign; either is left out when it is zero."""
    units = money(or_zero(cost, "units"), "lineItems.totalCost.units")
    nanos = decimal(or_zero(cost, "nanos"), "lineItems.totalCost.nanos")
    if abs(nanos) >= 10**9 or nanos != nanos.to_integral_value() or units != units.to_integral_value():
        fail("lineItems.totalCost", "is no amount in units and nanos")
    if units * nanos < 0:
        fail("lineItems.totalCost", "has units and nanos of different signs")
    return units + nanos.scaleb(-9)


KIND = Kind(
    name="fireworks",
    provider="fireworks",
    title="Fireworks",
    base_url="https://api.fireworks.ai/v1",
    fetch=fetch,
    key="an API key of the account",
    key_from="Settings → API Keys on app.fireworks.ai",
    env=("FIREWORKS_API_KEY",),
    options=(Option("account", "the account's name, as in accounts/NAME; needed when the key sees several"),),
    every_s=1800,
    at_least_s=300,
    lacks=("a prepaid balance cannot be read with a key", "which key spent it is not told"),
)
