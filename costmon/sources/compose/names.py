"""Which files are compose files, and which of a folder's make one project."""

from __future__ import annotations

import os
import re

BASES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order Compose looks for them; the first that exists is taken."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
COMPOSE_NAME = re.compile(r"(?:docker-)?compose(?:[._-][\w.-]*)?\.ya?ml", re.IGNORECASE)


def is_base(path: str) -> bool:
    """Whether Compose would take the file by itself."""
    return os.path.basename(path) in BASES


def base_in(folder: str) -> str | None:
    """The compose file Compose takes in a folder, None if there is none."""
    paths = (os.path.join(folder, name) for name in BASES)
    return next((path for path in paths if os.path.isfile(path)), None)


def override_in(base: str) -> list[str]:
    """The override file Compose takes up by itself with a base file: a list of none or one path."""
    paths = (os.path.join(os.path.dirname(base), name) for name in OVERRIDES)
    return [path for path in paths if os.path.isfile(path)][:1]
