"""Vast.ai: one row sums a contract over the days asked for, and the user object is full of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import CREDIT, SourceError
from tests.sources.providers.ask import NOW, read
from tests.sources.providers.fake import Answer, vast
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

KIND = registry.kind("vast")
DAY = date(2026, 11, 18)


@pytest.fixture
def server() -> Iterator[Server]:
    bill = Bill(balance=Decimal("11.50"))
    bill.spend(date(2026, 11, 18), "0.42", "7")
    bill.spend(date(2026, 11, 19), "0.50", "7")
    bill.spend(date(2026, 11, 20), "0.08", "7")
    bill.spend(date(2026, 11, 20), "0.25", "8")
    with Server(vast.Vast(), bill, NOW) as server:
        yield server


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


def charges(*rows: dict[str, Any], token: Any = None) -> Answer:
    return Answer({"success": True, "results": list(rows), "next_token": token})


async def test_a_contract_over_three_days_is_told_day_by_day(server: Server) -> None:
    reading = await read(KIND, server)
    assert [(found.start.day, found.project, str(found.amount)) for found in reading.figures] == [
        (18, "instance-7", "0.42"),
        (19, "instance-7", "0.50"),
        (20, "instance-7", "0.08"),
        (20, "instance-8", "0.25"),
    ]
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]
    assert [(one.amount, one.unit) for one in reading.balances] == [(Decimal("10.25"), "USD")]


async def test_each_day_is_asked_for_by_itself(server: Server) -> None:
    await read(KIND, server)
    asked = [json.loads(one.one("select_filters"))["day"] for one in server.journal if "charges" in one.path]
    assert asked == [
        {"gte": 1_795_046_400 + at * 86_400 - 86_400, "lte": 1_795_046_399 + at * 86_400} for at in range(3)
    ]
    assert {one.one("limit") for one in server.journal if "charges" in one.path} == {"100"}


async def test_pages_are_followed_to_the_end(server: Server) -> None:
    server.fake.page_size = 1
    reading = await read(KIND, server)
    assert sum(found.amount for found in reading.figures) == Decimal("1.25")
    assert [one.one("after_token") for one in server.journal if one.one("after_token")] == ["1"]


async def test_pages_that_go_round_are_no_sum(server: Server) -> None:
    rows = (vast.row(DAY, Decimal(at), "instance-7") for at in (1, 2))
    server.faults.extend(charges(row, token="t1") for row in rows)
    error = await refusal(server)
    assert error.state == "schema"
    assert "circle" in str(error)


async def test_a_long_token_goes_back_whole(server: Server) -> None:
    token = "eyJ2YWx1ZXMiOiB7" * 30
    server.faults.extend((charges(token=token), charges()))
    await read(KIND, server)
    assert server.journal[1].one("after_token") == token


async def test_several_rows_of_one_contract_are_one_figure(server: Server) -> None:
    server.faults.append(charges(*[vast.row(DAY, Decimal("0.1"), "instance-7")] * 3))
    figures = (await read(KIND, server)).figures
    assert [found.amount for found in figures if found.start.day == 18] == [Decimal("0.3")]


async def test_a_refund_is_a_credit(server: Server) -> None:
    server.faults.append(
        charges(vast.row(DAY, Decimal(1), "instance-7"), vast.row(DAY, Decimal("-0.4"), "instance-7"))
    )
    figures = [found for found in (await read(KIND, server)).figures if found.start.day == 18]
    assert sorted((found.line, found.amount) for found in figures) == [
        (CREDIT, Decimal("-0.4")),
        ("usage", 1),
    ]


@pytest.mark.parametrize(("first", "last"), [(18, 20), (17, 18), (19, 19)])
async def test_a_charge_of_another_stretch_than_the_day_is_put_on_no_day(
    server: Server, first: int, last: int
) -> None:
    row = vast.row(date(2026, 11, first), Decimal(3), "instance-7", date(2026, 11, last))
    server.faults.append(charges(row))
    error = await refusal(server)
    assert error.state == "schema"
    assert "reach beyond the one day" in str(error)


async def test_nothing_of_the_user_is_kept_but_the_credit(server: Server) -> None:
    reading = await read(KIND, server)
    assert all(secret not in repr(reading) for secret in vast.SECRETS)


async def test_a_key_that_may_not_read_the_user_still_tells_the_charges(server: Server) -> None:
    server.faults.extend(
        (charges(), charges(), charges(vast.row(date(2026, 11, 20), Decimal(1), "v")), Answer({}, 403))
    )
    reading = await read(KIND, server)
    assert not reading.balances
    assert "no balance" in reading.notes[0]
    assert sum(found.amount for found in reading.figures) == 1


@pytest.mark.parametrize(("key", "state"), [("vast-restricted-fake", "forbidden"), ("nobody", "auth")])
async def test_a_wrong_key_is_refused(server: Server, key: str, state: str) -> None:
    assert (await refusal(server, key=key)).state == state


@pytest.mark.parametrize("gone", ["start", "end", "amount"])
async def test_a_renamed_field_of_a_charge_is_named(server: Server, gone: str) -> None:
    row = vast.row(DAY, Decimal(1), "instance-7")
    row[f"{gone}_at"] = row.pop(gone)
    server.faults.append(charges(row))
    error = await refusal(server)
    assert error.state == "schema"
    assert gone in str(error)


async def test_a_renamed_credit_is_named_without_the_user(server: Server) -> None:
    user = vast.user(Decimal(1))
    del user["credit"]
    server.faults.extend((charges(), charges(), charges(), Answer(user)))
    error = await refusal(server)
    assert error.state == "schema"
    assert "credit" in str(error)
    assert all(secret not in str(error) for secret in vast.SECRETS)


async def test_an_answer_that_does_not_say_whether_it_ends_is_no_sum(server: Server) -> None:
    server.faults.append(Answer({"success": True, "results": [vast.row(DAY, Decimal(1), "instance-7")]}))
    error = await refusal(server)
    assert error.state == "schema"
    assert "next_token" in str(error)


@pytest.mark.parametrize("token", [5, True, ["t"]])
async def test_a_token_that_is_no_text_is_no_end(server: Server, token: Any) -> None:
    server.faults.append(charges(token=token))
    assert (await refusal(server)).state == "schema"
