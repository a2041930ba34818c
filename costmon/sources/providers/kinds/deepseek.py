"""DeepSeek: what is left of the prepaid balance, in each currency it is held in.

Source: api-docs.deepseek.com, `GET /user/balance`. Amounts are texts in major units. An account can hold CNY and USD at
once: two balances, which are never added. The key shows no history of spend.
"""

from __future__ import annotations

from typing import Any

from costmon.sources.providers.protocol import Balance, Client, Kind, Reading, Settings, Window
from costmon.sources.providers.reading import currency, fail, money, need, rows, table

_PATH = "/user/balance"


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """One balance a currency, what was granted and what was paid in together."""
    answer = table(await client.get(_PATH), "answer")
    available = answer.get("is_available")
    if not isinstance(available, bool):
        fail("is_available", "is missing")
    found = [_balance(row) for row in rows(answer.get("balance_infos"), "balance_infos")]
    if not found:
        fail("balance_infos", "names no balance")
    if len({balance.unit for balance in found}) < len(found):
        fail("balance_infos", "names a currency twice")
    refused = "DeepSeek refuses calls until the balance is topped up"
    return Reading(balances=found, notes=() if available else (refused,))


def _balance(row: dict[str, Any]) -> Balance:
    total = need(row, "total_balance", "balance_infos")
    return Balance(
        money(total, "balance_infos.total_balance"),
        currency(need(row, "currency", "balance_infos"), "balance_infos.currency"),
    )


KIND = Kind(
    name="deepseek",
    provider="deepseek",
    title="DeepSeek",
    base_url="https://api.deepseek.com",
    fetch=fetch,
    key="an API key (sk-…), the one apps use",
    key_from="API keys on platform.deepseek.com",
    env=("DEEPSEEK_API_KEY",),
    wrong_keys={
        "sk-ant-": "a key of Anthropic",
        "sk-or-": "a key of OpenRouter",
        "sk-proj-": "a key of OpenAI",
        "sk-admin-": "a key of OpenAI",
    },
    every_s=300,
    at_least_s=60,
    series="",
    lacks=("no spend history: spend is derived from how the balance falls",),
)
