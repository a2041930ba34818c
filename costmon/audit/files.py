"""Which files an audit reads, and their text; nothing is followed, run or waited for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_FILES = 20_000
COMPOSE, ENV, PYTHON, TOML, CRONTAB, UNIT, REQUIREMENTS, DOCKERFILE = KINDS = (
    *("compose", "env", "python", "toml", "crontab", "unit", "requirements", "dockerfile"),
)
DECLARING = frozenset({COMPOSE, ENV, CRONTAB, UNIT})
"""Kinds of files that are there to say what runs, and how often."""
_SKIPPED = frozenset(
    {
        *(".git", ".hg", ".svn", "node_modules", "bower_components", "__pycache__", "site-packages", ".tox"),
        *(".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".terraform", ".cache", ".direnv"),
    }
)
_NAMES = (
    (COMPOSE, re.compile(r"(docker-)?compose([._-].+)?\.ya?ml", re.IGNORECASE)),
    (ENV, re.compile(r"\.env([._-].+)?|.+\.env|env\.(example|sample|template)")),
    (PYTHON, re.compile(r".+\.py")),
    (REQUIREMENTS, re.compile(r"requirements.*\.(txt|in)|Pipfile|setup\.cfg")),
    (TOML, re.compile(r".+\.toml")),
    (CRONTAB, re.compile(r"crontab(\..+)?|.+\.(cron|crontab)")),
    (UNIT, re.compile(r".+\.(timer|service)")),
    (DOCKERFILE, re.compile(r"Dockerfile(\..+)?|.+\.Dockerfile|Containerfile")),
)
_TEST = re.compile(r"(^|/)(tests?/.*|test_[^/]*|[^/]*_test|conftest)\.py$")
_CRON_FOLDERS = frozenset({"cron.d", "crontabs"})


class Sighted(NamedTuple):
    """A file of a known kind."""

    path: str
    kind: str


def kind_of(path: str) -> str:
    """One of `KINDS` by the file's name, '' for what an audit does not read."""
    folder, name = os.path.split(path)
    if os.path.basename(folder) in _CRON_FOLDERS and not name.startswith("."):
        return CRONTAB
    return next((kind for kind, pattern in _NAMES if pattern.fullmatch(name)), "")


def kind_of_named(path: str) -> str:
    """As `kind_of`, for a file that somebody named: any YAML file is taken for a compose file."""
    return kind_of(path) or (COMPOSE if path.lower().endswith((".yml", ".yaml")) else "")


def walk(folder: str, lost: list[str]) -> Iterator[Sighted]:
    """Every file of a known kind under `folder`, sorted by path; symbolic links to folders are not followed, and what tools
    put there (.git, virtual environments, node_modules …) is left out, and so are Python's tests.
    Folders that cannot be looked into are put into `lost`."""
    for here, folders, names in os.walk(folder, onerror=lambda error: lost.append(str(error.filename))):
        folders[:] = sorted(
            one
            for one in folders
            if one not in _SKIPPED and not os.path.lexists(os.path.join(here, one, "pyvenv.cfg"))
        )
        for name in sorted(names):
            path = os.path.normpath(os.path.join(here, name))
            kind = kind_of(path)
            if kind and not (kind == PYTHON and _TEST.search(os.path.relpath(path, folder))):
                yield Sighted(path, kind)
