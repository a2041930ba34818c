"""A process that is watched from within, and a server to call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import costmon
from costmon.shim import context, runtime
from tests.harness.mock_server import MockServer, mock_server


@pytest.fixture
def home(costmon_home: Path) -> Iterator[Path]:
    """The state home of the test; a stream it left open is not settled after it."""
    yield costmon_home
    runtime.streaming.clear()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process calls `costmon.instrument()`, for this test under the name `test`."""
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="test")


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server() as running:
        yield running
