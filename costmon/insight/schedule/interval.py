"""Runs against a plan that counts from the run before: 'every 60m'.

Each run of the plan is due a period after the one before it. A loop that waits after its work comes later by as long as the
work lasts, and that is no delay; a scheduler that keeps to a grid comes back to it after a run that was late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from costmon.insight.schedule.expected import MOST, due_after, grace, jitter, shifted, tolerance
from costmon.insight.schedule.plans import parse
from costmon.insight.schedule.record import ALWAYS, FILES, NEVER, Era
from costmon.insight.schedule.setting import Found, Setting
from costmon.insight.schedule.timeline import Seen
from costmon.insight.schedule.unplanned import Unplanned
from costmon.insight.schedule.values import (
    CATCH_UP,
    CLOCK,
    DOUBLED,
    EARLY,
    EXPECTED,
    LATE,
    RESTART,
    RESTART_LOOP,
)

_ALONE = 3


class _Anchor(NamedTuple):
    """The last run of the plan: when it counts as begun, by the clock as it is now and as it was then."""

    base: int
    wall: int
    seen: Seen


class Interval:
    """Judges the runs of one era, in their order."""

    def __init__(self, setting: Setting, era: Era, unplanned: Unplanned) -> None:
        self._set = setting
        self._era = era
        self._every = era.plan.every_us
        self._early = tolerance(self._every)
        self._grace = grace(self._every, setting.lasts)
        self._unplanned = unplanned
        self._anchor: _Anchor | None = None
        # Of the last runs of the plan when they count as begun, and how many had come until then.
        self._grid: deque[tuple[int, int]] = deque(maxlen=4)
        self._count = 0
        self._credit = 0
        self._chain_at = 0
        self._tiles: list[int] = []  # planned times that no run of the plan answered
        self._streak = 0  # runs of the plan in a row from one process
        self._seconds: set[str] = set()
        self._last: Seen | None = None  # of any verdict
        self._wait = self._grace  # for the run after it
        self.found = Found()

    def judge(self, index: int) -> tuple[str, int | None]:
        """The verdict on a run nobody started by hand and nobody announced otherwise, and the planned time it answers."""
        one = self._set.seen[index]
        anchor = self._anchor
        if anchor is None:
            return self._accept(one, EXPECTED, one.at)
        due = anchor.base + self._every
        if self._on_time(one, anchor):
            if one.run.owner != anchor.seen.run.owner and self._ours_comes(one, anchor, due):
                return DOUBLED, None
            return self._punctual(one, anchor, due)
        return self._too_early(index, one, anchor, due)

    def happened(self, one: Seen, verdict: str) -> None:
        """A run of any verdict came that no person started: what was due since the last one is answered or missed."""
        if self._last is not None:
            self._pass(self._last, one)
        if verdict == CATCH_UP and self.found.missed:
            self.found.missed.pop()
        if verdict == DOUBLED:
            self._seconds.add(one.run.owner)
        self._last = one
        took = (self._set.now if one.run.ended_at is None else one.run.ended_at) - one.run.started_at
        self._wait = self._grace if took <= self._set.lasts else grace(self._every, took)

    def finish(self, end: int) -> None:
        """Nothing else happened until `end` (now, or the end of the era)."""
        base = self._base()
        if base is None:
            return
        deserted = self._set.deserted(end)
        due = self._near(self._due(base), end)
        while due + self._wait < end:
            self._miss(due)
            due = self._shift(due)
            self.found.overdue = True
            if deserted is not None and due > deserted:
                break
        counted = self._anchor.base if self._anchor is not None else base
        given_up = self.found.overdue or end > base + 2 * self._every + self._wait
        self.found.next_at = None if deserted is not None and given_up else self._next(counted)
        if deserted is None:
            self._tile(counted, (end - self._wait - base) // self._every)
        self.found.planned += self.found.missed
        self.found.planned += (due for due in self._tiles if not self._is_missed(due))

    # when the next run is planned

    def _next(self, base: int) -> int:
        """When the next run is planned: as its process announces, else a whole number of periods after `base`, later by as
        long as the machine slept since. That nobody watched may excuse a run; it moves none."""
        told = self._told_next()
        if told is not None:
            return told
        due = base + self._every
        for gap in self._set.excuses.between(base, due):
            if gap.why == "suspended":
                due += max(0, gap.end_at - max(gap.start_at, base))
        return due + max(0, -(-(self._set.now - self._wait - due) // self._every)) * self._every

    def _told_next(self) -> int | None:
        """The next run that the process of the run before announces, else the first that any other process does which keeps
        to this plan; None if none is to come."""
        now, ours = self._set.now, self._anchor.seen.run.owner if self._anchor is not None else ""
        told = [
            (one.owner != ours, one.next_run_at)
            for one in self._set.announcements
            if one.source not in FILES
            and one.next_run_at is not None
            and one.next_run_at > now
            and self._set.announces(one, now)
            and not any(step.before > one.seen_at for step in self._set.timeline.steps)
            and parse(one.plan, one.zone, self._set.zone) == self._era.plan
        ]
        return min(told)[1] if told else None

    # what an early or a punctual run is

    def _on_time(self, one: Seen, anchor: _Anchor) -> bool:
        every, early = self._every, self._early
        base, wall = one.at - anchor.base, one.run.started_at - anchor.wall
        before = anchor.seen.run
        planned = one.run.planned_at
        if planned is not None and before.planned_at is not None and before.owner == one.run.owner:
            if (
                one.run.plan == before.plan
            ):  # a scheduler that tells its plan and its times is believed to jitter
                early = every // 3
            wall = max(wall, planned - before.planned_at)
        came = max(base, wall)
        return came >= every - early or came >= every - early - shifted(self._set.zone, anchor.base, one.at)

    def _ours_comes(self, one: Seen, anchor: _Anchor, due: int) -> bool:
        """Whether the process of the run before comes with its own next run when it is due: then this one is a second. While
        it may still come, a process that was a second one before is so again."""
        ours = anchor.seen.run.owner
        latest = due + self._early + self._set.lasts
        following = self._set.owners.next(ours, one.at)
        if following is None:
            still = self._set.now <= latest and self._streak >= _ALONE and one.run.owner in self._seconds
            return still and self._set.owners.lived(ours, one.at, one.run.owner, self._every + self._grace)
        return following < one.at + self._every - self._early and due - self._early <= following <= latest

    def _punctual(self, one: Seen, anchor: _Anchor, due: int) -> tuple[str, int | None]:
        verdict = EXPECTED
        if one.at > due + self._early + self._set.lasts:
            verdict = EXPECTED if self._may_be_late(anchor.base, one.at, due) else LATE
        elif one.at < due - max(jitter(self._every), self._every // 50):
            verdict = EARLY
        periods = (one.at - anchor.base + self._early) // self._every
        if periods >= 2:
            self._credit, self._chain_at = periods - 1, one.at
            self._tile(anchor.base, periods - 1)
        elif self._credit and one.at - self._chain_at > self._every // 2:
            self._credit = 0
        return self._accept(one, verdict, due if periods < 2 else one.at)

    def _too_early(self, index: int, one: Seen, anchor: _Anchor, due: int) -> tuple[str, int | None]:
        if not self._is_second(one, anchor) and self._on_grid(one):
            return self._accept(one, EXPECTED, one.at)
        if self._credit and one.at - self._chain_at <= self._every // 2:
            self._credit -= 1
            self._chain_at = one.at
            return CATCH_UP, None
        if self._set.timeline.stepped(anchor.seen.at, one.at):
            return self._accept(one, CLOCK, None)
        verdict = self._unplanned.explain(index, anchor.seen, self._every, due)
        if verdict in (RESTART, RESTART_LOOP):
            self._accept(one, verdict, None)
        return verdict, None

    def _is_second(self, one: Seen, anchor: _Anchor) -> bool:
        """Whether the process ran beside another before, or is new while that of the run before lives."""
        owners, owner, ours = self._set.owners, one.run.owner, anchor.seen.run.owner
        if owner in self._seconds:
            return True
        new = owner != ours and owners.first(owner) == one.at
        return new and owners.lived(ours, one.at, owner, self._every + self._grace)

    def _on_grid(self, one: Seen) -> bool:
        """Whether the run is a whole number of periods after one of the last ones, and none too many came since."""
        slack = max(self._every // 33, jitter(self._every))
        for base, count in self._grid:
            periods = (one.at - base + slack) // self._every
            if periods > self._count - count and abs(one.at - base - periods * self._every) <= slack:
                return True
        return False

    def _accept(self, one: Seen, verdict: str, due: int | None) -> tuple[str, int | None]:
        base, wall = one.at, one.run.started_at
        planned = one.run.planned_at
        if planned is not None and verdict in (EXPECTED, EARLY, LATE) and 0 <= wall - planned < self._every:
            base, wall = base - (wall - planned), planned
        if verdict in (RESTART, RESTART_LOOP):
            self._grid.clear()
            self._credit = 0
        alone = self._anchor is not None and self._anchor.seen.run.owner == one.run.owner
        self._streak = self._streak + 1 if alone else 1
        self._anchor = _Anchor(base, wall, one)
        self._count += 1
        self._grid.append((base, self._count))
        if due is not None:
            self.found.planned.append(one.at)
        return verdict, due

    # what did not come

    def _pass(self, before: Seen, one: Seen) -> None:
        """Miss what was due between two runs."""
        if one.at - before.at <= self._every + self._wait:
            return
        base = before.at
        if self._anchor is not None and self._anchor.seen is before:
            base = self._anchor.base
        by_clock = one.run.started_at - before.run.started_at
        if by_clock <= self._every + self._wait and self._set.timeline.stepped(before.at, one.at):
            return
        due = self._shift(base)
        if one.run.owner != before.run.owner and self._set.owners.first(one.run.owner) >= one.at:
            due = self._restarted(before, due)
        due = self._near(due, one.at)
        while due + max(self._wait, self._every) < one.at + self._early:  # else this run answers it, late
            self._miss(due)
            due = self._shift(due)

    def _restarted(self, before: Seen, due: int) -> int:
        """A process that was started again may first wait a period."""
        if self._set.owners.once(before.run.owner, self._every):
            return due
        left = self._set.owners.left(before.run.owner)
        return max(due, self._shift(min(left, due) if left is not None else due))

    def _shift(self, base: int) -> int:
        slack = self._wait
        gaps = self._set.excuses.between(base, base + self._every + slack)
        due = due_after(base, self._every, slack, gaps) if gaps else base + self._every
        moved = shifted(self._set.zone, base, due)
        for step in self._set.timeline.steps:
            if base < step.before and step.after < due + slack:
                moved = max(moved, min(step.high - step.low, self._every))
        return due + moved

    def _base(self) -> int | None:
        """What the next run counts from."""
        if self._last is not None:
            if self._anchor is not None and self._anchor.seen is self._last:
                return self._anchor.base
            return self._last.at
        base = max(self._era.start, self._set.since)
        return base if base > ALWAYS else None

    def _due(self, base: int) -> int:
        """When the next run is due at the latest, if its process may have been started again since."""
        due = self._shift(base)
        last = self._last
        if last is None:
            return due
        owners, owner = self._set.owners, last.run.owner
        if owner and owners.alive(owner) is not True:
            due = self._restarted(last, due)
        began = self._announced(last.at)
        return max(due, self._shift(began)) if began < due + self._wait else due

    def _announced(self, after: int) -> int:
        """When a process first said, after a time, that it would run the job; NEVER if none did."""
        new = (
            one.first_at
            for one in self._set.announcements
            if one.source not in FILES and one.first_at > after
        )
        return min(new, default=NEVER)

    # what was planned

    def _tile(self, base: int, periods: int) -> None:
        """Note so many planned times after `base` that no run of the plan answered, where somebody watched."""
        for due in range(
            base + max(1, periods - MOST) * self._every, base + (periods + 1) * self._every, self._every
        ):
            if not self._set.excuses.cover(due - self._early, due + self._early):
                self._tiles.append(due)

    def _near(self, due: int, end: int) -> int:
        """`due`, or where there are too many planned times until `end`, a later one."""
        return due + max(0, (end - due) // self._every - MOST) * self._every

    def _is_missed(self, due: int) -> bool:
        """Whether a planned time is one of the missed, which count from the last run of any kind."""
        missed, half = self.found.missed, self._every // 2
        place = bisect_right(missed, due - half)
        return place < len(missed) and missed[place] <= due + half

    def _miss(self, due: int) -> None:
        if not self._set.excuses.cover(due, due):
            self.found.missed.append(due)

    def _may_be_late(self, base: int, came: int, due: int) -> bool:
        """Whether nobody watched since the run before, or the zone's clocks were put back."""
        behind = due + self._early + self._set.lasts
        return self._set.excuses.cover(base, came) or came <= behind + shifted(self._set.zone, base, came)
