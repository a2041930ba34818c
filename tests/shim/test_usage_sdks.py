"""Our reading of an answer against the SDKs' own types, and against the extractors of the price library.

The answers are those of `test_usage` and `test_usage_apis`; each SDK must accept them and name the same counts.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from genai_prices.data import providers

from costmon.shim.streams import Body
from costmon.shim.streams.frames import frames
from costmon.shim.usage import read_usage
from tests.shim.test_streams_frames import CONVERSE
from tests.shim.test_usage import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSE, XAI
from tests.shim.test_usage_apis import (
    CASES,
    CONVERSE_USAGE,
    CONVERSE_USED,
    GEMINI_ANSWER,
    GEMINI_STREAM,
    GEMINI_USED,
    OLLAMA,
    seen,
    tokens,
)

MODALITIES = (
    "input_text_tokens",
    "output_text_tokens",
    "cache_text_read_tokens",
)  # what is left when the others are known


def ours(name: str, answer: Any = None) -> dict[str, int]:
    api, _ = seen(CASES[name])
    found = read_usage(api, CASES[name].answer if answer is None else answer)
    assert found is not None
    return found


# --- the price library's extractors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "flavor", "name", "answer"),
    [
        ("openai", "chat", "chat", {"model": "gpt-5-mini", **OPENAI_CHAT}),
        ("openai", "responses", "compact", OPENAI_RESPONSE),
        (
            "openai",
            "embeddings",
            "voyage",
            {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        ),
        ("openai", "images", "images", {"model": "gpt-image-1.5", **(CASES["images"].stream or [])[-1]}),
        ("anthropic", "default", "anthropic", ANTHROPIC),
        ("google", "default", "gemini", GEMINI_ANSWER),
        ("google", "anthropic", "anthropic on vertex", ANTHROPIC),
        ("aws", "default", "converse", {"model": "amazon.nova-lite-v1:0", "usage": CONVERSE_USAGE}),
        ("aws", "anthropic", "invoke claude", ANTHROPIC),
        ("mistral", "default", "mistral", {"model": "mistral-small-latest", **CASES["mistral"].answer}),
        ("mistral", "ocr", "ocr", CASES["ocr"].answer),
        (
            "mistral",
            "ocr_annotated",
            "ocr with annotations",
            {"model": "mistral-ocr-latest", **CASES["ocr with annotations"].answer},
        ),
        ("cohere", "default", "cohere v2", {"model": "command-a", **CASES["cohere v2"].answer}),
        ("groq", "default", "groq", {"model": "llama-3.3-70b-versatile", **CASES["groq"].answer}),
        (
            "perplexity",
            "default",
            "perplexity",
            {"model": "sonar-deep-research", **CASES["perplexity"].answer},
        ),
        ("openrouter", "chat", "openrouter", {"model": "openai/gpt-4o", **CASES["openrouter"].answer}),
        ("x-ai", "chat", "chat", {"model": "grok-4", **XAI}),
        ("azure", "chat", "azure", {"model": "gpt-4o", **CASES["azure"].answer}),
    ],
    ids=str,
)
def test_the_price_librarys_extractors_agree(provider: str, flavor: str, name: str, answer: Any) -> None:
    """Every count that genai-prices reads from an answer is read here with the same value."""
    source = next(one for one in providers if one.id == provider)
    whole = json.loads(json.dumps(answer).replace("25.0", "25").replace("15.0", "15").replace("80.0", "80"))
    _, usage = source.extract_usage(whole, api_flavor=flavor)
    theirs = {key: value for key, value in usage.__dict__.items() if value and not key.startswith("_")}
    mine = ours(name, answer)
    mine["output_reasoning_tokens"] = mine.pop("reasoning_tokens", 0)
    mine["cache_write_5m_tokens"] = mine.get("cache_write_tokens", 0) - mine.get("cache_write_1h_tokens", 0)
    assert theirs
    assert {key: mine.get(key) for key in theirs if key not in MODALITIES} == {
        key: value for key, value in theirs.items() if key not in MODALITIES
    }


# --- the SDKs' types ----------------------------------------------------------------------------------------------


def test_openais_types() -> None:
    """Chat, responses, transcriptions and images as OpenAI's SDK reads them."""
    from openai.types.audio.transcription import Transcription
    from openai.types.chat import ChatCompletion
    from openai.types.image_gen_completed_event import ImageGenCompletedEvent
    from openai.types.responses import ResponseUsage

    used = ChatCompletion.construct(**OPENAI_CHAT).usage
    assert used is not None
    mine = ours("chat", OPENAI_CHAT)
    assert (used.prompt_tokens, used.completion_tokens) == (mine["input_tokens"], mine["output_tokens"])
    found = ResponseUsage.model_validate(OPENAI_RESPONSE["usage"])
    mine = ours("compact", OPENAI_RESPONSE)
    assert (found.input_tokens, found.input_tokens_details.cached_tokens) == (
        mine["input_tokens"],
        mine["cache_read_tokens"],
    )
    spoken = {"text": "x", "usage": {"type": "tokens", "input_tokens": 22, "output_tokens": 31, "total_tokens": 53,
              "input_token_details": {"text_tokens": 2, "audio_tokens": 20}}}  # fmt: skip
    details = Transcription.model_validate(spoken).usage.input_token_details  # type: ignore[union-attr]
    assert details is not None
    assert details.audio_tokens == 20
    drawn = ImageGenCompletedEvent.construct(**(CASES["images"].stream or [])[-1]).usage
    assert drawn.output_tokens == CASES["images"].used["output_tokens"]


def test_anthropics_types() -> None:
    """Input is what Anthropic's own counts sum up to."""
    from anthropic.types import Message

    used = Message.construct(**ANTHROPIC).usage
    total = used.input_tokens + (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
    assert (total, used.output_tokens) == (
        ours("anthropic", ANTHROPIC)["input_tokens"],
        ours("anthropic", ANTHROPIC)["output_tokens"],
    )


@pytest.mark.conformance
def test_googles_types() -> None:
    """The SDK's own total is our input and output together, in the stream's last chunk too."""
    types = pytest.importorskip("google.genai.types")
    found = types.GenerateContentResponse.model_validate(GEMINI_ANSWER)
    used = found.usage_metadata
    assert used.total_token_count == GEMINI_USED["total_tokens"]
    assert used.prompt_token_count + used.tool_use_prompt_token_count == GEMINI_USED["input_tokens"]
    assert used.candidates_token_count + used.thoughts_token_count == GEMINI_USED["output_tokens"]
    assert (found.model_version, found.response_id) == ("gemini-2.5-flash", "r1")
    for part in GEMINI_STREAM:
        types.GenerateContentResponse.model_validate(part)


@pytest.mark.conformance
def test_mistrals_types() -> None:
    """Connector tokens are beside the prompt: Mistral's total says so."""
    models = pytest.importorskip("mistralai.client.models")
    answer = {**CASES["conversation"].answer, "object": "conversation.response"}
    used = models.ConversationUsageInfo.model_validate(answer["usage"])
    assert used.prompt_tokens + used.completion_tokens + used.connector_tokens == used.total_tokens
    assert used.total_tokens == CASES["conversation"].used["total_tokens"]
    assert models.OCRUsageInfo.model_validate(CASES["ocr"].answer["usage_info"]).pages_processed == 29


@pytest.mark.conformance
def test_coheres_types() -> None:
    """Billed units are what is billed."""
    types = pytest.importorskip("cohere.types")
    used = types.Usage.model_validate(CASES["cohere v2"].answer["usage"])
    assert (used.billed_units.input_tokens, used.billed_units.output_tokens) == (15, 80)
    meta = types.ApiMeta.model_validate(CASES["cohere rerank"].answer["meta"])
    assert meta.billed_units.search_units == CASES["cohere rerank"].used["rerank_searches"]


@pytest.mark.conformance
def test_groqs_and_ollamas_types() -> None:
    """The last chunk of a Groq stream, and Ollama's last line."""
    groq = pytest.importorskip("groq.types.chat")
    ollama = pytest.importorskip("ollama")
    last = groq.ChatCompletionChunk.construct(**(CASES["groq"].stream or [])[-1])
    assert (last.x_groq.usage.prompt_tokens, last.x_groq.usage.completion_tokens) == (12, 5)
    found = ollama.ChatResponse.model_validate({**OLLAMA, "message": {"role": "assistant", "content": "x"}})
    assert tokens(found.prompt_eval_count, found.eval_count) == CASES["ollama"].used


@pytest.mark.conformance
def test_botocores_event_stream_and_model() -> None:
    """The frames of the tests are what botocore reads, and its reader finds the same events as ours."""
    eventstream = pytest.importorskip("botocore.eventstream")
    session = pytest.importorskip("botocore.session").get_session()
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(b"".join(CONVERSE))
    theirs = [(event.headers[":event-type"], event.payload) for event in buffer]
    mine = [(headers[":event-type"], payload) for headers, payload in frames(bytearray(b"".join(CONVERSE)))]
    assert mine == theirs
    model = session.get_service_model("bedrock-runtime")
    assert set(CONVERSE_USAGE) <= set(model.shape_for("TokenUsage").members)
    assert set(model.shape_for("ConverseStreamOutput").members) >= {name for name, _ in mine}
    body = Body(seen(CASES["converse, decoded path"])[0], "application/vnd.amazon.eventstream", "")
    body.feed(b"".join(CONVERSE))
    assert body.usage == CONVERSE_USED
