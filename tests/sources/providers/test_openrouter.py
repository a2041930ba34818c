"""OpenRouter's own traps: two kinds of keys, caps that are no money, days of UTC, calls that are billed elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import Reading
from tests.sources.providers.ask import NOW, Rewritten, changed, days_until, read, refusal
from tests.sources.providers.fake import Answer, Fake
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.openrouter import FAKE, error
from tests.sources.providers.fake.server import Server

KIND = registry.kind("openrouter")
TODAY = NOW.date()
MODEL = "openai/gpt-4.1"


def spent() -> Bill:
    """1.25 today (a Friday), 2.5 on Monday, 4 on Sunday, 8 in October."""
    bill = Bill()
    for back, amount in ((0, "1.25"), (4, "2.5"), (5, "4"), (21, "8")):
        bill.spend(TODAY - timedelta(days=back), amount, MODEL, input_tokens=10, output_tokens=3)
    return bill


async def with_ordinary_key(fake: Fake = FAKE, now: datetime = NOW) -> Reading:
    with Server(fake, spent(), now) as server:
        reading = await read(KIND, server, key=FAKE.ordinary_key)
        assert "/activity" not in {request.path for request in server.journal}
    assert FAKE.ordinary_key not in repr(reading)
    return reading


async def test_an_ordinary_key_tells_its_own_today_and_says_what_is_missing() -> None:
    reading = await with_ordinary_key()
    (bucket,), (figure,) = reading.buckets, reading.figures
    assert (bucket.start, bucket.end) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 21, tzinfo=UTC),
    )
    assert (figure.amount, figure.model, figure.start) == (Decimal("1.25"), "", bucket.start)
    notes = " ".join(reading.notes)
    assert "management key" in notes
    assert "3.75 USD in this UTC week and 7.75 USD in this UTC month" in notes
    assert "balance" in notes
    assert not reading.balances


async def test_a_label_that_shows_parts_of_the_key_is_not_kept() -> None:
    (masked,) = (await with_ordinary_key()).figures
    (named,) = (await with_ordinary_key(changed(FAKE, label="trader bot"))).figures
    assert (masked.key, named.key) == ("openrouter", "trader bot")


@pytest.mark.parametrize(
    ("rhythm", "resets_at"),
    [
        ("daily", datetime(2026, 11, 21, tzinfo=UTC)),
        ("weekly", datetime(2026, 11, 23, tzinfo=UTC)),
        ("monthly", datetime(2026, 12, 1, tzinfo=UTC)),
        (None, None),
        ("yearly", None),
    ],
)
async def test_a_cap_is_shown_but_is_no_money(rhythm: Any, resets_at: datetime | None) -> None:
    cap = (Decimal(40), Decimal("-0.17"), rhythm)
    (balance,) = (await with_ordinary_key(changed(FAKE, cap=cap, label="trader bot"))).balances
    assert (balance.amount, balance.limit, balance.spendable) == (Decimal("-0.17"), Decimal(40), False)
    assert (balance.unit, balance.label, balance.resets_at) == ("USD", "cap of trader bot", resets_at)


async def test_the_month_of_december_resets_in_january() -> None:
    fake = changed(FAKE, cap=(Decimal(40), Decimal(1), "monthly"))
    (balance,) = (await with_ordinary_key(fake, datetime(2026, 12, 31, 12, tzinfo=UTC))).balances
    assert balance.resets_at == datetime(2027, 1, 1, tzinfo=UTC)


async def test_a_cap_without_what_remains_is_an_error() -> None:
    with Server(changed(FAKE, cap=(Decimal(40), None, "daily")), spent(), NOW) as server:
        found = await refusal(server)
    assert (found.state, "limit_remaining" in str(found)) == ("schema", True)


@pytest.mark.parametrize(("hour", "minute"), [(23, 58), (23, 59), (0, 0), (0, 1)])
async def test_near_midnight_a_keys_day_is_not_read_as_it_may_be_the_other_day(
    hour: int, minute: int
) -> None:
    reading = await with_ordinary_key(now=NOW.replace(hour=hour, minute=minute))
    assert not reading.buckets
    assert not reading.figures
    assert any("midnight" in note for note in reading.notes)


@pytest.mark.parametrize(
    "field", ["usage_daily", "usage_weekly", "usage_monthly", "label", "limit_remaining"]
)
async def test_a_renamed_field_of_an_ordinary_key_is_an_error(field: str) -> None:
    def rename(body: Any) -> Any:
        return {"data": {name if name != field else "new": value for name, value in body["data"].items()}}

    fake = changed(FAKE, cap=(Decimal(40), Decimal(1), None))
    with Server(Rewritten(fake, rename), spent(), NOW) as server:
        found = await refusal(server, key=FAKE.ordinary_key)
    assert (found.state, field in str(found)) == ("schema", True)


async def test_older_accounts_read_the_balance_with_an_ordinary_key() -> None:
    class Older:
        def __getattr__(self, name: str) -> Any:
            return getattr(FAKE, name)

        def answer(self, request: Any, bill: Bill, now: Any) -> Answer:
            if request.path == "/credits":
                return Answer({"data": {"total_credits": 60, "total_usage": Decimal("41.372")}})
            return FAKE.answer(request, bill, now)

    (balance,) = (await with_ordinary_key(Older())).balances
    assert (balance.amount, balance.label, balance.spendable) == (Decimal("18.628"), "credits", True)


async def test_a_management_key_tells_days_and_models_today_too_and_the_balance() -> None:
    with Server(FAKE, spent(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 4))
        dates = [request.one("date") for request in server.journal if request.path == "/activity"]
    assert dates == ["2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"]
    (figure,), (usage,), (balance,) = reading.figures, reading.usage, reading.balances
    assert (figure.amount, figure.model, figure.label) == (Decimal("1.25"), MODEL, "OpenAI")
    assert (usage.model, usage.requests, usage.input_tokens, usage.output_tokens) == (MODEL, 1, 10, 3)
    assert (balance.amount, balance.unit) == (Decimal("84.25"), "USD")
    assert not reading.notes


async def test_a_long_window_is_one_request_and_reaches_thirty_days_back() -> None:
    with Server(FAKE, spent(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 92))
        dates = [request.one("date") for request in server.journal if request.path == "/activity"]
    assert dates == ["", "2026-11-20"]
    assert len(reading.buckets) == 31
    assert sum(figure.amount for figure in reading.figures) == Decimal("15.75")


async def test_two_upstreams_of_one_model_are_added_up() -> None:
    bill = Bill()
    for via in ("OpenAI", "Azure", "Azure"):
        bill.spend(TODAY, "0.1", MODEL, project=via)
    with Server(FAKE, bill, NOW) as server:
        reading = await read(KIND, server)
    assert sum(figure.amount for figure in reading.figures if figure.model == MODEL) == Decimal("0.3")


async def test_when_today_may_not_be_asked_for_it_is_unknown_and_not_zero() -> None:
    with Server(changed(FAKE, today=False), spent(), NOW) as server:
        reading = await read(KIND, server)
    assert [bucket.start.day for bucket in reading.buckets] == [18, 19]
    assert "today" in reading.notes[0]


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_another_refusal_of_today_is_not_taken_for_that(status: int) -> None:
    class Moody:
        def __getattr__(self, name: str) -> Any:
            return getattr(FAKE, name)

        def answer(self, request: Any, bill: Bill, now: Any) -> Answer:
            if request.one("date") == str(TODAY):
                return error(status, "no")
            return FAKE.answer(request, bill, now)

    with Server(Moody(), spent(), NOW) as server:
        assert (await refusal(server)).status == status


async def test_a_long_window_leaves_out_what_lies_before_it() -> None:
    with Server(FAKE, spent(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 5))
    assert {figure.start.day for figure in reading.figures} == {16, 20}


async def test_days_that_were_not_asked_for_are_not_added() -> None:
    """As if `date` had been renamed: each request would bring all days."""

    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return getattr(FAKE, name)

        def answer(self, request: Any, bill: Bill, now: Any) -> Answer:
            return FAKE.answer(request._replace(query=[]), bill, now)

    with Server(Deaf(), spent(), NOW) as server:
        found = await refusal(server)
    assert (found.state, "date" in str(found)) == ("schema", True)


@pytest.mark.parametrize("key", [FAKE.key, FAKE.ordinary_key])
async def test_calls_with_ones_own_provider_keys_are_told_apart(key: str) -> None:
    with Server(changed(FAKE, byok=Decimal("0.7")), spent(), NOW) as server:
        reading = await read(KIND, server, key=key)
    assert sum(figure.amount for figure in reading.figures) == Decimal("1.25")
    assert any("0.7 USD" in note and "BYOK" in note for note in reading.notes)
    assert any("BYOK" in sentence for sentence in KIND.lacks)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (error(401, "User not found."), "auth", "Settings → Keys"),
        (error(402, "Insufficient credits"), "out_of_money", "add some"),
        (error(403, "Only management keys can perform this operation"), "forbidden", "management key"),
        (error(404, "Not Found"), "not_found", "it ends in /api/v1"),
    ],
)
async def test_every_refusal_says_what_to_do(answer: Answer, state: str, words: str) -> None:
    with Server(FAKE, spent(), NOW) as server:
        server.faults.append(answer)
        found = await refusal(server)
    assert (found.state, words in str(found)) == (state, True)
