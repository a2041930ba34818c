"""The schedule: what a person reads of jobs, their plans and what ran, and how one moves in them."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from costmon.insight.schedule.values import UNEXPECTED, Count
from costmon.monitor.schedule.values import Schedule, ScheduledJob
from costmon.monitor.snapshot import Snapshot
from costmon.tui.app import CostmonApp
from costmon.tui.lines import Line, width_of
from costmon.tui.pages.schedule import JobDetails, JobPage, SchedulePage
from costmon.tui.widgets.figures import figures
from costmon.tui.widgets.jobcells import cells, entry, layout
from costmon.tui.widgets.jobdetails import details
from costmon.tui.widgets.joblist import JobList
from costmon.tui.widgets.jobs import jobs
from costmon.tui.widgets.jobstrip import SIGNS, sign_of, strip
from costmon.tui.widgets.jobtext import fact_text, last_text, ordered, trend_text, when
from costmon.tui.widgets.oneline import one_line
from costmon.tui.widgets.timeline import costs, hours, timeline

from . import samples
from .samples import NOW, ZONE, job, misfire, run_at, scheduled
from .script import Script, first_paint, footer, later, make_app, screen_lines, screen_text, settled

SIZES = (
    (80, 24),
    (120, 40),
    (200, 50),
    (50, 20),
    (52, 10),
    (240, 80),
    (110, 12),
    (170, 14),
    (90, 60),
    (40, 30),
)


def text(lines: list[Line]) -> str:
    return "\n".join("".join(part for part, _ in one) for one in lines)


def cards(found: list[ScheduledJob], width: int) -> list[list[Line]]:
    columns = [cells(one, NOW) for one in found]
    made = layout(found, columns, NOW, width)
    return [entry(one, each, made, NOW, width) for one, each in zip(found, columns, strict=True)]


async def opened(pilot: Pilot[None]) -> SchedulePage:
    await first_paint(pilot)
    await pilot.press("j")
    await settled(pilot, lambda: isinstance(pilot.app.screen, SchedulePage))
    page = pilot.app.screen
    assert isinstance(page, SchedulePage)
    return page


def cursor_line(pilot: Pilot[None]) -> str:
    app = pilot.app
    assert isinstance(app, CostmonApp)
    return next((one for one in screen_lines(app) if "▸" in one), "")


# --- the timeline -------------------------------------------------------------------------------------------


def test_a_mark_stands_at_the_hour_of_its_run() -> None:
    """Now is at the left; a run at 20:00 stands below the 20."""
    due = (datetime(2026, 11, 21, 11, tzinfo=UTC) - NOW).total_seconds() / 60
    rows = text(timeline([job("night", 1440, due)], NOW, 116, ZONE, 5)).splitlines()
    assert rows[0].index("now") == len("● night ")
    assert rows[1].index("•") == rows[0].index("20")
    assert rows[1].count("•") == 1


@pytest.mark.parametrize("zone", ["Asia/Seoul", "Asia/Kolkata", "Asia/Kathmandu", "UTC", "nowhere/at/all"])
def test_hour_marks_are_whole_hours_of_the_zone(zone: str) -> None:
    """Also where zones differ by quarters of an hour; midnight stands out."""
    shown = hours(NOW, 96, zone)
    marks = [int(part) for part, _ in shown if part.strip().isdigit()]
    assert len(marks) >= 11
    assert {(b - a) % 24 for a, b in pairwise(marks)} == {1}
    assert [style for part, style in shown if part == "00"] == ["strong"]


def test_the_hours_follow_the_wall_over_a_clock_change() -> None:
    """In the night the clocks go back an hour comes twice; no mark lies where none is."""
    before = datetime(2026, 10, 24, 20, tzinfo=UTC)
    shown = hours(before, 200, "Europe/Berlin")
    marks = [part for part, _ in shown if part.strip().isdigit()]
    assert marks[:6] == ["23", "00", "01", "02", "02", "03"]


def test_more_jobs_than_fit_are_counted_and_the_chosen_one_is_there() -> None:
    """'+197 more'."""
    found = ordered(samples.two_hundred_jobs().schedule.jobs, worst_first=True)
    chosen = found[120]
    rows = text(timeline(found, NOW, 76, ZONE, 3, (chosen.name, chosen.apps))).splitlines()
    assert rows[0].startswith("+197 more")
    assert any(chosen.name in row for row in rows)
    assert len(rows) == 4


def test_more_runs_than_are_known_are_not_drawn_as_none() -> None:
    """500 of a run a minute reach a third of the day; the rest is dots that say that there is more."""
    (_, row) = text(timeline([job("tick", 1, 1)], NOW, 116, ZONE, 5)).splitlines()
    assert row.rstrip().endswith("……")
    assert "■■■" in row


def test_a_job_without_a_mark_says_why() -> None:
    """Overdue, later than tomorrow, without a plan, unconfirmed."""

    def row(one: ScheduledJob) -> str:
        return text(timeline([replace(one, upcoming=())], NOW, 100, ZONE, 5)).splitlines()[1]

    assert "! overdue" in row(job("a", 60, -3))
    assert "next 27 Nov 14:02" in row(job("a", 60, 6 * 1440))
    unplanned = replace(job("a", 60, 5), next_run=None, plan="")
    assert "no plan" in row(unplanned)
    assert "seems to run every 15m, unconfirmed" in row(replace(unplanned, rhythm=timedelta(minutes=15)))


def test_the_projection_says_what_it_lacks() -> None:
    """The least it is where a job's cost is not known; as many figures as fit."""
    whole = scheduled(job("a", 60, 5), job("b", 60, 6)).schedule
    assert costs(whole, 80) == "tonight $0.024 · this week $0.0816 · this month $0.5424"
    assert costs(whole, 40) == "tonight $0.024 · this week $0.0816"
    part = scheduled(job("a", 60, 5), job("b", 60, 6, tonight=None)).schedule
    assert costs(part, 80).startswith("tonight ≥ $0.012 · this week $0.0816")
    assert costs(scheduled(job("a", 60, 6, tonight=None)).schedule, 80).startswith("tonight ?")
    assert costs(Schedule(), 80) == ""


# --- plan and fact ------------------------------------------------------------------------------------------


def test_each_cell_of_the_strip_is_an_hour_and_the_gravest_shows() -> None:
    """On time, early, late, missed, unexpected, failed, running, explained, unplanned: each has its own sign."""
    hour = timedelta(hours=1)
    found = [("expected", "ok"), ("early", "ok"), ("late", "ok"), ("other plan", "ok"), ("expected", "error"),
             ("expected", "running"), ("manual", "ok"), ("unplanned", "ok"), ("expected", "skipped"),
             ("expected", "unknown")]  # fmt: skip
    runs = tuple(run_at(NOW - hour * (20 - n) + hour / 2, *one, planned=None) for n, one in enumerate(found))
    shown = text(
        [
            strip(
                replace(job("a", 60, 5), recent=runs, day=Count(24, 10, 1, 1), missed=(NOW - hour * 2.5,)),
                NOW,
            )
        ]
    )
    assert shown == "····●<>!✗»◦▪-?·······○··"
    assert len({sign for sign, _ in SIGNS.values()}) == len(SIGNS)
    both = (run_at(NOW - hour / 2), run_at(NOW - hour / 3, "doubled"))
    assert text([strip(replace(job("a", 60, 5), recent=both), NOW)])[-1] == "!"
    assert {sign_of(run_at(NOW, verdict)) for verdict in UNEXPECTED} == {"unexpected"}


def test_a_run_stands_where_it_was_planned() -> None:
    """Some seconds of delay must not leave a gap and a pair."""
    at = NOW - timedelta(hours=3)
    runs = (run_at(at + timedelta(seconds=20), "late", planned=at),)
    found = replace(job("a", 60, 5), recent=runs, day=Count(1, 1, 0, 0))
    assert text([strip(found, NOW)]).index(">") == 20


def test_runs_that_are_not_kept_are_not_drawn_as_none() -> None:
    """Before the oldest of the 500 that are known."""
    shown = text([strip(job("tick", 1, 1), NOW)])
    assert shown.startswith("┄┄")
    assert shown.endswith("●●")
    assert "·" not in shown


def test_a_misfire_is_told_in_one_line() -> None:
    """By how often it runs, or in counts where no one interval says it."""
    assert fact_text(misfire()) == "runs every 5m, planned every 60m"
    pair = tuple(run_at(NOW - timedelta(minutes=60 * n, seconds=s)) for n in range(5) for s in (0, 1))
    doubled = replace(misfire(), recent=pair, hour=Count(1, 2, 1, 0))
    assert fact_text(doubled) in ("2 runs in the last hour, 1 planned", "runs every 1s, planned every 60m")
    once = replace(misfire(), recent=pair[:1], hour=Count(0, 0, 0, 0), day=Count(1, 2, 1, 0))
    assert fact_text(once) == "2 runs in the last day, 1 planned"


def test_figures_of_a_job_are_in_its_card() -> None:
    """Counts against plan, cost a run, trend, tonight; unknown is a question mark, never nothing."""
    (shown,) = map(text, cards([misfire()], 72))
    for word in (
        "1h 12/1",
        "24h 35/24",
        "7d 179/168",
        "a run $0.0012",
        "tonight $0.142",
        "unplanned in 4m 00s",
    ):
        assert word in shown
    assert "announces every 5m" in shown
    unknown = samples.schedule().schedule.jobs[3]
    (shown,) = map(text, cards([unknown], 72))
    assert "a run ?" in shown
    assert "tonight ?" in shown
    assert "1h 2/–" in shown
    assert "$0" not in shown


def test_a_run_before_the_plan_of_a_misfire_is_said_to_be_unplanned() -> None:
    """Not the planned run after it, nor one of a job that keeps its plan."""
    found = misfire()
    assert when(found, NOW) == ("unplanned in 4m 00s", "bad")
    assert when(replace(found, next_run=found.upcoming[0]), NOW)[0].startswith("next in ")
    assert when(job("a", 60, 5), NOW) == ("next in 5m 00s", "")
    assert when(replace(found, upcoming=()), NOW)[0] == "unplanned in 4m 00s"


def test_a_refused_run_is_told_apart_from_a_failed_one() -> None:
    refused = replace(run_at(NOW, "expected"), outcome="refused")
    assert sign_of(refused) == "refused"
    assert SIGNS["refused"] != SIGNS["failed"]
    assert last_text(replace(job("a", 60, 5), outcome="refused"), NOW)[0].startswith("refused ")


def test_a_trend_is_an_arrow() -> None:
    """Up is what a person should see."""
    assert trend_text(Decimal("1.34")) == ("↑ 1.34x", "warn")
    assert trend_text(Decimal("0.5")) == ("↓ 0.50x", "")
    assert trend_text(Decimal("1.01")) == ("→ 1.01x", "dim")
    assert trend_text(Decimal("12345")) == ("↑ >100x", "warn")
    assert trend_text(None)[0] == trend_text(Decimal("NaN"))[0] == ""


@pytest.mark.parametrize("width", [40, 76, 116, 196])
def test_no_line_is_wider_than_the_page_and_figures_stand_below_each_other(width: int) -> None:
    """For every sample, hostile names among them."""
    for name in ("schedule", "hostile", "two_hundred_jobs"):
        found = ordered(getattr(samples, name)().schedule.jobs, worst_first=True)
        entries = cards(found, width)
        if name != "hostile":
            assert all(width_of(one) <= width for lines in entries for one in lines)
    rows = [text(lines) for lines in cards(list(samples.two_hundred_jobs().schedule.jobs), width)]
    if width >= 140:
        assert len({cell_len(row[: row.index("$0.0012")]) for row in rows}) == 1


def test_the_worst_is_first_or_the_next() -> None:
    """A misfire, what is not quite as planned, what nobody confirmed, the rest."""
    found = samples.schedule().schedule.jobs
    assert [one.level for one in ordered(found, worst_first=True)] == [
        "bad",
        "warn",
        "unconfirmed",
        "ok",
        "ok",
    ]
    assert ordered(found, worst_first=False)[0].name == "news digest"
    assert ordered(found, worst_first=False)[-1].next_run is None


# --- everything about one job -------------------------------------------------------------------------------


def test_details_name_the_plan_and_everybody_who_says_another() -> None:
    """With source, freshness and whether it agrees; counts, money and the last runs."""
    shown = text(details(misfire(), NOW, 76, ZONE))
    for word in (
        "✗ trade  MISFIRE",
        "Two processes run it",
        "plan     every 60m · said by the config",
        "= every 60m  agrees",
        "≠ every 5m  DIFFERS",
        "app · backend (pid 977) · app backend · seen now · next 14:06:11",
        "hour             1   12          11       0",
        "a run    $0.0012 · 95 % up to $0.0014",
        "until midnight $0.142",
        "! 14:01:11",
    ):
        assert word in shown
    row = next(one for one in shown.splitlines() if one.startswith("! 14:01:11"))
    assert row.split() == [
        "!",
        "14:01:11",
        "other",
        "plan",
        "$0.0012",
        "ok",
        "8.0s",
        "1",
        "call",
        "backend",
        "(pid",
        "977)",
    ]


def test_a_plan_nobody_confirmed_is_shown_as_such() -> None:
    """And one that is gone, and one of another zone."""
    unconfirmed, backup = samples.schedule().schedule.jobs[3:5]
    shown = text(details(unconfirmed, NOW, 70, ZONE))
    assert "UNCONFIRMED" in shown
    assert "It seems to run every 30m; nobody said so" in shown
    assert "Nobody announces a plan." in shown
    shown = text(details(backup, NOW, 70, ZONE))
    assert "cron 0 */2 * * * · in Europe/Berlin" in shown
    assert "announced by /etc/cron.d/backup:3" in shown
    assert "every 2h  gone" in shown
    assert "seen 3h ago" in shown


@pytest.mark.parametrize("width", [1, 20, 36, 60, 119, 120, 200])
def test_details_fit_every_width(width: int) -> None:
    """Names from outside among them."""
    for name in ("schedule", "hostile"):
        for one in getattr(samples, name)().schedule.jobs:
            assert all(width_of(row) <= width for row in details(one, NOW, width, ZONE))


# --- the page -----------------------------------------------------------------------------------------------


async def test_j_opens_the_schedule_and_enter_a_job() -> None:
    """With the keys of every page; escape closes one thing at a time; the countdown goes on."""
    script = Script(samples.schedule())
    app = make_app(script)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        shown = screen_text(app)
        for word in (
            "Next 24 hours",
            "tonight ≥ $0.178",
            "▸ ✗ trade",
            "1h 12/1",
            "MISFIRE: trade runs every 5m, planned every 60m",
        ):
            assert word in shown
        assert footer(app).split()[:5] == ["k", "Stop", "all", "⏎", "Details"]
        assert "q Quit" in footer(app)
        assert not page.query_one(JobDetails).display
        later(app, 61)
        await settled(pilot, lambda: "unplanned in 2m 59s" in screen_text(app))
        await pilot.press("down", "enter")
        await settled(pilot, lambda: isinstance(app.screen, JobPage))
        assert "The last 4 runs failed and still cost" in screen_text(app)
        script.put(
            replace(
                samples.schedule(),
                schedule=replace(
                    samples.schedule().schedule, jobs=(samples.misfire(), job("news digest", 15, 7.5))
                ),
            )
        )
        await settled(pilot, lambda: "next in 7m 30s" in screen_text(app))
        for number, key in enumerate(("k", "ctrl+k"), 1):
            await pilot.press(key)
            await settled(pilot, lambda number=number: script.toggles == number)  # type: ignore[misc]
        await pilot.press("escape")
        await settled(pilot, lambda: app.screen is page)
        assert "news digest" in cursor_line(pilot)
        await pilot.press("o")
        await settled(pilot, lambda: "Live feed" in screen_text(app))
        assert "next run" in screen_text(app)


@pytest.mark.slow
async def test_s_sorts_and_the_cursor_stays_on_its_job() -> None:
    """Also when new figures move it."""
    script = Script(samples.schedule())
    app = make_app(script)
    async with app.run_test(size=(80, 40)) as pilot:
        page = await opened(pilot)
        assert "✗ trade  MISFIRE" in screen_text(app)
        await pilot.press("s")
        await settled(pilot, lambda: "the next first" in screen_text(app))
        assert "✗ trade" in cursor_line(pilot) or "news digest" in cursor_line(pilot)
        await pilot.press("home", "down", "down")
        here = page.query_one(JobList).chosen
        assert here is not None
        await pilot.press("s")
        await settled(pilot, lambda: "the worst first" in screen_text(app))
        assert here.name.split()[0] in cursor_line(pilot)
        await settled(pilot, lambda: page.query_one(JobDetails).chosen == here)


@pytest.mark.slow
async def test_every_job_of_two_hundred_can_be_reached_and_a_second_costs_little() -> None:
    """By lines, pages and edges; measured in this process's own time, so that a busy machine does not matter."""
    snapshot = samples.two_hundred_jobs()
    app = make_app(Script(snapshot))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        table = page.query_one(JobList)
        await pilot.press("end")
        last = ordered(snapshot.schedule.jobs, worst_first=True)[-1]
        await settled(pilot, lambda: last.name in cursor_line(pilot))
        await pilot.press("home")
        seen: set[str] = set()
        for _ in range(8):
            seen.add(table.chosen.name if table.chosen else "")
            before = table.chosen
            await pilot.press("pagedown")
            if table.chosen == before:
                break
        assert len(seen) == 8
        begin = time.process_time()
        for second in range(1, 6):
            later(app, second)
        assert time.process_time() - begin < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_and_state_is_drawn(size: tuple[int, int]) -> None:
    """Nothing breaks, and a misfire is never out of sight."""
    script = Script(samples.schedule())
    app = make_app(script)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        assert "MISFIRE" in screen_text(app)
        for name in ("hostile", "empty"):
            snapshot = samples.ALL[name]()
            script.put(snapshot)
            await settled(pilot, lambda snapshot=snapshot: app.snapshot == snapshot)  # type: ignore[misc]
            for key in ("", "enter") if name == "hostile" else ("",):
                await pilot.press(*filter(None, (key,)))
                await pilot.pause()
                shown = screen_text(app)
                assert "cannot be shown" not in shown
                assert not set(shown) & {
                    chr(n) for n in (*range(10), *range(11, 32), *range(127, 160), 0x202E)
                }
            if name == "hostile":
                await pilot.press("escape")
        await pilot.resize_terminal(40, 12)
        await settled(pilot, lambda: screen_lines(app)[0].startswith("costmon"))
        assert not "".join(screen_lines(app)[1:]).strip()


@pytest.mark.slow
async def test_a_wide_terminal_shows_a_job_beside_the_list() -> None:
    """It follows the cursor."""
    app = make_app(Script(samples.schedule()))
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: "≠ every 5m  DIFFERS" in screen_text(app))
        await pilot.press("down")
        await settled(pilot, lambda: "One planned run was missed." in screen_text(app))


@pytest.mark.slow
async def test_without_a_job_the_page_says_how_to_get_one() -> None:
    """And names what could not be read."""
    problem = "/etc/cron.d/old:7 cannot be parsed."
    app = make_app(Script(replace(samples.empty(), schedule=Schedule(problems=(problem,)))))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        shown = screen_text(app)
        assert '@costmon.job("trade", every="60m")' in shown
        assert problem in shown
        await pilot.press("enter", "down", "pageup", "end", "s")
        assert isinstance(app.screen, SchedulePage)


# --- the overview -------------------------------------------------------------------------------------------


def test_the_overview_says_what_runs_and_what_was_planned() -> None:
    """First of all jobs, below its name, in red; in a narrow panel too."""
    found = samples.schedule().schedule.jobs
    for width in (34, 90):
        rows = text(jobs(found, NOW, width)).splitlines()
        assert "✗ trade" in rows[0]
        assert "runs every 5m, planned every 60m" in "\n".join(rows[:4])
        assert all(width_of(one) <= width for one in jobs(found, NOW, width)) or width == 34
    calm = text(jobs(samples.jobs(), NOW, 90))
    assert "planned every" not in calm


def test_the_next_run_is_a_figure_of_the_overview() -> None:
    """With a countdown, in the smallest usual terminal."""
    snapshot = scheduled(job("a", 60, 12.05), job("b", 60, 30))
    assert ("next run", "12m 03s", "strong") in figures(snapshot, NOW)
    assert ("next run", "overdue", "warn") in figures(scheduled(job("a", 60, -1)), NOW)


def test_one_line_has_room_for_a_misfire() -> None:
    """In a terminal of one line, if it is wide enough."""

    def line(snapshot: Snapshot) -> str:
        return text([one_line(snapshot, 40)])

    assert line(samples.schedule()) == "costmon 42 % open MISFIRE"
    assert line(samples.calm()) == "costmon 42 % open"
