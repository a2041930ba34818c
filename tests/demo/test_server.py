"""The made-up API, asked over loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from costmon.demo.server import Answer, Ask, DemoServer, tokens_of

ASKED: list[Ask] = []


@pytest.fixture
def server() -> Iterator[DemoServer]:
    ASKED.clear()

    def vendor(ask: Ask) -> Answer:
        ASKED.append(ask)
        return Answer(0, 0.0, 429) if ask.model == "busy" else Answer(37, 0.01)

    found = DemoServer(vendor)
    yield found
    found.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, headers={"authorization": "Bearer demo-trader"}) as found:
        yield found


def _body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "x" * 41}], **more}


def test_it_listens_on_loopback_alone(server: DemoServer) -> None:
    assert httpx.URL(server.url).host == "127.0.0.1"
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


def test_plain_usage_is_what_was_sent(server: DemoServer, client: httpx.Client) -> None:
    """Both APIs count the prompt they got and the text they sent, nothing else."""
    chat = client.post(f"{server.url}/chat/completions", json=_body("gpt-4o")).json()
    assert tokens_of(chat["choices"][0]["message"]["content"]) == 37
    assert chat["usage"] == {"prompt_tokens": 11, "completion_tokens": 37, "total_tokens": 48}
    message = client.post(f"{server.url}/messages", json=_body("claude-haiku-4-5")).json()
    assert tokens_of(message["content"][0]["text"]) == 37
    assert message["usage"] == {"input_tokens": 11, "output_tokens": 37}
    assert [ask.app for ask in ASKED] == ["trader", "trader"]
    assert chat["id"] != message["id"]


def test_a_stream_ends_with_its_usage(server: DemoServer, client: httpx.Client) -> None:
    with client.stream(
        "POST", f"{server.url}/chat/completions", json=_body("gpt-4o", stream=True)
    ) as response:
        data = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert data[-1] == "[DONE]"
    events = [json.loads(line) for line in data[:-1]]
    text = "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])
    assert tokens_of(text) == events[-1]["usage"]["completion_tokens"] == 37


def test_what_it_does_not_know_it_refuses(server: DemoServer, client: httpx.Client) -> None:
    """Another path, a broken body, a huge one: one answer, no crash."""
    assert client.post(f"{server.url}/embeddings", json=_body("x")).status_code == 404
    for body in (b"", b"[]", b'{"messages": 3}', b'{"messages": [{}], "model": "m"}', b"{" * 1000):
        assert client.post(f"{server.url}/messages", content=body).status_code == 404
    busy = client.post(f"{server.url}/messages", json=_body("busy"))
    assert busy.status_code == 429
    assert busy.json()["error"]["type"] == "rate_limit_error"
