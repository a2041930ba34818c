"""Anthropic's cost and usage reports, in the shapes of its Admin API reference: cents as texts, 31 days a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill, Charge


class Anthropic:
    kind = "anthropic"
    key = "sk-ant-admin01-fake"
    wrong_key = "sk-ant-api03-fake"
    options: ClassVar[dict[str, str]] = {}
    days = True
    fields = (
        *("data", "starting_at", "ending_at", "results", "amount", "currency", "model", "description"),
        "has_more",
    )
    cursor = ("has_more", "next_page")
    variants = ({}, {"texts": False}, {"most": 7})
    texts = True
    most = 31

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        if request.headers.get("anthropic-version") != "2023-06-01":
            return error(400, "invalid_request_error", "anthropic-version: header is required")
        if request.headers.get("x-api-key") != self.key:
            return error(401, "authentication_error", "invalid x-api-key")
        if "group_by" in dict(request.query):
            return error(400, "invalid_request_error", "group_by: did you mean group_by[]?")
        make = {
            "/v1/organizations/cost_report": self._costs,
            "/v1/organizations/usage_report/messages": self._usage,
        }.get(request.path)
        if make is None:
            return error(404, "not_found_error", "Not found")
        size = int(request.one("limit") or 7)
        if not request.one("starting_at") or not 1 <= size <= 31:
            return error(400, "invalid_request_error", "limit: Input should be less than or equal to 31")
        days, at = _days(request, now), int(request.one("page", "page_0").removeprefix("page_"))
        size = min(size, self.most)
        rest = at + size < len(days)
        by = request.all("group_by[]")
        return Answer(
            {
                "data": [_bucket(day, list(make(bill.of(day), by))) for day in days[at : at + size]],
                "has_more": rest,
                "next_page": f"page_{at + size}" if rest else None,
            }
        )

    def _costs(self, charges: list[Charge], by: list[str]) -> Iterator[dict[str, Any]]:
        described = "description" in by
        for charge in charges:
            cents = charge.amount * 100
            tokens = described and charge.model
            yield {
                "amount": f"{cents:f}" if self.texts else cents,
                "currency": "USD",
                "description": _description(charge) if described else None,
                "cost_type": ("tokens" if tokens else "web_search") if described else None,
                "model": charge.model or None if described else None,
                "token_type": "uncached_input_tokens" if tokens else None,
                "service_tier": "standard" if tokens else None,
                "context_window": "0-200k" if tokens else None,
                "inference_geo": "global" if tokens else None,
                "workspace_id": charge.project if "workspace_id" in by else None,
            }

    def _usage(self, charges: list[Charge], by: list[str]) -> Iterator[dict[str, Any]]:
        for charge in charges:
            yield {
                "uncached_input_tokens": charge.input_tokens - charge.cached_tokens - 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
                "cache_read_input_tokens": charge.cached_tokens,
                "output_tokens": charge.output_tokens,
                "server_tool_use": {"web_search_requests": 0},
                "model": charge.model if "model" in by else None,
                "api_key_id": charge.key if "api_key_id" in by else None,
                "workspace_id": charge.project if "workspace_id" in by else None,
                "service_tier": None,
            }


def _days(request: Request, now: datetime) -> list[date]:
    """The days that begin at `starting_at` or later and end by `ending_at`."""
    first = datetime.fromisoformat(request.one("starting_at")).date()
    last = datetime.fromisoformat(request.one("ending_at") or now.astimezone(UTC).isoformat()).date()
    return [first + timedelta(days=at) for at in range((last - first).days)]


def _description(charge: Charge) -> str:
    return f"{charge.model} Usage - Input Tokens" if charge.model else "Web Search Usage"


def _bucket(day: date, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "starting_at": f"{day}T00:00:00Z",
        "ending_at": f"{day + timedelta(days=1)}T00:00:00Z",
        "results": results,
    }


def error(status: int, kind: str, message: str) -> Answer:
    return Answer(
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011fake"}, status
    )


FAKE = Anthropic()
