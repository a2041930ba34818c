"""Deepgram's billing breakdown by line item and day, its projects and balances."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

PROJECT = "12345678-90ab-4cde-8f01-234567890abc"


class Deepgram:
    kind = "deepgram"
    key = "deepgram-fake"
    wrong_key = "deepgram-member-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    covers_today = False
    fields = (
        *("projects", "project_id", "resolution", "units", "results", "dollars", "grouping", "start", "end"),
        *("line_item", "balances"),
    )
    whole_end = False
    """Whether the range includes its last day: this is not documented."""

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "")
        if given not in (f"Token {self.key}", f"Token {self.wrong_key}"):
            return error(401, "INVALID_AUTH", "Invalid credentials.")
        if request.path == "/projects":
            return Answer({"projects": [{"project_id": PROJECT, "name": "one"}]})
        if given == f"Token {self.wrong_key}":
            return error(403, "INSUFFICIENT_PERMISSIONS", "User does not have sufficient permissions.")
        if request.path == f"/projects/{PROJECT}/balances":
            return Answer({"balances": [held(bill.balance)]})
        if request.path != f"/projects/{PROJECT}/billing/breakdown":
            return error(404, "NOT_FOUND", "Project not found.")
        assert request.all("grouping") == ["line_item"]
        first, last = (date.fromisoformat(request.one(name)) for name in ("start", "end"))
        days = [first + timedelta(days=at) for at in range((last - first).days + self.whole_end)]
        return breakdown(
            [
                item(charge.day, charge.amount, f"streaming::{charge.model}")
                for day in days
                for charge in bill.of(day)
            ]
        )


def item(day: date, dollars: Decimal, line_item: str, end: date | None = None) -> dict[str, Any]:
    return {
        "dollars": dollars,
        "grouping": {
            "start": day.isoformat(),
            "end": (end or day).isoformat(),
            "line_item": line_item,
            "accessor": None,
            "deployment": None,
            "tags": None,
        },
    }


def breakdown(results: list[dict[str, Any]], units: str = "day", amount: int = 1) -> Answer:
    return Answer({"resolution": {"units": units, "amount": amount}, "results": results})


def held(amount: Decimal, units: str = "USD") -> dict[str, Any]:
    return {"balance_id": "b1", "amount": amount, "units": units, "purchase_order_id": "p1"}


def error(status: int, code: str, message: str) -> Answer:
    return Answer({"err_code": code, "err_msg": message, "request_id": "r1"}, status)


FAKE = Deepgram()
