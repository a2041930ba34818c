"""Recognise a metered call by its path and body: which API it is, and what it asks for."""

from __future__ import annotations

from typing import Any

from costmon.shim.events import Usage
from costmon.shim.usage import anthropic, bedrock, cohere, google, mistral, ollama, openai
from costmon.shim.usage.forms import Form, read_form
from costmon.shim.usage.read import count, dig, parse_any, parse_event
from costmon.shim.usage.shapes import Api, Document, Request

APIS: tuple[Api, ...] = (
    *mistral.APIS,
    *openai.APIS,
    *anthropic.APIS,
    *google.APIS,
    *cohere.APIS,
    *ollama.APIS,
    *bedrock.APIS,
)
_UNREAD_BYTES = 4000  # assumed of a request that only its client may read: 1,000 tokens
_UNREAD_SECONDS = 60  # assumed of a sound file that only its client may read
_BYTES_PER_SECOND = 16_000  # of an audio file whose header does not tell: 128 kbit/s
_AUDIO_TOKENS_PER_SECOND = 10  # OpenAI's transcription models
# The most output tokens one image of a GPT image model takes, by quality (OpenAI's image guide).
_IMAGE_TOKENS = {"low": 408, "medium": 1584, "standard": 1584, "high": 6240, "hd": 6240, "auto": 6240}
_MAX_IMAGES = 100
_ENCODED_AT = 2000  # characters: a shorter text is counted as text, whatever it holds
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"


def _by_tail() -> dict[str, tuple[Api, ...]]:
    """The APIs by the last part of their path (after the last slash, or colon), the longest path first."""
    found: dict[str, tuple[Api, ...]] = {}
    for api in sorted(APIS, key=lambda one: -len(one.path)):
        tail = api.path.rpartition("/")[2].rpartition(":")[2]
        found[tail] = (*found.get(tail, ()), api)
    return found


_TAILS = _by_tail()


def apis_of(method: str, path: str) -> tuple[Api, ...]:
    """The APIs a path may belong to, likeliest first."""
    if method != "POST":
        return ()
    path = path.rstrip("/")
    tail = path.rpartition("/")[2]
    if ":" in tail and tail.rpartition(":")[2] in _TAILS:
        tail = tail.rpartition(":")[2]
    found = _TAILS.get(tail)
    if found is None:
        return (mistral.CONVERSATIONS,) if _continues_conversation(path) else ()
    return tuple([api for api in found if path.endswith(api.path) and api.within in path])


def api_of(method: str, path: str) -> Api | None:
    """The API a path most likely belongs to."""
    found = apis_of(method, path)
    return found[0] if found else None


def recognise(
    api: Api, path: str, body: bytes | None, content_type: str = "", length: int = 0
) -> Request | None:
    """The call a request makes, or None when its body is not one of this API.

    `body` None = streamed, not readable; `length`: the bytes the client says it sends, 0 when it does not say.
    """
    model = model_in(api, path)
    if model == "count-tokens":  # Vertex counts Claude's tokens for nothing under this name
        return None
    if body is None:
        return Request(_kind(api, model, {}), model, api.streams, None, max(_UNREAD_BYTES, length), 0)
    form = read_form(content_type, body) if api.form else None
    if form is not None:
        return _form_request(api, model, form, body, length)
    document = parse_event(body)
    if document is None or not (any(key in document for key in api.body_keys) or not api.body_keys):
        return None
    return _request(api, model, document)


def _request(api: Api, model: str, document: Document) -> Request:
    named = document.get("model")
    name = named if isinstance(named, str) and named and not api.model_in else model
    api = _kind(api, name, document)
    size, attachments = text_size(document)
    return Request(
        api,
        name,
        api.streams or document.get("stream") is True,
        _bound(api, document),
        size,
        attachments,
        _asked_units(api, name, document),
    )


def _bound(api: Api, document: Document) -> int | None:
    """The most output tokens the call may come back with."""
    for key in api.output_keys:
        bound = count(dig(document, key) if "." in key else document.get(key))
        if bound is not None:
            return bound * _answers(api, document)
    return None


def _answers(api: Api, document: Document) -> int:
    for key in api.answer_keys:
        number = count(dig(document, key) if "." in key else document.get(key))
        if number:
            return number
    return 1


def _kind(api: Api, model: str, document: Document) -> Api:
    """The row that fits this body, where one path serves several."""
    if api.name == "invoke" and ("embed" in model or "rerank" in model):
        return bedrock.INVOKE_EMBED
    if api is mistral.OCR and (
        document.get("document_annotation_format") or document.get("bbox_annotation_format")
    ):
        return mistral.OCR_ANNOTATED
    return api


def _asked_units(api: Api, model: str, document: Document) -> Usage | None:
    """What the call uses beside text tokens, as far as the request tells."""
    if api.name == "speech":
        text = document.get("input")
        return {"input_characters": len(text)} if isinstance(text, str) and text else None
    if api.name in ("images", "image_edits", "image_variations"):
        number = count(document.get("n")) if api.family == "openai" else _answers(api, document)
        return _image_units(number, document.get("quality"), openai_like=api.family == "openai")
    if api.name in ("chat", "responses") and ("-search-preview" in model or "-search-api" in model):
        return {"web_searches": 1}  # these models search in every call, and each call has its fee
    return None


def _image_units(number: int | None, quality: object, *, openai_like: bool) -> Usage:
    images = min(max(number or 1, 1), _MAX_IMAGES)
    if not openai_like:
        return {"generated_images": images}
    tokens = images * _IMAGE_TOKENS.get(quality if isinstance(quality, str) else "auto", 6240)
    return {"generated_images": images, "output_image_tokens": tokens, "output_tokens": tokens}


def _form_request(api: Api, model: str, form: Form, body: bytes, length: int) -> Request:
    fields = form.fields
    name = fields.get("model", "") or model
    bytes_in_files = sum(end - start for start, end in form.files)
    text = sum(len(value.encode("utf-8", "replace")) for value in fields.values())
    if api.name in ("transcriptions", "translations"):
        seconds = sum(audio_seconds(body, start, end) for start, end in form.files)
        if not bytes_in_files:  # only the client may read the file; the length tells what is not in `body`
            seconds = -(-max(length - len(body), 0) // _BYTES_PER_SECOND) or _UNREAD_SECONDS
        tokens = seconds * _AUDIO_TOKENS_PER_SECOND
        units = {"audio_seconds": seconds, "input_audio_tokens": tokens}
        return Request(api, name, fields.get("stream") == "true", None, text + 4 * tokens, 0, units)
    wanted = fields.get("n", "")
    units = _image_units(
        int(wanted) if wanted.isdigit() and len(wanted) < 9 else 1, fields.get("quality"), openai_like=True
    )
    return Request(api, name, fields.get("stream") == "true", None, text, len(form.files), units)


def audio_seconds(body: bytes, start: int, end: int) -> int:
    """Seconds of a sound file, rounded up: exact for WAV, whose header tells its bytes per second; else a guess."""
    rate = _BYTES_PER_SECOND
    if body[start : start + 4] == b"RIFF" and body[start + 8 : start + 16] == b"WAVEfmt ":
        rate = int.from_bytes(body[start + 28 : start + 32], "little") or rate
    return -(-(end - start) // max(rate, 1000))


def model_in(api: Api, path: str) -> str:
    """The model the path names: Azure's deployment, Google's and Bedrock's model, percent-encoded or not; else ''."""
    if api.model_in:
        _, found, rest = path.partition(api.model_in)
        name = rest.removesuffix("/").removesuffix(api.path) if found else ""
        if "%" not in name:
            return name
        from urllib.parse import unquote

        return unquote(name)
    if "/deployments/" not in path:
        return ""
    return path.partition("/deployments/")[2].partition("/")[0]


def _continues_conversation(path: str) -> bool:
    """/v1/conversations/ID and /v1/conversations/ID/restart; a conversation's items and history are no call."""
    parts = path.split("/")
    if "conversations" not in parts:
        return False
    rest = parts[parts.index("conversations") + 1 :]
    return len(rest) == 1 or (len(rest) == 2 and rest[1] == "restart")


def unreadable(body: bytes) -> bool:
    """Whether nobody but the server can tell what a body asks for: compressed, encrypted, too deep to parse."""
    return bool(body.strip()) and parse_any(body) is None and body.strip() != b"null"


def _is_encoded(text: str) -> bool:
    """Whether a long text is an encoded file: base64, bare or in a data: URL. A table or minified JSON is text."""
    if text.startswith("data:"):
        return ";base64," in text[:200]
    # The beginning first: nearly every text that is none shows it there.
    return text.isascii() and not any(
        part.encode().translate(None, _BASE64) for part in (text[:_ENCODED_AT], text[_ENCODED_AT:])
    )


def text_size(document: Any) -> tuple[int, int]:
    """(bytes of text, attachments) of a request; encoded images and files count as attachments, not as text."""
    size = attachments = 0
    stack = [document]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if len(item) > _ENCODED_AT and _is_encoded(item):
                attachments += 1
            else:
                size += len(item) if item.isascii() else len(item.encode("utf-8", "replace"))
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            if item and type(item[0]) is int:  # ready-made token ids
                size += 4 * len(item)
            else:
                stack.extend(item)
    return size, attachments
