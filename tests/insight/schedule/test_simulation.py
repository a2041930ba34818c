"""Healthy schedules of every kind for weeks, without a false alarm; and planted faults, found. -s prints the figures."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from costmon.shim.jobs.intervals import spell_interval

from .makers import DAY, HOUR, MINUTE, SECOND
from .scenarios import FAULTS, KINDS, PERIODS, Fault, Healthy, faulty, healthy, judged, look_back, moments


def alarm(made: Healthy, share: float) -> tuple[str, int]:
    """The first alarm of a healthy schedule ('' if none), and how often it was judged."""
    back = look_back(made.every)
    times = moments(made, share)
    for count, at in enumerate(times):
        found = judged(made, at, back)
        if found.misfire is not None:
            return "misfire", count
        if found.missing or found.missed:
            return "missed", count
    return "", len(times)


def days_of(every: int) -> float:
    """30, and fewer for periods of minutes."""
    return 30 if every >= HOUR else 4 if every >= 5 * MINUTE else 1


def run_healthy(seeds: range, kinds: tuple[str, ...], periods: tuple[int, ...], share: float) -> list[str]:
    wrong, judgements, schedules = [], 0, 0
    began = time.perf_counter()
    for seed in seeds:
        for kind in kinds:
            for every in periods:
                own = seed * 1000 + KINDS.index(kind) * 10 + PERIODS.index(every)
                found, count = alarm(healthy(own, days_of(every), kind, every), share)
                judgements, schedules = judgements + count, schedules + 1
                if found:
                    wrong.append(f"{found}: {kind}, every {spell_interval(every)}, seed {own}")
    seconds = time.perf_counter() - began
    print(
        f"\nhealthy: {schedules} schedules, {judgements} judgements, {len(wrong)} false alarms ({seconds:.0f} s)"
    )
    return wrong


def test_healthy_schedules_give_no_alarm() -> None:
    wrong = run_healthy(range(1), KINDS, (6 * HOUR, DAY), 0.05)
    assert wrong == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_healthy_schedules_of_every_period_give_no_alarm_in_30_days(kind: str) -> None:
    wrong = run_healthy(range(1, 7), (kind,), PERIODS, 0.02)
    assert wrong == []


class Table:
    """Faults found, found at the first moment at which they can be, and alarms before there was a fault."""

    def __init__(self) -> None:
        self.planted: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.before: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        kind, made = fault.kind, fault.made
        back = max(8 * HOUR, 15 * made.every)
        first = min(fault.unplanned or [fault.missed or fault.overlap or 0])
        calm = judged(made, first - SECOND, back)
        self.before[kind] += calm.misfire is not None or calm.missing or bool(calm.missed)
        self.planted[kind] += 1
        at_once, later = self._times(fault)
        self.at_once[kind] += self._tells(fault, at_once, back)
        self.found[kind] += any(self._tells(fault, at, back) for at in (at_once, *later))

    @staticmethod
    def _times(fault: Fault) -> tuple[int, list[int]]:
        every = fault.made.every
        if fault.unplanned:
            return fault.proven + SECOND, [at + SECOND for at in fault.unplanned[2:6]]
        if fault.overlap is not None:
            return fault.overlap + SECOND, [fault.overlap + every // 2]
        at = fault.missed or 0
        return at + (every * 3 // 4 if fault.made.world.known else 2 * every), [at + 3 * every]

    @staticmethod
    def _tells(fault: Fault, at: int, back: int) -> bool:
        found = judged(fault.made, at, back)
        if fault.unplanned:
            return found.misfire is not None
        if fault.overlap is not None:
            return any(one.overlaps for one in found.judged)
        return found.missing or bool(found.missed)

    def print(self) -> None:
        print(f"\n{'fault':<20}{'planted':>8}{'found':>8}{'at once':>9}{'before':>8}")
        for kind in self.planted:
            row = (self.planted[kind], self.found[kind], self.at_once[kind], self.before[kind])
            print(f"{kind:<20}{row[0]:>8}{row[1]:>8}{row[2]:>9}{row[3]:>8}")


def plant(seeds: range, periods: tuple[int, ...]) -> Table:
    table = Table()
    for seed in seeds:
        for number, kind in enumerate(FAULTS):
            for place, every in enumerate(periods):
                for known in (True, False):
                    table.add(faulty(seed * 10_007 + number * 100 + place, kind, every, known))
    table.print()
    return table


def check(table: Table) -> None:
    planted, found = table.planted.total(), table.found.total()
    assert found >= 0.99 * planted
    assert table.before.total() == 0
    for kind in FAULTS:
        if kind not in ("overlap", "missed", "stopped"):
            assert table.at_once[kind] >= 0.99 * table.planted[kind], (
                f"{kind}: not at the second unexpected run"
            )


def test_planted_faults_are_found() -> None:
    check(plant(range(100, 103), PERIODS))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_planted_faults_are_found() -> None:
    table = plant(range(12), PERIODS)
    assert table.planted.total() >= 1000
    check(table)
