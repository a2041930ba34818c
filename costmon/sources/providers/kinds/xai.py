"""xAI: what a team used each UTC day, the tax and credits of the running month, and what is left of prepaid credits.

Sources: xAI's billing and analytics protocol files and its billing REST reference; finding the team by the key
(`/auth/management-keys/validation`) is as clients use it. Three units side by side: the usage query answers in dollars, the
invoice in whole cents as texts, the prepaid ledger in cents with the sign turned (what was bought is negative). Fields that
are zero may be left out.

The days come from the usage query alone. The invoice preview covers the same spend again, and is of the whole month: its
sum, tax and credits are told in a note and are in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from costmon.sources.providers.daily import day_of
from costmon.sources.providers.parts import days, figure, id_of, id_option, or_zero, summed, unless_refused
from costmon.sources.providers.protocol import (
    Balance,
    Bucket,
    Client,
    Figure,
    Kind,
    Option,
    Reading,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import count, fail, instant, money, need, rows, table

_CENTS = 2
_AMOUNTS = ("amountBeforeVat", "vatCost", "amountAfterVat", "autoCreditsIssued", "defaultCreditsIssued")
_OF_INVOICE = {*_AMOUNTS, "lines", "totalWithCorr", "prepaidCredits", "prepaidCreditsUsed"}
_TIMES = "%Y-%m-%d %H:%M:%S"


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Dollars by day; the prepaid balance less what the running month has used; that month's invoice as a note."""
    team = await _team(client, settings)
    billing = f"/v1/billing/teams/{team}"
    answer = table(await client.post(f"{billing}/usage", _question(window)), "answer")
    buckets, figures = _days(answer, window)
    partial = _limit_reached(answer)
    notes = ["xAI cut the answer short: these figures are not all"] if partial else []
    invoice, refusal = await unless_refused(_invoice(client, billing), "no invoice and no balance")
    notes += refusal
    balances: list[Balance] = []
    if invoice is not None:
        notes.append(invoice.sentence())
        balance, refusal = await unless_refused(_balance(client, billing, invoice), "no balance")
        notes += refusal
        if balance is not None:
            balances.append(balance)
            notes.append(
                "what prepaid credits pay for is posted when the month is billed; it is subtracted already"
            )
        elif invoice.prepaid_used is None:
            notes.append("no balance: the invoice does not say what it has used of the prepaid credits")
    return Reading(buckets, figures, balances=balances, notes=notes, partial=partial)


async def _team(client: Client, settings: Settings) -> str:
    told = id_option(settings, "team", "11111111-2222-4333-8444-555555555555")
    if told:
        return told
    hint = f"set [source.{settings.name}] team (it is in the address of console.x.ai)"
    try:
        answer = table(await client.get("/auth/management-keys/validation"), "answer")
        return id_of(answer.get("teamId"), "teamId")
    except SourceError as error:
        if error.state == "not_found":
            raise SourceError("config", f"xAI does not tell which team the key is of; {hint}") from None
        if error.state == "schema":
            raise SourceError("schema", f"{error}; or {hint}") from None
        raise


def _question(window: Window) -> dict[str, Any]:
    last = min(window.end, window.now)
    return {
        "analyticsRequest": {
            "timeRange": {
                "startTime": window.start.strftime(_TIMES),
                "endTime": last.strftime(_TIMES),
                "timezone": "Etc/GMT",
            },
            "timeUnit": "TIME_UNIT_DAY",
            "values": [{"name": "usd", "aggregation": "AGGREGATION_SUM"}],
            "groupBy": [],
            "filters": [],
        }
    }


def _days(answer: dict[str, Any], window: Window) -> tuple[list[Bucket], list[Figure]]:
    """The days there is a point for; no series at all is a team without usage, whose days are zero."""
    asked = days(window)
    series = rows(answer.get("timeSeries"), "timeSeries")
    if not series:
        return asked, []
    points = [point for line in series for point in _points(line)]
    told = {bucket for bucket, _ in points}
    figures = [figure(bucket, value) for bucket, value in points if value and bucket in asked]
    return [bucket for bucket in asked if bucket in told], summed(figures)


def _points(line: dict[str, Any]) -> list[tuple[Bucket, Decimal]]:
    found = []
    for point in rows(line.get("dataPoints"), "timeSeries.dataPoints"):
        at = instant(need(point, "timestamp", "timeSeries.dataPoints"), "timeSeries.dataPoints.timestamp")
        where = "timeSeries.dataPoints.values"
        values = point.get("values")
        if not isinstance(values, list) or len(values) != 1:
            fail(where, "is not the one value that was asked for")
        found.append((day_of(at, "timeSeries.dataPoints.timestamp"), money(values[0], where)))
    if len({bucket for bucket, _ in found}) < len(found):
        fail("timeSeries.dataPoints", "tells a day twice")
    return found


def _limit_reached(answer: dict[str, Any]) -> bool:
    reached = answer.get("limitReached", False)
    return reached if isinstance(reached, bool) else fail("limitReached", "is neither true nor false")


@dataclass(frozen=True, slots=True)
class _Invoice:
    """The running month's invoice so far, in dollars."""

    month: str
    before_tax: Decimal
    tax: Decimal
    credits: Decimal
    prepaid_used: Decimal | None

    def sentence(self) -> str:
        beside = [
            f"{value:.2f} USD {name}"
            for value, name in ((self.tax, "tax"), (self.credits, "credits"))
            if value
        ]
        more = f"; {' and '.join(beside)} are in no figure" if beside else ""
        return f"xAI's invoice of {self.month} so far is {self.before_tax:.2f} USD before tax{more}"


async def _invoice(client: Client, billing: str) -> _Invoice:
    answer = table(await client.get(f"{billing}/postpaid/invoice/preview"), "answer")
    core = table(need(answer, "coreInvoice"), "coreInvoice")
    if core and not _OF_INVOICE & core.keys():
        fail("coreInvoice", "has none of the fields of an invoice")
    before, tax, after, automatic, default = (
        money(or_zero(core, name), f"coreInvoice.{name}", scale=_CENTS) for name in _AMOUNTS
    )
    if tax < 0 or before + tax != after:
        fail("coreInvoice.vatCost", "is not what lies between amountBeforeVat and amountAfterVat")
    used = _cents(core.get("prepaidCreditsUsed"), "coreInvoice.prepaidCreditsUsed")
    held = _cents(core.get("prepaidCredits"), "coreInvoice.prepaidCredits")
    # Left out, it is a zero or has another name now; with credits there and something to pay, nobody can tell which.
    unsaid = core.get("prepaidCreditsUsed") is None and bool(after and held)
    month = _month(table(need(answer, "billingCycle"), "billingCycle"))
    # Whether credits and what was used are told as positive or as negative is not documented; their size is.
    return _Invoice(month, before, tax, abs(automatic) + abs(default), None if unsaid else abs(used))


def _month(cycle: dict[str, Any]) -> str:
    year, month = (
        count(need(cycle, name, "billingCycle"), f"billingCycle.{name}") for name in ("year", "month")
    )
    if not year or not month or not 2000 < year < 9000 or month > 12:
        fail("billingCycle", "is no month")
    return f"{year}-{month:02}"


async def _balance(client: Client, billing: str, invoice: _Invoice) -> Balance | None:
    """None where what was used is not known, and for a team that never bought prepaid credits: its zero would look like
    credits that ran out."""
    answer = table(await client.get(f"{billing}/prepaid/balance"), "answer")
    total = _cents(need(answer, "total"), "total")
    changes = answer.get("changes")
    bought = rows(changes, "changes") if changes is not None else ()
    if invoice.prepaid_used is None or not (total or bought):
        return None
    return Balance(-total - invoice.prepaid_used, "USD", label="prepaid credits")


def _cents(value: Any, where: str) -> Decimal:
    """A `Cent` object in dollars. Without `val` it is zero, but then nothing else may be in it."""
    if value is None:
        return Decimal(0)
    cent = table(value, where)
    if not cent:
        return Decimal(0)
    return money(need(cent, "val", where), f"{where}.val", scale=_CENTS)


def _explain(status: int, body: Any) -> SourceError | None:
    if status in (401, 403):
        return SourceError(
            "auth" if status == 401 else "forbidden",
            "xAI refuses the key; billing needs a management key of the team (console.x.ai → Settings → Management Keys), "
            "ordinary API keys cannot read it",
            status=status,
        )
    if status == 404:
        return SourceError(
            "not_found", "xAI knows no such team, or the key is not of it; check the setting team", status=404
        )
    return None


KIND = Kind(
    name="xai",
    provider="x-ai",
    title="xAI",
    base_url="https://management-api.x.ai",
    fetch=fetch,
    key="a management key of the team",
    key_from="Settings → Management Keys on console.x.ai",
    env=("XAI_MANAGEMENT_KEY", "XAI_MANAGEMENT_API_KEY"),
    explain=_explain,
    options=(
        Option("team", "the team's id, in the address of console.x.ai; found by the key when it is left out"),
    ),
    every_s=300,
    at_least_s=60,
    lacks=(
        "which model spent it is not told",
        "tax and credits, which are known for the whole month only",
    ),
)
