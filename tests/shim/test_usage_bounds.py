"""Requests and answers that once were counted as less than they are."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from costmon.shim import usage
from costmon.shim.batches import Results, seen
from costmon.shim.calls import Call
from costmon.shim.observer import Observer
from costmon.shim.recorder import Recorder
from costmon.shim.wire import UNKNOWN_MODEL, Wire, call_of
from tests.harness.events import events

JSON = "application/json"
CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def asked(host: str, path: str, body: Any, port: int | None = None, **hosts: Any) -> Call | None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = call_of(Wire("POST", host, port, path, "", JSON, data), hosts)
    return found[1] if found is not None else None


def chat(text: str) -> Call:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    found = asked("api.openai.com", CHAT, body)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        "1234,5678,90\n" * 80_000,
        '{"a":1,"b":[2,3]}' * 60_000,
        "A" * 3000 + ",b" * 500_000,
        "data:" + "a,b" * 350_000,
        "https://example.org/a?b=c&" * 40_000,
    ],
    ids=["table", "minified JSON", "encoded only at first", "data: in name only", "addresses"],
)
def test_a_long_text_without_spaces_is_text(text: str) -> None:
    """A megabyte of CSV is a quarter of a million tokens, not the thousand of one picture."""
    assert chat(text).input_tokens >= len(text) // 4


def test_an_encoded_file_is_an_attachment() -> None:
    """The control: base64 of any kind, alone or in a data: URL."""
    held = os.urandom(100_000)
    for text in (base64.b64encode(held), base64.urlsafe_b64encode(held)):
        assert chat(text.decode()).input_tokens < 1100
        assert chat("data:image/png;base64," + text.decode()).input_tokens < 1100


def test_a_response_that_only_continues_is_seen() -> None:
    """`responses.create(model=…, previous_response_id=…)` has no input of its own."""
    body = {"model": "gpt-4o", "previous_response_id": "resp_1", "max_output_tokens": 9}
    found = asked("api.openai.com", "/v1/responses", body)
    assert found is not None
    assert (found.model, found.max_output) == ("gpt-4o", 9)


def test_a_compressed_request_is_no_way_past() -> None:
    """Nobody but the provider reads it; it is metered on a host that is known, and only there."""
    body = gzip.compress(
        json.dumps({"model": "gpt-4o", "messages": HI, "x": os.urandom(9000).hex()}).encode()
    )
    found = asked("api.openai.com", CHAT, body)
    assert found is not None
    assert (found.provider, found.model) == ("openai", UNKNOWN_MODEL)
    assert found.input_tokens >= len(body) // 4
    mine = asked("llm.example.org", CHAT, body, **{"llm.example.org": {"provider": "openai"}})
    assert mine is not None
    assert asked("llm.example.org", CHAT, body) is None
    assert asked("chat.example.org", "/api/chat", body) is None
    for other in (b"", b"[1]", b"null", b'{"text": "no call"}'):
        assert asked("api.openai.com", CHAT, other) is None


def test_a_long_answer_id_is_booked_once(recorder: Recorder, costmon_home: Path) -> None:
    """The ledger keeps the first 200 characters of an id; a batch fetched again must still be known by it."""
    for name in ("a" * 300, "batch_1"):
        found = call_of(Wire("GET", "api.openai.com", None, "/v1/files/f/content", "", "", None), {})
        assert found is not None
        answer = {"id": name, "object": "chat.completion", "model": "gpt-4o-mini", "choices": [],
                  "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}}  # fmt: skip
        line = {"id": "b", "custom_id": "c", "response": {"status_code": 200, "body": answer}}
        for _ in range(3):
            Results(found[0], "", recorder, found[1]).whole(json.dumps(line).encode() + b"\n")
        assert recorder.ledger.read(lambda db, name=name: seen(db, "openai", name))
        booked = [row for row in events(costmon_home) if row["response_id"].startswith(name[:7])]
        assert len(booked) == 1


@pytest.mark.parametrize(
    ("host", "port", "free"),
    [
        ("ollama.gateway.corp", None, False),
        ("ollama.example.com", None, False),
        ("llm.corp", 11434, False),
        ("8.8.8.8", 11434, False),
        ("127.0.0.1", 11434, True),
        ("::1", 11434, True),
        ("192.168.1.9", 11434, True),
        ("gpu-box", 11434, True),
        ("ollama", None, True),
        ("ollama.local", None, True),
        ("host.docker.internal", 11434, True),
    ],
)
def test_only_an_ollama_of_ones_own_is_free(host: str, port: int | None, free: bool) -> None:
    """A paid gateway with Ollama's port or name is billed like any other."""
    found = asked(host, CHAT, {"model": "gpt-4o", "messages": HI}, port)
    assert found is not None
    assert (found.provider, found.free) == (("ollama", True) if free else ("openai", False))


def test_a_gateway_may_be_said_to_be_free() -> None:
    """The config's word stands above the guess."""
    own = {"ollama.gateway.corp": {"provider": "ollama", "free": True}}
    found = asked("ollama.gateway.corp", CHAT, {"model": "llama3", "messages": HI}, **own)
    assert found is not None
    assert (found.provider, found.free) == ("ollama", True)


def _upload(length: int) -> Wire:
    """A transcription whose file only the client may read."""
    body = (
        b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n\r\n--B--\r\n'
    )
    size = length and length + len(body)
    kind = "multipart/form-data; boundary=B"
    return Wire("POST", "api.openai.com", None, "/v1/audio/transcriptions", "", kind, body, size)


@pytest.mark.parametrize(("length", "seconds"), [(0, 60), (16_000 * 3600, 3600), (16_001, 2)])
def test_a_file_nobody_may_read_is_judged_by_its_length(length: int, seconds: int) -> None:
    """An hour of sound is an hour, not a minute, where the header tells how much is sent."""
    found = call_of(_upload(length), {})
    assert found is not None
    assert found[1].units is not None
    assert found[1].units["audio_seconds"] == seconds


@pytest.mark.parametrize("answer", [b'{"text": "hello there"}', b'{"text": ""}', b"hello there"])
def test_what_was_only_assumed_is_no_final_figure(
    recorder: Recorder, costmon_home: Path, answer: bytes
) -> None:
    """A transcript that says nothing of its length is booked as an estimate."""
    found = call_of(_upload(16_000 * 600), {})
    assert found is not None
    observer = Observer(recorder, recorder.admit(found[1]), found[0])
    kind = JSON if answer.startswith(b"{") else "text/plain"
    observer.responded(200, {"content-type": kind}, answer)
    row = events(costmon_home)[-1]
    assert (row["usage_status"], row["cost_status"]) == ("estimated", "estimated")
    assert row["cost"] >= 60_000_000  # ten minutes at $0.006


@pytest.mark.parametrize(
    "config",
    [
        {"generation_config": {"max_output_tokens": 50, "candidate_count": 2}},
        {"generation_config": {"maxOutputTokens": 100}},
        {"generationConfig": {"max_output_tokens": 100}},
    ],
)
def test_gemini_takes_either_spelling(config: dict[str, Any]) -> None:
    """The bound of the output is read however the app spells it."""
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    body = {"contents": [{"parts": [{"text": "hi"}]}], **config}
    found = asked("generativelanguage.googleapis.com", path, body)
    assert found is not None
    assert found.max_output == 100


@pytest.mark.parametrize("prefix", ["", "models/", "publishers/google/models/"])
def test_a_grounded_prompt_is_billed_once_whatever_gemini_calls_itself(prefix: str) -> None:
    """Gemini 2 bills the prompt, not each query."""
    api = usage.api_of("POST", "/v1beta/models/gemini-2.5-flash:generateContent")
    assert api is not None
    grounded = {"groundingMetadata": {"webSearchQueries": ["a", "b", "c"]}}
    for model, searches in (("gemini-2.5-flash", 1), ("gemini-3-pro", 3)):
        answer = {"candidates": [grounded], "modelVersion": prefix + model,
                  "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1}}  # fmt: skip
        found = usage.read_usage(api, answer)
        assert found is not None
        assert found["web_searches"] == searches


@pytest.mark.parametrize(
    ("billed", "used"),
    [
        ({"images": 3}, {"input_images": 3}),
        ({"image_tokens": 700}, {"input_tokens": 700, "input_image_tokens": 700}),
        (
            {"images": 1, "input_tokens": 20, "image_tokens": 700},
            {"input_tokens": 720, "input_image_tokens": 700},
        ),
        ({"input_tokens": 20}, {"input_tokens": 20}),
    ],
)
def test_embedded_images_are_used(billed: dict[str, int], used: dict[str, int]) -> None:
    """Cohere bills an image by tokens of its own."""
    api = usage.api_of("POST", "/v2/embed")
    assert api is not None
    found = usage.read_usage(api, {"id": "1", "meta": {"billed_units": billed}})
    assert found is not None
    assert {name: found.get(name) for name in used} == used
