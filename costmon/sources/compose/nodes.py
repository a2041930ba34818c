"""YAML as a small tree in which every value knows its line.

The tokens are ruamel.yaml's (YAML 1.2); the tree is built here, because its own loaders take twice the time and resolve
values, while compose files want every scalar as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml import tokens as t
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from costmon.sources.compose.texts import shown
from costmon.sources.compose.work import Paced, Work

_DEEPEST = 40
_LONGEST_LINE = 100_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
RESET, OVERRIDE = "!reset", "!override"


class Scalar(NamedTuple):
    """A value as text. `plain`: without quotes, so that it may be null, a number or a truth value."""

    text: str
    line: int
    plain: bool = True
    tag: str = ""

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    line: int
    tag: str = ""


class Entry(NamedTuple):
    """A key's value, and the line of the key."""

    line: int
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Merge keys (`<<`) are already taken up."""

    entries: dict[str, Entry]
    line: int
    tag: str = ""

    def get(self, key: str) -> Node | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.node


Node = Scalar | Sequence | Mapping


class Fault(NamedTuple):
    """Something wrong at a line, as the rest of a sentence that begins with the file and line."""

    line: int
    what: str


class NotYamlError(Exception):
    """The text is no YAML from `line` on."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(slots=True)
class Tree:
    """A file's documents, and what is wrong with them although they can be read (keys written twice)."""

    documents: list[Node] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def parse(text: str, work: Work) -> Tree:
    """The tree of a text. Raises NotYamlError, TooMuchError."""
    tree = Tree()
    _short_lines(text)
    # The reader of a whole text would copy and check it first; in pieces it can be stopped.
    builder = _Builder(YAML(typ="safe", pure=True).scan(Paced(text, work)), work, tree.faults)
    try:
        tree.documents.extend(builder.documents())
    except ReaderError:
        raise NotYamlError(1, "holds a control character that YAML does not allow") from None
    except MarkedYAMLError as error:
        raise _explained(error) from None
    except (YAMLError, ValueError, IndexError, AttributeError, TypeError, AssertionError):
        # What ruamel's scanner runs into on broken directives and escapes.
        raise NotYamlError(builder.line, "cannot be read as YAML") from None
    return tree


def _short_lines(text: str) -> None:
    """Raises NotYamlError for a line that no person wrote: some of them take the scanner minutes."""
    start = line = 0
    while len(text) - start > _LONGEST_LINE:
        end = text.rfind("\n", start, start + _LONGEST_LINE + 1)
        if end < 0:
            raise NotYamlError(line + 1, f"has a line longer than {_LONGEST_LINE:,} characters")
        line += text.count("\n", start, end + 1)
        start = end + 1


def _explained(error: MarkedYAMLError) -> NotYamlError:
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else int(mark.line) + 1
    if "'\\t'" in str(error.problem):
        return NotYamlError(line, "has a tab where YAML wants spaces")
    return NotYamlError(line, "cannot be read as YAML: check its indentation, quotes and brackets")


class _Builder:
    """Makes nodes of tokens; one token is looked ahead."""

    def __init__(self, tokens: Iterator[Any], work: Work, faults: list[Fault]) -> None:
        self._tokens = tokens
        self._work = work
        self._faults = faults
        self._anchors: dict[str, Node] = {}
        self._token: Any = None
        self._kind: type = t.StreamStartToken
        self.line = 1

    def documents(self) -> Iterator[Node]:
        self._advance()
        self._advance()
        while self._kind is not t.StreamEndToken:
            while self._kind in (t.DirectiveToken, t.DocumentStartToken, t.DocumentEndToken):
                self._advance()
            if self._kind is t.StreamEndToken:
                return
            self._anchors.clear()
            yield self._node(0)
            if self._kind not in (t.DocumentStartToken, t.DocumentEndToken, t.StreamEndToken):
                raise self._wrong()

    def _advance(self) -> Any:
        """Takes the token looked at, and looks at the next."""
        taken = self._token
        self._token = next(self._tokens, None)
        self._kind = type(self._token) if self._token is not None else t.StreamEndToken
        if self._token is not None:
            self.line = self._token.start_mark.line + 1
        return taken

    def _wrong(self) -> NotYamlError:
        return NotYamlError(self.line, "cannot be read as YAML: check its indentation, quotes and brackets")

    def _node(self, depth: int, *, in_mapping: bool = False) -> Node:
        self._work.spend()
        if depth > _DEEPEST:
            raise NotYamlError(self.line, f"is nested deeper than {_DEEPEST} levels")
        anchor = tag = ""
        line = self.line
        while self._kind in (t.AnchorToken, t.TagToken):
            if self._kind is t.AnchorToken:
                anchor = str(self._advance().value)
            else:
                tag = _tag(self._advance().value)
        node = self._content(depth, line, tag, in_mapping=in_mapping)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _content(self, depth: int, line: int, tag: str, *, in_mapping: bool) -> Node:
        kind = self._kind
        if kind is t.ScalarToken:
            token = self._advance()
            return Scalar(token.value, token.start_mark.line + 1, bool(token.plain), tag)
        if kind is t.BlockMappingStartToken:
            return self._mapping(depth, t.BlockEndToken, tag)
        if kind is t.FlowMappingStartToken:
            return self._mapping(depth, t.FlowMappingEndToken, tag)
        if kind is t.BlockSequenceStartToken:
            self._advance()
            items = self._block_items(depth)
            self._close(t.BlockEndToken)
            return Sequence(items, line, tag)
        if kind is t.FlowSequenceStartToken:
            return self._flow_sequence(depth, tag)
        if kind is t.BlockEntryToken and in_mapping:
            return Sequence(self._block_items(depth), line, tag)
        if kind is t.AliasToken:
            return self._alias()
        return Scalar("", line, True, tag)

    def _alias(self) -> Node:
        line = self.line
        name = str(self._advance().value)
        try:
            return self._anchors[name]
        except KeyError:
            raise NotYamlError(line, f"uses the alias *{shown(name, 40)} before its anchor") from None

    def _close(self, end: type) -> None:
        if self._kind is not end:
            raise self._wrong()
        self._advance()

    def _block_items(self, depth: int) -> tuple[Node, ...]:
        items = []
        while self._kind is t.BlockEntryToken:
            self._advance()
            items.append(self._node(depth + 1))
        return tuple(items)

    def _flow_sequence(self, depth: int, tag: str) -> Sequence:
        line = self.line
        self._advance()
        items: list[Node] = []
        while self._kind is not t.FlowSequenceEndToken:
            if self._kind is t.KeyToken:
                own = self.line
                entries: dict[str, Entry] = {}
                self._pair(depth, entries, [])
                items.append(Mapping(entries, own))
            else:
                items.append(self._node(depth + 1))
            self._comma(t.FlowSequenceEndToken)
        self._advance()
        return Sequence(tuple(items), line, tag)

    def _comma(self, end: type) -> None:
        if self._kind is t.FlowEntryToken:
            self._advance()
        elif self._kind is not end:
            raise self._wrong()

    def _mapping(self, depth: int, end: type, tag: str) -> Mapping:
        line = self.line
        flow = end is t.FlowMappingEndToken
        self._advance()
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        while self._kind is not end:
            if self._kind in (t.KeyToken, t.ValueToken):
                self._pair(depth, entries, merged)
            elif flow and self._kind is not t.FlowEntryToken:
                self._put(entries, self._node(depth + 1), Scalar("", self.line))
            else:
                raise self._wrong()
            if flow:
                self._comma(end)
        self._advance()
        for node in merged:
            self._merge(entries, node, line)
        return Mapping(entries, line, tag)

    def _pair(self, depth: int, entries: dict[str, Entry], merged: list[Node]) -> None:
        key: Node = Scalar("", self.line)
        value: Node = key
        if self._kind is t.KeyToken:
            self._advance()
            key = self._node(depth + 1, in_mapping=True)
            value = Scalar("", key.line)
        if self._kind is t.ValueToken:
            self._advance()
            value = self._node(depth + 1, in_mapping=True)
            if isinstance(value, Scalar) and not value.text and value.plain:
                # Nothing stands there: the token looked at was the next line's.
                value = value._replace(line=key.line)
        if isinstance(key, Scalar) and key.plain and key.text == "<<":
            merged.append(value)
        else:
            self._put(entries, key, value)

    def _put(self, entries: dict[str, Entry], key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            self._faults.append(Fault(key.line, "has a key that is not text; it is left out"))
            return
        before = entries.get(key.text)
        if before is not None:
            what = f"writes the key {shown(key.text, 60)} again (first in line {before.line}); the later one is taken"
            self._faults.append(Fault(key.line, what))
        entries[key.text] = Entry(key.line, value)

    def _merge(self, entries: dict[str, Entry], node: Node, line: int) -> None:
        """Takes up what `<<` points to: a mapping, or several, of which the earlier win; own keys win over all."""
        for source in node.items if isinstance(node, Sequence) else (node,):
            if not isinstance(source, Mapping):
                self._faults.append(Fault(line, "has a merge key (<<) that does not point to a mapping"))
                continue
            self._work.spend(len(source.entries))
            for key, entry in source.entries.items():
                entries.setdefault(key, entry)


def _tag(value: Any) -> str:
    """'!reset' of ruamel's token value, a pair of handle and suffix or a tag object."""
    if isinstance(value, tuple):
        return "".join(str(part) for part in value if part is not None)
    return str(value)
