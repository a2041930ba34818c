"""Files that mean harm, or are not what their name says: one sentence each, in bounded time, and the rest is read."""

from __future__ import annotations

import json
import os
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.sources.compose import finding
from costmon.sources.compose.reading import read
from costmon.sources.schedules import composed
from tests.sources.compose.kit import project, sentences, service, values, write

GOOD = "services: {good: {image: a, environment: {A: 1}}}"
_VARIABLES = ", ".join(f"V{n}: '${{A:-1}}'" for n in range(2000))
_EVERY = f"services: {{a: {{image: x, environment: &e {{{_VARIABLES}}}}}, "
_BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{y}: &{y} [{', '.join(['*' + x] * 9)}]" for x, y in zip("abcdefgh", "bcdefghi", strict=True)]
)

QUICK = {
    "aliases of aliases": _BOMB + "\nservices: {a: {image: x, environment: *i}}",
    "one long line": "a: " + "x " * 900_000,
    "quotes": 'a: "' + "\\" * 90_000,
    "indents": "".join(" " * n + "a:\n" for n in range(1500)),
}
SLOW = {
    "blank lines": "\n" * 1_900_000,
    "many services of one environment": _EVERY
    + ", ".join(f"s{n}: {{environment: *e}}" for n in range(2000))
    + "}",
    "only comments": "#x\n" * 600_000 + GOOD,
    "many keys": "".join(f"k{n}: v\n" for n in range(150_000)),
    "a long block": "a: |\n" + "  x\n" * 450_000,
    "many includes": f"include: [{', '.join(f'{n}.yml' for n in range(12_000))}]",
    "many env files": "services:\n" + "".join(f"  s{n}: {{env_file: big.env}}\n" for n in range(4000)),
    "documents": "---\n" * 470_000,
    "brackets": "[" * 90_000,
    "colons": ":" * 90_000,
}
CASES = QUICK | SLOW


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_hostile_file_is_bounded_in_time_and_memory_and_named(tmp_path, name):
    write(tmp_path, {"compose.yml": GOOD})
    (tmp_path / "bad.yml").write_text(CASES[name])
    (tmp_path / "big.env").write_text("#" * 1_900_000)
    began = time.thread_time()
    found = read([str(tmp_path / "compose.yml"), str(tmp_path / "bad.yml")])
    assert time.thread_time() - began < 1.5  # 0.8 s by its own bound; the rest is for a busy machine
    blamed = str(tmp_path / ("big.env" if name == "many env files" else "bad.yml"))
    assert any(blamed in sentence for sentence in sentences(found))
    assert values(found, "good") == {"A": "1"}


def test_aliases_of_aliases_are_not_copied(tmp_path):
    write(tmp_path, {"compose.yml": QUICK["aliases of aliases"]})
    tracemalloc.start()
    try:
        read([str(tmp_path)])
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x7fELF\x02\x01\x00\x00", "is a binary file"),
        ("services: {a: {image: 'café'}}".encode("latin-1"), "line 1 is not UTF-8 text"),
        (b"a: 1\nb: \xff\xfe\n", "line 2 is not UTF-8 text"),
        (b"\xff\xfe" + "a: 1".encode("utf-16-le") + b"\x00", "is not UTF-16 text"),
        (b"x" * 2_000_001, "is larger than 2 MB"),
        (b"services:\n\ta: 1\n", "line 2 has a tab"),
        (b"", "holds no mapping"),
        (b"just text\n", "holds no mapping"),
        (b"services: [a]\n", "line 1: 'services' is not a mapping"),
        (b"a: \x08\n", "control character"),
    ],
)
def test_what_is_no_compose_file_is_one_sentence_and_the_others_are_read(tmp_path, content, what):
    write(tmp_path, {"compose.yml": GOOD})
    (tmp_path / "bad.yml").write_bytes(content)
    found = read([str(tmp_path / "compose.yml"), str(tmp_path / "bad.yml")])
    assert [what in sentence and "bad.yml" in sentence for sentence in sentences(found)] == [True]
    assert service(found, "good")


def test_marked_utf_16_and_a_byte_order_mark_are_read(tmp_path):
    for name, content in (("a.yml", GOOD.encode("utf-16")), ("b.yml", b"\xef\xbb\xbf" + GOOD.encode())):
        (tmp_path / name).write_bytes(content)
        assert values(read([str(tmp_path / name)]), "good") == {"A": "1"}


@pytest.mark.parametrize("key", ["env_file", "include", "extends"])
def test_pipes_devices_and_folders_are_not_opened(tmp_path, key):
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "folder.yml").mkdir()
    for name in ("pipe.yml", "folder.yml", "/dev/zero"):
        said = f"{{file: {name}, service: x}}" if key == "extends" else name
        text = (
            f"include: {name}\n{GOOD}"
            if key == "include"
            else f"services: {{good: {{image: a, {key}: {said}}}}}"
        )
        found = project(tmp_path, {"compose.yml": text})
        assert service(found, "good").image == "a"
        assert any(
            "not a regular file" in sentence or "cannot be opened" in sentence
            for sentence in sentences(found)
        )


def test_control_characters_in_names_do_not_reach_a_sentence(tmp_path):
    text = 'services: {"a\\e[31m\\u202e": {image: [x]}, "b\\nc": {extends: "d\\re"}}'
    found = project(tmp_path, {"compose.yml": text})
    assert len(found.problems) == 2
    assert all(sentence.isprintable() for sentence in sentences(found))


def test_very_many_problems_are_cut(tmp_path):
    text = "services:\n" + "".join(f"  s{n}: 7\n" for n in range(1000))
    said = sentences(project(tmp_path, {"compose.yml": text}))
    assert len(said) == 101
    assert said[-1].endswith("900 more problems are not listed.")


def test_a_missing_file_and_one_that_may_not_be_read(tmp_path):
    found = read([str(tmp_path / "none.yml")])
    assert sentences(found) == [f"{tmp_path}/none.yml does not exist."]
    assert (found.services, found.files) == ((), (str(tmp_path / "none.yml"),))


ODD = st.sampled_from(
    ["", "~", "x", ".", "..", "/", "~/x", "a\0b", "\ud800", "x" * 5000, "${A:-b}", "${", "${A?}", "-1", "9" * 50, "a:b:c:d",
     "=", "=x", "A=1", "compose.yml", "none.yml", "big.env", "a", "b"]
)  # fmt: skip
TREES = st.recursive(
    ODD | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["image", "build", "command", "entrypoint", "restart", "scale", "deploy", "profiles", "depends_on", "environment",
     "env_file", "labels", "volumes", "extends"]
)  # fmt: skip
INNER = st.sampled_from(
    ["context", "replicas", "path", "required", "format", "type", "source", "target", "service", "file"]
)
VALUES = (
    TREES
    | st.dictionaries(INNER, TREES, max_size=3)
    | st.lists(st.dictionaries(INNER, TREES, max_size=3), max_size=2)
)
SERVICES = TREES | st.dictionaries(
    st.sampled_from("ab"), st.dictionaries(KEYS, VALUES, max_size=4), max_size=2
)
DOCUMENTS = st.fixed_dictionaries({"services": SERVICES}, optional={"include": VALUES, "name": TREES})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, DOCUMENTS)
def test_no_project_is_an_error(tmp_path, base, over):
    # JSON is YAML, escapes and all.
    (tmp_path / "compose.yml").write_text(json.dumps(base))
    (tmp_path / "compose.override.yml").write_text(json.dumps(over))
    found = read([str(tmp_path)])
    assert all(sentence.isprintable() for sentence in sentences(found))
    composed.of_project(found)
    assert finding.projects(str(tmp_path))
