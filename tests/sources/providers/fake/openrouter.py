"""OpenRouter's key, credits and activity, in the shapes of its OpenAPI document. `key` is a management key."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill, Charge


class OpenRouter:
    kind = "openrouter"
    key = "sk-or-v1-management-fake"
    ordinary_key = "sk-or-v1-ordinary-fake"
    wrong_key = "sk-ant-api03-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    fields = ("data", "date", "model", "usage", "total_credits", "total_usage", "limit")
    variants = ({}, {"texts": True}, {"date_suffix": " 00:00:00"}, {"today_unasked": True})
    texts = False
    date_suffix = ""
    today = True
    """Whether today's date may be asked for."""
    today_unasked = False
    """Whether the answer without a date has today in it."""
    label = "sk-or-v1-ord...ake"
    cap: tuple[Decimal, Decimal, str] | None = None
    """Limit, what remains of it, and its rhythm."""
    byok = Decimal(0)

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in (self.key, self.ordinary_key):
            return error(401, "User not found.")
        if request.path == "/key":
            return Answer({"data": self._key(bill, now.date(), given == self.key)})
        if given != self.key:
            return error(403, "Only management keys can perform this operation")
        if request.path == "/credits":
            used = sum((charge.amount for charge in bill.charges), Decimal(0))
            return Answer({"data": {"total_credits": bill.balance + used, "total_usage": used}})
        if request.path != "/activity":
            return error(404, "Not Found")
        return self._activity(request.one("date"), bill, now.date())

    def _key(self, bill: Bill, today: date, management: bool) -> dict[str, Any]:
        limit, left, rhythm = self.cap or (None, None, None)
        monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
        return {
            "label": self.label,
            "limit": limit,
            "limit_remaining": left,
            "limit_reset": rhythm,
            "usage": sum((charge.amount for charge in bill.charges), Decimal(0)),
            "usage_daily": bill.total(today, today),
            "usage_weekly": bill.total(monday, today),
            "usage_monthly": bill.total(first, today),
            "byok_usage": self.byok,
            "byok_usage_daily": self.byok,
            "byok_usage_weekly": self.byok,
            "byok_usage_monthly": self.byok,
            "include_byok_in_limit": False,
            "is_free_tier": False,
            "is_management_key": management,
            "is_provisioning_key": management,
            "expires_at": None,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
        }

    def _activity(self, asked: str, bill: Bill, today: date) -> Answer:
        days = [today - timedelta(days=back) for back in range(0 if self.today_unasked else 1, 31)]
        if asked:
            days = [date.fromisoformat(asked)]
            if (
                not today - timedelta(days=30)
                <= days[0]
                <= (today if self.today else today - timedelta(days=1))
            ):
                return error(400, "Date must be within the last 30 (completed) UTC days")
        return Answer({"data": [self._row(charge) for day in days for charge in bill.of(day)]})

    def _row(self, charge: Charge) -> dict[str, Any]:
        return {
            "date": f"{charge.day}{self.date_suffix}",
            "model": charge.model or "openai/gpt-4.1",
            "model_permaslug": f"{charge.model}-2026-01-01",
            "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
            "provider_name": charge.project or "OpenAI",
            "usage": str(charge.amount) if self.texts else charge.amount,
            "byok_usage_inference": self.byok,
            "requests": charge.requests,
            "prompt_tokens": charge.input_tokens,
            "completion_tokens": charge.output_tokens,
            "reasoning_tokens": 0,
        }


def error(code: int, message: str) -> Answer:
    return Answer({"error": {"code": code, "message": message}, "user_id": None}, code)


FAKE = OpenRouter()
