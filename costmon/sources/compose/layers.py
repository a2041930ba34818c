"""One compose file's services as drafts, interpolated, not yet merged: collections are dicts by their unique key."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from costmon.sources.compose.nodes import OVERRIDE, RESET, Mapping, Node, Scalar, Sequence
from costmon.sources.compose.scope import Scope, Text
from costmon.sources.compose.texts import shown
from costmon.sources.compose.values import Mount, Place, Setting

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
Dropped = None
"""The value of a key that `!reset` takes away."""


class EnvFileRef(NamedTuple):
    """An entry of `env_file`; `place` is where it is asked for."""

    path: str
    required: bool
    raw: bool
    place: Place


class Base(NamedTuple):
    """What a service `extends`: `file` '' = this one."""

    file: str
    service: str
    place: Place


class Part(NamedTuple):
    """What a file says of one key of a service; `mode` is '', '!reset' or '!override'."""

    value: Any
    place: Place
    mode: str = ""


@dataclass(slots=True)
class Draft:
    """A service as one file, or several merged ones, have it."""

    name: str
    place: Place
    parts: dict[str, Part] = field(default_factory=dict)
    base: Base | None = None

    def value(self, key: str, default: Any) -> Any:
        part = self.parts.get(key)
        return default if part is None or part.value is None else part.value

    def under(self, over: Draft) -> Draft:
        """This draft, overridden by another one's parts."""
        parts = dict(self.parts)
        for key, part in over.parts.items():
            below = parts.get(key)
            if part.mode == RESET:
                parts.pop(key, None)
            elif below is None or part.mode == OVERRIDE:
                parts[key] = part
            else:
                parts[key] = _merged(below, part)
        return Draft(over.name, over.place, parts, over.base)


def _merged(below: Part, over: Part) -> Part:
    if isinstance(below.value, dict) and isinstance(over.value, dict):
        return Part({**below.value, **over.value}, over.place)
    # A key without a value leaves what stands below.
    return over if over.value is not None else Part(below.value, over.place)


def drafts(root: Mapping, scope: Scope) -> dict[str, Draft]:
    """The services of one document."""
    services = root.get("services")
    if services is None or (isinstance(services, Scalar) and services.is_null):
        return {}
    if not isinstance(services, Mapping):
        scope.problem(services.line, "'services' is not a mapping of names to services")
        return {}
    found = {}
    for name, (line, node) in services.entries.items():
        scope.work.check_time()
        if isinstance(node, Mapping):
            found[name] = _draft(name, line, node, scope)
        elif isinstance(node, Scalar) and node.is_null:
            found[name] = Draft(name, scope.place(line))
        else:
            scope.problem(line, f"the service {shown(name, 60)} is not a mapping, so it is left out")
    return found


def _draft(name: str, line: int, node: Mapping, scope: Scope) -> Draft:
    draft = Draft(name, scope.place(line))
    for key, read in _READERS.items():
        entry = node.entries.get(key)
        if entry is None:
            continue
        scope.work.spend()
        place = scope.place(entry.line)
        if entry.node.tag == RESET:
            draft.parts[key] = Part(None, place, RESET)
            continue
        value = read(entry.node, scope, f"{key} of {shown(name, 60)}")
        draft.parts[key] = Part(value, place, OVERRIDE if entry.node.tag == OVERRIDE else "")
    extends = node.entries.get("extends")
    if extends is not None and extends.node.tag != RESET:
        draft.base = _extends(extends.node, extends.line, scope, name)
    return draft


def _extends(node: Node, line: int, scope: Scope, name: str) -> Base | None:
    what = f"extends of {shown(name, 60)}"
    if isinstance(node, Scalar):
        service, file = scope.string(node, what), ""
    elif isinstance(node, Mapping):
        service, file = scope.string(node.get("service"), what), scope.string(node.get("file"), what) or ""
    else:
        service, file = None, ""
    if not service:
        scope.problem(line, f"{what} names no service")
        return None
    return Base(scope.resolved(file) if file else "", service, scope.place(line))


# Each reader gives a part's value: a text, or a dict by the key that must be unique. None = nothing is said.


def _text(node: Node, scope: Scope, what: str) -> str | None:
    return scope.string(node, what)


def _words(node: Node, scope: Scope, what: str) -> str | None:
    """A command as one line, of its shell form or its list."""
    if not isinstance(node, Sequence):
        return scope.string(node, what)
    return shlex.join(word for item in node.items if (word := scope.string(item, what)) is not None)


def _build(node: Node, scope: Scope, what: str) -> dict[str, str] | None:
    """The build's context; a build without one has it in the file's folder, unless another file says where."""
    default = {"default": scope.resolved(".")}
    if isinstance(node, Mapping):
        context = scope.string(node.get("context"), what)
        return default if context is None else default | {"context": _folder(context, scope)}
    context = scope.string(node, what)
    return None if context is None else default | {"context": _folder(context, scope)}


def _folder(context: str, scope: Scope) -> str:
    return context if "://" in context or context.startswith("git@") else scope.resolved(context)


def _number(node: Node, scope: Scope, what: str) -> int | None:
    said = scope.text(node, what)
    if said is None or not said.text:
        return None  # nothing, or a variable nobody sets
    if said.text.strip().isascii() and said.text.strip().isdigit() and len(said.text) < 7:
        return int(said.text)
    scope.problem(said.place.line, f"{what} is not a whole number")
    return None


def _deploy(node: Node, scope: Scope, what: str) -> dict[str, Any] | None:
    if not isinstance(node, Mapping):
        return None
    replicas = node.get("replicas")
    return {} if replicas is None else {"replicas": _number(replicas, scope, f"replicas in {what}")}


def _names(node: Node, scope: Scope, what: str) -> dict[str, Any]:
    """Names of a list, or the keys of a mapping (`depends_on` has both forms)."""
    if isinstance(node, Mapping):
        return {key: None if entry.node.tag == RESET else True for key, entry in node.entries.items()}
    items = node.items if isinstance(node, Sequence) else (node,)
    return {name: True for item in items if (name := scope.string(item, what))}


def _variables(node: Node, scope: Scope, what: str) -> dict[str, Setting | None]:
    """`environment` or `labels`, in either form. Of a mapping only the values are interpolated, of a list all."""
    found: dict[str, Setting | None] = {}
    for name, said in _pairs(node, scope, what):
        if said is None:
            found[name] = Dropped
        elif said.text is None and not said.raw:
            found[name] = _passed_on(name, said.place, scope)
        else:
            asked = said.expanded
            found[name] = Setting(
                name,
                said.text,
                said.raw,
                said.place,
                "environment",
                asked.default,
                asked.asks,
                asked.from_file,
                asked.unset,
            )
    return found


def _passed_on(name: str, place: Place, scope: Scope) -> Setting:
    """A variable without a value: the one who starts the project passes it on."""
    known = scope.look(name)
    if known is None:
        return Setting(name, None, "", place, asks=(name,), unset=(name,))
    return Setting(name, known.value, "", place, asks=(name,), from_file=known.place)


def _pairs(node: Node, scope: Scope, what: str) -> Iterator[tuple[str, Text | None]]:
    if isinstance(node, Mapping):
        for name, entry in node.entries.items():
            scope.work.spend()
            if entry.node.tag == RESET:
                yield name, None
            elif (said := scope.text(entry.node, f"{shown(name, 60)} in {what}")) is not None:
                yield name, said._replace(place=scope.place(entry.line))
        return
    if not isinstance(node, Sequence):
        if not (isinstance(node, Scalar) and node.is_null):
            scope.problem(node.line, f"{what} is neither a mapping nor a list, so it is left out")
        return
    for item in node.items:
        scope.work.spend()
        label = "an entry"
        if isinstance(item, Scalar):
            label = shown(item.text.partition("=")[0], 60) if "=" in item.text else label
        said = scope.text(item, f"{label} in {what}")
        if said is not None and (said.text or said.raw):
            yield _split(said)


def _split(said: Text) -> tuple[str, Text]:
    """A list's 'NAME=value' as a name and the value's text; 'NAME' alone has none."""
    raw_name, raw_equals, raw = said.raw.partition("=")
    if said.text is None:
        # A required variable is missing, so the whole item has no text; its name stands in what is written.
        return raw_name, said._replace(raw=raw)
    name, equals, value = said.text.partition("=")
    if not equals:
        return name, Text(None, "", said.place)
    expanded = said.expanded._replace(default=said.expanded.default.partition("=")[2])
    return name, Text(value, raw if raw_equals else said.raw, said.place, expanded)


def _labels(node: Node, scope: Scope, what: str) -> dict[str, str | None]:
    return {
        name: None if label is None else label.value or ""
        for name, label in _variables(node, scope, what).items()
    }


def _env_files(node: Node, scope: Scope, what: str) -> dict[str, EnvFileRef]:
    found = {}
    for item in node.items if isinstance(node, Sequence) else (node,):
        required, raw = True, False
        path = item
        if isinstance(item, Mapping):
            path = item.get("path") or Scalar("", item.line)
            required = (scope.string(item.get("required"), what) or "true").lower() != "false"
            raw = scope.string(item.get("format"), what) == "raw"
        name = scope.string(path, what)
        if name:
            full = scope.resolved(name)
            found[full] = EnvFileRef(full, required, raw, scope.place(item.line))
    return found


def _volumes(node: Node, scope: Scope, what: str) -> dict[str, Mount | None]:
    if not isinstance(node, Sequence):
        if not (isinstance(node, Scalar) and node.is_null):
            scope.problem(node.line, f"{what} is not a list, so it is left out")
        return {}
    found: dict[str, Mount | None] = {}
    for item in node.items:
        mount = (
            _long_mount(item, scope, what) if isinstance(item, Mapping) else _short_mount(item, scope, what)
        )
        if mount is not None:
            found[mount.target] = mount
    return found


def _short_mount(node: Node, scope: Scope, what: str) -> Mount | None:
    said = scope.text(node, what)
    if said is None or not said.text:
        return None
    drive = 2 if _DRIVE.match(said.text) else 0
    head, *rest = said.text[drive:].split(":")
    first = said.text[:drive] + head
    if not rest:
        return Mount("", _target(first), False, said.place)
    read_only = any(flag in ("ro", "readonly") for options in rest[1:] for flag in options.split(","))
    return Mount(_source(first, scope), _target(rest[0]), read_only, said.place)


def _long_mount(node: Mapping, scope: Scope, what: str) -> Mount | None:
    kind, source, target = (scope.string(node.get(key), what) or "" for key in ("type", "source", "target"))
    if not target and node.get("target") is not None:
        return None  # a variable nobody sets
    if not target:
        scope.problem(node.line, f"an entry of {what} has no target")
        return None
    if kind == "bind" and source and not source.startswith("~"):
        source = os.path.abspath(scope.resolved(source))
    read_only = (scope.string(node.get("read_only"), what) or "").lower() == "true"
    return Mount("" if kind == "tmpfs" else source, _target(target), read_only, scope.place(node.line))


def _target(path: str) -> str:
    return path.rstrip("/") or "/"


def _source(text: str, scope: Scope) -> str:
    """A short entry's source: a path if it looks like one, else a volume's name."""
    if text.startswith("~") or _DRIVE.match(text):
        return text
    return os.path.abspath(scope.resolved(text)) if text.startswith((".", "/")) else text


_READERS: dict[str, Callable[[Node, Scope, str], Any]] = {
    "image": _text,
    "build": _build,
    "command": _words,
    "entrypoint": _words,
    "restart": _text,
    "scale": _number,
    "deploy": _deploy,
    "profiles": _names,
    "depends_on": _names,
    "environment": _variables,
    "env_file": _env_files,
    "labels": _labels,
    "volumes": _volumes,
}


def kept(values: dict[str, Any] | None) -> Iterable[tuple[str, Any]]:
    """The entries of a merged dict that no `!reset` took away."""
    return [(key, value) for key, value in (values or {}).items() if value is not Dropped]
