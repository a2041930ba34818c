"""xAI: dollars by day next to cents with a turned sign, and one spend that is visible twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import USAGE, SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server
from tests.sources.providers.fake.xai import (
    BALANCE,
    FAKE,
    PREVIEW,
    TEAM,
    invoice,
    ledger,
    point,
    series,
)
from tests.sources.providers.fake.xai import (
    USAGE as USAGE_PATH,
)

KIND = registry.kind("xai")


class Odd:
    """The fake, with other answers at some paths."""

    kind, key, wrong_key, options, days = FAKE.kind, FAKE.key, FAKE.wrong_key, FAKE.options, True

    def __init__(self, **answers: Any) -> None:
        self.answers = {"usage": USAGE_PATH, "preview": PREVIEW, "balance": BALANCE}
        self.odd = {self.answers.get(name, name): answer for name, answer in answers.items()}

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        found = self.odd.get(request.path)
        if found is None:
            return FAKE.answer(request, bill, now)
        return found if isinstance(found, Answer) else Answer(found)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(**answers: Any) -> Server:
        bill = Bill()
        bill.spend(date(2026, 11, 5), "2.00")
        bill.spend(date(2026, 11, 19), "1.284419")
        bill.spend(date(2026, 11, 20), "0.715581")
        servers.append(Server(Odd(**answers), bill, NOW).__enter__())
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__()


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


async def test_days_are_dollars_and_days_without_spend_are_zero(serve: Callable[..., Server]) -> None:
    reading = await read(KIND, serve())
    usage = {figure.start.day: figure.amount for figure in reading.figures if figure.line == USAGE}
    assert usage == {19: Decimal("1.284419"), 20: Decimal("0.715581")}
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]
    assert not reading.partial


async def test_the_month_is_never_usage_beside_its_days(serve: Callable[..., Server]) -> None:
    server = serve(preview=invoice(2026, 11, 400, vatCost="40", amountAfterVat="440", autoCreditsIssued="25"))
    reading = await read(KIND, server)
    assert {bucket.end - bucket.start for bucket in reading.buckets} == {timedelta(days=1)}
    assert sum(figure.amount for figure in reading.figures) == 2
    [note] = [note for note in reading.notes if "invoice" in note]
    assert "2026-11 so far is 4.00 USD before tax" in note
    assert "0.40 USD tax and 0.25 USD credits are in no figure" in note


async def test_credits_lower_the_bill_whatever_their_sign(serve: Callable[..., Server]) -> None:
    reading = await read(KIND, serve(preview=invoice(2026, 11, 400, defaultCreditsIssued="-25")))
    assert any("0.25 USD credits are in no figure" in note for note in reading.notes)


async def test_a_ledger_of_minus_a_thousand_cents_is_ten_dollars(serve: Callable[..., Server]) -> None:
    server = serve(balance=ledger(-1000), preview=invoice(2026, 11, 0))
    [balance] = (await read(KIND, server)).balances
    assert (balance.amount, balance.unit) == (Decimal("10.00"), "USD")


@pytest.mark.parametrize("sign", ["", "-"])
async def test_what_the_running_month_has_used_is_no_longer_left(
    serve: Callable[..., Server], sign: str
) -> None:
    server = serve(
        balance=ledger(-1000), preview=invoice(2026, 11, 600, prepaidCreditsUsed={"val": f"{sign}600"})
    )
    reading = await read(KIND, server)
    assert [balance.amount for balance in reading.balances] == [Decimal("4.00")]
    assert any("subtracted already" in note for note in reading.notes)


async def test_zeros_that_are_left_out_are_zeros(serve: Callable[..., Server]) -> None:
    core = dict.fromkeys(("vatCost", "autoCreditsIssued", "prepaidCredits", "prepaidCreditsUsed"))
    reading = await read(KIND, serve(preview=invoice(2026, 11, 600, **core), balance=ledger(-1000)))
    assert {figure.line for figure in reading.figures} == {USAGE}
    assert [balance.amount for balance in reading.balances] == [10]
    spent = {"changes": ledger(-1000)["changes"], "total": {}}
    reading = await read(KIND, serve(balance=spent, preview=invoice(2026, 11, 0)))
    assert [balance.amount for balance in reading.balances] == [0]


async def test_a_balance_is_not_overstated_when_it_is_unsaid_what_was_used(
    serve: Callable[..., Server],
) -> None:
    reading = await read(KIND, serve(preview=invoice(2026, 11, 600, prepaidCreditsUsed=None)))
    assert not reading.balances
    assert any("no balance" in note for note in reading.notes)
    assert sum(figure.amount for figure in reading.figures) == 2


async def test_a_team_that_never_paid_ahead_has_no_balance_that_ran_out(serve: Callable[..., Server]) -> None:
    assert not (await read(KIND, serve(balance={"total": {"val": "0"}}))).balances


async def test_a_truncated_answer_is_marked(serve: Callable[..., Server]) -> None:
    usage = series([point(NOW.replace(hour=0, minute=0), Decimal(1))], limitReached=True)
    reading = await read(KIND, serve(usage=usage))
    assert reading.partial
    assert any("not all" in note for note in reading.notes)


async def test_a_day_without_a_point_is_unknown_not_zero(serve: Callable[..., Server]) -> None:
    reading = await read(KIND, serve(usage=series([point(datetime(2026, 11, 19, tzinfo=UTC), Decimal(3))])))
    assert [bucket.start.day for bucket in reading.buckets] == [19]


async def test_no_series_at_all_is_a_team_that_used_nothing(serve: Callable[..., Server]) -> None:
    reading = await read(KIND, serve(usage={"timeSeries": [], "limitReached": False}))
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]
    assert not [figure for figure in reading.figures if figure.line == USAGE]


async def test_it_asks_up_to_now_and_in_utc(serve: Callable[..., Server]) -> None:
    server = serve()
    await read(KIND, server)
    [asked] = [
        json.loads(request.body)["analyticsRequest"] for request in server.journal if request.method == "POST"
    ]
    assert asked["timeRange"] == {
        "startTime": "2026-11-18 00:00:00",
        "endTime": "2026-11-20 15:30:00",
        "timezone": "Etc/GMT",
    }
    assert asked["timeUnit"] == "TIME_UNIT_DAY"
    assert [request.method for request in server.journal if request.path != USAGE_PATH] == ["GET"] * 3


async def test_the_team_is_found_by_the_key_or_told(serve: Callable[..., Server]) -> None:
    found, told = serve(), serve()
    await read(KIND, found)
    await read(KIND, told, team=TEAM)
    assert found.journal[0].path == "/auth/management-keys/validation"
    assert "/auth/management-keys/validation" not in [request.path for request in told.journal]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer({}, 404), "config"),
        (Answer({"apiKeyId": "k"}), "schema"),
        (Answer({"teamId": "../../x"}), "schema"),
        (Answer(b"<html>Sign in</html>"), "schema"),
    ],
)
async def test_a_team_that_cannot_be_found_has_to_be_set(
    serve: Callable[..., Server], answer: Answer, state: str
) -> None:
    error = await refusal(serve(**{"/auth/management-keys/validation": answer}))
    assert error.state == state
    assert "set [source.xai] team" in str(error)


async def test_a_team_that_is_no_id_never_reaches_a_path(serve: Callable[..., Server]) -> None:
    server = serve()
    assert (await refusal(server, team="../other")).state == "config"
    assert not server.journal


@pytest.mark.parametrize(("key", "state"), [("xai-inference-fake", "forbidden"), ("nobody", "auth")])
async def test_an_ordinary_key_is_told_which_kind_is_needed(
    serve: Callable[..., Server], key: str, state: str
) -> None:
    error = await refusal(serve(), key=key)
    assert error.state == state
    assert "management key" in str(error)


async def test_a_foreign_team_is_named_as_such(serve: Callable[..., Server]) -> None:
    error = await refusal(serve(), team="another-team")
    assert error.state == "not_found"
    assert "team" in str(error)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_key_without_the_invoice_still_has_days_but_no_overstated_balance(
    serve: Callable[..., Server], status: int
) -> None:
    reading = await read(KIND, serve(preview=Answer({"code": 7}, status)))
    assert sum(figure.amount for figure in reading.figures) == 2
    assert not reading.balances
    assert any("no invoice and no balance" in note for note in reading.notes)


async def test_an_invoice_that_fails_by_chance_fails_the_round(serve: Callable[..., Server]) -> None:
    assert (await refusal(serve(preview=Answer({"code": 14}, 503)))).state == "upstream"


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    copy = json.loads(json.dumps(body, default=str))
    at = copy
    for name in path[:-1]:
        at = at[name]
    at[f"{path[-1]}Renamed"] = at.pop(path[-1])
    return copy


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({"usage": {"series": []}}, "timeSeries"),
        ({"usage": {"timeSeries": [{"points": []}]}}, "dataPoints"),
        ({"usage": series([{"timestamp": "2026-11-19T00:00:00Z", "value": [1]}])}, "values"),
        ({"usage": series([{"timestamp": "2026-11-19T00:00:00Z", "values": [1, 2]}])}, "values"),
        ({"usage": series([{"timestamp": "2026-11-19T00:00:00Z", "values": [None]}])}, "values"),
        ({"usage": series([{"at": "2026-11-19T00:00:00Z", "values": [1]}])}, "timestamp"),
        ({"usage": series([{"timestamp": "2026-11-19T05:00:00Z", "values": [1]}])}, "timestamp"),
        ({"usage": series([point(datetime(2026, 11, 19, tzinfo=UTC), Decimal(1))] * 2)}, "twice"),
        ({"usage": series([], limitReached="no")}, "limitReached"),
        ({"preview": without(invoice(2026, 11, 600), "coreInvoice")}, "coreInvoice"),
        ({"preview": without(invoice(2026, 11, 600), "billingCycle")}, "billingCycle"),
        ({"preview": without(invoice(2026, 11, 600), "billingCycle", "month")}, "billingCycle.month"),
        ({"preview": invoice(2026, 13, 600)}, "billingCycle"),
        ({"preview": invoice(2026, 11, 600, vatCost=None, amountAfterVat="660")}, "vatCost"),
        ({"preview": invoice(2026, 11, 600, vatCost="-60", amountAfterVat="540")}, "vatCost"),
        (
            {"preview": without(invoice(2026, 11, 600), "coreInvoice", "prepaidCreditsUsed", "val")},
            "prepaidCreditsUsed.val",
        ),
        ({"balance": {"changes": []}}, "total"),
        ({"balance": without(ledger(-1000), "total", "val")}, "total.val"),
        ({"balance": {"total": {"val": "much"}}}, "total.val"),
        ({"balance": {"total": "-1000"}}, "total"),
    ],
)
async def test_a_renamed_or_odd_field_is_named(
    serve: Callable[..., Server], answers: Any, named: str
) -> None:
    error = await refusal(serve(**answers))
    assert error.state == "schema"
    assert named in str(error)


async def test_at_midnight_the_new_day_is_not_claimed_yet(serve: Callable[..., Server]) -> None:
    window = days_until(datetime(2026, 11, 20, tzinfo=UTC), 2)
    reading = await read(KIND, serve(), window)
    assert [bucket.start.day for bucket in reading.buckets] == [19]
    assert window.end - window.start == timedelta(days=2)
