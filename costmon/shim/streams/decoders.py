"""Undo a Content-Encoding on a decoder of our own, in bounded pieces.

Brotli and zstandard come from the host's own already imported modules: a host that can receive them has them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Protocol

PIECE = 1 << 20


class Decoder(Protocol):
    """An incremental content decoder; raises any Exception on corrupt data."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What `data` decodes to, in pieces (of at most 1 MB where the coding's library can bound them)."""
        ...


def decoders(encoding: str) -> tuple[list[Decoder], bool]:
    """The decoders that undo a Content-Encoding header, last coding first, and whether one is unknown."""
    if not encoding:
        return [], False
    found: list[Decoder] = []
    for coding in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        if coding == "identity":
            continue
        decoder = _decoder(coding)
        if decoder is None:
            return [], True
        found.append(decoder)
    return found, False


def decode(chain: list[Decoder], data: bytes) -> Iterator[bytes]:
    """`data` through every decoder of `chain`."""
    if not chain:
        yield data
        return
    for piece in chain[0].pieces(data):
        yield from decode(chain[1:], piece)


def _decoder(coding: str) -> Decoder | None:
    if coding in ("gzip", "x-gzip"):
        return _Zlib(16)
    if coding == "deflate":
        return _Deflate()
    if coding == "br":
        module = sys.modules.get("brotli") or sys.modules.get("brotlicffi")
        return _Whole(module.Decompressor()) if module is not None else None
    if coding == "zstd":
        module = sys.modules.get("zstandard")
        if module is not None:
            return _Whole(module.ZstdDecompressor().decompressobj())
        module = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
        return _Whole(module.ZstdDecompressor()) if module is not None else None
    return None


class _Zlib:
    """gzip (mode 16), zlib (mode 0) or raw deflate (mode -1)."""

    def __init__(self, mode: int) -> None:
        import zlib

        self._inner = zlib.decompressobj(-zlib.MAX_WBITS if mode < 0 else zlib.MAX_WBITS | mode)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._inner.decompress(data, PIECE)
            data = self._inner.unconsumed_tail


class _Deflate:
    """`deflate` is zlib by the standard and raw by habit; the first two bytes tell which."""

    def __init__(self) -> None:
        self._head = b""
        self._inner: _Zlib | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950
            self._inner = _Zlib(0 if wrapped else -1)
        yield from self._inner.pieces(data)


class _Whole:
    """The bindings of Brotli and Zstandard; two of them name the same method differently."""

    def __init__(self, inner: Any) -> None:
        self._step = getattr(inner, "decompress", None) or inner.process

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._step(data)
