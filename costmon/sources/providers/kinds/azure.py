"""Azure OpenAI and Foundry: what a subscription is billed for them each UTC day, by service.

Source: the Cost Management query API, version 2025-03-01, and the client credentials flow of the Microsoft identity platform
(Microsoft's documentation). Costs come as rows of columns whose order is not fixed; a day without a row cost nothing. The
client secret goes to the login host in a Basic header; the token it gives lives for one round, in memory.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

from costmon.credentials import Secret
from costmon.sources.providers.daily import day_of
from costmon.sources.providers.pages import pages
from costmon.sources.providers.parts import days, figure, id_option, summed
from costmon.sources.providers.protocol import (
    FORM,
    Client,
    Figure,
    Kind,
    Option,
    Outgoing,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import count, currency, fail, money, need, rows, table, text
from costmon.sources.providers.services import split

_AZURE, _LOGIN = "https://management.azure.com", "https://login.microsoftonline.com"
_VERSION = ("api-version", "2025-03-01")
_TOKEN_PATH = "/oauth2/v2.0/token"  # noqa: S105
_ID = "8f0b4c1e-1111-2222-3333-444455556666"
_COST, _DATE, _SERVICE, _CURRENCY = "Cost", "UsageDate", "ServiceName", "Currency"


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Costs by day and service."""
    return await _read(client, settings, window.start, window)


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """A token, and one day of costs: needs the role Cost Management Reader."""
    return await _read(client, settings, window.end - timedelta(days=1), window)


async def _read(client: Client, settings: Settings, start: datetime, window: Window) -> Reading:
    token = await _token(client, settings)
    subscription = id_option(settings, "subscription", _ID)
    path = f"/subscriptions/{subscription}/providers/Microsoft.CostManagement/query"
    body = _question(start, window.end)

    async def ask(link: str) -> Any:
        params = _follow(link, settings.base_url, path) if link else [_VERSION]
        headers = {"Authorization": f"Bearer {token.reveal()}", "ClientType": "costmon"}
        return await client.post(path, body, params, headers=headers)

    asked = days(Window(start, window.end, window.now))
    figures: list[Figure] = []
    async for page in pages(ask, _next):
        figures += _figures(table(need(page, "properties"), "properties"))
    if not {figure.start for figure in figures} <= {bucket.start for bucket in asked}:
        fail(_DATE, "is a day that was not asked for")
    kept, notes = split(summed(figures), settings.options["services"])
    return Reading(asked, kept, notes=notes)


async def _token(client: Client, settings: Settings) -> Secret:
    tenant, client_id = id_option(settings, "tenant", _ID), id_option(settings, "client_id", _ID)
    answer = table(
        await client.post(
            f"/{tenant}{_TOKEN_PATH}",
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "scope": f"{_AZURE}/.default",
            },
            headers={"Content-Type": FORM},
            base=_LOGIN,
        ),
        "token",
    )
    token = answer.pop("access_token", None)
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,20000}", token):
        fail("access_token", "is missing or no token")
    return Secret(token)


def authorize(request: Outgoing, key: str) -> Mapping[str, str]:
    """The client secret, only where a token is asked for; both halves are percent-encoded as RFC 6749 (2.3.1) has it."""
    if not urlsplit(request.url).path.endswith(_TOKEN_PATH):
        return {}
    client_id = parse_qs(request.body.decode())["client_id"][0]
    pair = f"{quote(client_id, safe='')}:{quote(key, safe='')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _question(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {
            "from": f"{start:%Y-%m-%d}T00:00:00Z",
            "to": f"{end - timedelta(days=1):%Y-%m-%d}T23:59:59Z",
        },
        "dataset": {
            "granularity": "Daily",
            "aggregation": {"totalCost": {"name": _COST, "function": "Sum"}},
            "grouping": [{"type": "Dimension", "name": _SERVICE}],
        },
    }


def _next(page: dict[str, Any]) -> str:
    link = table(need(page, "properties"), "properties").get("nextLink")
    if link is not None and (not isinstance(link, str) or len(link) > 8000):
        fail("nextLink", "is no link")
    return link or ""


def _follow(link: str, base_url: str, path: str) -> list[tuple[str, str]]:
    """The query of a further page, which must be the same question to the same host: the token goes nowhere else."""
    parts, home = urlsplit(link), urlsplit(base_url)
    same_host = (parts.scheme, parts.netloc.casefold()) == (home.scheme, home.netloc.casefold())
    wanted = f"{home.path.rstrip('/')}{path}".casefold()
    if not same_host or re.sub("/+", "/", parts.path).casefold() != wanted:
        fail("nextLink", "leads to another place")
    return parse_qsl(parts.query, keep_blank_values=True)


def _figures(properties: dict[str, Any]) -> list[Figure]:
    names = [
        text(need(column, "name", "columns"), "columns.name")
        for column in rows(properties.get("columns"), "columns")
    ]
    at = {name: names.index(name) for name in (_COST, _DATE, _SERVICE, _CURRENCY) if name in names}
    for name in (_COST, _DATE, _SERVICE, _CURRENCY):
        if name not in at:
            fail("columns", f"lack {name}")
    found = properties.get("rows")
    if not isinstance(found, list):
        fail("rows", "are no list")
    return [_figure(row, at, len(names)) for row in found]


def _figure(row: Any, at: Mapping[str, int], width: int) -> Figure:
    if not isinstance(row, list) or len(row) != width:
        fail("rows", "do not fit the columns")
    try:
        day = datetime.strptime(str(count(row[at[_DATE]], _DATE)), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        fail(_DATE, "is no day")
    amount = money(row[at[_COST]], _COST)
    service = text(need({_SERVICE: row[at[_SERVICE]]}, _SERVICE), _SERVICE)
    return figure(day_of(day, _DATE), amount, currency(row[at[_CURRENCY]], _CURRENCY), label=service)


_LOGIN_ERRORS = {
    "AADSTS7000215": ("auth", "Azure refuses the key; set the value of the client secret, not its id"),
    "AADSTS7000222": (
        "auth",
        "the key, a client secret, has expired; make a new one in the app registration, and set it",
    ),
    "AADSTS700016": (
        "config",
        "Azure finds no app with this client_id in the tenant; correct client_id or tenant",
    ),
    "AADSTS90002": ("config", "Azure finds no such tenant; correct tenant"),
    "AADSTS900023": ("config", "Azure finds no such tenant; correct tenant"),
}


def _explain(status: int, body: Any) -> SourceError | None:
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, str):
        found = re.match(r"AADSTS[0-9]+", str(body.get("error_description", "")))
        state, message = _LOGIN_ERRORS.get(
            found[0] if found else "",
            ("auth", "Azure gives no token for this tenant, client_id and key; set the three again"),
        )
        known = error.startswith(("invalid_", "unauthorized_"))
        return SourceError(state, message, status=status) if known else None
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    if code == "429" and status < 400:
        return SourceError(
            "rate_limited", "Azure was asked too often; it is asked again later", retry_after=3600
        )
    if status == 403 or code in ("AuthorizationFailed", "RBACAccessDenied"):
        return SourceError(
            "forbidden",
            "Azure knows the app but refuses it the costs; give it the role Cost Management Reader on the subscription",
            status=status,
        )
    if code in ("SubscriptionNotFound", "InvalidSubscriptionId"):
        return SourceError(
            "config",
            "Azure finds no such subscription; correct subscription, or give the app access",
            status=status,
        )
    return None


KIND = Kind(
    name="azure",
    provider="azure",
    title="Azure",
    base_url=_AZURE,
    hosts=(_LOGIN,),
    fetch=fetch,
    verify=verify,
    key="the client secret of an app registration that has the role Cost Management Reader",
    key_from="Microsoft Entra ID → App registrations → your app → Certificates & secrets (the value, not the id)",
    env=("AZURE_CLIENT_SECRET",),
    authorize=authorize,
    explain=_explain,
    options=(
        Option("tenant", "the directory (tenant) id, shown on the app registration's overview", None),
        Option("client_id", "the application (client) id, shown beside it", None),
        Option("subscription", "the id of the subscription that is billed", None),
        Option(
            "services",
            "words of the names of Azure services whose costs count, with commas between",
            "OpenAI, Cognitive, Foundry",
        ),
    ),
    every_s=4 * 3600,
    at_least_s=3600,
    settles_after=timedelta(days=3),
    lacks=(
        "figures are by Azure service, not by model",
        "a day's figure is behind by hours, often by a day",
        "tax, and Azure clouds other than the public one",
    ),
)
