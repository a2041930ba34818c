"""Runs against a plan by the clock: cron lines, calendar timers, and what runs once.

Each planned time takes one run: the one that says it was meant for it, else the one that comes at it, else the first after.
All times are what clocks showed then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from costmon.insight.schedule.expected import MINUTE, MOST, Excuses, grace, jitter, slots, tolerance
from costmon.insight.schedule.plans import AT, latest_until, longest_gap, next_after
from costmon.insight.schedule.record import ALWAYS, Era
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
    UNPLANNED,
    Gap,
)

_LOOK_AHEAD = 64
_ONCE = 3_600_000_000  # a plan that runs once is held to like an hourly one


class Clocked:
    """Judges the runs of one era, in their order."""

    def __init__(self, setting: Setting, era: Era, unplanned: Unplanned) -> None:
        self._set = setting
        self._era = era
        self._unplanned = unplanned
        self._usual = longest_gap(era.plan, setting.now) or _ONCE
        self._slots = self._planned()
        self._answers: dict[int, Seen] = {}
        self._walls: list[int] = []
        self._before: Seen | None = None
        self._ahead = -2  # the planned time that an unplanned run came right before
        steps = [Gap(step.low, step.high, "clock") for step in setting.timeline.steps]
        self._excuses = Excuses([*setting.gaps, *steps])
        self.found = Found()

    def judge(self, index: int) -> tuple[str, int | None]:
        """The verdict on a run nobody started by hand and nobody announced otherwise, and the planned time it answers."""
        one = self._set.seen[index]
        place = self._place(one)
        if place < 0:
            return (UNPLANNED if self._era.plan.kind == AT else RESTART), None
        if place in self._answers:
            return self._beside(index, one, place)
        if self._ours_comes(one, place):
            return DOUBLED, None
        if self._other_fits(index, one, place):
            self._ahead = place
            return self._extra(index, self._before, place)
        return self._answer(one, place), self._slots[place]

    def happened(self, one: Seen, verdict: str) -> None:  # noqa: ARG002 - as an interval's
        """A run of any verdict came that no person started."""
        self._walls.append(one.run.started_at)

    def finish(self, end: int) -> None:
        """Nothing else happened until `end` (now, or the end of the era)."""
        self._walls.sort()
        last, gone, given_up = self._walls[-1] if self._walls else ALWAYS, self._set.deserted(end), False
        for place, due in enumerate(self._slots):
            if place in self._answers:
                self.found.planned.append(self._answers[place].at)
                self.found.overdue = False
            elif due + grace(self._every(place), self._set.lasts) < end:
                given_up = gone is not None and due > max(last, self._begin)
                if not self._excused(place):
                    if given_up and gone is not None and self.found.overdue and due > gone:
                        break
                    self._unanswered(place)
        self.found.next_at = None if given_up else self._next()

    def _unanswered(self, place: int) -> None:
        self.found.planned.append(self._slots[place])
        self.found.overdue = not self._ran(place)
        if self.found.overdue:
            self.found.missed.append(self._slots[place])

    # which planned time a run answers

    def _planned(self) -> list[int]:
        """The planned times of the era, as far back as anybody looked, and the one after now."""
        walls = [one.run.started_at for one in self._set.seen]
        first, last = min(walls, default=self._set.now), max(walls, default=self._set.now)
        begin = max(self._era.start, self._set.since, self._set.first_said)
        if begin == ALWAYS:
            begin = latest_until(self._era.plan, first) or first
            begin = begin if first - begin <= tolerance(self._usual) else first
        begin = max(begin, self._set.now - MOST * self._usual)
        self._begin = begin  # one that was due right before it may have been answered after it
        end = min(self._era.end, max(self._set.now, last) + tolerance(self._usual))
        return slots(self._era.plan, begin - tolerance(self._usual), end + 1, self._usual)

    def _every(self, place: int) -> int:
        """The time from a planned time to the next."""
        if place + 1 < len(self._slots):
            return self._slots[place + 1] - self._slots[place]
        return self._usual

    def _place(self, one: Seen) -> int:
        """Where the planned time stands that a run may answer; -1 if there is none."""
        wall, planned = one.run.started_at, one.run.planned_at
        if planned is not None:
            found = bisect_right(self._slots, planned + jitter(self._usual)) - 1
            if found >= 0 and abs(self._slots[found] - planned) <= jitter(self._usual):
                return found
        after = bisect_right(self._slots, wall)
        if after < len(self._slots):
            every = self._slots[after] - self._slots[after - 1] if after else self._usual
            if self._slots[after] - wall <= min(tolerance(every), MINUTE):
                return after
        return after - 1

    def _answer(self, one: Seen, place: int) -> str:
        self._answers[place], self._before = one, one
        off = one.run.started_at - self._slots[place]
        every = self._every(place)
        if off < -jitter(every):
            return EARLY
        if off <= tolerance(every) + self._set.lasts:
            return EXPECTED
        if self._excuses.cover(self._slots[place], one.run.started_at):
            return CATCH_UP
        return UNPLANNED if self._era.plan.kind == AT else LATE

    def _ours_comes(self, one: Seen, place: int) -> bool:
        """Whether the process of the run before comes itself: then this one is a second."""
        if self._before is None or self._before.run.owner == one.run.owner:
            return False
        following = self._set.owners.next(self._before.run.owner, one.at)
        return following is not None and abs(following - self._slots[place]) <= tolerance(self._every(place))

    def _other_fits(self, index: int, one: Seen, place: int) -> bool:
        """Whether a run that came too early is followed by one at the very time, or was so the last time."""
        due, slack = self._slots[place], jitter(self._every(place))
        if one.run.started_at >= due - slack or self._before is None:
            return False
        for other in self._set.seen[index + 1 : index + 1 + _LOOK_AHEAD]:
            if other.run.started_at > due + tolerance(self._every(place)):
                return False
            if other.run.started_at >= due - slack and not other.run.manual:
                return True
        return (
            self._ahead == place - 1 and self._set.now <= due + slack
        )  # as before its last run; ours may still come

    # runs besides

    def _beside(self, index: int, one: Seen, place: int) -> tuple[str, int | None]:
        """The planned time has its run already."""
        answer = self._answers[place]
        if self._set.timeline.stepped(answer.at, one.at):
            return CLOCK, None
        older = place - 1
        while older >= 0 and older in self._answers and self._answers[older].at > answer.at:
            older -= 1  # answered after it: caught up
        if older >= 0 and older not in self._answers and one.at - answer.at < self._every(place):
            self._answers[older] = one
            return CATCH_UP, self._slots[older]
        return self._extra(index, answer, place)

    def _extra(self, index: int, answer: Seen | None, place: int) -> tuple[str, int | None]:
        if self._era.plan.kind == AT:
            return UNPLANNED, None
        if answer is None:
            return RESTART, None
        due = self._slots[place] + self._every(place)
        if self._set.seen[index].run.started_at < self._slots[place] - jitter(self._usual):
            due = self._slots[place]
        return self._unplanned.explain(index, answer, self._every(place), due), None

    # what did not come

    def _excused(self, place: int) -> bool:
        due = self._slots[place]
        return due < self._begin or self._excuses.cover(due, due + tolerance(self._every(place)))

    def _ran(self, place: int) -> bool:
        """Whether the job ran in any way between a planned time and the next."""
        due, every = self._slots[place], self._every(place)
        start = bisect_left(self._walls, due - tolerance(every))
        return start < len(self._walls) and self._walls[start] < due + every - tolerance(every)

    def _next(self) -> int | None:
        """The planned time that waits for its run, else the next."""
        now = self._set.now
        last = bisect_right(self._slots, now) - 1
        waits = last >= 0 and last not in self._answers and not self._ran(last)
        if waits and now <= self._slots[last] + grace(self._every(last), self._set.lasts):
            return self._slots[last]
        following = next_after(self._era.plan, now)
        return following if following is not None and following < self._era.end else None
