"""Amazon Bedrock: Converse, and InvokeModel with each vendor's own bodies (botocore's service model).

The model stands in the path, percent-encoded or not; streams are binary frames (`streams.frames`) whose event names are
the keys of the documents here: {"metadata": {"usage": {…}}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage import anthropic
from costmon.shim.usage.read import count, delivered_bytes, size, text_of
from costmon.shim.usage.shapes import ENDED, FAILED, FINISHED, Api, Dialect, Document, Fields, Identity

_CONVERSE: Fields = (
    ("inputTokens", "input_tokens"),
    ("outputTokens", "output_tokens"),
    ("cacheReadInputTokens", "cache_read_tokens"),
    ("cacheWriteInputTokens", "cache_write_tokens"),
)
_METRICS = "amazon-bedrock-invocationMetrics"
_INVOKE: Fields = (
    ("inputTokenCount", "input_tokens"),
    ("outputTokenCount", "output_tokens"),
    ("cacheReadInputTokenCount", "cache_read_tokens"),
    ("cacheWriteInputTokenCount", "cache_write_tokens"),
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cache_read_input_tokens", "cache_read_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"),
    ("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_tokens"),
    *_CONVERSE,
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("prompt_token_count", "input_tokens"),
    ("generation_token_count", "output_tokens"),
    ("inputTextTokenCount", "input_tokens"),
    ("results.0.tokenCount", "output_tokens"),
)
COUNT_HEADERS = {
    "x-amzn-bedrock-input-token-count": "input_tokens",
    "x-amzn-bedrock-output-token-count": "output_tokens",
    "x-amzn-bedrock-cache-read-input-token-count": "cache_read_tokens",
    "x-amzn-bedrock-cache-write-input-token-count": "cache_write_tokens",
}
"""Where InvokeModel tells the counts when the vendor's body does not."""
_HEADERS = ("content-type", "content-encoding", "x-amzn-requestid", "x-amzn-errortype", *COUNT_HEADERS)


def _converse_text(document: Document) -> int:
    delta = document.get("contentBlockDelta")
    if isinstance(delta, dict):
        inner = delta.get("delta")
        return delivered_bytes(inner) + (
            size(_dig(inner, "toolUse", "input")) if isinstance(inner, dict) else 0
        )
    output = document.get("output")
    return delivered_bytes(output) if isinstance(output, dict) else 0


def _converse_judge(document: Document) -> int:
    if "metadata" in document:
        return ENDED
    return FINISHED if "messageStop" in document else FAILED if _exception(document) else 0


def _exception(document: Document) -> bool:
    """Errors inside a stream are events called …Exception."""
    return any(key.endswith("Exception") for key in document) if len(document) == 1 else False


def _converse_identity(document: Mapping[str, Any]) -> Identity:
    inner = document.get("metadata")
    tier = _dig(inner if isinstance(inner, dict) else document, "serviceTier", "type")
    return Identity("", "", text_of(tier))


def _cache_details(document: Document) -> Usage:
    """cacheDetails: [{"ttl": "1h", "inputTokens": 0}]."""
    inner = document.get("metadata")
    usage = (inner if isinstance(inner, dict) else document).get("usage")
    details = usage.get("cacheDetails") if isinstance(usage, dict) else None
    found: Usage = {}
    for entry in details[:16] if isinstance(details, list) else ():
        tokens = (
            count(entry.get("inputTokens")) if isinstance(entry, dict) and entry.get("ttl") == "1h" else None
        )
        if tokens:
            found["cache_write_1h_tokens"] = found.get("cache_write_1h_tokens", 0) + tokens
    return found


def _dig(document: Any, first: str, second: str) -> Any:
    inner = document.get(first) if isinstance(document, dict) else None
    return inner.get(second) if isinstance(inner, dict) else None


def _invoke_text(document: Document) -> int:
    if "contentBlockDelta" in document:
        return _converse_text(document)
    if document.get("type") in ("message", "content_block_delta", "message_delta"):
        return anthropic.text(document)
    return delivered_bytes(document) if "type" not in document else 0


def _invoke_judge(document: Document) -> int:
    """The last chunk of every vendor carries the metrics; before it Anthropic's and Nova's own events tell."""
    if _METRICS in document:
        return ENDED
    found = anthropic.judge(document) & ~ENDED
    return found | (FINISHED if "messageStop" in document else 0) | (FAILED if _exception(document) else 0)


_INVOKE_DIALECT = Dialect(_invoke_text, _invoke_judge, anthropic.identity, provisional=True, flat=True)
CONVERSE = Api(
    "converse", "aws", "/converse", ("messages", "promptVariables"), ("inferenceConfig.maxTokens",),
    ("usage", "metadata.usage"), _CONVERSE, Dialect(_converse_text, _converse_judge, _converse_identity, _cache_details),
    within="/model/", answer_keys=(), beside=True, model_in="/model/", headers=_HEADERS,
)  # fmt: skip
CONVERSE_STREAM = CONVERSE._replace(path="/converse-stream", streams=True)
INVOKE = Api(
    "invoke", "aws", "/invoke", (),
    ("max_tokens", "max_tokens_to_sample", "max_gen_len", "maxTokens", "inferenceConfig.maxTokens",
     "inferenceConfig.max_new_tokens", "textGenerationConfig.maxTokenCount"),
    (_METRICS, "usage", "message.usage", "metadata.usage", ""), _INVOKE, _INVOKE_DIALECT, within="/model/",
    answer_keys=("num_generations",), beside=True, model_in="/model/", headers=_HEADERS,
)  # fmt: skip
INVOKE_STREAM = INVOKE._replace(path="/invoke-with-response-stream", streams=True)
INVOKE_EMBED = INVOKE._replace(name="embed", has_output=False, output_keys=(), answer_keys=())
APIS = (CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM)
