"""Counting tokens: exact where it can be, else an estimate that says so; in a host it loads and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import costmon
from costmon import paths
from costmon.pricing.tokens import chat, ratios
from costmon.pricing.tokens import count as tokens
from costmon.pricing.tokens import ranks as tokenizer
from costmon.pricing.tokens.count import count_tokens
from costmon.pricing.tokens.ratios import Sample
from costmon.shim.events import new_id
from costmon.store import open_ledger
from tests.harness import ranks
from tests.harness.cli import environ
from tests.harness.venvs import ROOT


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.use_fakes(monkeypatch)


@pytest.fixture
def installed() -> None:
    ranks.put(paths.tokenizer_dir())


# -- bytes/4 ---------------------------------------------------------------------------------------------------------

GOLDEN = [
    ("Hello, world!", 4),  # 13 bytes / 4 = 3.25
    ("The quick brown fox jumps over the lazy dog.", 11),  # 44 bytes / 4
    ("예산이 초과되었습니다", 8),  # 10 syllables x 3 + 1 space = 31 bytes / 4 = 7.75
    ("def add(a, b):\n    return a + b\n", 8),  # 32 bytes / 4
    ('{"name":"costmon","on":true}', 7),  # 28 bytes / 4
    ('{"n":12345}', 5),  # 11 bytes / 4 + 5 digits x 0.3 = 2.75 + 1.5 = 4.25
    ("\\uc608\\uc0b0", 8),  # two \uXXXX: 12 bytes x 0.6 = 7.2
    ("0123456789abcdef" * 8, 77),  # 128 bytes of a key x 0.6 = 76.8
    ("-" * 80, 20),  # a ruler is no key: 80 / 4
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN)
def test_bytes_by_four(text: str, expected: int) -> None:
    count = count_tokens(text, "gpt-4o")
    assert (count.tokens, count.method, count.exact) == (expected, "bytes/4", False)
    assert count.low <= expected * 0.7
    assert count.high >= expected * 1.3


@pytest.mark.parametrize(
    ("text", "real"),
    [  # real: o200k_base of tiktoken 0.14
        ("이번 달 예산은 만오천 원이고, 지금까지 사용한 금액은 전체의 팔십 퍼센트입니다.", 27),
        ("Das Budget für diesen Monat beträgt fünfzehntausend Won.", 13),
        ("В этом месяце бюджет составляет пятнадцать тысяч вон.", 13),
        ("12.50, 99.95, 100.00, 7.25, 1250.75, 33.10", 29),
        ("🎉🚀😀👍🏽✅❌", 11),
        ("नमस्ते, आपका बजट समाप्त हो गया है।", 13),
        ("今月の予算は一万五千円です。", 13),
        ('{"ok":true,"items":[{"id":1,"price":9.5},{"id":2,"price":10}]}', 27),
    ],
)
def test_the_range_holds_the_real_count(text: str, real: int) -> None:
    """Numbers, emoji and other scripts are where ±30 % would be a lie."""
    count = count_tokens(text)
    assert count.low <= real <= count.high, count


# -- tiktoken --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("installed")
def test_exact_with_the_rank_file() -> None:
    """The fake ranks know ' the' and 'the': 'the the' is two tokens, 'xyz' three bytes."""
    assert count_tokens("the the", "gpt-4o") == (2, "o200k_base", True, 2, 2, ())
    assert count_tokens("the the", "text-embedding-3-small") == (3, "cl100k_base", True, 3, 3, ())
    assert int(count_tokens("xyz")) == 3


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("model", "method", "exact"),
    [
        ("gpt-4o-mini-2024-07-18", "o200k_base", True),
        ("openai/gpt-4.1", "o200k_base", True),
        ("ft:gpt-4o:acme::abc", "o200k_base", True),
        ("GPT-5.2", "o200k_base", True),
        ("gpt-oss-120b", "o200k_base", True),
        ("o3", "o200k_base", True),
        ("gpt-4-32k", "cl100k_base", True),
        ("gpt-35-turbo", "cl100k_base", True),
        ("gpt-6.1-sol", "o200k_base, assumed for this model", False),
        ("codex-mini-latest", "o200k_base, assumed for this model", False),
        ("gpt-realtime", "o200k_base, assumed for this model", False),
        ("gpt-47", "o200k_base, assumed for this model", False),
        ("claude-sonnet-5-5", "o200k_base in place of its own tokenizer", False),
        ("models/gemini-2.5-pro", "o200k_base in place of its own tokenizer", False),
        ("o300-of-somebody", "o200k_base in place of its own tokenizer", False),
    ],
)
def test_the_encoding_by_model(model: str, method: str, exact: bool) -> None:
    """Only what tiktoken itself says of a model is called exact."""
    count = count_tokens("the cat", model)
    assert (count.method, count.exact) == (method, exact)
    assert (count.low < count.tokens < count.high) is not exact


@pytest.mark.usefixtures("installed")
def test_a_file_taken_away_makes_it_an_estimate_again() -> None:
    assert count_tokens("the the").exact
    tokenizer.remove()
    assert count_tokens("the the").method == "bytes/4"


TEXTS = st.text(st.sampled_from("abthe USER's'’ \t\n\r,.;:/{}\"0123 가나é́😀²_-"), max_size=300)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=TEXTS, encoding=st.sampled_from(sorted(tokenizer.RANK_FILES)))
@pytest.mark.slow
def test_a_long_text_is_cut_only_where_a_token_ends(text: str, encoding: str) -> None:
    """Counting by pieces is exact as long as each cut was a clean one, and says so if not."""
    ranks.put(paths.tokenizer_dir())
    encoder = tokenizer.encoder(encoding)
    assert encoder is not None
    cut = list(tokens.pieces(text, 8))
    assert "".join(piece for piece, _ in cut) == text
    whole = len(encoder.encode_ordinary(text))
    parts = sum(len(encoder.encode_ordinary(piece)) for piece, _ in cut)
    unclean = sum(not clean for _, clean in cut)
    assert abs(parts - whole) <= 2 * unclean


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("text", ["a", " ", "\n", "1", "!", "가", "the cat\n", "\ud800", "😀"])
@pytest.mark.slow
def test_a_huge_text_is_bounded(text: str) -> None:
    """tiktoken gives up on a run of a million spaces, by a panic that no `except Exception` catches."""
    begin = time.monotonic()
    huge = text * (1_100_000 // len(text))
    count = count_tokens(huge, "gpt-4o")
    assert count.method == "o200k_base"
    assert count.low <= count.tokens <= count.high
    tokenizer.remove()
    assert count_tokens(huge, "gpt-4o").method == "bytes/4"
    assert time.monotonic() - begin < 60


@pytest.mark.usefixtures("installed")
def test_a_panic_of_tiktoken_is_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Panics:
        def encode_ordinary(self, text: str) -> list[int]:
            raise PanicException("stack overflow")

    monkeypatch.setattr(tokenizer, "encoder", lambda _: Panics())
    assert count_tokens("the cat").method == "bytes/4"


@pytest.mark.usefixtures("installed")
def test_a_text_too_long_for_it_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_EXACT", 10)
    assert count_tokens("the cat sat").method == "bytes/4"


# -- what is given ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", b"", bytearray()])
def test_nothing_is_no_tokens(given: Any) -> None:
    assert count_tokens(given, "claude-opus-5") == (0, "nothing to count", True, 0, 0, ())


def test_bytes_and_half_surrogates_are_texts() -> None:
    assert count_tokens(b"Hello, world!") == count_tokens("Hello, world!")
    assert count_tokens(b"\xff" * 4) == count_tokens("\ufffd" * 4)
    assert count_tokens("\ud83d\ude00") == count_tokens("😀")
    assert count_tokens("\ud800") == count_tokens("\ufffd")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "takes a text or a list of chat messages, not None"),
        (5, "not of type int"),
        ({"a", "b"}, "not of type set"),
        ({"prompt": "hi"}, "needs a list of chat messages under 'messages'"),
        (["hi"], "message 1 is of type str; a chat message is an object"),
        (
            [{"role": "user", "content": "a"}, {"role": "user", "content": 5}],
            "message 2: content is of type int",
        ),
        ([{"role": "user", "content": [5]}], "message 1: content has a part that is of type int"),
        ([{"role": 5}], "message 1: role is of type int"),
        ([{"role": "tool", "content": [{"input": {1, 2}}]}], "a value that JSON cannot hold"),
    ],
)
def test_a_wrong_type_is_named(given: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        count_tokens(given)
    with pytest.raises(TypeError, match="model must be a text, not of type int"):
        count_tokens("hi", 5)  # type: ignore[arg-type]


def test_content_that_holds_itself_ends() -> None:
    part: dict[str, Any] = {"type": "tool_result"}
    part["content"] = [part]
    with pytest.raises(TypeError, match="nested more than 20 deep"):
        count_tokens([{"role": "user", "content": [part]}])


# -- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("installed")
def test_messages_have_a_frame() -> None:
    """Role, name and content by their tokens; 3 a message, 1 a name, 3 for the answer (OpenAI's Cookbook)."""
    messages = [
        {"role": "user", "content": "the the"},  # 'user' 1 + 2 + 3
        {"role": "user", "name": "the", "content": "xy"},  # 1 + 1 + 2 + 3 + 1
    ]
    count = count_tokens(messages, "gpt-4o")
    assert count == (6 + 8 + 3, "o200k_base + chat framing", False, 15, 19, ())
    assert count_tokens({"messages": messages}, "gpt-4o") == count
    assert count_tokens(tuple(messages), "gpt-4o") == count


@pytest.mark.usefixtures("installed")
def test_media_are_left_out_and_named() -> None:
    """An image's base64 is not its price: it is not counted, and said so."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"type": "text", "text": "the"}
    count = count_tokens([{"role": "user", "content": [text, image, image]}], "gpt-4o")
    assert (count.tokens, count.left_out) == (1 + 1 + 3 + 3, ("2 × image_url",))


CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}


def test_the_messages_of_every_maker() -> None:
    """Tool calls and results, Anthropic's blocks and system, Gemini's parts, an SDK's answer object."""

    class Answer:
        def model_dump(self) -> dict[str, Any]:
            return {"role": "assistant", "content": None, "tool_calls": [CALL]}

    found = chat.read_chat(
        {
            "system": [{"type": "text", "text": "S"}],
            "tools": [{"name": "find"}],
            "messages": [
                Answer(),
                {"role": "assistant", "content": [{"type": "tool_use", "name": "N", "input": {"a": "안"}}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "content": [{"type": "text", "text": "R"}]}],
                },
                {"role": "user", "content": [{"type": "image", "source": {"data": "AAAA"}}, {"type": "odd"}]},
            ],
        }
    )
    assert found.texts == [
        *("system", "S", "assistant", "find", '{"q":1}', "assistant", "N", '{"a":"안"}', "user", "R", "user"),
    ]
    assert (found.messages, found.left_out) == (5, {"tools": 1, "image": 1, "odd": 1})
    gemini = {"contents": [{"role": "user", "parts": [{"text": "A"}, {"inlineData": {"data": "B"}}]}]}
    assert chat.read_chat(gemini) == (["user", "A"], 1, 0, {"inlineData": 1})
    responses = {
        "instructions": "I",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "A"}]}],
    }
    assert chat.read_chat(responses).texts == ["system", "I", "user", "A"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(max_size=200),
    model=st.sampled_from(["", "gpt-4o", "gpt-6", "claude-x", "text-embedding-3-large"]),
    ready=st.booleans(),
)
def test_any_text_has_a_range_around_its_count(text: str, model: str, ready: bool) -> None:
    if ready:
        ranks.put(paths.tokenizer_dir())
    else:
        tokenizer.remove()
    count = count_tokens(text, model)
    assert 0 <= count.low <= count.tokens <= count.high
    assert (count.tokens == 0) is (text == "")
    assert not count.exact or count.low == count.tokens == count.high


# -- learned from own calls ------------------------------------------------------------------------------------------


def answers(
    model: str,
    *texts: tuple[int, int],
    provider: str = "anthropic",
    usage: str = "reported",
    reasoning: int | None = None,
) -> None:
    """Events as the shim writes them: (output tokens, bytes of the answer's text)."""
    store = open_ledger(paths.state_home())
    now = store.now()
    for number, (output, size) in enumerate(texts):
        units = json.dumps({"input_tokens": 5, "output_tokens": output, "output_bytes": size})
        store.db.execute(
            "insert into event (id, created_at, local_day_at, machine, source, app, api, provider, model, state,"
            " outcome, usage_status, output_tokens, reasoning_tokens, units, cost_status)"
            " values (?, ?, 0, 'm', 'shim', 'a', 'chat', ?, ?, 'settled', 'ok', ?, ?, ?, ?, 'unknown')",
            (new_id(now + number), now, provider, model, usage, output, reasoning, units),
        )
    store.close()


def test_learned_from_the_ledger() -> None:
    """250 tokens per 1,000 bytes on the whole; the spread is that of the calls, by bytes."""
    answers("claude-sonnet-5-5-20260901", (200, 1000), (240, 1000), (250, 1000), (260, 1000), (300, 1000))
    count = count_tokens("x" * 1000, "anthropic/claude-sonnet-5-5")
    assert count.method == "learned from 5 calls of claude-sonnet-5-5 (anthropic)"
    assert (count.low, count.tokens, count.high, count.exact) == (200, 250, 300, False)


def test_learned_is_preferred_to_a_stand_in_but_not_to_the_real_tokenizer() -> None:
    answers("claude-x", *[(400, 1000)] * 5)
    answers("gpt-4o", *[(400, 1000)] * 5, provider="openai")
    assert count_tokens("x" * 1000, "gpt-4o").tokens == 400  # no rank file: better than bytes/4
    ranks.put(paths.tokenizer_dir())
    assert count_tokens("x" * 1000, "claude-x") == (
        *(400, "learned from 5 calls of claude-x (anthropic)", False, 360, 440),
        (),
    )
    assert count_tokens("x" * 1000, "gpt-4o").method == "o200k_base"


@pytest.mark.parametrize(
    "put",
    [
        lambda: answers("claude-x", *[(250, 1000)] * 4),  # too few
        lambda: answers("claude-x", *[(25, 100)] * 9),  # too little text
        lambda: answers("claude-x", *[(250, 1000)] * 9, usage="estimated"),
        lambda: answers("claude-x", *[(250, 1000)] * 9, reasoning=100),  # billed but not shown
        lambda: answers("claude-x", *[(1001, 1000)] * 9),  # no text has more tokens than bytes
        lambda: answers("claude-x-mini", *[(250, 1000)] * 9),  # another model
        lambda: answers("my-claude-x", *[(250, 1000)] * 9),
        lambda: Path(paths.state_home()).mkdir(),
        lambda: (Path(paths.state_home()).mkdir(), Path(paths.ledger_file()).write_text("no database" * 999)),
        lambda: (Path(paths.state_home()).mkdir(), Path(paths.ledger_file()).mkdir()),
    ],
)
def test_too_little_or_no_ledger_is_no_lesson(put: Any) -> None:
    put()
    assert ratios.learned("claude-x") is None
    assert count_tokens("x" * 1000, "claude-x").method == "bytes/4"


def test_providers_are_not_mixed() -> None:
    """A gateway may count otherwise than the maker; the one with more calls is used, and named."""
    answers("claude-x", *[(250, 1000)] * 6)
    answers("anthropic/claude-x", *[(500, 1000)] * 5, provider="openrouter")
    ratio = ratios.learned("claude-x")
    assert ratio is not None
    assert (ratio.best, ratio.calls, ratio.provider) == (Fraction(1, 4), 6, "anthropic")


def test_the_newest_500_count() -> None:
    answers("claude-x", *[(100, 1000)] * 100)
    answers("claude-x", *[(300, 1000)] * 500)
    ratio = ratios.learned("claude-x")
    assert ratio is not None
    assert (ratio.calls, ratio.best) == (500, Fraction(3, 10))


def test_a_ledger_too_large_to_search_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answers("other", *[(250, 1000)] * 3000)
    answers("claude-x", *[(250, 1000)] * 5)
    monkeypatch.setattr(ratios, "SEARCH_S", -1)
    assert ratios.learned("claude-x") is None
    monkeypatch.setattr(ratios, "_remembered", {})
    monkeypatch.setattr(ratios, "SEARCH_S", 60)
    assert ratios.learned("claude-x") is not None


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 10_000)), min_size=1, max_size=30))
def test_the_learned_range_is_around_the_best(given: list[tuple[int, int]]) -> None:
    ratio = ratios.ratio_of([Sample("p", tokens, tokens + more) for tokens, more in given])
    if ratio is None:
        assert len(given) < 5 or sum(tokens + more for tokens, more in given) < 1000
    else:
        assert 0 < ratio.low < ratio.best < ratio.high
        assert ratio.best <= 1


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("claude-sonnet-5-5-20260901", "claude-sonnet-5-5"),
        ("us.anthropic.claude-opus-5-20260901-v1:0", "claude-opus-5"),
        ("anthropic/claude-opus-5", "claude-opus-5"),
        ("publishers/google/models/gemini-2.5-pro@001", "gemini-2.5-pro"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("ft:gpt-4o-mini:acme::1", "gpt-4o-mini"),
        ("ft:", ""),
        ("llama3.3:70b", "llama3.3"),
        (" GPT-4.1 ", "gpt-4.1"),
        ("", ""),
    ],
)
def test_names_of_one_model(name: str, base: str) -> None:
    assert ratios.base_name(name) == base


# -- in a host -------------------------------------------------------------------------------------------------------

HOST = """
import sys
asked = []
sys.addaudithook(lambda event, args: asked.append(event) if event.startswith(("socket.", "subprocess.")) else None)
import costmon
assert not [name for name in sys.modules if name.startswith("costmon.pricing")]
counts = [costmon.count_tokens("hello", model) for model in ("", "gpt-4o", "claude-sonnet-5-5")]
assert [int(count) for count in counts] == [2, 2, 2], counts
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - {"costmon", "__main__"}
print(sorted(foreign & {"tiktoken", "tiktoken_ext", "regex", "requests", "httpx", "click", "sqlite_utils"}), asked)
"""


def test_a_count_in_a_host_loads_and_leaves_nothing(tmp_path: Path) -> None:
    """No tiktoken, no connection, no ledger, no folder: an app may call it anywhere."""
    home = tmp_path / "nowhere"
    done = subprocess.run(
        [sys.executable, "-c", HOST],
        cwd=ROOT,
        env=environ(home),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")
    assert not home.exists()


def test_it_is_exported() -> None:
    assert costmon.count_tokens is count_tokens
