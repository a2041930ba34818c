"""Which lines of a block may tell of a schedule, found without looking at the others one by one; and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from costmon.sources.schedules.logs.split import MAX_LINE, Block

MAX_TEXT = 4_000
"""So much of a line is matched, in characters."""
_LATIN = (
    "schedul", "beat: starting", "task ", "job", "cycle", "batch", "next run", "next execution", "http request: post",
    "api call", "api request", "run start", "run begin", "run began", "run finish", "run complet", "run ended", "run done",
    "run succe", "run fail", "starting run", "restart",
)  # fmt: skip
_KOREAN = (
    "스케줄러",
    "스케쥴러",
    "다음 실행",
    "다음 작업",
    "다음 사이클",
    "작업",
    "사이클",
    "배치",
    "크롤링",
    "호출 성공",
    "호출 실패",
)
# And what happens to it: a line without any of these tells nothing.
_LATIN_VERBS = (
    "start", "stop", "shut", "launch", "running", " is up", "next", "sending due", "execut", "missed", "raised", "skipped",
    "added", "succe", "fail", "crash", "received", "begin", "began", "finish", "complet", "done", "ended", "http request",
)  # fmt: skip
_KOREAN_VERBS = ("시작", "가동", "기동", "구동", "종료", "중지", "정지", "완료", "성공", "실패", "다음")
_NARROW = tuple(one.encode() for one in _LATIN)
_ESCAPED = tuple(one.encode("ascii", "backslashreplace") for one in _KOREAN)  # as JSON may spell them
_WIDE = tuple(one.encode(encoding) for one in _KOREAN for encoding in ("utf-8", "cp949"))
_VERBS = tuple(one.encode() for one in _LATIN_VERBS)
_WIDE_VERBS = tuple(one.encode(encoding) for one in _KOREAN_VERBS for encoding in ("utf-8", "cp949"))
_ESCAPED_VERBS = tuple(one.encode("ascii", "backslashreplace") for one in _KOREAN_VERBS)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Line(NamedTuple):
    """A line without its end; `offset` is where it begins in its file. `hit`: it has a word of the built-in patterns."""

    offset: int
    text: str
    hit: bool = True


def telling(block: Block, *, every: bool = False) -> Iterator[Line]:
    """The lines that may tell something, in their order; `every`: all of them, for patterns nobody can look for before."""
    data = _narrow(block)
    hits = _hits(data)
    for start in _all_starts(data) if every else sorted(hits):
        end = data.find(b"\n", start)
        line = data[start : end if end >= 0 else len(data)]
        if text := _text(line):
            yield Line(_offset(block, data, start, line), text, start in hits)


def last(block: Block, most: int) -> list[Line]:
    """The last lines of a block, the very last first, `most` of them at most."""
    data = _narrow(block)
    found: list[Line] = []
    end = len(data)
    while end > 0 and len(found) < most:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if text := _text(data[start:end]):
            found.append(Line(block.offset + start, text))
        end = start
    return found


def _narrow(block: Block) -> bytes:
    if not block.encoding:
        return block.data
    return block.data.decode(block.encoding, "replace").encode("utf-8", "replace")


def _offset(block: Block, data: bytes, start: int, line: bytes) -> int:
    begins = start + len(line) - len(line.lstrip(b"\0"))
    if not block.encoding:
        return block.offset + begins
    return block.offset + len(data[:begins].decode("utf-8", "replace").encode(block.encoding, "replace"))


def _hits(data: bytes) -> set[int]:
    low = data.lower()
    starts: set[int] = set()
    judged: set[int] = set()
    signs = _NARROW if low.isascii() else _NARROW + _WIDE
    for sign in signs + _ESCAPED if b"\\u" in low else signs:
        at = low.find(sign)
        while at >= 0:
            start = low.rfind(b"\n", 0, at) + 1
            end = low.find(b"\n", at)
            if start not in judged:
                judged.add(start)
                if _happens(low[start : end if end >= 0 else len(low)]):
                    starts.add(start)
            at = low.find(sign, end) if end >= 0 else -1
    return starts


def _happens(line: bytes) -> bool:
    verbs = _VERBS if line.isascii() else _VERBS + _WIDE_VERBS
    for verb in verbs + _ESCAPED_VERBS if b"\\u" in line else verbs:  # noqa: SIM110 - half the time of any()
        if verb in line:
            return True
    return False


def _all_starts(data: bytes) -> list[int]:
    starts, at = [], 0
    while 0 <= at < len(data):
        starts.append(at)
        at = data.find(b"\n", at) + 1 or -1
    return starts


def _text(line: bytes) -> str:
    """A line as text, '' if it is none; never raises."""
    cut = line.lstrip(b"\0")[:MAX_LINE]
    text = _decode(cut.rstrip(b"\r\n"))[:MAX_TEXT].lstrip("\ufeff")
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    return "" if len(_ODD.findall(text)) > len(text) // 20 else text.strip()


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(line) - 3 and len(line) >= MAX_LINE - 3:
            return line.decode("utf-8", "ignore")
    try:
        return line.decode("cp949")
    except UnicodeDecodeError:
        return line.decode("latin-1")
