"""What is typed into the calculators: read exactly, or refused with one sentence."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim.money import Money
from costmon.tui.questions import FIELDS, SECTIONS, CallQuestion, MonthQuestion, ServerQuestion, ask

from .books import NOW_US

START = {spec.name: spec.start for spec in FIELDS}


def wrong(section: str, **typed: str) -> dict[str, str]:
    question, found = ask(section, {**START, **typed}, NOW_US)
    assert (question is None) == bool(found)
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_page_starts_with_is_a_question(section: str) -> None:
    """Nobody has to fill anything in to see a first answer."""
    assert wrong(section) == {}


def test_numbers_are_read_as_people_write_them() -> None:
    """Commas, spaces, a percent sign; several models, each once."""
    question, _ = ask("call", {**START, "models": " a, b ,a,", "input": "4,000 ", "output": "1_000"}, NOW_US)
    assert isinstance(question, CallQuestion)
    assert (question.models, question.input, question.output) == (("a", "b"), 4000, 1000)
    question, _ = ask("month", {**START, "cached_share": "37.5 %"}, NOW_US)
    assert isinstance(question, MonthQuestion)
    assert question.load.cached_share == Fraction(3, 8)
    question, _ = ask("server", {**START, "price": "₩2,450", "hours": "8.5"}, NOW_US)
    assert isinstance(question, ServerQuestion)
    assert (question.price, question.hours) == (Money(2450 * 10**9, "KRW"), Fraction(17, 2))


def test_every_five_minutes_is_288_calls_a_day() -> None:
    """Exactly, not nearly; and every 7 minutes is a fraction."""
    for minutes, calls in (("5", Fraction(288)), ("7", Fraction(1440, 7)), ("0.5", Fraction(2880))):
        question, _ = ask("month", {**START, "requests": "", "every": minutes}, NOW_US)
        assert isinstance(question, MonthQuestion)
        assert question.load.calls_per_day == calls


def test_no_date_is_now_and_a_date_is_its_first_moment() -> None:
    """UTC, as everywhere in costmon."""
    question, _ = ask("call", START, NOW_US)
    assert question is not None
    assert question.at_us == NOW_US
    question, _ = ask("call", {**START, "at": "2025-06-10"}, NOW_US)
    assert question is not None
    assert question.at_us == 1_749_513_600_000_000


@pytest.mark.parametrize(
    ("section", "field", "typed", "sentence"),
    [
        ("call", "models", " , ", "write a model's name, or several with commas between"),
        ("call", "models", ",".join(f"m{n}" for n in range(9)), "write at most 8 models"),
        ("call", "models", "m" * 201, "a name has at most 200 characters"),
        ("call", "input", "", "write a whole number, like 4000"),
        ("call", "input", "1.5", "write a whole number, like 4000"),
        ("call", "input", "-3", "write a whole number, like 4000"),
        ("call", "input", "١٢", "write a whole number, like 4000"),
        ("call", "input", "9" * 29, "write 0 to 1,000,000,000,000"),
        ("call", "cached", "4001", "cache reads are part of the input: write at most 4,000"),
        ("call", "most", "999", "write at least the 1,000 output tokens, or nothing"),
        ("call", "at", "yesterday", "write a date, like 2026-11-20, or nothing for now"),
        ("call", "at", "1905-01-01", "write a date of the years 1970 to 2199"),
        ("month", "cached_share", "101", "write 0 to 100"),
        ("month", "requests", "0", "write more than 0, at most 1,000,000,000"),
        ("month", "every", "5", "write either calls a day or minutes between them"),
        ("month", "days", "0", "write 1 to 3,660"),
        ("server", "price", "1.20", 'write an amount with its currency, like "1.20 USD" or ₩2,450'),
        ("server", "hours", "25", "write more than 0, at most 24"),
        ("server", "output", "0", "write 1 to 1,000,000,000,000"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(section: str, field: str, typed: str, sentence: str) -> None:
    """The field and what to write; nothing else is marked."""
    assert wrong(section, **{field: typed}) == {field: sentence}


def test_less_than_a_minute_apart_must_still_be_a_number_of_calls() -> None:
    """A billion calls a day are the most."""
    assert list(wrong("month", requests="", every="0.0000000001")) == ["every"]


def test_a_prompt_is_counted_instead_of_the_number() -> None:
    """Then the number may even be missing, and cached tokens are not compared with it."""
    assert wrong("call", input="", prompt="Hello", cached="9000") == {}


@given(
    st.sampled_from(SECTIONS),
    st.dictionaries(st.sampled_from([f.name for f in FIELDS]), st.text(max_size=40)),
)
def test_anything_may_be_typed(section: str, typed: dict[str, str]) -> None:
    """Every text is a question or a sentence, never an error."""
    question, found = ask(section, {**START, **typed}, NOW_US)
    assert (question is None) == bool(found)
    assert all(sentence and "\n" not in sentence for sentence in found.values())
