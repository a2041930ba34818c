"""DeepSeek's balance: texts, in as many currencies as the account holds."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill


class DeepSeek:
    kind = "deepseek"
    key = "sk-deepseek-fake"
    wrong_key = "sk-ant-fake"
    options: ClassVar[dict[str, str]] = {}
    days = False
    fields = ("is_available", "balance_infos", "currency", "total_balance")

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer({"error": {"message": "Authentication Fails", "type": "authentication_error"}}, 401)
        if request.path != "/user/balance":
            return Answer({"error": {"message": "Not Found"}}, 404)
        return Answer({"is_available": bill.balance > 0, "balance_infos": [info("USD", bill.balance)]})


def info(currency: str, total: Decimal | str) -> dict[str, str]:
    return {
        "currency": currency,
        "total_balance": str(total),
        "granted_balance": "0.00",
        "topped_up_balance": str(total),
    }


FAKE = DeepSeek()
