"""A compose project as it would run: files merged, `include` and `extends` followed, variables and env files resolved."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from costmon.sources.compose.envfile import EnvFile, read_env
from costmon.sources.compose.interpolation import Known, Lookup
from costmon.sources.compose.layers import Base, Draft, EnvFileRef, drafts, kept
from costmon.sources.compose.names import base_in, is_base, override_in
from costmon.sources.compose.nodes import Mapping as Tree
from costmon.sources.compose.nodes import Node, NotYamlError, Scalar, parse
from costmon.sources.compose.nodes import Sequence as Items
from costmon.sources.compose.scope import Scope
from costmon.sources.compose.texts import UnreadableError, real, shown, text_of
from costmon.sources.compose.values import Place, Problem, Project, Service, Setting
from costmon.sources.compose.work import TooMuchError, Work

_DEEPEST = 20
_MOST_FILES = 100
_MOST_PROBLEMS = 100
_Drafts = dict[str, Draft]


def read(
    paths: Sequence[str], *, profiles: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> Project:
    """The project of some compose files: the first is the base, the others override it in turn.

    A folder stands for the files Compose would take there (COMPOSE_FILE of its `.env`, else the first of compose.yaml,
    compose.yml, docker-compose.yml, docker-compose.yaml). A folder, or a base file by one of these names alone, also takes
    up the folder's compose.override or docker-compose.override file; `Project.files` says so.

    Variables are answered by `environ` and then by the `.env` beside the first file. Without `environ` the shell's are not
    asked, so that the same files read the same everywhere. Without `profiles` COMPOSE_PROFILES of these two holds; '*'
    asks for all. What cannot be read is a problem, never an error.
    """
    return _Reading(profiles, environ).project(list(paths))


@dataclass(frozen=True, slots=True)
class _World:
    """A project's folder and who answers its variables; an included project has one of its own."""

    folder: str
    look: Lookup


@dataclass(slots=True)
class _Reading:
    """One reading of one project. What it may cost is shared by all its files."""

    profiles: Iterable[str]
    environ: Mapping[str, str] | None
    work: Work = field(default_factory=Work)
    problems: list[Problem] = field(default_factory=list)
    _documents: dict[str, list[Node]] = field(default_factory=dict)
    _layers: dict[tuple[str, str, Lookup], _Drafts] = field(default_factory=dict)
    _homes: dict[str, _World] = field(default_factory=dict)

    def project(self, paths: list[str]) -> Project:
        start = paths[0] if paths else "."
        folder = start if os.path.isdir(start) else os.path.dirname(start)
        dotenv = os.path.join(folder, ".env")
        look = self._environment([dotenv] if os.path.exists(dotenv) else [], self._shell)
        world = _World(folder, look)
        files = self._files(paths, world)
        merged, name = self._merged(files, world, ())
        asked = tuple(self.profiles) or _listed(look("COMPOSE_PROFILES"))
        services = tuple(
            self._service(draft, self._homes.get(draft.name, world), asked) for draft in merged.values()
        )
        said = look("COMPOSE_PROJECT_NAME")
        return Project(
            _project_name(said.value if said else "", name, folder),
            tuple(files),
            services,
            dotenv if os.path.exists(dotenv) else "",
            self._told(),
        )

    def _told(self) -> tuple[Problem, ...]:
        """Each problem once, the first of them if there are very many."""
        told = tuple(dict.fromkeys(self.problems))
        if len(told) <= _MOST_PROBLEMS:
            return told
        place = told[_MOST_PROBLEMS].place
        rest = Problem(
            place, f"{shown(place.path)}: {len(told) - _MOST_PROBLEMS:,} more problems are not listed."
        )
        return (*told[:_MOST_PROBLEMS], rest)

    def _shell(self, name: str) -> Known | None:
        value = None if self.environ is None else self.environ.get(name)
        return None if value is None else Known(value)

    def _environment(self, env_files: list[str], above: Lookup) -> Lookup:
        """Who answers variables: `above`, then the env files, the later before the earlier."""
        known: dict[str, Known] = {}
        for path in env_files:
            before = dict(known)
            read_in = read_env(path, lambda name, before=before: above(name) or before.get(name), self.work)  # type: ignore[misc]
            self.problems.extend(read_in.problems)
            for line in read_in.lines.values():
                if line.expanded.text is not None:
                    known[line.name] = Known(line.expanded.text, Place(path, line.line))
        return lambda name: above(name) or known.get(name)

    def _files(self, paths: list[str], world: _World) -> list[str]:
        """The files to read; see `read`."""
        if len(paths) != 1:
            return paths
        given = paths[0]
        if not os.path.isdir(given):
            return [given, *override_in(given)] if is_base(given) else paths
        named = world.look("COMPOSE_FILE")
        if named is not None and named.value:
            separator = world.look("COMPOSE_PATH_SEPARATOR")
            split = named.value.split(separator.value if separator and separator.value else os.pathsep)
            return [os.path.normpath(os.path.join(given, path)) for path in split if path]
        base = base_in(given)
        if base is None:
            self._failed(given, "holds no compose file", end="")
            return []
        return [base, *override_in(base)]

    def _failed(self, path: str, what: str, *, line: int = 1, end: str = "; it is not read") -> None:
        self.problems.append(Problem(Place(path, line), f"{shown(path)} {what}{end}."))

    # Files

    def _merged(self, files: list[str], world: _World, chain: tuple[str, ...]) -> tuple[_Drafts, str]:
        """The services of some files merged in turn, with what they include; and the project's name, if one is given."""
        merged: _Drafts = {}
        includes: list[tuple[Node, Scope]] = []
        name = ""
        for path in files:
            scope = Scope(path, world.folder, world.look, self.work, self.problems)
            try:
                for root in self._roots(path):
                    self._over(merged, root, scope)
                    name = scope.string(root.get("name"), "name") or name
                    if (include := root.get("include")) is not None:
                        includes.append((include, scope))
            except TooMuchError as error:
                self._failed(path, str(error))
        for node, scope in includes:
            try:
                self._include(node, scope, merged, (*chain, *map(real, files)))
            except TooMuchError as error:
                self._failed(
                    scope.path, str(error), line=node.line, end="; the rest of its include is not read"
                )
        return merged, name

    def _over(self, merged: _Drafts, root: Tree, scope: Scope) -> None:
        """Puts one document's services over those of the files before."""
        layer = drafts(root, scope)
        for name in list(layer):
            over = self._extended(layer[name], layer, scope, ())
            merged[name] = merged[name].under(over) if name in merged else over

    def _roots(self, path: str) -> list[Tree]:
        """A file's documents, each a layer over the one before."""
        full = real(path)
        if full not in self._documents:
            self._documents[full] = self._parsed(path) if len(self._documents) < _MOST_FILES else []
        return [root for root in self._documents[full] if isinstance(root, Tree)]

    def _parsed(self, path: str) -> list[Node]:
        try:
            tree = parse(text_of(path), self.work)
        except UnreadableError as error:
            self.problems.append(Problem(Place(path, 1), str(error)))
        except NotYamlError as error:
            sentence = f"{shown(path)} line {error.line} {error.what}; the file is not read."
            self.problems.append(Problem(Place(path, error.line), sentence))
        except TooMuchError as error:
            self._failed(path, str(error))
        else:
            for fault in tree.faults:
                self.problems.append(
                    Problem(Place(path, fault.line), f"{shown(path)} line {fault.line} {fault.what}.")
                )
            if not any(isinstance(root, Tree) for root in tree.documents):
                self._failed(path, "holds no mapping, so it is no compose file", end="")
            return tree.documents
        return []

    # extends

    def _extended(self, draft: Draft, layer: _Drafts, scope: Scope, chain: tuple[str, ...]) -> Draft:
        """The draft over the service it extends, which may extend another."""
        base = draft.base
        if base is None:
            return draft
        self.work.spend(10)
        self.work.check_time()
        file = base.file or scope.path
        key = f"{real(file)}\0{base.service}"
        mine = f"{real(scope.path)}\0{draft.name}"
        if key in chain or key == mine:
            loop = " → ".join(shown(step.split("\0")[1], 40) for step in (*chain, mine, key)[-4:])
            return self._alone(draft, base, f"extends itself in a circle ({loop})")
        if len(chain) >= _DEEPEST:
            return self._alone(draft, base, f"extends more than {_DEEPEST} services in a row")
        found, others, where = layer.get(base.service), layer, scope
        if base.file and not os.path.exists(file):
            return self._alone(draft, base, f"extends one of {shown(file)}, which does not exist")
        if base.file:
            where = Scope(file, os.path.dirname(file), scope.look, self.work, self.problems)
            others = self._layer(where)
            found = others.get(base.service)
        if found is None:
            what = f"extends {shown(base.service, 60)}, which {shown(file)} does not have"
            return self._alone(draft, base, what)
        below = self._extended(found, others, where, (*chain, mine))
        return Draft(draft.name, draft.place, below.under(draft).parts)

    def _layer(self, scope: Scope) -> _Drafts:
        """A file's services, for others to extend; its documents are merged."""
        key = (real(scope.path), scope.folder, scope.look)
        if key not in self._layers:
            layer = self._layers[key] = {}
            for root in self._roots(scope.path):
                for name, other in drafts(root, scope).items():
                    layer[name] = layer[name].under(other) if name in layer else other
        return self._layers[key]

    def _alone(self, draft: Draft, base: Base, what: str) -> Draft:
        place = base.place
        sentence = f"{shown(place.path)} line {place.line}: the service {shown(draft.name, 60)} {what}."
        self.problems.append(Problem(place, sentence))
        return Draft(draft.name, draft.place, draft.parts)

    # include

    def _include(self, node: Node, scope: Scope, merged: _Drafts, chain: tuple[str, ...]) -> None:
        """Adds the services of other projects; a name that is taken already stays with whom it is."""
        for item in node.items if isinstance(node, Items) else (node,):
            self.work.check_time()
            paths, folder, env_files = self._included(item, scope)
            if not paths:
                continue
            if any("://" in path or path.startswith("git@") for path in paths):
                scope.problem(item.line, "include names a remote file, which is not fetched")
                continue
            paths = [scope.resolved(path) for path in paths]
            if missing := next((path for path in paths if not os.path.exists(path)), None):
                scope.problem(item.line, f"include names {shown(missing)}, which does not exist")
                continue
            if any(real(path) in chain for path in paths):
                scope.problem(item.line, f"include goes in a circle: {shown(paths[0])} includes this file")
                continue
            if len(chain) >= _DEEPEST:
                scope.problem(item.line, f"include goes deeper than {_DEEPEST} files")
                continue
            home = scope.resolved(folder) if folder else os.path.dirname(paths[0])
            default = os.path.join(home, ".env")
            own = [scope.resolved(path) for path in env_files] or [default] * os.path.exists(default)
            world = _World(home, self._environment(own, scope.look))
            for name, draft in self._merged(paths, world, chain)[0].items():
                if name in merged:
                    scope.problem(
                        item.line, f"include brings a second service {shown(name, 60)}; the first is kept"
                    )
                else:
                    merged[name] = draft
                    self._homes.setdefault(name, world)

    def _included(self, item: Node, scope: Scope) -> tuple[list[str], str, list[str]]:
        """An entry's files, its project folder ('' = the first file's) and its env files."""
        if not isinstance(item, Tree):
            return _strings(item, scope), "", []
        folder = scope.string(item.get("project_directory"), "project_directory") or ""
        return _strings(item.get("path"), scope), folder, _strings(item.get("env_file"), scope)

    # Services

    def _service(self, draft: Draft, world: _World, asked: tuple[str, ...]) -> Service:
        profiles = tuple(name for name, _ in kept(draft.value("profiles", None)))
        restart = draft.parts.get("restart")
        build = draft.value("build", None) or {}
        replicas = dict(kept(draft.value("deploy", None))).get("replicas", 1)
        return Service(
            name=draft.name,
            place=draft.place,
            image=draft.value("image", ""),
            build=build.get("context") or build.get("default", ""),
            command=draft.value("command", ""),
            restart=draft.value("restart", ""),
            restart_place=restart.place if restart and restart.value else None,
            profiles=profiles,
            active=not profiles or "*" in asked or not set(profiles).isdisjoint(asked),
            environment=MappingProxyType(self._variables(draft, world)),
            mounts=tuple(mount for _, mount in kept(draft.value("volumes", None))),
            labels=MappingProxyType(dict(kept(draft.value("labels", None)))),
            scale=draft.value("scale", replicas),
            entrypoint=draft.value("entrypoint", ""),
            depends_on=tuple(name for name, _ in kept(draft.value("depends_on", None))),
        )

    def _variables(self, draft: Draft, world: _World) -> dict[str, Setting]:
        """Env files in turn, then `environment` over them."""
        own: dict[str, Setting] = dict(kept(draft.value("environment", None)))
        found: dict[str, Setting] = {}

        def answer(name: str) -> Known | None:
            if (known := world.look(name)) is not None:
                return known
            for setting in (own.get(name), found.get(name)):
                if setting is not None and setting.value is not None:
                    return Known(setting.value, setting.place)
            return None

        for _, ref in kept(draft.value("env_file", None)):
            for line in self._env_file(ref, answer, draft.name).lines.values():
                asked = line.expanded
                found[line.name] = Setting(
                    line.name, asked.text, line.raw, Place(ref.path, line.line), "env_file", asked.default, asked.asks,
                    asked.from_file, asked.unset,
                )  # fmt: skip
        return {**found, **own}

    def _env_file(self, ref: EnvFileRef, answer: Lookup, service: str) -> EnvFile:
        try:
            self.work.check_time()
        except TooMuchError as error:
            self._failed(ref.path, str(error))
            return EnvFile(ref.path, {})
        if os.path.exists(ref.path):
            found = read_env(ref.path, answer, self.work, raw=ref.raw)
            self.problems.extend(found.problems)
            return found
        if ref.required:
            place = ref.place
            what = (
                f"the service {shown(service, 60)} wants the env file {shown(ref.path)}, which does not exist"
            )
            self.problems.append(Problem(place, f"{shown(place.path)} line {place.line}: {what}."))
        return EnvFile(ref.path, {})


def _strings(node: Node | None, scope: Scope) -> list[str]:
    if node is None:
        return []
    items = node.items if isinstance(node, Items) else (node,)
    return [text for item in items if isinstance(item, Scalar) and (text := scope.string(item, "include"))]


def _listed(known: Known | None) -> tuple[str, ...]:
    return () if known is None else tuple(name for part in known.value.split(",") if (name := part.strip()))


def _project_name(said: str, named: str, folder: str) -> str:
    """As Compose: COMPOSE_PROJECT_NAME, else the file's `name`, else the folder's, in lower case without odd characters."""
    text = said or named or os.path.basename(os.path.abspath(folder))
    return re.sub(r"^[_-]+", "", re.sub(r"[^a-z0-9_-]", "", text.lower())) or "compose"
