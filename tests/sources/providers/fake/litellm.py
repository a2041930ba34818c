"""A LiteLLM proxy's `/key/info` and `/user/info`, in the shapes its own code sends."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill


class LiteLLM:
    kind = "litellm"
    key = "sk-virtual-fake"
    master_key = "sk-master-fake"
    wrong_key = "sk-ant-api03-fake"
    options: ClassVar[dict[str, str]] = {}
    days = False
    fields = ("info", "spend", "max_budget", "user_info", "user_id")
    user: str | None = "mina"
    budget: Decimal | None = Decimal(20)
    shared_budget: Decimal | None = None
    teams: tuple[dict[str, Any], ...] = ()
    may_read_user = True
    database = True

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in (self.key, self.master_key):
            return error(
                401, "Authentication Error, Invalid proxy server token passed.", "token_not_found_in_db"
            )
        if not self.database:
            return error(
                500, "Internal Server Error, Database not connected. Connect a database to your proxy"
            )
        spent = sum((charge.amount for charge in bill.charges), Decimal(0))
        row = {"spend": spent, "max_budget": self.budget, "budget_reset_at": "2026-12-01T00:00:00Z"}
        if request.path == "/key/info" and given == self.key:
            shared = None if self.shared_budget is None else {"max_budget": self.shared_budget}
            return Answer({"key": "0" * 64, "info": {**self._names, **row, "litellm_budget_table": shared}})
        if request.path == "/user/info" and request.one("user_id") == self.user:
            if not self.may_read_user:
                return error(403, "user not allowed to access this user's info")
            own = {"user_id": self.user, "spend": spent, "max_budget": None, "budget_reset_at": None}
            return Answer({"user_id": self.user, "user_info": own, "keys": [], "teams": list(self.teams)})
        return error(404, "Key not found in database", "not_found_error")

    @property
    def _names(self) -> dict[str, Any]:
        return {"key_name": "sk-...fake", "key_alias": "trader", "user_id": self.user, "team_id": None}


def error(status: int, message: str, kind: str = "internal_server_error") -> Answer:
    body = {"message": message, "type": kind, "param": "None", "code": str(status)}
    return Answer({"error": body}, status)


FAKE = LiteLLM()
