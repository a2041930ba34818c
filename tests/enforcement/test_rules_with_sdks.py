"""The rules as an operator writes them and an app meets them: config.toml, the compiler, a real SDK, a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import costmon
from costmon import SpendBlocked
from costmon.shim import context
from tests.harness.cli import costmon as command
from tests.harness.events import events, rows
from tests.harness.mock_server import MockServer, Reply, json_reply, mock_server
from tests.shim.battery import kit

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
BUSY = json_reply({"error": {"message": "slow down"}}, status=503)
LIMITED = json_reply({"error": {"message": "slow down"}}, status=429)
BAD = json_reply({"error": {"message": "no"}}, status=400)


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="bot")


def configure(home: Path, text: str) -> None:
    """Write config.toml and have it compiled, as any command of the operator's does."""
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.toml").write_text(f'time_zone = "UTC"\n{text}', encoding="utf-8")
    command(home, "budget", "set", "total", "1000USD", "--period", "month")
    (home / "config.toml").write_text(
        (home / "config.toml").read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )


def client(server: MockServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(**{"base_url": server.base + "/v1", "api_key": "k", "max_retries": 0, **options})


def refusal(call: Callable[[], Any]) -> SpendBlocked:
    with pytest.raises(SpendBlocked) as caught:
        call()
    return caught.value


def test_a_rate_limit_stops_an_sdk_before_a_byte_leaves(costmon_home: Path) -> None:
    """Three calls an hour: the fourth is refused by name, figure and time, sync and async, and another app goes on."""
    configure(costmon_home, '[rate_limit.three]\nscope = "app=bot"\ncalls = 3\nper = "hour"\n')
    with mock_server() as server, client(server) as sdk:
        for _ in range(3):
            sdk.chat.completions.create(**CHAT)
        found = refusal(lambda: sdk.chat.completions.create(**CHAT))
        assert (found.rule, found.scope) == ("rate", "app=bot")
        assert 'rate limit "three": 3 calls' in found.reason
        assert found.until is not None
        assert found.retry_after is not None
        assert 0 < found.retry_after <= 3600
        assert abs(found.until.timestamp() - time.time() - found.retry_after) < 5

        async def call() -> None:
            async with openai.AsyncOpenAI(base_url=server.base + "/v1", api_key="k") as sdk:
                await sdk.chat.completions.create(**CHAT)

        assert refusal(lambda: asyncio.run(call())).rule == "rate"
        with costmon.context(app="other"):
            sdk.chat.completions.create(**CHAT)
        assert len(server.received) == len(events(costmon_home)) == 4
    assert rows(costmon_home, "select rule, scope, sum(calls) as calls, dry_run from refusal") == [
        {"rule": "rate", "scope": "app=bot", "calls": 2, "dry_run": 0}
    ]


def test_the_retries_of_an_sdk_are_attempts(costmon_home: Path) -> None:
    """Two retries of one call count three times, and the fourth attempt of a limit of three does not leave."""
    configure(costmon_home, '[rate_limit.three]\ncalls = 3\nper = "day"\n')
    with mock_server() as server, client(server, max_retries=5) as sdk:
        server.plan(*[Reply(b.chunks, status=503, headers={"retry-after-ms": "1"}) for b in [BUSY] * 6])
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "rate"
        assert len(server.received) == 3
    assert [event["status_code"] for event in events(costmon_home)] == [503] * 3


@pytest.mark.parametrize(
    ("replies", "opens"),
    [([BUSY] * 3, True), ([LIMITED] * 3, True), ([Reply(hang_up=True)] * 3, True), ([BAD] * 3, False)],
    ids=["503", "429", "hang up", "400"],
)
def test_failures_of_the_provider_open_its_breaker(
    costmon_home: Path, replies: list[Reply], opens: bool
) -> None:
    """Three overloads or dead connections stop the calls to it; bad requests do not; the other provider goes on."""
    configure(costmon_home, '[breaker]\nfailures = 3\nwithin = "1m"\npause = "1h"\n')
    with mock_server() as server, client(server) as sdk:
        server.plan(*replies)
        for _ in range(3):
            with pytest.raises(openai.APIError):
                sdk.chat.completions.create(**CHAT)
        if opens:
            found = refusal(lambda: sdk.chat.completions.create(**CHAT))
            assert (found.rule, found.scope) == ("breaker", "provider=openai")
            with anthropic.Anthropic(base_url=server.base, api_key="k") as other:
                other.messages.create(
                    model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
                )
        else:
            sdk.chat.completions.create(**CHAT)
        assert len(server.received) == 4


def test_a_timeout_opens_it_too_and_one_probe_closes_it(costmon_home: Path) -> None:
    """After the pause one of ten threads tries; its success lets the others through."""
    configure(costmon_home, '[breaker]\nfailures = 2\nwithin = "1m"\npause = "1s"\n')
    with mock_server() as server, client(server) as sdk:
        server.plan(Reply(delay_s=1.0, hang_up=True), Reply(delay_s=1.0, hang_up=True))
        for _ in range(2):
            with pytest.raises(openai.APITimeoutError):
                sdk.with_options(timeout=0.2).chat.completions.create(**CHAT)
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "breaker"
        time.sleep(1.05)  # the pause, on the wall clock
        before = len(server.received)
        server.plan(Reply([b'{"object":"chat.completion","model":"gpt-4o","choices":[]}'], delay_s=0.15))
        with ThreadPoolExecutor(10) as pool:
            calls = [pool.submit(_through, sdk) for _ in range(10)]
        assert sum(call.result() for call in calls) == len(server.received) - before
        assert 1 <= len(server.received) - before <= 10
        first = kit.one(costmon_home, "select count(*) from breaker where opened_at is not null")
        assert first == 0
        sdk.chat.completions.create(**CHAT)


def _through(sdk: openai.OpenAI) -> bool:
    try:
        sdk.chat.completions.create(**CHAT)
    except SpendBlocked:
        return False
    return True


def test_the_same_prompt_over_and_over(costmon_home: Path) -> None:
    """Three identical prompts go out, the fourth does not, in this process or the next; another prompt does."""
    configure(costmon_home, '[repeat]\ncalls = 3\nwithin = "1h"\n')
    with mock_server() as server, client(server) as sdk:
        sdk.chat.completions.create(**CHAT)
        for _ in range(2):  # programs that a timer starts: each makes one call and ends
            done = kit.python(ONE_CALL, server.base, json.dumps(CHAT))
            assert done.stdout == "through\n", done.stderr
        assert kit.python(ONE_CALL, server.base, json.dumps(CHAT)).stdout == "repeat\n"
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "repeat"
        sdk.chat.completions.create(**{**CHAT, "messages": [{"role": "user", "content": "other"}]})
        assert len(server.received) == 4
    found = rows(costmon_home, "select distinct fingerprint from event")
    assert len(found) == 2
    assert "hi" not in str(rows(costmon_home, "select * from repetition"))


ONE_CALL = """
import json, sys, costmon, openai
costmon.instrument(app="timer")
with openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="k", max_retries=0) as sdk:
    try:
        sdk.chat.completions.create(**json.loads(sys.argv[2]))
        print("through")
    except costmon.SpendBlocked as blocked:
        print(blocked.rule)
"""


def test_a_loop_that_retries_for_ever_is_stopped(costmon_home: Path) -> None:
    """An app that repeats a failing call is refused after three failures, until one works again."""
    configure(costmon_home, '[retry_loop]\nfailures = 3\nwithin = "1h"\n')
    with mock_server() as server, client(server) as sdk:
        server.plan(BAD, BUSY, Reply(), BAD, BAD)
        for _ in range(2):
            with pytest.raises(openai.APIError):
                sdk.chat.completions.create(**CHAT)
        other = {**CHAT, "messages": [{"role": "user", "content": "other"}]}
        with pytest.raises(Exception) as caught:  # an empty body, 200
            sdk.chat.completions.create(**other)
        assert not isinstance(caught.value, SpendBlocked)
        with pytest.raises(openai.APIError):
            sdk.chat.completions.create(**CHAT)
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "retry_loop"
        with pytest.raises(openai.APIError):
            sdk.chat.completions.create(**other)
        sdk.chat.completions.create(**other)
        assert len(server.received) == 6


def test_a_dry_run_of_everything(costmon_home: Path) -> None:
    """Nothing is refused, all is recorded, and the operator's own block still stops."""
    configure(
        costmon_home,
        '[rate_limit.one]\ncalls = 1\nper = "day"\n[repeat]\ncalls = 1\nwithin = "1h"\n'
        "[limits]\ndry_run = true\nwarn_prompt_tokens = 100\n",
    )
    with mock_server() as server, client(server) as sdk:
        for _ in range(4):
            sdk.chat.completions.create(**CHAT)
        sdk.chat.completions.create(**{**CHAT, "messages": [{"role": "user", "content": "x" * 4000}]})
        command(costmon_home, "kill", "app=bot")
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "switch"
        assert len(server.received) == len(events(costmon_home)) == 5
    found = rows(
        costmon_home, "select rule, sum(calls) as calls, dry_run from refusal group by rule order by rule"
    )
    assert found == [
        {"rule": "rate", "calls": 4, "dry_run": 1},
        {"rule": "repeat", "calls": 3, "dry_run": 1},
        {"rule": "switch", "calls": 1, "dry_run": 0},
    ]
    assert rows(costmon_home, "select kind, subject, app, calls from notice") == [
        {"kind": "prompt", "subject": "gpt-4o", "app": "bot", "calls": 1}
    ]


def test_a_bypass_lets_the_next_call_through_and_no_longer_than_asked(costmon_home: Path) -> None:
    """The emergency door: at the next call, on the record, and over when it is ended."""
    configure(costmon_home, '[rate_limit.one]\ncalls = 1\nper = "day"\n')
    with mock_server() as server, client(server) as sdk:
        sdk.chat.completions.create(**CHAT)
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "rate"
        command(costmon_home, "bypass", "--for", "15m", "--why", "the market crashed", "--scope", "app=bot")
        sdk.chat.completions.create(**CHAT)
        command(costmon_home, "bypass", "end")
        assert refusal(lambda: sdk.chat.completions.create(**CHAT)).rule == "rate"
        assert len(server.received) == 2
    (row,) = rows(costmon_home, "select scope, reason, lifted_at is not null as lifted from override")
    assert row == {"scope": "app=bot", "reason": "the market crashed", "lifted": 1}
