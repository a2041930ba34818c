"""Why a run came that the plan did not ask for: a restart, a second process, a crash loop, or nothing anybody can tell."""

from __future__ import annotations

from collections.abc import Sequence

from costmon.insight.schedule.expected import grace, tolerance
from costmon.insight.schedule.owners import Owners
from costmon.insight.schedule.timeline import Seen
from costmon.insight.schedule.values import DOUBLED, EXTRA, RESTART, RESTART_LOOP

_LOOK_AHEAD = 64


class Unplanned:
    """Explains, in their order, the runs of a job that came besides the plan.

    One restart a period is free. What is none: a run while the process before it lives; of a process that cron or the like
    starts for one run (there is nothing to restart); and one after which the old rhythm simply goes on in other hands.
    """

    def __init__(self, seen: Sequence[Seen], owners: Owners, lasts: int) -> None:
        self._seen = seen
        self._owners = owners
        self._lasts = lasts
        self._started: int | None = None

    def explain(self, index: int, before: Seen, every: int, next_due: int) -> str:
        """The verdict on `seen[index]`, which came `next_due` − at too early; `before` was the run of the plan."""
        one = self._seen[index]
        owner, old = one.run.owner, before.run.owner
        if owner == old:
            return EXTRA
        overdue = every + grace(every, self._lasts)
        if self._owners.lived(old, one.at, owner, overdue) or self._at_once(index, every):
            return DOUBLED
        again = self._started is not None and one.at - self._started < every + tolerance(every)
        if not again or self._started is None:
            self._started = one.at
        if self._goes_on(index, owner, every, next_due):
            return DOUBLED
        return RESTART_LOOP if again else RESTART

    def _at_once(self, index: int, every: int) -> bool:
        """Whether this process, or the two that ran before it and have ended, came for one run each."""
        if self._owners.once(self._seen[index].run.owner, every):
            return True
        others: list[str] = []
        for one in reversed(self._seen[max(0, index - _LOOK_AHEAD) : index]):
            if one.run.manual or one.run.ended_at is None or one.run.owner in others:
                continue
            others.append(one.run.owner)
            if len(others) == 2:
                break
        return len(others) == 2 and all(self._owners.once(other, every) for other in others)

    def _goes_on(self, index: int, owner: str, every: int, next_due: int) -> bool:
        """Whether the next planned run came when it was due before, from a process new to the job."""
        for later in self._seen[index + 1 : index + 1 + _LOOK_AHEAD]:
            if later.run.manual or later.at < next_due - tolerance(every):
                continue
            if later.at > next_due + tolerance(every):
                return False
            return later.run.owner != owner and self._owners.first(later.run.owner) == later.at
        return False
