"""Fireworks' billing summary, one sum of its range. It answers a foreign account name with nothing, as has been seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

ACCOUNT = "my-slug"


class Fireworks:
    kind = "fireworks"
    key = "fw_fake"
    wrong_key = "fw_withdrawn_fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    cursor = ("", "nextPageToken")
    fields = ("accounts", "name", "lineItems", "totalCost", "currencyCode")
    accounts = (ACCOUNT,)
    page_size = 50

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer({"error": {"code": 16, "message": "unauthenticated"}}, 401)
        if request.path == "/accounts":
            at = int(request.one("pageToken") or 0)
            shown = self.accounts[at : at + self.page_size]
            rest = at + self.page_size < len(self.accounts)
            rows = [{"name": f"accounts/{name}", "displayName": name} for name in shown]
            return Answer({"accounts": rows, "nextPageToken": str(at + self.page_size) if rest else ""})
        if not request.path.endswith("/billing/summary"):
            return Answer({"error": {"code": 5, "message": "not found"}}, 404)
        if request.path != f"/accounts/{ACCOUNT}/billing/summary":
            return summary([])
        first, last = (datetime.fromisoformat(request.one(name)).date() for name in ("startTime", "endTime"))
        sums: dict[str, Decimal] = {}
        for at in range((last - first).days):
            for charge in bill.of(first + timedelta(days=at)):
                sums[charge.model] = sums.get(charge.model, Decimal(0)) + charge.amount
        return summary([item(amount, model) for model, amount in sums.items()])


def item(amount: Decimal, model: str, currency: str = "USD") -> dict[str, Any]:
    return {
        "category": "LLM output tokens",
        "series": "SERVERLESS",
        "groupingKey": "model_bucket",
        "groupingValue": model,
        "quantity": 90210,
        "totalCost": money(amount, currency),
    }


def money(amount: Decimal, currency: str = "USD") -> dict[str, Any]:
    """google.type.Money as JSON: zeros are left out."""
    units = int(amount)
    nanos = int((amount - units) * 10**9)
    return (
        {"currencyCode": currency}
        | ({"units": str(units)} if units else {})
        | ({"nanos": nanos} if nanos else {})
    )


def summary(items: list[dict[str, Any]]) -> Answer:
    return Answer({"lineItems": items, "usageBuckets": []})


FAKE = Fireworks()
