"""Amazon Bedrock: what an AWS account is billed for it each UTC day, by AWS service. Every request costs money.

Source: the Cost Explorer API, `GetCostAndUsage` (botocore 1.44 model, AWS documentation): amounts are texts, `End` is
exclusive, a request costs $0.01, data is refreshed about three times a day. Models of other makers are billed under service
names of their own, such as "Claude Sonnet (Bedrock Edition)". Requests are signed by botocore's SigV4, an extra package;
its sessions and credential chains are never used: they read files and ask the metadata service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from costmon.sources.providers.daily import day_of
from costmon.sources.providers.pages import pages
from costmon.sources.providers.parts import figure, summed
from costmon.sources.providers.protocol import (
    Bucket,
    Client,
    Figure,
    Kind,
    Option,
    Outgoing,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import currency, fail, instant, money, need, rows, table, text
from costmon.sources.providers.services import split

_FEE = Decimal("0.01")
_REGION, _SERVICE = "us-east-1", "ce"
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "AWSInsightsIndexService.GetCostAndUsage",
}
_SIGNED = frozenset(("content-type", "x-amz-target"))
_MOST_PAGES = 20
_METRIC = "UnblendedCost"
_NO_DATA = "AWS has no costs yet; a day after Cost Explorer was switched on it has some"


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Costs by day and service."""
    _paid_for(settings)
    return await _read(client, settings, window.start, window)


async def verify(client: Client, settings: Settings, window: Window) -> Reading:
    """One day: one request, $0.01."""
    _paid_for(settings)
    return await _read(client, settings, window.end - timedelta(days=1), window)


async def _read(client: Client, settings: Settings, start: datetime, window: Window) -> Reading:
    body = {
        "TimePeriod": {"Start": f"{start:%Y-%m-%d}", "End": f"{window.end:%Y-%m-%d}"},
        "Granularity": "DAILY",
        "Metrics": [_METRIC],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    asked = 0

    async def ask(cursor: str) -> Any:
        nonlocal asked
        if asked == _MOST_PAGES:
            fail("paging", f"goes on after {_MOST_PAGES} pages, each of which costs ${_FEE}")
        asked += 1
        return await client.post("/", {**body, "NextPageToken": cursor} if cursor else body, headers=_HEADERS)

    found: dict[datetime, Bucket] = {}
    figures: list[Figure] = []
    try:
        async for page in pages(ask, _cursor):
            for day in rows(need(page, "ResultsByTime"), "ResultsByTime"):
                bucket = _bucket(day)
                earlier = found.get(bucket.start, bucket)
                found[bucket.start] = replace(bucket, complete=earlier.complete and bucket.complete)
                figures += [_figure(bucket, group) for group in rows(need(day, "Groups"), "Groups")]
    except SourceError as error:
        if not str(error).startswith(_NO_DATA):
            raise
        return Reading(notes=(_NO_DATA,))
    kept, notes = split(summed(figures), settings.options["services"])
    return Reading(list(found.values()), kept, notes=notes)


def _paid_for(settings: Settings) -> None:
    if settings.options["pay_per_request"] != "true":
        month = 60 * _FEE
        raise SourceError(
            "config",
            f"AWS takes ${_FEE} for every request of costs, about ${month:.2f} a month at costmon's two a day; set "
            f"pay_per_request = true in [source.{settings.name}] to agree to that",
        )


def _cursor(page: dict[str, Any]) -> str:
    value = page.get("NextPageToken")
    if value is not None and not isinstance(value, str):
        fail("NextPageToken", "is no text")
    return value or ""


def _bucket(day: dict[str, Any]) -> Bucket:
    period = table(need(day, "TimePeriod"), "TimePeriod")
    start = instant(need(period, "Start", "TimePeriod"), "TimePeriod.Start")
    end = instant(need(period, "End", "TimePeriod"), "TimePeriod.End")
    if not isinstance(need(day, "Estimated"), bool):
        fail("Estimated", "is not true or false")
    return replace(day_of(start, "TimePeriod", end), complete=not day["Estimated"])


def _figure(bucket: Bucket, group: dict[str, Any]) -> Figure:
    keys = need(group, "Keys")
    if not isinstance(keys, list) or len(keys) != 1:
        fail("Keys", "is not one service")
    cost = table(need(table(need(group, "Metrics"), "Metrics"), _METRIC, "Metrics"), _METRIC)
    amount = money(need(cost, "Amount", _METRIC), f"{_METRIC}.Amount")
    unit = currency(need(cost, "Unit", _METRIC), f"{_METRIC}.Unit")
    return figure(bucket, amount, unit, label=text(keys[0], "Keys"))


def sign(request: Outgoing, key: str) -> Mapping[str, str]:
    """SigV4 over the host, the body and AWS's own headers. `key` is "ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]"."""
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise SourceError(
            "config", 'AWS requests must be signed, which needs one more package: pip install "costmon[aws]"'
        ) from None
    parts = key.split(":", 2)
    if len(parts) < 2 or not all(part and part.isascii() and part.isprintable() for part in parts):
        raise SourceError(
            "key",
            "the AWS key must be written ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN after it for a temporary "
            "one; set it again",
        ) from None
    signed = {name: value for name, value in request.headers.items() if name.lower() in _SIGNED}
    made = AWSRequest(method=request.method, url=request.url, data=request.body, headers=signed)
    SigV4Auth(Credentials(*parts), _SERVICE, _REGION).add_auth(made)
    return {name: value for name, value in made.headers.items() if name.lower() not in _SIGNED}


_OTHER_SECRET = "AWS refuses the signature: the secret is not that of this access key; set both again"  # noqa: S105
_UNKNOWN_KEY = "AWS does not know the access key, or the secret is another one's; set both again"
_OVER = "the temporary AWS key has expired; set a new one, or the key of an IAM user, which lasts"
_ILL_WRITTEN = "AWS cannot read the key; write it ACCESS_KEY_ID:SECRET_ACCESS_KEY"
_KEY_ERRORS = {
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "InvalidSignatureException": _OTHER_SECRET,
    "SignatureDoesNotMatch": _OTHER_SECRET,
    "ExpiredTokenException": _OVER,
    "ExpiredToken": _OVER,
    "IncompleteSignature": _ILL_WRITTEN,
    "IncompleteSignatureException": _ILL_WRITTEN,
    "MissingAuthenticationToken": "AWS got no key; set one",
    "MissingAuthenticationTokenException": "AWS got no key; set one",
}
_CLOCK = "AWS refuses the time of the request: this machine's clock may be wrong; set it (timedatectl shows whether it is)"


def _explain(status: int, body: Any) -> SourceError | None:
    if not isinstance(body, dict):
        return None
    kind = str(body.get("__type", "")).rpartition("#")[2]
    message = str(body.get("message") or body.get("Message") or "").casefold()
    late = "signature expired" in message or "not yet current" in message
    if kind in ("RequestExpired", "RequestExpiredException", "RequestTimeTooSkewed") or late:
        return SourceError("auth", _CLOCK, status=status)
    if kind in _KEY_ERRORS:
        return SourceError("auth", _KEY_ERRORS[kind], status=status)
    if kind in ("AccessDeniedException", "AccessDenied"):
        return SourceError(
            "forbidden",
            "AWS knows the key but refuses it the costs: its user needs the permission ce:GetCostAndUsage, and the account "
            "must let IAM users see billing",
            status=status,
        )
    if kind == "DataUnavailableException":
        return SourceError("upstream", _NO_DATA, status=status)
    if kind in ("LimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException"):
        return SourceError("rate_limited", "AWS was asked too often", retry_after=3600, status=status)
    if kind in ("RequestChangedException", "InvalidNextTokenException", "BillExpirationException"):
        return SourceError("upstream", f"AWS broke off while its pages were read ({kind})", status=status)
    return None


KIND = Kind(
    name="aws",
    provider="aws",
    title="AWS",
    base_url="https://ce.us-east-1.amazonaws.com",
    fetch=fetch,
    verify=verify,
    key="an AWS access key, written ACCESS_KEY_ID:SECRET_ACCESS_KEY, of a user with the permission ce:GetCostAndUsage",
    key_from="IAM → Users → Security credentials → Access keys in the AWS console",
    authorize=sign,
    explain=_explain,
    options=(
        Option("pay_per_request", f"true: you agree that AWS takes ${_FEE} for every request"),
        Option(
            "services", "words of the names of AWS services whose costs count, with commas between", "Bedrock"
        ),
    ),
    every_s=12 * 3600,
    at_least_s=6 * 3600,
    settles_after=timedelta(days=41),  # a month, and the days until its bill is issued
    fee=(_FEE, "USD"),
    lacks=(
        "figures are by AWS service, not by model: Amazon's own models are one figure, those of other makers one a product",
        "a day's figure is behind by up to a day, and an estimate until the month's bill is issued",
        "tax, which AWS bills apart",
    ),
)
