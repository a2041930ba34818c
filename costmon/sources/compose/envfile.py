"""Env files as Docker Compose reads them: comments, `export`, quotes, escapes, values over several lines, interpolation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from costmon.sources.compose.interpolation import Expanded, Known, Lookup, MalformedError, expand
from costmon.sources.compose.texts import UnreadableError, shown, text_of
from costmon.sources.compose.values import Place, Problem
from costmon.sources.compose.work import TooMuchError, Work

_MOST_PROBLEMS = 20
_BLANK = " \t\v\f\r\x85\xa0"
_SPACES = re.compile(r"\s*")
_EXPORT = re.compile(r"export[ \t]+")
_NAME = re.compile(r"[^\W]?[\w.\-\[\]]*")
_COMMENT_BEHIND = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"$])|0([0-3][0-7]{2}))")
_ESCAPED = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "$": "$$",
}


class EnvLine(NamedTuple):
    """One variable of an env file. `expanded.text` is None where the line only names it and nobody sets it."""

    name: str
    raw: str
    line: int
    expanded: Expanded


class EnvFile(NamedTuple):
    """The variables of an env file, the later of two of one name, and what of it cannot be read."""

    path: str
    lines: dict[str, EnvLine]
    problems: tuple[Problem, ...] = ()


class _Written(NamedTuple):
    name: str
    raw: str
    line: int
    template: str = ""
    literal: bool = False
    inherited: bool = False


def read_env(path: str, look: Lookup, work: Work, *, raw: bool = False) -> EnvFile:
    """The variables of a file; `look` answers what its values ask, then its own earlier lines do. `raw`: the format
    without quotes, comments behind values and interpolation. A file that cannot be read has one problem and no lines."""
    try:
        text = text_of(path)
    except UnreadableError as error:
        return EnvFile(path, {}, (Problem(Place(path, 1), str(error)),))
    return parse_env(text, path, look, work, raw=raw)


def parse_env(text: str, path: str, look: Lookup, work: Work, *, raw: bool = False) -> EnvFile:
    """As `read_env`, of a text."""
    lines: dict[str, EnvLine] = {}
    problems: list[Problem] = []

    def answer(name: str) -> Known | None:
        if (known := look(name)) is not None:
            return known
        before = lines.get(name)
        if before is None or before.expanded.text is None:
            return None
        return Known(before.expanded.text, Place(path, before.line))

    text = text.replace("\r\n", "\n")
    try:
        for written in _raw_lines(text) if raw else _written(text):
            work.spend()
            work.check_time()
            if isinstance(written, tuple) and not isinstance(written, _Written):
                problems.append(_problem(path, *written))
                if len(problems) >= _MOST_PROBLEMS:
                    raise TooMuchError("has more lines that are no variables than an env file")
                continue
            try:
                lines.pop(written.name, None)
                lines[written.name] = _line(written, look, answer, work)
            except MalformedError as error:
                what = f"the interpolation in {shown(written.name, 60)} {error}"
                problems.append(_problem(path, written.line, what))
    except TooMuchError as error:
        problems.append(Problem(Place(path, 1), f"{shown(path)} {error}; the rest of it is not read."))
    return EnvFile(path, lines, tuple(problems))


def _line(written: _Written, look: Lookup, answer: Lookup, work: Work) -> EnvLine:
    if written.inherited:
        known = look(written.name)
        unset = () if known else (written.name,)
        expanded = Expanded(
            known.value if known else None, (written.name,), unset, "", known.place if known else None
        )
    elif written.literal:
        expanded = Expanded(written.template)
    else:
        expanded = expand(written.template, answer)
        work.spend(len(expanded.text or "") // 100)
    return EnvLine(written.name, written.raw, written.line, expanded)


def _problem(path: str, line: int, what: str) -> Problem:
    return Problem(Place(path, line), f"{shown(path)} line {line}: {what}.")


_Fault = tuple[int, str]


def _raw_lines(text: str) -> Iterator[_Written | _Fault]:
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.lstrip()
        if not bare or bare.startswith("#"):
            continue
        name, equals, value = bare.partition("=")
        if not name or any(ch.isspace() for ch in name):
            yield number, "a variable's name may not be empty or hold spaces"
        else:
            yield _Written(name, value, number, value, literal=True, inherited=not equals)


def _written(text: str) -> Iterator[_Written | _Fault]:
    """The file's variables, as written; a line that is none is a fault, and the next line goes on."""
    at, line = 0, 1
    while True:
        start = _SPACES.match(text, at)
        line += text.count("\n", at, start.end() if start else at)
        at = start.end() if start else at
        if at >= len(text):
            return
        begin, begin_line = at, line
        found, at = _statement(text, at, line)
        if found is not None:
            yield found
        # Always goes forward, so a broken line cannot hold it.
        at = max(at, begin + 1)
        line = begin_line + text.count("\n", begin, at)


def _statement(text: str, at: int, line: int) -> tuple[_Written | _Fault | None, int]:
    """What begins at `at`, and where it ends: a comment (None), a variable, or a fault that ends with its line."""
    line_end = text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    if text[at] == "#":
        return None, line_end
    if export := _EXPORT.match(text, at):
        at = export.end()
    name = _NAME.match(text, at)
    at = name.end() if name else at
    while at < line_end and text[at] in _BLANK:
        at += 1
    if not name or not name[0]:
        return (line, "it begins with no variable's name"), line_end
    if at >= line_end:
        return _Written(name[0], "", line, inherited=True), line_end
    if text[at] not in "=:":
        return (line, "a name is followed by something else than '='"), line_end
    at += 1
    while at < line_end and text[at] in _BLANK:
        at += 1
    if at < line_end and text[at] in "\"'":
        return _quoted(text, at, line, name[0], line_end)
    # Compose takes "NAME= # nothing" for the value "# nothing": it has stripped the blank before it looks for " #".
    value = text[at:line_end].partition(" #")[0].rstrip()
    return _Written(name[0], value, line, value), line_end


def _quoted(text: str, at: int, line: int, name: str, line_end: int) -> tuple[_Written | _Fault, int]:
    quote = text[at]
    closing = re.compile(r"(?:[^\\" + quote + r"]|\\.)*+" + quote, re.DOTALL).match(text, at + 1)
    if closing is None:
        return (line, f"the value of {shown(name, 60)} has no closing quote"), line_end
    end = closing.end()
    inner = text[at + 1 : end - 1]
    rest = _COMMENT_BEHIND.match(text, end)
    if rest is None:
        stop = text.find("\n", end)
        what = f"something follows the closing quote of {shown(name, 60)}"
        return (line, what), len(text) if stop < 0 else stop
    if quote == "'":
        inner = inner.replace("\\'", "'")
        return _Written(name, text[at:end], line, inner, literal=True), end
    return _Written(name, text[at:end], line, _ESCAPE.sub(_unescaped, inner)), rest.end()


def _unescaped(match: re.Match[str]) -> str:
    letter, octal = match.groups()
    return _ESCAPED[letter] if letter else chr(int(octal, 8))
