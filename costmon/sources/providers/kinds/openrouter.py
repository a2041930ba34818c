"""OpenRouter: credits spent by day and model with a management key; a key's own day and cap with an ordinary one.

Source: the OpenAPI document in OpenRouter's TypeScript SDK, `GET /key`, `/credits` and `/activity` (2026-08). All amounts
are dollars as JSON numbers. Days are UTC; `/activity` tells the last 30 completed ones, and one day, today too, by `?date=`
(the latter seen in clients, not documented). Answers of `/key` and `/credits` may be a minute old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from costmon.sources.providers.daily import DAY, day_of, present
from costmon.sources.providers.protocol import (
    CREDIT,
    USAGE,
    Balance,
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
from costmon.sources.providers.reading import count, fail, instant, money, need, rows, table, text

_REACH = 30
_ONE_BY_ONE = 3
_NEAR_MIDNIGHT = timedelta(minutes=2)
_MANAGEMENT = "a management key (Settings → Management keys on openrouter.ai)"


class _Row(NamedTuple):
    """What one upstream provider did for one model on one day; None = not told."""

    day: Bucket
    model: str
    via: str
    spent: Decimal
    byok: Decimal
    requests: int | None
    input_tokens: int | None
    output_tokens: int | None


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """With a management key: the balance, and spend by day, model and upstream. Else: the key's own day and cap."""
    key = _data(await client.get("/key"))
    balances = [*_cap(key, settings, window.now)]
    notes: list[str] = []
    try:
        balances.append(_credits(_data(await client.get("/credits"))))
    except SourceError as error:
        if error.state != "forbidden":
            raise
        notes.append("the balance of credits can be read with a management key only")
    if not (key.get("is_management_key") or key.get("is_provisioning_key")):
        return _own_day(key, settings, window, balances, notes)
    days, told, missing = await _activity(client, window)
    byok = sum((row.byok for row in told), Decimal(0))
    return Reading(days, _figures(told), _usage(told), balances, [*notes, *missing, *_byok(byok)])


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """The key itself."""
    _data(await client.get("/key"))
    return Reading()


def _data(body: Any) -> dict[str, Any]:
    return table(need(table(body, "body"), "data"), "data")


def _cap(key: dict[str, Any], settings: Settings, now: datetime) -> Iterator[Balance]:
    """What the key may still spend, if it has a cap: no money of its own, and below 0 when it was passed."""
    limit = present(key, "limit")
    if limit is None:
        return
    yield Balance(
        money(need(key, "limit_remaining"), "limit_remaining"),
        "USD",
        f"cap of {_label(key, settings)}",
        limit=money(limit, "limit"),
        resets_at=_reset(text(key.get("limit_reset"), "limit_reset"), now),
        spendable=False,
    )


def _reset(rhythm: str, now: datetime) -> datetime | None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if rhythm == "daily":
        return midnight + DAY
    if rhythm == "weekly":
        return midnight + (7 - midnight.weekday()) * DAY
    if rhythm == "monthly":
        return (midnight.replace(day=1) + 32 * DAY).replace(day=1)
    return None


def _label(key: dict[str, Any], settings: Settings) -> str:
    """The key's label; where that is the key itself with its middle left out, the source's name instead."""
    label = text(present(key, "label"), "label")
    return settings.name if not label or label.startswith("sk-") else label


def _credits(data: dict[str, Any]) -> Balance:
    bought, used = (money(need(data, name), name) for name in ("total_credits", "total_usage"))
    return Balance(bought - used, "USD", "credits")


def _own_day(
    key: dict[str, Any], settings: Settings, window: Window, balances: list[Balance], notes: list[str]
) -> Reading:
    day, week, month = (
        money(need(key, f"usage_{of}"), f"usage_{of}") for of in ("daily", "weekly", "monthly")
    )
    notes += [
        f"the figures are this key's own, of today and without models; all days and models take {_MANAGEMENT}",
        f"this key spent {_usd(week)} in this UTC week and {_usd(month)} in this UTC month",
        *_byok(money(key.get("byok_usage_daily") or 0, "byok_usage_daily")),
    ]
    today = day_of(window.end - DAY, "day")
    if not today.start + _NEAR_MIDNIGHT <= window.now < today.end - _NEAR_MIDNIGHT:
        # The answer is up to a minute old and tells no date: it may be of the other day.
        return Reading(balances=balances, notes=[*notes, "near midnight UTC the key's day is not read"])
    figure = Figure(today.start, today.end, day, "USD", key=_label(key, settings), line=_line(day))
    return Reading([today], [figure], balances=balances, notes=notes)


async def _activity(client: Client, window: Window) -> tuple[list[Bucket], list[_Row], list[str]]:
    """The window's days, at most today and the 30 before it."""
    today = window.end - DAY
    start = max(window.start, today - _REACH * DAY)
    closed = [day_of(start + at * DAY, "day") for at in range((today - start) // DAY)]
    told: list[_Row] = []
    if len(closed) <= _ONE_BY_ONE:
        for day in closed:
            told += await _one_day(client, day)
    else:
        told += [row for row in _rows(await client.get("/activity")) if row.day in closed]
    try:
        told += await _one_day(client, day_of(today, "day"))
    except SourceError as error:
        if error.status != 400:
            raise
        return closed, told, ["OpenRouter does not tell today's spend yet; it comes after midnight UTC"]
    return [*closed, day_of(today, "day")], told, []


async def _one_day(client: Client, day: Bucket) -> list[_Row]:
    found = _rows(await client.get("/activity", [("date", f"{day.start:%Y-%m-%d}")]))
    if any(row.day != day for row in found):
        fail("date", "is another day than the one that was asked for")
    return found


def _rows(body: Any) -> list[_Row]:
    return [_row(item) for item in rows(need(table(body, "body"), "data"), "data")]


def _row(item: dict[str, Any]) -> _Row:
    # Some write the day with a midnight behind it.
    date = text(need(item, "date"), "date").removesuffix(" 00:00:00")
    return _Row(
        day_of(instant(date, "date"), "date"),
        text(need(item, "model"), "model"),
        text(item.get("provider_name"), "provider_name"),
        money(need(item, "usage"), "usage"),
        money(item.get("byok_usage_inference") or 0, "byok_usage_inference"),
        count(item.get("requests"), "requests"),
        count(item.get("prompt_tokens"), "prompt_tokens"),
        count(item.get("completion_tokens"), "completion_tokens"),
    )


def _figures(told: Iterable[_Row]) -> list[Figure]:
    return [
        Figure(row.day.start, row.day.end, row.spent, "USD", row.model, row.via, line=_line(row.spent))
        for row in told
    ]


def _usage(told: Iterable[_Row]) -> list[Usage]:
    return [
        Usage(
            row.day.start,
            row.day.end,
            row.model,
            requests=row.requests,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
        )
        for row in told
    ]


def _byok(spent: Decimal) -> list[str]:
    if not spent:
        return []
    return [
        f"{_usd(spent)} of calls with provider keys of your own (BYOK) are billed by those providers, not here"
    ]


def _line(amount: Decimal) -> str:
    return CREDIT if amount < 0 else USAGE


def _usd(amount: Decimal) -> str:
    return f"{amount:f} USD"


def _explain(status: int, body: Any) -> SourceError | None:
    if status == 401:
        return SourceError(
            "auth",
            "OpenRouter does not take the key: it is mistyped, disabled or expired; make one under Settings → Keys on "
            "openrouter.ai (a management key under Settings → Management keys)",
            status=status,
        )
    if status == 402:
        return SourceError(
            "out_of_money", "OpenRouter says that there are no credits left; add some there", status=status
        )
    if status == 403:
        return SourceError(
            "forbidden", f"OpenRouter refuses the key: this takes {_MANAGEMENT}", status=status
        )
    if status == 404:
        return SourceError(
            "not_found",
            "there is no OpenRouter at this address; check base_url (it ends in /api/v1)",
            status=status,
        )
    return None


KIND = Kind(
    name="openrouter",
    provider="openrouter",
    title="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    fetch=fetch,
    verify=verify,
    key="a management key (for all days, models and the balance) or an ordinary one (for its own day and cap)",
    key_from="Settings → Management keys on openrouter.ai; ordinary ones under Settings → Keys",
    env=("OPENROUTER_MANAGEMENT_KEY", "OPENROUTER_API_KEY"),
    wrong_keys={
        "sk-ant-": "a key of Anthropic",
        "sk-proj-": "a key of OpenAI",
        "sk-admin-": "a key of OpenAI",
    },
    explain=_explain,
    # Answers may be a minute old; with a management key a round is six requests.
    every_s=120,
    at_least_s=60,
    # Spend is known within minutes; only what is still running at midnight is added to the day later.
    settles_after=timedelta(days=1),
    lacks=(
        "calls with provider keys of your own (BYOK) are billed by those providers and never in it",
        "an ordinary key tells today only, for itself; the last minutes before midnight UTC are missing there",
    ),
)
