"""Every metered API, from the bytes of its request and its answer: whose bill, which model, how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from costmon.paths import bundled
from costmon.shim import usage
from costmon.shim.calls import Call
from costmon.shim.metered import maybe
from costmon.shim.streams import Body
from costmon.shim.usage import Api
from costmon.shim.wire import UNKNOWN_MODEL, Wire, call_of

JSON = "application/json"
SSE = "text/event-stream"
HI = [{"role": "user", "content": "hi"}]
GEMINI = {
    "contents": [{"parts": [{"text": "hi"}]}],
    "generationConfig": {"maxOutputTokens": 50, "candidateCount": 2},
}
VERTEX = "/v1/projects/p/locations/us-central1/publishers"


class Case(NamedTuple):
    """A request (`host`, `path`, `body`), and what must be seen: provider, api, model, most output; then its answer and
    the usage in it, of a whole answer and of a stream of events."""

    host: str
    path: str
    body: dict[str, Any]
    seen: tuple[str, str, str, int | None]
    answer: Any
    used: dict[str, int]
    stream: list[Any] | None = None


def tokens(given: int, made: int, **more: int) -> dict[str, int]:
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made, **more}


CHAT_USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
GEMINI_USAGE = {
    "promptTokenCount": 1200,
    "cachedContentTokenCount": 1024,
    "candidatesTokenCount": 94,
    "thoughtsTokenCount": 256,
    "toolUsePromptTokenCount": 30,
    "totalTokenCount": 1580,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 1100},
        {"modality": "AUDIO", "tokenCount": 100},
    ],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 1024}],
    "candidatesTokensDetails": [
        {"modality": "TEXT", "tokenCount": 64},
        {"modality": "IMAGE", "tokenCount": 30},
    ],
}
GEMINI_USED = tokens(
    1230,
    350,
    cache_read_tokens=1024,
    reasoning_tokens=256,
    input_tool_tokens=30,
    input_audio_tokens=100,
    cache_audio_read_tokens=0,
    cache_image_read_tokens=0,
    output_image_tokens=30,
)
GEMINI_ANSWER = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
                 "usageMetadata": GEMINI_USAGE, "modelVersion": "gemini-2.5-flash", "responseId": "r1"}  # fmt: skip
GEMINI_STREAM = [
    {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}],
     "usageMetadata": {"promptTokenCount": 1200, "candidatesTokenCount": 0, "totalTokenCount": 1200}},
    {"candidates": [{"content": {"parts": [{"text": "lo"}]}}],
     "usageMetadata": {"promptTokenCount": 1200, "candidatesTokenCount": 40, "totalTokenCount": 1240}},
    GEMINI_ANSWER,
]  # fmt: skip
CLAUDE = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": [{"type": "text", "text": "Hi"}],
          "usage": {"input_tokens": 12, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
                    "output_tokens": 5}}  # fmt: skip
CLAUDE_USED = tokens(132, 5, cache_read_tokens=100, cache_write_tokens=20)
CLAUDE_STREAM = [
    {
        "type": "message_start",
        "message": {**CLAUDE, "content": [], "usage": {**CLAUDE["usage"], "output_tokens": 1}},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
COHERE_UNITS = {
    "billed_units": {"input_tokens": 15.0, "output_tokens": 80.0},
    "tokens": {"input_tokens": 250.0, "output_tokens": 80.0},
}
OLLAMA = {"model": "llama3", "done": True, "prompt_eval_count": 26, "eval_count": 290}
CONVERSE_USAGE = {
    "inputTokens": 12,
    "outputTokens": 503,
    "totalTokens": 515,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 20,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 8}, {"ttl": "5m", "inputTokens": 12}],
}
CONVERSE_USED = tokens(132, 503, cache_read_tokens=100, cache_write_tokens=20, cache_write_1h_tokens=8)
BEDROCK_HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PROFILE = (
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
)

CASES: dict[str, Case] = {
    "chat": Case(
        "api.openai.com",
        "/v1/chat/completions",
        {"model": "gpt-4o", "messages": HI, "max_tokens": 9, "n": 2},
        ("openai", "chat", "gpt-4o", 18),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "chat in German over a gateway": Case(
        "llm.example.org",
        "/proxy/a/b/v1/chat/completions",
        {"model": "gpt-4o", "messages": HI},
        ("openai", "chat", "gpt-4o", None),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "azure": Case(
        "x.openai.azure.com",
        "/openai/deployments/mine/chat/completions",
        {"messages": HI},
        ("azure", "chat", "mine", None),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "completions": Case(
        "api.openai.com",
        "/v1/completions",
        {"model": "gpt-3.5-turbo-instruct", "prompt": "a", "max_tokens": 3},
        ("openai", "completions", "gpt-3.5-turbo-instruct", 3),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
        [
            {"choices": [{"text": "one "}]},
            {"choices": [{"text": "", "finish_reason": "stop"}], "usage": CHAT_USAGE},
        ],
    ),
    "responses": Case(
        "api.openai.com",
        "/v1/responses",
        {"prompt": {"id": "pmpt_1"}, "max_output_tokens": 7},
        ("openai", "responses", UNKNOWN_MODEL, 7),
        {
            "model": "gpt-5",
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            "output": [{"type": "web_search_call"}, {"type": "web_search_call"}],
        },
        tokens(3, 4, web_searches=2),
    ),
    "compact": Case(
        "api.openai.com",
        "/v1/responses/compact",
        {"model": "gpt-5", "input": "a"},
        ("openai", "compact", "gpt-5", None),
        {"object": "response.compaction", "usage": {"input_tokens": 3, "output_tokens": 4}},
        tokens(3, 4),
    ),
    "speech events": Case(
        "api.openai.com",
        "/v1/audio/speech",
        {"model": "gpt-4o-mini-tts", "input": "a", "stream_format": "sse"},
        ("openai", "speech", "gpt-4o-mini-tts", None),
        None,
        tokens(14, 101),
        [
            {"type": "speech.audio.delta", "audio": "AAAA"},
            {
                "type": "speech.audio.done",
                "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            },
        ],
    ),
    "images": Case(
        "api.openai.com",
        "/v1/images/generations",
        {"model": "gpt-image-1.5", "prompt": "a cat", "n": 2, "quality": "low"},
        ("openai", "images", "gpt-image-1.5", None),
        {
            "data": [{"b64_json": "A"}],
            "usage": {
                "input_tokens": 50,
                "output_tokens": 4160,
                "total_tokens": 4210,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
        },
        tokens(50, 4160, input_image_tokens=40, output_image_tokens=4160),
        [
            {"type": "image_generation.partial_image", "b64_json": "A"},
            {
                "type": "image_generation.completed",
                "b64_json": "B",
                "usage": {
                    "input_tokens": 50,
                    "output_tokens": 4160,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                    "output_tokens_details": {"text_tokens": 0, "image_tokens": 4160},
                },
            },
        ],
    ),
    "dall-e": Case(
        "api.openai.com",
        "/v1/images/generations",
        {"model": "dall-e-3", "prompt": "a cat"},
        ("openai", "images", "dall-e-3", None),
        {"data": [{"url": "u"}]},
        {"generated_images": 1},
    ),
    "anthropic": Case(
        "api.anthropic.com",
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "messages": HI, "max_tokens": 9},
        ("anthropic", "messages", "claude-sonnet-4-5", 9),
        CLAUDE,
        CLAUDE_USED,
        CLAUDE_STREAM,
    ),
    "anthropic on vertex": Case(
        "us-east5-aiplatform.googleapis.com",
        VERTEX + "/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        {"anthropic_version": "vertex-2023-10-16", "messages": HI, "max_tokens": 9},
        ("google", "messages", "claude-sonnet-4-5@20250929", 9),
        CLAUDE,
        CLAUDE_USED,
    ),
    "anthropic streaming on vertex": Case(
        "aiplatform.googleapis.com",
        VERTEX + "/anthropic/models/claude-opus-4:streamRawPredict",
        {"messages": HI, "max_tokens": 9, "stream": True},
        ("google", "messages", "claude-opus-4", 9),
        CLAUDE,
        CLAUDE_USED,
        CLAUDE_STREAM,
    ),
    "gemini": Case(
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        GEMINI,
        ("google", "generate_content", "gemini-2.5-flash", 100),
        GEMINI_ANSWER,
        GEMINI_USED,
    ),
    "gemini v1": Case(
        "generativelanguage.googleapis.com",
        "/v1/models/gemini-2.5-pro:generateContent",
        GEMINI,
        ("google", "generate_content", "gemini-2.5-pro", 100),
        GEMINI_ANSWER,
        GEMINI_USED,
    ),
    "gemini stream": Case(
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        GEMINI,
        ("google", "generate_content", "gemini-2.5-flash", 100),
        GEMINI_STREAM,
        GEMINI_USED,
        GEMINI_STREAM,
    ),
    "gemini on vertex": Case(
        "us-central1-aiplatform.googleapis.com",
        VERTEX + "/google/models/gemini-2.5-flash:generateContent",
        GEMINI,
        ("google", "generate_content", "gemini-2.5-flash", 100),
        GEMINI_ANSWER,
        GEMINI_USED,
    ),
    "gemini, openai way": Case(
        "generativelanguage.googleapis.com",
        "/v1beta/openai/chat/completions",
        {"model": "gemini-2.5-flash", "messages": HI},
        ("google", "chat", "gemini-2.5-flash", None),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "vertex embeddings": Case(
        "us-central1-aiplatform.googleapis.com",
        VERTEX + "/google/models/gemini-embedding-001:predict",
        {"instances": [{"content": "a"}, {"content": "b"}]},
        ("google", "embed_content", "gemini-embedding-001", None),
        {"predictions": [{"embeddings": {"statistics": {"token_count": 6.0}, "values": [0.1]}}] * 2},
        tokens(12, 0),
    ),
    "imagen": Case(
        "us-central1-aiplatform.googleapis.com",
        VERTEX + "/google/models/imagen-4.0-generate-001:predict",
        {"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 3}},
        ("google", "images", "imagen-4.0-generate-001", None),
        {"predictions": [{"bytesBase64Encoded": "A"}] * 3},
        {"generated_images": 3},
    ),
    "mistral": Case(
        "api.mistral.ai",
        "/v1/chat/completions",
        {"model": "mistral-small-latest", "messages": HI},
        ("mistral", "chat", "mistral-small-latest", None),
        {"usage": {**CHAT_USAGE, "prompt_audio_seconds": 7}},
        tokens(12, 5, audio_seconds=7),
    ),
    "fim": Case(
        "codestral.mistral.ai",
        "/v1/fim/completions",
        {"model": "codestral-latest", "prompt": "def f(", "max_tokens": 6},
        ("mistral", "fim", "codestral-latest", 6),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "agent": Case(
        "api.mistral.ai",
        "/v1/agents/completions",
        {"agent_id": "ag_1", "messages": HI},
        ("mistral", "agents", UNKNOWN_MODEL, None),
        {"model": "mistral-large-latest", "usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "conversation": Case(
        "api.mistral.ai",
        "/v1/conversations/conv_1/restart",
        {"inputs": "hi"},
        ("mistral", "conversations", UNKNOWN_MODEL, None),
        {
            "conversation_id": "conv_1",
            "outputs": [
                {"type": "tool.execution"},
                {"type": "message.output", "model": "mistral-medium-latest", "content": "x"},
            ],
            "usage": {
                "prompt_tokens": 188,
                "completion_tokens": 55,
                "total_tokens": 7355,
                "connector_tokens": 7112,
                "connectors": {"web_search": 1},
            },
        },
        tokens(7300, 55, input_tool_tokens=7112, web_searches=1),
        [
            {"type": "conversation.response.started", "conversation_id": "conv_1"},
            {"type": "message.output.delta", "content": "x", "model": "mistral-medium-latest"},
            {
                "type": "conversation.response.done",
                "usage": {
                    "prompt_tokens": 188,
                    "completion_tokens": 55,
                    "total_tokens": 7355,
                    "connector_tokens": 7112,
                    "connectors": {"web_search": 1},
                },
            },
        ],
    ),
    "ocr": Case(
        "api.mistral.ai",
        "/v1/ocr",
        {"model": "mistral-ocr-latest", "document": {"type": "document_url", "document_url": "u"}},
        ("mistral", "ocr", "mistral-ocr-latest", None),
        {
            "model": "mistral-ocr-latest",
            "pages": [],
            "usage_info": {"pages_processed": 29, "doc_size_bytes": 3002783},
        },
        {"input_document_pages": 29},
    ),
    "ocr with annotations": Case(
        "api.mistral.ai",
        "/v1/ocr",
        {"model": "mistral-ocr-latest", "document": {}, "document_annotation_format": {"type": "json"}},
        ("mistral", "ocr", "mistral-ocr-latest", None),
        {"usage_info": {"pages_processed": 2}},
        {"input_document_pages": 2, "input_annotated_document_pages": 2},
    ),
    "groq": Case(
        "api.groq.com",
        "/openai/v1/chat/completions",
        {"model": "llama-3.3-70b-versatile", "messages": HI},
        ("groq", "chat", "llama-3.3-70b-versatile", None),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
        [
            {"choices": [{"delta": {"content": "x"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": CHAT_USAGE}},
        ],
    ),
    "cohere v2": Case(
        "api.cohere.com",
        "/v2/chat",
        {"model": "command-a-03-2025", "messages": HI, "max_tokens": 4},
        ("cohere", "chat", "command-a-03-2025", 4),
        {"id": "c1", "message": {"content": [{"type": "text", "text": "x"}]}, "usage": COHERE_UNITS},
        tokens(15, 80),
        [
            {"type": "message-start", "id": "c1"},
            {"type": "content-delta", "delta": {"message": {"content": {"text": "x"}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_UNITS}},
        ],
    ),
    "cohere v1": Case(
        "api.cohere.ai",
        "/v1/chat",
        {"model": "command-r", "message": "hi"},
        ("cohere", "chat", "command-r", None),
        {"text": "x", "generation_id": "g1", "meta": COHERE_UNITS},
        tokens(15, 80),
    ),
    "cohere embed": Case(
        "api.cohere.com",
        "/v2/embed",
        {"model": "embed-v4.0", "texts": ["a"]},
        ("cohere", "embed", "embed-v4.0", None),
        {"id": "e1", "embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 2.0}}},
        tokens(2, 0),
    ),
    "cohere rerank": Case(
        "api.cohere.com",
        "/v2/rerank",
        {"model": "rerank-v3.5", "query": "q", "documents": ["a"]},
        ("cohere", "rerank", "rerank-v3.5", None),
        {"results": [], "meta": {"billed_units": {"search_units": 1.0}}},
        {"rerank_searches": 1},
    ),
    "voyage": Case(
        "api.voyageai.com",
        "/v1/embeddings",
        {"model": "voyage-3", "input": ["a"]},
        ("voyageai", "embeddings", "voyage-3", None),
        {"usage": {"total_tokens": 10}},
        tokens(10, 0),
    ),
    "ollama": Case(
        "localhost:11434",
        "/api/chat",
        {"model": "llama3", "messages": HI, "options": {"num_predict": 30}},
        ("ollama", "chat", "llama3", 30),
        {**OLLAMA, "message": {"content": "x"}},
        tokens(26, 290),
    ),
    "ollama generate": Case(
        "ollama:80",
        "/api/generate",
        {"model": "llama3", "prompt": "hi"},
        ("ollama", "generate", "llama3", None),
        {**OLLAMA, "response": "x"},
        tokens(26, 290),
    ),
    "ollama embed": Case(
        "localhost:11434",
        "/api/embed",
        {"model": "nomic", "input": "hi"},
        ("ollama", "embed", "nomic", None),
        {"model": "nomic", "embeddings": [[0.1]], "prompt_eval_count": 8},
        tokens(8, 0),
    ),
    "ollama, openai way": Case(
        "localhost:11434",
        "/v1/chat/completions",
        {"model": "llama3", "messages": HI},
        ("ollama", "chat", "llama3", None),
        {"usage": CHAT_USAGE},
        tokens(12, 5),
    ),
    "perplexity": Case(
        "api.perplexity.ai",
        "/chat/completions",
        {"model": "sonar-deep-research", "messages": HI},
        ("perplexity", "chat", "sonar-deep-research", None),
        {
            "usage": {
                "prompt_tokens": 33,
                "completion_tokens": 7163,
                "total_tokens": 7196,
                "citation_tokens": 20016,
                "num_search_queries": 28,
                "reasoning_tokens": 10,
            }
        },
        tokens(33, 27189, output_citation_tokens=20016, web_searches=28, reasoning_tokens=10),
    ),
    "openrouter": Case(
        "openrouter.ai",
        "/api/v1/chat/completions",
        {"model": "openai/gpt-4o", "messages": HI},
        ("openrouter", "chat", "openai/gpt-4o", None),
        {"usage": {**CHAT_USAGE, "cost": 0.00123}},
        tokens(12, 5),
    ),
    "converse": Case(
        BEDROCK_HOST,
        f"/model/{PROFILE}/converse",
        {"messages": HI, "inferenceConfig": {"maxTokens": 11}},
        (
            "aws",
            "converse",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            11,
        ),
        {"output": {"message": {"content": [{"text": "x"}]}}, "usage": CONVERSE_USAGE},
        CONVERSE_USED,
    ),
    "converse, decoded path": Case(
        BEDROCK_HOST,
        "/model/amazon.nova-lite-v1:0/converse-stream",
        {"messages": HI},
        ("aws", "converse", "amazon.nova-lite-v1:0", None),
        {"usage": CONVERSE_USAGE},
        CONVERSE_USED,
    ),
    "invoke claude": Case(
        BEDROCK_HOST,
        "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke",
        {"anthropic_version": "bedrock-2023-05-31", "messages": HI, "max_tokens": 8},
        ("aws", "invoke", "anthropic.claude-3-haiku-20240307-v1:0", 8),
        CLAUDE,
        CLAUDE_USED,
    ),
    "invoke llama": Case(
        BEDROCK_HOST,
        "/model/meta.llama3-1-8b-instruct-v1:0/invoke",
        {"prompt": "hi", "max_gen_len": 8},
        ("aws", "invoke", "meta.llama3-1-8b-instruct-v1:0", 8),
        {"generation": "x", "prompt_token_count": 11, "generation_token_count": 4},
        tokens(11, 4),
    ),
    "invoke nova": Case(
        BEDROCK_HOST,
        "/model/us.amazon.nova-lite-v1:0/invoke",
        {"messages": HI, "inferenceConfig": {"max_new_tokens": 8}},
        ("aws", "invoke", "us.amazon.nova-lite-v1:0", 8),
        {"usage": CONVERSE_USAGE},
        tokens(132, 503, cache_read_tokens=100, cache_write_tokens=20),
    ),
    "invoke titan": Case(
        BEDROCK_HOST,
        "/model/amazon.titan-text-express-v1/invoke",
        {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 8}},
        ("aws", "invoke", "amazon.titan-text-express-v1", 8),
        {"inputTextTokenCount": 3, "results": [{"tokenCount": 6, "outputText": "x"}]},
        tokens(3, 6),
    ),
    "invoke titan embeddings": Case(
        BEDROCK_HOST,
        "/model/amazon.titan-embed-text-v2:0/invoke",
        {"inputText": "hi"},
        ("aws", "embed", "amazon.titan-embed-text-v2:0", None),
        {"embedding": [0.1], "inputTextTokenCount": 3},
        tokens(3, 0),
    ),
}


def wire(case: Case, method: str = "POST") -> Wire:
    host, _, port = case.host.partition(":")
    return Wire(
        method, host, int(port) if port else None, case.path, "", JSON, json.dumps(case.body).encode()
    )


def seen(case: Case) -> tuple[Api, Call]:
    found = call_of(wire(case), {})
    assert found is not None
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_seen_for_what_it_is(name: str) -> None:
    """Whichever of the listed APIs an app calls, its provider, model and limit are known before it leaves."""
    case = CASES[name]
    assert maybe("POST", case.path)
    _, call = seen(case)
    assert (call.provider, call.api, call.model, call.max_output) == case.seen


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.answer is not None])
def test_a_whole_answer_is_counted(name: str) -> None:
    """The usage of an answer, inclusive, whatever the provider calls its parts."""
    case = CASES[name]
    api, _ = seen(case)
    body = Body(api, JSON, "")
    body.whole(json.dumps(case.answer).encode())
    assert body.usage == case.used
    assert body.complete


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.stream is not None])
@pytest.mark.parametrize("step", [1, 17, 100_000])
def test_a_stream_is_counted(name: str, step: int) -> None:
    """The same of its stream, wherever the network cuts it."""
    case = CASES[name]
    api, _ = seen(case)
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in case.stream or ())
    body = Body(api, SSE, "")
    for start in range(0, len(data), step):
        body.feed(data[start : start + step])
    body.end()
    assert body.usage == case.used
    assert body.complete or body.finished
    assert not body.failed


def test_a_stream_of_json_lines_is_counted() -> None:
    """Ollama and Cohere's first version stream lines of JSON."""
    parts = [
        {"model": "llama3", "message": {"content": "Hello"}, "done": False},
        {**OLLAMA, "message": {"content": ""}},
    ]
    lines = b"".join(json.dumps(part).encode() + b"\n" for part in parts)
    api, call = seen(CASES["ollama"])
    body = Body(api, "application/x-ndjson", "")
    assert [body.feed(lines[i : i + 1]) for i in range(len(lines))].count(True) == 1
    assert (body.usage, body.text_bytes, body.complete, call.free) == (tokens(26, 290), 5, True, True)
    ends = [
        {"event_type": "text-generation", "text": "Hello"},
        {
            "event_type": "stream-end",
            "finish_reason": "COMPLETE",
            "response": {"generation_id": "g", "text": "Hello", "meta": COHERE_UNITS},
        },
    ]
    body = Body(seen(CASES["cohere v1"])[0], "application/stream+json", "")
    assert body.feed(b"".join(json.dumps(part).encode() + b"\n" for part in ends))
    assert (body.usage, body.text_bytes, body.response_id) == (tokens(15, 80), 5, "g")


def test_a_gemini_stream_that_is_one_array() -> None:
    """Without alt=sse Gemini streams one JSON array; cut off, what came still counts."""
    api, _ = seen(CASES["gemini stream"])
    data = json.dumps(GEMINI_STREAM, indent=1).encode()
    whole, cut = Body(api, JSON, ""), Body(api, JSON, "")
    whole.feed(data)
    whole.end()
    assert (whole.usage, whole.text_bytes, whole.complete) == (GEMINI_USED, 10, True)
    cut.feed(data[: data.index(b'"lo"') + 150])
    cut.cut()
    assert (cut.text_bytes, cut.complete) in ((3, False), (5, False))


def test_gemini_grounding_is_billed_by_query_or_by_prompt() -> None:
    """Gemini 3 bills every search query, Gemini 2 the grounded prompt."""
    api, _ = seen(CASES["gemini"])
    for model, searches in (("gemini-3.5-flash", 3), ("gemini-2.5-flash", 1)):
        grounded = [{"groundingMetadata": {"webSearchQueries": ["a", "b", "c"]}, "finishReason": "STOP"}]
        answer = {**GEMINI_ANSWER, "modelVersion": model, "candidates": grounded}
        found = usage.read_usage(api, answer)
        assert found is not None
        assert found["web_searches"] == searches


@pytest.mark.parametrize(
    ("traffic", "tier"),
    [
        ("ON_DEMAND", "on_demand"),
        ("ON_DEMAND_FLEX", "flex"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("TRAFFIC_TYPE_UNSPECIFIED", ""),
    ],
)
def test_the_tier_of_a_gemini_answer(traffic: str, tier: str) -> None:
    """Flex and priority have prices of their own."""
    api, _ = seen(CASES["gemini"])
    found = api.dialect.identity({**GEMINI_ANSWER, "usageMetadata": {**GEMINI_USAGE, "trafficType": traffic}})
    assert found == ("gemini-2.5-flash", "r1", tier)


@pytest.mark.parametrize(
    ("method", "host", "path", "body"),
    [
        ("POST", "api.anthropic.com", "/v1/messages/count_tokens", {"model": "c", "messages": HI}),
        ("POST", "api.anthropic.com", "/v1/messages/batches", {"requests": []}),
        ("POST", "api.openai.com", "/v1/moderations", {"model": "omni-moderation-latest", "input": "a"}),
        ("POST", "api.openai.com", "/v1/conversations", {"items": []}),
        ("POST", "api.openai.com", "/v1/conversations/c/items", {"items": []}),
        ("POST", "api.openai.com", "/v1/responses/r/cancel", {}),
        ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:countTokens", GEMINI),
        (
            "POST",
            "us-east5-aiplatform.googleapis.com",
            VERTEX + "/anthropic/models/count-tokens:rawPredict",
            {"messages": HI},
        ),
        (
            "POST",
            "us-east5-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/endpoints/1:predict",
            {"instances": []},
        ),
        ("POST", BEDROCK_HOST, "/model/amazon.nova-lite-v1:0/count-tokens", {"input": {}}),
        ("POST", BEDROCK_HOST, "/guardrail-checks/invoke", {"messages": HI}),
        ("POST", "api.mistral.ai", "/v1/conversations/c/history", {"inputs": 1}),
        ("POST", "localhost:11434", "/api/pull", {"model": "llama3"}),
        ("POST", "chat.example.org", "/api/chat", {"text": "an app's own chat", "model": "x"}),
        ("POST", "hooks.example.org", "/v1/messages", {"messages": HI}),
        ("POST", "lambda.example.org", "/model/mine/invoke", {"x": 1}),
        ("GET", "api.openai.com", "/v1/chat/completions", {"model": "m", "messages": HI}),
    ],
)
def test_what_costs_nothing_is_left_alone(method: str, host: str, path: str, body: dict[str, Any]) -> None:
    """Counting tokens, moderations and other people's services are not metered calls."""
    case = Case(host, path, body, ("", "", "", None), None, {})
    assert call_of(wire(case, method), {}) is None


@pytest.mark.parametrize(
    "name", ["chat", "responses", "anthropic", "gemini stream", "converse", "mistral", "cohere v2", "azure"]
)
def test_a_body_nobody_may_read_is_no_way_past(name: str) -> None:
    """An app that uploads its request as a generator is still metered on a provider's host."""
    case = CASES[name]
    found = call_of(wire(case)._replace(body=None), {})
    assert found is not None
    named = case.seen[2] if name in ("gemini stream", "converse", "azure") else UNKNOWN_MODEL
    assert (found[1].provider, found[1].model, found[1].max_output) == (case.seen[0], named, None)


def test_an_unreadable_body_to_anybody_else_is_left_alone() -> None:
    """A streamed upload to an unknown host is no metered call, unless the config names the host."""
    unknown = wire(CASES["chat"])._replace(host="files.example.org", body=None)
    assert call_of(unknown, {}) is None
    found = call_of(unknown, {"files.example.org": {"provider": "mine"}})
    assert found is not None
    assert (found[1].provider, found[1].model) == ("mine", UNKNOWN_MODEL)


@pytest.mark.parametrize(
    ("host", "port", "provider", "free"),
    [
        ("localhost", 11434, "ollama", True),
        ("10.0.0.5", 11434, "ollama", True),
        ("ollama", 80, "ollama", True),
        ("ollama.com", None, "ollama", False),
        ("router.huggingface.co", None, "huggingface_groq", False),
        ("bedrock-runtime.eu-west-1.amazonaws.com", None, "aws", False),
        ("vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", None, "aws", False),
        ("bedrock-runtime.evil.example.org", None, "openai", False),
        ("europe-west4-aiplatform.googleapis.com", None, "google", False),
        ("API.GROQ.COM", None, "groq", False),
    ],
)
def test_whose_bill(host: str, port: int | None, provider: str, free: bool) -> None:
    """Regional endpoints are their provider's; an Ollama of one's own is nobody's."""
    request = Wire(
        "POST", host, port, "/groq/v1/chat/completions", "", JSON, b'{"model": "m", "messages": []}'
    )
    found = call_of(request, {})
    assert found is not None
    assert (found[1].provider, found[1].free) == (provider, free)


def test_every_known_provider_is_one_the_catalogue_prices() -> None:
    """A host map that names a provider the prices do not know would leave its calls unpriced."""
    catalog = json.loads(Path(bundled("pricing"), "catalog.json").read_text())
    unpriced = set(usage.KNOWN_HOSTS.values()) - set(catalog["providers"])
    assert unpriced == {"ollama"}
