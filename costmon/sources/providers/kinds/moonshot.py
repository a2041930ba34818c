"""Moonshot (Kimi): what is left of the prepaid balance.

Source: Moonshot's platform documentation, `GET /users/me/balance`. The answer names no currency: the host decides it, and a
key works at its own host only. HTTP 200 may carry an error (`code`, `status`) beside balances of zero.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from costmon.sources.providers.protocol import (
    Balance,
    Client,
    Kind,
    Option,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import decimal, fail, money, need, table

_CURRENCIES = {"api.moonshot.ai": "USD", "api.moonshot.cn": "CNY"}
_PATH = "/users/me/balance"
_STATES = {401: "auth", 403: "forbidden", 429: "rate_limited"}


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """What can still be spent: cash and vouchers, or the vouchers alone while the cash is a debt."""
    unit = _currency(settings)
    try:
        answer = table(await client.get(_PATH), "answer")
    except SourceError as error:
        raise _of_region(settings, error) if error.state == "auth" else error from None
    data = _data(settings, answer)
    available, cash, voucher = (
        money(need(data, name, "data"), f"data.{name}")
        for name in ("available_balance", "cash_balance", "voucher_balance")
    )
    return Reading(balances=[Balance(available, unit)], notes=_notes(unit, available, cash, voucher))


def _data(settings: Settings, answer: dict[str, Any]) -> dict[str, Any]:
    code = decimal(need(answer, "code"), "code")
    status = need(answer, "status")
    if not isinstance(status, bool):
        fail("status", "is neither true nor false")
    if code or not status:
        problem = f"Moonshot answered with an error (code {int(code)}) instead of a balance"
        error = SourceError(_STATES.get(int(code), "upstream"), f"{problem}; the last good one is kept")
        raise _of_region(settings, error) if error.state == "auth" else error
    return table(answer.get("data"), "data")


def _notes(unit: str, available: Decimal, cash: Decimal, voucher: Decimal) -> list[str]:
    notes = []
    if cash < 0:
        notes.append(f"the cash balance is a debt of {-cash} {unit}; only vouchers can be spent")
    if available <= 0:
        notes.append("Moonshot refuses calls until the balance is topped up")
    if abs(available - (voucher if cash < 0 else cash + voucher)) > Decimal("0.01"):
        notes.append("Moonshot's available balance is not what its cash and vouchers make together")
    return notes


def _currency(settings: Settings) -> str:
    """Of the host; a gateway's must be told, and nobody may contradict a host that is known."""
    told = settings.options.get("currency", "").upper()
    known = _CURRENCIES.get(_host(settings))
    name = f"[source.{settings.name}] currency"
    if told and not re.fullmatch(r"[A-Z]{3}", told):
        raise SourceError("config", f'{name} must be a currency such as "USD" or "CNY"')
    if known and told and told != known:
        raise SourceError("config", f"{name} is {told}, but {_host(settings)} tells {known}; remove {name}")
    if not known and not told:
        where = f"{_host(settings)} names no currency"
        raise SourceError(
            "config", f'{where}; set {name} = "USD" (api.moonshot.ai) or "CNY" (api.moonshot.cn)'
        )
    return known or told


def _of_region(settings: Settings, error: SourceError) -> SourceError:
    here = _host(settings)
    other = next(host for host in reversed(_CURRENCIES) if host != here)
    hint = f'one of the other needs base_url = "https://{other}/v1"; for another key: costmon keys set {settings.name}'
    return SourceError(
        "auth",
        f"Moonshot ({here}) does not accept the key; keys work in their own region only, {hint}",
        status=error.status,
    )


def _host(settings: Settings) -> str:
    return urlsplit(settings.base_url).hostname or ""


KIND = Kind(
    name="moonshot",
    provider="moonshotai",
    title="Moonshot (Kimi)",
    base_url="https://api.moonshot.ai/v1",
    fetch=fetch,
    key="an API key (sk-…), the one apps use, of the same region as base_url",
    key_from="API keys on platform.moonshot.ai, or platform.moonshot.cn for base_url https://api.moonshot.cn/v1",
    env=("MOONSHOT_API_KEY",),
    wrong_keys={
        "sk-ant-": "a key of Anthropic",
        "sk-or-": "a key of OpenRouter",
        "sk-proj-": "a key of OpenAI",
        "sk-admin-": "a key of OpenAI",
    },
    options=(Option("currency", "the currency of the balance, needed where base_url is a gateway of yours"),),
    every_s=300,
    at_least_s=60,
    series="",
    lacks=("no spend history: spend is derived from how the balance falls",),
)
