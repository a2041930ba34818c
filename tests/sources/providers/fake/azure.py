"""Azure's login, by client credentials in a Basic header, and the Cost Management query."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

TENANT, CLIENT, SUBSCRIPTION = "1111-tenant", "2222-client", "3333-subscription"
TOKEN = "token-of-one-round-" + "x" * 900


class Azure:
    kind = "azure"
    key = "fake~secret/with+signs=and:colons"
    wrong_key = "00000000-id-of-the-secret"
    options: ClassVar[dict[str, str]] = {"tenant": TENANT, "client_id": CLIENT, "subscription": SUBSCRIPTION}
    days = True
    models = False
    fields = ("access_token", "properties", "columns", "rows", "name")
    columns = ("Cost", "UsageDate", "ServiceName", "Currency")
    page_rows = 20
    link = "https://HOST/PATH?api-version=2025-03-01&$skiptoken=AT"

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if request.path != f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.CostManagement/query":
            return error(404, "SubscriptionNotFound", "The subscription could not be found.")
        if request.one("api-version") != "2025-03-01" or request.headers.get("clienttype") != "costmon":
            return error(400, "BadRequest", "no version or client type")
        asked = json.loads(request.body)
        first, last = (date.fromisoformat(asked["timePeriod"][name][:10]) for name in ("from", "to"))
        found = [
            row
            for at in range((last - first).days + 1)
            for row in self._rows(first + timedelta(days=at), bill)
        ]
        at = int(request.one("$skiptoken") or 0)
        rest = at + self.page_rows < len(found)
        link = self.link.replace("HOST", request.headers["host"]).replace("PATH", request.path.lstrip("/"))
        link = link.replace("https:", "http:").replace("AT", str(at + self.page_rows))
        return Answer(
            {
                "id": "query-1",
                "type": "Microsoft.CostManagement/query",
                "properties": {
                    "nextLink": link if rest else None,
                    "columns": [{"name": name, "type": "String"} for name in self.columns],
                    "rows": [[row[name] for name in self.columns] for row in found[at : at + self.page_rows]],
                },
            }
        )

    def _rows(self, day: date, bill: Bill) -> list[dict[str, Any]]:
        """A row a charge: rows of the same group are to be added up."""
        number = int(f"{day:%Y%m%d}")
        mine = [
            {"Cost": charge.amount, "UsageDate": number, "ServiceName": "Azure OpenAI", "Currency": "USD"}
            for charge in bill.of(day)
        ]
        other = {"Cost": Decimal("7.5"), "UsageDate": number, "ServiceName": "Storage", "Currency": "USD"}
        return [*mine, other] if mine else []

    def _token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if request.headers.get("content-type") != "application/x-www-form-urlencoded" or form != {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "scope": "https://management.azure.com/.default",
        }:
            return login_error(
                400, "invalid_request", "AADSTS900144: The request body is not what it must be."
            )
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        name, _, password = b64decode(pair).decode().partition(":")
        if (kind, unquote(name), unquote(password)) != ("Basic", CLIENT, self.key):
            return login_error(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        return Answer({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN})


def error(status: int, code: str, message: str) -> Answer:
    return Answer({"error": {"code": code, "message": message}}, status)


def login_error(status: int, kind: str, description: str) -> Answer:
    return Answer({"error": kind, "error_description": description, "error_codes": [1]}, status)


FAKE = Azure()
