"""Where a key shows in a text: as it is, in other case or with other signs between its letters, percent-encoded, in base64
or hex, or by its last eight characters.

Texts are compared by their ASCII letters and digits alone, in lower case: that is one pass over an answer of any size. No
function here raises: a traceback may show locals, and the key is among them.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, unquote

_SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
_PART = 16
_TAIL, _TAIL_OF = 8, 20


def fold(text: str) -> bytes:
    """The ASCII letters and digits of a text, in lower case."""
    return text.lower().encode("ascii", "ignore").translate(None, _SIGNS)


def traces(key: str) -> tuple[bytes, ...]:
    """What shows the key in a folded text. Empty for one that is no secret: a word of a few letters ("ollama", "none")."""
    found: dict[bytes, None] = {}
    # A key may be made of several ("ID:SECRET"): each long part of it is one.
    parts = [part for part in re.split("[:;,|]", key) if len(part) >= _PART]
    for text in dict.fromkeys((key, *parts)):
        plain = fold(text)
        if len(plain) < 6 or (len(plain) < 8 and plain.isalpha()):
            continue
        found[plain] = None
        found |= dict.fromkeys(mark for mark in _encoded(text) if len(mark) >= 8)
        tail = fold(text[-_TAIL:])
        # A tail of letters or digits alone may be a word or a date.
        if len(plain) >= _TAIL_OF and len(tail) >= 6 and not tail.isalpha() and not tail.isdigit():
            found[tail] = None
    return tuple(found)


def shows(marks: tuple[bytes, ...], text: str) -> bool:
    """Whether one of the `marks` is in the text."""
    if not marks:
        return False
    folded = fold(text)
    if any(mark in folded for mark in marks):
        return True
    if "%" not in text:
        return False
    folded = fold(unquote(text, errors="replace"))
    return any(mark in folded for mark in marks)


def _encoded(key: str) -> list[bytes]:
    raw = key.encode("utf-8", "replace")
    found = [fold(quote(raw, safe="")), fold(raw.hex())]
    # Base64 depends on where in a group of three bytes the key begins; of each, what its neighbours do not change.
    for shift in range(3):
        whole = (b"\0" * shift + raw)[: (shift + len(raw)) // 3 * 3]
        found.append(fold(base64.b64encode(whole)[4:].decode("ascii")))
    return found
