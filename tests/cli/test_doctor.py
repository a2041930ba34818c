"""`costmon doctor`: what it says of SQLite and Python, so that an operator knows what he stands on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from costmon.cli import doctor
from tests.harness.cli import costmon


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("3.40.1", True), ("3.44.6", False), ("3.45.0", True), ("3.50.4", True), ("3.50.7", False), ("3.51.0", True),
        ("3.51.2", True), ("3.51.3", False), ("3.53.1", False),
    ],
)  # fmt: skip
def test_the_wal_reset_bug_is_explained(version: str, affected: bool) -> None:
    """Affected or not, which version it is; if so what could happen, where it is fixed and what costmon does."""
    found = doctor.wal_finding(version, tuple(map(int, version.split("."))))
    assert found.state == ("note" if affected else "ok")
    assert version in found.text
    assert "WAL-reset bug" in found.text
    if affected:
        assert "lose a commit" in found.text
        assert "3.51.3" in found.text
        assert "checkpoint.lock" in found.text
        assert "read-only" in found.text


def test_a_free_threaded_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not tested is said, and what to do instead."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    (found,) = doctor._python()
    assert found.state == "note"
    assert "PYTHON_GIL=1" in found.text


def test_both_are_in_the_list(costmon_home: Path) -> None:
    """`costmon doctor` prints a line for SQLite and one for Python."""
    said = costmon(costmon_home, "doctor", check=False).stdout
    assert "  sqlite " in said
    assert "sub-interpreters" in said
