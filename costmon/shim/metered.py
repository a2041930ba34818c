"""Whether a request may be a metered call, by its method and path alone: asked of every request of the host.

Nothing is imported here. A yes only means that `wire.call_of` must look; see `usage` for the APIs themselves.
"""

from __future__ import annotations

_POSTED = frozenset(
    {
        "completions",
        "responses",
        "compact",
        "embeddings",
        "messages",
        "transcriptions",
        "translations",
        "speech",
        "generations",
        "edits",
        "variations",
        "ocr",
        "conversations",
        "chat",
        "embed",
        "rerank",
        "generate",
        "converse",
        "converse-stream",
        "invoke",
        "invoke-with-response-stream",
    }
)
# Google's custom methods: /v1beta/models/gemini-x:generateContent.
_VERBS = frozenset(
    {
        "generateContent",
        "streamGenerateContent",
        "embedContent",
        "batchEmbedContents",
        "predict",
        "rawPredict",
        "streamRawPredict",
    }
)
_FETCHED = ("/content", "/results")


def maybe(method: str, path: str) -> bool:
    """Whether `call_of` should look at this request. `method` in capitals; `path` without its query."""
    if method == "POST":
        tail = path.rpartition("/")[2] or path.rstrip("/").rpartition("/")[2]
        return tail in _POSTED or tail.rpartition(":")[2] in _VERBS or "/conversations/" in path
    return method == "GET" and path.endswith(_FETCHED)
