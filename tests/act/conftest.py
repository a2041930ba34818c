"""Fixtures of the ACT stage's tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.act.driver import open_ledger
from tests.harness.desk import desk

__all__ = ["desk"]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The path of a new ledger with all its tables."""
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    return path


@pytest.fixture
def db(ledger: Path) -> Iterator[sqlite3.Connection]:
    connection = open_ledger(ledger)
    yield connection
    connection.close()
