"""The ledger's clock: the system's, except in a home that says it is a simulation."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from costmon.shim.clock import clock_of, system_clock
from costmon.shim.timestamps import from_iso, to_datetime, to_iso, to_us

GOOD = {"real_at": 1_795_132_900_000_000, "at": 1_800_000_000_000_000, "rate": 720.0}


def demo(home: Path, document: object, *, marker: bool = True) -> None:
    home.mkdir()
    (home / "clock.json").write_text(document if isinstance(document, str) else json.dumps(document))
    if marker:
        (home / "DEMO").touch()


def test_without_a_file_it_is_the_system_clock(costmon_home: Path) -> None:
    """An ordinary home runs on ordinary time."""
    assert clock_of(str(costmon_home)) is system_clock
    assert abs(system_clock() - time.time_ns() // 1000) < 1_000_000


def test_a_demo_home_runs_as_fast_as_it_says(costmon_home: Path) -> None:
    """The demo's day passes in minutes."""
    demo(costmon_home, {**GOOD, "real_at": time.time_ns() // 1000})
    now = clock_of(str(costmon_home))
    before = now()
    time.sleep(0.05)
    assert 0.05 * 720e6 <= now() - before < 5 * 720e6
    assert before >= GOOD["at"]


def test_nobody_elses_budget_runs_on_a_made_up_time(
    costmon_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock file in a real home is ignored, and the log says so."""
    demo(costmon_home, GOOD, marker=False)
    with caplog.at_level(logging.WARNING, "costmon"):
        assert clock_of(str(costmon_home)) is system_clock
    assert "only a demo home" in caplog.text


@pytest.mark.parametrize(
    "document",
    [
        "", "[]", "7", "null", "{}", "{", "\x00", "[" * 100_000,
        {**GOOD, "rate": "fast"}, {**GOOD, "rate": None}, {**GOOD, "at": "x"}, {**GOOD, "at": 10**30},
        {**GOOD, "rate": -1}, {**GOOD, "rate": 1e300}, '{"real_at": 1, "at": 1, "rate": NaN}',
        '{"real_at": 1, "at": 1, "rate": Infinity}', '{"real_at": 1e400, "at": 1, "rate": 1}',
    ],
)  # fmt: skip
def test_a_broken_clock_file_is_ignored(costmon_home: Path, document: object) -> None:
    """Whatever is in the file, the app gets a time."""
    demo(costmon_home, document)
    assert clock_of(str(costmon_home))() > 0
    assert clock_of(str(costmon_home)) is system_clock


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-20T09:30:00Z", 1_795_167_000_000_000),
        ("2026-11-20T18:30:00.000001+09:00", 1_795_167_000_000_001),
        ("2026-11-20T09:30:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1_795_167_000, None),
        ("0001-01-01T00:00:00+12:00", None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_an_instant_is_read_with_its_zone_or_not_at_all(text: object, at: int | None) -> None:
    """A time without a zone in a switch file is not guessed at."""
    assert from_iso(text) == at
    if at is not None:
        assert from_iso(to_iso(at)) == at
        assert to_us(to_datetime(at)) == at


def test_a_naive_time_is_refused() -> None:
    """A programmer who forgets the zone hears of it at once."""
    with pytest.raises(ValueError, match="aware"):
        to_us(to_datetime(0).replace(tzinfo=None))
