"""The calculators in the running app, used like a person would."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from costmon.shim.money import Money
from costmon.tui.app import CostmonApp
from costmon.tui.pages.estimate import EstimatePage
from costmon.tui.pricebook import HomePrices
from costmon.tui.widgets.answerpanel import AnswerPanel
from costmon.tui.widgets.fields import MOST_PROMPT, Field, PromptArea, completion

from . import samples
from .books import Shelf, book
from .script import Script, first_paint, footer, screen_lines, screen_text, settled, toasts

SIZES = [
    (50, 12),
    (110, 24),
    pytest.param((60, 20), marks=pytest.mark.slow),
    pytest.param((240, 60), marks=pytest.mark.slow),
]


def make_app(source: Script, shelf: Shelf | HomePrices | None = None, theme: str = "") -> CostmonApp:
    app = CostmonApp(source, theme=theme, prices=shelf or Shelf())
    app.clock = lambda: 0.0
    return app


async def opened(pilot: Pilot[None], section: str = "") -> EstimatePage:
    """From the overview to an answer."""
    app = pilot.app
    assert isinstance(app, CostmonApp)
    await first_paint(pilot)
    await pilot.press("e")
    await settled(pilot, lambda: isinstance(app.screen, EstimatePage))
    page = app.screen
    assert isinstance(page, EstimatePage)
    if section:
        await pilot.press(section)
    await settled(pilot, lambda: page.query_one(AnswerPanel).answer is not None)
    return page


async def fill(pilot: Pilot[None], name: str, value: str) -> None:
    """Go to a field, empty it, and type."""
    field = pilot.app.screen.query_one(f"#field-{name}", Field)
    field.children[1].focus()
    await pilot.pause()
    await pilot.press("end", "ctrl+u", *(_key(char) for char in value))


def _key(char: str) -> str:
    names = {" ": "space", ",": "comma", "-": "minus", ".": "full_stop", "/": "slash", "%": "percent_sign"}
    return names.get(char, char)


async def test_e_opens_an_answer_about_ones_own_models() -> None:
    """Models that spend today are filled in; an answer stands there without typing."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app, App)
        await opened(pilot)
        shown = screen_text(app)
        for word in ("gpt-5-mini", "claude-opus-4-5", "cheapest", "checked 11 days ago", "$0.045"):
            assert word in shown


@pytest.mark.slow
async def test_a_server_is_not_offered_as_a_model() -> None:
    """It spends, and has no tokens to estimate."""
    served = replace(samples.served(), by_model=samples.shares("gpu-box", "gpt-5-mini"))
    app = make_app(Script(served))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        shown = screen_text(app)
        assert "gpt-5-mini" in shown
        assert "gpu-box" not in shown


async def test_results_follow_what_is_typed() -> None:
    """4,000 in and 2,000 out of gpt-4o-mini: $0.0006 + $0.0012."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await settled(pilot, lambda: "$0.0012" in screen_text(app))
        await fill(pilot, "output", "2000")
        await settled(pilot, lambda: "$0.0018" in screen_text(app))
        await fill(pilot, "models", "gpt-4o")
        await settled(pilot, lambda: "$0.03 " in screen_text(app))


@pytest.mark.slow
async def test_bad_input_is_marked_and_takes_the_answer_away() -> None:
    """No old figure stands beside new words; the next good input brings it back."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        await fill(pilot, "input", "1.5")
        await settled(pilot, lambda: "Input tokens: write a whole number, like 4000." in screen_text(app))
        assert "$" not in screen_text(app)
        assert page.query_one("#field-input").has_class("-wrong")
        await fill(pilot, "input", "4000")
        await settled(pilot, lambda: "$0.0012" in screen_text(app))
        assert not page.query(".-wrong")


@pytest.mark.slow
async def test_what_was_typed_survives_sections_and_pages() -> None:
    """Call, month, server, overview and back."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        await fill(pilot, "output", "777")
        await fill(pilot, "cached", "12")
        await pilot.press("m")
        await fill(pilot, "days", "7")
        await pilot.press("s")
        await fill(pilot, "speed", "900")
        await pilot.press("o")
        await settled(pilot, lambda: "Live feed" in screen_text(app))
        await pilot.press("e", "c")
        await settled(pilot, lambda: "777" in screen_text(app) and "Cached input    12" in screen_text(app))
        assert {name: page._field(name).typed for name in ("days", "speed")} == {"days": "7", "speed": "900"}


@pytest.mark.slow
async def test_calls_a_day_and_minutes_between_them_replace_each_other() -> None:
    """The one typed last holds."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot, "m")
        await fill(pilot, "every", "60")
        await settled(pilot, lambda: "24 calls a day" in screen_text(app) and "$0.2016" in screen_text(app))
        assert page._field("requests").typed == ""
        await fill(pilot, "requests", "2016")
        await settled(pilot, lambda: "2,016 calls a day" in screen_text(app))
        assert page._field("every").typed == ""


@pytest.mark.slow
async def test_the_server_section_gives_a_break_even() -> None:
    """From how many calls a day on."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "s")
        await settled(pilot, lambda: "24,001 a day" in screen_text(app))


@pytest.mark.slow
async def test_k_and_the_other_keys_work_in_a_field_of_numbers() -> None:
    """A number needs no letters, so letters stay keys: k stops at once."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        assert isinstance(app.focused, Input)
        assert "k Stop all" in footer(app)
        await pilot.press("k")
        await settled(pilot, lambda: source.toggles == 1)
        await pilot.press("question_mark")
        await settled(pilot, lambda: "costmon help" in screen_text(app))
        await pilot.press("escape")
        await settled(pilot, lambda: app.screen is page)
        assert page._field("input").typed == "4000"


@pytest.mark.slow
async def test_where_letters_are_typed_ctrl_k_stops() -> None:
    """k is a letter of names; the footer says which key stops."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        await fill(pilot, "models", "kimi")
        assert source.toggles == 0
        assert page._field("models").typed == "kimi"
        await settled(pilot, lambda: "^k Stop all" in footer(app))
        await pilot.press("ctrl+k")
        await settled(pilot, lambda: source.toggles == 1)
        source.put(samples.blocked())
        await settled(pilot, lambda: "^k Allow" in footer(app))
        await pilot.press("ctrl+k")
        await settled(pilot, lambda: source.toggles == 2)
        assert page._field("models").typed == "kimi"


@pytest.mark.slow
async def test_escape_leaves_the_field_and_then_the_page() -> None:
    """Out of a text first, so that k and o are keys again."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        await fill(pilot, "models", "gpt-4o")
        await pilot.press("escape")
        assert app.screen is page
        assert isinstance(app.focused, AnswerPanel)
        await pilot.press("escape")
        await settled(pilot, lambda: "Live feed" in screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_has_fields_and_an_answer(size: tuple[int, int]) -> None:
    """Neither pushes the other off the screen, and a block that comes is in red on this page too."""
    source = Script(samples.calm())
    app = make_app(source, theme="terminal")
    async with app.run_test(size=size) as pilot:
        await opened(pilot, "m")
        shown = screen_text(app)
        for word in ("Models", "Input tokens", "calls a day", "gpt-5-mini", "$0.003"):
            assert word in shown
        source.put(samples.blocked())
        await settled(pilot, lambda: "BLOCKED" in "\n".join(screen_lines(app)[:3]))
        await pilot.resize_terminal(20, 5)
        await settled(pilot, lambda: screen_lines(app)[0].startswith("costmon 100% BLOCKED"))


@pytest.mark.slow
async def test_every_state_is_drawn() -> None:
    """Hostile names, no ledger, many apps: the page stands."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for maker in samples.ALL.values():
            snapshot = maker()
            source.put(snapshot)
            await settled(pilot, lambda snapshot=snapshot: app.snapshot == snapshot)  # type: ignore[misc]
            shown = screen_text(app)
            assert "cannot be shown" not in shown
            assert not set(shown) & {chr(n) for n in (*range(10), *range(11, 32), *range(127, 160), 0x202E)}


@pytest.mark.slow
async def test_hostile_models_of_ones_own_are_not_filled_in() -> None:
    """The page starts with what can be asked for."""
    app = make_app(Script(samples.hostile()))
    async with app.run_test(size=(120, 40)) as pilot:
        page = await opened(pilot)
        assert not set(page._field("models").typed) & {"\x1b", "\n", "\u202e", "\x00"}


@pytest.mark.slow
async def test_a_paste_loses_its_control_characters() -> None:
    """Into a name, a number and a prompt."""
    from textual import events

    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        for name in ("models", "input", "prompt"):
            field = page._field(name)
            field.children[1].focus()
            await pilot.pause()
            app.screen.post_message(events.Paste("gpt\x1b[31m-4o\x07\u202e\nsecond"))
            await pilot.pause()
            assert not set(field.typed) & {"\x1b", "\x07", "\u202e"}, name
        assert "gpt·[31m-4o··, second" in page._field("models").typed
        assert "\nsecond" in page._field("prompt").typed


@pytest.mark.slow
async def test_a_prompt_too_long_for_a_page_is_refused_with_the_command() -> None:
    """Not cut: a count of a part would be a wrong number."""
    from textual import events

    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        page.query_one(PromptArea).focus()
        await pilot.pause()
        app.screen.post_message(events.Paste("x" * (MOST_PROMPT + 1)))
        await settled(pilot, lambda: "costmon estimate FILE" in toasts(app))
        assert page._field("prompt").typed == ""


@pytest.mark.slow
async def test_a_prompt_is_counted() -> None:
    """Its tokens take the place of the number of input tokens."""
    app = make_app(Script(samples.empty()))
    async with app.run_test(size=(80, 30)) as pilot:
        page = await opened(pilot)
        page.query_one(PromptArea).focus()
        await pilot.press(*"HelloWorld")
        await settled(pilot, lambda: "input counted by" in screen_text(app))


@pytest.mark.slow
async def test_while_prices_are_read_the_page_says_so() -> None:
    """And what is typed meanwhile is answered afterwards; the catalogue is opened once a visit."""
    shelf = Shelf()
    shelf.gate.clear()
    app = make_app(Script(samples.empty()), shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("e")
        await settled(pilot, lambda: "Reading the prices" in screen_text(app))
        await fill(pilot, "output", "2000")
        shelf.gate.set()
        await settled(pilot, lambda: "$0.0018" in screen_text(app))
        assert shelf.opened == 1


@pytest.mark.slow
async def test_prices_that_cannot_be_read_are_a_sentence() -> None:
    """The rest of the app goes on, and the next visit tries again."""
    broken = [True]

    def made() -> object:
        if broken[0]:
            raise OSError("the disk is gone [/]")
        return book()

    app = make_app(Script(samples.empty()), Shelf(made))  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await first_paint(pilot)
        await pilot.press("e")
        await settled(pilot, lambda: "No prices: the disk is gone [/]." in screen_text(app))
        broken[0] = False
        await pilot.press("o")
        await settled(pilot, lambda: "Live feed" in screen_text(app))
        await pilot.press("e")
        await settled(pilot, lambda: "$0.0012" in screen_text(app))


@pytest.mark.slow
async def test_a_page_that_nobody_touches_draws_nothing() -> None:
    """Snapshots with the same title and switch change no line of the answer."""
    source = Script(samples.calm())
    app = make_app(source)
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        panel = page.query_one(AnswerPanel)
        drawn: list[int] = []
        panel.refresh_line = drawn.append  # type: ignore[method-assign, assignment]
        panel.refresh = lambda *_, **__: drawn.append(-1)  # type: ignore[method-assign, assignment]
        snapshot = replace(samples.calm(), in_flight=7, burn_rate=samples.usd("9"))
        source.put(snapshot)
        await settled(pilot, lambda: app.snapshot == snapshot)
        page._ask()
        await settled(pilot, lambda: all(one.is_finished for one in app.workers if one.group == "answer"))
        assert drawn == []


@pytest.mark.slow
async def test_the_page_opens_at_once() -> None:
    """Once prices are known; measured in this process's own time, so that a busy machine does not matter."""
    app = make_app(Script(samples.calm()))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("o")
        await settled(pilot, lambda: "Live feed" in screen_text(app))
        begin = time.process_time()
        await pilot.press("e")
        await settled(pilot, lambda: "cheapest" in screen_text(app))
        assert time.process_time() - begin < 2.0


async def test_the_home_gives_prices_rates_and_currency(home: str) -> None:
    """The real source: a user's price, a won rate from config.toml through the ledger; read anew when a file changes."""
    import os

    from costmon import config
    from costmon.monitor.compile import compile_config
    from costmon.store import open_ledger

    prices = HomePrices()
    assert prices.open().currency == "USD"
    with open(os.path.join(home, "config.toml"), "w", encoding="utf-8") as file:
        file.write(
            '[currency]\ndisplay = "KRW"\n[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1380\n'
            "date = 2026-01-01\n"
        )
    store = open_ledger(home)
    compile_config(store.db, config.load(os.path.join(home, "config.toml")), store.now())
    store.close()
    first = prices.open()
    assert first.currency == "KRW"
    rate = first.rate("USD", "KRW", first.now())
    assert rate is not None
    assert rate.numerator == 1380 * rate.denominator
    assert first.find("house-model", first.now()) is None
    with open(os.path.join(home, "prices.toml"), "w", encoding="utf-8") as file:
        file.write(
            'schema = 1\n[[price]]\nprovider = "own"\nmodel = "house-model"\ncurrency = "USD"\n[[price.rate]]\n'
            "input = 1\noutput = 2\n"
        )
    second = prices.open()
    found = second.find("house-model", second.now())
    assert found is not None
    assert found.layer == "user"
    assert prices.open().catalogue is second.catalogue
    assert Money(0, second.currency).currency == "KRW"


def test_a_name_is_completed_by_the_first_that_begins_so() -> None:
    """In any case; a whole name is left alone."""
    names = ("gpt-4o", "gpt-4o-mini", "Qwen-3")
    assert completion(names, "gpt-4o-") == "gpt-4o-mini"
    assert completion(names, "qwen") == "Qwen-3"
    assert completion(names, "gpt-4o") == completion(names, "") == completion(names, "x") == ""
