"""AWS's binary event stream (application/vnd.amazon.eventstream): frames of headers and a payload, checked by CRC-32.

total length (4) · headers length (4) · CRC of these 8 bytes (4) · headers · payload · CRC of everything before (4)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

MAX_FRAME = 24 * 1024 * 1024
_PRELUDE = 12
_AROUND = 16
_TEXT = 7
_SIZES = {
    0: 0,
    1: 0,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    8: 8,
    9: 16,
}  # of a header's value by its type; 6 and 7 carry their own


class FrameError(ValueError):
    """These bytes are no event stream."""


def frames(pending: bytearray) -> Iterator[tuple[dict[str, str], bytes]]:
    """The (text headers, payload) of every whole frame at the start of `pending`, which is taken out of it.

    Raises FrameError for bytes that are no frame.
    """
    while len(pending) >= _PRELUDE:
        total = int.from_bytes(pending[:4], "big")
        head = int.from_bytes(pending[4:8], "big")
        if zlib.crc32(pending[:8]) != int.from_bytes(pending[8:12], "big"):
            raise FrameError
        if total > MAX_FRAME or head > total - _AROUND:
            raise FrameError
        if len(pending) < total:
            return
        frame = bytes(pending[:total])
        del pending[:total]
        if zlib.crc32(frame[:-4]) != int.from_bytes(frame[-4:], "big"):
            raise FrameError
        yield _headers(frame[_PRELUDE : _PRELUDE + head]), frame[_PRELUDE + head : -4]


def _headers(data: bytes) -> dict[str, str]:
    """The headers whose value is a text; a malformed rest is left out."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        if name_end >= len(data):
            break
        name, kind = data[at + 1 : name_end].decode("utf-8", "replace"), data[name_end]
        at = name_end + 1
        if kind in (6, _TEXT):
            size = int.from_bytes(data[at : at + 2], "big")
            if kind == _TEXT:
                found[name] = data[at + 2 : at + 2 + size].decode("utf-8", "replace")
            at += 2 + size
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            break
    return found
