"""RunPod's billing by day, problem+json when it refuses, and GraphQL beside it. Days without spend have no record."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill


class RunPod:
    kind = "runpod"
    key = "rpa_fake"
    wrong_key = "rpa_withdrawn_fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    models = False
    credits = False
    fields = ("records", "startTime", "endTime", "totalAmount", "data", "myself", "clientBalance")

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return problem(401, "Unauthorized", "invalid token")
        if request.path == "/graphql":
            assert "clientBalance" in json.loads(request.body)["query"]
            return myself(bill.balance, Decimal("0.25"))
        if request.path != "/v2/billing":
            return problem(404, "Not Found", "no such route")
        first, last = (datetime.fromisoformat(request.one(name)).date() for name in ("startTime", "endTime"))
        asked = [first + timedelta(days=at) for at in range((last - first).days)]
        return answer_of(
            [record(day, sum((c.amount for c in bill.of(day)), Decimal(0))) for day in asked if bill.of(day)]
        )


def record(day: date, total: Decimal, **parts: Decimal) -> dict[str, Any]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    amounts = parts or {"podGpuAmount": total, "podDiskAmount": Decimal(0)}
    return {
        "startTime": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "endTime": f"{start + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "totalAmount": total,
        **amounts,
    }


def answer_of(records: list[dict[str, Any]], **metadata: Any) -> Answer:
    return Answer({"records": records, "metadata": {"query": {}, "recordCount": len(records)} | metadata})


def myself(balance: Decimal, per_hour: Decimal) -> Answer:
    return Answer({"data": {"myself": {"clientBalance": balance, "currentSpendPerHr": per_hour}}})


def problem(status: int, title: str, detail: str) -> Answer:
    return Answer(
        {"title": title, "status": status, "detail": detail, "errors": []},
        status,
        {"content-type": "application/problem+json"},
    )


FAKE = RunPod()
