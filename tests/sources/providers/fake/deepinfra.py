"""DeepInfra's month in cents, and its checklist in dollars with the ledger turned."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill


class DeepInfra:
    kind = "deepinfra"
    key = "deepinfra-fake"
    wrong_key = "deepinfra-withdrawn-fake"
    options: ClassVar[dict[str, str]] = {}
    days = False
    fields = ("months", "period", "total_cost", "stripe_balance", "recent", "suspended")

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer({"detail": {"error": "Not authenticated"}}, 401)
        if request.path == "/payment/checklist":
            assert request.one("compute_owed") == "true"
            return Answer(checklist(-bill.balance))
        if request.path != "/payment/usage":
            return Answer({"detail": "Not Found"}, 404)
        this = f"{now:%Y.%m}"
        since = request.one("from")
        since = this if since == "current" else since
        sums: dict[str, Decimal] = {this: Decimal(0)}
        for charge in bill.charges:
            period = f"{charge.day:%Y.%m}"
            if since <= period <= this:
                sums[period] = sums.get(period, Decimal(0)) + charge.amount
        return usage([month(period, int(amount * 100)) for period, amount in sorted(sums.items())])


def month(period: str, cents: int) -> dict[str, Any]:
    return {"period": period, "items": [], "total_cost": cents}


def usage(months: list[dict[str, Any]]) -> Answer:
    return Answer({"months": months, "initial_month": "2026.01"})


def checklist(ledger: Decimal, recent: Decimal = Decimal(0), *, suspended: bool = False) -> dict[str, Any]:
    return {
        "stripe_balance": ledger,
        "recent": recent,
        "limit": 20,
        "suspended": suspended,
        "suspend_reason": "unpaid" if suspended else None,
    }


FAKE = DeepInfra()
