"""Text from outside, made harmless for a notification: bounded, and made of visible characters only."""

from __future__ import annotations

import unicodedata

TITLE_LENGTH = 200
BODY_LENGTH = 1000
# Cc: NUL, escape, C1 · Cf: bidi overrides, invisible tags · Cs: lone surrogates, which D-Bus would reject.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")


def clean_title(text: str) -> str:
    """One line of at most 200 characters; 'costmon' when nothing is left."""
    return _bounded(" ".join(_harmless(text, TITLE_LENGTH).split()), TITLE_LENGTH) or "costmon"


def clean_body(text: str) -> str:
    """At most 1000 characters; line feeds stay."""
    return _bounded(_harmless(text, BODY_LENGTH).strip(), BODY_LENGTH)


def _harmless(text: str, limit: int) -> str:
    # Cut first: a name of 10 MB must not cost 10 million lookups.
    return "".join(char for char in map(_kept, text[: 4 * limit]) if char)


def _kept(char: str) -> str:
    if char in "\n\t" or char in "\u2028\u2029":
        return " " if char == "\t" else "\n"
    return "" if unicodedata.category(char) in _DROPPED and char not in _JOINERS else char


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
