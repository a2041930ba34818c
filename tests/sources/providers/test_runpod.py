"""RunPod: days that add up to what is billed, and GraphQL that says no with HTTP 200."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import CREDIT, USAGE, SourceError
from tests.sources.providers.ask import NOW, read
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.runpod import FAKE, answer_of, myself, record
from tests.sources.providers.fake.server import Server

KIND = registry.kind("runpod")
DAY = date(2026, 11, 19)


@pytest.fixture
def server() -> Iterator[Server]:
    bill = Bill(balance=Decimal("12.34") + Decimal("4.21"))
    bill.spend(DAY, "4.21")
    with Server(FAKE, bill, NOW) as server:
        yield server


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


async def test_days_balance_and_what_an_hour_costs(server: Server) -> None:
    reading = await read(KIND, server)
    assert [(found.start.day, found.amount, found.label) for found in reading.figures] == [
        (19, Decimal("4.21"), "pod GPU")
    ]
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]
    [balance] = reading.balances
    assert (balance.amount, balance.unit, balance.per_hour) == (Decimal("12.34"), "USD", Decimal("0.25"))
    assert not reading.notes
    assert server.journal[0].query == [
        ("startTime", "2026-11-18T00:00:00Z"),
        ("endTime", "2026-11-21T00:00:00Z"),
        ("bucketSize", "day"),
    ]


@pytest.mark.parametrize(
    ("total", "parts", "expected"),
    [
        ("4.21", {"podGpuAmount": "3.9", "podDiskAmount": "0.06", "serverlessGpuAmount": "0.25"}, None),
        ("4.21", {"podGpuAmount": "3.9"}, {"pod GPU": "3.9", "other": "0.31"}),
        ("4.21", {"podGpuAmount": "4", "clusterGpuAmount": "4"}, {"": "4.21"}),
        ("4.21", {"podGpuAmount": "5", "podDiskAmount": "-0.79"}, {"": "4.21"}),
        ("4.21", {"somethingNewAmount": "4.21"}, {"": "4.21"}),
        ("0", {"podGpuAmount": "0"}, {}),
    ],
)
async def test_the_parts_always_add_up_to_what_is_billed(
    server: Server, total: str, parts: dict[str, str], expected: dict[str, str] | None
) -> None:
    amounts = {name: Decimal(value) for name, value in parts.items()}
    server.faults.append(answer_of([record(DAY, Decimal(total), **amounts)]))
    reading = await read(KIND, server)
    assert sum(found.amount for found in reading.figures) == Decimal(total)
    if expected is not None:
        assert {found.label: str(found.amount) for found in reading.figures} == expected
    assert {found.line for found in reading.figures} <= {USAGE}


async def test_a_refund_is_a_credit_and_no_negative_usage(server: Server) -> None:
    server.faults.append(answer_of([record(DAY, Decimal("-1.50"))]))
    reading = await read(KIND, server)
    assert [(found.line, found.amount) for found in reading.figures] == [(CREDIT, Decimal("-1.50"))]


async def test_fewer_records_than_counted_are_not_all(server: Server) -> None:
    server.faults.append(answer_of([record(DAY, Decimal(1))], recordCount=2))
    reading = await read(KIND, server)
    assert reading.partial
    assert "fewer records" in reading.notes[-1]


async def test_graphql_errors_in_a_good_status_are_no_balance_of_zero(server: Server) -> None:
    error = {"errors": [{"message": "Something went wrong"}], "data": {"myself": None}}
    server.faults.extend((answer_of([record(DAY, Decimal(1))]), Answer(error)))
    reading = await read(KIND, server)
    assert not reading.balances
    assert "no balance: RunPod's GraphQL refuses" in reading.notes[0]
    assert sum(found.amount for found in reading.figures) == 1


async def test_a_pause_costs_nothing_an_hour_and_divides_nothing(server: Server) -> None:
    server.faults.extend((answer_of([]), myself(Decimal("12.34"), Decimal(0))))
    [balance] = (await read(KIND, server)).balances
    assert balance.per_hour == 0


async def test_a_graphql_that_is_down_fails_the_round(server: Server) -> None:
    server.faults.extend((answer_of([]), Answer(b"bad gateway", 502)))
    assert (await refusal(server)).state == "upstream"


async def test_a_wrong_key_is_refused(server: Server) -> None:
    assert (await refusal(server, key=FAKE.wrong_key)).state == "auth"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"rows": []}, "records"),
        ({"records": [record(DAY, Decimal(1)) | {"totalAmount": None}]}, "totalAmount"),
        ({"records": [record(DAY, Decimal(1)) | {"startTime": None}]}, "startTime"),
        ({"records": [record(DAY, Decimal(1)) | {"endTime": "2026-12-01T00:00:00Z"}]}, "startTime"),
        ({"records": [record(DAY, Decimal(1)) | {"startTime": "2026-11-19T06:00:00Z"}]}, "startTime"),
        ({"records": [record(DAY, Decimal(1))] * 2}, "twice"),
        ({"records": [record(DAY, Decimal(1)) | {"podGpuAmount": "lots"}]}, "podGpuAmount"),
    ],
)
async def test_a_renamed_or_odd_field_is_named(server: Server, body: Any, named: str) -> None:
    server.faults.append(Answer(body))
    error = await refusal(server)
    assert error.state == "schema"
    assert named in str(error)


async def test_a_renamed_balance_is_named(server: Server) -> None:
    server.faults.extend((answer_of([]), Answer({"data": {"myself": {"balance": 3}}})))
    error = await refusal(server)
    assert error.state == "schema"
    assert "clientBalance" in str(error)
