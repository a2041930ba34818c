"""Laws of the judge, over any runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.schedule.judge import watch
from costmon.insight.schedule.record import plan_of_record
from costmon.insight.schedule.values import (
    MANUAL,
    OTHER_PLAN,
    UNEXPECTED,
    Announcement,
    Gap,
    Run,
    Watched,
)

from .makers import DAY, HOUR, MINUTE, SECOND, START, announcement, run

OWNERS = ("boot:1:100:100", "boot:1:200:200", "boot:1:300:300")
PLANS = ("every 60m", "every 60m", "every 20m", "cron 0 * * * *", "")


@st.composite
def histories(draw: st.DrawFn) -> list[Run]:
    """Runs of up to three processes over a day, around their plans and not."""
    runs = []
    for at in draw(st.lists(st.integers(0, 24 * 60 * 60), max_size=25, unique=True)):
        if draw(st.booleans()):
            at -= at % 3600
        runs.append(
            run(
                START + at * SECOND,
                draw(st.sampled_from(OWNERS)),
                draw(st.sampled_from(PLANS)),
                lasts=draw(st.sampled_from((SECOND, MINUTE, HOUR, None))),
                outcome=draw(st.sampled_from(("ok", "ok", "error", "skipped", "unknown"))),
                elapsed_at=draw(st.sampled_from((None, at * SECOND + DAY))),
            )
        )
    return list({one.id: one for one in runs}.values())


gaps = st.lists(
    st.builds(
        lambda start, lasts, why: Gap(START + start * SECOND, START + (start + lasts) * SECOND, why),
        st.integers(0, 86_400),
        st.integers(1, 20_000),
        st.sampled_from(("off", "suspended")),
    ),
    max_size=3,
)
living = st.fixed_dictionaries({owner: st.sampled_from((True, False, None)) for owner in OWNERS})


def judged(
    runs: list[Run],
    gaps: list[Gap],
    alive: dict[str, bool | None],
    *,
    moved: int = 0,
    announcements: tuple[Announcement, ...] = (),
) -> Watched:
    now = START + DAY + moved
    said = announcements or tuple(
        announcement(plan, owner, START + moved, seen_at=START + DAY + moved)
        for owner, plan in zip(OWNERS, ("every 60m", "every 60m", "every 20m"), strict=True)
    )
    record = plan_of_record("trade", None, said, HOUR, "UTC", now=now, alive=alive)
    return watch("trade", record, runs, said, gaps, alive, now)


@given(histories(), gaps, living)
def test_every_run_that_happened_has_one_verdict_and_counts_agree(
    runs: list[Run], gaps: list[Gap], alive: dict[str, bool | None]
) -> None:
    found = judged(runs, gaps, alive)
    assert [one.run.id for one in found.judged] == [
        one.id for one in sorted(runs, key=lambda one: (one.started_at, one.id)) if one.outcome != "skipped"
    ]
    assert found.week.actual == len(found.judged)
    assert found.week.unexpected == sum(one.verdict in UNEXPECTED for one in found.judged)
    assert found.week.missed == len(found.missed)
    assert found.misfire is None or 2 <= found.misfire.runs <= found.week.unexpected
    assert list(found.missed) == sorted(set(found.missed))
    answered = sum(one.due_at is not None for one in found.judged)
    assert found.week.planned >= max(answered - 1, len(found.missed))


@given(histories(), gaps, living, st.randoms(use_true_random=False))
def test_the_order_of_input_does_not_matter(
    runs: list[Run], gaps: list[Gap], alive: dict[str, bool | None], chance: object
) -> None:
    mixed, holes = list(runs), list(gaps)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    chance.shuffle(holes)  # type: ignore[attr-defined]
    assert judged(mixed, holes, alive) == judged(runs, gaps, alive)


@given(histories(), gaps, living, st.integers(0, 86_400))
def test_a_run_by_hand_changes_no_other_verdict(
    runs: list[Run], gaps: list[Gap], alive: dict[str, bool | None], at: int
) -> None:
    by_hand = run(START + at * SECOND, "boot:1:999:999", lasts=HOUR, manual=True)
    before, after = judged(runs, gaps, alive), judged([*runs, by_hand], gaps, alive)
    assert [one for one in after.judged if one.verdict != MANUAL] == list(before.judged)
    assert (after.missed, after.misfire, after.missing) == (before.missed, before.misfire, before.missing)


@given(histories(), gaps, living, st.integers(-400 * DAY, 400 * DAY))
def test_another_day_changes_nothing_for_an_interval(
    runs: list[Run], gaps: list[Gap], alive: dict[str, bool | None], moved: int
) -> None:
    there = [
        one._replace(
            started_at=one.started_at + moved, ended_at=None if one.ended_at is None else one.ended_at + moved
        )
        for one in runs
    ]
    holes = [gap._replace(start_at=gap.start_at + moved, end_at=gap.end_at + moved) for gap in gaps]
    here, moved_on = judged(runs, gaps, alive), judged(there, holes, alive, moved=moved)
    assert [one.verdict for one in here.judged] == [one.verdict for one in moved_on.judged]
    assert [at + moved for at in here.missed] == list(moved_on.missed)
    assert (here.week, here.day, here.missing) == (moved_on.week, moved_on.day, moved_on.missing)


@given(histories(), gaps, living)
def test_whoever_announces_a_shorter_plan_is_unexpected_from_the_first_run(
    runs: list[Run], gaps: list[Gap], alive: dict[str, bool | None]
) -> None:
    for one in judged(runs, gaps, alive).judged:
        if one.run.plan == "every 20m":
            assert one.verdict == OTHER_PLAN
