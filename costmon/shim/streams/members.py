"""Find members of a JSON object in a piece of its text, where the whole is too long to parse."""

from __future__ import annotations

import json
from typing import Any

_decode = json.JSONDecoder().raw_decode


def last_members(tail: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    """The last member of each name in the end of an object. A quoted copy inside a text does not match: its quotes
    are escaped."""
    return _members(tail, names, last=True)


def first_members(head: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    """The first member of each name in the start of an object."""
    return _members(head, names, last=False)


def _members(text: bytes, names: tuple[str, ...], *, last: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        quoted = f'"{name}"'.encode()
        _, key, rest = text.rpartition(quoted) if last else text.partition(quoted)
        value = rest.decode("utf-8", "replace").lstrip(" \t\r\n") if key else ""
        if not value.startswith(":"):
            continue
        try:
            found[name] = _decode(value[1:].lstrip(" \t\r\n"))[0]
        except (ValueError, RecursionError):
            pass
    return found
