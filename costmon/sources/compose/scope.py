"""Where a compose file's values are read: which file, relative to which folder, and who answers its variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from costmon.sources.compose.interpolation import Expanded, Lookup, MalformedError, expand
from costmon.sources.compose.nodes import Node, Scalar
from costmon.sources.compose.texts import shown
from costmon.sources.compose.values import Place, Problem
from costmon.sources.compose.work import Work

_SWITCH = {word: word.lower() for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
"""How YAML writes truth values without quotes, and what a container gets."""


class Text(NamedTuple):
    """An interpolated scalar. `text` is None where it is null, or a required variable is missing."""

    text: str | None
    raw: str
    place: Place
    expanded: Expanded = Expanded(None)


@dataclass(slots=True)
class Scope:
    """Where a file's texts are read: its name, the folder relative paths start from, who answers its variables."""

    path: str
    folder: str
    look: Lookup
    work: Work
    problems: list[Problem]

    def place(self, line: int) -> Place:
        return Place(self.path, line)

    def problem(self, line: int, what: str) -> None:
        """`what` goes on from 'FILE line N: '; it quotes no value."""
        self.problems.append(Problem(self.place(line), f"{shown(self.path)} line {line}: {what}."))

    def text(self, node: Node | None, what: str) -> Text | None:
        """A scalar, interpolated; None (with a problem) for anything else. `what` names it in a problem."""
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.problem(node.line, f"{what} is not a plain value, so it is left out")
            return None
        if node.is_null:
            return Text(None, "", self.place(node.line))
        self.work.check_time()
        try:
            expanded = expand(node.text, self.look)
            self.work.spend(len(expanded.text or "") // 100)
        except MalformedError as error:
            self.problem(node.line, f"the interpolation in {what} {error}")
            return None
        value = _SWITCH.get(node.text, expanded.text) if node.plain else expanded.text
        return Text(value, node.text, self.place(node.line), expanded)

    def string(self, node: Node | None, what: str) -> str | None:
        """The text of a scalar, None where it has none."""
        said = self.text(node, what)
        return None if said is None else said.text

    def resolved(self, path: str) -> str:
        """A path of this file, from its folder on, or from the user's home."""
        home = os.path.expanduser("~") if path.startswith("~/") else ""
        return (
            os.path.normpath(home + path[1:]) if home else os.path.normpath(os.path.join(self.folder, path))
        )
