"""When somebody watched: what a restart, a sleep and a clock that was set look like."""

from __future__ import annotations

import time
from pathlib import Path

from costmon.insight.schedule.values import Gap
from costmon.monitor.schedule.spans import Clocks, Watch, gaps
from costmon.store import Store, open_ledger, schedules
from costmon.store.schedules import Span

S = 1_000_000
T = 1_790_000_000 * S


def clocks(wall: int, elapsed: int | None = None, awake: int | None = None) -> Clocks:
    """Seconds after T; without more, all clocks went alike."""
    counted = wall if elapsed is None else elapsed
    return Clocks(T + wall * S, counted * S, (counted if awake is None else awake) * S)


def spans(store: Store) -> list[tuple[int, int, str, int]]:
    return [
        ((one.start_at - T) // S, (one.end_at - T) // S, one.gap, one.step // S)
        for one in schedules.spans(store.db, 0)
    ]


def watched(tmp_path: Path, *seen: Clocks) -> list[tuple[int, int, str, int]]:
    store = open_ledger(str(tmp_path))
    watch = Watch(str(tmp_path), store.now)
    for one in seen:
        watch.note(store.db, one)
    watch.close(store.db)
    found = spans(store)
    store.close()
    return found


def test_one_stretch_is_one_row_however_often_it_is_noted(tmp_path: Path) -> None:
    assert watched(tmp_path, *(clocks(second) for second in range(0, 300, 5))) == [(0, 295, "", 0)]


def test_a_machine_that_slept_is_told_from_an_engine_that_was_off(tmp_path: Path) -> None:
    asleep = watched(tmp_path / "a", clocks(0), clocks(40), clocks(7240, awake=41), clocks(7250, awake=51))
    stopped = watched(tmp_path / "b", clocks(0), clocks(40), clocks(7240), clocks(7250))

    assert asleep == [(0, 40, "", 0), (7240, 7250, "suspended", 0)]
    assert stopped == [(0, 40, "", 0), (7240, 7250, "off", 0)]


def test_a_clock_that_was_set_says_by_how_much(tmp_path: Path) -> None:
    forward = watched(
        tmp_path / "a", clocks(0), clocks(40), clocks(3645, elapsed=45), clocks(3650, elapsed=50)
    )
    back = watched(
        tmp_path / "b", clocks(0), clocks(40), clocks(-3555, elapsed=45), clocks(-3550, elapsed=50)
    )

    assert forward == [(0, 40, "", 0), (3645, 3650, "clock", 3600)]
    assert back == [(-3555, -3550, "clock", -3600), (0, 40, "", 0)]


def test_a_slow_drift_and_a_small_correction_are_no_gap(tmp_path: Path) -> None:
    assert len(watched(tmp_path, clocks(0), clocks(34, elapsed=30), clocks(65, elapsed=60))) == 1


def test_an_engine_that_comes_right_back_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for at in (0, 50):
        watched(tmp_path, clocks(at), clocks(at + 10))
    assert watched(tmp_path, clocks(500)) == [(0, 60, "", 0), (500, 500, "off", 0)]


def test_by_a_fast_clock_too_a_living_engine_leaves_no_gap(tmp_path: Path) -> None:
    (tmp_path / "DEMO").touch()
    store = open_ledger(str(tmp_path))
    rate = 240
    watch = Watch(str(tmp_path), lambda: T + int(time.monotonic() * S) * rate)
    for step in range(50):
        real = step / 5
        watch.note(store.db, clocks(int(real * rate), elapsed=int(real)))
        behind = T + int(real * rate) * S - schedules.spans(store.db, 0)[-1].end_at
        assert behind <= rate * S
    assert len(schedules.spans(store.db, 0)) == 1
    store.close()


def test_gaps_are_what_lies_between_before_and_after() -> None:
    told = [Span(100, 200, "", 0), Span(260, 300, "suspended", 0), Span(280, 400, "clock", -25)]

    assert gaps(told, 50, 500, watching=False) == (
        Gap(50, 100, "off"),
        Gap(200, 260, "suspended"),
        Gap(280, 305, "clock", -25),
        Gap(400, 500, "off"),
    )
    assert gaps(told, 150, 500, watching=True)[-1].why == "clock"
    assert gaps([], 50, 500, watching=False) == (Gap(50, 500, "off"),)
