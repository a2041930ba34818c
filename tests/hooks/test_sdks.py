"""The newest OpenAI and Anthropic SDKs, every kind of call, against a server that nobody here wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness import answers, sdk_calls
from tests.harness.aimock import aimock
from tests.harness.cli import environ
from tests.harness.events import events, rows
from tests.harness.mock_server import mock_server
from tests.harness.venvs import ROOT

MILLION = Decimal(1_000_000)
# USD per million tokens: input, cached input, output.
RATES = {
    "gpt-4o": (Decimal("2.5"), Decimal("1.25"), Decimal("10")),
    "gpt-4o-mini": (Decimal("0.15"), Decimal("0.075"), Decimal("0.6")),
    "text-embedding-3-small": (Decimal("0.02"), Decimal("0.02"), Decimal("0")),
    "claude-haiku-4-5": (Decimal("1"), Decimal("0.1"), Decimal("5")),
}
TEXT = "Grüße, 세계 💸 and good night"
# "gpt-4o", "user" and "hi" are 12 bytes of text, 4 bytes to a token.
ESTIMATED_INPUT = 3
# 35 bytes of UTF-8, rounded up.
ESTIMATED_OUTPUT = 9


class Run(NamedTuple):
    """What an app saw, what the server received and what the ledger says."""

    seen: dict[str, Any]
    received: list[tuple[str, str]]
    events: list[dict[str, Any]]
    home: Path


def run(base: str, home: Path, **env: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, sdk_calls.__file__, base],
        env=environ(home, PYTHONPATH=ROOT, **env),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Against aimock: the app watched."""
    folder = tmp_path_factory.mktemp("aimock")
    with aimock(folder) as server:
        seen = run(server.base, folder / "home", APP_INSTRUMENT="1")
        received = [(entry["path"], entry["body"]["model"]) for entry in server.journal()]
    return Run(seen, received, events(folder / "home"), folder / "home")


def cost(model: str, tokens_in: int, tokens_out: int, cached: int = 0) -> int:
    """Nano USD by hand."""
    rate_in, rate_cached, rate_out = RATES[model]
    usd = ((tokens_in - cached) * rate_in + cached * rate_cached + tokens_out * rate_out) / MILLION
    return int(usd * 1_000_000_000)


def order() -> list[str]:
    """The calls in the order the app makes them: blocking ones first."""
    names = sdk_calls.names()
    return [n for n in names if not n.endswith("_async")] + [n for n in names if n.endswith("_async")]


def test_as_many_events_as_the_server_saw_attempts(foreign: Run) -> None:
    """The ledger holds one event for each attempt in the server's own journal, in its order."""
    assert len(foreign.received) == len(order()) == 17
    apis = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/embeddings": "embeddings"}
    journal = [(apis.get(path, "messages"), model) for path, model in foreign.received]
    assert [(event["api"], event["model"]) for event in foreign.events] == journal
    assert {event["state"] for event in foreign.events} == {"settled"}
    assert {event["outcome"] for event in foreign.events} == {"ok"}
    assert {event["app"] for event in foreign.events} == {"calls"}


def test_every_cost_equals_the_hand_calculation_to_the_nano(foreign: Run) -> None:
    """Each event costs exactly what the model's list price makes of the tokens the server reported."""
    expected = {
        "chat": Decimal("0.0076025"),  # 1237 x 2.5 + 451 x 10 = 7602.5 millionths
        "responses": Decimal("0.00045615"),  # 1237 x 0.15 + 451 x 0.6 = 456.15
        "embeddings": Decimal("0"),  # aimock reports no tokens for embeddings
        "messages": Decimal("0.003492"),  # 1237 x 1 + 451 x 5 = 3492
        "unreported": Decimal("0.0000975"),  # 3 x 2.5 + 9 x 10 = 97.5, an estimate
    }
    assert len(TEXT.encode()) == 35
    for name, event in zip(order(), foreign.events, strict=True):
        reported = name not in ("chat_stream", "chat_stream_async")
        usd = expected[event["api"] if reported else "unreported"]
        tokens = (1237, 451) if reported else (ESTIMATED_INPUT, ESTIMATED_OUTPUT)
        tokens = (0, 0) if event["api"] == "embeddings" else tokens
        assert event["cost"] == usd * 1_000_000_000 == cost(event["model"], *tokens), name
        assert event["currency"] == "USD"
        assert event["cost_status"] == ("priced" if reported else "estimated"), name
        assert event["usage_status"] == ("reported" if reported else "estimated"), name
        assert event["price_version"], name
        assert event["request_id"].startswith("req-"), name


def test_totals_equal_the_sum_of_the_events(foreign: Run) -> None:
    """What the screens add up is the sum of the events, to the nano."""
    wanted = sum(event["cost"] for event in foreign.events)
    for table in ("rollup_quarter", "rollup_day"):
        found = rows(foreign.home, f"select sum(cost) as cost, sum(calls) as calls from {table}")
        assert found == [{"cost": wanted, "calls": 17}]


def test_ids_of_the_answers_are_kept(foreign: Run) -> None:
    """An event can be found again by the id the app got from the provider."""
    ids = [event["response_id"] for event in foreign.events]
    assert foreign.seen["chat"][2]["id"] == ids[order().index("chat")]
    assert foreign.seen["messages_async"]["id"] == ids[order().index("messages_async")]
    assert foreign.seen["responses_stream"][-1]["response"]["id"] == ids[order().index("responses_stream")]


@pytest.mark.conformance
def test_the_app_sees_what_it_would_see_without_costmon(tmp_path: Path) -> None:
    """Watched, switched off and not there at all: the same bytes and objects from every call."""
    found = []
    for number, env in enumerate(
        ({"APP_INSTRUMENT": "1"}, {"APP_INSTRUMENT": "1", "COSTMON_ENABLED": "0"}, {})
    ):
        answers.restart()
        with mock_server() as server:
            found.append(run(server.base, tmp_path / str(number), **env))
            assert len(server.received) == 17
    assert found[0] == found[1] == found[2]
    assert [len(events(tmp_path / str(number))) for number in range(3)] == [17, 0, 0]
    assert not (tmp_path / "1").exists()
    assert_cached_input_has_its_own_price(tmp_path / "0")


def assert_cached_input_has_its_own_price(home: Path) -> None:
    """Cached tokens are priced as such, however the provider counts them: inside the input or beside it."""
    found = {(event["api"], event["cost"]) for event in events(home) if event["cost_status"] == "priced"}
    assert found == {
        ("chat", 7_260_000),  # 1000 x 2.5 + 200 x 1.25 + 451 x 10 = 7260 millionths
        ("responses", 435_600),  # 1000 x 0.15 + 200 x 0.075 + 451 x 0.6 = 435.6
        ("embeddings", 24_000),  # 1200 x 0.02 = 24
        ("messages", 3_275_000),  # 1000 x 1 + 200 x 0.1 + 451 x 5 = 3275
    }
    assert cost("gpt-4o", answers.INPUT, answers.OUTPUT, answers.CACHED) == 7_260_000
