"""Changes of lines as unified diffs that `patch` and `git apply` take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from costmon.audit.secrets import is_plain, is_printable
from costmon.audit.values import Fix

_CONTEXT = 3


def fix(path: str, text: str, changes: Mapping[int, str]) -> Fix | None:
    """The diff that puts `changes` (line number from 1 → its new text) in place of those lines of `text`.

    None where the diff would show what may be a secret, or could not be applied: an odd file name, other line ends. Lines
    around a change are left out from the first on that is not plainly harmless.
    """
    lines = split(text)
    name = _header(path)
    if not changes or "\r" in text or not name:
        return None
    for number, new in changes.items():
        if not 0 < number <= len(lines) or not is_printable(lines[number - 1].replace("\t", " ")):
            return None
        if new == lines[number - 1] or "\n" in new:
            return None
    hunks = [_hunk(lines, group, changes) for group in _groups(lines, sorted(changes))]
    prefix = ("", "") if os.path.isabs(name) else ("a/", "b/")
    head = [f"--- {prefix[0]}{name}", f"+++ {prefix[1]}{name}"]
    diff = "\n".join([*head, *(line for hunk in hunks for line in hunk)]) + "\n"
    return Fix(path, diff, tuple(sorted(changes.items())))


@lru_cache(maxsize=8)
def split(text: str) -> list[str]:
    """The lines of a text; nobody changes the list."""
    return text.split("\n")


def together(fixes: Iterable[Fix], texts: Callable[[str], str]) -> tuple[Fix, ...]:
    """One diff per file of several fixes, in order of the files; of two changes of one line the first counts."""
    files: dict[str, dict[int, str]] = {}
    for one in fixes:
        changes = files.setdefault(one.path, {})
        for number, new in one.changes:
            changes.setdefault(number, new)
    made = (fix(path, texts(path), changes) for path, changes in sorted(files.items()))
    return tuple(one for one in made if one is not None)


def _header(path: str) -> str:
    """The file as diffs name it: from here where it lies below, else whole; '' where a diff cannot name it."""
    here = os.path.relpath(path)
    name = os.path.abspath(path) if here.startswith("..") else here
    return name if name.isprintable() and not set(name) & set('"\\\t') and " " not in name else ""


def _groups(lines: list[str], numbers: list[int]) -> list[tuple[int, int, list[int]]]:
    """(first line, last line, changed lines) of each hunk.

    As many lines before as behind: patch takes fewer of them for the start or the end of the file.
    """
    found: list[list[int]] = []
    for number in numbers:
        if (
            found
            and all(is_plain(line) for line in lines[found[-1][-1] : number - 1])
            and number - found[-1][-1] <= _CONTEXT
        ):
            found[-1].append(number)
        else:
            found.append([number])
    hunks: list[tuple[int, int, list[int]]] = []
    for group in found:
        around = min(_plain_before(lines, group[0]), _plain_behind(lines, group[-1]), _CONTEXT)
        if hunks and group[0] - around <= hunks[-1][1]:
            around = max(0, group[0] - hunks[-1][1] - 1)
        hunks.append((group[0] - around, group[-1] + around, group))
    return hunks


def _plain_before(lines: list[str], number: int) -> int:
    """How many lines before it may be shown."""
    count = 0
    while count < _CONTEXT and number - count > 1 and is_plain(lines[number - count - 2]):
        count += 1
    return count


def _plain_behind(lines: list[str], number: int) -> int:
    count = 0
    while count < _CONTEXT and number + count < _last(lines) and is_plain(lines[number + count]):
        count += 1
    return count


def _last(lines: list[str]) -> int:
    """How many lines there are; the piece after the last line end is none."""
    return len(lines) - (lines[-1] == "")


def _hunk(lines: list[str], group: tuple[int, int, list[int]], changes: Mapping[int, str]) -> list[str]:
    first, last, numbers = group
    size = last - first + 1
    found = [f"@@ -{first},{size} +{first},{size} @@"]
    for number in range(first, last + 1):
        old = lines[number - 1]
        ending = ["\\ No newline at end of file"] if number == len(lines) else []
        if number in numbers:
            found += [f"-{old}", *ending, f"+{changes[number]}", *ending]
        else:
            found += [f" {old}", *ending]
    return found
