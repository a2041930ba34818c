"""Azure Cost Management: a secret for a token, a token for rows of columns in any order."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costmon.sources.providers.kinds.azure import KIND
from costmon.sources.providers.protocol import SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.azure import FAKE, TOKEN, Azure, error, login_error
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

DAY = NOW.date()
NAMES = ("Cost", "UsageDate", "ServiceName", "Currency")
SIGNED_IN = Answer({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN})


def a_page(*rows: list[object], link: str | None = None, names: tuple[str, ...] = NAMES) -> Answer:
    columns = [{"name": name, "type": "String"} for name in names]
    return Answer({"properties": {"nextLink": link, "columns": columns, "rows": list(rows)}})


async def refused(*answers: Answer) -> SourceError:
    with Server(FAKE, Bill(), NOW) as server:
        server.faults += answers
        with pytest.raises(SourceError) as caught:
            await read(KIND, server)
        assert not server.faults
    assert TOKEN not in str(caught.value)
    return caught.value


async def test_columns_are_found_by_name_and_rows_of_one_group_are_added_up() -> None:
    fake = Azure()
    fake.columns = ("Currency", "ServiceName", "UsageDate", "Cost")
    bill = Bill()
    bill.spend(DAY, "12.34")
    bill.spend(DAY, "0.000000001")
    with Server(fake, bill, NOW) as server:
        reading = await read(KIND, server)
    (figure,) = reading.figures
    assert (figure.amount, figure.label) == (Decimal("12.340000001"), "Azure OpenAI")
    assert len(reading.buckets) == 3


async def test_pages_are_followed_with_the_same_question() -> None:
    fake = Azure()
    fake.page_rows = 3
    bill = Bill()
    for at in range(8):
        bill.spend(DAY, Decimal(at + 1))
    with Server(fake, bill, NOW) as server:
        reading = await read(KIND, server)
        asked = [request for request in server.journal if request.path.endswith("/query")]
    assert sum(figure.amount for figure in reading.figures) == 36
    assert [request.one("$skiptoken") for request in asked] == ["", "3", "6"]
    assert {request.method for request in asked} == {"POST"}
    assert len({request.body for request in asked}) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/PATH?$skiptoken=AT",
        "https://HOST.elsewhere.example/PATH?$skiptoken=AT",
        "https://HOST/subscriptions/another/providers/Microsoft.CostManagement/query?$skiptoken=AT",
        "//HOST/PATH?$skiptoken=AT",
    ],
)
async def test_a_page_elsewhere_is_not_followed(link: str) -> None:
    fake = Azure()
    fake.link, fake.page_rows = link, 1
    bill = Bill()
    bill.spend(DAY, 1)
    with Server(fake, bill, NOW) as server:
        with pytest.raises(SourceError, match="nextLink leads to another place"):
            await read(KIND, server)
        assert len(server.journal) == 2


async def test_the_secret_goes_to_the_login_only_and_the_token_to_the_rest() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        await read(KIND, server, days_until(NOW, 3))
        login, query = server.journal
    assert login.headers["authorization"].startswith("Basic ")
    assert query.headers["authorization"] == f"Bearer {TOKEN}"
    for part in (*login.headers.values(), *query.headers.values(), login.body.decode(), query.body.decode()):
        assert FAKE.key not in part


async def test_the_longest_wait_counts_of_all_the_headers_that_name_one() -> None:
    found = await refused(
        SIGNED_IN,
        Answer(
            {"error": {"code": "429", "message": "Too many requests. Please retry."}},
            429,
            {
                "Retry-After": "5",
                "x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after": "45",
                "x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after": "12",
                "x-ms-ratelimit-microsoft.costmanagement-qpu-remaining": "900",
            },
        ),
    )
    assert (found.state, found.retry_after) == ("rate_limited", 45)
    assert KIND.at_least_s == 3600


async def test_throttling_in_an_answer_of_200_is_no_figure() -> None:
    throttled = Answer({"error": {"code": "429", "message": "Too many requests. Please retry."}})
    assert (await refused(SIGNED_IN, throttled)).state == "rate_limited"


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (login_error(401, "invalid_client", "AADSTS7000215: Invalid client secret"), "auth", "not its id"),
        (login_error(401, "invalid_client", "AADSTS7000222: expired"), "auth", "has expired"),
        (login_error(400, "unauthorized_client", "AADSTS700016: not found"), "config", "client_id"),
        (login_error(400, "invalid_request", "AADSTS90002: no tenant"), "config", "tenant"),
        (login_error(400, "invalid_grant", "AADSTS1: new"), "auth", "set the three again"),
        (Answer({"token_type": "Bearer", "access_token": "two\nlines"}), "schema", "access_token"),
    ],
)
async def test_a_login_that_fails_says_which_setting_to_mend(answer: Answer, state: str, says: str) -> None:
    found = await refused(answer)
    assert (found.state, says in str(found)) == (state, True)


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (
            error(403, "AuthorizationFailed", "does not have authorization"),
            "forbidden",
            "Cost Management Reader",
        ),
        (error(401, "RBACAccessDenied", "no access"), "forbidden", "Cost Management Reader"),
        (error(404, "SubscriptionNotFound", "not found"), "config", "subscription"),
        (error(500, "InternalServerError", "oops"), "upstream", "fault"),
    ],
)
async def test_a_query_that_fails_says_what_to_do(answer: Answer, state: str, says: str) -> None:
    found = await refused(SIGNED_IN, answer)
    assert (found.state, says in str(found)) == (state, True)


@pytest.mark.parametrize(
    "page",
    [
        a_page([1, 20261119, "Azure OpenAI"]),
        a_page([1, 20261319, "Azure OpenAI", "USD"]),
        a_page([1, 20200101, "Azure OpenAI", "USD"]),
        a_page([None, 20261119, "Azure OpenAI", "USD"]),
        a_page([1, 20261119, None, "USD"]),
        a_page([1, 20261119, "Azure OpenAI", "dollars"]),
        a_page([1, 20261119, "Azure OpenAI"], names=("Cost", "UsageDate", "ServiceName")),
        a_page({"Cost": 1}),  # type: ignore[arg-type]
        a_page(link=5),  # type: ignore[arg-type]
    ],
)
async def test_rows_that_do_not_fit_are_no_figure(page: Answer) -> None:
    assert (await refused(SIGNED_IN, page)).state == "schema"


async def test_ids_cannot_lead_the_token_astray() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        for name in ("tenant", "client_id", "subscription"):
            with pytest.raises(SourceError, match=f"{name} is no id"):
                await read(KIND, server, **{name: "a/../b"})
