"""Tiny rank files in place of tiktoken's, known to costmon by their own size and checksum."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest

from costmon.pricing.tokens import ranks as tokenizer
from costmon.pricing.tokens import ratios

# Beside the 256 single bytes: what the test texts are merged by.
_MERGES = {
    "o200k_base": (b"th", b"the", b" the", b"us", b"er", b"user"),
    "cl100k_base": (b"th", b"the", b"us", b"er"),
}


def content(encoding: str) -> bytes:
    """A rank file as tiktoken reads it: base64 of the token, a space, its rank."""
    tokens = [bytes([byte]) for byte in range(256)] + list(_MERGES[encoding])
    return b"".join(b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


def use_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends the fakes are the official files, none is installed, and nothing is remembered."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for encoding in _MERGES:
        data = content(encoding)
        fake = tokenizer.RankFile(encoding, len(data), hashlib.sha256(data).hexdigest())
        monkeypatch.setitem(tokenizer.RANK_FILES, encoding, fake)
    monkeypatch.setattr(tokenizer, "_checked", {})
    monkeypatch.setattr(tokenizer, "_encoders", {})
    monkeypatch.setattr(ratios, "_remembered", {})


def put(folder: str | Path, *encodings: str) -> None:
    """Have the fakes installed in `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for encoding in encodings or tuple(_MERGES):
        (Path(folder) / tokenizer.RANK_FILES[encoding].name).write_bytes(content(encoding))
