"""Find a model's entry in a provider's catalogue (the matching rules of genai-prices 0.2.3; see `cards` for
the format)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Entry = dict[str, Any]
LONGEST = 200
"""Characters of the longest name that is compared with a pattern (names of calls are cut there)."""
_GOOGLES = (
    "^(?!.*-[tT][tT][sS](?:$|-))"  # known to be quick: a first price need not load what would find that out
)
_MAX_REMEMBERED = 500
# Gateways' names for a provider where they differ from the catalogue's (LiteLLM's prefixes).
_GATEWAY_NAMES = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "moonshot": "moonshotai",
    "ollama_chat": "ollama",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}


def names_of(provider: str, model: str, *, known: bool) -> list[tuple[str, str]]:
    """(provider, model) under which a model may be listed, the likeliest first.

    As named; where the provider is not `known` (a proxy), at the one its prefix names ('azure/gpt-4o', an ARN); and
    without the path before it ('models/gemini-…', 'publishers/…/models/…', 'arn:…:foundation-model/…'). A region in
    the path ('azure/eu/gpt-4o') may have its own price, so such a name stands for itself alone.
    """
    if "/" not in model:
        return [(provider, model)]
    path, _, bare = model.rpartition("/")
    served = None if known else served_by(model)
    found = [(provider, model), *([served] if served else ())]
    if bare and not any(_is_region(part) for part in path.split("/")):
        found += [*([(served[0], bare)] if served else ()), (provider, bare)]
    return list(dict.fromkeys(found))


def _is_region(part: str) -> bool:
    """'eu' or 'us-gov-west-1'; in an ARN the region is no part of its own."""
    return part in ("us", "eu", "apac", "us-gov") or (
        part.count("-") in (2, 3) and part[-1:].isdigit() and part[-2] == "-"
    )


def served_by(model: str) -> tuple[str, str] | None:
    """(provider, model) of a name with a provider before it, None without one."""
    head, slash, rest = model.partition("/")
    if not slash or not rest:
        return None
    if head.startswith("arn:aws"):
        return "aws", rest
    return _GATEWAY_NAMES.get(head.lower(), head.lower()), rest


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
    return models.first(text) if isinstance(models, Models) else _first_of(models, text)


def _first_of(models: Iterable[Entry], text: str) -> Entry | None:
    for entry in models:
        try:
            clause = entry["match"]
            names = clause.get("in")
            if text in names if names is not None else matches(clause, text):
                return entry
        except Exception as error:  # one entry that is none takes away no other
            odd(error)
    return None


def odd(error: Exception) -> None:
    """Report that an entry of the catalogue is not used, being none."""
    from costmon.shim.faults import report

    report("prices", f"costmon skips a broken entry of its price catalogue: {type(error).__name__}")


class Models:
    """A provider's entries as the ledger has them, one a line, parsed when they are asked for.

    The largest provider has a thousand, of which a process uses a few; the names of most are plain to see.
    """

    def __init__(self, text: str) -> None:
        self._entries: list[str | Entry] = list(text[1:-1].split(",\n")) if len(text) > 2 else []
        self._found: dict[str, Entry | None] = {}

    def __iter__(self) -> Iterator[Entry]:
        return (self._entry(i) for i in range(len(self._entries)))

    def first(self, text: str) -> Entry | None:
        """The first entry that matches the lower-case `text`; remembered, for a process asks again every minute."""
        if text not in self._found:
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            self._found[text] = _first_of(self._candidates(text), text)
        return self._found[text]

    def _candidates(self, text: str) -> Iterator[Entry]:
        """The entries that may match `text`, in order."""
        plain = (
            '"' not in text and "\\" not in text and text.isprintable()
        )  # else written differently on a line
        quoted = text + '"'
        for i, line in enumerate(self._entries):
            if not (plain and isinstance(line, str) and _names_another(line, quoted)):
                yield self._entry(i)

    def _entry(self, i: int) -> Entry:
        entry = self._entries[i]
        if isinstance(entry, str):
            entry = self._entries[i] = _parsed(entry)
        return entry


def _parsed(line: str) -> Entry:
    import json

    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        odd(error)
        return {"match": {}}
    return found if isinstance(found, dict) else {"match": {}}


def _names_another(line: str, quoted: str) -> bool:
    """Whether the entry on `line` lists its names one by one, and `quoted` (with its closing quote) is not among them."""
    at = line.find('"match":{"')
    kind = line[at + 10 : at + 16]
    if kind == "equals":
        return not line.startswith(quoted, at + 19)
    if kind.startswith('in":['):
        return line.find(f'"{quoted}', at) < 0  # to the end of the line: a name may hold a ] itself
    return False


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
            return _begins_alike(value, text) and _searches(value, text)
    return False


def _searches(pattern: str, text: str) -> bool:
    if len(text) > LONGEST:
        return False
    # Without these signs nothing can match in a second way.
    if pattern != _GOOGLES and ("(" in pattern or any(sign in pattern for sign in "*+?|,")):
        from costmon.shim.patterns import is_quick

        # Anybody may have written the pattern, and all apps wait while it is searched.
        if not is_quick(pattern):
            return False
    import re

    return re.search(pattern, text) is not None


def _begins_alike(pattern: str, text: str) -> bool:
    """False when the plain letters after a pattern's ^ rule `text` out: comparing them is far cheaper than compiling it,
    and a provider has dozens of patterns."""
    if not pattern.startswith("^") or "|" in pattern:
        return True
    at, end = 0, len(pattern)
    i = 1
    while i < end:
        sign, step = pattern[i], 1
        if sign == "\\" and pattern[i + 1 : i + 2] in (".", "-", "/", ":"):
            sign, step = pattern[i + 1], 2
        elif not (sign.isalnum() or sign in "-_/:@"):
            return True
        if pattern[i + step : i + step + 1] in ("?", "*", "{", "+"):
            return True
        if text[at : at + 1] != sign:
            return False
        at += 1
        i += step
    return True


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
