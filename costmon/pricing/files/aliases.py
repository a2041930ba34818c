"""Names of the house for a model: an Azure deployment, a Bedrock application profile, a proxy's own name.

    [[alias]]
    provider = "azure"
    match = "prod-chat-*"        # any case; * = any text, ? = one character
    to = "azure:gpt-4o"          # or "gpt-4o": of the same provider

In `to`, letters, digits, - and _ before the first colon name a provider ("ollama:llama3:8b"); a model of the same
provider whose own name has such a colon needs the provider too. "ft:…" is always a model.
"""

from __future__ import annotations

import re
from typing import Any

from costmon.pricing.files.where import Where, only, text
from costmon.shim.matching import Entry, matches
from costmon.shim.patterns import is_quick

_KEYS = ("provider", "match", "to")
_STARS = 8


def read_alias(at: Where, table: dict[str, Any]) -> tuple[str, Entry]:
    """(provider, entry) of one [[alias]]."""
    only(at, table, _KEYS)
    for key in _KEYS:
        if key not in table:
            at.fail(f"has no {key}; add `{key} = …`")
    provider = text(at / "provider", table["provider"]).lower()
    pattern = text(at / "match", table["match"]).lower()
    if pattern.count("*") > _STARS:
        (at / "match").fail(f"has more than {_STARS} stars; write a simpler pattern")
    clause = _glob(pattern)
    if "regex" in clause and not is_quick(clause["regex"]):
        (at / "match").fail("is too intricate; write a shorter pattern with fewer stars")
    target, model = _target(text(at / "to", table["to"]), provider)
    # Without any price a shim of an older version, which knows no alias, looks on in the next layer.
    entry: Entry = {"id": table["match"], "match": clause, "prices": [], "alias": [target, model]}
    if target == provider and matches(entry["match"], model.lower()):
        (at / "to").fail(
            f"matches the alias itself ({pattern}), which leads nowhere; name a model outside of it"
        )
    return provider, entry


def _target(name: str, provider: str) -> tuple[str, str]:
    head, colon, rest = name.partition(":")
    if colon and rest and head != "ft" and re.fullmatch(r"[A-Za-z0-9_-]+", head):
        return head.lower(), rest
    return provider, name


def _glob(pattern: str) -> dict[str, Any]:
    """A clause for a pattern with * and ?; a [ means itself."""
    body = pattern.strip("*")
    if not any(sign in body for sign in "*?"):
        starts, ends = pattern.endswith("*"), pattern.startswith("*")
        if starts and ends:
            return {"contains": body}
        return {"starts_with" if starts else "ends_with" if ends else "equals": body}
    return {"regex": _regex(pattern)}


def _regex(pattern: str) -> str:
    """For `re.search`. What follows a star is taken at its first place and kept (a lookahead does not go back), so
    that no name takes long."""
    first, *parts = [re.escape(part).replace(r"\?", ".") for part in re.sub(r"\*+", "*", pattern).split("*")]
    if not parts:
        return rf"(?s)^{first}\Z"
    *middle, last = parts
    kept = "".join(rf"(?=(.*?{part}))\{i}" for i, part in enumerate(middle, 1))
    return rf"(?s)^{first}{kept}.*{last}\Z"
