"""What a compose project says, as frozen values; every value knows its file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class Place(NamedTuple):
    """A line of a file; `line` counts from 1."""

    path: str
    line: int


class Setting(NamedTuple):
    """One variable of a service's environment.

    `value` is what the container gets, interpolated; None = nobody sets it (`VAR` without a value that the shell would pass
    on, or a required one that is missing). `raw` is how it is written, `default` the default inside `${NAME:-default}` ('' =
    none) – for `a${B:-c}d`, what the value is when nobody sets anything: 'acd' –, `asks` the names its interpolation names,
    in the order written, `unset` those of them that had to answer and that nobody sets (they have no default either: the
    shell of whoever starts the project may set them). `place` is where the value is written, `origin` one of 'environment',
    'env_file'; `from_file` the line of the `.env` that answered the interpolation first, if one did.

    A value may be a secret: it is not in the repr.
    """

    name: str
    value: str | None
    raw: str
    place: Place
    origin: str = "environment"
    default: str = ""
    asks: tuple[str, ...] = ()
    from_file: Place | None = None
    unset: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Setting({self.name!r}, {self.place.path}:{self.place.line})"


class Mount(NamedTuple):
    """A volume of a service: `source` on the host as a full path ('' = anonymous, a bare name = a named volume, '~/…' is
    left as written)."""

    source: str
    target: str
    read_only: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Service:
    """One service after overrides, `extends` and interpolation. `active`: no profile, or one of those asked for. `scale` is
    how many containers run it; 0 = none, although it is active."""

    name: str
    place: Place
    image: str = ""
    build: str = ""
    """The folder of its build context, '' without one."""
    command: str = ""
    restart: str = ""
    restart_place: Place | None = None
    profiles: tuple[str, ...] = ()
    active: bool = True
    environment: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    scale: int = 1
    entrypoint: str = ""
    depends_on: tuple[str, ...] = ()


class Problem(NamedTuple):
    """What could not be read or resolved, in one sentence without any value of a variable."""

    place: Place
    sentence: str


@dataclass(frozen=True, slots=True)
class Project:
    """One compose project: the files it was read from, in order (an override that was taken up by itself is among them;
    files that `include` and `extends` name are not), and its `.env` ('' = there is none)."""

    name: str
    files: tuple[str, ...]
    services: tuple[Service, ...]
    env_file: str = ""
    problems: tuple[Problem, ...] = ()
