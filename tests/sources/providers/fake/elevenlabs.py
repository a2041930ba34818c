"""ElevenLabs' subscription: credits used of a limit. A hundred thousand credits stand for the bill's hundred dollars."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

RESETS = 1_797_638_400
"""2026-12-19 00:00 UTC."""


class ElevenLabs:
    kind = "elevenlabs"
    key = "sk_elevenlabs-fake"
    wrong_key = "sk_without-permission-fake"
    options: ClassVar[dict[str, str]] = {}
    days = False
    fields = ("character_count", "character_limit")

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("xi-api-key", "")
        if given == self.wrong_key:
            message = "The API key you used is missing the permission user_read to execute this operation."
            return Answer({"detail": {"status": "missing_permissions", "message": message}}, 401)
        if given != self.key:
            return Answer({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, 401)
        if request.path != "/v1/user/subscription":
            return Answer({"detail": "Not Found"}, 404)
        return Answer(subscription(character_count=100_000 - int(bill.balance * 1000)))


def subscription(**changed: Any) -> dict[str, Any]:
    return {
        "tier": "creator",
        "status": "active",
        "character_count": 25_000,
        "character_limit": 100_000,
        "max_credit_limit_extension": 0,
        "next_character_count_reset_unix": RESETS,
        "currency": "usd",
        "current_overage": {"amount": "0", "currency": "usd"},
        "next_invoice": {"amount_due_cents": 2200, "next_payment_attempt_unix": RESETS},
    } | changed


FAKE = ElevenLabs()
