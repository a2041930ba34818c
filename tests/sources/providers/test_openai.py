"""OpenAI's own traps, beyond the contract."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from costmon.credentials import Secret
from costmon.sources.providers import registry
from costmon.sources.providers.access import prove
from tests.sources.providers.ask import NOW, Rewritten, changed, days_until, read, refusal, settings_for
from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.openai import FAKE, error
from tests.sources.providers.fake.server import Server

KIND = registry.kind("openai")
TODAY = NOW.date()
COSTS, TOKENS = "/organization/costs", "/organization/usage/completions"


def one_row(**fields: Any) -> Rewritten:
    """The fake with one row of costs, today's, with `fields` in it."""
    row = {
        "object": "organization.costs.result",
        "amount": {"value": 1, "currency": "usd"},
        "line_item": None,
        "project_id": None,
        "api_key_id": None,
    }
    start = int(NOW.replace(hour=0, minute=0).timestamp())
    days = [
        {"object": "bucket", "start_time": at, "end_time": at + 86_400, "results": []}
        for at in (start - 2 * 86_400, start - 86_400, start)
    ]
    days[-1]["results"] = [row | fields]

    def rewrite(body: Any) -> Any:
        return {**body, "data": days} if "costs" in repr(body) else {**body, "data": []}

    return Rewritten(FAKE, rewrite)


def spent(model: str = "gpt-5-mini-2025-08-07", **more: Any) -> Bill:
    bill = Bill()
    bill.spend(TODAY, "1.25", model, input_tokens=6400, cached_tokens=2300, output_tokens=1100, **more)
    return bill


@pytest.mark.parametrize(
    ("line_item", "model"),
    [
        ("gpt-5-mini-2025-08-07, input", "gpt-5-mini-2025-08-07"),
        ("gpt-5-mini-2025-08-07, cached input", "gpt-5-mini-2025-08-07"),
        ("gpt-4o-audio-preview, audio, input", "gpt-4o-audio-preview"),
        ("web search tool calls", ""),
        ("Code interpreter sessions, 1 GB", ""),
        ("completions", ""),
        (None, ""),
    ],
)
async def test_a_line_item_names_its_model_before_the_comma_or_not_at_all(line_item: Any, model: str) -> None:
    with Server(one_row(line_item=line_item), spent(), NOW) as server:
        (figure,) = (await read(KIND, server)).figures
    assert (figure.model, figure.label, figure.project, figure.key) == (model, line_item or "", "", "")


@pytest.mark.parametrize("value", [Decimal("1E-7"), Decimal("0.0000001"), "0.0000001", "1e-7"])
async def test_the_smallest_amounts_stay_exact(value: Any) -> None:
    with Server(one_row(amount={"value": value, "currency": "usd"}), spent(), NOW) as server:
        (figure,) = (await read(KIND, server)).figures
    assert figure.amount == Decimal("0.0000001")


@pytest.mark.parametrize("value", [None, True, "", "one", "NaN", "1,5", [], {"value": 1}, 10**12])
async def test_no_amount_is_not_zero(value: Any) -> None:
    with Server(one_row(amount={"value": value, "currency": "usd"}), spent(), NOW) as server:
        assert (await refusal(server)).state == "schema"


async def test_groups_and_tokens_come_along() -> None:
    with Server(FAKE, spent(project="proj_a", key="key_a"), NOW) as server:
        reading = await read(KIND, server)
    (figure,), (usage,) = reading.figures, reading.usage
    assert (figure.project, figure.key) == (usage.project, usage.key) == ("proj_a", "key_a")
    assert usage.model == "gpt-5-mini-2025-08-07"
    assert (usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (
        1,
        6400,
        2300,
        1100,
    )
    assert not reading.notes


async def test_an_older_answer_without_cached_tokens_leaves_them_unknown() -> None:
    def older(body: Any) -> Any:
        for bucket in body["data"]:
            for row in bucket["results"]:
                row.pop("input_cached_tokens", None)
        return body

    with Server(Rewritten(FAKE, older), spent(), NOW) as server:
        (usage,) = (await read(KIND, server)).usage
    assert (usage.input_tokens, usage.cached_tokens) == (6400, None)


async def test_a_changed_token_report_does_not_cost_the_money() -> None:
    def renamed(body: Any) -> Any:
        for bucket in body["data"]:
            for row in bucket["results"]:
                if "input_tokens" in row:
                    row["tokens_in"] = row.pop("input_tokens")
        return body

    with Server(Rewritten(FAKE, renamed), spent(), NOW) as server:
        reading = await read(KIND, server)
    assert [figure.amount for figure in reading.figures] == [Decimal("1.25")]
    assert not reading.usage
    assert "token counts are missing" in reading.notes[0]
    assert "input_tokens" in reading.notes[0]


async def test_a_long_window_is_asked_a_month_at_a_time() -> None:
    bill = Bill()
    for back in range(95):
        bill.spend(TODAY - timedelta(days=back), "0.01", "gpt-5-mini")
    with Server(FAKE, bill, NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 92))
        asked = [request for request in server.journal if request.path == COSTS]
    assert [request.one("limit") for request in asked] == ["31", "31", "30"]
    assert {request.one("bucket_width") for request in asked} == {"1d"}
    assert asked[0].all("group_by[]") == ["line_item", "project_id", "api_key_id"]
    assert len(reading.buckets) == len({bucket.start for bucket in reading.buckets}) == 92
    assert sum(figure.amount for figure in reading.figures) == Decimal("0.92")


async def test_the_pages_of_one_sum_are_asked_with_the_same_filters() -> None:
    with Server(changed(FAKE, most=7), spent(), NOW) as server:
        await read(KIND, server, days_until(NOW, 20))
        asked = [request.query for request in server.journal if request.path == COSTS]
    assert len(asked) == 3
    assert [query[:-1] for query in asked[1:]] == [asked[0]] * 2


@pytest.mark.parametrize("odd", ["twice", "a week", "not at midnight", "backwards"])
async def test_a_day_cut_otherwise_is_no_figure(odd: str) -> None:
    def rewrite(body: Any) -> Any:
        data = body["data"]
        if odd == "twice":
            return {**body, "data": [*data, data[-1]]}
        ends = {"a week": (0, 7 * 86_400), "not at midnight": (60, 86_400), "backwards": (0, -1)}[odd]
        first = data[0]["start_time"]
        return {**body, "data": [{**data[0], "start_time": first + ends[0], "end_time": first + ends[1]}]}

    with Server(Rewritten(FAKE, rewrite), spent(), NOW) as server:
        assert (await refusal(server)).state == "schema"


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (error(403, "Missing scopes: api.usage.read"), "forbidden", "api.usage.read"),
        (error(401, "Missing scopes: api.usage.read"), "forbidden", "an owner of the organization makes one"),
        (
            error(401, "Incorrect API key provided: sk-zzzz", "invalid_api_key"),
            "auth",
            "Admin key (sk-admin-…)",
        ),
        (error(403, "Country not supported"), "forbidden", "address or country"),
        (error(404, "Unknown request URL"), "not_found", "check base_url (it ends in /v1)"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "out_of_money", "add credit"),
        (error(429, "Rate limit reached", "rate_limit_exceeded"), "rate_limited", "asked too often"),
        (error(500, "The server had an error"), "upstream", "fault of its own"),
    ],
)
async def test_every_refusal_says_what_to_do(answer: Answer, state: str, words: str) -> None:
    with Server(FAKE, spent(), NOW) as server:
        server.faults.append(answer)
        found = await refusal(server)
    assert found.state == state
    assert words in str(found)
    assert "sk-zzzz" not in str(found)


async def test_being_limited_at_the_tokens_puts_the_whole_round_off() -> None:
    """Else the next round would come in its usual rhythm, although OpenAI asked for a longer wait."""
    with Server(FAKE, spent(), NOW) as server:
        usual = server.fake.answer(_request(COSTS), server.bill, NOW)
        server.faults.extend([usual, Answer({"error": {"message": "slow"}}, 429, {"retry-after": "60"})])
        found = await refusal(server)
        assert not server.faults
    assert (found.state, found.retry_after) == ("rate_limited", 60)


async def test_proving_a_key_reads_one_day() -> None:
    with Server(FAKE, spent(), NOW) as server:
        await prove(KIND, settings_for(KIND, server), Secret(FAKE.key), NOW)
        (request,) = server.journal
    assert (request.path, request.one("limit")) == (COSTS, "1")


def _request(path: str) -> Request:
    window = days_until(NOW, 3)
    query = [
        (name, str(int(at.timestamp())))
        for name, at in (("start_time", window.start), ("end_time", window.end))
    ]
    return Request("GET", path, query, {"authorization": f"Bearer {FAKE.key}"}, b"")


@pytest.mark.parametrize("left_out", [0, 1, 2])
async def test_a_day_that_is_left_out_is_no_zero(left_out: int) -> None:
    """Every day is told, also one without costs; the whole list may not be empty either."""

    def shortened(body: Any) -> Any:
        return {**body, "data": [day for at, day in enumerate(body["data"]) if at != left_out]}

    fake = Rewritten(FAKE, shortened)
    with Server(fake, spent(), NOW) as server:
        found = await refusal(server)
    assert fake.fired
    assert found.state == "schema"
    assert f"leaves out 2026-11-{18 + left_out}" in str(found)


async def test_today_may_be_missing_only_while_it_is_young() -> None:
    def yesterday(body: Any) -> Any:
        return {**body, "data": body["data"][:-1]}

    for minute, told in ((5, True), (59, True), (60, False)):
        now = NOW.replace(hour=0, minute=0) + timedelta(minutes=minute)
        with Server(Rewritten(FAKE, yesterday), spent(), now) as server:
            if told:
                assert len((await read(KIND, server)).buckets) == 2
            else:
                assert "leaves out 2026-11-20" in str(await refusal(server))
