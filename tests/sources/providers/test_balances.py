"""Providers that tell a balance and nothing by day: DeepSeek, Moonshot, ElevenLabs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import Settings, SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer, deepseek, elevenlabs, moonshot
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

DEEPSEEK, MOONSHOT, ELEVENLABS = (registry.kind(name) for name in ("deepseek", "moonshot", "elevenlabs"))


@pytest.fixture
def at_deepseek() -> Iterator[Server]:
    with Server(deepseek.FAKE, Bill(balance=Decimal("18.42")), NOW) as server:
        yield server


@pytest.fixture
def at_moonshot() -> Iterator[Server]:
    with Server(moonshot.FAKE, Bill(balance=Decimal("7.40715")), NOW) as server:
        yield server


@pytest.fixture
def at_elevenlabs() -> Iterator[Server]:
    with Server(elevenlabs.FAKE, Bill(balance=Decimal(75)), NOW) as server:
        yield server


async def refusal(kind: Any, server: Server, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(kind, server, **more)
    return caught.value


# DeepSeek


async def test_deepseek_tells_what_is_left_to_the_cent(at_deepseek: Server) -> None:
    reading = await read(DEEPSEEK, at_deepseek)
    [balance] = reading.balances
    assert (str(balance.amount), balance.unit, balance.spendable) == ("18.42", "USD", True)
    assert not reading.buckets
    assert not reading.figures
    assert not reading.notes


async def test_two_currencies_are_two_balances_and_never_one_sum(at_deepseek: Server) -> None:
    both = [deepseek.info("CNY", "110.00"), deepseek.info("USD", "3.50")]
    at_deepseek.faults.append(Answer({"is_available": True, "balance_infos": both}))
    reading = await read(DEEPSEEK, at_deepseek)
    assert [(str(one.amount), one.unit) for one in reading.balances] == [("110.00", "CNY"), ("3.50", "USD")]


async def test_a_currency_told_twice_is_no_balance(at_deepseek: Server) -> None:
    twice = [deepseek.info("USD", "1.00"), deepseek.info("USD", "2.00")]
    at_deepseek.faults.append(Answer({"is_available": True, "balance_infos": twice}))
    assert (await refusal(DEEPSEEK, at_deepseek)).state == "schema"


async def test_deepseek_out_of_money_is_said_beside_the_balance(at_deepseek: Server) -> None:
    at_deepseek.faults.append(
        Answer({"is_available": False, "balance_infos": [deepseek.info("USD", "-0.02")]})
    )
    reading = await read(DEEPSEEK, at_deepseek)
    assert [str(one.amount) for one in reading.balances] == ["-0.02"]
    assert "refuses calls until" in reading.notes[0]


async def test_no_balance_at_all_is_not_zero(at_deepseek: Server) -> None:
    at_deepseek.faults.append(Answer({"is_available": True, "balance_infos": []}))
    error = await refusal(DEEPSEEK, at_deepseek)
    assert error.state == "schema"
    assert "balance_infos" in str(error)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"is_available": True, "balances": []}, "balance_infos"),
        ({"available": True, "balance_infos": [deepseek.info("USD", "1")]}, "is_available"),
        ({"is_available": True, "balance_infos": [{"currency": "USD", "total": "1"}]}, "total_balance"),
        ({"is_available": True, "balance_infos": [{"total_balance": "1"}]}, "currency"),
        ({"is_available": True, "balance_infos": [deepseek.info("USD", "1,50")]}, "total_balance"),
    ],
)
async def test_deepseek_renaming_a_field_is_named(at_deepseek: Server, body: Any, named: str) -> None:
    at_deepseek.faults.append(Answer(body))
    error = await refusal(DEEPSEEK, at_deepseek)
    assert error.state == "schema"
    assert named in str(error)


async def test_a_wrong_deepseek_key_is_refused(at_deepseek: Server) -> None:
    assert (await refusal(DEEPSEEK, at_deepseek, key="sk-nobody")).state == "auth"


# Moonshot


async def test_moonshot_tells_cash_and_vouchers_together(at_moonshot: Server) -> None:
    at_moonshot.faults.append(moonshot.balance(Decimal("7.40715"), Decimal("5.00000")))
    reading = await read(MOONSHOT, at_moonshot)
    [balance] = reading.balances
    assert (balance.amount, balance.unit) == (Decimal("12.40715"), "USD")
    assert not reading.notes


async def test_a_moonshot_debt_leaves_the_vouchers_and_is_said(at_moonshot: Server) -> None:
    at_moonshot.faults.append(moonshot.balance(Decimal("-3.20"), Decimal("5.00")))
    reading = await read(MOONSHOT, at_moonshot)
    assert [one.amount for one in reading.balances] == [Decimal("5.00")]
    assert "debt of 3.20 USD" in reading.notes[0]


async def test_moonshot_at_nothing_refuses_calls(at_moonshot: Server) -> None:
    at_moonshot.faults.append(moonshot.balance(Decimal("-3.20"), Decimal(0)))
    reading = await read(MOONSHOT, at_moonshot)
    assert [one.amount for one in reading.balances] == [0]
    assert any("refuses calls" in note for note in reading.notes)


async def test_balances_that_do_not_fit_together_are_doubted_aloud(at_moonshot: Server) -> None:
    at_moonshot.faults.append(moonshot.balance(Decimal(1), Decimal(1), available=Decimal(50)))
    assert any("not what" in note for note in (await read(MOONSHOT, at_moonshot)).notes)


@pytest.mark.parametrize(
    ("code", "status", "state"),
    [
        (401, False, "auth"),
        (401, True, "auth"),
        (0, False, "upstream"),
        (429, False, "rate_limited"),
        (7, True, "upstream"),
    ],
)
async def test_an_error_inside_a_good_status_is_no_zero(
    at_moonshot: Server, code: int, status: bool, state: str
) -> None:
    at_moonshot.faults.append(moonshot.balance(Decimal(0), Decimal(0), code=code, status=status))
    assert (await refusal(MOONSHOT, at_moonshot)).state == state


@pytest.mark.parametrize(
    ("base_url", "unit", "other"),
    [
        ("https://api.moonshot.ai/v1", "USD", "https://api.moonshot.cn/v1"),
        ("https://api.moonshot.cn/v1", "CNY", "https://api.moonshot.ai/v1"),
    ],
)
async def test_the_host_decides_the_currency_and_whose_keys_it_takes(
    base_url: str, unit: str, other: str
) -> None:
    settings = Settings("moonshot", "moonshot", base_url, {"currency": ""})
    client = Straight({"code": 0, "status": True, "data": data()})
    reading = await MOONSHOT.fetch(client, settings, days_until(NOW, 1))
    assert [one.unit for one in reading.balances] == [unit]
    refusing = Straight(SourceError("auth", "no", status=401))
    with pytest.raises(SourceError, match=f'base_url = "{other}"') as caught:
        await MOONSHOT.fetch(refusing, settings, days_until(NOW, 1))
    assert (caught.value.state, caught.value.status) == ("auth", 401)


@pytest.mark.parametrize(
    ("base_url", "currency", "told"),
    [
        ("https://gateway.example.com", "", "set"),
        ("https://gateway.example.com", "yuan", "must be a currency"),
        ("https://api.moonshot.cn/v1", "USD", "tells CNY"),
        ("https://api.moonshot.ai.example.com/v1", "", "set"),
    ],
)
async def test_no_currency_is_ever_guessed(base_url: str, currency: str, told: str) -> None:
    settings = Settings("moonshot", "moonshot", base_url, {"currency": currency})
    with pytest.raises(SourceError, match=told) as caught:
        await MOONSHOT.fetch(Straight({}), settings, days_until(NOW, 1))
    assert caught.value.state == "config"


@pytest.mark.parametrize(
    "gone", ["code", "status", "data", "available_balance", "cash_balance", "voucher_balance"]
)
async def test_moonshot_renaming_a_field_is_named(at_moonshot: Server, gone: str) -> None:
    body: dict[str, Any] = {"code": 0, "status": True, "data": data()}
    (body if gone in body else body["data"]).pop(gone)
    at_moonshot.faults.append(Answer(body))
    error = await refusal(MOONSHOT, at_moonshot)
    assert error.state == "schema"
    assert gone in str(error)


async def test_a_wrong_moonshot_key_names_the_other_region(at_moonshot: Server) -> None:
    error = await refusal(MOONSHOT, at_moonshot, key=moonshot.FAKE.wrong_key)
    assert error.state == "auth"
    assert "api.moonshot.cn" in str(error)


def data() -> dict[str, Any]:
    return {"available_balance": 2, "voucher_balance": 1, "cash_balance": 1}


class Straight:
    """A client that answers every request the same."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def get(self, *_: Any, **__: Any) -> Any:
        if isinstance(self._answer, SourceError):
            raise self._answer
        return self._answer

    post = get


# ElevenLabs


async def test_elevenlabs_tells_credits_and_when_they_come_back(at_elevenlabs: Server) -> None:
    reading = await read(ELEVENLABS, at_elevenlabs)
    [balance] = reading.balances
    assert (balance.amount, balance.unit, balance.limit) == (75_000, "credits", 100_000)
    assert balance.resets_at == datetime(2026, 12, 19, tzinfo=UTC)
    assert not reading.figures
    assert not reading.notes


@pytest.mark.parametrize(
    ("changed", "left", "said"),
    [
        ({"character_count": 100_500}, -500, "500 credits are over"),
        ({"current_overage": {"amount": "1.50", "currency": "usd"}}, 75_000, "overage of 1.50"),
        ({"status": "past_due"}, 75_000, "past due"),
    ],
)
async def test_what_credits_cannot_say_is_a_note_and_no_money(
    at_elevenlabs: Server, changed: dict[str, Any], left: int, said: str
) -> None:
    at_elevenlabs.faults.append(Answer(elevenlabs.subscription(**changed)))
    reading = await read(ELEVENLABS, at_elevenlabs)
    assert [(one.amount, one.unit) for one in reading.balances] == [(left, "credits")]
    assert not reading.figures
    assert any(said in note for note in reading.notes)


@pytest.mark.parametrize("reset", [None, 0])
async def test_a_plan_without_a_reset_has_none(at_elevenlabs: Server, reset: int | None) -> None:
    at_elevenlabs.faults.append(Answer(elevenlabs.subscription(next_character_count_reset_unix=reset)))
    assert (await read(ELEVENLABS, at_elevenlabs)).balances[0].resets_at is None


@pytest.mark.parametrize("gone", ["character_count", "character_limit"])
@pytest.mark.parametrize("value", [None, "", "many", -1, Decimal("1.5"), True])
async def test_credits_that_are_no_count_are_named(at_elevenlabs: Server, gone: str, value: Any) -> None:
    at_elevenlabs.faults.append(Answer(elevenlabs.subscription(**{gone: value})))
    error = await refusal(ELEVENLABS, at_elevenlabs)
    assert error.state == "schema"
    assert gone in str(error)


@pytest.mark.parametrize(
    ("detail", "status", "state"),
    [
        ({"status": "missing_permissions", "message": "user_read"}, 401, "forbidden"),
        ({"status": "invalid_api_key", "message": "no"}, 401, "auth"),
        ("Not authenticated", 401, "auth"),
        ([{"loc": ["header"], "msg": "field required"}], 422, "schema"),
    ],
)
async def test_elevenlabs_spells_its_refusals_in_three_ways(
    at_elevenlabs: Server, detail: Any, status: int, state: str
) -> None:
    at_elevenlabs.faults.append(Answer({"detail": detail}, status))
    assert (await refusal(ELEVENLABS, at_elevenlabs)).state == state


async def test_a_key_without_the_permission_is_told_which_one(at_elevenlabs: Server) -> None:
    error = await refusal(ELEVENLABS, at_elevenlabs, key=elevenlabs.FAKE.wrong_key)
    assert error.state == "forbidden"
    assert "User: Read" in str(error)
