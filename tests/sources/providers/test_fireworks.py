"""Fireworks: units and nanos, day by day, and an account name that must be the key's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import CREDIT, SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer, fireworks
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

KIND = registry.kind("fireworks")
ACCOUNTS = Answer({"accounts": [{"name": f"accounts/{fireworks.ACCOUNT}"}], "nextPageToken": ""})
TODAY = days_until(NOW, 1)


@pytest.fixture
def server() -> Iterator[Server]:
    bill = Bill()
    bill.spend(date(2026, 11, 18), "2.045", "DeepSeek V4 Flash")
    bill.spend(date(2026, 11, 20), "0.000000001", "DeepSeek V4 Flash")
    bill.spend(date(2026, 11, 20), "3", "Qwen")
    with Server(fireworks.Fireworks(), bill, NOW) as server:
        yield server


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


async def of(server: Server, cost: Any) -> list[tuple[str, str, Decimal]]:
    row = fireworks.item(Decimal(1), "Qwen") | {"totalCost": cost}
    server.faults.extend((ACCOUNTS, fireworks.summary([row])))
    return [(found.line, found.currency, found.amount) for found in (await read(KIND, server, TODAY)).figures]


async def test_units_and_nanos_by_day_and_model(server: Server) -> None:
    reading = await read(KIND, server)
    assert [(found.start.day, found.model, found.amount) for found in reading.figures] == [
        (18, "DeepSeek V4 Flash", Decimal("2.045")),
        (20, "DeepSeek V4 Flash", Decimal("0.000000001")),
        (20, "Qwen", Decimal(3)),
    ]
    assert reading.figures[-1].label == "Qwen, LLM output tokens, SERVERLESS"
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]


async def test_each_day_is_asked_for_by_itself(server: Server) -> None:
    await read(KIND, server)
    asked = [one.query for one in server.journal if one.path.endswith("summary")]
    assert asked == [
        [("startTime", f"2026-11-{day}T00:00:00Z"), ("endTime", f"2026-11-{day + 1}T00:00:00Z")]
        for day in (18, 19, 20)
    ]


@pytest.mark.parametrize(
    ("cost", "amount"),
    [
        ({"currencyCode": "USD", "units": "2", "nanos": 45_000_000}, "2.045"),
        ({"currencyCode": "USD", "units": "0", "nanos": 500_000_000}, "0.5"),
        ({"currencyCode": "USD", "nanos": 5}, "0.000000005"),
        ({"currencyCode": "USD", "units": "7"}, "7"),
        ({"currencyCode": "USD"}, "0"),
    ],
)
async def test_money_with_its_zeros_left_out(server: Server, cost: dict[str, Any], amount: str) -> None:
    assert await of(server, cost) == [("usage", "USD", Decimal(amount))]


async def test_a_negative_item_is_a_credit(server: Server) -> None:
    cost = {"currencyCode": "USD", "units": "-1", "nanos": -750_000_000}
    assert await of(server, cost) == [(CREDIT, "USD", Decimal("-1.75"))]


async def test_currencies_are_never_added(server: Server) -> None:
    rows = [
        fireworks.item(Decimal(1), "Qwen"),
        fireworks.item(Decimal(2), "Qwen", "EUR"),
        fireworks.item(Decimal(4), "Qwen"),
    ]
    server.faults.extend((ACCOUNTS, fireworks.summary(rows)))
    figures = (await read(KIND, server, TODAY)).figures
    assert [(found.currency, found.amount) for found in figures] == [("USD", 5), ("EUR", 2)]


@pytest.mark.parametrize(
    ("cost", "named"),
    [
        (None, "totalCost"),
        ("2.04", "totalCost"),
        ({"units": "2"}, "currencyCode"),
        ({"currencyCode": "dollars", "units": "2"}, "currencyCode"),
        ({"currencyCode": "USD", "units": "2.5"}, "totalCost"),
        ({"currencyCode": "USD", "units": "2", "nanos": -1}, "signs"),
        ({"currencyCode": "USD", "nanos": 10**9}, "units and nanos"),
        ({"currencyCode": "USD", "units": "two"}, "units"),
    ],
)
async def test_money_that_is_none_is_named(server: Server, cost: Any, named: str) -> None:
    with pytest.raises(SourceError) as caught:
        await of(server, cost)
    assert caught.value.state == "schema"
    assert named in str(caught.value)


async def test_an_account_that_is_not_the_keys_is_never_zero(server: Server) -> None:
    error = await refusal(server, account="stale-slug")
    assert error.state == "config"
    assert fireworks.ACCOUNT in str(error)
    assert [one.path for one in server.journal] == ["/accounts"]


async def test_several_accounts_need_a_choice_even_on_a_second_page(server: Server) -> None:
    server.fake.accounts, server.fake.page_size = ("first", fireworks.ACCOUNT), 1
    error = await refusal(server)
    assert error.state == "config"
    assert "first, my-slug" in str(error)
    reading = await read(KIND, server, account=fireworks.ACCOUNT)
    assert sum(found.amount for found in reading.figures) == Decimal("5.045000001")


async def test_no_account_at_all_is_said(server: Server) -> None:
    server.fake.accounts = ()
    assert (await refusal(server)).state == "config"


async def test_a_wrong_key_is_refused(server: Server) -> None:
    assert (await refusal(server, key=fireworks.FAKE.wrong_key)).state == "auth"


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ([Answer({"accountList": []})], "accounts"),
        ([Answer({"accounts": [{"id": "my-slug"}]})], "accounts.name"),
        ([Answer({"accounts": [{"name": "accounts/.."}]})], "accounts.name"),
        ([Answer({"accounts": [], "nextPageToken": 3})], "nextPageToken"),
        ([ACCOUNTS, Answer({"usageBuckets": []})], "lineItems"),
    ],
)
async def test_a_renamed_or_odd_field_is_named(server: Server, answers: list[Answer], named: str) -> None:
    server.faults.extend(answers)
    error = await refusal(server)
    assert error.state == "schema"
    assert named in str(error)
