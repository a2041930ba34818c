"""What goes over the wire to a provider, what comes back, and what each status means."""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from costmon import __version__
from costmon.credentials import Secret
from costmon.sources.providers.http import Traffic, connect
from costmon.sources.providers.protocol import Outgoing, Settings, SourceError, bearer
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.server import Server
from tests.sources.providers.http_kit import FAKE, KEY, KEYLESS, KIND, Ear, ask, refused, reply


async def test_the_request_carries_the_key_the_kinds_headers_and_costmons_name() -> None:
    kind = dataclasses.replace(KIND, headers={"acme-version": "2026-10-21"})
    with Server(FAKE) as server:
        query = [("group_by[]", "a b"), ("group_by[]", "c&d"), ("page", "")]
        await ask(f"{server.url}/v1/", "/costs", kind, params=query, headers={"X-Team": "7"})
        request = server.journal[0]
    assert (request.method, request.path, request.query) == ("GET", "/v1/costs", query)
    assert request.headers["x-api-key"] == KEY
    assert request.headers["acme-version"] == "2026-10-21"
    assert request.headers["x-team"] == "7"
    assert request.headers["user-agent"].startswith(f"costmon/{__version__}")
    assert request.headers["accept-encoding"] == "gzip, deflate"


async def test_numbers_arrive_exact() -> None:
    with Server(FAKE) as server:
        server.faults.append(
            Answer(b'{"a": 0.1000000000000000055, "b": 12, "c": -1E-7, "d": 1e2, "e": -0.0}')
        )
        found = await ask(server.url)
    assert found == {"a": Decimal("0.1000000000000000055"), "b": 12, "c": Decimal("-1E-7"), "d": 100, "e": 0}
    assert {type(value) for value in found.values()} == {int, Decimal}


async def test_a_post_sends_json_and_traffic_counts_requests_and_bytes() -> None:
    traffic = Traffic()
    with Server(FAKE) as server:
        server.faults.append(Answer(b'{"data": 1}'))
        async with connect(KIND, Settings("acme", "acme", server.url), Secret(KEY), traffic) as client:
            assert await client.post("/graphql", {"query": "{ me }"}) == {"data": 1}
            await client.get("/costs")
        first = server.journal[0]
    assert (first.method, first.body) == ("POST", b'{"query": "{ me }"}')
    assert first.headers["content-type"] == "application/json"
    assert traffic == Traffic(2, len(b'{"data": 1}') + len(b'{"ok":true}'))


async def test_a_kind_signs_exactly_what_leaves() -> None:
    seen: list[Outgoing] = []

    def sign(request: Outgoing, key: str) -> dict[str, str]:
        seen.append(request)
        return {"Authorization": f"SIG {len(request.body)}"}

    with Server(FAKE) as server:
        kind = dataclasses.replace(KIND, authorize=sign)
        async with connect(kind, Settings("acme", "acme", server.url), Secret(KEY), Traffic()) as client:
            await client.post("/ask", {"a": 1}, [("x", "y z")])
        request = server.journal[0]
        assert seen[0].url == f"{server.url}/ask?x=y%20z"
    assert (seen[0].method, seen[0].body) == ("POST", b'{"a": 1}')
    assert abs(datetime.now(UTC) - seen[0].at) < timedelta(minutes=1)
    assert seen[0].headers["host"] == request.headers["host"]
    assert request.headers["authorization"] == "SIG 8"
    assert "x-api-key" not in request.headers


async def test_nothing_of_the_environment_or_of_earlier_answers_goes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\ndefault login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(FAKE) as server:
        server.faults.append(Answer({"ok": 1}, headers={"Set-Cookie": "session=abc; Path=/"}))
        async with connect(KEYLESS, Settings("acme", "acme", server.url), None, Traffic()) as client:
            await client.get("/costs")
            await client.get("/costs")
        for request in server.journal:
            assert not {"authorization", "cookie", "x-api-key"} & set(request.headers)
        assert len(server.journal) == 2


async def test_without_a_key_nothing_is_asked() -> None:
    with Server(FAKE) as server:
        for secret in (None, Secret("")):
            with pytest.raises(SourceError, match="Acme needs an Admin key; costmon keys set acme") as caught:
                async with connect(KIND, Settings("acme", "acme", server.url), secret, Traffic()):
                    pass
            assert caught.value.state == "key"
        assert server.journal == []


async def test_a_kind_without_key_and_address_asks_nobody_but_one_with_a_key_needs_an_address() -> None:
    files = dataclasses.replace(KEYLESS, base_url="")
    async with connect(files, Settings("acme", "acme", ""), None, Traffic()) as client:
        with pytest.raises(SourceError, match="no address to ask"):
            await client.post("/costs", {})
    error = await refused("", kind=dataclasses.replace(KIND, base_url=""))
    assert (error.state, str(error).startswith("[source.acme] base_url is missing")) == ("config", True)


@pytest.mark.parametrize("place", ["\n", "\r\nX-Evil: 1", "\x00", "é", "\u2028", "  ", " "], ids=repr)
async def test_a_key_that_fits_no_header_is_refused_and_not_repeated(place: str) -> None:
    with Server(FAKE) as server:
        async with connect(
            KIND, Settings("acme", "acme", server.url), Secret(f"CANARY{place}"), Traffic()
        ) as client:
            with pytest.raises(SourceError, match="store it again") as caught:
                await client.get("/costs")
        assert caught.value.state == "key"
        assert server.journal == []


async def test_a_kind_that_cannot_sign_says_so_without_the_key() -> None:
    def broken(request: Outgoing, key: str) -> dict[str, str]:
        raise ValueError(f"bad key {key}")

    def unsure(request: Outgoing, key: str) -> dict[str, str]:
        raise SourceError("key", "the key of Acme must be two parts with a colon; costmon keys set acme")

    with Server(FAKE) as server:
        error = await refused(server.url, kind=dataclasses.replace(KIND, authorize=broken))
        assert (error.state, "ValueError" in str(error)) == ("config", True)
        error = await refused(server.url, kind=dataclasses.replace(KIND, authorize=unsure))
        assert (error.state, "two parts" in str(error)) == ("key", True)
        assert server.journal == []


STATUSES = {
    400: ("schema", "did not accept the request"),
    401: ("auth", "does not accept the key"),
    402: ("out_of_money", "add credit"),
    403: ("forbidden", "needs an Admin key (from Settings → Keys): costmon keys set acme"),
    404: ("not_found", "check base_url"),
    405: ("schema", "update costmon"),
    407: ("network", "HTTPS_PROXY"),
    408: ("upstream", "asked again later"),
    409: ("upstream", "asked again later"),
    410: ("not_found", "check base_url"),
    418: ("schema", "did not accept the request"),
    422: ("schema", "check the source's settings"),
    425: ("upstream", "asked again later"),
    429: ("rate_limited", "asked too often"),
    451: ("forbidden", "refuses this request"),
    500: ("upstream", "a fault of its own"),
    501: ("upstream", "a fault of its own"),
    502: ("upstream", "a fault of its own"),
    503: ("upstream", "a fault of its own"),
    504: ("upstream", "a fault of its own"),
    529: ("upstream", "a fault of its own"),
}


async def test_every_status_has_its_class_and_its_sentence() -> None:
    with Server(FAKE) as server:
        for status, (state, words) in STATUSES.items():
            server.faults.append(
                Answer({"error": {"message": f"bad {KEY}", "type": KEY, "code": KEY}}, status)
            )
            error = await refused(server.url)
            assert (error.state, error.status, error.retry_after) == (state, status, None)
            assert words in str(error)
            assert f"status {status}" in str(error)
        assert len(server.journal) == len(STATUSES)


async def test_a_keyless_source_that_is_asked_for_a_login_is_not_told_to_set_a_key() -> None:
    with Server(FAKE) as server:
        for status in (401, 403):
            server.faults.append(Answer({}, status))
            error = await refused(server.url, kind=KEYLESS)
            assert "check base_url" in str(error)
            assert "keys set" not in str(error)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"error": {"code": "invalid_api_key", "type": "invalid_request_error"}}, "invalid_api_key"),
        ({"error": {"code": None, "type": "authentication_error"}}, "authentication_error"),
        ({"error": "unauthorized"}, "unauthorized"),
        ({"detail": {"status": "missing_permissions", "message": "x"}}, "missing_permissions"),
        ({"code": "forbidden"}, "forbidden"),
        ({"error": {"code": 401, "type": "Sk-Admin"}}, ""),
        ({"error": {"code": "a" * 41}}, ""),
        ({"error": {"code": "9f2c7714b0aa"}}, ""),
        ({"error": {"code": "bad\x1b[31m_key"}}, ""),
        (["error"], ""),
        (b"<html>" + KEY.encode(), ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
    ids=str,
)
async def test_of_an_errors_body_at_most_its_short_name_is_shown(body: Any, word: str) -> None:
    with Server(FAKE) as server:
        server.faults.append(Answer(body, 401))
        error = await refused(server.url)
    assert f"(status 401, {word})" in str(error) if word else "(status 401)" in str(error)


async def test_a_kind_may_know_better_also_about_an_answer_with_200() -> None:
    def explain(status: int, body: Any) -> SourceError | None:
        if body == {"code": 7}:
            return SourceError("out_of_money", "Acme says that the account is closed; open it there")
        return None

    kind = dataclasses.replace(KIND, explain=explain)
    with Server(FAKE) as server:
        server.faults += [
            Answer({"code": 7}, 429, {"Retry-After": "9"}),
            Answer({"code": 7}),
            Answer({"code": 8}),
        ]
        first, second = await refused(server.url, kind=kind), await refused(server.url, kind=kind)
        assert await ask(server.url, kind=kind) == {"code": 8}
    assert (first.state, first.status, first.retry_after) == ("out_of_money", 429, 9.0)
    assert (second.state, second.status) == ("out_of_money", 200)


async def test_a_kind_that_stumbles_over_an_error_leaves_the_general_sentence() -> None:
    kind = dataclasses.replace(KIND, explain=lambda status, body: body["error"]["message"])
    with Server(FAKE) as server:
        server.faults.append(Answer(b"oops", 500))
        assert (await refused(server.url, kind=kind)).state == "upstream"
        assert await ask(server.url, kind=kind) == {"ok": True}


NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def http_date(after: float) -> str:
    return format_datetime(NOW + timedelta(seconds=after), usegmt=True)


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("0", "", 0.0),
        ("30", "", 30.0),
        (" 30 ", "", 30.0),
        ("1.5", "", 1.5),
        ("3601", "", 3600.0),
        ("1000000000", "", 3600.0),
        ("9" * 400, "", None),
        ("1e9", "", None),
        ("-5", "", None),
        ("soon", "", None),
        ("", "", None),
        ("NaN", "", None),
        ("inf", "", None),
        ("١٢", "", None),
        (http_date(90), http_date(0), 90.0),
        (http_date(-90), http_date(0), 0.0),
        (http_date(86_400), http_date(0), 3600.0),
        # Its clock is two hours behind ours, and its dates are in its own time.
        (http_date(-7200 + 60), http_date(-7200), 60.0),
        ("Friday, 20-Nov-26 12:00:10 GMT", http_date(0), 10.0),
        ("Fri Nov 20 12:00:10 2026", http_date(0), 10.0),
        ("Fri, 99 Nov 2026 12:00:10 GMT", http_date(0), None),
    ],
)
async def test_how_long_to_wait(said: str, date: str, seconds: float | None) -> None:
    headers = {"Retry-After": said, **({"Date": date} if date else {})}
    for status in ("429 Too Many", "503 Busy"):
        with Ear(
            reply(b"{}", status, {name: value.encode().decode("latin-1") for name, value in headers.items()})
        ) as ear:
            error = await refused(ear.url)
            assert error.retry_after == seconds
            assert len(ear.heard) == 1


async def test_a_date_without_the_providers_clock_is_compared_with_ours() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with Ear(reply(b"", "429 Too Many", {"Retry-After": until})) as ear:
        error = await refused(ear.url)
    assert error.retry_after == pytest.approx(100, abs=10)


@pytest.mark.parametrize(
    ("status", "ahead", "words"),
    [
        (401, 3 * 3600 + 5, "3 hours behind the provider's"),
        (403, -400, "7 minutes ahead of the provider's"),
        (400, 86_400 * 3, "3 days behind"),
        (401, 200, ""),
        (500, 86_400, ""),
    ],
)
async def test_a_wrong_clock_is_named_where_it_may_be_the_reason(status: int, ahead: int, words: str) -> None:
    theirs = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    with Ear(reply(b"{}", f"{status} No", {"Date": theirs})) as ear:
        error = await refused(ear.url)
    assert ("clock" in str(error)) is bool(words)
    assert words in str(error)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 20 Nov 99999 12:00:00 GMT", "\x01", "x" * 5000])
async def test_a_senseless_date_is_no_reason_for_anything(date: str) -> None:
    with Ear(reply(b"{}", "401 No", {"Date": date})) as ear:
        assert "clock" not in str(await refused(ear.url))


async def test_the_key_is_in_no_log_and_in_no_traceback_with_locals(caplog: pytest.LogCaptureFixture) -> None:
    from rich.console import Console
    from rich.traceback import Traceback

    def broken(request: Outgoing, key: str) -> dict[str, str]:
        raise KeyError(key)

    caplog.set_level(logging.DEBUG)
    console = Console(record=True, width=200)
    echo = Answer({"error": {"message": KEY, "code": KEY}}, 401, {"X-Echo": KEY, "WWW-Authenticate": KEY})
    with Server(FAKE) as server, Ear() as deaf:
        for url, kind, fault in (
            (server.url, KIND, echo),
            (server.url, dataclasses.replace(KIND, authorize=bearer), echo),
            (server.url, KIND, Answer({"ok": 1}, 302, {"Location": f"http://x.example/{KEY}"})),
            (server.url, KIND, Answer(f'["{KEY}"'.encode())),
            (server.url, dataclasses.replace(KIND, authorize=broken), None),
            (deaf.url, KIND, None),
        ):
            server.faults.extend([fault] if fault else [])
            try:
                await ask(url, kind=kind)
            except SourceError as error:
                # Without this test's own frame, whose locals hold the key in plain.
                frames = error.__traceback__.tb_next if error.__traceback__ else None
                console.print(Traceback.from_exception(type(error), error, frames, show_locals=True))
        assert len(server.journal) == 4
        assert KEY.encode() in deaf.heard[0]
    written = console.export_text()
    assert written.count("SourceError") >= 6
    assert "Secret(•••)" in written
    assert "CANARY" not in written
    assert "CANARY" not in caplog.text
    assert "127.0.0.1" not in caplog.text
