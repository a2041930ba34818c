"""What the user decides, in `config.toml`. Every error names the file, the line, the key and the fix.

load(path)         the file's Config; a missing file gives the defaults
parse(data, path)  the same from bytes already read, for checking an edit before it replaces the file
ensure(path)       writes the commented default file on the first run
"""

from __future__ import annotations

import os

from costmon.config.default import DEFAULT
from costmon.config.files import read, replace
from costmon.config.files import write_new as _write_new
from costmon.config.money import parse_money
from costmon.config.sections import read_config
from costmon.config.source import Section
from costmon.config.source import open_source as _open_source
from costmon.config.values import (
    Breaker,
    Budget,
    Config,
    ExchangeRate,
    Host,
    Limits,
    Notify,
    RateLimit,
    Repeat,
    RetryLoop,
    Tui,
    scope_text,
)
from costmon.config.zones import machine_zone

__all__ = [
    "DEFAULT",
    "Breaker",
    "Budget",
    "Config",
    "ExchangeRate",
    "Host",
    "Limits",
    "Notify",
    "RateLimit",
    "Repeat",
    "RetryLoop",
    "Tui",
    "ensure",
    "fingerprint",
    "fingerprint_of",
    "load",
    "machine_zone",
    "parse",
    "parse_money",
    "read",
    "replace",
    "scope_text",
]


def load(path: str) -> Config:
    """The configuration in `path`, or the defaults where there is no such file. Raises ConfigError."""
    return parse(read(path), path)


def parse(data: bytes, path: str) -> Config:
    """The configuration `data` spells; `path` is what errors call it. Raises ConfigError."""
    source = _open_source(data, path)
    return read_config(Section(source, (), source.document), fingerprint_of(data))


def ensure(path: str) -> bool:
    """Write the commented default file if nothing is at `path`; whether it did. Raises ConfigError."""
    return False if os.path.lexists(path) else _write_new(path, DEFAULT)


def fingerprint(path: str) -> str:
    """What `Config.content_hash` would be if `path` were loaded now. Raises ConfigError."""
    return fingerprint_of(read(path))


def fingerprint_of(data: bytes) -> str:
    """A hash of the content and of the machine's zone, which "local" stands for."""
    import hashlib

    return hashlib.sha256(data + b"\0" + machine_zone().encode()).hexdigest()
