"""Interpolation as the Compose Specification has it: $NAME, ${NAME} and its six operators, nested, `$$` for a dollar sign.

A dollar sign before anything else stays as it is; `${` that begins no such form is malformed. See chapter 12 of the
specification, https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from costmon.sources.compose.values import Place

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_DEEPEST = 40
LONGEST = 131_072
"""Characters of an interpolated value; the kernel gives a process no longer one."""


class Known(NamedTuple):
    """A variable's value, and the line of the env file that sets it, if one does."""

    value: str
    place: Place | None = None


Lookup = Callable[[str], Known | None]


class MalformedError(Exception):
    """The text is no valid template; what is wrong follows 'interpolation' in a sentence and quotes nothing."""


class Expanded(NamedTuple):
    """What a text becomes. `text` is None where a required variable (`${NAME:?…}`) has no value. `asks`, `unset`, `default`
    and `from_file` as in `Setting`."""

    text: str | None
    asks: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    default: str = ""
    from_file: Place | None = None


class _Variable(NamedTuple):
    name: str
    operator: str
    operand: tuple[_Part, ...]


_Part = str | _Variable


def expand(text: str, look: Lookup) -> Expanded:
    """What the text becomes when `look` answers its variables. Raises MalformedError."""
    if "$" not in text:
        return Expanded(text)
    if len(text) > LONGEST:
        raise MalformedError("is longer than a process can be given")
    parts, _ = _parse(text, 0, 0)
    asks = tuple(dict.fromkeys(_names(parts)))
    run = _Run(look)
    value = run.value(parts)
    default = ""
    if any(isinstance(part, _Variable) and part.operator.endswith("-") for part in parts):
        default = _Run(lambda _name: None).value(parts) or ""
    return Expanded(value, asks, tuple(run.unset), default, run.from_file)


def _names(parts: tuple[_Part, ...]) -> list[str]:
    found = []
    for part in parts:
        if isinstance(part, _Variable):
            found.append(part.name)
            found.extend(_names(part.operand))
    return found


def _parse(text: str, at: int, depth: int) -> tuple[tuple[_Part, ...], int]:
    """The parts from `at` on, to the text's end or, inside of braces (`depth` > 0), past the brace that closes them."""
    parts: list[_Part] = []
    literal = 0  # "$${" is text, yet its brace wants a closing one too
    while at < len(text):
        stop = _next_special(text, at, inside=depth > 0)
        parts.append(text[at:stop])
        if stop == len(text):
            at = stop
        elif text[stop] == "}":
            if not literal:
                return tuple(filter(None, parts)), stop + 1
            literal -= 1
            parts.append("}")
            at = stop + 1
        elif text.startswith("$$", stop):
            parts.append("$")
            at = stop + 2
            literal += depth > 0 and text.startswith("{", at)
        else:
            part, at = _variable(text, stop, depth)
            parts.append(part)
    if depth:
        raise MalformedError("has a ${ without its closing brace")
    return tuple(filter(None, parts)), at


def _next_special(text: str, at: int, *, inside: bool) -> int:
    dollar = text.find("$", at)
    brace = text.find("}", at, len(text) if dollar < 0 else dollar) if inside else -1
    found = brace if brace >= 0 else dollar
    return len(text) if found < 0 else found


def _variable(text: str, at: int, depth: int) -> tuple[_Part, int]:
    """The variable that begins with the dollar sign at `at`; the sign itself if none does."""
    braced = text.startswith("{", at + 1)
    name = _NAME.match(text, at + 1 + braced)
    if not braced:
        return (_Variable(name[0], "", ()), name.end()) if name else ("$", at + 1)
    if name is None:
        raise MalformedError("has a ${ that no name follows")
    if text.startswith("}", name.end()):
        return _Variable(name[0], "", ()), name.end() + 1
    operator = _OPERATOR.match(text, name.end())
    if operator is None:
        raise MalformedError(
            "has a ${…} with something behind the name that the Compose Specification does not know"
        )
    if depth >= _DEEPEST:
        raise MalformedError(f"is nested deeper than {_DEEPEST} levels")
    operand, end = _parse(text, operator.end(), depth + 1)
    return _Variable(name[0], operator[0], operand), end


@dataclass(slots=True)
class _Run:
    """One evaluation; it notes what nobody sets."""

    look: Lookup
    unset: dict[str, None] = field(default_factory=dict)
    from_file: Place | None = None

    def value(self, parts: tuple[_Part, ...]) -> str | None:
        pieces: list[str] = []
        length = 0
        for part in parts:
            piece = part if isinstance(part, str) else self._variable(part)
            if piece is None:
                return None
            length += len(piece)
            if length > LONGEST:
                raise MalformedError("gives a value longer than a process can be given")
            pieces.append(piece)
        return "".join(pieces)

    def _variable(self, variable: _Variable) -> str | None:
        known = self.look(variable.name)
        operator = variable.operator
        here = known is not None and (bool(known.value) or not operator.startswith(":"))
        if known is not None and self.from_file is None:
            self.from_file = known.place
        if operator.endswith("+"):
            return self.value(variable.operand) if here else ""
        if here and known is not None:
            return known.value
        if operator.endswith("-"):
            return self.value(variable.operand)
        if known is None:
            self.unset[variable.name] = None
        return None if operator.endswith("?") else (known.value if known else "")
