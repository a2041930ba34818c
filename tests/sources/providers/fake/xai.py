"""xAI's management API: dollars by day, the month's invoice in cents, a prepaid ledger with the sign turned."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

TEAM = "11111111-2222-4333-8444-555555555555"
PREVIEW = f"/v1/billing/teams/{TEAM}/postpaid/invoice/preview"
BALANCE = f"/v1/billing/teams/{TEAM}/prepaid/balance"
USAGE = f"/v1/billing/teams/{TEAM}/usage"
BOUGHT = Decimal(100)


class XAI:
    kind = "xai"
    key = "management-fake"
    wrong_key = "xai-inference-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    models = False
    credits = False
    fields = (
        *("timeSeries", "dataPoints", "timestamp", "values"),
        *("coreInvoice", "amountBeforeVat", "billingCycle", "total", "val"),
    )

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.wrong_key}":
            return Answer({"code": 7, "message": "Not a management key."}, 403)
        if given != f"Bearer {self.key}":
            return Answer({"code": 16, "error": "Invalid credentials."}, 401)
        if request.path == "/auth/management-keys/validation":
            return Answer({"apiKeyId": "k1", "teamId": TEAM, "scope": "SCOPE_TEAM", "scopeId": TEAM})
        month = now.date().replace(day=1)
        used = bill.total(month, now.date())
        if (request.method, request.path) == ("POST", USAGE):
            return self._usage(json.loads(request.body)["analyticsRequest"], bill)
        if request.path == PREVIEW:
            return Answer(invoice(month.year, month.month, int(used * 100)))
        if request.path == BALANCE:
            return Answer(ledger(-int(BOUGHT * 100)))
        return Answer({"code": 5, "message": "Team not found."}, 404)

    def _usage(self, asked: dict[str, Any], bill: Bill) -> Answer:
        assert asked["timeUnit"] == "TIME_UNIT_DAY"
        assert asked["values"] == [{"name": "usd", "aggregation": "AGGREGATION_SUM"}]
        first, last = (
            datetime.strptime(asked["timeRange"][name], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            for name in ("startTime", "endTime")
        )
        points = []
        while first < last:
            points.append(point(first, sum((charge.amount for charge in bill.of(first.date())), Decimal(0))))
            first += timedelta(days=1)
        return Answer(series(points))


def point(at: datetime, value: Decimal) -> dict[str, Any]:
    return {"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "values": [value]}


def series(points: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "timeSeries": [{"group": [], "groupLabels": [], "dataPoints": points}],
        "limitReached": False,
    } | more


def invoice(year: int, month: int, cents: int, **core: Any) -> dict[str, Any]:
    """Paid out of prepaid credits; a `core` field given as None is left out, as zeros may be."""
    fields = {
        "lines": [],
        "amountBeforeVat": str(cents),
        "vatCost": "0",
        "amountAfterVat": str(cents),
        "autoCreditsIssued": "0",
        "defaultCreditsIssued": "0",
        "totalWithCorr": {"val": str(cents)},
        "prepaidCredits": {"val": str(-int(BOUGHT * 100))},
        "prepaidCreditsUsed": {"val": str(-cents)},
    } | core
    return {
        "coreInvoice": {name: value for name, value in fields.items() if value is not None},
        "effectiveSpendingLimit": "10000",
        "billingCycle": {"year": year, "month": month},
    }


def ledger(cents: int) -> dict[str, Any]:
    change = {
        "teamId": TEAM,
        "changeOrigin": "PURCHASE",
        "amount": {"val": str(cents)},
        "topupStatus": "SUCCEEDED",
    }
    return {"changes": [change], "total": {"val": str(cents)}}


FAKE = XAI()
