"""Deepgram: dollars by line item and day, of one project, for a key that may read billing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import SourceError
from tests.sources.providers.ask import NOW, read
from tests.sources.providers.fake import Answer, deepgram
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

KIND = registry.kind("deepgram")
TODAY, YESTERDAY = date(2026, 11, 20), date(2026, 11, 19)


@pytest.fixture
def server() -> Iterator[Server]:
    bill = Bill(balance=Decimal(188))
    bill.spend(YESTERDAY, "0.25", "nova-3")
    bill.spend(YESTERDAY, "0.05", "aura-2")
    bill.spend(TODAY, "0.20", "nova-3")
    fake = deepgram.Deepgram()
    fake.whole_end = True
    with Server(fake, bill, NOW) as server:
        yield server


async def refusal(server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(KIND, server, **more)
    return caught.value


def told(*items: dict[str, Any]) -> tuple[Answer, Answer]:
    """Answers to the first two requests."""
    return Answer({"projects": [{"project_id": deepgram.PROJECT}]}), deepgram.breakdown(list(items))


async def test_dollars_by_day_and_line_item(server: Server) -> None:
    reading = await read(KIND, server)
    assert [(found.start.day, found.label, found.model, str(found.amount)) for found in reading.figures] == [
        (19, "streaming::nova-3", "nova-3", "0.25"),
        (19, "streaming::aura-2", "aura-2", "0.05"),
        (20, "streaming::nova-3", "nova-3", "0.20"),
    ]
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19, 20]
    assert {found.project for found in reading.figures} == {deepgram.PROJECT}
    assert [(one.amount, one.unit) for one in reading.balances] == [(Decimal("187.50"), "USD")]
    assert server.journal[1].query == [
        ("start", "2026-11-18"),
        ("end", "2026-11-20"),
        ("grouping", "line_item"),
    ]


async def test_today_is_unknown_until_it_is_named_and_never_zero(server: Server) -> None:
    server.fake.whole_end = False
    reading = await read(KIND, server)
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19]
    assert sum(found.amount for found in reading.figures) == Decimal("0.30")


async def test_a_day_may_end_at_the_next_midnight(server: Server) -> None:
    server.faults.extend(told(deepgram.item(YESTERDAY, Decimal(1), "batch::nova-3", TODAY)))
    assert [found.start.day for found in (await read(KIND, server)).figures] == [19]


async def test_a_line_item_told_twice_is_added_once_each(server: Server) -> None:
    server.faults.extend(told(*[deepgram.item(YESTERDAY, Decimal("0.1"), "batch::nova-3")] * 2))
    assert [found.amount for found in (await read(KIND, server)).figures] == [Decimal("0.2")]


async def test_a_line_without_a_name_is_money_all_the_same(server: Server) -> None:
    row = deepgram.item(YESTERDAY, Decimal("0.4"), "batch::nova-3")
    row["grouping"]["line_item"] = None
    server.faults.extend(told(row))
    assert [(found.label, found.amount) for found in (await read(KIND, server)).figures] == [
        ("", Decimal("0.4"))
    ]


async def test_days_that_were_not_asked_for_are_left_out(server: Server) -> None:
    server.faults.extend(told(deepgram.item(date(2026, 11, 1), Decimal(9), "batch::nova-3")))
    assert not (await read(KIND, server)).figures


@pytest.mark.parametrize(("units", "amount"), [("hour", 1), ("day", 7), ("month", 1)])
async def test_another_resolution_is_no_day(server: Server, units: str, amount: int) -> None:
    row = deepgram.item(YESTERDAY, Decimal(1), "batch::nova-3")
    server.faults.extend((told()[0], deepgram.breakdown([row], units, amount)))
    error = await refusal(server)
    assert error.state == "schema"
    assert "resolution" in str(error)


async def test_balances_of_a_unit_are_one_and_units_are_never_added(server: Server) -> None:
    held = [
        deepgram.held(Decimal(100)),
        deepgram.held(Decimal("87.5"), "usd"),
        deepgram.held(Decimal(3), "hour"),
    ]
    server.faults.extend((*told(), Answer({"balances": held})))
    reading = await read(KIND, server)
    assert [(one.amount, one.unit) for one in reading.balances] == [(Decimal("187.5"), "USD"), (3, "hour")]


async def test_a_second_project_is_said_to_be_missing(server: Server) -> None:
    two = {"projects": [{"project_id": deepgram.PROJECT}, {"project_id": "other"}]}
    server.faults.append(Answer(two))
    assert "1 more projects" in (await read(KIND, server)).notes[0]


async def test_the_project_can_be_told(server: Server) -> None:
    await read(KIND, server, project=deepgram.PROJECT)
    assert "/projects" not in [one.path for one in server.journal]
    assert (await refusal(server, project="a/b")).state == "config"
    assert (await refusal(server, project="another")).state == "not_found"


async def test_no_project_at_all_is_said(server: Server) -> None:
    server.faults.append(Answer({"projects": []}))
    assert (await refusal(server)).state == "config"


async def test_a_key_that_may_not_read_billing_is_told_so(server: Server) -> None:
    error = await refusal(server, key=deepgram.FAKE.wrong_key)
    assert error.state == "forbidden"
    assert "billing:read" in str(error)
    assert (await refusal(server, key="nobody")).state == "auth"


async def test_a_key_without_the_balance_still_tells_the_days(server: Server) -> None:
    denied = deepgram.error(403, "INSUFFICIENT_PERMISSIONS", "no")
    server.faults.extend((*told(deepgram.item(YESTERDAY, Decimal(1), "batch::nova-3")), denied))
    reading = await read(KIND, server)
    assert not reading.balances
    assert "no balance" in reading.notes[0]
    assert sum(found.amount for found in reading.figures) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"results": []}, "resolution"),
        ({"resolution": {"units": "day", "amount": 1}}, "results"),
        ({"dollars": None}, "dollars"),
        ({"grouping": None}, "grouping"),
        ({"start": None}, "start"),
        ({"end": "2026-11-30"}, "start"),
        ({"line_item": 5}, "line_item"),
    ],
)
async def test_a_renamed_or_odd_field_is_named(server: Server, body: dict[str, Any], named: str) -> None:
    if "results" not in body and "resolution" not in body:
        row = deepgram.item(YESTERDAY, Decimal(1), "batch::nova-3")
        row |= {name: value for name, value in body.items() if name in row}
        if row["grouping"] is not None:
            row["grouping"] |= {name: value for name, value in body.items() if name in row["grouping"]}
        body = {"resolution": {"units": "day", "amount": 1}, "results": [row]}
    server.faults.extend((told()[0], Answer(body)))
    error = await refusal(server)
    assert error.state == "schema"
    assert named in str(error)
