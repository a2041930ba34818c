"""YAML with lines: the same tree as ruamel's own loader makes, and one sentence for what is no YAML."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from costmon.sources.compose.nodes import Mapping, Node, NotYamlError, Scalar, parse
from costmon.sources.compose.work import TooMuchError, Work
from tests.sources.compose.kit import INCIDENT


def tree(text: str) -> Node:
    return parse(text, Work()).documents[0]


def plain(node: Node) -> object:
    """The node as Python values, every scalar a text."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    return [plain(item) for item in node.items]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), max_size=12
)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(TEXTS, TREES, min_size=1, max_size=4), st.booleans())
def test_the_tree_is_the_one_that_was_written(value, flow):
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.allow_unicode = True
    file = io.StringIO()
    yaml.dump(value, file)
    text = file.getvalue()
    try:
        assume(YAML(typ="safe", pure=True).load(text) == value)
    except YAMLError:
        reject()  # ruamel cannot read all that it writes: {:0: ''}
    assert plain(tree(text)) == value


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.fixed.yml"])
def test_a_compose_file_is_the_tree_ruamel_loads(name):
    text = (INCIDENT / name).read_text()
    assert plain(tree(text)) == _texts(YAML(typ="rt").load(text))


def _texts(value: object) -> object:
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    return (
        [_texts(inner) for inner in value] if isinstance(value, list) else "" if value is None else str(value)
    )


def test_every_value_knows_its_line():
    root = tree("# c\na: 1\nb:\n- x\n-   y: 2\n    z:\nc: [p,\n  q]\nd: |\n  text\n  more\ne: ''\n")
    assert isinstance(root, Mapping)
    assert {key: entry.line for key, entry in root.entries.items()} == {
        "a": 2,
        "b": 3,
        "c": 7,
        "d": 9,
        "e": 12,
    }
    items = root.get("b").items
    assert (items[0].line, items[1].entries["z"].node.line) == (4, 6)
    assert [item.line for item in root.get("c").items] == [7, 8]


def test_anchors_and_merge_keys_are_taken_up_and_own_keys_win():
    root = tree("x: &x {A: 1, B: 2}\ny: &y {B: 3, C: 4}\nz:\n  <<: [*x, *y]\n  A: own\nw: {<<: *x}\n")
    assert plain(root.get("z")) == {"A": "own", "B": "2", "C": "4"}
    assert plain(root.get("w")) == {"A": "1", "B": "2"}
    assert root.get("z").entries["C"].line == 2


def test_scalars_stay_as_they_are_written():
    root = tree("a: 12:30\nb: 010\nc: on\nd: 1_000\ne: 0x1F\nf: ~\ng: 'null'\nh: 2026-01-01\n")
    assert list(plain(root).values()) == ["12:30", "010", "on", "1_000", "0x1F", "~", "null", "2026-01-01"]
    assert root.get("f").is_null
    assert not root.get("g").is_null


def test_a_key_written_twice_is_said_and_the_later_one_is_taken():
    found = parse("a: 1\nb: 2\na: 3\n", Work())
    assert plain(found.documents[0]) == {"a": "3", "b": "2"}
    assert [(fault.line, "line 1" in fault.what) for fault in found.faults] == [(3, True)]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: 1\nb: [1, 2\n", 3, "brackets"),
        ("a: 'x\nb: 1\n", 3, "quotes"),
        ("a: b: c\n", 1, "indentation"),
        ("- a\nb: c\n", 2, "indentation"),
        ("a: *nobody\n", 1, "before its anchor"),
        ("a: &x [*x]\n", 1, "before its anchor"),
        ("a: @x\n", 1, "read as YAML"),
        ("a: x\x01y\n", 1, "control character"),
        ("[" * 500, 1, "deeper than 40"),
        ("- " * 500, 1, "deeper than 40"),
        ("a: 1\nb: " + "x" * 200_000, 2, "longer than 100,000"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(text, line, what):
    with pytest.raises(NotYamlError) as raised:
        parse(text, Work())
    assert (
        raised.value.line in (line, line - 1, line + 1)
        if "'" in text or "[1" in text
        else raised.value.line == line
    )
    assert what in str(raised.value)


def test_a_file_that_multiplies_itself_stays_small():
    names = "abcdefghijklmnop"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{after}: &{after} [{', '.join(['*' + before] * 9)}]" for before, after in pairwise(names)]
    assert isinstance(tree("\n".join(lines)), Mapping)  # 9^16 values if they were copied


def test_merge_keys_that_multiply_each_other_are_refused():
    lines = ["z0: &z0 {A: 1}"]
    lines += [f"z{n}: &z{n}\n  <<: [*z{n - 1}, *z{n - 1}]\n  K{n}: v" for n in range(1, 600)]
    with pytest.raises(TooMuchError, match="more values"):
        parse("\n".join(lines), Work())


def test_time_that_is_used_up_ends_a_reading():
    with pytest.raises(TooMuchError, match="too long"):
        parse("a: 1", Work(seconds=0))


@given(st.text(alphabet="abc:-[]{}&*!|>'\"#%@`? \n\t,<", max_size=40))
def test_no_text_is_another_error(text):
    try:
        parse(text, Work())
    except (NotYamlError, TooMuchError):
        pass
