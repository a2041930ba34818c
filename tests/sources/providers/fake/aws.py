"""AWS Cost Explorer's GetCostAndUsage. It works out every signature anew, from AWS's description of version 4."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill

ID, PASSWORD = "AKIDFAKE0000EXAMPLE0", "fake/secret+of/forty-characters-made-up00"


class AWS:
    kind = "aws"
    key = f"{ID}:{PASSWORD}"
    wrong_key = f"{ID}:another/secret+of/forty-characters-0000000"
    options: ClassVar[dict[str, str]] = {"pay_per_request": "true"}
    days = True
    models = False
    fields = (
        *("ResultsByTime", "TimePeriod", "Start", "End", "Estimated", "Groups", "Keys"),
        *("Metrics", "UnblendedCost", "Amount", "Unit"),
    )
    page_days = 14
    session = ""
    estimated_from: date | None = None
    """From this day on, its figures are estimates; None = from the first of the month of now."""

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        refused = self._refused(request)
        if refused is not None:
            return refused
        asked = json.loads(request.body)
        if asked["GroupBy"] != [{"Type": "DIMENSION", "Key": "SERVICE"}] or asked["Metrics"] != [
            "UnblendedCost"
        ]:
            return error("ValidationException", "not what this is for")
        first, last = (date.fromisoformat(asked["TimePeriod"][name]) for name in ("Start", "End"))
        days = [first + timedelta(days=at) for at in range((last - first).days)]
        token = asked.get("NextPageToken", "")
        at = int(token) if token.isdigit() else 0
        page: dict[str, Any] = {
            "ResultsByTime": [self._day(day, bill, now) for day in days[at : at + self.page_days]],
            "DimensionValueAttributes": [],
        }
        if at + self.page_days < len(days):
            page["NextPageToken"] = str(at + self.page_days)
        return Answer(page)

    def _day(self, day: date, bill: Bill, now: datetime) -> dict[str, Any]:
        sums: dict[str, Decimal] = {"Amazon Elastic Compute Cloud - Compute": Decimal("3.21")}
        for charge in bill.of(day):
            name = f"{charge.model or 'Amazon'} (Bedrock Edition)"
            sums[name] = sums.get(name, Decimal(0)) + charge.amount
        return {
            "TimePeriod": {"Start": f"{day}", "End": f"{day + timedelta(days=1)}"},
            "Total": {},
            "Groups": [group(name, amount) for name, amount in sums.items()] if bill.of(day) else [],
            "Estimated": day >= (self.estimated_from or now.date().replace(day=1)),
        }

    def _refused(self, request: Request) -> Answer | None:
        if request.headers.get("x-amz-target") != "AWSInsightsIndexService.GetCostAndUsage":
            return error("UnknownOperationException", "no such operation")
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/([0-9]{8})/us-east-1/ce/aws4_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            request.headers.get("authorization", ""),
        )
        if given is None:
            return error("IncompleteSignatureException", "no signature of version 4")
        if given[1] != ID:
            return error(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        if request.headers.get("x-amz-security-token", "") != self.session:
            return error("ExpiredTokenException", "The security token included in the request is expired")
        names = given[3].split(";")
        if not {"content-type", "host", "x-amz-date", "x-amz-target"} <= set(names):
            return error("InvalidSignatureException", "'Host' must be a 'SignedHeader'")
        if not hmac.compare_digest(signature(request, names, given[2]), given[4]):
            return error("InvalidSignatureException", "The request signature we calculated does not match")
        return None


def signature(request: Request, names: list[str], day: str) -> str:
    """AWS Signature Version 4 of a request, by hand."""
    canonical = "\n".join(
        (
            *(request.method, request.path, ""),
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
            *("", ";".join(names), hashlib.sha256(request.body).hexdigest()),
        )
    )
    told = f"{day}/us-east-1/ce/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{told}\n{digest}"
    key = f"AWS4{PASSWORD}".encode()
    for part in (day, "us-east-1", "ce", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def group(name: str, amount: Decimal) -> dict[str, Any]:
    return {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": f"{amount:f}", "Unit": "USD"}}}


def error(kind: str, message: str) -> Answer:
    return Answer({"__type": f"com.amazon.coral.service#{kind}", "message": message}, 400)


FAKE = AWS()
