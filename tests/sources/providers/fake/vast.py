"""Vast.ai's charges, one row a contract over all the days asked for, in pages; and a user object full of secrets."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

SECRETS = ("another-key-of-the-account", "ssh-rsa AAAAB3Nza", "somebody@example.org")


class Vast:
    kind = "vast"
    key = "vast-fake"
    wrong_key = "vast-restricted-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    models = False
    cursor = ("", "next_token")
    fields = ("results", "start", "end", "amount", "next_token", "credit")
    variants = ({}, {"page_size": 1})
    page_size = 100

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.wrong_key}":
            return Answer(
                {"success": False, "error": "auth_error", "msg": "This action requires the api_key"}, 403
            )
        if given != f"Bearer {self.key}":
            return Answer({"success": False, "error": "auth_error", "msg": "Invalid user key"}, 401)
        if request.path == "/api/v0/users/current/":
            return Answer(user(bill.balance))
        if request.path != "/api/v0/charges/":
            return Answer({"success": False, "msg": "no such route"}, 404)
        asked = json.loads(request.one("select_filters"))["day"]
        first, last = (datetime.fromtimestamp(asked[name], UTC).date() for name in ("gte", "lte"))
        found = _rows(bill, first, last)
        at, size = int(request.one("after_token") or 0), min(self.page_size, int(request.one("limit")))
        rest = at + size < len(found)
        shown = found[at : at + size]
        token = str(at + size) if rest else None
        return Answer(
            {"success": True, "results": shown, "count": len(shown), "total": len(found), "next_token": token}
        )


def _rows(bill: Bill, first: date, last: date) -> list[dict[str, Any]]:
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    charges = [charge for day in days for charge in bill.of(day)]
    return [
        row(
            min(charge.day for charge in charges if charge.model == contract),
            sum((charge.amount for charge in charges if charge.model == contract), Decimal(0)),
            f"instance-{contract}",
            max(charge.day for charge in charges if charge.model == contract),
        )
        for contract in dict.fromkeys(charge.model for charge in charges)
    ]


def row(day: date, amount: Decimal, source: str, last: date | None = None) -> dict[str, Any]:
    return {
        "start": _midnight(day),
        "end": _midnight(last or day),
        "type": "instance",
        "source": source,
        "description": f"{source} charges",
        "amount": amount,
        "items": [{"type": "gpu", "amount": amount}],
    }


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def user(credit: Decimal) -> dict[str, Any]:
    key, ssh, mail = SECRETS
    return {"id": 7, "email": mail, "api_key": key, "ssh_key": ssh, "balance": 0, "credit": credit}


FAKE = Vast()
