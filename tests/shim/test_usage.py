"""Usage on the wire: every provider's own shape comes out inclusive and consistent, nonsense comes out as unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim import usage
from costmon.shim.usage import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Api
from costmon.shim.usage.openai import COMPLETIONS

OPENAI_CHAT = {
    "id": "chatcmpl-B9", "object": "chat.completion", "created": 1795132900, "model": "gpt-5-mini-2025-08-07",
    "service_tier": "default",
    "usage": {
        "prompt_tokens": 1200, "completion_tokens": 350, "total_tokens": 1550,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 0, "audio_tokens": 0, "text_tokens": 1200},
        "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0, "text_tokens": 94,
                                      "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    },
}  # fmt: skip
OPENAI_RESPONSE = {
    "id": "resp_1", "object": "response", "model": "gpt-5", "service_tier": "flex",
    "usage": {
        "input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 16},
        "output_tokens": 350, "output_tokens_details": {"reasoning_tokens": 256}, "total_tokens": 1550,
    },
}  # fmt: skip
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}
ANTHROPIC = {
    "id": "msg_01X", "type": "message", "model": "claude-sonnet-5",
    "usage": {
        "input_tokens": 12, "cache_creation_input_tokens": 2048, "cache_read_input_tokens": 10240,
        "cache_creation": {"ephemeral_5m_input_tokens": 1024, "ephemeral_1h_input_tokens": 1024}, "output_tokens": 503,
        "output_tokens_details": {"thinking_tokens": 310},
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        "service_tier": "standard", "inference_geo": "global",
    },
}  # fmt: skip
XAI = {"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 220,
       "prompt_tokens_details": {"cached_tokens": 30}, "cost_in_usd_ticks": 5,
       "completion_tokens_details": {"reasoning_tokens": 100}}}  # fmt: skip
DEEPSEEK = {"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36, "completion_tokens_details": {"reasoning_tokens": 5}}}  # fmt: skip
GROQ = {"id": "chatcmpl-g", "choices": [], "x_groq": {"id": "req_1", "usage": {
        "queue_time": 0.1, "prompt_tokens": 24, "completion_tokens": 377, "total_tokens": 401}}}  # fmt: skip
MOONSHOT = {"choices": [{"index": 0, "finish_reason": "stop", "usage": {"prompt_tokens": 19, "completion_tokens": 13,
            "total_tokens": 32, "cached_tokens": 7}}]}  # fmt: skip
OPENROUTER = {"id": "gen-1", "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "cost": 0.95,
              "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 6}}}  # fmt: skip
MISTRAL = {
    "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "prompt_audio_seconds": None}
}
SPARSE = {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}
NULLS = {"usage": {**SPARSE["usage"], "prompt_tokens_details": None, "completion_tokens_details": None}}
FLOATS = {"usage": {"prompt_tokens": 5.0, "completion_tokens": 6.0, "total_tokens": 11.0}}

GOLDEN: list[tuple[str, Api, dict[str, Any], dict[str, int]]] = [
    ("openai chat", CHAT, OPENAI_CHAT,
     {"input_tokens": 1200, "output_tokens": 350, "total_tokens": 1550, "cache_read_tokens": 1024, "reasoning_tokens": 256}),
    ("openai responses", RESPONSES, OPENAI_RESPONSE,
     {"input_tokens": 1200, "output_tokens": 350, "total_tokens": 1550, "cache_read_tokens": 1024, "cache_write_tokens": 16,
      "reasoning_tokens": 256}),
    ("openai response event", RESPONSES, {"type": "response.completed", "response": OPENAI_RESPONSE},
     {"input_tokens": 1200, "output_tokens": 350, "total_tokens": 1550, "cache_read_tokens": 1024, "cache_write_tokens": 16,
      "reasoning_tokens": 256}),
    ("embeddings", EMBEDDINGS, EMBEDDING, {"input_tokens": 8, "output_tokens": 0, "total_tokens": 8}),
    # 12 + 2048 written + 10240 read = 12300
    ("anthropic", MESSAGES, ANTHROPIC,
     {"input_tokens": 12_300, "output_tokens": 503, "total_tokens": 12_803, "cache_read_tokens": 10_240,
      "cache_write_tokens": 2048, "cache_write_1h_tokens": 1024, "reasoning_tokens": 310, "web_searches": 1}),
    # xAI bills reasoning beside completion_tokens: 20 + 100
    ("x-ai", CHAT, XAI,
     {"input_tokens": 100, "output_tokens": 120, "total_tokens": 220, "cache_read_tokens": 30, "reasoning_tokens": 100}),
    ("deepseek", CHAT, DEEPSEEK,
     {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cache_read_tokens": 64, "reasoning_tokens": 5}),
    ("groq", CHAT, GROQ, {"input_tokens": 24, "output_tokens": 377, "total_tokens": 401}),
    ("moonshot", CHAT, MOONSHOT, {"input_tokens": 19, "output_tokens": 13, "total_tokens": 32, "cache_read_tokens": 7}),
    ("openrouter", CHAT, OPENROUTER, {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14, "cache_write_tokens": 6}),
    ("mistral", CHAT, MISTRAL, {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}),
    ("sparse", CHAT, SPARSE, {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}),
    ("null details", CHAT, NULLS, {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}),
    ("whole floats", CHAT, FLOATS, {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "document", "expected"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN]
)
def test_a_providers_own_shape(api: Api, document: dict[str, Any], expected: dict[str, int]) -> None:
    """The tokens on the screen are the tokens on the provider's bill."""
    assert usage.read_usage(api, document) == expected


@pytest.mark.parametrize(
    ("document", "identity"),
    [
        (OPENAI_CHAT, ("gpt-5-mini-2025-08-07", "chatcmpl-B9", "default")),
        ({"type": "response.completed", "response": OPENAI_RESPONSE}, ("gpt-5", "resp_1", "flex")),
        (ANTHROPIC, ("claude-sonnet-5", "msg_01X", "standard")),
        ({"type": "message_start", "message": ANTHROPIC}, ("claude-sonnet-5", "msg_01X", "standard")),
        ({"model": 7, "id": None, "service_tier": []}, ("", "", "")),
        ({"message": "boo", "response": [1]}, ("", "", "")),
    ],
)
def test_what_a_response_says_of_itself(document: dict[str, Any], identity: tuple[str, str, str]) -> None:
    """The model that answered and the tier it was served at decide the price."""
    assert tuple(usage.identity(document)) == identity


HOSTILE: list[object] = [
    None, True, False, float("nan"), float("inf"), float("-inf"), -1, -(2**70), 1e308, 2**70, 10**12, 1.5, "7", "\ud800",
    [], {}, [1], {"a": 1}, "NaN", b"7", 1e-9, -0.5,
]  # fmt: skip
FIELDS = sorted({path for api in usage.APIS for path, _ in api.fields})


def nested(path: str, value: object) -> dict[str, Any]:
    *outer, last = path.split(".")
    document: dict[str, Any] = {last: value}
    for part in reversed(outer):
        document = {part: document}
    return document


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("path", FIELDS)
def test_a_hostile_count_is_never_money(path: str, value: object) -> None:
    """NaN, a negative, an astronomic or a textual count neither raises nor lowers nor poisons a sum."""
    for api, good in (
        (CHAT, SPARSE),
        (RESPONSES, OPENAI_RESPONSE),
        (MESSAGES, ANTHROPIC),
        (EMBEDDINGS, EMBEDDING),
    ):
        found = usage.read_usage(api, {"usage": {**good["usage"], **nested(path, value)}})  # type: ignore[dict-item]
        if found is not None:
            assert all(type(count) is int and 0 <= count <= 4 * usage.MAX_COUNT for count in found.values())
            assert found["total_tokens"] == found["input_tokens"] + found["output_tokens"]


@pytest.mark.parametrize("value", [None, True, float("nan"), float("inf"), -1, 1e308, 2**70, "7", 1.5])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_without_a_usable_main_count_the_usage_is_unknown(name: str, value: object) -> None:
    """An unusable count makes the call unknown, not free."""
    assert usage.read_usage(CHAT, {"usage": {**SPARSE["usage"], name: value}}) is None


@pytest.mark.parametrize("raw", [None, [], "usage", 7, True, {}, {"prompt_tokens": {}}, {"x": 1}])
def test_a_usage_of_another_shape_is_unknown(raw: object) -> None:
    """A server that reports usage in a way nobody knows is unknown."""
    for api in usage.APIS:
        assert usage.read_usage(api, {"usage": raw}) is None


KEYS = st.sampled_from(
    ["usage", "response", "message", "choices", "delta", "id", "model", "input_tokens", "prompt_tokens", "output_tokens",
     "completion_tokens", "x_groq", "type", "error", "content", "text", "0", "prompt_tokens_details", "cached_tokens"]
)  # fmt: skip
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)


def _containers(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5)


JSON = st.recursive(LEAF, _containers, max_leaves=25)


@given(st.dictionaries(st.sampled_from(["usage", "response", "message", "choices", "x_groq", "model"]), JSON))
def test_no_document_raises(document: dict[str, Any]) -> None:
    """Whatever JSON a server answers with, the app gets its response."""
    for api in usage.APIS:
        found = usage.read_usage(api, document)
        assert found is None or min(found.values()) >= 0
        usage.identity(document)
        usage.delivered_bytes(document)
        usage.recognise(api, "/v1/x", json.dumps(document).encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b"[1]", b"7", b"null", b"[" * 200_000, b'{"a":' * 200_000, b'{"a": ' + b"9" * 5000 + b"}",
     b'{"messages": [], "model": "' + b"\\ud800" + b'"}'],
)  # fmt: skip
def test_no_request_body_raises(body: bytes) -> None:
    """Whatever an app posts to a path that looks like an LLM's is sent as it is."""
    for api in usage.APIS:
        usage.recognise(api, "/v1" + api.path, body)


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("POST", "/v1/chat/completions", CHAT),
        ("POST", "/v1/chat/completions/", CHAT),
        ("POST", "/openai/deployments/x/chat/completions", CHAT),
        ("POST", "/v1/responses", RESPONSES),
        ("POST", "/v1/embeddings", EMBEDDINGS),
        ("POST", "/v1/messages", MESSAGES),
        ("POST", "/anthropic/v1/messages", MESSAGES),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/messages/count_tokens", None),
        ("POST", "/v1/messages/batches", None),
        ("POST", "/v1/completions", COMPLETIONS),
        ("POST", "/", None),
        ("POST", "", None),
        ("POST", "/v1/responses/resp_1/cancel", None),
    ],
)
def test_a_call_is_recognised_by_its_path(method: str, path: str, api: Api | None) -> None:
    """A metered call is seen on any host, and nothing else is."""
    assert usage.api_of(method, path) is api


@pytest.mark.parametrize(
    ("api", "body", "seen"),
    [
        (CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}, ("gpt-4o", False, 5)),
        (CHAT, {"model": "m", "messages": [], "max_tokens": 9, "max_completion_tokens": 5, "stream": True}, ("m", True, 5)),
        (CHAT, {"model": "m", "messages": [], "max_tokens": -1, "stream": "yes"}, ("m", False, None)),
        (CHAT, {"model": "m", "messages": [], "max_tokens": True}, ("m", False, None)),
        (CHAT, {"messages": []}, ("", False, None)),  # what is known of the host decides
        (CHAT, {"model": "m", "text": "a chat endpoint of somebody else's"}, None),
        (RESPONSES, {"model": "m", "input": "hi", "max_output_tokens": 7}, ("m", False, 7)),
        (EMBEDDINGS, {"model": "e", "input": ["a", "b"]}, ("e", False, None)),
        (MESSAGES, {"model": "claude", "messages": [], "max_tokens": 100, "stream": True}, ("claude", True, 100)),
        (MESSAGES, {"text": "hello", "channel": "#general"}, None),  # a chat app's own /messages
    ],
)  # fmt: skip
def test_a_call_is_recognised_by_its_body(
    api: Api, body: dict[str, Any], seen: tuple[str, bool, int | None] | None
) -> None:
    """Another service with a similar path is left alone."""
    found = usage.recognise(api, "/v1" + api.path, json.dumps(body).encode())
    assert (found and (found.model, found.stream, found.max_output)) == seen


def test_an_image_is_no_text() -> None:
    """A picture of a megabyte is not estimated as a quarter of a million tokens."""
    body = {"model": "m", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}]}]}  # fmt: skip
    found = usage.recognise(CHAT, "/v1/chat/completions", json.dumps(body).encode())
    assert found is not None
    assert found.attachments == 1
    assert found.input_bytes < 100


def test_tokens_are_counted_where_the_app_counted_them() -> None:
    """An embedding of ready-made token ids is estimated by their number."""
    body = {"model": "text-embedding-3-small", "input": [[1] * 5000, [2] * 3000]}
    found = usage.recognise(EMBEDDINGS, "/v1/embeddings", json.dumps(body).encode())
    assert found is not None
    assert usage.estimate_tokens(found.input_bytes, found.attachments) >= 8000


@pytest.mark.parametrize(
    ("host", "port", "provider"),
    [
        ("api.openai.com", None, "openai"), ("eu.api.openai.com", None, "openai"), ("x.openai.azure.com", None, "azure"),
        ("openrouter.ai", 443, "openrouter"), ("localhost", 8000, "mine"), ("localhost", 1, "openai"),
        ("evil-api.openai.com.example.org", None, "openai"), ("notopenai.azure.com", None, "openai"),
    ],
)  # fmt: skip
def test_the_host_names_the_provider(host: str, port: int | None, provider: str) -> None:
    """The config's host map first, then the known hosts, else the API's family."""
    assert (
        usage.provider_of(CHAT, host, port, {"localhost:8000": {"provider": "mine", "free": True}})[0]
        == provider
    )


@pytest.mark.parametrize("depth", [100, 900, 50_000])
def test_depth_does_not_matter(depth: int) -> None:
    """Deeply nested text is measured without a crash."""
    document: Any = {"content": "four"}
    for _ in range(depth):
        document = [{"x": document}]
    assert usage.delivered_bytes(document) == 4
    while isinstance(document, list):  # taken apart by hand: freeing it is recursive too
        document = document[0].pop("x")


def test_built_in_tool_calls_are_units_of_their_own() -> None:
    """Ten web searches inside one response are billed beside its tokens, so they are counted, not lost."""
    output = [{"type": "web_search_call"}] * 10 + [
        {"type": "message"},
        {"type": "code_interpreter_call"},
        None,
        {"type": 3},
    ]
    found = usage.tool_units(usage.RESPONSES, {"output": output})
    assert found == {"web_searches": 10, "code_interpreter_calls": 1}
    assert usage.tool_units(usage.RESPONSES, {"response": {"output": output}}) == found
    assert usage.tool_units(usage.CHAT, {"output": output}) == {}
    assert usage.tool_units(usage.RESPONSES, {"output": "none"}) == {}


def test_several_answers_are_reserved_for() -> None:
    """`n=8` may cost eight times one answer, so eight are reserved."""
    body = b'{"model": "gpt-4o", "messages": [], "max_tokens": 100, "n": 8}'
    found = usage.recognise(usage.CHAT, "/v1/chat/completions", body)
    assert found is not None
    assert found.max_output == 800
