"""OpenAI: what an organization is billed for each UTC day, and the tokens behind it.

Source: OpenAI's OpenAPI document, `GET /organization/costs` and `/organization/usage/{kind}` (2026-08). Amounts are dollars
and have been seen as JSON numbers and as numeric texts. `limit` counts buckets and defaults to 7; the document allows 180
for costs, but clients that read them in the field keep to 31 days a request, and so does this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from costmon.sources.providers.daily import DAY, counted, enveloped, parts, present
from costmon.sources.providers.protocol import (
    CREDIT,
    USAGE,
    Bucket,
    Client,
    Figure,
    Kind,
    Reading,
    Settings,
    SourceError,
    Usage,
    Window,
)
from costmon.sources.providers.reading import count, currency, money, need, table, text, unix

_TOKEN_KINDS = ("completions", "embeddings")
_COSTS_BY = ("line_item", "project_id", "api_key_id")
_TOKENS_BY = ("model", "project_id", "api_key_id")
_MOST = 31
_ADMIN = "an owner of the organization makes one under Settings → Organization → Admin keys"


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Costs by day, line item, project and key; tokens by day, model, project and key."""
    buckets: list[Bucket] = []
    figures: list[Figure] = []
    async for bucket, results in _days(client, "/organization/costs", window, _COSTS_BY, every_day=True):
        buckets.append(bucket)
        figures += [_figure(bucket, row) for row in results]
    usage, notes = await counted(_usage(client, window))
    return Reading(buckets, figures, usage, notes=notes)


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """One day of costs: needs the scope api.usage.read, which only Admin keys have."""
    await client.get("/organization/costs", _query(Window(window.end - DAY, window.end, window.now), ()))
    return Reading()


async def _usage(client: Client, window: Window) -> AsyncIterator[Usage]:
    for kind in _TOKEN_KINDS:
        async for bucket, results in _days(client, f"/organization/usage/{kind}", window, _TOKENS_BY):
            for row in results:
                yield _tokens(bucket, row)


def _days(
    client: Client, path: str, window: Window, by: tuple[str, ...], *, every_day: bool = False
) -> AsyncIterator[tuple[Bucket, list[dict[str, Any]]]]:
    async def ask(part: Window, cursor: str) -> Any:
        query = _query(part, by)
        return await client.get(path, [*query, ("page", cursor)] if cursor else query)

    return enveloped(ask, parts(window, _MOST), ("start_time", "end_time"), unix, every_day=every_day)


def _query(window: Window, by: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        ("start_time", str(int(window.start.timestamp()))),
        ("end_time", str(int(window.end.timestamp()))),
        ("bucket_width", "1d"),
        ("limit", str((window.end - window.start) // DAY)),
        *(("group_by[]", name) for name in by),
    ]


def _figure(bucket: Bucket, row: dict[str, Any]) -> Figure:
    amount = table(need(row, "amount"), "amount")
    value = money(need(amount, "value", "amount"), "amount.value")
    label = text(present(row, "line_item"), "line_item")
    return Figure(
        bucket.start,
        bucket.end,
        value,
        currency(need(amount, "currency", "amount"), "amount.currency"),
        model=_model(label),
        label=label,
        project=text(row.get("project_id"), "project_id"),
        key=text(row.get("api_key_id"), "api_key_id"),
        line=CREDIT if value < 0 else USAGE,
    )


def _tokens(bucket: Bucket, row: dict[str, Any]) -> Usage:
    return Usage(
        bucket.start,
        bucket.end,
        model=text(present(row, "model"), "model"),
        project=text(row.get("project_id"), "project_id"),
        key=text(row.get("api_key_id"), "api_key_id"),
        requests=count(need(row, "num_model_requests"), "num_model_requests"),
        input_tokens=count(need(row, "input_tokens"), "input_tokens"),
        cached_tokens=count(row.get("input_cached_tokens"), "input_cached_tokens"),
        # Embeddings put nothing out, and do not say so.
        output_tokens=count(row.get("output_tokens"), "output_tokens"),
    )


def _model(line_item: str) -> str:
    """'gpt-5-mini-2025-08-07, cached input' names its model before the comma; other labels name none."""
    head, comma, _ = line_item.partition(", ")
    return head if comma and " " not in head else ""


def _explain(status: int, body: Any) -> SourceError | None:
    error = body.get("error") if isinstance(body, dict) else None
    said = error if isinstance(error, dict) else {}
    # A missing scope has been seen with either status.
    if status in (401, 403) and "api.usage.read" in str(said.get("message")):
        return SourceError(
            "forbidden",
            f"OpenAI refuses: the key lacks the scope api.usage.read, which only an Admin key has; {_ADMIN}",
            status=status,
        )
    if status == 401:
        return SourceError(
            "auth",
            "OpenAI does not know the key: it is mistyped, revoked or for another region; costs need an Admin key "
            f"(sk-admin-…): {_ADMIN}",
            status=status,
        )
    if status == 403:
        return SourceError(
            "forbidden",
            "OpenAI refuses the key, or this machine's address or country; costs need an Admin key (sk-admin-…) with "
            f"all permissions or the scope api.usage.read: {_ADMIN}",
            status=status,
        )
    if status == 404:
        return SourceError(
            "not_found",
            "there are no OpenAI costs at this address; check base_url (it ends in /v1), a gateway may not pass them on",
            status=status,
        )
    if status == 429 and said.get("code") in (
        *("insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded"),
    ):
        return SourceError(
            "out_of_money", "OpenAI says the account is out of money; add credit there", status=status
        )
    return None


KIND = Kind(
    name="openai",
    provider="openai",
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    fetch=fetch,
    verify=verify,
    key="an Admin key (sk-admin-…) of the organization",
    key_from="Settings → Organization → Admin keys on platform.openai.com, as an owner of the organization",
    env=("OPENAI_ADMIN_KEY",),
    wrong_keys={
        "sk-proj-": "a project key, which may call models but not read costs",
        "sk-svcacct-": "a service account's key, which may call models but not read costs",
        "sk-ant-": "a key of Anthropic",
        "sk-or-": "a key of OpenRouter",
    },
    explain=_explain,
    every_s=600,
    at_least_s=60,
    # OpenAI does not say how late costs may come; yesterday's have been seen to grow.
    settles_after=timedelta(days=2),
    lacks=(
        "today's figure is behind by minutes to hours",
        "tokens are told for text and embeddings only; the money is complete",
        "a prepaid balance cannot be read with a key",
    ),
)
