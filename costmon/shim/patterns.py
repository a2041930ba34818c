"""Is a regular expression quick on every name? A pattern of a price file runs inside other people's apps, under the
ledger's lock, and `re` may try every way in which a text can match.

Counted is in how many ways a pattern can be tried on a name of `LONGEST` characters. What repeats without an end may
hold nothing that can itself match in several ways: '^(a+)+$' would take years.
"""

from __future__ import annotations

from costmon.shim.matching import LONGEST as LONGEST

MOST_WAYS = 50_000
_MOST_CHARACTERS = 500
_ESCAPED = frozenset(r"dDwWsSbBZA0123456789")
_known: dict[str, bool] = {}


class _Intricate(Exception):  # noqa: N818 - no error: an answer
    """The pattern uses what is not counted here, or too much of what is."""


def is_quick(pattern: object) -> bool:
    """Whether `pattern` is a regular expression that no name of at most `LONGEST` characters makes slow."""
    if not isinstance(pattern, str):
        return False
    found = _known.get(pattern)
    if found is None:
        if len(_known) >= 1000:
            _known.clear()
        found = _known[pattern] = _is_quick(pattern)
    return found


def _is_quick(pattern: str) -> bool:
    if len(pattern) > _MOST_CHARACTERS:
        return False
    body = pattern[4:] if pattern.startswith(("(?s)", "(?i)")) else pattern
    try:
        ways, end = _sequence(body, 0, 0)
        anchored = body.startswith("^") and end == len(body)
        if not anchored:
            ways, end = _either(body, 0, 0)
    except (_Intricate, IndexError):
        return False
    return end == len(body) and ways * (1 if anchored else LONGEST) <= MOST_WAYS


def _either(text: str, at: int, depth: int) -> tuple[int, int]:
    """(ways, end) of alternatives up to a closing bracket."""
    if depth > 5:
        raise _Intricate
    total = 0
    while True:
        ways, at = _sequence(text, at, depth)
        total += ways
        if text[at : at + 1] != "|":
            return total, at
        at += 1


def _sequence(text: str, at: int, depth: int) -> tuple[int, int]:
    ways = looked = 1
    while at < len(text) and text[at] not in "|)":
        one, at, looks = _atom(text, at, depth)
        if looks:  # tried once for each way so far, and not entered again
            looked += ways * one
            continue
        times, at = _repeated(text, at, one)
        ways *= times
        if ways > MOST_WAYS:
            raise _Intricate
    return max(ways, looked), at


def _atom(text: str, at: int, depth: int) -> tuple[int, int, bool]:
    """(ways, end, whether it only looks ahead) of a character, a class or a group."""
    sign = text[at]
    if sign in "*+?{":
        raise _Intricate
    if sign == "\\":
        if text[at + 1].isalnum() and text[at + 1] not in _ESCAPED:
            raise _Intricate
        return 1, at + 2, False
    if sign == "[":
        first = at + 2 if text[at + 1] == "^" else at + 1
        end = first + 1  # a ] at the start stands for itself
        while text[end] != "]":
            end += 2 if text[end] == "\\" else 1
        return 1, end + 1, False
    if sign != "(":
        return 1, at + 1, False
    looks = text.startswith(("(?=", "(?!"), at)
    if text[at + 1] == "?" and not looks and text[at + 2] != ":":
        raise _Intricate
    ways, end = _either(text, at + (3 if text[at + 1] == "?" else 1), depth + 1)
    if text[end] != ")":
        raise _Intricate
    return ways, end + 1, looks


def _repeated(text: str, at: int, ways: int) -> tuple[int, int]:
    """(ways, end) with the repetition that may follow at `at`."""
    sign = text[at : at + 1]
    if sign == "{":
        least, most, at = _counts(text, at)
    elif sign and sign in "*+?":
        least, most, at = int(sign == "+"), 1 if sign == "?" else None, at + 1
    else:
        return ways, at
    if text[at : at + 1] in ("?", "+"):
        at += 1  # lazy or possessive
    if most is None:
        if ways > 1:
            raise _Intricate
        return LONGEST + 1, at
    total = 0
    for times in range(least, most + 1):
        total += ways**times
        if total > MOST_WAYS:
            raise _Intricate
    return total, at


def _counts(text: str, at: int) -> tuple[int, int | None, int]:
    end = text.index("}", at) if "}" in text[at:] else 0
    least, comma, most = text[at + 1 : end].partition(",")
    if not end or len(least) > 3 or len(most) > 3 or not (least or "0").isdecimal() or not least + most:
        raise _Intricate
    if most and not most.isdecimal():
        raise _Intricate
    first = int(least or 0)
    last = (int(most) if most else None) if comma else first
    if max(first, last or 0) > LONGEST or (last is not None and last < first):
        raise _Intricate
    return first, last, end + 1
