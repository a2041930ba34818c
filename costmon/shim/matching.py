"""Find a model's entry in a provider's catalogue (the matching rules of genai-prices 0.2.3; see `cards` for
the format)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Entry = dict[str, Any]


def find(models: Iterable[Entry], model: str) -> Entry | None:
    """The first entry that matches `model` in any case; else once more with '-20251211' read as
    '-2025-12-11'."""
    text = model.lower()
    found = _first(models, text)
    if found is not None or "-20" not in text:
        return found
    dashed = _with_dashes(text)
    return _first(models, dashed) if dashed != text else None


def _first(models: Iterable[Entry], text: str) -> Entry | None:
    for entry in models:
        clause = entry["match"]
        names = clause.get("in")
        if text in names if names is not None else matches(clause, text):
            return entry
    return None


def matches(clause: Mapping[str, Any], text: str) -> bool:
    """Whether the lower-case `text` satisfies `clause`. A kind this version does not know never matches."""
    for kind, value in clause.items():
        if kind == "equals":
            return bool(text == value)
        if kind == "in":
            return text in value
        if kind == "starts_with":
            return text.startswith(value)
        if kind == "contains":
            return value in text
        if kind == "ends_with":
            return text.endswith(value)
        if kind == "or":
            return any(matches(part, text) for part in value)
        if kind == "and":
            return all(matches(part, text) for part in value)
        if kind == "regex":
            import re

            return re.search(value, text) is not None
    return False


def _with_dashes(text: str) -> str:
    import re
    from datetime import date

    def dashed(found: re.Match[str]) -> str:
        year, month, day = found.groups()
        try:
            return f"-{date(int(year), int(month), int(day)).isoformat()}"
        except ValueError:
            return found.group()

    return re.sub(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)", dashed, text)
