"""What judging any plan needs to know of a job, and what it finds besides the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from costmon.insight.schedule.expected import Excuses
from costmon.insight.schedule.owners import Owners
from costmon.insight.schedule.record import ALWAYS
from costmon.insight.schedule.timeline import Seen, Timeline
from costmon.insight.schedule.values import Announcement, Gap


@dataclass(frozen=True, slots=True)
class Setting:
    """One job at `now`: its runs in order, who ran it, when nobody watched; `lasts` is the 95th percentile of how long runs
    last, `since` how far back is looked. `excuses` are by the clock as it is set now, `gaps` and
    `first_said` (when anybody first announced the job) as it was set then."""

    now: int
    seen: Sequence[Seen]
    timeline: Timeline
    owners: Owners
    excuses: Excuses
    gaps: Sequence[Gap]
    announcements: Sequence[Announcement]
    lasts: int
    zone: str
    since: int = ALWAYS
    first_said: int = ALWAYS


@dataclass(slots=True)
class Found:
    """Planned times while somebody watched, of these the ones that were missed, when the next run is planned, and whether
    the latest is overdue."""

    planned: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    next_at: int | None = None
    overdue: bool = False
