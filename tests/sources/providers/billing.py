"""A folder of bills, and what costmon reads out of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from costmon.sources.providers.kinds.file import KIND
from costmon.sources.providers.polling import rounds
from costmon.sources.providers.protocol import Reading, Settings, SourceError
from tests.sources.providers.ask import NOW, days_until

SAVED = datetime(2026, 11, 20, 9, tzinfo=UTC)
"""When the files of these tests were last written."""


def put(folder: Path, saved: datetime = SAVED, **files: str | bytes) -> None:
    """`nov_csv="…"` writes nov.csv."""
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (saved.timestamp(), saved.timestamp()))


def read(at: Path, now: datetime = NOW, **options: str) -> Reading:
    """One round, checked as every round is."""
    given = {option.name: option.default or "" for option in KIND.options} | {"folder": str(at)} | options
    settings = Settings("google-bill", "google", "", MappingProxyType(given))
    reading = asyncio.run(KIND.fetch(_nobody(), settings, days_until(now, 3)))
    rounds.check(reading, now)
    return reading


def read_text(folder: Path, text: str | bytes, **options: str) -> Reading:
    put(folder, bill_csv=text)
    return read(folder, **options)


def refusal(folder: Path, text: str | bytes | None = None, **options: str) -> str:
    try:
        read(folder, **options) if text is None else read_text(folder, text, **options)
    except SourceError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def by_day(reading: Reading) -> Mapping[str, Decimal]:
    """Usage by the first day of its bucket."""
    return _sums(reading, lambda figure: f"{figure.start:%Y-%m-%d}")


def by_line(reading: Reading) -> Mapping[str, Decimal]:
    return _sums(reading, lambda figure: figure.line, every=True)


def _sums(reading: Reading, name: Any, every: bool = False) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for figure in reading.figures:
        if every or figure.line == "usage":
            sums[name(figure)] = sums.get(name(figure), Decimal(0)) + figure.amount
    return sums


def _nobody() -> Any:
    """A file asks nobody: whoever does anything with the client fails."""
    return None
