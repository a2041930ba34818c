"""What an audit reads and finds, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from costmon.shim.money import Money
from costmon.sources.compose.values import Place

NOTE, WARNING, ERROR = SEVERITIES = ("note", "warning", "error")
"""From the mildest on."""

Evidence = tuple[tuple[Place, str], ...]


class Fix(NamedTuple):
    """A change to one file as a unified diff (with `path` in its headers), and the lines it changes (number from 1, new
    text); it holds no secret, not even a masked one's length."""

    path: str
    diff: str
    changes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing an audit says.

    `rule` is a stable id, such as 'interval-differs'; `evidence` are the places that show it, the first the one to name,
    each with what stands there, secrets masked; `sentence` says what is wrong, `advice` what to do, one sentence each.

    `weekly` is what leaving it costs a week, None where that cannot be said. `shares` divides it by what spends it (a
    plan of a service, or a job): of one share that several findings name only the largest counts in a sum.
    """

    rule: str
    severity: str
    sentence: str
    advice: str
    evidence: Evidence
    weekly: Money | None = None
    fix: Fix | None = None
    shares: Mapping[str, Money] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def place(self) -> Place:
        return self.evidence[0][0]


class Cadence(NamedTuple):
    """How often something runs: `shortest_us` between two runs, `weekly` runs on average, `text` as a plan is written."""

    shortest_us: int
    weekly: Fraction
    text: str


class Declared(NamedTuple):
    """A job that a file declares. `kind` says in which way ('apscheduler', 'celery', 'crontab' …); `variable` is the
    environment variable that may change it ('' = none); `cadence` None = it runs, and nobody can say how often.
    `ties` tells whether it makes paid calls (None = nothing tells), `function` is what it runs, `models` what its file
    asks."""

    job: str
    kind: str
    place: Place
    text: str
    cadence: Cadence | None
    variable: str = ""
    command: str = ""
    ties: bool | None = None
    function: str = ""
    models: tuple[str, ...] = ()


class Unread(NamedTuple):
    """What was not read, in one sentence that begins with the file; `declares`: it is a file that is there to declare what
    runs, so that the audit lacks something."""

    place: Place
    sentence: str
    declares: bool


@dataclass(frozen=True, slots=True)
class Report:
    """An audit: findings, the worst first; `weekly` what leaving them costs, one sum per currency, each share once;
    `unpriced` how many findings would cost something that nobody can say; `hints` are sentences on how to learn more."""

    findings: tuple[Finding, ...]
    files: int
    weekly: tuple[Money, ...] = ()
    unpriced: int = 0
    hints: tuple[str, ...] = ()
    patch: tuple[Fix, ...] = ()
    """All fixes together, one diff per file."""

    def count(self, severity: str) -> int:
        return sum(one.severity == severity for one in self.findings)
