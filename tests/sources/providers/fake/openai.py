"""OpenAI's costs and usage, in the shapes of its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill, Charge


class OpenAI:
    kind = "openai"
    key = "sk-admin-fake"
    wrong_key = "sk-proj-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    fields = (
        "data",
        "start_time",
        "end_time",
        "results",
        "amount",
        "value",
        "currency",
        "line_item",
        "has_more",
    )
    cursor = ("has_more", "next_page")
    variants = ({}, {"texts": True}, {"most": 7}, {"list_name": "result"}, {"cut_today": True})
    texts = False
    """Whether amounts are sent as texts, as has been seen."""
    most = 180
    list_name = "results"
    cut_today = False
    """Whether today's bucket ends now instead of at midnight."""

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.wrong_key}":
            return error(
                403, "You have insufficient permissions for this operation. Missing scopes: api.usage.read."
            )
        if given != f"Bearer {self.key}":
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        if not request.one("start_time"):
            return error(400, "Missing required parameter: 'start_time'.")
        first, last = (
            datetime.fromtimestamp(int(request.one(name)), UTC).date() for name in ("start_time", "end_time")
        )
        days = [
            first + timedelta(days=at)
            for at in range((last - first).days)
            if first + timedelta(days=at) <= now.date()
        ]
        at, size = int(request.one("page") or 0), min(self.most, int(request.one("limit") or 7))
        if not 1 <= size <= 180:
            return error(400, "Invalid 'limit': integer above maximum value.")
        shown = days[at : at + size]
        rest = at + size < len(days)
        return Answer(
            {
                "object": "page",
                "data": [self._bucket(day, self._rows(request, bill.of(day)), now) for day in shown],
                "has_more": rest,
                "next_page": str(at + size) if rest else None,
            }
        )

    def _rows(self, request: Request, charges: list[Charge]) -> list[dict[str, Any]]:
        if request.path.endswith("/costs"):
            return list(self._costs(charges, request.all("group_by[]")))
        return list(self._usage(charges)) if request.path.endswith("/completions") else []

    def _bucket(self, day: date, results: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        end = min(start + 86_400, int(now.timestamp())) if self.cut_today else start + 86_400
        return {"object": "bucket", "start_time": start, "end_time": end, self.list_name: results}

    def _costs(self, charges: list[Charge], by: list[str]) -> Iterator[dict[str, Any]]:
        for charge in charges:
            value: Decimal | str = str(charge.amount) if self.texts else charge.amount
            yield {
                "object": "organization.costs.result",
                "amount": {"value": value, "currency": "usd"},
                "line_item": _label(charge) if "line_item" in by else None,
                "project_id": charge.project if "project_id" in by else None,
                "api_key_id": charge.key if "api_key_id" in by else None,
                "quantity": None,
                "quantity_unit": None,
            }

    def _usage(self, charges: list[Charge]) -> Iterator[dict[str, Any]]:
        for charge in charges:
            yield {
                "object": "organization.usage.completions.result",
                "input_tokens": charge.input_tokens,
                "input_cached_tokens": charge.cached_tokens,
                "output_tokens": charge.output_tokens,
                "num_model_requests": charge.requests,
                "project_id": charge.project,
                "api_key_id": charge.key,
                "model": charge.model,
            }


def _label(charge: Charge) -> str:
    return f"{charge.model}, input" if charge.model else "web search tool calls"


def error(status: int, message: str, code: str | None = None) -> Answer:
    return Answer(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, status
    )


FAKE = OpenAI()
