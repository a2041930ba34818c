"""Panels as pure functions: what a person reads in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from costmon.monitor.snapshot import ReaderStatus, SwitchStatus
from costmon.shim.money import Money
from costmon.tui.lines import Line, width_of
from costmon.tui.widgets.exceptions import exceptions
from costmon.tui.widgets.feed import newer_than, table
from costmon.tui.widgets.figures import figures
from costmon.tui.widgets.gauges import gauge_bar, gauges, thin_bar
from costmon.tui.widgets.jobs import jobs
from costmon.tui.widgets.levels import offers_allow
from costmon.tui.widgets.oneline import one_line
from costmon.tui.widgets.resources import resources
from costmon.tui.widgets.shares import shares
from costmon.tui.widgets.switchpanel import strip
from costmon.tui.widgets.titlebar import title

from . import samples
from .samples import NOW, ZONE, budget, usd
from .script import Script, first_paint, make_app, screen_lines, screen_text, settled


def text(lines: list[Line] | Line) -> str:
    rows: list[Line] = [lines] if isinstance(lines, tuple) else lines
    return "\n".join("".join(part for part, _ in row) for row in rows)


def test_a_gauge_says_everything_about_its_budget() -> None:
    """Name, scope, period, spent, limit, ratio, level, projection, crossing, time left."""
    shown = text(gauges(samples.warned().budgets, NOW, 110, 40))
    for word in ("total", "everything · month", "$8.52 / $10.00", "85 %", "past 80 %", "projected $12.71",
                 "limit at 24 Nov 18:02 (in 3d)", "9d 9h left", "$0.12 reserved"):  # fmt: skip
        assert word in shown


def test_a_lower_bound_is_shown_as_one() -> None:
    """Unpriced calls: '≥', how many, and what is assumed for them."""
    shown = text(gauges(samples.unpriced().budgets, NOW, 80, 24))
    assert "≥ $3.10 / $10.00" in shown
    assert "37 calls unpriced (assumed $0.94)" in shown


@pytest.mark.parametrize("width", [20, 33, 76, 160])
@pytest.mark.parametrize("spent", ["0", "0.001", "6.999", "9.5", "10", "25"])
def test_the_bar_is_exactly_as_wide_as_its_panel(width: int, spent: str) -> None:
    """Neither nothing, nor a reservation, nor an overshoot makes the bar longer or shorter."""
    for held in ("0", "0.5", "40"):
        assert width_of(gauge_bar(budget("b", spent, "10", reserved=usd(held)), width)) == width


def test_a_bar_has_a_mark_at_each_level() -> None:
    """Marks at 70, 80, 90 and 95 %; cells, not guesses."""
    shown = text(gauge_bar(budget("b", "4", "10"), 100))
    assert [n for n, char in enumerate(shown) if char == "│"] == [70, 80, 90, 95]


def test_a_limit_of_nothing_does_not_crash() -> None:
    """A budget of $0 with a ratio without sense is drawn like any other."""
    odd = replace(budget("b", "1", "10"), limit=Money(0, "USD"), ratio=float("inf"), reserved=usd("1"))
    assert ">999 %" in text(gauges((odd,), NOW, 80, 24))
    assert "0 %" in text(gauges((replace(odd, ratio=float("nan")),), NOW, 80, 24))


def test_many_budgets_put_the_worst_first() -> None:
    """What is blocked or past a level stands on top when not all fit."""
    shown = text(gauges(samples.many().budgets, NOW, 100, 24)).splitlines()
    assert len(shown) == 12
    assert "99 %" in shown[0]


def test_states_are_told_in_words_too() -> None:
    """Somebody who sees no colour reads the same."""
    words = [text(gauges((b,), NOW, 90, 24)) for b in samples.blocked().budgets]
    assert "BLOCKED" in words[0]
    assert "part blocked" in words[1]
    assert "OVER LIMIT" in text(gauges((budget("b", "11", "10"),), NOW, 90, 24))


def test_jobs_tell_when_they_run_next() -> None:
    """Countdown, overdue, runs and failures."""
    shown = text(jobs(samples.jobs(), NOW, 90)).splitlines()
    assert [part.strip() for part in shown[0].split("  ") if part] == [
        "news digest",
        "every 15m",
        "overdue 3m",
        "56 runs, 4 failed",
    ]
    assert "next in 12m 03s" in shown[1]
    assert "14 runs, 1 failed" in shown[1]
    running = samples.job("r", 60, 5, outcome="running", last_started=NOW - timedelta(seconds=8))
    assert "running 8s" in text(jobs((running,), NOW, 90))
    assert "costmon.job(" in text(jobs((), NOW, 40))


def test_an_open_switch_says_who_looked_last() -> None:
    """'trader looked 5s ago' beside the green badge."""
    shown = text(strip(samples.calm().switch, NOW, 80))
    assert " OPEN " in shown
    assert "trader looked 5s ago" in shown
    assert "no app has looked yet" in text(strip(SwitchStatus("", (), ()), NOW, 80))


def test_a_blocked_switch_fills_its_line() -> None:
    """The whole line is reversed, names what is blocked and why."""
    shown = strip(samples.blocked().switch, NOW, 80)
    assert [style for _, style in shown] == ["stopped"]
    assert " BLOCKED  everything and 1 more for 12m · budget total" in text(shown)


def test_the_k_key_frees_what_was_stopped_by_hand_or_wholly() -> None:
    """While only non-essential apps are blocked by themselves, `k` still stops the rest."""
    everything, by_hand = samples.blocked().switch.blocks
    part = replace(everything, scope="nonessential")
    assert offers_allow(SwitchStatus("", (everything,), ()))
    assert offers_allow(SwitchStatus("", (by_hand,), ()))
    assert not offers_allow(SwitchStatus("", (part,), ()))
    assert not offers_allow(SwitchStatus("", (), ()))


def test_it_says_who_warns() -> None:
    """This terminal, another process, or nobody."""
    calm = samples.calm()
    assert "warnings on (this terminal)" in text(title(calm, NOW, 80))
    other = replace(calm, engine=replace(calm.engine, mine=False))
    assert "warned by pid 4242" in text(title(other, NOW, 80))
    assert "NOBODY WARNS: run costmon watch" in text(title(samples.empty(), NOW, 80))
    assert "14:02:11 KST" in text(title(calm, NOW, 80))


def test_the_feed_shows_a_refusals_reason() -> None:
    """In a narrow terminal the reason stands where the figures would; in a wide one it has a column."""
    rows = samples.blocked().feed
    for width in (56, 76, 100, 200):
        shown = text(table(rows, NOW, width, ZONE)).splitlines()
        assert "budget total is" in shown[1]
        assert "REFUSED 17×" in shown[1]
        assert max(len(row) for row in shown) <= width


@pytest.mark.parametrize("width", [46, 60, 76, 90, 110, 140, 200, 300])
def test_feed_rows_align_for_every_name_and_width(width: int) -> None:
    """Korean, emoji and hostile names leave every column where it is."""
    for name in ("hostile", "many", "unpriced"):
        rows = table(samples.ALL[name]().feed, NOW, width, ZONE)
        assert len({width_of(row) for row in rows}) == 1


def test_share_rows_align() -> None:
    """Names of any alphabet, costs on the point."""
    for width in (30, 38, 62, 100):
        assert len({width_of(row) for row in shares(samples.many().by_app, width)}) == 1


def test_unknown_cost_is_not_zero() -> None:
    """A call without a price says 'unpriced', an estimate '~', a free one 'free'."""
    shown = text(table(samples.unpriced().feed, NOW, 100, ZONE)).splitlines()
    assert "unpriced" in shown[1]
    assert "~$1.20" in shown[2]
    assert "free" in shown[3]
    assert ("today", "≥ $1.23", "strong", "$1.23–$2.17") in figures(samples.unpriced(), NOW)


def test_newer_rows_are_counted_when_the_feed_has_moved_on() -> None:
    """Also when every row that was seen has gone."""
    rows = samples.calm().feed
    assert newer_than(rows, rows) == 0
    assert newer_than(rows, rows[3:]) == 3
    assert newer_than(rows[:3], rows[10:]) == 3
    assert newer_than(rows, ()) == 0


@pytest.mark.parametrize("width", [14, 20, 40])
def test_one_line_never_loses_the_switch(width: int) -> None:
    """In the smallest terminal BLOCKED is readable whole."""
    blocked = samples.blocked()
    absurd = replace(blocked, budgets=(replace(blocked.budgets[0], ratio=99.0),))
    for snapshot in (blocked, absurd):
        shown = one_line(snapshot, width)
        assert "BLOCKED" in text(shown)
        assert width_of(shown) <= width


def test_many_readers_are_summed_up() -> None:
    """200 apps: the latest few, and how many of the others have not looked for long."""
    from costmon.tui.widgets.switchpanel import _readers

    shown = text(_readers(samples.many().switch.readers, NOW, 40))
    assert "and 194 more, 189 not for over 10m" in shown
    assert "may not obey" in text(_readers((ReaderStatus("x", NOW - timedelta(hours=1)),), NOW, 40))


def test_a_bar_can_be_read_without_colour() -> None:
    """Copied as plain text, the filled part still differs from the rest."""
    for build in (gauge_bar, thin_bar):
        shown = text(build(budget("b", "5", "10"), 40))
        assert set(shown[:20]).isdisjoint(shown[20:])


def test_a_dry_run_and_a_bypass_cannot_be_overlooked() -> None:
    """A banner says what is not enforced, until when, by whom and why; without them there is none."""
    dry = text(exceptions(samples.dry().rules, NOW, 78, ZONE))
    assert dry == " DRY RUN  all is decided and recorded, nothing refused but what you block"
    shown = text(exceptions(samples.bypassed().rules, NOW, 110, ZONE)).splitlines()
    assert shown == [
        " BYPASS  everything until 14:14 (12m left) · jin at a shell · the market crashed",
        " BYPASS  app=trader until 14:05 (3m left) · jin at a shell · a test of the new plan",
    ]
    assert exceptions(samples.calm().rules, NOW, 78, ZONE) == []
    assert all(width_of(line) <= 40 for line in exceptions(samples.hostile().rules, NOW, 40, ZONE))
    assert "10 more: costmon bypass" in text(exceptions(samples.hostile().rules, NOW, 78, ZONE))


def test_what_a_dry_run_let_go_is_not_shown_as_refused() -> None:
    """The feed says that it would be refused, the figures count it apart."""
    shown = text(table(samples.dry().feed, NOW, 76, ZONE)).splitlines()
    assert "would be refused: b" in shown[1]
    assert shown[1].rstrip().endswith("DRY RUN 17×")
    assert "REFUSED" not in text(table(samples.dry().feed, NOW, 160, ZONE))
    found = {label: value for label, value, *_ in figures(samples.dry(), NOW)}
    assert "refused" not in found
    assert found["dry run"] == "18 let go"


def test_the_one_line_names_a_dry_run_where_it_fits() -> None:
    """The smallest terminal says it too, after the switch's state."""
    assert text(one_line(samples.dry(), 40)) == "costmon 100 % open DRY RUN"
    assert text(one_line(samples.bypassed(), 40)) == "costmon 100 % open BYPASS"
    assert text(one_line(samples.dry(), 20)) == "costmon 100 % open"


def test_resources_say_how_much_and_what_it_cost() -> None:
    """Amount and money of the month; what is estimated, unpriced or stopped; the point of the sums below each other."""
    shown = text(resources(samples.served().resources, NOW, 70))
    for line in ("● gpu-box", "~12.5 h", "~$15.00", "for 1d · +$0.31 since", "○ old-box", "$494.70", "stopped",
                 "0.0372 GB-month", "37.2 GB stored", "120.5 GB", "unknown"):  # fmt: skip
        assert line in shown
    rows = [row for row in shown.splitlines() if "$" in row]
    assert len({row.rindex(".", 0, row.index("$") + 8) for row in rows if "+" not in row}) == 1


@pytest.mark.parametrize("width", [27, 30, 36, 38, 44, 60, 100])
def test_a_resources_figures_are_never_cut(width: int) -> None:
    """In a column or on a line of their own; names give way."""
    shown = resources(samples.served().resources, NOW, width)
    assert all(width_of(one) <= width for one in shown)
    for figure in (
        "~12.5 h",
        "~$15.00",
        "412.25 h",
        "$494.70",
        "0.0372 GB-month",
        "$0.003",
        "21 d",
        "$13.81",
    ):
        assert figure in text(shown)
    assert all(name in text(resources(samples.served().resources, NOW, 20)) for name in ("gpu-box", "egress"))


async def test_resources_stand_in_the_side_column_only_when_there_are_some() -> None:
    """And the switch panel stays where it is."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(110, 24)) as pilot:
        await first_paint(pilot)
        assert "Resources" not in screen_text(app)
        top = next(n for n, row in enumerate(screen_lines(app)) if "─ Switch ─" in row)
        source.put(samples.served())
        await settled(pilot, lambda: "Resources this month" in screen_text(app))
        shown = screen_lines(app)
        assert next(n for n, row in enumerate(shown) if "─ Switch ─" in row) == top
        assert any("may not obey" in row for row in shown)
        source.put(replace(samples.blocked(), resources=samples.served().resources))
        await settled(pilot, lambda: "BLOCKED  2 blocks" in screen_text(app))
        assert "Resources this month" in screen_text(app)
        source.put(samples.calm())
        await settled(pilot, lambda: "Resources" not in screen_text(app))
