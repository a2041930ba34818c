"""Who ran a job when: whether a process lived at a time, as far as its runs, its announcements and the machine tell."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from costmon.insight.schedule.expected import MINUTE
from costmon.insight.schedule.record import FILES
from costmon.insight.schedule.timeline import Seen
from costmon.insight.schedule.values import Announcement


class Owners:
    """Every process that ran a job, or said it would."""

    def __init__(
        self,
        seen: Sequence[Seen],
        announcements: Sequence[Announcement],
        alive: Mapping[str, bool | None],
        now: int,
    ) -> None:
        self.now = now
        self._alive = alive
        self._starts: dict[str, list[int]] = {}
        self._until: dict[str, int] = {}
        self._whole: set[str] = set()
        self._left: dict[str, int] = {}
        self._told: set[str] = set()
        staying = set()
        for at, run in seen:
            if not run.manual:
                self._starts.setdefault(run.owner, []).append(at)
            if run.ended_at is not None:
                end = at + run.ended_at - run.started_at
                self._until[run.owner] = max(end, self._until.get(run.owner, end))
            if run.source == "process":
                self._whole.add(run.owner)
        for one in announcements:
            if one.source in FILES:
                continue
            if one.ended_at is None:
                staying.add(one.owner)
            else:
                self._left[one.owner] = max(one.ended_at, self._left.get(one.owner, one.ended_at))
                if (
                    one.ended_at > one.seen_at
                ):  # else somebody else found it gone, some time after it was last heard of
                    self._told.add(one.owner)
        for owner in staying:
            self._left.pop(owner, None)

    def first(self, owner: str) -> int:
        return self._starts[owner][0]

    def next(self, owner: str, after: int) -> int | None:
        """When this process began its first run later than that."""
        starts = self._starts.get(owner, [])
        index = bisect_right(starts, after)
        return starts[index] if index < len(starts) else None

    def left(self, owner: str) -> int | None:
        """When this process left by itself; None if it did not, as far as anybody knows."""
        return self._left.get(owner)

    def alive(self, owner: str) -> bool | None:
        """Whether the process lives now; None if that cannot be told."""
        return False if owner in self._left else self._alive.get(owner)

    def lived(self, owner: str, at: int, other: str, overdue: int) -> bool:
        """Whether a process lived at a time at which `other` ran. Where nobody can tell, two that ran in turns before both
        live on until one of them is `overdue` after its last run."""
        starts = self._starts.get(owner, [])
        if (starts and starts[-1] > at) or self._until.get(owner, at) > at:
            return True
        if owner in self._left:
            return self._left[owner] > at
        known = self._alive.get(owner)
        if known is not None:
            return known
        in_turns = bool(starts) and other in self._starts and self.first(other) < starts[-1]
        return in_turns and self.now <= starts[-1] + overdue

    def once(self, owner: str, every: int) -> bool:
        """Whether a process ran the job once and left right after, as one that cron starts does."""
        if len(self._starts.get(owner, ())) != 1:
            return False
        if owner in self._whole:
            return True
        left = self._left.get(owner) if owner in self._told else None
        end = self._until.get(owner)
        return left is not None and end is not None and left <= end + max(MINUTE, every // 20)
