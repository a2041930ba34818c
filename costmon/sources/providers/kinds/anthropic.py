"""Anthropic: what an organization is billed for each UTC day, and the tokens behind it.

Source: the guide "Usage and Cost API" and the Admin API reference (Cost Report, Usage Report), with the notebook of the
Claude cookbooks (2026-09). Amounts are cents as decimal texts: "1234.567890" is $12.3456789. A page holds 7 days by default
and 31 at most, empty days too. The latest API version, 2026-10-21, changes nothing that is documented for these reports.
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
    Option,
    Reading,
    Settings,
    SourceError,
    Usage,
    Window,
    header,
)
from costmon.sources.providers.reading import count, currency, fail, instant, money, need, table, text

_COSTS, _TOKENS = "/v1/organizations/cost_report", "/v1/organizations/usage_report/messages"
_COSTS_BY = ("workspace_id", "description")
_TOKENS_BY = ("api_key_id", "workspace_id", "model")
_MOST = 31
_CACHE_WRITES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_ADMIN = (
    "an admin of the organization makes one in the Console under Settings → Admin keys (an account of one's own, without "
    "an organization, has none)"
)


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Costs by day, workspace and description, with their model; tokens by day, workspace, key and model."""
    buckets: list[Bucket] = []
    figures: list[Figure] = []
    async for bucket, results in _days(client, settings, _COSTS, window, _COSTS_BY, every_day=True):
        buckets.append(bucket)
        figures += [_figure(bucket, row) for row in results]
    usage, notes = await counted(_usage(client, settings, window))
    return Reading(buckets, figures, usage, notes=notes)


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """One day of costs."""
    day = Window(window.end - DAY, window.end, window.now)
    await client.get(_COSTS, _query(day, ()), headers=_version(settings))
    return Reading()


async def _usage(client: Client, settings: Settings, window: Window) -> AsyncIterator[Usage]:
    async for bucket, results in _days(client, settings, _TOKENS, window, _TOKENS_BY):
        for row in results:
            yield _tokens(bucket, row)


def _days(
    client: Client,
    settings: Settings,
    path: str,
    window: Window,
    by: tuple[str, ...],
    *,
    every_day: bool = False,
) -> AsyncIterator[tuple[Bucket, list[dict[str, Any]]]]:
    async def ask(part: Window, cursor: str) -> Any:
        query = _query(part, by)
        whole = [*query, ("page", cursor)] if cursor else query
        return await client.get(path, whole, headers=_version(settings))

    return enveloped(ask, parts(window, _MOST), ("starting_at", "ending_at"), instant, every_day=every_day)


def _query(window: Window, by: tuple[str, ...]) -> list[tuple[str, str]]:
    # Only days that end by `ending_at` are told: the coming midnight has today in.
    return [
        ("starting_at", f"{window.start:%Y-%m-%dT00:00:00Z}"),
        ("ending_at", f"{window.end:%Y-%m-%dT00:00:00Z}"),
        ("bucket_width", "1d"),
        ("limit", str((window.end - window.start) // DAY)),
        *(("group_by[]", name) for name in by),
    ]


def _version(settings: Settings) -> dict[str, str]:
    return {"anthropic-version": settings.options["api_version"]}


def _figure(bucket: Bucket, row: dict[str, Any]) -> Figure:
    code = currency(need(row, "currency"), "currency")
    if code != "USD":
        fail("currency", "is not USD, so its smallest unit may not be a hundredth")
    value = money(need(row, "amount"), "amount", scale=2)
    return Figure(
        bucket.start,
        bucket.end,
        value,
        code,
        model=text(present(row, "model"), "model"),
        label=text(present(row, "description"), "description"),
        # Null is the default workspace.
        project=text(row.get("workspace_id"), "workspace_id"),
        line=CREDIT if value < 0 else USAGE,
    )


def _tokens(bucket: Bucket, row: dict[str, Any]) -> Usage:
    cached = count(need(row, "cache_read_input_tokens"), "cache_read_input_tokens") or 0
    fresh = count(need(row, "uncached_input_tokens"), "uncached_input_tokens") or 0
    writes = table(need(row, "cache_creation"), "cache_creation")
    written = sum(count(writes.get(name), f"cache_creation.{name}") or 0 for name in _CACHE_WRITES)
    return Usage(
        bucket.start,
        bucket.end,
        model=text(present(row, "model"), "model"),
        project=text(row.get("workspace_id"), "workspace_id"),
        key=text(row.get("api_key_id"), "api_key_id"),
        input_tokens=fresh + written + cached,
        cached_tokens=cached,
        output_tokens=count(need(row, "output_tokens"), "output_tokens"),
    )


def _explain(status: int, body: Any) -> SourceError | None:
    error = body.get("error") if isinstance(body, dict) else None
    said = str(error.get("message")) if isinstance(error, dict) else ""
    if status == 400 and "anthropic-version" in said:
        return SourceError(
            "config",
            "Anthropic does not know this API version; set api_version of the source to 2023-06-01",
            status=status,
        )
    if status == 401:
        return SourceError(
            "auth",
            "Anthropic does not take the key: it is mistyped or revoked, or an ordinary one (sk-ant-api…), which may call "
            f"models but not read costs; an Admin key (sk-ant-admin…) is needed: {_ADMIN}",
            status=status,
        )
    if status == 402:
        return SourceError(
            "out_of_money",
            "Anthropic says that the account has a billing problem; mend it there",
            status=status,
        )
    if status == 403:
        return SourceError(
            "forbidden",
            f"Anthropic refuses: the key may not read costs; an Admin key (sk-ant-admin…) is needed: {_ADMIN}",
            status=status,
        )
    if status == 404:
        return SourceError(
            "not_found",
            "there is no Anthropic cost report at this address; check base_url: a gateway may not pass it on, and Claude "
            "on AWS, Google Cloud or Azure is billed there and has none",
            status=status,
        )
    return None


KIND = Kind(
    name="anthropic",
    provider="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com",
    fetch=fetch,
    verify=verify,
    key="an Admin key (sk-ant-admin…) of the organization",
    key_from="Settings → Admin keys in the Claude Console, as an admin of an organization; an account without an "
    "organization has none",
    env=("ANTHROPIC_ADMIN_KEY", "ANTHROPIC_ADMIN_API_KEY"),
    wrong_keys={
        "sk-ant-api": "an ordinary API key, which may call models but not read costs",
        "sk-ant-oat": "a login of a subscription, which has no costs by day",
        "sk-proj-": "a key of OpenAI",
        "sk-admin-": "a key of OpenAI",
        "sk-or-": "a key of OpenRouter",
    },
    authorize=header("x-api-key"),
    explain=_explain,
    options=(
        Option(
            "api_version",
            "the API version to ask for (header anthropic-version), if 2023-06-01 is retired",
            "2023-06-01",
        ),
    ),
    every_s=300,
    # Anthropic supports being asked once a minute.
    at_least_s=60,
    # Costs appear "typically within 5 minutes, occasionally longer": a day more is on the safe side.
    settles_after=timedelta(days=1),
    lacks=(
        "Priority Tier costs are never in it",
        "a key's share is told in tokens only, not in money",
        "the number of calls is not told",
        "a prepaid balance cannot be read with a key",
    ),
)
