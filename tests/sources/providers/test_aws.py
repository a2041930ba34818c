"""AWS Cost Explorer: every request costs a cent, is signed, and is an estimate until the month's bill is issued."""

from __future__ import annotations

import builtins
import json
import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costmon.sources.providers.http import Traffic
from costmon.sources.providers.kinds.aws import KIND
from costmon.sources.providers.protocol import SourceError
from tests.sources.providers.ask import NOW, days_until, read
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.aws import AWS, FAKE, ID, PASSWORD, error, group
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

DAY = date(2026, 11, 19)


def a_day(*groups: dict[str, Any], estimated: bool = True) -> dict[str, Any]:
    period = {"Start": "2026-11-19", "End": "2026-11-20"}
    return {"TimePeriod": period, "Total": {}, "Groups": list(groups), "Estimated": estimated}


def answering(*days: dict[str, Any], **more: Any) -> Answer:
    return Answer({"ResultsByTime": list(days), **more})


async def refused(answer: Answer, **options: str) -> SourceError:
    with Server(FAKE, Bill(), NOW) as server:
        server.faults.append(answer)
        with pytest.raises(SourceError) as caught:
            await read(KIND, server, **options)
        assert not server.faults
    return caught.value


async def test_services_of_other_makers_count_and_other_services_do_not() -> None:
    day = a_day(
        group("Amazon Bedrock", Decimal("4.1087654321")),
        group("Claude Sonnet (Bedrock Edition)", Decimal("9.31")),
        group("Amazon Elastic Compute Cloud - Compute", Decimal("100")),
        group("Tax", Decimal("11.34")),
    )
    with Server(FAKE, Bill(), NOW) as server:
        server.faults.append(answering(day))
        reading = await read(KIND, server)
    assert {figure.label: figure.amount for figure in reading.figures} == {
        "Amazon Bedrock": Decimal("4.1087654321"),
        "Claude Sonnet (Bedrock Edition)": Decimal("9.31"),
    }
    assert not reading.notes


async def test_other_services_count_when_they_are_asked_for() -> None:
    day = a_day(group("Amazon SageMaker", Decimal("2")), group("Amazon Bedrock", Decimal("1")))
    with Server(FAKE, Bill(), NOW) as server:
        server.faults.append(answering(day))
        reading = await read(KIND, server, services="bedrock, sagemaker")
    assert sum(figure.amount for figure in reading.figures) == 3


async def test_a_word_that_fits_no_service_is_noticed() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        server.faults.append(answering(a_day(group("Amazon Bedrock", Decimal("1")))))
        reading = await read(KIND, server, services="Bedrok")
    assert not reading.figures
    assert reading.notes == (
        'no billed service has one of "Bedrok" in its name; billed were "Amazon Bedrock"',
    )


async def test_what_aws_calls_an_estimate_is_not_complete_whatever_its_age() -> None:
    fake = AWS()
    fake.estimated_from = DAY
    with Server(fake, Bill(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 4))
    assert [bucket.complete for bucket in reading.buckets] == [True, True, False, False]
    assert not reading.partial
    assert KIND.settles_after >= timedelta(days=31)


async def test_nothing_is_asked_before_the_fee_is_agreed_to() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        for written in ("", "false", "yes"):
            with pytest.raises(SourceError, match=r"\$0\.60 a month .* pay_per_request = true") as caught:
                await read(KIND, server, pay_per_request=written)
            assert caught.value.state == "config"
        assert not server.journal


async def test_a_fortnight_a_page_costs_a_request_a_page() -> None:
    traffic = Traffic()
    with Server(FAKE, Bill(), NOW) as server:
        reading = await read(KIND, server, days_until(NOW, 30), traffic=traffic)
        asked = [json.loads(request.body) for request in server.journal]
    assert traffic.requests == 3
    assert len(reading.buckets) == 30
    assert [body.get("NextPageToken") for body in asked] == [None, "14", "28"]
    assert {json.dumps(body["TimePeriod"]) for body in asked} == {
        '{"Start": "2026-10-22", "End": "2026-11-21"}'
    }
    assert (KIND.fee, KIND.at_least_s, KIND.every_s) == ((Decimal("0.01"), "USD"), 6 * 3600, 12 * 3600)


async def test_pages_without_end_are_given_up_before_they_cost_a_dollar() -> None:
    class Endless(AWS):
        def answer(self, request: Any, bill: Bill, now: datetime) -> Answer:
            token = json.loads(request.body).get("NextPageToken", "0")
            return answering(NextPageToken=str(int(token) + 1))

    with Server(Endless(), Bill(), NOW) as server:
        with pytest.raises(SourceError, match="paging goes on after 20 pages"):
            await read(KIND, server)
        assert len(server.journal) == 20


async def test_the_same_page_again_is_no_sum() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        server.faults += [answering(NextPageToken="again"), answering(NextPageToken="again")]
        with pytest.raises(SourceError, match="circle"):
            await read(KIND, server)


async def test_a_temporary_key_sends_its_session() -> None:
    fake = AWS()
    fake.session = "made-up-session-token//=="
    with Server(fake, Bill(), NOW) as server:
        reading = await read(KIND, server, key=f"{fake.key}:{fake.session}")
        assert server.journal[0].headers["x-amz-security-token"] == fake.session
    assert len(reading.buckets) == 3


async def test_what_is_signed_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    fake = AWS()
    fake.session = "made-up-session-token//=="
    caplog.set_level(logging.DEBUG)
    with Server(fake, Bill(), NOW) as server:
        await read(KIND, server, key=f"{fake.key}:{fake.session}")
        logging.getLogger("botocore.auth").debug("others still log")
    assert "others still log" in caplog.text
    for part in (fake.session, PASSWORD, ID, "CanonicalRequest"):
        assert part not in caplog.text


@pytest.mark.parametrize("key", ["AKIDONLY", ":secret", "AKID:", "AKID:sécret", "AKID:two words:"])
async def test_a_key_of_another_form_says_the_form_and_not_the_key(key: str) -> None:
    with Server(FAKE, Bill(), NOW) as server:
        with pytest.raises(SourceError, match="ACCESS_KEY_ID:SECRET_ACCESS_KEY") as caught:
            await read(KIND, server, key=key)
        assert not server.journal
    assert caught.value.state == "key"
    assert key not in str(caught.value)


async def test_without_botocore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("botocore"):
            raise ImportError(name)
        return real(name, *rest, **more)

    with Server(FAKE, Bill(), NOW) as server:
        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(SourceError, match=r'pip install "costmon\[aws\]"') as caught:
            await read(KIND, server)
        monkeypatch.undo()
        assert not server.journal
    assert caught.value.state == "config"


async def test_no_costs_yet_is_unknown_and_not_zero() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        server.faults.append(error("DataUnavailableException", "Data is not available. Please try later."))
        reading = await read(KIND, server)
    assert not reading.buckets
    assert reading.notes == ("AWS has no costs yet; a day after Cost Explorer was switched on it has some",)


@pytest.mark.parametrize(
    ("kind", "message", "state", "says"),
    [
        ("LimitExceededException", "Rate exceeded", "rate_limited", "too often"),
        ("ThrottlingException", "Rate exceeded", "rate_limited", "too often"),
        ("AccessDeniedException", "User: arn is not authorized", "forbidden", "ce:GetCostAndUsage"),
        ("UnrecognizedClientException", "The security token is invalid.", "auth", "does not know"),
        ("InvalidSignatureException", "does not match", "auth", "secret is not that of this access key"),
        ("InvalidSignatureException", "Signature expired: 20261120T1 is now earlier than", "auth", "clock"),
        ("InvalidSignatureException", "Signature not yet current: 20261120T1", "auth", "clock"),
        ("RequestExpired", "Request has expired.", "auth", "clock"),
        ("ExpiredTokenException", "The security token is expired", "auth", "has expired"),
        ("BillExpirationException", "gone", "upstream", "BillExpirationException"),
        ("RequestChangedException", "changed", "upstream", "broke off"),
        ("ValidationException", "Start time is too old", "schema", "did not accept"),
    ],
)
async def test_what_aws_says_in_a_400_becomes_one_sentence(
    kind: str, message: str, state: str, says: str
) -> None:
    found = await refused(error(kind, message))
    assert found.state == state
    assert says in str(found)
    assert message not in str(found)


@pytest.mark.parametrize(
    "day",
    [
        a_day() | {"TimePeriod": {"Start": "2026-11-01", "End": "2026-12-01"}},
        a_day() | {"Groups": None},
        a_day() | {"Estimated": "true"},
        a_day({"Keys": ["a", "b"], "Metrics": {"UnblendedCost": {"Amount": "1", "Unit": "USD"}}}),
        a_day({"Keys": ["Bedrock"], "Metrics": {"UnblendedCost": {"Amount": "NaN", "Unit": "USD"}}}),
        a_day({"Keys": ["Bedrock"], "Metrics": {"UnblendedCost": {"Amount": "1", "Unit": "N/A"}}}),
    ],
)
async def test_an_answer_of_another_shape_is_refused(day: dict[str, Any]) -> None:
    assert (await refused(answering(day))).state == "schema"


async def test_the_time_of_a_signature_is_now() -> None:
    with Server(FAKE, Bill(), NOW) as server:
        await read(KIND, server)
        sent = server.journal[0].headers["x-amz-date"]
    signed = datetime.strptime(sent, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - signed) < timedelta(minutes=1)
