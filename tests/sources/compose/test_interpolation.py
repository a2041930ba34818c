"""Interpolation, against the forms of the Compose Specification's chapter 12 and what Compose does at their edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.compose.interpolation import Known, MalformedError, expand
from costmon.sources.compose.values import Place

SET = {"SET": "value", "EMPTY": "", "OTHER": "else", "DOLLAR": "$SET", "_x1": "under"}
MISSING = None


def look(name: str) -> Known | None:
    return Known(SET[name]) if name in SET else None


CASES = [
    # direct
    ("$SET", "value"),
    ("${SET}", "value"),
    ("a $SET b ${SET}c", "a value b valuec"),
    ("$SET-tail", "value-tail"),
    ("$_x1/${_x1}", "under/under"),
    ("$UNSET|${UNSET}", "|"),
    ("${EMPTY}", ""),
    # a default if unset or empty
    ("${SET:-default}", "value"),
    ("${EMPTY:-default}", "default"),
    ("${UNSET:-default}", "default"),
    ("${UNSET:-}", ""),
    # a default if unset
    ("${SET-default}", "value"),
    ("${EMPTY-default}", ""),
    ("${UNSET-default}", "default"),
    # required and not empty
    ("${SET:?why}", "value"),
    ("${EMPTY:?why}", MISSING),
    ("${UNSET:?why}", MISSING),
    ("${UNSET:?}", MISSING),
    # required
    ("${SET?why}", "value"),
    ("${EMPTY?why}", ""),
    ("${UNSET?why}", MISSING),
    # an alternative if set and not empty
    ("${SET:+other}", "other"),
    ("${EMPTY:+other}", ""),
    ("${UNSET:+other}", ""),
    # an alternative if set
    ("${SET+other}", "other"),
    ("${EMPTY+other}", "other"),
    ("${UNSET+other}", ""),
    # nested
    ("${UNSET:-${SET}}", "value"),
    ("${UNSET:-${NONE:-deep}}", "deep"),
    ("${UNSET:-$OTHER}", "else"),
    ("${UNSET?$SET}", MISSING),
    ("${SET:+${OTHER}}", "else"),
    ("${UNSET:-a${SET}b${NONE:-c}}d", "avaluebcd"),
    ("${UNSET:-${NONE?why}}", MISSING),
    ("${SET:-${NONE?why}}", "value"),
    # escapes
    ("$$SET", "$SET"),
    ("$${SET}", "${SET}"),
    ("$$$SET", "$value"),
    ("$$$$", "$$"),
    ("${UNSET:-$$SET}", "$SET"),
    ("${SET:-$${x}}", "value"),
    ("${UNSET:-$${x}}", "${x}"),
    # a dollar sign that begins nothing stays
    ("a $ b", "a $ b"),
    ("^x$", "^x$"),
    ("$5 or $-", "$5 or $-"),
    ("$}", "$}"),
    # only text: operators, braces and colons in defaults, and values are not interpolated again
    ("${UNSET:-a:-b?c+d}", "a:-b?c+d"),
    ("${UNSET:-http://h:80/?q=1}", "http://h:80/?q=1"),
    ('${UNSET:-{"a":1}}', '{"a":1}'),
    ("${UNSET- spaced }", " spaced "),
    ("${DOLLAR}", "$SET"),
]


@pytest.mark.parametrize(("text", "value"), CASES, ids=[text for text, _ in CASES])
def test_a_text_becomes_what_compose_makes_of_it(text, value):
    assert expand(text, look).text == value


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${ }",
        "${ SET}",
        "${SET }",
        "${SET!}",
        "${SET/a/b}",
        "${5}",
        "${SET:-",
        "${SET:-${OTHER}",
        "${SET:x}",
        "${-x}",
    ],
)
def test_a_malformed_form_is_refused_without_quoting_it(text):
    with pytest.raises(MalformedError) as raised:
        expand("s3cret " + text, look)
    assert "s3cret" not in str(raised.value)


def test_a_setting_knows_what_it_asks_what_nobody_sets_and_its_default():
    found = expand("${A:-${B-x}}${SET}$C", look)
    assert found.asks == ("A", "B", "SET", "C")
    assert found.unset == ("C",)  # A and B have a default
    assert (found.text, found.default) == ("xvalue", "x")
    assert expand("${SET:-5}", look).default == "5"
    assert expand("${UNSET:?why}", look).unset == ("UNSET",)
    assert expand("${UNSET:+x}", look).unset == ()


def test_a_setting_knows_the_line_that_answered_it():
    place = Place(".env", 3)
    assert expand("${A:-1}", lambda name: Known("2", place)).from_file == place
    assert expand("${A:-1}", look).from_file is None


@given(st.text())
def test_an_escaped_text_comes_back_as_it_was(text):
    assert expand(text.replace("$", "$$"), look).text == text


@given(st.text(alphabet="${}:-?+ASET $", max_size=40))
def test_every_text_has_an_answer(text):
    try:
        found = expand(text, look)
    except MalformedError:
        return
    assert found.text is None or isinstance(found.text, str)


@pytest.mark.parametrize(
    "text", ["${A:-" * 50_000 + "}" * 50_000, "$A" * 200_000, "${A:-" + "x" * 140_000 + "}"]
)
def test_a_text_no_process_could_be_given_is_refused(text):
    with pytest.raises(MalformedError):
        expand(text, look)


def test_doubling_variables_do_not_fill_the_memory():
    with pytest.raises(MalformedError, match="longer"):
        expand("$A" * 100, lambda name: Known("x" * 100_000))
