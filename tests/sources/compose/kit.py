"""Compose projects for tests: files written into a folder, and what the reader makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from costmon.sources.compose.reading import read
from costmon.sources.compose.values import Project, Service

INCIDENT = Path(__file__).parents[2] / "data" / "incident"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Writes files, by their path in the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return folder


def project(folder: Path, files: Mapping[str, str], *paths: str, **asked: object) -> Project:
    """The project of files written into `folder`: the folder's own, or that of the `paths` named."""
    write(folder, files)
    return read([str(folder / path) for path in paths] or [str(folder)], **asked)  # type: ignore[arg-type]


def service(found: Project, name: str) -> Service:
    return next(service for service in found.services if service.name == name)


def values(found: Project, name: str) -> dict[str, str | None]:
    """A service's environment as its container gets it."""
    return {key: setting.value for key, setting in service(found, name).environment.items()}


def sentences(found: Project) -> list[str]:
    return [problem.sentence for problem in found.problems]


def incident(folder: Path, *, fixed: bool = False, doubled: bool = False) -> Path:
    """The incident's compose file in a folder of its own, as docker-compose.yml."""
    shutil.copy(INCIDENT / f"docker-compose{'.fixed' * fixed}.yml", folder / "docker-compose.yml")
    if doubled:
        shutil.copy(INCIDENT / "doubled" / ".env", folder / ".env")
    return folder
