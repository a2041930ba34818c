"""A process that is watched from within, and a server to call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import costmon
from costmon.shim import context, runtime
from tests.harness.mock_server import MockServer, mock_server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state home of the test's own; no label or switch of the developer's shell reaches it."""
    for name in [name for name in os.environ if name.startswith("COSTMON_")]:
        if not name.startswith("COSTMON_TEST"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("COSTMON_HOME", str(folder))
    yield folder
    recorder = runtime._recorders.pop(str(folder), None)
    if recorder is not None:
        recorder.ledger.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process calls `costmon.instrument()`, for this test under the name `test`."""
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="test")


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server() as running:
        yield running
