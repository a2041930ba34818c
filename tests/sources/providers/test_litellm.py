"""A LiteLLM proxy of one's own: budgets of keys, users and teams; a second view of money billed elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from costmon.config.values import Source
from costmon.sources.providers import registry
from costmon.sources.providers.access import settings_of
from costmon.sources.providers.protocol import SourceError
from tests.sources.providers.ask import NOW, changed, read, refusal
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.litellm import FAKE, error
from tests.sources.providers.fake.server import Server

KIND = registry.kind("litellm")
TEAM = {
    "team_id": "team-7",
    "team_alias": "night crew",
    "spend": 2,
    "max_budget": Decimal("5.5"),
    "budget_reset_at": None,
}


def spent(amount: str = "7.25") -> Bill:
    bill = Bill()
    bill.spend(NOW.date(), amount, "gpt-5-mini")
    return bill


async def test_what_is_left_of_the_keys_budget_is_a_cap_with_its_reset() -> None:
    with Server(FAKE, spent(), NOW) as server:
        reading = await read(KIND, server)
    (balance,) = reading.balances
    assert (balance.amount, balance.limit, balance.unit) == (Decimal("12.75"), Decimal(20), "USD")
    assert (balance.label, balance.spendable) == ("key trader", False)
    assert balance.resets_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert list(reading.notes) == ["user mina spent 7.25 USD so far, and has no budget at the proxy"]
    assert not reading.figures
    assert not reading.buckets


async def test_a_budget_that_was_passed_is_below_zero() -> None:
    with Server(FAKE, spent("21"), NOW) as server:
        (balance,) = (await read(KIND, server)).balances
    assert balance.amount == -1


async def test_no_budget_is_said_and_is_no_balance() -> None:
    with Server(changed(FAKE, budget=None, user=None), spent(), NOW) as server:
        reading = await read(KIND, server)
        assert [request.path for request in server.journal] == ["/key/info"]
    assert not reading.balances
    assert "no budget" in reading.notes[0]


async def test_a_budget_shared_by_keys_counts_where_the_key_has_none() -> None:
    fake = changed(FAKE, budget=None, shared_budget=Decimal(10), user=None)
    with Server(fake, spent(), NOW) as server:
        (balance,) = (await read(KIND, server)).balances
    assert (balance.amount, balance.limit) == (Decimal("2.75"), Decimal(10))


async def test_the_budgets_of_the_users_teams_come_along() -> None:
    with Server(changed(FAKE, teams=(TEAM,)), spent(), NOW) as server:
        reading = await read(KIND, server)
    assert [(balance.label, balance.amount) for balance in reading.balances] == [
        ("key trader", Decimal("12.75")),
        ("team night crew", Decimal("3.5")),
    ]


async def test_a_key_that_may_not_read_its_user_still_tells_its_own_budget() -> None:
    with Server(changed(FAKE, may_read_user=False), spent(), NOW) as server:
        reading = await read(KIND, server)
    assert len(reading.balances) == 1
    assert "does not let this key read" in reading.notes[0]


async def test_the_end_of_the_key_that_the_proxy_shows_is_not_kept() -> None:
    with Server(FAKE, spent(), NOW) as server:
        assert "...fake" not in repr(await read(KIND, server))


async def test_the_master_key_has_no_entry_and_the_sentence_says_which_key_does() -> None:
    with Server(FAKE, spent(), NOW) as server:
        found = await refusal(server, key=FAKE.master_key)
    assert (found.state, "use a virtual key" in str(found)) == ("not_found", True)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (error(401, "Authentication Error", "auth_error"), "auth", "/key/generate"),
        (error(403, "not allowed"), "forbidden", "not one of this proxy's"),
        (error(400, "Budget has been exceeded!", "budget_exceeded"), "out_of_money", "wait for its reset"),
        (error(500, "Internal Server Error, Database not connected."), "config", "has no database"),
        (error(500, "Internal Server Error"), "upstream", "asked again later"),
    ],
)
async def test_every_refusal_says_what_to_do(answer: Answer, state: str, words: str) -> None:
    with Server(FAKE, spent(), NOW) as server:
        server.faults.append(answer)
        found = await refusal(server)
    assert (found.state, words in str(found)) == (state, True)


@pytest.mark.parametrize("reset", ["soon", "2026-12-01T00:00:00", 5])
async def test_a_reset_that_is_no_time_is_an_error(reset: Any) -> None:
    with Server(changed(FAKE, teams=({**TEAM, "budget_reset_at": reset},)), spent(), NOW) as server:
        found = await refusal(server)
    assert (found.state, "budget_reset_at" in str(found)) == ("schema", True)


def test_it_is_a_second_view_of_the_same_money_and_may_be_on_this_machine() -> None:
    assert (KIND.overlaps, KIND.local, KIND.series) == (True, True, "")


def test_where_the_proxy_is_must_be_said() -> None:
    assert settings_of(Source("proxy", "litellm", base_url="http://127.0.0.1:4000"))[1].base_url
    with pytest.raises(SourceError) as caught:
        settings_of(Source("proxy", "litellm"))
    assert (caught.value.state, "base_url" in str(caught.value)) == ("config", True)
