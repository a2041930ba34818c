"""What the calculators answer, as a person reads it."""

from __future__ import annotations

import os
from fractions import Fraction

import pytest

from costmon.cli import values
from costmon.pricing.lookup.show import open_catalogue
from costmon.tui.answers import Answer, answer, decimal
from costmon.tui.format import fine_money
from costmon.tui.lines import Line, width_of
from costmon.tui.pricebook import PriceBook
from costmon.tui.questions import FIELDS, ask
from costmon.tui.tables import draw

from . import samples
from .books import NOW_US, book

START = {spec.name: spec.start for spec in FIELDS}


def asked(section: str, by: PriceBook | None = None, **typed: str) -> Answer:
    question, wrong = ask(section, {**START, **typed}, NOW_US)
    assert question is not None, wrong
    return answer(by or book(), question)


def shown(found: Answer, width: int = 100) -> str:
    lines: list[Line] = draw(found, width)
    assert all(width_of(one) <= width for one in lines)
    return "\n".join("".join(text for text, _ in one) for one in lines)


def test_a_call_says_cost_tokens_and_where_the_price_is_from() -> None:
    """4,000 x $0.15 + 1,000 x $0.60 per million = $0.0012."""
    text = shown(asked("call"))
    assert "gpt-4o-mini  4,000   1,000  $0.0012" in text
    assert "openai gpt-4o-mini · genai-prices@" in text
    assert asked("call").about.startswith("genai-prices ")
    assert "checked 11 days ago" in asked("call").about


def test_the_display_currency_stands_beside_dollars() -> None:
    """$0.0012 x 1,380 = ₩1.656, and a won has no coins."""
    text = shown(asked("call", book("KRW")))
    assert "in KRW" in text
    assert "$0.0012      ₩2" in text


def test_without_a_rate_it_says_so() -> None:
    """Never a number that was not converted."""
    text = shown(asked("call", book("EUR")))
    assert "no rate" in text
    assert "€" not in text
    text = shown(asked("month", book("EUR")))
    assert "no rate from USD to EUR: add [[currency.rate]] to config.toml" in text


def test_an_answer_of_unknown_length_has_low_best_and_high() -> None:
    """At most 2,000 output tokens: from input alone to all of them."""
    text = shown(asked("call", book("KRW"), output="", most="2000"))
    assert "0–2,000" in text
    for amount in ("$0.0006", "$0.0012", "$0.0018", "in KRW: ₩2 (<₩1 to ₩2)"):
        assert amount in text
    assert "1,000 output tokens are assumed, 2,000 at most" in text
    assert "--" not in text


def test_a_prompt_is_counted_with_its_uncertainty() -> None:
    """Without the rank files the count is an estimate and says how it was made."""
    text = shown(asked("call", prompt="Hello there, how are you today? " * 50))
    assert "input counted by" in text
    assert "prompt" not in text


def test_an_unknown_model_has_no_price_but_names_like_it() -> None:
    """Never priced by a name that is only like it."""
    text = shown(asked("call", models="gpt-4o-minni, gpt-4o-mini"))
    assert "gpt-4o-minni  unknown price" in text
    assert "names like it: gpt-4o-mini" in text
    assert "cheapest" not in text


def test_the_cheapest_of_several_is_marked() -> None:
    """Only where there is something to compare, and no draw."""
    text = shown(asked("call", models="gpt-4o, gpt-4o-mini"))
    assert [line.split()[0] for line in text.splitlines() if "cheapest" in line] == ["gpt-4o-mini"]
    assert "cheapest" not in shown(asked("call", models="gpt-4o-mini, openai/gpt-4o-mini"))


def test_a_month_of_calls_every_five_minutes() -> None:
    """The misfiring scheduler: $0.0012 a call, $2.4192 a week, $10.368 in 30 days."""
    text = shown(asked("month", requests="", every="5"))
    assert "288 calls a day" in text
    assert text.splitlines()[2].split() == ["gpt-4o-mini", "$0.0012", "$0.3456", "$2.4192", "$10.368"]


def test_shares_of_cache_and_batch_make_it_cheaper() -> None:
    """All cached: input at $0.075; all in batches: half of everything."""
    assert "$0.0009 " in shown(asked("month", cached_share="100"))
    assert "$0.0006 " in shown(asked("month", batch_share="100"))


def test_a_model_without_batch_prices_says_that_it_is_at_the_list_price() -> None:
    """Not silently at double."""
    text = shown(asked("month", models="groq/llama-3.3-70b-versatile", batch_share="50"))
    assert "no batch price is known" in text


def test_a_server_is_cheaper_from_so_many_calls_a_day() -> None:
    """$28.80 a day against $0.0012 a call: from the 24,001st on."""
    text = shown(asked("server", load="20000"))
    assert "the server: $28.80 a day, enough for 129,600 calls of 1,000 output tokens" in text
    assert "$0.0012  24,001 a day       18.5 %" in text
    assert "at 20,000 calls a day the API is cheaper" in text
    assert "$720.00" in text
    assert "$864.00" in text


def test_a_server_that_cannot_serve_enough_is_never_cheaper() -> None:
    """And one that is too small takes several."""
    text = shown(asked("server", speed="50", load="20000"))
    assert "never cheaper: it takes 24,001 calls a day, and the server can do 4,320" in text
    assert "5 servers" in text


def test_a_server_in_won_against_an_api_in_dollars() -> None:
    """₩1,656 an hour is $1.20; without a rate there is nothing to compare."""
    text = shown(asked("server", book("KRW"), price="₩1,656"))
    assert "the server: ₩39,744 a day" in text
    assert "in USD: $28.80 a day" in text
    assert "24,001" in text
    text = shown(asked("server", book("KRW", rates={}), price="₩1,656"))
    assert "no rate from USD to KRW" in text


def test_a_model_not_paid_by_tokens_has_no_invented_cost() -> None:
    """Whisper is paid by the minute of sound."""
    text = shown(asked("call", models="whisper-1"))
    assert "whisper-1  4,000   1,000  unknown cost" in text
    assert "it is not priced by input tokens but by audio_seconds" in text
    assert "so there is nothing to compare with" in shown(asked("server", models="whisper-1"))


@pytest.mark.parametrize("width", [12, 20, 33, 46, 60, 76, 200])
@pytest.mark.parametrize("section", ["call", "month", "server"])
def test_a_figure_is_never_cut(section: str, width: int) -> None:
    """At every width: all of it, or on a line of its own."""
    typed = {"models": "gpt-4o-mini, claude-opus-4-5, gpt-4o-minni", "output": "1000"}
    found = asked(section, book("KRW"), **typed)
    text = shown(found, width)
    for row in found.rows:
        for cell in row.cells:
            assert cell.text in text, (cell, text)


def test_hostile_names_are_harmless(tmp_path: object) -> None:
    """Prices of a file with such names, and such names asked for: plain text, one line each."""
    path = os.path.join(str(tmp_path), "prices.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            'schema = 1\n[[price]]\nprovider = "[red]own[/]"\nmodel = "[/]x\\u202e"\ncurrency = "USD"\n'
            "[[price.rate]]\ninput = 1\noutput = 2\n"
        )
    by = book(catalogue=open_catalogue(path))
    names = [name for name in samples.HOSTILE if name.strip() and len(name) <= 200]
    for name in [*names, "[/]x\u202e"]:
        text = shown(asked("call", by, models=name))
        assert not set(text) & {chr(n) for n in (*range(10), *range(11, 32), *range(127, 160), 0x202E)}


@pytest.mark.parametrize(
    "nano", [0, 1, 999, 10**3, 1_656_000_000, 1_200_000, 2_419_200_000, 15 * 10**12, -7, 10**18]
)
@pytest.mark.parametrize("currency", ["USD", "KRW", "XTS"])
def test_money_reads_the_same_as_in_the_shell(nano: int, currency: str) -> None:
    """costmon estimate and this page are one answer."""
    assert fine_money(nano, currency) == values.money(nano, currency)


def test_a_little_is_not_nothing() -> None:
    """A utilisation of a hundred thousandth does not read as 0 %."""
    assert decimal(Fraction(1, 100_000)) == "<0.01"
    assert decimal(Fraction(1, 100_000), 1) == "<0.1"
    assert decimal(Fraction(1440, 7)) == "205.71"
    assert decimal(Fraction(0)) == "0"


def test_a_month_and_a_server_weigh_the_hours_of_the_week() -> None:
    """deepseek-v4-pro, $0.00462 a call and twice that in 35/168 of the week: 30 days are $48.2328."""
    text = " ".join(shown(asked("month", models="deepseek-v4-pro", requests="", every="5")).split())
    assert "$0.0055825" in text
    assert "$48.2328" in text
    assert "30 days: $39.9168 in the cheapest hours alone, $79.8336 in the dearest" in text
    assert "calls are taken to be spread evenly over the week" in text
    text = " ".join(shown(asked("server", models="deepseek-v4-pro")).split())
    assert "spread evenly over the week" in text
    text = " ".join(shown(asked("call", models="deepseek-v4-pro")).split())
    assert "UTC" in text
    assert "it changes on" in text
