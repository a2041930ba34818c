"""The body of an answer, read by costmon itself: at most 16 MB as it comes, and at most 16 MB unpacked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import httpx

from costmon.sources.providers.http.strict import BodyError

MOST = 16 * 1024 * 1024
_AUTOMATIC = zlib.MAX_WBITS | 32
"""gzip or zlib, whichever the data says."""


async def read(response: httpx.Response, count: Callable[[int], None], most: int = MOST) -> bytes:
    """The unpacked body. `count` is told the bytes of every piece as it came over the wire.

    Raises BodyError, and what the connection raises.
    """
    unpack = _unpacker(response.headers.get("content-encoding", ""), most)
    if re.fullmatch("[0-9]{1,30}", said := response.headers.get("content-length", "")) and int(said) > most:
        raise BodyError(_too_large(most))
    pieces: list[bytes] = []
    raw = size = 0
    async for piece in response.aiter_raw():
        count(len(piece))
        raw += len(piece)
        if raw > most:
            raise BodyError(_too_large(most))
        pieces.append(unpack.feed(piece, most - size))
        size += len(pieces[-1])
    unpack.finish(raw)
    return b"".join(pieces)


class _Plain:
    def feed(self, piece: bytes, room: int) -> bytes:  # noqa: ARG002 - what is read is bounded by its caller
        return piece

    def finish(self, raw: int) -> None:
        pass


class _Packed:
    """gzip, zlib or (what some servers send as "deflate") bare deflate data, never unpacked beyond the room there is."""

    def __init__(self, bare: bool, most: int) -> None:
        self._most = most
        self._may_be_bare = bare
        self._inner = zlib.decompressobj(_AUTOMATIC)

    def feed(self, piece: bytes, room: int) -> bytes:
        try:
            found = self._unpack(piece, room + 1)
        except zlib.error:
            raise BodyError("cannot be unpacked") from None
        if len(found) > room:
            raise BodyError(_too_large(self._most))
        if self._inner.unused_data:
            raise BodyError("goes on after its compressed data")
        return found

    def finish(self, raw: int) -> None:
        if raw and not self._inner.eof:
            raise BodyError("was cut off")

    def _unpack(self, piece: bytes, room: int) -> bytes:
        if not self._may_be_bare or not piece:
            return self._inner.decompress(piece, room)
        self._may_be_bare = False
        try:
            return self._inner.decompress(piece, room)
        except zlib.error:
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._inner.decompress(piece, room)


def _unpacker(encoding: str, most: int) -> _Plain | _Packed:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Plain()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Packed(name == "deflate", most)
    raise BodyError("is packed in a way that was not asked for")


def _too_large(most: int) -> str:
    return f"is larger than {most // (1024 * 1024) or 1} MB"
