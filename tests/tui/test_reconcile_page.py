"""The bills: what a person reads of provider figures beside own figures, and how one moves in them."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from textual.pilot import Pilot

from costmon.insight.values import UNSAID, Likely, Span
from costmon.monitor.reconciled import Reconciliation
from costmon.monitor.snapshot import Snapshot
from costmon.shim.money import Money, to_nano
from costmon.tui.app import CostmonApp
from costmon.tui.lines import Line, width_of
from costmon.tui.pages.reconcile import BillDetails, BillPage, ReconcilePage
from costmon.tui.widgets.balances import balances
from costmon.tui.widgets.billblocks import bills
from costmon.tui.widgets.billdetails import details
from costmon.tui.widgets.billed import billed
from costmon.tui.widgets.bills import Bills
from costmon.tui.widgets.sources import headline, traffic, troubles

from . import samples
from .samples import NOW, ZONE, balance, day, model, source, unread
from .script import Script, first_paint, footer, later, make_app, screen_lines, screen_text, settled

SIZES = [
    (80, 24),
    pytest.param((160, 45), marks=pytest.mark.slow),
    pytest.param((100, 30), marks=pytest.mark.slow),
    pytest.param((52, 12), marks=pytest.mark.slow),
    pytest.param((80, 50), marks=pytest.mark.slow),
    pytest.param((250, 60), marks=pytest.mark.slow),
]


def text(lines: list[Line]) -> str:
    return "\n".join("".join(part for part, _ in one) for one in lines)


def page_text(snapshot: Snapshot, width: int = 100) -> str:
    return text([one for one, _ in bills(snapshot, NOW, width)])


def line_of(shown: str, word: str) -> str:
    return next(one for one in shown.splitlines() if word in one)


def style_of(snapshot: Snapshot, word: str, figure: str) -> str:
    """How `figure` is drawn in the first line with `word`."""
    for one, _ in bills(snapshot, NOW, 100):
        if any(word in part for part, _ in one) and any(figure in part for part, _ in one):
            return next(style for part, style in one if figure in part)
    raise AssertionError(f"no line with {word} and {figure}")


async def opened(pilot: Pilot[None]) -> ReconcilePage:
    await first_paint(pilot)
    await pilot.press("r")
    await settled(pilot, lambda: isinstance(pilot.app.screen, ReconcilePage))
    page = pilot.app.screen
    assert isinstance(page, ReconcilePage)
    return page


async def on_the_day(pilot: Pilot[None], provider: str, name: str) -> ReconcilePage:
    """The cursor on one day of one provider, as a person gets there: by blocks, then by rows."""
    page = await opened(pilot)
    table = page.query_one(Bills)
    for key, until in (("right", (False, provider)), ("down", name)):
        for _ in range(40):
            chosen = table.chosen
            assert chosen is not None
            here = (chosen.summary, chosen.days[0].provider) if key == "right" else cursor_line(pilot)
            if until == here or (isinstance(until, str) and until in str(here)):
                break
            await pilot.press(key)
    return page


def cursor_line(pilot: Pilot[None]) -> str:
    app = pilot.app
    assert isinstance(app, CostmonApp)
    return next((one for one in screen_lines(app) if "▸" in one), "")


# --- figures ------------------------------------------------------------------------------------------------


def test_a_day_shows_both_figures_their_difference_and_whose_it_may_be() -> None:
    """Billed, logged, unlogged, state; the model, project and key of most of it, in the colour of a warning."""
    found = line_of(page_text(samples.bills()), "20 Nov      $3.66")
    assert found.split()[2:7] == ["$3.66", "$2.61", "$1.05", "settling", "gpt-5-mini,"]
    assert "project web, key key_trader" in found
    assert style_of(samples.bills(), "20 Nov", "$1.05") == "warn"


def test_more_logged_than_billed_is_plain() -> None:
    """It is no alarm: the bill may not be complete yet."""
    assert "-$0.20" in line_of(page_text(samples.bills()), "19 Nov      $1.10")
    assert style_of(samples.bills(), "19 Nov", "-$0.20") == "dim"


def test_a_day_that_was_not_read_is_a_question_mark_with_its_reason() -> None:
    """Never 0.00; what was logged is still there."""
    snapshot = samples.billed(unread("openai", 20, "the key is gone", model("gpt-5-mini", None, "4.31")))
    found = line_of(page_text(snapshot), "20 Nov").split()
    assert found[2:6] == ["?", "$4.31", "?", "unknown"]
    assert "the key is gone" in page_text(snapshot)
    assert "$0.00" not in page_text(snapshot)


def test_a_month_of_which_nothing_is_known_is_no_zero() -> None:
    """Neither its total nor the line of all providers."""
    logged = model("gpt-5-mini", None, "3")
    shown = page_text(
        samples.billed(unread("openai", 20, "no key", logged), unread("openai", 21, "no key", logged))
    )
    assert "0 of 2 days compared; 2 without a figure" in shown
    assert "$0" not in shown
    assert line_of(shown, "openai").split()[1:4] == ["?", "?", "?"]


def test_own_figures_that_the_ledger_cannot_tell_leave_the_bill_standing() -> None:
    """Billed is known, logged and unlogged are not."""
    blind = replace(model("gpt-5-mini", "2.50", None), own=UNSAID, unlogged=UNSAID)
    shown = page_text(samples.billed(day("openai", 20, blind, why=("the ledger begins on 2026-11-21",))))
    assert line_of(shown, "20 Nov").split()[2:5] == ["$2.50", "?", "?"]
    assert "the ledger begins on" in shown


def test_marks_say_how_sure_a_figure_is() -> None:
    """'~' estimated, '≥ ' at least, '≤ ' at most."""
    calls = replace(
        model("gpt-5-mini", "2", "1"),
        own=Span(to_nano(Decimal(1)), to_nano(Decimal(1)), None),
        unlogged=Span(None, to_nano(Decimal(1)), to_nano(Decimal(1))),
        unpriced=3,
    )
    shown = page_text(
        samples.billed(
            day("openai", 21, samples.about(model("gpt-5-mini", "0.61", "0.74"), "0.04")),
            day("openai", 20, calls),
            day("openai", 19, model("gpt-5-mini", "3", "1"), least=True),
            day("zai", 18, model("", "0.31", "0.31"), derived=True),
        )
    )
    assert line_of(shown, "21 Nov").split()[3:5] == ["~$0.74", "~-$0.13"]
    assert line_of(shown, "20 Nov").split()[3:7] == ["≥", "$1.00", "≤", "$1.00"]
    assert line_of(shown, "19 Nov ").split()[2:4] == ["≥", "$3.00"]
    assert "~$0.31" in shown
    assert "spend as the balance fell" in shown


def test_a_model_without_a_rate_leaves_the_others_as_the_least() -> None:
    """$7 beside €5 that nobody can convert: at least $7, in the row of the day and in that of the month."""
    lost = replace(model("gpt-4o", None, None), own=Span(0, 0, 0), unlogged=UNSAID)
    why = ("no rate from EUR to USD",)
    shown = page_text(samples.billed(day("openai", 20, model("o3", "7", "0"), lost, least=True, why=why)))
    assert line_of(shown, "20 Nov").split()[2:7] == ["≥", "$7.00", "$0.00", "≥", "$7.00"]
    assert "≥ $7.00" in line_of(shown, "openai  ")


def test_the_month_is_added_up_to_the_bill() -> None:
    """Usage, tax and credit; the row of the month is of the days both sides know, so that it adds up."""
    shown = page_text(samples.bills())
    assert "usage $19.83 + tax $3.12 - credit $5.00 = bill $17.95" in shown
    assert "9 of 12 days compared; 3 without a figure" in shown
    whole = unread("openai", 19, "it was not read", model("gpt-5-mini", None, "9"))
    block = page_text(samples.billed(whole, day("openai", 20, model("m", "2", "1")))).split("day (UTC)")[1]
    row = line_of(block, "compared")
    assert row.split()[1:4] == ["$2.00", "$1.00", "$1.00"]
    blind = replace(model("m", "2.5", None), own=UNSAID, unlogged=UNSAID)
    part = page_text(samples.billed(day("openai", 19, blind), day("openai", 20, model("m", "2", "1"))))
    assert "1 of 2 days compared; 1 not known to the ledger" in part
    assert "billed in all: $4.50" in part


def test_providers_are_summed_up_a_currency_apart_and_gateways_left_out() -> None:
    """What is first on the page."""
    rows = page_text(samples.bills()).splitlines()[:7]
    assert rows[-1].split()[:3] == ["all", "in", "USD"]
    assert "$59.32" in rows[-1]
    assert "not all" in rows[-1]
    assert any("₩204" in row for row in rows)
    assert "(openrouter: litellm)" in rows[-2]
    assert "passes on what others bill, so it is in no sum" in page_text(samples.bills())


def test_days_of_nothing_are_one_row() -> None:
    """A quiet week is no table of zeros; a day with a figure is never hidden in it."""
    shown = page_text(samples.bills())
    assert line_of(shown, "3–8 Nov").split()[2:] == ["$0.00", "$0.00", "$0.00", "final"]
    assert "2 Nov       $1.20" in shown
    tax = day("openai", 5, tax=1)
    assert "5 Nov" in page_text(samples.billed(day("openai", 4), tax, day("openai", 6)))


def test_a_month_told_as_one_is_one_row() -> None:
    """Some providers tell months only."""
    month = replace(day("deepinfra", 1, model("llama", "7", "6")), end=datetime(2026, 12, 1, tzinfo=UTC))
    block = page_text(samples.billed(month)).split("day (UTC)")[1]
    assert block.count("Nov 2026") == 1


def test_december_begins_with_the_last_days_of_november() -> None:
    """Each month has its own total, and the sum on top is of this one."""
    snapshot = samples.billed(
        day("openai", 30, model("m", "5", "5")),
        replace(
            day("openai", 1, model("m", "2", "1")),
            start=datetime(2026, 12, 1, tzinfo=UTC),
            end=datetime(2026, 12, 2, tzinfo=UTC),
        ),
    )
    rows = text([one for one, _ in bills(snapshot, NOW + timedelta(days=10), 80)])
    assert rows.splitlines()[1].split() == ["openai", "$2.00", "$1.00", "$1.00", "final"]
    block = rows.split("day (UTC)")[1]
    assert block.index("Dec 2026") < block.index("1 Dec") < block.index("Nov 2026") < block.index("30 Nov")


# --- sources ------------------------------------------------------------------------------------------------


def test_a_source_says_how_old_its_figures_are() -> None:
    """Read, reading, stale, failing, never."""

    def said(**changes: object) -> str:
        return text([headline(source("openai", **changes), NOW, 70, provider="openai")])

    assert "openai  api.openai.com" in said()
    assert said().endswith("read 3m ago, next in 7m")
    assert said(reading=True).endswith("reading …")
    assert "stale, read 2h ago, next is due" in said(ok_at=NOW - timedelta(hours=2), stale=True, next_at=NOW)
    assert said(state="upstream", reason="x", ok_at=NOW - timedelta(hours=2)).endswith("FAILING, read 2h ago")
    assert said(state="key", ok_at=None).endswith("never read")
    assert "not read yet" in said(state="", ok_at=None, polled_at=None)


def test_a_failure_has_its_reason_and_what_happens_next() -> None:
    """In whole sentences, as wide as the page."""
    failing = source("openai", state="upstream", reason="OpenAI answers 503; it is asked again.")
    shown = text(troubles(failing, NOW, 100))
    assert "OpenAI answers 503; it is asked again; asked again in 7m; the last good figures stay" in shown
    waits = text(troubles(source("openai", state="key", reason="no key", ok_at=None, next_at=None), NOW, 100))
    assert waits.strip() == "no key; asked again when its key or its settings change"


def test_traffic_and_fees_are_told() -> None:
    """Requests and bytes an hour, failures, and what a request costs."""
    said = traffic(source("aws", failures_day=2, fee=Money(10_000_000, "USD")))
    assert said == (
        "every 10m · 18.0 requests, 48.2 kB an hour · 18 in this hour · 2 of 144 rounds failed in a day"
        " · $0.01 a request"
    )


def test_a_balance_is_a_gauge_with_its_end() -> None:
    """Credits are no money, a cap is none either, and an old balance says so."""
    shown = text(balances(samples.bills().sources[3], NOW, 76, ZONE))
    assert "16 %  $3.20 of $20.00  used up about 24 Nov (in 3d)" in shown
    quota = text(balances(samples.bills().sources[4], NOW, 76, ZONE))
    assert "41,200 of 100,000 credits" in quota
    assert "no money" in quota
    assert "$" not in quota
    capped = balance("3", limit=Decimal(5), spendable=False, seen_at=NOW - timedelta(hours=2))
    cap = text(balances(source("openrouter", balances=(capped,)), NOW, 90, ZONE))
    assert "a cap, no money · seen 2h ago" in cap
    gone = balance("0", run_out=NOW - timedelta(hours=1))
    assert "used up" in text(balances(source("x", balances=(gone,)), NOW, 60, ZONE))


def test_a_provider_without_a_source_says_why_and_what_to_do() -> None:
    """Whom apps called, but nobody can be asked about."""
    shown = page_text(samples.bills(), 300)
    assert "Groq publishes usage and costs only in its console" in shown
    assert "[source.groq-bill]" in shown
    assert "No source tells of ollama" in shown
    alone = replace(samples.calm(), reconciled=Reconciliation(silent=("anthropic",)))
    assert "costmon keys set anthropic" in page_text(alone, 300)


def test_without_a_source_the_page_says_how_to_get_one() -> None:
    """Both ways, ready to be copied."""
    shown = page_text(samples.empty(), 60)
    assert "costmon keys set openai" in shown
    assert '[source.openai-bill]\n   kind = "file"' in shown
    assert "Until then costmon asks nobody." in shown
    broken = replace(samples.empty(), readable=False)
    assert page_text(broken) == "The ledger cannot be read: nothing is known."


# --- models -------------------------------------------------------------------------------------------------


def test_a_day_tells_its_models_and_keys() -> None:
    """The most unlogged first, below each its keys, and what both sides counted."""
    of = next(one for one in samples.bills().reconciled.days if one.credit and one.provider == "openai")
    shown = text(details((of,), (of,), 60))
    assert shown.index("gpt-5-mini ") < shown.index("web search tool calls") < shown.index("gpt-5-nano")
    assert "project web, key key_trader: $2.85" in shown
    assert "counted 1,204 requests, 4.1M in, 320k out; logged 1,100," in shown
    assert "credit -$5.00" in shown
    assert "settling: it is over, and may still grow" in shown


def test_a_keys_tokens_are_told_where_its_money_is_not() -> None:
    """Anthropic tells money by model only."""
    one = model("claude", "3", "1", likely=(Likely("", "key_b", None, 41_000),))
    assert "key key_b: 41,000 tokens" in text(details((day("a", 20, one),), (), 60))


def test_a_month_tells_its_models_over_all_days() -> None:
    """Of the days both sides know."""
    snapshot = samples.billed(
        day("openai", 19, model("a", "1", "1"), model("b", "2", "1")),
        day("openai", 20, model("a", "1.5", "1")),
        unread("openai", 21, "no key", model("a", None, "9")),
    )
    shown = text(details(snapshot.reconciled.totals[0], snapshot.reconciled.days, 60))
    assert line_of(shown, "a   ").split() == ["a", "$2.50", "$2.00", "$0.50"]
    assert "2 of 3 days compared; 1 without a figure" in shown


@pytest.mark.parametrize("width", [16, 28, 40, 60])
def test_a_models_figures_are_never_cut(width: int) -> None:
    """Names give way; then a row takes more lines."""
    names = ("하이퍼클로바-엑스-대화-모델-2026-장문-요약", "m" * 300, "gpt-5-mini")
    one = day("openai", 20, *(model(name, "1234.56", "1034.5") for name in names))
    shown = text(details((one,), (one,), width))
    assert all(width_of(row) <= width for row in details((one,), (one,), width))
    assert shown.count("$1,234.56") == shown.count("$1,034.50") == shown.count("$200.06") == 3


@pytest.mark.parametrize("width", [46, 58, 76, 116, 200])
@pytest.mark.parametrize("name", ["bills", "hostile", "thousand_bills"])
def test_rows_align_for_every_name_and_width(name: str, width: int) -> None:
    """Nothing is wider than the page, and the figures of a table end below each other."""
    found = getattr(samples, name)()
    shown = bills(found, NOW, width)
    assert all(width_of(one) <= width or not chosen for one, chosen in shown)
    if name == "thousand_bills":
        rows = ["".join(part for part, _ in one) for one, chosen in shown if chosen and not chosen.summary]
        assert len({row.index("final") for row in rows if "final" in row}) == 1


# --- the page -----------------------------------------------------------------------------------------------


async def test_r_opens_the_bills_and_o_or_escape_goes_back() -> None:
    """With the keys of every page: k and ctrl+k stop, t and ? work."""
    script = Script(samples.bills())
    app = make_app(script)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        assert "Bills beside the ledger" in screen_text(app)
        assert "k Stop all" in footer(app)
        for number, key in enumerate(("k", "ctrl+k"), 1):
            await pilot.press(key)
            await settled(pilot, lambda number=number: script.toggles == number)  # type: ignore[misc]
        await pilot.press("question_mark")
        await settled(pilot, lambda: "costmon help" in screen_text(app))
        await pilot.press("escape", "escape")
        await settled(pilot, lambda: "Live feed" in screen_text(app))
        await pilot.press("r")
        await settled(pilot, lambda: app.screen is page)
        await pilot.press("o")
        await settled(pilot, lambda: "Live feed" in screen_text(app))


@pytest.mark.slow
async def test_enter_opens_the_models_of_a_day() -> None:
    """In a small terminal over the page; escape closes them and nothing else."""
    app = make_app(Script(samples.bills()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await on_the_day(pilot, "openai", "20 Nov")
        assert not page.query_one(BillDetails).display
        await pilot.press("enter")
        await settled(pilot, lambda: isinstance(app.screen, BillPage))
        assert "project web, key key_trader: $2.85" in screen_text(app)
        assert "openai · Friday 20 November 2026" in screen_text(app)
        await pilot.press("escape")
        await settled(pilot, lambda: app.screen is page)
        assert "20 Nov" in cursor_line(pilot)


@pytest.mark.slow
async def test_a_wide_terminal_shows_them_beside_the_bills() -> None:
    """They follow the cursor; new figures of that day come by themselves, and the cursor stays on it."""
    script = Script(samples.bills())
    app = make_app(script)
    async with app.run_test(size=(160, 45)) as pilot:
        await on_the_day(pilot, "openai", "20 Nov")
        await settled(pilot, lambda: "key key_laptop: $0.35" in screen_text(app))
        more = day("openai", 20, model("gpt-5-mini", "9.99", "2.20"))
        days = tuple(
            more if (one.provider, one.start) == ("openai", more.start) else one
            for one in samples.bills().reconciled.days
        )
        script.put(samples.billed(day("aaa", 21), *days, sources=samples.bills().sources))
        await settled(pilot, lambda: "$7.79" in cursor_line(pilot))
        await settled(pilot, lambda: "gpt-5-mini   $9.99" in screen_text(app))
        assert "20 Nov" in cursor_line(pilot)


@pytest.mark.slow
async def test_everything_can_be_reached_with_the_keys() -> None:
    """Down to the last sentence and up to the first line, by lines, pages, blocks and edges."""
    app = make_app(Script(samples.bills()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        table = page.query_one(Bills)
        seen: set[str] = set()
        for _ in range(8):
            seen |= set(screen_lines(app))
            await pilot.press("pagedown")
        await settled(pilot, lambda: "No source tells of ollama" in screen_text(app))
        wanted = [row.strip() for row in page_text(samples.bills(), 75).splitlines() if row.strip()]
        shown = "\n".join(one.replace("▸", " ") for one in seen | set(screen_lines(app)))
        assert [row for row in wanted if row not in shown] == []
        await pilot.press(*["pageup"] * 8)
        await settled(pilot, lambda: table.scroll_offset.y == 0)
        await pilot.press("end")
        await settled(pilot, lambda: "No source tells of ollama" in screen_text(app))
        await pilot.press("home", "right", "right")
        await settled(
            pilot, lambda: "deepseek  api" in screen_lines(app)[3] and "Nov 2026" in cursor_line(pilot)
        )
        await pilot.press("left")
        await settled(pilot, lambda: "anthropic  api" in screen_lines(app)[3])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_and_state_is_drawn(size: tuple[int, int]) -> None:
    """Nothing breaks, a block that comes is in red, and the smallest terminal keeps its one line."""
    script = Script(samples.bills())
    app = make_app(script)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        for name in ("bills", "empty", "hostile"):
            snapshot = samples.ALL[name]()
            script.put(snapshot)
            await settled(pilot, lambda snapshot=snapshot: app.snapshot == snapshot)  # type: ignore[misc]
            shown = screen_text(app)
            assert "cannot be shown" not in shown
            assert not set(shown) & {chr(n) for n in (*range(10), *range(11, 32), *range(127, 160), 0x202E)}
        assert "BLOCKED" in screen_text(app)
        script.put(samples.bills())
        await settled(pilot, lambda: "BLOCKED" not in screen_text(app))
        await pilot.resize_terminal(40, 12)
        await settled(pilot, lambda: screen_lines(app)[0].startswith("costmon"))
        assert not "".join(screen_lines(app)[1:]).strip()


@pytest.mark.slow
async def test_lines_lead_through_blocks_without_a_figure() -> None:
    """A source that was never read has nothing to choose; what it says is read on the way, and the way back."""
    reason = "the key is gone, and this is said at great length " * 9
    silent = source("bbb", state="key", reason=reason, ok_at=None, lacks=("x " * 300,))
    snapshot = samples.billed(
        day("aaa", 20, model("m", "1", "1")),
        day("ccc", 20, model("m", "1", "1")),
        sources=(source("aaa"), silent, source("ccc")),
    )
    app = make_app(Script(replace(snapshot, feed=())))
    async with app.run_test(size=(60, 14)) as pilot:
        await opened(pilot)
        for key in ("down", "up"):
            seen: set[str] = set()
            for _ in range(14):
                seen |= set(screen_lines(app))
                await pilot.press(key)
            seen |= set(screen_lines(app))
            assert any("never read" in row for row in seen)
            assert any("lacks: x" in row for row in seen)
            assert any(row.lstrip("│ ").startswith("ccc  api") for row in seen)
        assert "▸ aaa" in screen_lines(app)[2]


@pytest.mark.slow
async def test_ages_go_on_and_figures_that_stay_are_not_drawn_again() -> None:
    """Between snapshots 'read 3m ago' becomes 'read 4m ago'; no other line moves."""
    app = make_app(Script(samples.bills()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        await pilot.press("right", "right")
        await settled(pilot, lambda: "read 3m ago" in screen_text(app))
        table = page.query_one(Bills)
        drawn: list[int] = []
        table.refresh_line = drawn.append  # type: ignore[method-assign]
        later(app, 60)
        await settled(pilot, lambda: bool(drawn))
        assert len(drawn) <= 2 * len(samples.bills().sources)


@pytest.mark.slow
async def test_a_month_of_ten_models_at_five_providers_opens_at_once() -> None:
    """Measured in this process's own time, so that a busy machine does not matter."""
    app = make_app(Script(samples.thousand_bills()))
    async with app.run_test(size=(160, 45)) as pilot:
        await first_paint(pilot)
        begin = time.process_time()
        await pilot.press("r")
        await settled(pilot, lambda: "model-0" in screen_text(app))
        assert time.process_time() - begin < 3.0
    begin = time.process_time()
    bills(samples.thousand_bills(), NOW, 90)
    assert time.process_time() - begin < 0.3


# --- the overview -------------------------------------------------------------------------------------------


def test_the_overview_names_what_nobody_logged_first() -> None:
    """One line a provider and balance, none cut in its figures."""
    for width in (34, 36, 60):
        shown = text(billed(samples.bills(), NOW, width))
        assert "$19.83, ~$0.72 unlogged" in line_of(shown, "● ope")
        assert "○ naver" in shown.splitlines()[0]
        assert "$3.20 of $20.00 left, lasts 3d" in shown
        assert all(width_of(one) <= width for one in billed(samples.bills(), NOW, width))


async def test_the_overview_shows_bills_only_with_a_source_and_leaves_the_rest() -> None:
    """80x24 stays as it is; a side column gets a panel, below the others."""
    for size in ((80, 24), (120, 36)):
        script = Script(samples.calm())
        app = make_app(script)
        async with app.run_test(size=size) as pilot:
            await first_paint(pilot)
            before = screen_lines(app)
            assert "unlogged" not in "".join(before)
            script.put(replace(samples.bills(), feed=samples.calm().feed))
            await settled(pilot, lambda: bool(app.snapshot and app.snapshot.sources))
            after = screen_lines(app)
            if size == (80, 24):
                assert after == before
            else:
                assert "₩204 unlogged" in "".join(after)
                for title in ("Switch", "Next runs", "Models today", "Apps today", "Live feed"):
                    assert any(f"─ {title} ─" in row for row in after)


def test_the_summary_shows_all_that_was_billed_also_of_days_the_ledger_does_not_know() -> None:
    """In the month costmon was installed, the overview names the provider's whole figure, and what is unknown as unknown."""
    before = replace(day("openai", 19, model("m", "9", "0")), lines=(), read=True)
    unknown = replace(before, lines=(replace(model("m", "9", "0"), own=UNSAID, unlogged=UNSAID),))
    snapshot = samples.billed(unknown, day("openai", 20, model("m", "2", "1")))
    row = line_of(page_text(snapshot), "openai")
    assert row.split()[1:5] == ["$11.00", "?", "≥", "$1.00"]
    assert "$11.00, ≥ $1.00 unlogged" in text(billed(snapshot, samples.NOW, 60))
