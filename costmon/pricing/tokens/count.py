"""Count the tokens of a text or of chat messages before a call is made: on this machine, from what is on it.

The first of these that can be had:

1. tiktoken with a verified rank file, for models known to use that encoding: exact for text;
2. tiktoken's o200k_base assumed for OpenAI models that tiktoken does not name (gpt-6, codex-mini);
3. the tokens per byte learned from this ledger's own calls of the model: every model without a local tokenizer;
4. o200k_base in place of a tokenizer that is not public;
5. bytes / 4.

All but the first are estimates and have a range. Nothing here uses the network or writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from costmon.pricing.tokens import chat, ratios
from costmon.pricing.tokens import ranks as tokenizer

PER_MESSAGE = 3
PER_NAME = 1
PER_REPLY = 3
"""Tokens around messages, of OpenAI's Cookbook "How to count tokens with tiktoken": 3 a message beside its role and
content, 1 for a name, 3 that open the answer. Other makers' framing is not public; the same is assumed for them."""
DEFAULT = "o200k_base"
MOST_EXACT = 32_000_000  # bytes; a longer text is estimated, so that no call takes minutes or gigabytes
_PIECE = 65_536  # characters given to tiktoken at a time: it gives up on runs of a million

# Name prefix → encoding, the longest match counts. Certain where tiktoken 0.14 says so itself, else assumed.
_CERTAIN = {
    "gpt-5": "o200k_base",
    "gpt-4o": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4.5": "o200k_base",
    "chatgpt-4o": "o200k_base",
    "gpt-oss": "o200k_base",  # o200k_harmony: the same ranks, other control tokens
    "o1": "o200k_base",
    "o3": "o200k_base",
    "o4-mini": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-3.5": "cl100k_base",
    "gpt-35": "cl100k_base",
    "text-embedding-3": "cl100k_base",
    "text-embedding-ada-002": "cl100k_base",
    "davinci-002": "cl100k_base",
    "babbage-002": "cl100k_base",
}
_ASSUMED = ("gpt-", "chatgpt", "codex", "computer-use", "o2", "o4", "o5", "omni-")


class Spread(NamedTuple):
    """How far below and above an estimate the count may be, as a share of it."""

    low: Fraction
    high: Fraction


WITHIN_30 = Spread(Fraction(3, 10), Fraction(3, 10))
# Of a tokenizer never measured here. An older public one of Claude's took 1.0 times o200k_base's tokens for English and
# code, 1.2 to 1.8 for Chinese, Japanese and Korean.
OTHER_TOKENIZER = Spread(Fraction(3, 10), Fraction(8, 10))


class TokenCount(NamedTuple):
    """A count of tokens. `int(count)` is `tokens`.

    `method` says how it was counted; `exact` is False for an estimate, which lies between `low` and `high`. `left_out`
    is what could not be counted at all and comes on top of it: images, sound, files, tool definitions.
    """

    tokens: int
    method: str
    exact: bool
    low: int
    high: int
    left_out: tuple[str, ...] = ()

    def __int__(self) -> int:
        return self.tokens


def count_tokens(
    content: str | bytes | bytearray | Sequence[Any] | Mapping[str, Any], model: str = ""
) -> TokenCount:
    """Count the tokens that `content` is for `model`; without a model for OpenAI's current encoding, o200k_base.

    Args:
        content: a text; UTF-8 bytes; a list of chat messages as the OpenAI, Anthropic and Gemini APIs take them; or a
            request body that has one. Images and other media are not counted, and named in `left_out`. A data: URL
            inside a *text* is counted: a provider bills it as text.
        model: as the provider names it, with or without prefixes such as `openai/`, `ft:` or `us.anthropic.`.

    Never uses the network, never creates a ledger, and loads tiktoken only when its rank file is installed (`costmon
    tokenizer install`). Takes about 0.1 s per MB, and up to 0.5 s once.

    Raises:
        TypeError: `content` or `model` is of another type; the message says which part.
    """
    if not isinstance(model, str):
        raise TypeError(f"model must be a text, not of type {type(model).__name__}")
    if isinstance(content, (bytes, bytearray, str)):
        return _count([_text(content)], model)
    talk = chat.read_chat(content)
    count = _count([_text(text) for text in talk.texts], model)
    return _framed(count, talk)


def encoding_of(model: str) -> tuple[str, str]:
    """(encoding, how sure): `certain`, `assumed` (OpenAI's, not named by tiktoken), or `other` (another maker's)."""
    name = ratios.base_name(model)
    if not name:
        return DEFAULT, "certain"
    best = max((prefix for prefix in _CERTAIN if _starts(name, prefix)), key=len, default="")
    if best:
        return _CERTAIN[best], "certain"
    return DEFAULT, "assumed" if name.startswith(_ASSUMED) else "other"


def _starts(name: str, prefix: str) -> bool:
    """`gpt-4` begins `gpt-4-32k`, not `gpt-47`; `gpt-5` begins `gpt-5.2` too, as in tiktoken."""
    return name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in ("", "-", ".", ":", "_")


def _text(given: str | bytes | bytearray) -> str:
    """The text, with U+FFFD for what is no UTF-8 or half a surrogate pair, as tiktoken and providers read it."""
    if not isinstance(given, str):
        return given.decode("utf-8", "replace")
    try:
        given.encode()
    except UnicodeEncodeError:
        return given.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return given


def _count(texts: list[str], model: str) -> TokenCount:
    size = sum(map(_size, texts))
    if size == 0:
        return TokenCount(0, "nothing to count", True, 0, 0)
    encoding, certainty = encoding_of(model)
    if certainty == "other":
        return (
            _learned(size, model)
            or _by_ranks(texts, size, encoding, f"{encoding} in place of its own tokenizer", OTHER_TOKENIZER)
            or _by_bytes(texts, OTHER_TOKENIZER)
        )
    exact = certainty == "certain"
    method = encoding if exact else f"{encoding}, assumed for this model"
    return (
        _by_ranks(texts, size, encoding, method, None if exact else WITHIN_30)
        or _learned(size, model)
        or _by_bytes(texts, WITHIN_30)
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _by_ranks(
    texts: list[str], size: int, encoding: str, method: str, spread: Spread | None
) -> TokenCount | None:
    """By tiktoken; None when it or its file is not here, or the text is too long for it."""
    ranks = tokenizer.encoder(encoding) if size <= MOST_EXACT else None
    if ranks is None:
        return None
    tokens = cuts = 0
    try:
        for text in texts:
            for piece, clean_cut in pieces(text):
                tokens += len(ranks.encode_ordinary(piece))
                cuts += not clean_cut
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return None
    if spread is not None:
        return _ranged(tokens, method, spread)
    # A cut through a word or a run of signs may make of one token up to two or three.
    return TokenCount(tokens, method, not cuts, max(0, tokens - 2 * cuts), tokens + 2 * cuts)


# Behind a letter or digit and before a space or sign (no apostrophe: 's belongs to its word), and behind a line's end
# before anything but space or a slash, every OpenAI encoding begins a new token.
_SEAM = re.compile(r"""(?<=[^\W_])(?=[\s!"#$%&()*+,\-./:;<=>?@\[\]^`{|}~、。，])|(?<=\n)(?=[^\s/])""")


def pieces(text: str, at_least: int = _PIECE) -> Iterator[tuple[str, bool]]:
    """Cut a text where a token ends: (piece, whether that held). At most twice `at_least` characters each."""
    begin = 0
    while len(text) - begin > 2 * at_least:
        seam = _SEAM.search(text, begin + at_least, begin + 2 * at_least)
        end = seam.start() if seam else begin + 2 * at_least
        yield text[begin:end], seam is not None
        begin = end
    yield text[begin:], True


def _learned(size: int, model: str) -> TokenCount | None:
    ratio = ratios.learned(model) if model else None
    if ratio is None:
        return None
    method = f"learned from {ratio.calls} calls of {ratios.base_name(model)} ({ratio.provider})"
    return TokenCount(_up(size * ratio.best), method, False, int(size * ratio.low), _up(size * ratio.high))


def _by_bytes(texts: list[str], spread: Spread) -> TokenCount:
    parts = [estimate(text.encode()) for text in texts]
    tokens = _up(sum((part.tokens for part in parts), Fraction(0)))
    low = tokens * (1 - spread.low) - sum(part.maybe_less for part in parts)
    high = tokens * (1 + spread.high) + sum(part.maybe_more for part in parts)
    return TokenCount(tokens, "bytes/4", False, max(0, int(low)), _up(high))


class Estimate(NamedTuple):
    """Tokens by bytes/4, and by how many tokens some of its characters may take it beyond the usual ±30 %."""

    tokens: Fraction
    maybe_less: Fraction
    maybe_more: Fraction


# Base64, hashes and keys; JSON's \uXXXX: measured 1.5 to 1.8 bytes a token, where prose and code have about 4.
_DENSE = re.compile(
    rb"(?<![A-Za-z0-9+/_-])(?=[A-Za-z+/_-]{0,63}[0-9])[A-Za-z0-9+/_-]{64,}={0,2}|(?:\\u[0-9a-fA-F]{4})+"
)


def estimate(text: bytes) -> Estimate:
    """The tokens of UTF-8 bytes by bytes/4.

    Against o200k_base: within 30 % for English, Korean, Japanese, Chinese, code and JSON. A byte of base64 and of
    \\uXXXX counts 0.6 tokens instead of 0.25, a digit 0.55: tables of numbers would else come out at half, and do come
    out up to 30 % low still. Greek, Cyrillic, Arabic and Indian scripts take half of what bytes/4 says, emoji up to
    twice.
    """
    rest, _ = _DENSE.subn(b"", text)
    dense = len(text) - len(rest)
    digits, marks = _count_of(rest, b"0123456789"), _count_of(rest, b'"{}[]:')
    lead_of_2, lead_of_3 = _count_of(rest, bytes(range(0xCE, 0xE0))), _count_of(rest, b"\xe0")
    lead_of_4 = _count_of(rest, bytes(range(0xF0, 0xF5)))
    tokens = Fraction(len(rest), 4) + Fraction(3 * dense, 5) + Fraction(3 * digits, 10)
    more = Fraction(digits, 5) + Fraction(marks, 10) + Fraction(lead_of_4, 2)
    return Estimate(tokens, Fraction(2 * lead_of_2 + 3 * lead_of_3, 12), more)


def _count_of(text: bytes, which: bytes) -> int:
    return len(text) - len(text.translate(None, which))


def _framed(count: TokenCount, talk: chat.Chat) -> TokenCount:
    """The count of the texts of messages and what frames them; 3 to 4 tokens a message are uncertain by one."""
    left_out = tuple(f"{number} × {kind}" if number > 1 else kind for kind, number in talk.left_out.items())
    if not talk.messages:
        return count._replace(left_out=left_out)
    frame = PER_MESSAGE * talk.messages + PER_NAME * talk.names + PER_REPLY
    return TokenCount(
        count.tokens + frame,
        f"{count.method} + chat framing" if count.tokens else "chat framing",
        False,
        count.low + frame - talk.messages,
        count.high + frame + talk.messages,
        left_out,
    )


def _ranged(tokens: int, method: str, spread: Spread) -> TokenCount:
    low, high = int(tokens * (1 - spread.low)), _up(tokens * (1 + spread.high))
    return TokenCount(tokens, method, False, low, high)


def _up(number: Fraction | int) -> int:
    return -int(-number // 1)
