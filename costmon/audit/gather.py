"""Everything an audit reads, file by file; what cannot be read is named, and the rest goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

from costmon.audit import crontabs, files, tables, units
from costmon.audit.crontabs import Key
from costmon.audit.edits import Texts
from costmon.audit.envfiles import EnvFile, read_env
from costmon.audit.files import Sighted
from costmon.audit.python import habits, schedules, source
from costmon.audit.python.habits import Habit
from costmon.audit.services import SDKS, Member
from costmon.audit.values import Declared, Unread
from costmon.sources.compose.finding import projects
from costmon.sources.compose.reading import read
from costmon.sources.compose.texts import UnreadableError, shown, text_of
from costmon.sources.compose.values import Place, Project, Service, Setting

_PACKAGE = re.compile(r"^\s*[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_TELLING = re.compile(
    r"add_job|scheduled_job|add_schedule|\bevery\(|beat_schedule|BEAT_SCHEDULE|add_periodic_task|repeat_every|aiocron|"
    r"schedule=|\bretry|max_retries|Retrying|backoff|stamina|misfire_grace_time|sleep\(|costmon|"
    rf"^[ \t]*(import|from)[ \t].*\b({'|'.join(sorted({re.escape(one) for one in SDKS if '-' not in one}))})\b",
    re.MULTILINE,
)
"""What makes a Python file worth parsing."""
_MOST_SERVICES = _MOST_JOBS = 300
_CODE = (files.PYTHON, files.TOML, files.REQUIREMENTS, files.DOCKERFILE)


@dataclass
class Gathered:
    """`packages` are the packages and modules that a file names; `only` the files whose findings were asked for, None = all;
    `alone`: no folder was asked about, so that nothing around a file is known."""

    projects: list[Project] = field(default_factory=list)
    units: list[tuple[Project, Service]] = field(default_factory=list)
    envs: list[EnvFile] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    habits: list[Habit] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    packages: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    texts: Texts = field(default_factory=Texts)
    seen: set[str] = field(default_factory=set)
    code: set[str] = field(default_factory=set)
    roots: list[str] = field(default_factory=list)
    only: set[str] | None = None

    def known_under(self, folder: str) -> frozenset[str]:
        """The packages that files in and under a folder name."""
        return frozenset(name for path, names in self.packages if within(path, folder) for name in names)

    def members(self) -> list[Member]:
        found = [
            Member(project, service, self.known_under(service.build) if service.build else frozenset())
            for project in self.projects
            for service in project.services
        ]
        return found + [Member(project, service, unit=True) for project, service in self.units]


def gather(paths: Sequence[str], profiles: Iterable[str] = (), *, env: bool = True) -> Gathered:
    """All that is declared in some folders and files. Without `env` no env file answers anything."""
    found = Gathered()
    asked: set[str] = set()
    for path in paths:
        if os.path.isdir(path):
            found.roots.append(path)
            _folder(found, path, tuple(profiles), env)
        else:
            asked.update(_file(found, path, tuple(profiles), env))
    found.only = None if found.roots else asked
    return found


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder's or lies under it."""
    full, top = os.path.abspath(path), os.path.abspath(folder)
    return full == top or full.startswith(top.rstrip(os.sep) + os.sep)


def _folder(found: Gathered, folder: str, profiles: tuple[str, ...], env: bool) -> None:
    lost: list[str] = []
    for number, sighted in enumerate(files.walk(folder, lost)):
        if number == files.MAX_FILES:
            sentence = f"{shown(folder)} has more than {files.MAX_FILES:,} such files; the rest is not read."
            found.unread.append(Unread(Place(folder, 1), sentence, True))
            break
        _one(found, sighted, env)
    for one in lost:
        found.unread.append(Unread(Place(one, 1), f"{shown(one)} cannot be looked into.", True))
    for group in projects(folder):
        _project(found, [os.path.normpath(path) for path in group], profiles, env)


def _file(found: Gathered, path: str, profiles: tuple[str, ...], env: bool) -> set[str]:
    """Reads one file in its context; the files whose findings count."""
    path = os.path.normpath(path)
    kind = files.kind_of_named(path)
    if kind == files.COMPOSE:
        (group,) = projects(path)
        project = _project(found, group, profiles, env)
        found.seen.add(path)
        named = {
            setting.place.path for service in project.services for setting in service.environment.values()
        }
        return {*project.files, *named, *filter(None, [project.env_file])}
    if kind == files.ENV:
        # What is production's is seen beside it.
        folder = os.path.dirname(path) or "."
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if files.kind_of(name) == files.ENV:
                _one(found, Sighted(os.path.normpath(os.path.join(folder, name)), files.ENV), True)
        if any(files.kind_of(name) == files.COMPOSE for name in os.listdir(folder)):
            for group in projects(folder):
                if all(os.path.dirname(os.path.abspath(one)) == os.path.abspath(folder) for one in group):
                    _project(found, group, profiles, env)
        return {path}
    _one(found, Sighted(path, kind), env)
    return {path}


def _project(found: Gathered, group: list[str], profiles: tuple[str, ...], env: bool) -> Project:
    project = read(group, profiles=profiles)
    project = project if env else _without_env(project)
    if len(project.services) > _MOST_SERVICES:
        place = Place(project.files[0], 1)
        sentence = f"{shown(place.path)} has more than {_MOST_SERVICES} services; the rest is not judged."
        found.unread.append(Unread(place, sentence, True))
        project = replace(project, services=project.services[:_MOST_SERVICES])
    found.projects.append(project)
    found.seen.update(project.files)
    for problem in project.problems:
        lost = "not read" in problem.sentence or not project.services
        found.unread.append(Unread(problem.place, problem.sentence, lost))
    return project


def _without_env(project: Project) -> Project:
    """The project as it is where no env file exists: every variable has its default."""

    def bare(setting: Setting) -> Setting:
        if setting.from_file is None:
            return setting
        return setting._replace(value=setting.default or None, from_file=None)

    services = [
        replace(
            service,
            environment=MappingProxyType(
                {name: bare(one) for name, one in service.environment.items() if one.origin != "env_file"}
            ),
        )
        for service in project.services
    ]
    return replace(project, services=tuple(services), env_file="")


def _one(found: Gathered, sighted: Sighted, env: bool) -> None:
    if sighted.path in found.seen or sighted.kind == files.COMPOSE or (sighted.kind == files.ENV and not env):
        return
    found.seen.add(sighted.path)
    try:
        text = text_of(sighted.path)
        found.texts.put(sighted.path, text)
        _readers[sighted.kind](found, sighted.path, text)
    except UnreadableError as error:
        found.unread.append(Unread(Place(sighted.path, 1), str(error), sighted.kind in files.DECLARING))
    if sighted.kind in _CODE:
        found.code.add(sighted.path)


def _declare(found: Gathered, path: str, jobs: Iterable[Declared]) -> None:
    """Takes up the jobs of a file, as many as a person would write."""
    taken = list(islice(jobs, _MOST_JOBS + 1))
    if len(taken) > _MOST_JOBS:
        sentence = f"{shown(path)} declares more than {_MOST_JOBS} jobs; the rest is not judged."
        found.unread.append(Unread(Place(path, 1), sentence, True))
    found.declared.extend(taken[:_MOST_JOBS])


def _env(found: Gathered, path: str, text: str) -> None:
    env = read_env(path, text)
    found.envs.append(env)
    found.unread.extend(Unread(one.place, one.sentence, False) for one in env.problems)


def _python(found: Gathered, path: str, text: str) -> None:
    if _TELLING.search(text) is None:
        return
    tree = source.parse(path, text)
    if tree is None:
        raise UnreadableError(f"{shown(path)} is no Python that can be read.")
    try:
        found.packages.append((path, tree.roots))
        _declare(found, path, schedules.declared(tree))
        found.habits.extend(islice(habits.habits(tree, spends=bool(tree.roots & SDKS)), _MOST_JOBS))
    except RecursionError:
        raise UnreadableError(f"{shown(path)} is nested too deep to be read.") from None


def _toml(found: Gathered, path: str, text: str) -> None:
    _declare(found, path, tables.declared(path, text))
    found.packages.append((path, tables.packages(text)))


def _requirements(found: Gathered, path: str, text: str) -> None:
    found.packages.append((path, frozenset(name.lower() for name in _PACKAGE.findall(text))))


def _dockerfile(found: Gathered, path: str, text: str) -> None:
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    found.packages.append((path, frozenset({"costmon"} if any("costmon" in line for line in lines) else ())))


def _unit(found: Gathered, path: str, text: str) -> None:
    lines = units.read_lines(text)
    if not units.is_unit(lines):
        return
    plans = list(islice(units.timers(path, lines), _MOST_JOBS + 1))
    _declare(found, path, plans)
    for one in plans:
        if one.cadence is None:
            sentence = f"{shown(path)} line {one.place.line} has a plan that cannot be read."
            found.unread.append(Unread(one.place, sentence, False))
    service = units.service(path, lines)
    if service is not None:
        found.units.append((Project(os.path.basename(path), (path,), (service,)), service))


def _crontab(found: Gathered, path: str, text: str) -> None:
    jobs, unread = crontabs.declared(path, text)
    found.keys.extend(islice(crontabs.keys(path, text), _MOST_JOBS))
    _declare(found, path, jobs)
    found.unread.extend(unread)


_readers = {
    files.ENV: _env,
    files.PYTHON: _python,
    files.TOML: _toml,
    files.REQUIREMENTS: _requirements,
    files.DOCKERFILE: _dockerfile,
    files.UNIT: _unit,
    files.CRONTAB: _crontab,
}
