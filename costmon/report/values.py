"""What an incident report is made of, as frozen values. Times are µs since 1970 UTC, money is nano of the named currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from costmon.insight.schedule.values import Announcement, Gap, Judged, PlanOfRecord
from costmon.shim.money import Money
from costmon.shim.switch import Block
from costmon.store.incidents import AlertRow, MoveRow, OverrideRow, RefusedRow
from costmon.store.queries import NoticeRow

MISFIRE, ASKED, DAY = "misfire", "asked", "day"
"""Why a report is about its stretch of time: the latest misfire, what was asked for, or the last 24 hours."""


class Sums(NamedTuple):
    """What calls came to: `money` is the known cost in the display currency, `unpriced` calls have no price or only one of
    a part, `others` are sums no rate converts; neither is in `money`. `estimated` calls are, by estimated usage."""

    money: Money
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unpriced: int = 0
    others: tuple[Money, ...] = ()
    estimated: int = 0

    @property
    def exact(self) -> bool:
        """Whether `money` is all of it."""
        return not self.unpriced and not self.others

    def plus(self, other: Sums) -> Sums:
        kept = dict.fromkeys((money.currency for money in (*self.others, *other.others)), 0)
        for money in (*self.others, *other.others):
            kept[money.currency] += money.nano
        return Sums(
            Money(self.money.nano + other.money.nano, self.money.currency),
            self.calls + other.calls,
            self.errors + other.errors,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.unpriced + other.unpriced,
            tuple(Money(nano, currency) for currency, nano in kept.items()),
            self.estimated + other.estimated,
        )


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job as the ledger tells it: `judged` are its runs of the stretch, oldest first, each with its `sums` by its id.
    `plan` is the plan of record for people. `first_at`, `last_at`, `every_us`, `kind`, `going_on`: the misfire as it was
    recorded, if one was. `cut`: there are more runs than are here, the latest are missing."""

    name: str
    record: PlanOfRecord
    plan: str
    announced: tuple[Announcement, ...]
    judged: tuple[Judged, ...]
    missed: tuple[int, ...]
    sums: Mapping[str, Sums]
    kind: str = ""
    every_us: int | None = None
    going_on: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything read for a report. `until` is when the stretch ends, `after` until when what was done about it counts."""

    now: int
    zone: str
    currency: str
    since: int
    until: int
    after: int
    why: str
    job: str
    jobs: tuple[JobFacts, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    refusals: tuple[RefusedRow, ...] = ()
    overrides: tuple[OverrideRow, ...] = ()
    notices: tuple[NoticeRow, ...] = ()
    moves: tuple[MoveRow, ...] = ()
    blocks: tuple[Block, ...] = ()
    gaps: tuple[Gap, ...] = ()
    spent: Mapping[str, Sums] | None = None


@dataclass(frozen=True, slots=True)
class ByProcess:
    """What one process ran of a job."""

    who: str
    app: str
    plan: str
    """What it announced, for people; '' = nothing."""
    runs: int
    unplanned: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class JobIncident:
    """What became of one job. `ran` are all its runs, `extra` those nobody planned, from `first_at` to `last_at`; `planned`
    how many were asked for, None without a plan; `refused` are those costmon refused a call of, which did not fail.
    `projected`: what the unplanned runs would have cost in all by `month_end`, had nobody looked; None where it cannot be
    told."""

    facts: JobFacts
    apps: tuple[str, ...]
    runs: int
    planned: int | None
    missed: int
    failed: int
    refused: int
    ran: Sums
    unplanned: int
    extra: Sums
    first_at: int | None
    second_at: int | None
    last_at: int | None
    processes: tuple[ByProcess, ...]
    every_us: int | None
    projected: Money | None
    month_end: int


class Moment(NamedTuple):
    """Something that happened; `text` alternates between our words and names from outside (the odd ones)."""

    at: int
    kind: str
    text: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """The whole story. `quiet`: nothing happened at all."""

    facts: Facts
    jobs: tuple[JobIncident, ...]
    moments: tuple[Moment, ...]
    told_at: int | None
    """When the first alert about one of the jobs reached somebody."""
    stopped_at: int | None
    """When a person first blocked something after it began."""

    @property
    def quiet(self) -> bool:
        f = self.facts
        ran = any(job.runs or job.missed for job in self.jobs)
        moments = any(moment.kind != "gap" for moment in self.moments)
        return not (ran or moments or f.alerts or f.refusals or f.spent or f.notices)
