"""RunPod: what was billed for each UTC day by resource, and the balance with what is being spent an hour.

Sources: RunPod's OpenAPI document (2026-08), `GET /v2/billing`, dollars as numbers; the balance is in no REST document: the
query on `/graphql` is as clients use it. GraphQL errors come with HTTP 200.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from costmon.sources.providers.daily import day_of
from costmon.sources.providers.parts import days, figure, unless_refused
from costmon.sources.providers.protocol import (
    Balance,
    Bucket,
    Client,
    Figure,
    Kind,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import count, fail, instant, money, need, rows, table

_PARTS = {
    "podGpuAmount": "pod GPU",
    "podCpuAmount": "pod CPU",
    "podDiskAmount": "pod disk",
    "serverlessGpuAmount": "serverless GPU",
    "serverlessCpuAmount": "serverless CPU",
    "serverlessDiskAmount": "serverless disk",
    "serverlessFeeAmount": "serverless fee",
    "storageStandardAmount": "storage",
    "storageHighPerformanceAmount": "fast storage",
    "endpointAmount": "endpoints",
    "clusterGpuAmount": "cluster GPU",
    "clusterDiskAmount": "cluster disk",
    "clusterNetworkingAmount": "cluster network",
}
_QUERY = "query { myself { clientBalance currentSpendPerHr } }"
_DUST = Decimal("1e-9")


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Figures by day and resource; a key that may not use GraphQL brings no balance, and a note."""
    query = [
        ("startTime", f"{window.start:%Y-%m-%dT%H:%M:%SZ}"),
        ("endTime", f"{window.end:%Y-%m-%dT%H:%M:%SZ}"),
        ("bucketSize", "day"),
    ]
    answer = table(await client.get("/v2/billing", query), "answer")
    asked = days(window)
    records = rows(answer.get("records"), "records")
    told_days = [_day(record) for record in records]
    if len(set(told_days)) < len(told_days):
        fail("records", "tell a day twice")
    figures = [
        found
        for record, bucket in zip(records, told_days, strict=True)
        if bucket in asked
        for found in _figures(record, bucket)
    ]
    metadata = answer.get("metadata")
    told = (
        count(table(metadata, "metadata").get("recordCount"), "metadata.recordCount")
        if metadata is not None
        else None
    )
    partial = told is not None and told != len(records)
    balance, notes = await unless_refused(_balance(client), "no balance")
    return Reading(
        asked,
        figures,
        balances=[balance] if balance else (),
        notes=(*notes, *(["RunPod sent fewer records than it counted"] if partial else [])),
        partial=partial,
    )


def _day(record: dict[str, Any]) -> Bucket:
    start, end = (
        instant(need(record, name, "records"), f"records.{name}") for name in ("startTime", "endTime")
    )
    return day_of(start, "records.startTime", end)


def _figures(record: dict[str, Any], bucket: Bucket) -> list[Figure]:
    """Of one day by resource, as long as the parts fit the total, which is what is billed."""
    total = money(need(record, "totalAmount", "records"), "records.totalAmount")
    parts = [
        figure(bucket, money(record[name], f"records.{name}"), label=label)
        for name, label in _PARTS.items()
        if record.get(name) is not None
    ]
    rest = total - sum((part.amount for part in parts), Decimal(0))
    if rest < -_DUST or any(part.amount < 0 for part in parts):
        # Parts that overlap, or a discount that is in none of them: only the total can be trusted.
        parts, rest = [], total
    if abs(rest) > _DUST:
        parts.append(figure(bucket, rest, label="other" if parts else ""))
    return [part for part in parts if part.amount]


async def _balance(client: Client) -> Balance:
    answer = table(await client.post("/graphql", {"query": _QUERY}), "answer")
    if answer.get("errors"):
        raise SourceError("forbidden", "RunPod's GraphQL refuses; the key needs read access to it")
    myself = table(table(answer.get("data"), "data").get("myself"), "data.myself")
    spent = myself.get("currentSpendPerHr")
    return Balance(
        money(need(myself, "clientBalance", "data.myself"), "data.myself.clientBalance"),
        "USD",
        per_hour=None if spent is None else money(spent, "data.myself.currentSpendPerHr"),
    )


KIND = Kind(
    name="runpod",
    provider="runpod",
    title="RunPod",
    base_url="https://api.runpod.io",
    fetch=fetch,
    key="an API key with read access (GraphQL too, for the balance)",
    key_from="Settings → API Keys on console.runpod.io",
    env=("RUNPOD_API_KEY",),
    every_s=300,
    at_least_s=60,
    lacks=("which pod or endpoint spent it is not told",),
)
