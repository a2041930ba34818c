"""Anthropic's own traps, beyond the contract: cents, 31 days a page, a version header, and keys of the wrong kind."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers import registry
from tests.sources.providers.ask import NOW, Rewritten, changed, days_until, read, refusal
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.anthropic import FAKE, error
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

KIND = registry.kind("anthropic")
TODAY = NOW.date()
COSTS, TOKENS = "/v1/organizations/cost_report", "/v1/organizations/usage_report/messages"


def spent(**more: Any) -> Bill:
    bill = Bill()
    bill.spend(TODAY, "1.25", "claude-sonnet-5", **({"input_tokens": 100, "cached_tokens": 40} | more))
    return bill


def with_row(**fields: Any) -> Rewritten:
    def rewrite(body: Any) -> Any:
        for bucket in body["data"]:
            bucket["results"] = [
                {**row, **fields} if "amount" in row or "tokens" in fields else row
                for row in bucket["results"]
            ]
        return body

    return Rewritten(FAKE, rewrite)


@pytest.mark.parametrize(
    ("amount", "dollars"),
    [
        ("123.45", "1.2345"),
        ("1234.567890", "12.3456789"),
        ("123.78912", "1.2378912"),
        ("0.000001", "0.00000001"),
        ("40.00", "0.4"),
        ("0", "0"),
        (12345, "123.45"),
    ],
)
async def test_amounts_are_cents_with_fractions(amount: Any, dollars: str) -> None:
    with Server(with_row(amount=amount), spent(), NOW) as server:
        (figure,) = (await read(KIND, server)).figures
    assert (figure.amount, figure.currency) == (Decimal(dollars), "USD")


async def test_another_currency_is_refused_as_its_smallest_unit_is_not_known() -> None:
    with Server(with_row(currency="KRW"), spent(), NOW) as server:
        found = await refusal(server)
    assert found.state == "schema"
    assert "currency" in str(found)


async def test_the_model_is_the_rows_own_and_no_workspace_is_the_default_one() -> None:
    bill = spent(project="wrkspc_01ABC", key="apikey_01")
    bill.spend(TODAY, "0.40")
    with Server(FAKE, bill, NOW) as server:
        tokens, search = (await read(KIND, server)).figures
    assert (tokens.model, tokens.project, tokens.key) == ("claude-sonnet-5", "wrkspc_01ABC", "")
    assert tokens.label == "claude-sonnet-5 Usage - Input Tokens"
    assert (search.model, search.project, search.label) == ("", "", "Web Search Usage")


async def test_all_input_is_counted_with_cache_reads_and_writes_by_key() -> None:
    with Server(FAKE, spent(project="wrkspc_01ABC", key="apikey_01", output_tokens=9), NOW) as server:
        (usage,) = (await read(KIND, server)).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (100, 40, 9)
    assert (usage.model, usage.project, usage.key) == ("claude-sonnet-5", "wrkspc_01ABC", "apikey_01")
    assert usage.requests is None


async def test_a_changed_token_report_does_not_cost_the_money() -> None:
    def renamed(body: Any) -> Any:
        for bucket in body["data"]:
            for row in bucket["results"]:
                row.pop("uncached_input_tokens", None)
        return body

    with Server(Rewritten(FAKE, renamed), spent(), NOW) as server:
        reading = await read(KIND, server)
    assert [figure.amount for figure in reading.figures] == [Decimal("1.25")]
    assert "uncached_input_tokens" in reading.notes[0]


async def test_today_is_asked_for_and_no_page_is_longer_than_31_days() -> None:
    bill = Bill()
    for back in range(95):
        bill.spend(TODAY - timedelta(days=back), "0.01", "claude-sonnet-5")
    with Server(FAKE, bill, NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 92))
        asked = [request for request in server.journal if request.path == COSTS]
    assert [request.one("limit") for request in asked] == ["31", "31", "30"]
    assert asked[-1].one("ending_at") == "2026-11-21T00:00:00Z"
    assert asked[0].all("group_by[]") == ["workspace_id", "description"]
    assert sum(figure.amount for figure in reading.figures) == Decimal("0.92")
    assert len({bucket.start for bucket in reading.buckets}) == 92


async def test_cursors_are_opaque() -> None:
    """They have been seen as `page_…` and as a time."""

    class Times:
        def __getattr__(self, name: str) -> Any:
            return getattr(FAKE, name)

        def answer(self, request: Any, bill: Bill, now: Any) -> Answer:
            query = [
                (k, v.replace("2026-11-19T00:00:00Z#", "page_") if k == "page" else v)
                for k, v in request.query
            ]
            found = changed(FAKE, most=2).answer(request._replace(query=query), bill, now)
            if found.body.get("next_page"):
                found.body["next_page"] = found.body["next_page"].replace("page_", "2026-11-19T00:00:00Z#")
            return found

    with Server(Times(), spent(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 5))
    assert len(reading.buckets) == 5


async def test_the_version_can_be_set_and_a_wrong_one_is_said() -> None:
    class Newer:
        def __getattr__(self, name: str) -> Any:
            return getattr(FAKE, name)

        def answer(self, request: Any, bill: Bill, now: Any) -> Answer:
            if request.headers.get("anthropic-version") != "2026-10-21":
                return error(400, "invalid_request_error", "anthropic-version: 2023-06-01 is not supported")
            headers = {**request.headers, "anthropic-version": "2023-06-01"}
            return FAKE.answer(request._replace(headers=headers), bill, now)

    with Server(Newer(), spent(), NOW) as server:
        found = await refusal(server)
        assert (found.state, "api_version" in str(found)) == ("config", True)
        reading = await read(KIND, server, api_version="2026-10-21")
    assert sum(figure.amount for figure in reading.figures) == Decimal("1.25")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (error(401, "authentication_error", "invalid x-api-key"), "auth", "Settings → Admin keys"),
        (
            error(401, "authentication_error", "invalid x-api-key"),
            "auth",
            "without an organization, has none",
        ),
        (error(402, "billing_error", "x"), "out_of_money", "mend it there"),
        (error(403, "permission_error", "x"), "forbidden", "Admin key (sk-ant-admin…)"),
        (error(404, "not_found_error", "x"), "not_found", "check base_url"),
        (error(529, "overloaded_error", "Overloaded"), "upstream", "asked again later"),
    ],
)
async def test_every_refusal_says_what_to_do(answer: Answer, state: str, words: str) -> None:
    with Server(FAKE, spent(), NOW) as server:
        server.faults.append(answer)
        found = await refusal(server)
    assert (found.state, words in str(found)) == (state, True)


async def test_what_is_never_in_the_figures_is_said() -> None:
    assert any("Priority Tier" in sentence for sentence in KIND.lacks)
    assert "organization" in KIND.key_from
    assert any("sk-ant-api03-abc".startswith(start) for start in KIND.wrong_keys)


async def test_a_day_that_is_left_out_is_no_zero() -> None:
    for data in (lambda days: [], lambda days: days[:-1]):

        def shortened(body: Any, data: Any = data) -> Any:
            return {**body, "data": data(body["data"])}

        fake = Rewritten(FAKE, shortened)
        with Server(fake, spent(), NOW) as server:
            found = await refusal(server)
        assert fake.fired
        assert (found.state, "leaves out 2026-11-" in str(found)) == ("schema", True)
