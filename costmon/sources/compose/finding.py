"""Finding the compose projects under a folder.

What makes a project, folder by folder:

- the base Compose itself would take (compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml, the first of them)
  with its override file, if there is one;
- every other compose file (docker-compose.prod.yml, docker-compose.fixed.yml …) is a variant. If it changes services of the
  base without saying what they run (no image, build or extends of their own), it is an override: base and variant are a
  project together, and so without the automatic override, as `docker compose -f base -f variant` would run it. If all of
  its services say what they run, it is a project of its own;
- a second file by one of the base names (both compose.yaml and docker-compose.yml) is left to Compose's order, so it is not
  a project: Compose would never start it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from costmon.sources.compose.names import BASES, COMPOSE_NAME, OVERRIDES, base_in, override_in
from costmon.sources.compose.nodes import Mapping, Node, NotYamlError, Scalar, parse
from costmon.sources.compose.texts import UnreadableError, text_of
from costmon.sources.compose.work import TooMuchError, Work

_SKIPPED = frozenset({
    "node_modules", "venv", "env", "virtualenv", "site-packages", "__pycache__", "vendor", "dist", "build", "target",
})  # fmt: skip
_MOST_FOLDERS = 20_000
_DEEPEST = 12
_SAYS_WHAT_RUNS = ("image", "build", "extends")


def projects(path: str, *, variants: bool = True) -> list[list[str]]:
    """The compose projects at a file, in a folder and under it, each as the files `read` wants, sorted by path.

    Hidden folders, environments and package folders are left out, links to folders are not followed, and the search ends
    after 12 levels or 20,000 folders. A file is a project with what belongs to it. Without `variants` a folder with a base
    has that project only, as `docker compose up` has. Nothing is raised: what cannot be looked into holds no project.
    """
    if not os.path.isdir(path):
        return [[path, *(override_in(path) if os.path.basename(path) in BASES else [])]]
    return [project for folder, names in _folders(path) for project in _of_folder(folder, names, variants)]


def _folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """Folders that hold compose files, with the files' names; a folder before those in it, otherwise by name."""
    waiting = [(top, 0)]
    looked = 0
    while waiting and looked < _MOST_FOLDERS:
        folder, depth = waiting.pop()
        looked += 1
        names, inner = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not _skipped(entry):
                            inner.append(entry.path)
                    elif COMPOSE_NAME.fullmatch(entry.name) and os.path.isfile(entry.path):
                        names.append(entry.name)
        except OSError:
            continue
        if depth < _DEEPEST:
            waiting.extend((child, depth + 1) for child in sorted(inner, reverse=True))
        if names:
            yield folder, sorted(names)


def _skipped(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in _SKIPPED:
        return True
    return os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _of_folder(folder: str, names: list[str], variants: bool) -> list[list[str]]:
    base = base_in(folder)
    found = [] if base is None else [[base, *override_in(base)]]
    if found and not variants:
        return found
    changed = None
    for name in names:
        path = os.path.join(folder, name)
        if name in BASES or (name in OVERRIDES and base is not None):
            continue
        if base is not None:
            changed = _services(base) if changed is None else changed
            if _overrides(_services(path), changed):
                found.append([base, path])
                continue
        found.append([path])
    return found


def _overrides(services: dict[str, bool], base: dict[str, bool]) -> bool:
    """Whether a file needs its base: a service of it says not what it runs, and the base has that service."""
    return any(not complete and name in base for name, complete in services.items())


def _services(path: str) -> dict[str, bool]:
    """The services a file names, and whether each says what it runs. Nothing of a file that cannot be read."""
    try:
        roots = parse(text_of(path), Work()).documents
    except (UnreadableError, NotYamlError, TooMuchError):
        return {}
    found: dict[str, bool] = {}
    for root in roots:
        services = root.get("services") if isinstance(root, Mapping) else None
        for name, (_, node) in services.entries.items() if isinstance(services, Mapping) else ():
            found[name] = _complete(node) or found.get(name, False)
    return found


def _complete(service: Node) -> bool:
    if not isinstance(service, Mapping):
        return False
    parts = (service.get(key) for key in _SAYS_WHAT_RUNS)
    return any(part is not None and not (isinstance(part, Scalar) and part.is_null) for part in parts)
