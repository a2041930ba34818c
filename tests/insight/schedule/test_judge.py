"""Plan against fact: what a user is told of a job's runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from costmon.config.values import Job
from costmon.insight.schedule.judge import watch
from costmon.insight.schedule.record import plan_of_record
from costmon.insight.schedule.values import Announcement, Gap, Run, Watched

from .makers import DAY, HOUR, MINUTE, SECOND, START, announcement, run

A, B, C, D = (f"boot:1:{pid}:{pid}" for pid in (100, 200, 300, 400))
HELD = Job("trade", every_us=HOUR)


def look(
    runs: Sequence[Run],
    now: int,
    announcements: Sequence[Announcement] | None = None,
    *,
    config: Job | None = None,
    gaps: Sequence[Gap] = (),
    alive: Mapping[str, bool | None] | None = None,
    zone: str = "UTC",
    since: int | None = None,
) -> Watched:
    """Judged at START + `now`; each owner announces what its runs say, unless told otherwise."""
    at = START + now
    known = [one for one in runs if one.started_at <= at]
    said = _said(known) if announcements is None else announcements
    record = plan_of_record("trade", config, said, HOUR, zone, now=at, alive=alive)
    return watch("trade", record, known, said, gaps, alive or {}, at, since=since)


def _said(runs: Sequence[Run]) -> list[Announcement]:
    said = {}
    for one in sorted(runs, key=lambda one: one.started_at):
        first = said[one.owner].first_at if one.owner in said else one.started_at
        if not one.manual:
            said[one.owner] = announcement(one.plan, one.owner, first, seen_at=one.started_at)
    return list(said.values())


def verdicts(watched: Watched) -> list[str]:
    return [one.verdict for one in watched.judged]


def hourly(count: int, owner: str = A, first: int = 0, every: int = HOUR, **more: object) -> list[Run]:
    return [run(START + first + turn * every, owner, **more) for turn in range(count)]  # type: ignore[arg-type]


def test_the_incident_is_found_at_the_second_unexpected_run() -> None:
    """Two services, 5 and 60 minutes, started within seconds: $0.0024 are spent, not $2.42."""
    backend = hourly(13, A, every=5 * MINUTE, plan="every 5m")
    scheduler = hourly(2, B, 2 * SECOND)
    runs = backend + scheduler
    assert look(runs, 4 * MINUTE).misfire is None
    found = look(runs, 5 * MINUTE + SECOND)
    assert found.plan.plan == "every 60m"
    misfire = found.misfire
    assert misfire is not None
    assert (misfire.kind, misfire.runs, misfire.cost, misfire.who) == (
        "other plan",
        2,
        2_400_000,
        ("pid 100 of trader",),
    )
    assert (misfire.plan, misfire.every_us, misfire.going_on) == ("every 5m", 5 * MINUTE, True)
    assert misfire.first_at == START
    hour = look(runs, HOUR + 5 * SECOND)
    assert (hour.misfire.runs if hour.misfire else 0, hour.missing) == (13, False)
    assert (hour.hour.unexpected, hour.day.planned, hour.day.actual) == (12, 2, 15)


def test_a_plan_in_the_config_holds_against_what_every_process_announces() -> None:
    found = look(hourly(3, every=5 * MINUTE, plan="every 5m"), 11 * MINUTE, config=HELD)
    assert verdicts(found) == ["other plan"] * 3
    assert found.misfire is not None
    assert not found.missing


def test_a_job_in_the_config_without_a_plan_is_neither_held_to_one_nor_told_of() -> None:
    found = look(hourly(9, every=MINUTE, plan="every 5m"), HOUR, config=Job("trade"))
    assert set(verdicts(found)) == {"unplanned"}
    assert (found.misfire, found.missing, found.missed) == (None, False, ())


@pytest.mark.parametrize("alive", [{A: True, B: True}, {}])
@pytest.mark.parametrize("phase", [20 * MINUTE, 2 * SECOND, -2 * MINUTE])
def test_a_second_process_is_a_double_from_its_first_run(alive: dict[str, bool | None], phase: int) -> None:
    runs = hourly(6) + hourly(3, B, 3 * HOUR + phase)
    found = look(runs, 5 * HOUR + max(0, phase) + SECOND, alive=alive)
    assert [one.verdict for one in found.judged if one.run.owner == B] == ["doubled"] * 3
    assert [one.verdict for one in found.judged if one.run.owner == A] == ["expected"] * 6
    at_second = look(runs, 4 * HOUR + max(0, phase) + SECOND, alive=alive)
    assert at_second.misfire is not None
    assert at_second.misfire.runs == 2


def test_what_looked_like_a_restart_is_judged_anew_when_the_old_process_runs_again() -> None:
    runs = [*hourly(5), run(START + 3 * HOUR + 20 * MINUTE, B)]
    assert verdicts(look(runs, 3 * HOUR + 21 * MINUTE))[-1] == "restart"
    assert verdicts(look(runs, 4 * HOUR + SECOND))[-2:] == ["doubled", "expected"]


def test_a_restart_is_no_alarm_and_the_next_run_counts_from_it() -> None:
    runs = hourly(3) + hourly(3, B, 2 * HOUR + 10 * MINUTE)
    for alive in ({A: False, B: True}, {}):
        found = look(runs, 4 * HOUR + 11 * MINUTE, alive=alive)
        assert verdicts(found) == ["expected"] * 3 + ["restart"] + ["expected"] * 2
        assert (found.misfire, found.missed, found.missing) == (None, (), False)
        assert found.next_run_at == START + 5 * HOUR + 10 * MINUTE


def test_a_process_that_crashes_and_pays_on_each_start_is_a_misfire() -> None:
    runs = hourly(1) + [run(START + minute * MINUTE, f"boot:1:{minute}:1") for minute in (10, 12, 14)]
    assert look(runs, 13 * MINUTE).misfire is None
    found = look(runs, 15 * MINUTE)
    assert verdicts(found) == ["expected", "restart", "restart loop", "restart loop"]
    assert found.misfire is not None
    assert found.misfire.kind == "restart loop"


def test_workers_of_a_pool_that_share_one_rate_are_no_doubles() -> None:
    runs = [run(START + turn * HOUR, owner) for turn, owner in enumerate((A, B, C, A, D, D, B, A, C))]
    found = look(runs, 8 * HOUR + SECOND, alive=dict.fromkeys((A, B, C, D), True))
    assert set(verdicts(found)) == {"expected"}


def test_the_same_line_in_two_crontabs_is_found() -> None:
    """Each run is a process of its own that leaves: there is nothing to restart."""
    runs, said = [], []
    for turn in range(3):
        for place, after in enumerate((0, 7 * MINUTE)):
            at = START + turn * HOUR + after
            runs.append(run(at, f"boot:1:{turn}{place}:1"))
            said.append(announcement(owner=runs[-1].owner, first_at=at, ended_at=at + 2 * SECOND))
    then = [one for one in said if one.first_at <= START + HOUR + 8 * MINUTE]
    found = look(runs, HOUR + 8 * MINUTE, then)
    assert verdicts(found) == ["expected", "doubled"] * 2
    assert found.misfire is not None


def test_a_process_that_runs_more_often_than_it_says_is_found() -> None:
    found = look(hourly(5, every=20 * MINUTE), 81 * MINUTE)
    assert verdicts(found) == ["expected", "extra", "extra", "expected", "extra"]
    assert found.misfire is not None
    assert (found.misfire.kind, found.misfire.plan) == ("extra", "every 60m")


def test_one_run_too_many_is_noted_and_not_told() -> None:
    found = look([*hourly(4), run(START + 90 * MINUTE)], 3 * HOUR + SECOND)
    assert verdicts(found).count("extra") == 1
    assert (found.misfire, found.day.unexpected) == (None, 1)


def test_runs_started_by_hand_and_skipped_ones_change_nothing() -> None:
    runs = hourly(3)
    other = [run(START + 20 * MINUTE, B, manual=True), run(START + 21 * MINUTE, C, manual=True)]
    skipped = [run(START + 30 * MINUTE, A, outcome="skipped")]
    found = look(runs + other + skipped, 2 * HOUR + SECOND)
    assert verdicts(found) == ["expected", "manual", "manual", "expected", "expected"]
    assert (found.day.actual, found.day.unexpected, found.misfire) == (5, 0, None)


def test_a_misfire_goes_on_until_two_periods_pass_without_one() -> None:
    runs = hourly(13, A, every=5 * MINUTE, plan="every 5m") + hourly(9, B, 2 * SECOND)
    then = look(runs, HOUR + 9 * MINUTE)
    assert then.misfire is not None
    assert then.misfire.going_on
    later = look(runs, HOUR + 30 * MINUTE)
    assert later.misfire is not None
    assert not later.misfire.going_on


# what did not run


@pytest.mark.parametrize("alive", [{A: True}, {A: None}])
def test_a_run_that_does_not_come_is_missed(alive: dict[str, bool | None]) -> None:
    runs = hourly(3)
    assert not look(runs, 3 * HOUR + 14 * MINUTE, alive=alive).missing
    late = look(runs, (3 if alive[A] else 4) * HOUR + 16 * MINUTE, alive=alive)
    assert late.missing, "a process nobody can see may have been started again, and is given a period more"
    assert len(late.missed) == 1


def test_one_run_left_out_is_told_although_the_next_came() -> None:
    runs = [one for turn, one in enumerate(hourly(6)) if turn != 3]
    found = look(runs, 5 * HOUR + SECOND)
    assert found.missed == (START + 3 * HOUR,)
    assert (found.missing, found.day.planned, found.day.actual, found.day.missed) == (False, 6, 5, 1)


def test_a_loop_that_waits_after_its_work_is_not_late() -> None:
    runs = hourly(24, every=HOUR + 10 * MINUTE, lasts=10 * MINUTE)
    found = look(runs, 28 * HOUR)
    assert set(verdicts(found)) == {"expected"}
    assert (found.missed, found.missing) == ((), False)


def test_nothing_is_missed_while_nobody_watches_but_then_it_must_come_back() -> None:
    runs = hourly(3)
    for why in ("off", "suspended"):
        gaps = [Gap(START + 2 * HOUR + 5 * MINUTE, START + 7 * HOUR, why)]
        back = look(runs + hourly(2, A, 7 * HOUR + MINUTE), 8 * HOUR + 2 * MINUTE, gaps=gaps, alive={A: True})
        assert (back.missed, back.missing, back.misfire) == ((), False, None)
        assert back.day.planned == 5
        gone = look(runs, 9 * HOUR + 16 * MINUTE, gaps=gaps, alive={A: True})
        assert gone.missing


def test_runs_made_up_for_after_a_sleep_are_no_extras() -> None:
    gaps = [Gap(START + 2 * HOUR + 5 * MINUTE, START + 6 * HOUR - 10 * MINUTE, "suspended")]
    woken = [run(START + 6 * HOUR - (9 - turn) * MINUTE) for turn in range(3)]
    found = look(hourly(3) + woken + hourly(3, A, 6 * HOUR), 8 * HOUR + SECOND, gaps=gaps, alive={A: True})
    assert verdicts(found) == ["expected"] * 4 + ["catch-up"] * 2 + ["expected"] * 3
    assert (found.misfire, found.missed) == (None, ())


def test_a_job_that_left_cleanly_is_missed_once_and_then_forgotten() -> None:
    said = [announcement(seen_at=START + 2 * HOUR, ended_at=START + 2 * HOUR + 30 * MINUTE)]
    assert look(hourly(3), 4 * HOUR, said, alive={A: False}).missing
    later = look(hourly(3), 30 * HOUR, said, alive={A: False})
    assert (later.missing, len(later.missed)) == (False, 1)
    assert look(hourly(3), 30 * HOUR, said, config=HELD, alive={A: False}).missing, (
        "the config still asks for it"
    )


def test_a_crontab_line_that_never_ran_as_a_job_is_not_waited_for() -> None:
    said = [announcement("cron 0 * * * *", "/etc/cron.d/backup", source="crontab")]
    assert not look([], DAY, said).missing
    assert look([], DAY, [announcement("cron 0 * * * *")], alive={A: True}).missing


def test_a_job_only_the_config_knows_is_missing_and_nobody_says_since_when() -> None:
    found = look([], DAY, config=HELD, since=START)
    assert (found.missing, found.missed, found.week.planned) == (True, (), 0)
    assert not look([], MINUTE, config=HELD, since=START).missing


def test_runs_known_by_their_calls_alone_are_missed_only_where_they_always_came() -> None:
    now_and_then = [one for turn, one in enumerate(hourly(20, source="process")) if turn % 3]
    assert not look(now_and_then, 23 * HOUR).missing
    assert look(hourly(20, source="process"), 23 * HOUR).missing


@pytest.mark.parametrize("plan", ["every 0.000001s", "every 0.001s", "timer *:*:*"])
def test_a_plan_of_a_thousand_runs_a_second_takes_no_time_to_judge(plan: str) -> None:
    began = time.perf_counter()
    look([run(START, plan=plan), run(START + 8 * DAY, plan=plan)], 8 * DAY + MINUTE)
    assert time.perf_counter() - began < 5


# clocks


@pytest.mark.parametrize("step", [-HOUR, -20 * MINUTE, 20 * MINUTE, 2 * HOUR])
@pytest.mark.parametrize("seen", [True, False])
def test_a_clock_that_was_set_gives_neither_extra_nor_missed_runs(step: int, seen: bool) -> None:
    at = 2 * HOUR + 30 * MINUTE
    runs = [
        run(START + turn * HOUR + (step if turn * HOUR > at else 0), elapsed_at=turn * HOUR + DAY)
        for turn in range(6)
    ]
    low, high = sorted((START + at, START + at + step))
    gaps = [Gap(low, high, "clock", step)] if seen else []
    found = watch_now(runs, 5 * HOUR + step + MINUTE, gaps)
    assert set(verdicts(found)) == {"expected"}
    assert (found.misfire, found.missed, found.missing) == (None, (), False)


def watch_now(runs: Sequence[Run], now: int, gaps: Sequence[Gap]) -> Watched:
    said = [announcement(first_at=START, seen_at=max(one.started_at for one in runs))]
    record = plan_of_record("trade", None, said, HOUR, "UTC", now=START + now)
    return watch("trade", record, runs, said, gaps, {A: True}, START + now)


def test_a_planned_time_that_the_clock_shows_twice_may_run_twice() -> None:
    """10:00 comes, the clock is set from 10:05 to 09:05, 10:00 comes again."""
    step = [Gap(START + 9 * HOUR + 5 * MINUTE, START + 10 * HOUR + 5 * MINUTE, "clock", -HOUR)]
    walls = [8, 9, 10, 10, 11]
    runs = [
        run(START + wall * HOUR, f"boot:1:{turn}:1", "cron 0 * * * *", elapsed_at=DAY + turn * HOUR)
        for turn, wall in enumerate(walls)
    ]
    found = look(runs, 11 * HOUR + MINUTE, gaps=step)
    assert sorted(verdicts(found)) == ["clock"] + ["expected"] * 4
    assert (found.misfire, found.missed) == (None, ())


@pytest.mark.parametrize(
    ("first", "hours"),
    [
        (1_774_665_000_000_000, (0, 23, 47)),  # 2026-03-28T03:30 in Berlin; the clocks go forward on the 29th
        (1_792_805_400_000_000, (0, 25, 49)),  # 2026-10-24T03:30 in Berlin; they go back on the 25th
    ],
)
def test_days_of_23_and_25_hours_are_days(first: int, hours: tuple[int, ...]) -> None:
    """A daily run at 03:30 by the clock, planned as cron and as an interval."""
    times = [first + hour * HOUR for hour in hours]
    for plan in ("cron 30 3 * * *", "every 1d"):
        runs = [run(at, plan=plan) for at in times]
        found = look(runs, times[-1] + MINUTE - START, zone="Europe/Berlin", alive={A: True})
        assert set(verdicts(found)) <= {"expected", "early"}
        assert (found.misfire, found.missed, found.missing) == (None, (), False)


# the next run


@pytest.mark.parametrize(
    "away",
    [(0, 3 * HOUR), (90 * MINUTE, 3 * HOUR), (0, 2 * HOUR + 20 * MINUTE), (2 * HOUR + 5 * MINUTE, 3 * HOUR)],
    ids=["no engine", "an engine that stopped", "an engine that came", "an engine that stopped since"],
)
def test_the_next_run_is_a_period_after_the_last_whoever_watches(away: tuple[int, int]) -> None:
    gaps = [Gap(START + away[0], START + away[1], "off")]
    for alive in ({A: True}, {}):
        for minute in (6, 30, 59, 61):
            found = look(hourly(3), 2 * HOUR + minute * MINUTE, gaps=gaps, alive=alive)
            assert found.next_run_at == START + 3 * HOUR
            assert found.missed == ()


def test_the_next_run_is_the_one_that_the_process_of_the_last_announces() -> None:
    told = START + 2 * HOUR + 57 * MINUTE
    mine = announcement(next_run_at=told)
    other = announcement("every 5m", B, next_run_at=START + 2 * HOUR + 32 * MINUTE)
    second = announcement(owner=C, next_run_at=START + 2 * HOUR + 40 * MINUTE)
    at, lives = 2 * HOUR + 30 * MINUTE, {A: True, B: True, C: True}
    assert look(hourly(3), at, [mine, other, second], alive=lives).next_run_at == told
    dead = look(hourly(3), at, [mine, other, second], alive={A: False, B: True, C: True})
    assert dead.next_run_at == second.next_run_at
    passed = look(hourly(3), 2 * HOUR + 58 * MINUTE, [mine], alive={A: True})
    assert passed.next_run_at == START + 3 * HOUR, "what was announced has passed"


def test_the_next_run_comes_later_by_as_long_as_the_machine_slept() -> None:
    gaps = [Gap(START + 2 * HOUR + 5 * MINUTE, START + 2 * HOUR + 25 * MINUTE, "suspended")]
    found = look(hourly(3), 2 * HOUR + 30 * MINUTE, gaps=gaps, alive={A: True})
    assert found.next_run_at == START + 3 * HOUR + 20 * MINUTE


# what nobody announces any more


@pytest.mark.parametrize("plan", ["every 60m", "cron 0 * * * *"])
@pytest.mark.parametrize("how", ["left", "dead"])
@pytest.mark.parametrize("away", [[], [Gap(START + 2 * HOUR, START + 60 * HOUR, "off")]])
def test_a_job_nobody_announces_any_more_is_missed_once_and_has_no_next_run(
    plan: str, how: str, away: list[Gap]
) -> None:
    ended = START + 2 * HOUR + 30 * MINUTE if how == "left" else None
    said = [announcement(plan, seen_at=START + 2 * HOUR, ended_at=ended)]
    runs, alive = hourly(3, plan=plan), {A: False}
    soon = look(runs, 2 * HOUR + 40 * MINUTE, said, alive=alive, gaps=away)
    assert soon.next_run_at == START + 3 * HOUR
    for hours in (6, 30, 50):
        later = look(runs, hours * HOUR, said, alive=alive, gaps=away)
        assert (later.next_run_at, later.deserted) == (None, True)
        assert len(later.missed) == (0 if away else 1)
        assert later.week.planned <= 4
    held = look(runs, 30 * HOUR, said, config=HELD, alive=alive)
    assert len(held.missed) > 20
    assert held.next_run_at is not None
    assert not held.deserted


@pytest.mark.parametrize("other", ["compose", "app"])
def test_a_job_that_somebody_else_announces_goes_on_being_expected(other: str) -> None:
    said = [announcement(), announcement(owner=B, source=other)]
    found = look(hourly(3), 8 * HOUR, said, alive={A: False, B: None})
    assert len(found.missed) > 2
    assert found.next_run_at is not None


def test_what_a_process_missed_while_it_lived_stays_missed_when_another_plan_holds() -> None:
    said = [announcement(ended_at=START + 8 * HOUR), announcement("every 6h", B, START + 8 * HOUR)]
    found = look(
        hourly(3) + hourly(1, B, 8 * HOUR, plan="every 6h"), 9 * HOUR, said, alive={A: False, B: True}
    )
    assert len(found.missed) >= 3


@pytest.mark.parametrize("how", ["found dead", "left"])
def test_deploys_in_one_period_are_restarts_never_a_second_process(how: str) -> None:
    """Processes that were killed after their first run; who found them dead only knows when they were last heard of."""
    starts = [(A, 0), (A, 60), (B, 67), (C, 90), (D, 114)]
    runs = [run(START + minute * MINUTE, owner) for owner, minute in starts]
    until = {A: 66, B: 89, C: 113}
    for now in (68, 91, 115, 150):
        known = [one for one in runs if one.started_at <= START + now * MINUTE]
        said = []
        for one in _said(known):
            end = START + until[one.owner] * MINUTE if one.owner in until else None
            gone = end is not None and end <= START + now * MINUTE
            said.append(
                one._replace(ended_at=(one.seen_at if how == "found dead" else end) if gone else None)
            )
        alive = {one.owner: one.ended_at is None for one in said}
        found = look(runs, now * MINUTE, said, alive=alive)
        expected = ["expected", "expected", "restart", "restart loop", "restart loop"]
        assert verdicts(found) == expected[: len(known)]


# plans that change


def test_a_misfire_of_a_plan_that_became_the_plan_of_record_is_over() -> None:
    """One deploy makes it every 10 instead of every 20 minutes: an alarm at first, told against the plan it was held to."""
    twenty = hourly(4, A, every=20 * MINUTE, plan="every 20m")
    ten = hourly(12, B, 65 * MINUTE, every=10 * MINUTE, plan="every 10m")
    said = [
        announcement("every 20m", A, seen_at=START + HOUR, ended_at=START + 64 * MINUTE),
        announcement("every 10m", B, START + 65 * MINUTE),
    ]
    alive = {A: False, B: True}
    alarm = look(twenty + ten, 76 * MINUTE, said, alive=alive)
    assert alarm.misfire is not None
    assert (alarm.plan.plan, alarm.misfire.held_to, alarm.misfire.going_on) == (
        "every 20m",
        "every 20m",
        True,
    )
    after = [look(twenty + ten, minute * MINUTE, said, alive=alive) for minute in range(80, 170, 2)]
    accepted = [found for found in after if found.plan.plan == "every 10m"]
    assert len(accepted) > 20
    for found in after:
        assert found.misfire is not None
        assert found.misfire.held_to == "every 20m"
        assert found.misfire.going_on == (found.plan.plan == "every 20m")
    assert accepted[-1].judged[-1].verdict == "expected"


# what costmon refused


def test_a_run_whose_calls_were_refused_happened_and_neither_fails_nor_costs() -> None:
    failed = hourly(2, A, 2 * HOUR, outcome="error")
    refused = hourly(2, A, 4 * HOUR, outcome="refused", cost=0)
    found = look(hourly(2) + failed + refused, 5 * HOUR + MINUTE)
    assert (found.failing, found.day.actual, found.missed) == (2, 6, ())
    assert look(hourly(2) + hourly(4, A, 2 * HOUR, outcome="refused", cost=0), 5 * HOUR + MINUTE).failing == 0
    often = hourly(2, every=5 * MINUTE, plan="every 5m")
    stopped = hourly(3, A, 10 * MINUTE, every=5 * MINUTE, plan="every 5m", outcome="refused", cost=0)
    misfire = look(often + stopped, 21 * MINUTE, config=HELD).misfire
    assert misfire is not None
    assert (misfire.runs, misfire.cost) == (5, 2_400_000)


# the rest of what is told


def test_overlapping_runs_and_runs_longer_than_their_period_are_told() -> None:
    runs = [run(START, lasts=70 * MINUTE), run(START + HOUR), run(START + 2 * HOUR)]
    found = look(runs, 2 * HOUR + MINUTE)
    assert [(one.overlaps, one.too_long) for one in found.judged] == [
        (False, True),
        (True, False),
        (False, False),
    ]
    going_on = look([run(START, lasts=None)], 61 * MINUTE, alive={A: True})
    assert going_on.judged[0].too_long


def test_runs_that_fail_and_still_cost_are_counted_from_the_last_that_did_not() -> None:
    runs = hourly(2) + hourly(3, A, 2 * HOUR, outcome="error")
    assert look(runs, 4 * HOUR + MINUTE).failing == 3
    assert look(hourly(2) + hourly(3, A, 2 * HOUR, outcome="error", cost=0), 4 * HOUR + MINUTE).failing == 0
    assert look(hourly(3, outcome="error", cost=None), 2 * HOUR + MINUTE).failing == 3, (
        "what is unknown is not zero"
    )


def test_the_cost_of_a_misfire_is_unknown_when_that_of_one_run_is() -> None:
    found = look(hourly(2, every=5 * MINUTE, plan="every 5m", cost=None), 6 * MINUTE, config=HELD)
    assert found.misfire is not None
    assert found.misfire.cost is None


def test_a_run_meant_for_its_planned_time_matches_however_late_it_began() -> None:
    times = [(0, 0), (1, 40), (2, 0), (3, 0)]
    runs = [run(START + hour * HOUR + late * MINUTE, planned_at=START + hour * HOUR) for hour, late in times]
    assert look(runs, 3 * HOUR + MINUTE).misfire is None
    assert set(verdicts(look(runs, 3 * HOUR + MINUTE))) == {"expected", "late"}
    crons = [one._replace(plan="cron 0 * * * *") for one in runs]
    found = look(crons, 3 * HOUR + MINUTE)
    assert verdicts(found) == ["expected", "late", "expected", "expected"]
    assert [one.due_at for one in found.judged] == [START + hour * HOUR for hour, _ in times]


def test_intervals_of_a_tenth_of_a_second_are_judged_too() -> None:
    runs = hourly(200, every=101_000, plan="every 0.1s", lasts=1000)
    found = look(runs, 200 * 101_000, alive={A: True})
    assert set(verdicts(found)) <= {"expected", "early"}
    assert (found.misfire, found.missed) == (None, ())
    doubled = look(
        runs + hourly(10, B, 50_000, every=101_000, plan="every 0.1s", lasts=1000),
        160_000,
        alive={A: True, B: True},
    )
    assert doubled.misfire is not None


def test_what_nobody_plans_is_never_told_however_it_runs() -> None:
    even = look(hourly(12, every=5 * MINUTE, plan=""), HOUR)
    assert set(verdicts(even)) == {"unplanned"}
    assert (even.plan.said_by, even.misfire, even.missing) == ("floor", None, False)
    assert even.rhythm is not None
    assert even.rhythm.every_us == 5 * MINUTE
    odd = [run(START + at * MINUTE, plan="") for at in (0, 1, 2, 30, 31, 55, 56, 57, 58)]
    assert (look(odd, HOUR).rhythm, look(odd, HOUR).misfire) == (None, None)


def test_the_order_of_what_is_read_does_not_matter() -> None:
    runs = hourly(6) + hourly(3, B, 3 * HOUR + 20 * MINUTE)
    assert look(runs, 6 * HOUR) == look(runs[::-1], 6 * HOUR)
