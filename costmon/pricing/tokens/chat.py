"""Chat messages as the texts a model is billed for, and what of them no local tokenizer can count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_MESSAGES = ("messages", "input", "contents")
_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction")
_DEFINITIONS = ("tools", "functions")
_MEDIA_KEYS = frozenset(
    {"image_url", "image", "input_audio", "audio", "video", "file", "source", "file_id", "file_data"}
    | {"inlineData", "inline_data", "fileData"}
)
_TEXT_KEYS = ("text", "thinking", "refusal", "reasoning")
_CALL_KEYS = ("name", "arguments", "input", "args", "response", "output", "partial_json")
_NESTED_KEYS = ("content", "function", "function_call", "functionCall", "functionResponse", "custom")
_DEPTH = 20


class Chat(NamedTuple):
    """`texts` to be counted one by one, how many `messages` and `names` frame them, and kinds left out with their
    number (`image_url`, `tools`)."""

    texts: list[str]
    messages: int
    names: int
    left_out: dict[str, int]


def is_chat(document: object) -> bool:
    """Whether a JSON document is a list of messages, or a request body with one."""
    if isinstance(document, list):
        return bool(document) and all(isinstance(one, dict) and "role" in one for one in document)
    return isinstance(document, dict) and any(is_chat(document.get(key)) for key in _MESSAGES)


def read_chat(given: object) -> Chat:
    """The texts of a sequence of messages, or of a request body that has one (OpenAI, Anthropic, Gemini).

    Raises:
        TypeError: it is neither; the message says which part is wrong.
    """
    chat = _Reader()
    if isinstance(given, Mapping):
        chat.body(given)
    elif isinstance(given, (list, tuple)):
        chat.all_of(given)
    else:
        raise TypeError(f"count_tokens takes a text or a list of chat messages, not {_kind(given)}")
    return Chat(chat.texts, chat.messages, chat.names, chat.left_out)


class _Reader:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.messages = 0
        self.names = 0
        self.left_out: dict[str, int] = {}

    def body(self, body: Mapping[str, Any]) -> None:
        key = next((key for key in _MESSAGES if isinstance(body.get(key), (list, tuple))), None)
        if key is None:
            raise TypeError("an object to count needs a list of chat messages under 'messages'")
        for name in _SYSTEM:
            if body.get(name):
                self.message({"role": "system", "content": body[name]}, name)
        for name in _DEFINITIONS:
            if body.get(name):
                self.leave_out(name)
        self.all_of(body[key])

    def all_of(self, messages: Any) -> None:
        for number, message in enumerate(messages, 1):
            self.message(message, f"message {number}")

    def message(self, message: Any, where: str) -> None:
        if not isinstance(message, Mapping) and hasattr(message, "model_dump"):
            message = message.model_dump()  # an SDK's answer, put back into the conversation
        if not isinstance(message, Mapping):
            raise TypeError(f"{where} is {_kind(message)}; a chat message is an object with role and content")
        self.messages += 1
        self.add(message.get("role"), f"{where}: role")
        if message.get("name"):
            self.names += 1
            self.add(message["name"], f"{where}: name")
        for key in ("content", "parts", "refusal", "arguments", "output"):
            self.content(message.get(key), f"{where}: {key}", 0)
        for call in message.get("tool_calls") or ():
            self.part(call, f"{where}: tool_calls", 0)
        if message.get("function_call"):
            self.part(message["function_call"], f"{where}: function_call", 0)

    def content(self, content: Any, where: str, depth: int) -> None:
        if content is None or isinstance(content, str):
            self.add(content, where)
        elif isinstance(content, (list, tuple)):
            for part in content:
                self.part(part, where, depth + 1)
        elif isinstance(content, Mapping):
            if isinstance(content.get("parts"), (list, tuple)):
                self.content(content["parts"], where, depth + 1)
            else:
                self.part(content, where, depth + 1)
        else:
            raise TypeError(f"{where} is {_kind(content)}; it must be a text or a list of parts")

    def part(self, part: Any, where: str, depth: int) -> None:
        if depth > _DEPTH:
            raise TypeError(f"{where} is nested more than {_DEPTH} deep")
        if isinstance(part, str):
            self.add(part, where)
            return
        if not isinstance(part, Mapping):
            raise TypeError(f"{where} has a part that is {_kind(part)}; it must be a text or an object")
        media = sorted(_MEDIA_KEYS & part.keys())
        if media:
            self.leave_out(str(part.get("type") or media[0]))
            return
        known = False
        for key in _TEXT_KEYS + _CALL_KEYS:
            if part.get(key) is not None:
                known = True
                value = part[key]
                self.add(value if isinstance(value, str) else _json(value, where), where)
        for key in _NESTED_KEYS:
            if part.get(key) is not None:
                known = True
                self.content(part[key], where, depth + 1)
        if not known:
            self.leave_out(str(part.get("type") or "unknown part"))

    def add(self, text: Any, where: str) -> None:
        if text is None:
            return
        if not isinstance(text, str):
            raise TypeError(f"{where} is {_kind(text)}; it must be a text")
        self.texts.append(text)

    def leave_out(self, kind: str) -> None:
        kind = kind[:40]
        self.left_out[kind] = self.left_out.get(kind, 0) + 1


def _json(value: Any, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{where} has a value that JSON cannot hold") from error


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
