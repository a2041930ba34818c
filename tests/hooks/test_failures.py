"""What is recorded of calls that fail, and that the app sees its own failure and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest

from tests.harness import answers
from tests.harness.cli import costmon
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Reply, json_reply, sse
from tests.harness.ports import free_port
from tests.hooks.clients import (
    CHAT,
    COST,
    LIBRARIES,
    NAMES,
    RESERVED,
    STREAM,
    post,
    post_async,
    result_of,
    stream,
    stream_async,
)

pytestmark = pytest.mark.usefixtures("watched")
both = pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
sync_and_async = pytest.mark.parametrize("call", [post, post_async], ids=["sync", "async"])
HTML = Reply([b"<html><body>Bad gateway</body></html>"], 502, "text/html")
LIMITED = json_reply(
    {"error": {"message": "slow down", "type": "rate_limit"}}, 429, headers={"retry-after-ms": "10"}
)


def without(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[str, Any]:
    """What the app notices when costmon is switched off."""
    with monkeypatch.context() as patch:
        patch.setenv("COSTMON_ENABLED", "0")
        return result_of(call)


def facts(home: Path) -> list[tuple[Any, ...]]:
    return [
        (event["outcome"], event["status_code"], event["cost"], event["cost_status"])
        for event in events(home)
    ]


@both
@sync_and_async
def test_a_refused_connection_costs_nothing(
    library: ModuleType, call: Callable[..., Any], home: Path
) -> None:
    """Nothing was sent, so nothing is charged and nothing stays reserved."""
    with pytest.raises(library.ConnectError):
        call(library, f"http://127.0.0.1:{free_port()}")
    (event,) = events(home)
    assert (event["outcome"], event["cost"], event["state"]) == ("error", 0, "settled")
    assert event["error"] == "ConnectError"


@both
@sync_and_async
def test_a_timeout_after_sending_is_charged_as_reserved(
    library: ModuleType, call: Callable[..., Any], server: MockServer, home: Path
) -> None:
    """The provider may have answered a request it got: its outcome is unknown and costs the reservation, never 0."""
    server.plan(Reply([b"{}"], delay_s=1.0))
    with pytest.raises(library.ReadTimeout):
        call(library, server.base, timeout=0.3)
    assert facts(home) == [("unknown", None, RESERVED, "estimated")]


@both
@sync_and_async
def test_a_connection_that_breaks_is_charged_as_reserved(
    library: ModuleType, call: Callable[..., Any], server: MockServer, home: Path
) -> None:
    """A server that hangs up without a word may have done the work."""
    server.plan(Reply(hang_up=True))
    with pytest.raises(library.RemoteProtocolError):
        call(library, server.base)
    assert facts(home) == [("unknown", None, RESERVED, "estimated")]


@both
@sync_and_async
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply({"error": {"message": "no"}}, 400), ("error", 400, 0, "priced")),
        (json_reply({"error": {"message": "no key"}}, 401), ("error", 401, 0, "priced")),
        (LIMITED, ("error", 429, 0, "priced")),
        (json_reply({"error": {"message": "we fell over"}}, 500), ("error", 500, 0, "priced")),
        (HTML, ("unknown", 502, RESERVED, "estimated")),
        (Reply([b""], 504, "text/plain"), ("unknown", 504, RESERVED, "estimated")),
    ],
    ids=["400", "401", "429", "500-json", "502-html", "504-empty"],
)
def test_errors_cost_what_a_provider_bills_for_them(
    library: ModuleType,
    call: Callable[..., Any],
    reply: Reply,
    expected: tuple[Any, ...],
    server: MockServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error in the provider's own words is free; a gateway's error page leaves the outcome open."""
    server.plan(reply, reply)
    seen = result_of(lambda: call(library, server.base))
    assert seen == without(monkeypatch, lambda: call(library, server.base))
    assert facts(home) == [expected]


def test_each_retry_of_an_sdk_is_an_event(server: MockServer, home: Path) -> None:
    """One call of the app that took two attempts is two events, and only the answered one costs."""
    with openai.OpenAI(base_url=server.base + "/v1", api_key="k") as client:
        server.plan(LIMITED)
        client.chat.completions.create(**CHAT)
        server.plan(LIMITED, LIMITED)
        assert len(list(client.chat.completions.create(**STREAM))) == 7
    with anthropic.Anthropic(base_url=server.base, api_key="k") as other:
        server.plan(
            json_reply(
                {"type": "error", "error": {"type": "overloaded_error"}},
                529,
                headers={"retry-after-ms": "10"},
            )
        )
        other.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=CHAT["messages"])
    free = ("error", 429, 0, "priced")
    paid = ("ok", 200, COST, "priced")
    overloaded = ("error", 529, 0, "priced")
    message = ("ok", 200, 3_275_000, "priced")  # 1000 x 1 + 200 x 0.1 + 451 x 5 = 3275 millionths
    assert facts(home) == [free, paid, free, free, paid, overloaded, message]
    assert len(server.received) == 7


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
GOOD = answers.document("/chat/completions", CHAT)
MALFORMED = {
    "html": Reply([b"<!doctype html><html>Sign in to the hotel wifi</html>"], content_type="text/html"),
    "empty": Reply([b""]),
    "truncated": Reply([json.dumps(GOOD).encode()[:100]]),
    "array": Reply([b"[1, 2, 3]"]),
    "deep": Reply([b"[" * 100_000]),
    "not-utf8": Reply([b'{"id": "\xff\xfe", "usage": {"prompt_tokens": 1']),
    "huge": Reply([b'{"id": "x", "junk": "' + b"a" * 20_000_000 + b'"}']),
    "nan": Reply([json.dumps({**GOOD, "usage": {**USAGE, "completion_tokens": float("nan")}}).encode()]),
    "infinite": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": float("inf")}}),
    "negative": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": -5}}),
    "text-count": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": "many"}}),
    "fraction": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": 1.5}}),
    "astronomic": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": 10**400}}),
    "bool": json_reply({**GOOD, "usage": {**USAGE, "prompt_tokens": True}}),
    "list-usage": json_reply({**GOOD, "usage": [1, 2]}),
    "no-usage": json_reply({name: value for name, value in GOOD.items() if name != "usage"}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_answer_is_the_apps_own_and_its_cost_unknown(
    name: str, server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app gets the nonsense exactly as it came; the cost is unknown, not 0, and counted apart."""
    costmon(home, "budget", "set", "total", "1000USD", "--period", "day")
    wanted = 0
    for library in LIBRARIES:
        for call in (post, post_async):
            server.plan(MALFORMED[name], MALFORMED[name])
            seen = result_of(lambda: call(library, server.base))
            assert seen == without(monkeypatch, lambda: call(library, server.base))
            wanted += 1
    assert facts(home) == [("ok", 200, None, "unknown")] * wanted
    (totals,) = rows(
        home, "select sum(cost) as cost, sum(unpriced) as unpriced, sum(calls) as calls from rollup_day"
    )
    assert totals == {"cost": 0, "unpriced": wanted, "calls": wanted}
    used = "select sum(spent) as spent, sum(assumed) as assumed, sum(reserved) as reserved, sum(unpriced) as unpriced"
    (period,) = rows(home, used + " from budget_period")
    assert period == {"spent": 0, "assumed": wanted * RESERVED, "reserved": 0, "unpriced": wanted}


@pytest.mark.parametrize("name", ["html", "truncated", "nan", "negative", "no-usage"])
def test_an_sdk_sees_a_malformed_answer_as_if_unwatched(
    name: str, server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OpenAI's SDK makes of nonsense is the same with and without costmon."""
    with openai.OpenAI(base_url=server.base + "/v1", api_key="k", max_retries=0) as client:

        def call() -> Any:
            try:
                return repr(client.chat.completions.create(**CHAT))
            except Exception as error:
                return type(error), str(error)

        server.plan(MALFORMED[name], MALFORMED[name])
        seen = call()
        monkeypatch.setenv("COSTMON_ENABLED", "0")
        assert call() == seen
    assert facts(home) == [("ok", 200, None, "unknown")]


BAD_STREAMS = {
    "html": Reply([b"<html>", b"</html>"], content_type="text/event-stream", chunked=True),
    "broken-json": sse([b'data: {"id": "x", "usage": {"prompt_tok\n\n', b"data: [DONE]\n\n"]),
    "nan": sse(
        [
            b'data: {"id": "x", "choices": [], "usage": {"prompt_tokens": NaN, "completion_tokens": 1}}\n\n',
            b"data: [DONE]\n\n",
        ]
    ),
    "endless-line": sse([b"data: " + b"a" * 1_000_000] * 6),
    "empty": sse([]),
}


@both
@pytest.mark.parametrize("name", BAD_STREAMS)
def test_a_malformed_stream_is_the_apps_own(
    library: ModuleType, name: str, server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of nonsense passes unchanged, is settled once, and its cost is not taken for 0."""
    for call in (stream, stream_async):
        server.plan(BAD_STREAMS[name], BAD_STREAMS[name])
        seen = result_of(lambda: call(library, server.base))
        assert seen == without(monkeypatch, lambda: call(library, server.base))
    found = events(home)
    assert len(found) == 2
    assert {event["state"] for event in found} == {"settled"}
    assert all(event["cost"] is None or event["cost"] >= RESERVED for event in found)


@both
def test_a_corrupt_compressed_stream_fails_as_it_would(
    library: ModuleType, server: MockServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app's own decoder complains, in the app's own words."""
    reply = Reply(
        [b"no gzip at all", b"!"],
        content_type="text/event-stream",
        headers={"Content-Encoding": "gzip"},
        chunked=True,
    )
    for call in (stream, stream_async):
        server.plan(reply, reply)
        seen = result_of(lambda: call(library, server.base))
        assert seen == without(monkeypatch, lambda: call(library, server.base))
        assert seen[0] == "DecodingError"
    found = events(home)
    assert [event["state"] for event in found] == ["settled", "settled"]
    assert all(event["cost"] is None or event["cost"] >= RESERVED for event in found)


@both
def test_hostile_names_are_kept_short_and_plain(library: ModuleType, server: MockServer, home: Path) -> None:
    """A model name of 1 MB, control characters or markup cannot harm the ledger or a screen."""
    for model in ("[red]x[/red]\x1b[2J\x00\n", "m" * 1_000_000, "‮gpt"):
        assert post(library, server.base, {**CHAT, "model": model}).status_code == 200
    assert [event["model"] for event in events(home)] == ["[red]x[/red][2J", "m" * 199 + "…", "gpt"]
