"""Bytes of a log in pieces of any size become blocks of whole lines; at most one line's beginning is kept in memory."""

from __future__ import annotations

from typing import NamedTuple

MAX_LINE = 65_536
"""A line is read so far, in bytes (UTF-16: in characters); the rest of it is passed over."""
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_BREAK = {"": b"\n", "utf-16-le": b"\n\0", "utf-16-be": b"\0\n"}


class Block(NamedTuple):
    """Whole lines, the first of which begins at `offset` of its file. `encoding` is '' where a byte order mark says none."""

    offset: int
    data: bytes
    encoding: str = ""


def wide(head: bytes) -> str:
    """The encoding that a file's first two bytes tell: 'utf-16-le', 'utf-16-be', or ''."""
    return _WIDE.get(head[:2], "")


class Splitter:
    """`offset` is where the next line begins in the file, or, while the rest of a long line is passed over (`skipping`),
    where reading goes on. `cut` counts lines that were too long."""

    def __init__(self, offset: int = 0, encoding: str = "", *, skipping: bool = False) -> None:
        self.encoding = encoding
        self.offset = offset
        self.skipping = skipping
        self.cut = 0
        self._partial = b""

    @property
    def read_to(self) -> int:
        """The offset of the next byte to feed."""
        return self.offset + len(self._partial)

    def feed(self, data: bytes) -> Block | None:
        """The lines that are whole now."""
        buffer = self._partial + data
        if self.skipping:
            end = self._find(buffer)
            if end < 0:
                keep = len(buffer) % 2 if self.encoding else 0
                return self._keep(buffer, len(buffer) - keep, None)
            self.offset += end
            buffer = buffer[end:]
            self.skipping = False
        buffer = self._without_nulls(buffer)
        end = self._find_last(buffer)
        block = Block(self.offset, buffer[:end], self.encoding) if end else None
        return self._shorten(self._keep(buffer, end, block))

    def finish(self) -> Block | None:
        """The file has ended: what is left is its last line."""
        block = Block(self.offset, self._partial, self.encoding) if self._partial else None
        return self._keep(self._partial, len(self._partial), block)

    def _keep(self, buffer: bytes, end: int, block: Block | None) -> Block | None:
        self._partial = buffer[end:]
        self.offset += end
        return block

    def _shorten(self, block: Block | None) -> Block | None:
        """A line that has no end yet and is too long goes out as it is, and the rest of it is passed over."""
        self._partial = self._without_nulls(self._partial)
        most = 2 * MAX_LINE if self.encoding else MAX_LINE
        if len(self._partial) <= most:
            return block
        start, beginning = self.offset, self._partial[:most]
        self.cut += 1
        self.skipping = True
        keep = len(self._partial) % 2 if self.encoding else 0
        self._keep(self._partial, len(self._partial) - keep, None)
        if block is not None and block.offset + len(block.data) == start:
            return Block(block.offset, block.data + beginning, self.encoding)
        return Block(start, beginning, self.encoding)

    def _without_nulls(self, buffer: bytes) -> bytes:
        """A writer that does not append leaves a hole of null bytes where its file was truncated."""
        if self.encoding or not buffer.startswith(b"\0"):
            return buffer
        text = buffer.lstrip(b"\0")
        self.offset += len(buffer) - len(text)
        return text

    def _find(self, buffer: bytes) -> int:
        """Where the first line's end ends, -1 without one."""
        sign = _BREAK[self.encoding]
        at = buffer.find(sign)
        while at % len(sign) and at >= 0:
            at = buffer.find(sign, at + 1)
        return at + len(sign) if at >= 0 else -1

    def _find_last(self, buffer: bytes) -> int:
        """Where the last line's end ends, 0 without one."""
        sign = _BREAK[self.encoding]
        at = buffer.rfind(sign)
        while at % len(sign) and at >= 0:
            at = buffer.rfind(sign, 0, at + 1)
        return at + len(sign) if at >= 0 else 0
