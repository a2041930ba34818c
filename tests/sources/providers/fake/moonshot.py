"""Moonshot's balance: numbers without a currency, and errors inside HTTP 200."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill


class Moonshot:
    kind = "moonshot"
    key = "sk-moonshot-fake"
    wrong_key = "sk-other-region-fake"
    options: ClassVar[dict[str, str]] = {"currency": "USD"}
    days = False
    fields = ("code", "status", "data", "available_balance", "cash_balance", "voucher_balance")

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            error = {
                "message": "Invalid Authentication",
                "type": "invalid_authentication_error",
                "code": None,
            }
            return Answer({"error": error}, 401)
        if request.path != "/users/me/balance":
            return Answer({"code": 5, "error": "url.not_found"}, 404)
        return balance(bill.balance, Decimal(0))


def balance(
    cash: Decimal, voucher: Decimal, *, available: Decimal | None = None, code: int = 0, status: bool = True
) -> Answer:
    left = (voucher if cash < 0 else cash + voucher) if available is None else available
    data = {"available_balance": left, "voucher_balance": voucher, "cash_balance": cash}
    return Answer({"code": code, "data": data, "scode": "0x0", "status": status})


FAKE = Moonshot()
