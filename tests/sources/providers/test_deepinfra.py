"""DeepInfra: cents beside dollars, months, and a ledger with the sign turned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import CREDIT, MONTH, SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.deepinfra import FAKE, checklist, month, usage
from tests.sources.providers.fake.server import Server

KIND = registry.kind("deepinfra")


@pytest.fixture
def server() -> Iterator[Server]:
    bill = Bill(balance=Decimal(15))
    bill.spend(date(2026, 10, 30), "0.75")
    bill.spend(date(2026, 11, 20), "1.75")
    with Server(FAKE, bill, NOW) as server:
        yield server


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


async def test_the_month_is_told_in_cents_and_the_credit_in_dollars(server: Server) -> None:
    reading = await read(KIND, server)
    assert KIND.series == MONTH
    [found] = reading.figures
    assert (found.amount, found.currency) == (Decimal("1.75"), "USD")
    assert (found.start, found.end) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert [(one.amount, one.unit) for one in reading.balances] == [(Decimal("12.50"), "USD")]
    assert not reading.notes
    assert server.journal[0].query == [("from", "current")]


async def test_after_a_month_has_turned_the_last_one_is_asked_for_too() -> None:
    bill = Bill()
    bill.spend(date(2026, 12, 31), "2.00")
    bill.spend(date(2027, 1, 1), "0.30")
    now = datetime(2027, 1, 1, 8, tzinfo=UTC)
    with Server(FAKE, bill, now) as server:
        reading = await read(KIND, server, days_until(now, 3))
    assert [(found.start.month, found.end.month, str(found.amount)) for found in reading.figures] == [
        (12, 1, "2.00"),
        (1, 2, "0.30"),
    ]
    assert server.journal[0].query == [("from", "2026.12")]


@pytest.mark.parametrize(
    ("ledger", "recent", "left", "said"),
    [
        ("-12.5", "1.75", "10.75", ""),
        ("-12.5", "0", "12.5", ""),
        ("0", "1.75", "-1.75", "1.75 USD are owed"),
        ("4.10", "0", "-4.10", "4.10 USD are owed"),
    ],
)
async def test_a_negative_ledger_is_credit_and_a_positive_one_is_owed(
    server: Server, ledger: str, recent: str, left: str, said: str
) -> None:
    server.faults.extend((usage([]), Answer(checklist(Decimal(ledger), Decimal(recent)))))
    reading = await read(KIND, server)
    assert [one.amount for one in reading.balances] == [Decimal(left)]
    assert (said in reading.notes[0]) if said else not reading.notes


async def test_a_suspended_account_is_said(server: Server) -> None:
    server.faults.extend((usage([]), Answer(checklist(Decimal(1), suspended=True))))
    assert any("suspended" in note for note in (await read(KIND, server)).notes)


async def test_a_month_without_a_row_is_unknown_not_zero(server: Server) -> None:
    server.faults.append(usage([]))
    reading = await read(KIND, server)
    assert not reading.buckets
    server.faults.append(usage([month("2026.11", 0)]))
    reading = await read(KIND, server)
    assert len(reading.buckets) == 1
    assert not reading.figures


async def test_a_month_that_was_not_asked_for_is_left_out(server: Server) -> None:
    server.faults.append(usage([month("2026.01", 999), month("2026.11", 1)]))
    assert [str(found.amount) for found in (await read(KIND, server)).figures] == ["0.01"]


async def test_a_month_below_zero_is_a_credit(server: Server) -> None:
    server.faults.append(usage([month("2026.11", -50)]))
    assert [(found.line, str(found.amount)) for found in (await read(KIND, server)).figures] == [
        (CREDIT, "-0.50")
    ]


async def test_a_wrong_key_is_refused(server: Server) -> None:
    assert (await refusal(server, key=FAKE.wrong_key)).state == "auth"


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ([Answer({"periods": []})], "months"),
        ([usage([{"total_cost": 1}])], "period"),
        ([usage([month("2026-11", 1)])], "period"),
        ([usage([month("2026.13", 1)])], "period"),
        ([usage([{"period": "2026.11", "cost": 1}])], "total_cost"),
        ([usage([month("2026.11", 1), month("2026.11", 2)])], "twice"),
        ([usage([]), Answer({"recent": 0, "suspended": False})], "stripe_balance"),
        ([usage([]), Answer({"stripe_balance": -1, "suspended": False})], "recent"),
        ([usage([]), Answer({"stripe_balance": -1, "recent": 0})], "suspended"),
    ],
)
async def test_a_renamed_or_odd_field_is_named(server: Server, answers: list[Answer], named: str) -> None:
    server.faults.extend(answers)
    error = await refusal(server)
    assert error.state == "schema"
    assert named in str(error)
