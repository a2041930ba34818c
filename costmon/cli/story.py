"""Snapshots told as lines of text: what changed since the last one."""

from __future__ import annotations

from collections.abc import Callable

from costmon.monitor.schedule.values import ScheduledJob
from costmon.monitor.snapshot import BudgetStatus, Snapshot
from costmon.shim.events import clean
from costmon.shim.money import format_money


class Story:
    """Prints one line for each level crossed, block set or lifted, job that misfires, app refused, and problem."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._levels: dict[tuple[str, str], int] = {}
        self._blocks: dict[str, str] = {}
        self._refused: set[str] = set()
        self._misfiring: set[str] = set()
        self._began = False
        self._problems: tuple[str, ...] = ()

    def tell(self, snapshot: Snapshot) -> None:
        """Print what is new in `snapshot`."""
        stamp = f"{snapshot.at:%Y-%m-%d %H:%M:%S}Z"
        for budget in snapshot.budgets:
            self._level(stamp, budget)
        self._switch(stamp, snapshot)
        for job in snapshot.schedule.jobs:
            self._misfire(stamp, job)
        self._refusals(snapshot)
        for problem in snapshot.problems:
            if problem not in self._problems:
                self._say(f"{stamp}  problem    {clean(problem, 500)}")
        self._problems = snapshot.problems
        self._began = True

    def _level(self, stamp: str, budget: BudgetStatus) -> None:
        key = (budget.name, budget.start.isoformat())
        before = self._levels.get(key, 0)
        for level in budget.levels:
            if before < level <= budget.level:
                spent = f"{format_money(*budget.used)} of {format_money(*budget.limit)}"
                self._say(f'{stamp}  level      budget "{budget.name}" reached {level} % ({spent})')
        self._levels[key] = max(before, budget.level)

    def _misfire(self, stamp: str, job: ScheduledJob) -> None:
        bad = job.level == "bad"
        if bad and job.name not in self._misfiring:
            self._say(
                f"{stamp}  misfire    {job.name}: {clean(job.findings[0], 300) if job.findings else ''}"
            )
            self._misfiring.add(job.name)
        elif not bad and job.name in self._misfiring:
            self._say(f"{stamp}  over       {job.name} runs as planned again, or not at all")
            self._misfiring.discard(job.name)

    def _switch(self, stamp: str, snapshot: Snapshot) -> None:
        now = {block.scope: clean(f"{block.reason}", 300) for block in snapshot.switch.blocks}
        for scope, reason in now.items():
            if scope not in self._blocks:
                self._say(f"{stamp}  blocked    {clean(scope)}: {reason}")
        for scope in self._blocks:
            if scope not in now and "all" not in now:
                self._say(f"{stamp}  allowed    {clean(scope)}")
        self._blocks = now

    def _refusals(self, snapshot: Snapshot) -> None:
        """Each app, model and minute once; what was refused before the story began is not told again."""
        for row in reversed(snapshot.feed):
            if row.state in ("refused", "excused") and row.key not in self._refused:
                self._refused.add(row.key)
                if self._began:
                    stamp = f"{row.at:%Y-%m-%d %H:%M:%S}Z"
                    verb = "refused   " if row.state == "refused" else "dry run   "
                    self._say(
                        f"{stamp}  {verb} {clean(row.app)} → {clean(row.model)}: {clean(row.note, 300)}"
                    )
