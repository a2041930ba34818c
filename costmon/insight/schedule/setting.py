"""What judging any plan needs to know of a job, and what it finds besides the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from costmon.insight.schedule.expected import Excuses
from costmon.insight.schedule.owners import Owners
from costmon.insight.schedule.record import ALWAYS, FILES
from costmon.insight.schedule.timeline import Seen, Timeline
from costmon.insight.schedule.values import Announcement, Gap


@dataclass(frozen=True, slots=True)
class Setting:
    """One job at `now`: its runs in order, who ran it, when nobody watched; `lasts` is the 95th percentile of how long runs
    last, `since` how far back is looked. `excuses` are by the clock as it is set now, `gaps` and
    `first_said` (when anybody first announced the job) as it was set then. `held`: the config asks for the job, whoever
    announces it."""

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
    held: bool = False

    def deserted(self, end: int) -> int | None:
        """Since when nobody announces the job any more, as all who did until `end` have left, or are known to be dead (since
        they were last heard of, as far as anybody knows); None if somebody does."""
        told = [one for one in self.announcements if one.first_at < end]
        if not told or self.held or any(self.announces(one, end) for one in told):
            return None
        return max(one.seen_at if one.ended_at is None else one.ended_at for one in told)

    def announces(self, one: Announcement, at: int) -> bool:
        """Whether an announcement holds at a time, as far as anybody can tell."""
        if one.ended_at is not None and one.ended_at <= at:
            return False
        return one.source in FILES or at < self.now or self.owners.alive(one.owner) is not False


@dataclass(slots=True)
class Found:
    """Planned times while somebody watched, of these the ones that were missed, when the next run is planned, and whether
    the latest is overdue."""

    planned: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    next_at: int | None = None
    overdue: bool = False
