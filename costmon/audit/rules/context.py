"""What every rule gets to see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from costmon.audit.costs import Pricing
from costmon.audit.crontabs import Key
from costmon.audit.edits import Texts
from costmon.audit.envfiles import EnvFile
from costmon.audit.python.habits import Habit
from costmon.audit.secrets import shown
from costmon.audit.services import Member
from costmon.audit.values import Cadence, Declared
from costmon.shim.jobs.intervals import spell_interval
from costmon.sources.compose.values import Project


@dataclass(frozen=True)
class Context:
    """`members` are all services of all `projects`; `scope` gives the folder that a file's jobs belong to, `spends` whether
    anything in a folder makes calls (None = nothing tells); `held` are the plans of record by job, in µs."""

    projects: tuple[Project, ...]
    members: tuple[Member, ...]
    envs: tuple[EnvFile, ...]
    declared: tuple[Declared, ...]
    habits: tuple[Habit, ...]
    keys: tuple[Key, ...]
    texts: Texts
    pricing: Pricing
    floor_us: int
    held: Mapping[str, int]
    scope: Callable[[str], str]
    spends: Callable[[str], bool | None]

    def of(self, project: Project) -> list[Member]:
        """The services of one project."""
        return self._by_project.get(id(project), [])

    @cached_property
    def _by_project(self) -> dict[int, list[Member]]:
        found: dict[int, list[Member]] = {}
        for member in self.members:
            found.setdefault(id(member.project), []).append(member)
        return found


def named(members: tuple[Member, ...] | list[Member], joined: str = "and") -> str:
    """'backend, scheduler and worker'."""
    names = list(dict.fromkeys(member.title for member in members))
    if len(names) > 6:
        names = [*names[:5], f"{len(names) - 5} more"]
    return f" {joined} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def runs(weekly: Fraction) -> str:
    """'2,016'."""
    return f"{round(weekly):,}"


def spoken(cadence: Cadence) -> str:
    """'every 5m' or 'by cron */5 * * * *'."""
    return cadence.text if cadence.text.startswith("every") else f"by {cadence.text}"


def table_of(job: str) -> str:
    """The job's table in config.toml: [jobs.trade], or [jobs."a b"]."""
    name = shown(job).replace('"', "").replace("\\", "") or "NAME"
    return f"[jobs.{name}]" if re.fullmatch("[A-Za-z0-9_-]+", name) else f'[jobs."{name}"]'


def allowing(job: str, us: int) -> str:
    """What config.toml says to let a job run that often."""
    return f'{table_of(job)} every = "{spell(us)}"'


def spell(us: int) -> str:
    return spell_interval(us)
