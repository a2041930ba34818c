"""LiteLLM proxy of one's own: what keys, users and teams may still spend of their budgets there.

Source: the proxy's own code, `GET /key/info` and `/user/info` of litellm 1.83 (2026). Amounts are dollars as JSON numbers,
reckoned by the proxy from its price list. `spend` counts since the budget was last reset, and no day is told. What goes
through the proxy is billed by the providers behind it: these amounts are a second view of the same money.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from costmon.sources.providers.daily import present
from costmon.sources.providers.protocol import Balance, Client, Kind, Reading, Settings, SourceError, Window
from costmon.sources.providers.reading import instant, money, need, rows, table, text


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """The budgets of the key, its user and that user's teams."""
    key = await _key(client)
    budgets = [_budget(key, f"key {_name(key, 'key') or settings.name}")]
    notes: list[str] = []
    user = text(present(key, "user_id"), "user_id")
    try:
        budgets += [_budget(row, label) for label, row in (await _of_user(client, user) if user else ())]
    except SourceError as error:
        if error.state not in ("forbidden", "not_found"):
            raise
        notes.append("the proxy does not let this key read the budget of its user")
    balances = [balance for balance, _ in budgets if balance is not None]
    return Reading(balances=balances, notes=[*notes, *(note for _, note in budgets if note)])


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """The key's own row."""
    await _key(client)
    return Reading()


async def _key(client: Client) -> dict[str, Any]:
    return table(need(table(await client.get("/key/info"), "body"), "info"), "info")


async def _of_user(client: Client, user: str) -> list[tuple[str, dict[str, Any]]]:
    """The user's own row and those of the user's teams, each with what to call it."""
    body = table(await client.get("/user/info", [("user_id", user)]), "body")
    own = table(need(body, "user_info"), "user_info")
    teams = rows(body.get("teams") or [], "teams")
    return [(f"user {user}", own), *((f"team {_name(team, 'team')}", team) for team in teams)]


def _name(row: dict[str, Any], kind: str) -> str:
    """The alias or the id. Never `key_name`, which shows the end of the key."""
    return text(row.get(f"{kind}_alias"), f"{kind}_alias") or text(row.get(f"{kind}_id"), f"{kind}_id")


def _budget(row: dict[str, Any], label: str) -> tuple[Balance | None, str]:
    """What is left of the row's budget, or a note that there is none."""
    spent = money(need(row, "spend"), "spend")
    limit, reset = present(row, "max_budget"), row.get("budget_reset_at")
    shared = row.get("litellm_budget_table")
    if limit is None and isinstance(shared, dict):
        limit, reset = shared.get("max_budget"), shared.get("budget_reset_at") or reset
    if limit is None:
        return None, f"{label} spent {spent:f} USD so far, and has no budget at the proxy"
    most = money(limit, "max_budget")
    resets_at = None if reset is None else instant(reset, "budget_reset_at")
    return Balance(most - spent, "USD", label, limit=most, resets_at=resets_at, spendable=False), ""


def _explain(status: int, body: Any) -> SourceError | None:
    error = body.get("error") if isinstance(body, dict) else None
    said = error if isinstance(error, dict) else {}
    if said.get("type") == "budget_exceeded":
        return SourceError(
            "out_of_money",
            "the LiteLLM proxy says that the key's budget is used up; raise it there or wait for its reset",
            status=status,
        )
    if "Database not connected" in str(said.get("message")):
        return SourceError(
            "config",
            "the LiteLLM proxy has no database, so it keeps no spend; give it one (database_url), or remove the source",
            status=status,
        )
    if status in (401, 403):
        return SourceError(
            "auth" if status == 401 else "forbidden",
            "the LiteLLM proxy does not take the key: it is mistyped, blocked or expired, or not one of this proxy's; an "
            "admin of the proxy makes a virtual key with /key/generate or on its page Virtual Keys",
            status=status,
        )
    if status == 404:
        return SourceError(
            "not_found",
            "the LiteLLM proxy has no entry for this key (the master key has none: use a virtual key), or base_url is not "
            "the proxy's (it is the address without /v1)",
            status=status,
        )
    return None


KIND = Kind(
    name="litellm",
    provider="litellm",
    title="the LiteLLM proxy",
    base_url="",
    fetch=fetch,
    verify=verify,
    key="a virtual key (sk-…) of the proxy",
    key_from="the proxy's page Virtual Keys, or POST /key/generate with its master key",
    env=("LITELLM_PROXY_API_KEY", "LITELLM_API_KEY"),
    wrong_keys={
        "sk-ant-": "a key of Anthropic, not of the proxy",
        "sk-proj-": "a key of OpenAI, not of the proxy",
        "sk-or-": "a key of OpenRouter, not of the proxy",
    },
    explain=_explain,
    every_s=60,
    at_least_s=10,
    # Nothing is told by day; a budget's spend is live.
    settles_after=timedelta(0),
    series="",
    lacks=(
        "spend by day or model: the key's endpoints tell one running sum",
        "what the providers behind the proxy really bill; the proxy reckons from its own prices",
    ),
    overlaps=True,
    local=True,
)
