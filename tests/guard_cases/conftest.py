"""A watched process, a provider whose calls cost $0.01, and budgets written as a user would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import costmon
from costmon import config, paths
from costmon.monitor.engine import read_config
from costmon.shim import context, runtime
from costmon.store import open_ledger
from tests.guard_cases import provider
from tests.harness.mock_server import MockServer, mock_server

Budget = Callable[..., None]


@pytest.fixture(autouse=True)
def _watched(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is the app `trader`, as `costmon.instrument()` leaves it: not essential."""
    monkeypatch.setattr(context, "_process", context.Labels())
    costmon.instrument(app="trader")
    yield
    runtime.streaming.clear()


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server(provider.answer) as running:
        yield running


@pytest.fixture
def budget(costmon_home: Path) -> Budget:
    """Write a config with one monthly budget; `limits` are lines for its [limits] table."""

    def write(amount: str, **limits: object) -> None:
        config.ensure(paths.config_file())
        lines = [f"{key} = {value!r}".replace("'", '"') for key, value in limits.items()]
        text = Path(paths.config_file()).read_text(encoding="utf-8")
        for key in limits:
            text = "\n".join(line for line in text.split("\n") if not line.startswith(f"{key} ="))
        text = text.replace("[limits]\n", "[limits]\n" + "\n".join(lines) + "\n", 1)
        text += f'\n[budget.total]\namount = "{amount} USD"\nperiod = "month"\n'
        Path(paths.config_file()).write_text(text, encoding="utf-8")
        store = open_ledger(paths.state_home())
        read_config(store)
        store.close()

    return write
