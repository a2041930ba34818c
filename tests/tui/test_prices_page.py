"""The list of prices in the running app, and the rate card."""

from __future__ import annotations

import os
import time

import pytest
from textual.pilot import Pilot

from costmon.pricing.lookup.listing import Listed
from costmon.pricing.lookup.show import open_catalogue
from costmon.tui.format import cut_middle
from costmon.tui.lines import Line, width_of
from costmon.tui.pages.card import RateCardPage, card_lines, card_of
from costmon.tui.pages.prices import PricesPage
from costmon.tui.pricelist import COLUMNS, matching, price_lines, price_text, widths
from costmon.tui.widgets.pricetable import PriceTable

from . import samples
from .books import NOW_US, Shelf, book
from .script import Script, first_paint, footer, screen_lines, screen_text, settled
from .test_estimate_page import _key, make_app


@pytest.fixture(scope="module")
def rows() -> tuple[Listed, ...]:
    return book().rows()


@pytest.fixture(scope="module")
def shelf(rows: tuple[Listed, ...]) -> Shelf:
    """One book for all, so that the list is made once."""
    shared = Shelf()
    opened = shared.open()
    opened._rows, opened._rows_at = rows, opened.now()
    return shared


async def opened(pilot: Pilot[None]) -> PriceTable:
    await first_paint(pilot)
    await pilot.press("p")
    app = pilot.app
    await settled(pilot, lambda: isinstance(app.screen, PricesPage) and "anthropic" in screen_text(app))  # type: ignore[arg-type]
    return app.screen.query_one(PriceTable)


async def test_p_lists_every_model_with_its_price(shelf: Shelf) -> None:
    """Provider, model, input, output; how many there are and how old they are."""
    app = make_app(Script(samples.calm()), shelf)
    async with app.run_test(size=(120, 24)) as pilot:
        await opened(pilot)
        shown = screen_text(app)
        for word in (
            "claude-haiku-4-5",
            "$1.00",
            "$5.00",
            "cache read",
            "since",
            "layer",
            "checked 11 days ago",
        ):
            assert word in shown
        assert "k Stop all" in footer(app)


@pytest.mark.slow
async def test_a_search_narrows_the_list_and_enter_shows_the_card(shelf: Shelf) -> None:
    """Words in any order; the card has tiers, contexts and the version."""
    app = make_app(Script(samples.calm()), shelf)
    async with app.run_test(size=(100, 40)) as pilot:
        table = await opened(pilot)
        await pilot.press("slash", *map(_key, "2.5 google gemini pro"))
        await settled(pilot, lambda: table.chosen is not None and table.chosen.model == "gemini-2.5-pro")
        await pilot.press("enter")
        await settled(pilot, lambda: isinstance(app.screen, RateCardPage) and "Now" in screen_text(app))
        shown = screen_text(app)
        for word in (
            "$1.25 per million input tokens",
            "above 200,000 input tokens $2.50 for all of them",
            "genai-prices@",
        ):
            assert word in shown
        await pilot.press("escape")
        await settled(pilot, lambda: isinstance(app.screen, PricesPage))
        await pilot.press("escape")
        assert app.focused is table
        await pilot.press("escape")
        await settled(pilot, lambda: table.chosen is not None and "2.5 google" not in screen_text(app))
        await pilot.press("escape")
        await settled(pilot, lambda: "Live feed" in screen_text(app))


@pytest.mark.slow
async def test_the_cursor_moves_and_stays_on_the_screen(shelf: Shelf) -> None:
    """Arrows, pages, the end of 2,000 rows; also while one types."""
    app = make_app(Script(samples.calm()), shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await opened(pilot)
        for keys, place in (
            (["down", "down"], 2),
            (["up"], 1),
            (["end"], len(table._found) - 1),
            (["home"], 0),
        ):
            await pilot.press(*keys)
            assert table.cursor == place
            await settled(pilot, lambda: any("▸" in row for row in screen_lines(app)))
        await pilot.press("slash", "o", "down")
        assert table.cursor == 1


@pytest.mark.slow
async def test_nothing_found_is_said(shelf: Shelf) -> None:
    """Not an empty box; and enter does nothing."""
    app = make_app(Script(samples.calm()), shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"zzz")
        await settled(pilot, lambda: "No model has these words in its name." in screen_text(app))
        await pilot.press("enter")
        assert isinstance(app.screen, PricesPage)


@pytest.mark.parametrize(
    "size",
    [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in ((50, 12), (240, 60), (20, 5)))],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
@pytest.mark.slow
async def test_a_block_is_seen_here_too(size: tuple[int, int], shelf: Shelf) -> None:
    """At every size; and no price is cut."""
    app = make_app(Script(samples.blocked()), shelf)
    async with app.run_test(size=size) as pilot:
        await first_paint(pilot)
        await pilot.press("p")
        await settled(pilot, lambda: "BLOCKED" in "\n".join(screen_lines(app)[:3]))
        if size != (20, 5):
            await settled(pilot, lambda: "$" in screen_text(app))


def test_searching_two_thousand_rows_takes_a_few_milliseconds(rows: tuple[Listed, ...]) -> None:
    """Every key, so it must be quick; 50 ms is the limit, a busy machine included."""
    lines = price_lines(rows)
    assert len(lines) > 2000
    best = 1.0
    for _ in range(5):
        begin = time.perf_counter()
        found = matching(lines, "gpt mini")
        best = min(best, time.perf_counter() - begin)
    assert found
    assert all("gpt" in one.key and "mini" in one.key for one in found)
    assert best < 0.05


@pytest.mark.parametrize("width", [20, 44, 60, 76, 120, 236])
def test_columns_give_way_before_a_price_is_cut(width: int, rows: tuple[Listed, ...]) -> None:
    """Model, input and output stay longest."""
    lines = price_lines(rows)
    chosen = widths(lines, width)
    assert sum(chosen.values()) + 2 * len(chosen) <= width
    for name in ("input", "output", "cache read"):
        if name in chosen:
            place = COLUMNS.index(name)
            assert max(len(one.cells[place]) for one in lines) <= chosen[name]
    if width >= 44:
        assert {"model", "input", "output"} <= set(chosen)


def test_a_card_belongs_to_the_row_that_was_chosen(rows: tuple[Listed, ...]) -> None:
    """Also where two entries of a provider have one name."""
    by = book()
    for row in rows[::7]:
        found = card_of(by, row, NOW_US)
        assert found is not None
        assert found[0].rates == row.rates
    ada = [row for row in rows if row[:2] == ("azure", "ada")]
    assert len({str(row.rates) for row in ada}) == len(ada)
    cards = [card_of(by, row, NOW_US) for row in ada]
    assert [found[0].rates for found in cards if found] == [row.rates for row in ada]


def test_every_card_can_be_drawn(rows: tuple[Listed, ...]) -> None:
    """Dates, windows, tiers, contexts, odd units: no error, no line too wide."""
    by = book()
    for row in rows[::5]:
        found = card_of(by, row, NOW_US)
        for width in (20, 86):
            lines: list[Line] = card_lines(found, row, by.about(), NOW_US, width)
            assert lines
            assert all(width_of(one) <= max(width, 90) for one in lines)


def test_a_price_by_date_window_and_context_is_told(rows: tuple[Listed, ...]) -> None:
    """When it holds, what holds now, and when it changes."""
    by = book()

    def text(provider: str, model: str) -> str:
        row = next(row for row in rows if row[:2] == (provider, model))
        lines = card_lines(card_of(by, row, NOW_US), row, by.about(), NOW_US, 100)
        return "\n".join("".join(part for part, _ in one) for one in lines)

    assert "2025-06-10 to further notice · holds now" in text("openai", "o3")
    assert "processing=batch" in text("openai", "gpt-4o-mini")
    deepseek = text("deepseek", "deepseek-v4-pro")
    assert "Mon-Fri 01:00-04:00" in deepseek
    assert "The next change is on 2026-11-23 01:00 UTC." in deepseek


def test_prices_are_written_with_every_digit() -> None:
    """A price is a fact: nothing is rounded."""
    assert price_text("0.15", "USD") == "$0.15"
    assert price_text("0.10875", "USD") == "$0.10875"
    assert price_text("3", "USD") == "$3.00"
    assert price_text("2450", "KRW") == "₩2,450"
    assert price_text("0.5", "KRW") == "₩0.5"


def test_long_names_keep_their_ends() -> None:
    """Names of one family differ at their ends."""
    shown = cut_middle("deepseek-ai/DeepSeek-V4-Pro", 20)
    assert shown.startswith("deepseek…")
    assert shown.endswith("Seek-V4-Pro")
    assert len(shown) == 20
    assert cut_middle("short", 20) == "short"


def test_hostile_names_in_a_price_file_are_plain(tmp_path: object) -> None:
    """The table and the card show them as text."""
    path = os.path.join(str(tmp_path), "prices.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            'schema = 1\n[[price]]\nprovider = "own"\nmodel = "[@click=app.quit]x[/]"\ncurrency = "USD"\n'
            "[[price.rate]]\ninput = 1\noutput = 2\n"
        )
    by = book(catalogue=open_catalogue(path))
    row = next(row for row in by.rows() if row.provider == "own")
    assert price_lines((row,))[0].cells[1] == "[@click=app.quit]x[/]"
    lines = card_lines(card_of(by, row, NOW_US), row, by.about(), NOW_US, 80)
    assert "in the price file prices.toml" in "".join(text for one in lines for text, _ in one)
