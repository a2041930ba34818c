"""Env files, read as Docker Compose reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.compose.envfile import EnvFile, parse_env, read_env
from costmon.sources.compose.interpolation import Known
from costmon.sources.compose.work import Work


def nobody(name: str) -> Known | None:
    return None


def parsed(text: str, look=nobody, **options) -> EnvFile:
    return parse_env(text, "some.env", look, Work(), **options)


def pairs(text: str, **options) -> dict[str, str | None]:
    return {name: line.expanded.text for name, line in parsed(text, **options).lines.items()}


CASES = [
    ("A=b", "b"),
    ("A = b", "b"),
    ("  A=b  ", "b"),
    ("A=", ""),
    ("A=b c", "b c"),
    ("A=b=c", "b=c"),
    ("A: b", "b"),
    ("export A=b", "b"),
    ("export\tA=b", "b"),
    ("A=b # comment", "b"),
    ("A=b #comment", "b"),
    ("A=b#no comment", "b#no comment"),
    ('A="b # no comment"', "b # no comment"),
    ('A="b" # comment', "b"),
    ("A='b' # comment", "b"),
    ("A='$B ${B} \\n'", "$B ${B} \\n"),
    ("A='it\\'s'", "it's"),
    ('A="say \\"hi\\""', 'say "hi"'),
    ('A="x\\ny\\tz"', "x\ny\tz"),
    ('A="a\\\\b"', "a\\b"),
    ('A="\\$B"', "$B"),
    ('A="\\0123"', "S"),
    ("A=x\\ny", "x\\ny"),
    ("A=$$B", "$B"),
    ('A="${B:-c}"', "c"),
    ("A=${B:-c}", "c"),
    ('A="one\ntwo"\n', "one\ntwo"),
    ("A='one\n  two'\n", "one\n  two"),
    ("\ufeffA=b", None),
    ("A='b", None),
    ("A='b' c", None),
]


@pytest.mark.parametrize(("text", "value"), CASES)
def test_a_line_gives_the_value_compose_takes(text, value):
    assert pairs(text).get("A") == value


def test_windows_line_ends_comments_and_blank_lines_are_no_part_of_values():
    assert pairs('# first\r\n\r\nA=1\r\nB="2"\r\n  # indented\r\nC=3') == {"A": "1", "B": "2", "C": "3"}


def test_later_lines_win_and_may_ask_earlier_ones():
    found = parsed("HOST=a\nURL=http://$HOST:${PORT:-80}/\nHOST=b\n")
    assert found.lines["URL"].expanded.text == "http://a:80/"
    assert (found.lines["HOST"].expanded.text, found.lines["HOST"].line) == ("b", 3)


def test_the_project_answers_before_the_file_itself():
    assert pairs("A=own\nB=$A\n", look=lambda name: Known("above") if name == "A" else None)["B"] == "above"


def test_a_name_alone_is_passed_on_from_who_starts_the_project():
    found = parsed("A\nB\n", look=lambda name: Known("given") if name == "A" else None)
    assert found.lines["A"].expanded.text == "given"
    assert found.lines["B"].expanded.text is None
    assert found.lines["B"].expanded.unset == ("B",)


def test_lines_are_counted_through_values_of_several_lines():
    found = parsed("A=\"1\n2\n3\"\n\n# c\nB=4\nC='5\n6' # c\nD=7\n")
    assert {name: line.line for name, line in found.lines.items()} == {"A": 1, "B": 6, "C": 7, "D": 9}


def test_the_raw_format_takes_values_as_they_stand():
    text = 'A="quoted" # not a comment\nB=$A\n# comment\nC\n'
    assert pairs(text, raw=True) == {"A": '"quoted" # not a comment', "B": "$A", "C": None}


def test_a_broken_line_is_named_without_its_value_and_the_others_are_read():
    found = parsed("A=1\n?s3cret\nTOKEN='s3cret\nB=${s3cret!}\nC=2\n")
    assert set(found.lines) == {"A", "C"}
    assert [problem.place.line for problem in found.problems] == [2, 3, 4]
    assert not any("s3cret" in problem.sentence for problem in found.problems)
    assert all(
        problem.sentence.startswith(f"some.env line {problem.place.line}") for problem in found.problems
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"A=caf\xe9\n", "not UTF-8"), (b"A=\0\1", "binary"), (b"x" * 2_100_000, "larger than 2 MB")],
)
def test_a_file_that_is_no_text_is_one_problem(tmp_path, content, why):
    path = tmp_path / "some.env"
    path.write_bytes(content)
    found = read_env(str(path), nobody, Work())
    assert found.lines == {}
    assert [why in problem.sentence and "some.env" in problem.sentence for problem in found.problems] == [
        True
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "some.env"
    path.write_bytes(b"\xef\xbb\xbfA=b\n")
    assert list(read_env(str(path), nobody, Work()).lines) == ["A"]


def test_variables_that_double_each_other_end(tmp_path):
    lines = ["A0=" + "x" * 1000, *(f"A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60))]
    found = parsed("\n".join(lines))
    assert found.lines["A5"].expanded.text == "x" * 32_000
    assert any("longer than a process can be given" in problem.sentence for problem in found.problems)


@given(st.text(alphabet="AB=:'\"\\\n\r #$${}x", max_size=60))
def test_no_text_is_an_error(text):
    parsed(text)
