"""The running terminal app, driven like a person would."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from textual.color import Color
from textual.geometry import Region

from costmon.monitor.snapshot import Snapshot, SwitchStatus
from costmon.tui.picture import save_picture
from costmon.tui.widgets.feed import Feed
from costmon.tui.widgets.gauges import Gauges
from costmon.tui.widgets.jobs import Jobs
from costmon.tui.widgets.panel import Panel

from . import samples
from .script import Script, first_paint, footer, later, make_app, screen_lines, screen_text, settled, toasts

SIZES = [(80, 24)]
MORE = [
    pytest.param(size, marks=pytest.mark.slow)
    for size in ((120, 40), (300, 100), (60, 20), (20, 5), (200, 60), (90, 12), (80, 50), (2, 1))
]


@pytest.mark.parametrize("size", [*SIZES, *MORE], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_state_is_drawn_at_every_size(size: tuple[int, int]) -> None:
    """Calm, warned, blocked, empty, hostile, unpriced, many: no crash, no panel that could not be shown."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=size) as pilot:
        await first_paint(pilot)
        for maker in samples.ALL.values():
            snapshot = maker()
            source.put(snapshot)
            await settled(pilot, lambda snapshot=snapshot: app.snapshot == snapshot)  # type: ignore[misc]
            shown = screen_text(app)
            assert "cannot be shown" not in shown
            assert not set(shown) & {chr(n) for n in (*range(10), *range(11, 32), *range(127, 160), 0x202E)}


async def test_80x24_shows_what_matters_most() -> None:
    """Gauges, the switch, the figures, the feed and the keys, all at once."""
    app = make_app(Script(samples.warned()))
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        shown = screen_text(app)
        for word in ("$8.52 / $10.00", "past 80 %", "projected $12.71", " OPEN ", "burn rate", "in flight", "gpt-5-mini",
                     "Desktop notifications do not work"):  # fmt: skip
            assert word in shown
        assert footer(app).split() == [
            "k",
            "Stop",
            "all",
            "f",
            "Freeze",
            "j",
            "Jobs",
            "e",
            "Estimate",
            "p",
            "Prices",
            "r",
            "Bills",
            "?",
            "Help",
            "q",
            "Quit",
        ]


@pytest.mark.slow
async def test_a_wide_terminal_adds_switch_jobs_and_shares() -> None:
    """At 120x40 nothing has to be looked for."""
    app = make_app(Script(samples.blocked()))
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        shown = screen_text(app)
        for word in ("SIMULATION", "BLOCKED  2 blocks", "by budget total", "until 1 Dec 00:00", "odd file", "may not obey",
                     "A bare [ -e ]", "Next runs", "overdue 3m", "Models today", "Apps today", "peak $0.09"):  # fmt: skip
            assert word in shown


async def test_the_smallest_terminal_has_one_line() -> None:
    """20x5 says it all in one line."""
    app = make_app(Script(samples.blocked()))
    async with app.run_test(size=(20, 5)) as pilot:
        await first_paint(pilot)
        assert [row.rstrip() for row in screen_lines(app)] == ["costmon 100% BLOCKED", "", "", "", ""]


@pytest.mark.slow
async def test_a_resize_rearranges_the_page() -> None:
    """From large to tiny and back, everything is where it was."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        before = screen_text(app)
        await pilot.resize_terminal(20, 5)
        await settled(pilot, lambda: screen_lines(app)[0].startswith("costmon 42 % open"))
        await pilot.resize_terminal(120, 40)
        await settled(pilot, lambda: screen_text(app) == before)


async def test_nothing_yet_tells_what_to_do() -> None:
    """A first start names the commands that lead on."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        shown = screen_text(app)
        assert "costmon budget set total 10USD --period month" in shown
        assert "costmon run -- python app.py" in shown
        assert "NOBODY WARNS: run costmon watch" in shown


async def test_k_stops_at_once_and_then_offers_to_allow() -> None:
    """One press, no dialog, a sentence; the footer's word follows the switch."""
    source = Script(samples.calm(), toggled=lambda: "Everything is stopped [now].")
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        assert "k Stop all" in footer(app)
        await pilot.press("k")
        await settled(pilot, lambda: "Everything is stopped [now]." in toasts(app))
        assert source.toggles == 1
        source.put(samples.blocked())
        await settled(pilot, lambda: "k Allow" in footer(app))
        await pilot.press("k")
        await settled(pilot, lambda: source.toggles == 2)


async def test_a_second_press_does_not_undo_the_first() -> None:
    """Somebody who hammers k in panic stops everything, once."""
    gate = threading.Event()

    def slow() -> str:
        gate.wait(5)
        return "Stopped."

    source = Script(samples.calm(), toggled=slow)
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("k", "k", "k")
        gate.set()
        await settled(pilot, lambda: "Stopped." in toasts(app))
        assert source.toggles == 1


async def test_a_switch_that_cannot_be_moved_says_why() -> None:
    """A read-only folder: one sentence, and k works again afterwards."""

    def fail() -> str:
        raise PermissionError("the switch folder is read-only")

    source = Script(samples.calm(), toggled=fail)
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("k")
        await settled(pilot, lambda: "the switch folder is read-only" in toasts(app))
        await pilot.press("k")
        await settled(pilot, lambda: source.toggles == 2)


@pytest.mark.slow
async def test_k_works_from_the_help_too() -> None:
    """The switch is one key away, whatever is open."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("question_mark")
        await settled(pilot, lambda: "costmon help" in screen_text(app))
        await pilot.press("k")
        await settled(pilot, lambda: source.toggles == 1)
        await pilot.press("escape")
        await settled(pilot, lambda: "costmon help" not in screen_text(app))


async def test_a_failing_source_is_one_line_and_goes_on() -> None:
    """A locked ledger is said in the banner; the next good snapshot takes the line away."""
    source = Script(samples.calm(), OSError("the ledger is locked [/"))
    app = make_app(source)
    with mock.patch("costmon.tui.app._RETRY", 0.05):
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(
                pilot, lambda: "No new figures: the ledger is locked [/; trying again" in screen_text(app)
            )
            source.put(samples.warned())
            await settled(pilot, lambda: "the ledger is locked" not in screen_text(app))
            assert "$8.52" in screen_text(app)


async def test_a_source_that_fails_before_the_first_snapshot_is_told() -> None:
    """There is nothing to show yet but the reason."""
    app = make_app(Script(OSError("the ledger is corrupt")))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, lambda: "the ledger is corrupt" in screen_text(app))


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def test_a_dead_worker_is_reported_and_started_again() -> None:
    """Even an error that cannot be worded does not end the refreshing."""
    source = Script(samples.calm(), _Unspeakable())
    app = make_app(source)
    with mock.patch("costmon.tui.app._RETRY", 0.05):
        async with app.run_test(size=(100, 24)) as pilot:
            await settled(
                pilot, lambda: "the worker failed (RuntimeError); started again" in screen_text(app)
            )
            source.put(samples.warned())
            await settled(pilot, lambda: "$8.52" in screen_text(app))
            assert app.fault == ""


async def test_a_frozen_feed_does_not_move_and_counts_what_is_new() -> None:
    """While one reads, new calls only raise a number; `f` again shows them."""
    first = samples.calm()
    more = replace(first, feed=(samples.row(-1, key="new2"), samples.row(-2, key="new1"), *first.feed))
    source = Script(first)
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        top = [row for row in screen_lines(app) if "14:02:10" in row]
        await pilot.press("f")
        source.put(more)
        await settled(pilot, lambda: "FROZEN · 2 newer" in screen_text(app))
        assert "f Go on" in footer(app)
        shown = screen_lines(app)
        header = next(number for number, row in enumerate(shown) if "time" in row and "model" in row)
        assert [shown[header + 1]] == top[:1]
        await pilot.press("f")
        await settled(pilot, lambda: "FROZEN" not in screen_text(app))
        assert app.screen.query_one(Feed)._rows == more.feed


@pytest.mark.slow
async def test_a_feed_that_was_scrolled_stays_where_it_is() -> None:
    """New calls arrive above; the rows under the reader's eyes stand still."""
    first = samples.calm()
    source = Script(first)
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("down", "down", "down")
        feed = app.screen.query_one(Feed)
        await settled(pilot, lambda: feed.scroll_offset.y == 3)
        before = screen_lines(app)
        source.put(replace(first, feed=(samples.row(-1, key="new1"), *first.feed)))
        await settled(pilot, lambda: feed.scroll_offset.y == 4)
        after = screen_lines(app)
        header = next(number for number, row in enumerate(before) if "time" in row and "model" in row)
        assert [row[:75] for row in before[header + 1 : -3]] == [row[:75] for row in after[header + 1 : -3]]


async def test_countdowns_tick_without_drawing_the_rest() -> None:
    """Each second only the lines that changed are drawn: the clock, ages and countdowns."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        assert "next in 12m 03s" in screen_text(app)
        drawn: dict[str, int] = {}

        def count(panel: Panel, *regions: Region, **options: object) -> Panel:
            drawn[type(panel).__name__] = drawn.get(type(panel).__name__, 0) + len(regions or (1,))
            return panel

        with mock.patch.object(Panel, "refresh", count):
            later(app, 1.2)
        assert drawn == {"TitleBar": 1, "Jobs": 2, "SwitchPanel": 1}
        later(app, 2.2)
        await pilot.pause()
        shown = screen_text(app)
        assert "next in 12m 01s" in shown
        assert "14:02:13" in shown
        assert "trader     7s ago" in shown


async def test_an_unchanged_snapshot_draws_nothing() -> None:
    """Quiet hours cost nothing."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        with mock.patch.object(Panel, "refresh") as refresh:
            app.snapshot = replace(samples.calm(), prices_source="other")
            assert app.snapshot is not None
        assert refresh.call_count == 0


@pytest.mark.slow
async def test_a_simulations_clock_is_left_alone() -> None:
    """Its time runs at another pace, so seconds of ours are not added to it."""
    app = make_app(Script(samples.blocked()))
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        later(app, 30)
        await pilot.pause()
        assert "14:02:11" in screen_text(app)


@pytest.mark.slow
async def test_t_goes_round_our_themes() -> None:
    """Every theme draws the page, and the last is followed by the first."""
    app = make_app(Script(samples.blocked()))
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        seen = [app.theme]
        for _ in range(4):
            await pilot.press("t")
            await pilot.pause()
            seen.append(app.theme)
        assert seen == ["costmon-dark", "costmon-light", "high-contrast", "terminal", "costmon-dark"]


@pytest.mark.parametrize(
    "theme",
    ["ansi-light", *(pytest.param(theme, marks=pytest.mark.slow) for theme in ("textual-dark", "dracula"))],
)
@pytest.mark.slow
async def test_any_theme_of_textual_works(theme: str) -> None:
    """The command palette offers them, so they must not break the page."""
    app = make_app(Script(samples.hostile()), theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        assert app.theme == theme


async def test_a_bad_theme_file_is_told_once_and_ours_is_used(home: str) -> None:
    """The file and the key are named; the app starts all the same."""
    import os

    os.makedirs(os.path.join(home, "themes"))
    with open(os.path.join(home, "themes", "mine.toml"), "w", encoding="utf-8") as file:
        file.write('primary = "blurple"')
    app = make_app(Script(samples.calm()), theme="mine")
    async with app.run_test(size=(200, 40)) as pilot:
        await first_paint(pilot)
        assert app.theme == "costmon-dark"
        assert '"primary" = "blurple"' in toasts(app)
        assert "Theme mine does not exist" in toasts(app)


async def test_without_colour_everything_is_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR: no colour is sent, and the words are the same."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(Script(samples.blocked()))
    async with app.run_test(size=(120, 40)) as pilot:
        await first_paint(pilot)
        shown = screen_text(app)
        assert "BLOCKED  2 blocks" in shown
        assert "REFUSED 17×" in shown
        ground = Color.parse(app.theme_variables["background"])
        styles = [
            segment.style
            for strip in app.screen._compositor.render_strips()
            for segment in strip.apply_filter(app._filters[-1], ground)
            if segment.style
        ]
        colours = {style.color.triplet for style in styles if style.color and style.color.triplet}
        assert colours
        assert all(red == green == blue for red, green, blue in colours)


async def test_a_keymap_moves_both_faces_of_the_switch_key() -> None:
    """Whoever moves 'switch' to F9 stops and allows with F9."""
    source = Script(samples.calm())
    app = make_app(source)
    app.set_keymap({"switch": "f9"})
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("k", "f9")
        await settled(pilot, lambda: source.toggles == 1)
        source.put(samples.blocked())
        await settled(pilot, lambda: "f9 Allow" in footer(app))


async def test_q_leaves_at_once_and_closes_the_source() -> None:
    """Quitting waits for nobody."""
    source = Script(samples.calm())
    app = make_app(source)
    start = time.monotonic()
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("q")
    assert source.closed
    assert time.monotonic() - start < 5


@pytest.mark.slow
async def test_a_burst_of_snapshots_ends_with_the_newest() -> None:
    """A hundred calls in a moment: the screen shows the last state."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        for number in range(100):
            source.put(replace(samples.calm(), at=samples.NOW + timedelta(seconds=number), in_flight=number))
        await settled(pilot, lambda: app.snapshot is not None and app.snapshot.in_flight == 99)


async def test_a_panel_that_fails_leaves_the_others_and_the_stop_key() -> None:
    """A fault in one panel is said there; everything else works."""
    source = Script(samples.calm())
    app = make_app(source)
    with mock.patch.object(Gauges, "lines", side_effect=ZeroDivisionError):
        async with app.run_test(size=(80, 24)) as pilot:
            await first_paint(pilot)
            assert "This cannot be shown (ZeroDivisionError)." in screen_text(app)
            await pilot.press("k")
            await settled(pilot, lambda: source.toggles == 1)


async def test_the_second_column_appears_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels that are not shown are not computed."""
    snapshot: Snapshot = replace(samples.calm(), switch=SwitchStatus("", (), ()))
    app = make_app(Script(snapshot))
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        assert app.screen.query_one(Jobs)._lines == []


def test_a_picture_can_be_made_without_a_terminal(tmp_path: object) -> None:
    """README's picture comes from a snapshot alone."""
    path = f"{tmp_path}/costmon.svg"
    save_picture(samples.warned(), path)
    with open(path, encoding="utf-8") as file:
        svg = file.read()
    assert svg.startswith("<svg")
    assert "past&#160;80&#160;%" in svg
