"""What budgets and rate limits have in common: a name and a scope."""

from __future__ import annotations

import re
from typing import Any

from costmon.config.money import shorten
from costmon.config.source import Section, meant
from costmon.config.values import SCOPE_KEYS

NAME = re.compile(r"[A-Za-z0-9_.-](?:[A-Za-z0-9 _.-]{0,58}[A-Za-z0-9_.-])?")


def parse_scope(text: str) -> tuple[str, str]:
    """("all", "") or ("app", "trader"). Raises ValueError with half a sentence, as `parse_money` does."""
    key, separator, value = (part.strip() for part in text.partition("="))
    if text.strip() == "all":
        return "all", ""
    if key not in SCOPE_KEYS or not separator:
        forms = ["all", *(f"{name}=…" for name in SCOPE_KEYS)]
        hint = meant(key, ["all", *SCOPE_KEYS])
        problem = f"must be one of {', '.join(forms)}, not {shorten(text)}"
        raise ValueError(f"{problem}; {hint}" if hint.endswith("?") else problem)
    if not value or len(value) > 200 or not value.isprintable():
        raise ValueError(f'must name what it covers, such as "{key}=trader", not {shorten(text)}')
    return key, value


def checked(section: Section, key: str, check: Any, value: object) -> Any:
    """`check(value)`; its ValueError becomes a ConfigError that names the key."""
    try:
        return check(value)
    except ValueError as error:
        return section.fail(key, str(error))
