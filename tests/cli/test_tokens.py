"""`costmon tokens` and `costmon tokenizer` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from costmon import paths
from costmon.cli import main
from costmon.pricing.tokens import ranks as tokenizer
from tests.harness import ranks

CHAT = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "the"}, {"type": "image_url", "image_url": {"url": "data:"}}],
    }
]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.use_fakes(monkeypatch)


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=given)


def test_a_text_says_its_method_and_range(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello, world!")
    shown = run("tokens", str(tmp_path / "a.txt"))
    assert shown.exit_code == 0
    assert shown.output.splitlines() == [
        f"{tmp_path}/a.txt: text, 13 bytes",
        "model    tokens  range  counted by",
        "generic       4  2 – 6  bytes/4",
        "bytes/4 is an estimate: ±30 % for prose and code, more where the range says so.",
        "costmon tokenizer install makes counts for OpenAI models exact.",
    ]


def test_several_models_side_by_side_fit_80_columns() -> None:
    ranks.put(paths.tokenizer_dir())
    shown = run(
        "tokens",
        "-",
        "--model",
        "gpt-4o",
        "--model",
        "claude-sonnet-5-5",
        "--model",
        "gpt-6",
        given="the the",
    )
    lines = shown.output.splitlines()
    assert lines[2].split() == ["gpt-4o", "2", "exact", "o200k_base"]
    assert "in place of its own tokenizer" in shown.output
    assert max(map(len, lines)) <= 80


def test_messages_as_json() -> None:
    """Scripts see what is exact, and what was not counted."""
    ranks.put(paths.tokenizer_dir())
    shown = json.loads(run("tokens", "-", "--model", "gpt-4o", "--json", given=json.dumps(CHAT)).output)
    assert shown == {
        "file": "standard input",
        "kind": "messages",
        "bytes": len(json.dumps(CHAT)),
        "counts": [
            {
                "model": "gpt-4o",
                "tokens": 8,
                "method": "o200k_base + chat framing",
                "exact": False,
                "low": 7,
                "high": 9,
                "left_out": ["image_url"],
            }
        ],
    }
    assert "NOT counted, and billed on top: image_url." in run("tokens", "-", given=json.dumps(CHAT)).output
    assert (
        json.loads(run("tokens", "-", "--as-text", "--json", given=json.dumps(CHAT)).output)["kind"] == "text"
    )


@pytest.mark.parametrize(
    "given", ["[1, 2]", '{"a": 1}', "[", "[]", "[" * 100_000, '{"messages": []}', "NaN", ""]
)
def test_other_json_is_text(given: str) -> None:
    assert json.loads(run("tokens", "-", "--json", given=given).output)["kind"] == "text"


def test_utf_16_of_a_windows_shell_is_read() -> None:
    one, other = (run("tokens", "-", "--json", given=given) for given in ("안녕".encode("utf-16"), "안녕"))
    assert json.loads(one.output)["counts"] == json.loads(other.output)["counts"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"ab\xff", "standard input is no UTF-8 text (byte 2)"),
        (b"\xff\xfea", "standard input is no UTF-8 text"),
        (b"a\0b", "standard input is no text: it has a zero byte"),
        (b'[{"role":"user","content":5}]', "standard input: message 1: content is of type int"),
    ],
)
def test_bad_input_is_one_sentence(given: bytes, says: str) -> None:
    shown = run("tokens", "-", given=given)
    assert shown.exit_code == 1
    assert says in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_names_cannot_steer_the_terminal() -> None:
    """A model's name or a part's kind is somebody's text."""
    talk = [{"role": "user", "content": [{"type": "odd\x1b[31m\nTOTAL 0"}]}]
    shown = run("tokens", "-", "--model", "evil\x1b[2J\nname", given=json.dumps(talk))
    assert "\x1b" not in shown.output
    assert len(shown.output.splitlines()) == 7


def test_a_missing_file_is_named() -> None:
    shown = run("tokens", "/no/such/file")
    assert shown.exit_code == 2
    assert "'/no/such/file' does not exist" in shown.stderr


def test_install_status_remove(tmp_path: Path) -> None:
    """From nothing to exact counts and back."""
    states = [file["state"] for file in json.loads(run("tokenizer", "status", "--json").output)["files"]]
    assert states == ["missing", "missing"]
    (tmp_path / "o200k_base.tiktoken").write_bytes(ranks.content("o200k_base"))
    shown = run("tokenizer", "install", "--from", str(tmp_path))
    assert shown.output.splitlines() == [
        f"installed {tokenizer.find('o200k_base').path}",
        "cl100k_base is still missing; its models' counts stay estimates",
    ]
    assert "o200k_base   ready" in run("tokenizer", "status").output
    assert "exact" in run("tokens", "-", given="the").output
    assert run("tokenizer", "remove").output.startswith("deleted ")
    assert run("tokenizer", "remove").output == "nothing to delete in costmon's own folder\n"


def test_a_failed_install_is_one_line_and_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is said even when nobody answers there."""
    shown = run("tokenizer", "install", "--from", str(tmp_path))
    assert (shown.exit_code, len(shown.stderr.splitlines())) == (2, 1)
    monkeypatch.setattr(tokenizer, "BASE_URL", "http://127.0.0.1:1/")
    shown = run("tokenizer", "install")
    assert shown.exit_code == 2
    assert shown.stdout.startswith("downloading http://127.0.0.1:1/o200k_base.tiktoken (0.0 MB)")
    assert shown.stderr.startswith("costmon: cannot fetch from 127.0.0.1:1")


def test_nothing_is_downloaded_twice() -> None:
    ranks.put(paths.tokenizer_dir())
    assert run("tokenizer", "install").output == "both rank files are installed already\n"


def test_no_tokenizer_is_advised_where_it_does_not_help() -> None:
    """OpenAI's rank files make no count of another maker's model exact; beside a model they do help it is said."""
    alone = run("tokens", "-", "--model", "claude-sonnet-5-5", given="the the").output
    assert "bytes/4 is an estimate: −30 % to +80 %" in alone
    assert "tokenizer install" not in alone
    both = run("tokens", "-", "--model", "claude-sonnet-5-5", "--model", "gpt-4o", given="the the").output
    assert "tokenizer install" in both
