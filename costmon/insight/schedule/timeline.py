"""Runs in the order in which they really began, with a clock that somebody set taken out of the distances between them.

A run tells, beside the time its machine's clock showed, how long that machine had been up. Two runs of one boot are as far
apart as that says; where the clock says otherwise by more than it can drift, it was set between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from costmon.insight.schedule.values import Announcement, Gap, Run
from costmon.insight.schedule.zones import SECOND

_STEP = 2 * SECOND
_SAME = 5 * SECOND
_DRIFT = 5_000  # one part in so many is a clock's own fault


class Seen(NamedTuple):
    """A run: `at` is when it began by the clock as it is set now, `run.started_at` what the clock showed then."""

    at: int
    run: Run


class Step(NamedTuple):
    """The clock was set by `by` between two moments (`after` and `before`, as it is set now), when it showed something from
    `low` to `high`; `seen` = an engine saw it, so that they are its edges."""

    after: int
    before: int
    low: int
    high: int
    by: int
    seen: bool


class Timeline(NamedTuple):
    """Runs in their true order, and when the clock was set."""

    seen: tuple[Seen, ...]
    steps: tuple[Step, ...]

    def stepped(self, after: int, before: int) -> bool:
        """Whether the clock may have been set between two moments."""
        return any(step.after < before and after < step.before for step in self.steps)

    def range_of(self, wall: int) -> tuple[int, int]:
        """The earliest and the latest moment at which the clock may have shown this, as it is set now."""
        low = high = wall
        for step in self.steps:
            if step.low <= wall <= step.high and (step.by < 0 or not step.seen):
                low, high = low + min(0, step.by), high + max(0, step.by)
            elif wall < (step.low + step.high) // 2:
                low, high = low + step.by, high + step.by
        return low, high

    def moved_gaps(self, gaps: Sequence[Gap]) -> Sequence[Gap]:
        """Gaps by the clock as it is set now, rather too long than too short."""
        if not self.steps:
            return gaps
        return [
            gap._replace(start_at=self.range_of(gap.start_at)[0], end_at=self.range_of(gap.end_at)[1])
            for gap in gaps
        ]

    def moved_announcements(self, announcements: Sequence[Announcement]) -> Sequence[Announcement]:
        """Announcements by the clock as it is set now."""
        if not self.steps:
            return announcements
        return [
            one._replace(
                first_at=self.range_of(one.first_at)[0],
                seen_at=self.range_of(one.seen_at)[1],
                ended_at=None if one.ended_at is None else self.range_of(one.ended_at)[1],
            )
            for one in announcements
        ]


def straighten(runs: Sequence[Run], gaps: Sequence[Gap]) -> Timeline:
    """Put the runs in order; `gaps` say when an engine saw that the clock was set."""
    set_by = [gap for gap in gaps if gap.why == "clock" and gap.step]
    boots: dict[str, list[Run]] = {}
    seen: list[Seen] = []
    steps: list[Step] = [_noted(gap, set_by) for gap in set_by]
    for run in runs:
        boot = boot_of(run)
        if boot:
            boots.setdefault(boot, []).append(run)
        else:
            seen.append(Seen(run.started_at + _moved(run.started_at, set_by), run))
    for members in boots.values():
        found, sets = _one_boot(sorted(members, key=_by_elapsed), set_by)
        seen += found
        steps += (one for one in sets if not any(_same(one, gap) for gap in set_by))
    seen.sort(key=lambda one: (one.at, one.run.id))
    return Timeline(tuple(seen), tuple(steps))


def _same(step: Step, gap: Gap) -> bool:
    """Whether an engine saw this setting of the clock."""
    close = abs(step.by - gap.step) <= _SAME
    return close and step.low <= gap.end_at + _SAME and gap.start_at <= step.high + _SAME


def boot_of(run: Run) -> str:
    """The boot of the machine a run ran on, where the run tells how long it had been up; else ''."""
    if run.elapsed_at is None:
        return ""
    boot, colon, _ = run.owner.partition(":")
    return boot if colon else ""


def _by_elapsed(run: Run) -> tuple[int, str]:
    return run.elapsed_at or 0, run.id


def _one_boot(members: Sequence[Run], set_by: Sequence[Gap]) -> tuple[list[Seen], list[Step]]:
    """Runs of one boot, oldest first, each moved by every later setting of the clock."""
    jumps = [0] * len(members)
    for index in range(1, len(members)):
        earlier, later = members[index - 1], members[index]
        passed = (later.elapsed_at or 0) - (earlier.elapsed_at or 0)
        jump = later.started_at - earlier.started_at - passed
        if abs(jump) > max(_STEP, passed // _DRIFT):
            jumps[index] = jump
    moved = _not_yet(members[-1], jumps, set_by)
    seen: list[Seen] = []
    steps: list[Step] = []
    for index in range(len(members) - 1, -1, -1):
        run = members[index]
        seen.append(Seen(run.started_at + moved, run))
        if jumps[index]:
            before = members[index - 1]
            low, high = sorted((before.started_at, run.started_at))
            steps.append(
                Step(
                    before.started_at + moved + jumps[index],
                    run.started_at + moved,
                    low,
                    high,
                    jumps[index],
                    False,
                )
            )
        moved += jumps[index]
    return seen, steps


def _not_yet(last: Run, jumps: Sequence[int], set_by: Sequence[Gap]) -> int:
    """By how much the clock was set since the last run of a boot, as an engine saw it."""
    moved = 0
    for gap in set_by:
        taken_up = any(jump and abs(jump - gap.step) <= _SAME for jump in jumps)
        unclear = gap.step < 0 and gap.start_at <= last.started_at <= gap.end_at
        if (unclear and not taken_up) or (not unclear and _is_before(last.started_at, gap)):
            moved += gap.step
    return moved


def _moved(at: int, set_by: Sequence[Gap]) -> int:
    """By how much the clock was set after it showed `at`. What it showed twice was the second time."""
    return sum(gap.step for gap in set_by if _is_before(at, gap))


def _is_before(at: int, gap: Gap) -> bool:
    """Whether the clock showed this before it was set, as far as that can be told."""
    return at < (gap.start_at if gap.step < 0 else (gap.start_at + gap.end_at) // 2)


def _noted(gap: Gap, set_by: Sequence[Gap]) -> Step:
    at = gap.end_at if gap.step > 0 else gap.start_at
    at += sum(later.step for later in set_by if later.start_at > gap.end_at)
    return Step(at - SECOND, at + SECOND, gap.start_at, gap.end_at, gap.step, True)
