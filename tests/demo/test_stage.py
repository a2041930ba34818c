"""The stage itself: what it changes in its process, and what it says when an app is gone."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from costmon.demo.screen import DemoFeed
from costmon.demo.stage import Stage
from tests.demo.driver import homes, processes, wait_for


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_environment_comes_back(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own COSTMON_* settings reach neither the demo nor get lost by it."""
    monkeypatch.setenv("COSTMON_SWITCH", "/nowhere")
    monkeypatch.setenv("COSTMON_ENABLED", "0")
    before = dict(os.environ)
    with Stage(popups=False) as stage:
        assert os.environ["COSTMON_HOME"] == stage.home
        assert not {"COSTMON_SWITCH", "COSTMON_ENABLED"} & set(os.environ)
    assert dict(os.environ) == before
    assert homes(temporary) == []


def test_an_app_that_died_is_a_problem_on_the_screen(temporary: Path) -> None:
    """The demo goes on without it and says so."""
    with Stage(popups=False) as stage:
        feed = DemoFeed(stage)
        try:
            wait_for(lambda: len(processes(temporary)) == 2, 15, "both apps")
            os.kill(processes(temporary)[0], signal.SIGKILL)

            def told() -> bool:
                snapshot = feed.next_snapshot(0.5)
                return snapshot is not None and any("is gone" in line for line in snapshot.problems)

            wait_for(told, 10, "the problem line")
            snapshot = None
            while snapshot is None:
                snapshot = feed.next_snapshot(0.5)
            assert snapshot.simulated
        finally:
            feed.close()
    assert processes(temporary) == []
    assert homes(temporary) == []


def test_a_failed_start_leaves_nothing(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When an app cannot be started, its sibling and the home go too."""
    monkeypatch.setattr("costmon.demo.stage.sys.executable", str(temporary / "no-python"))
    before = dict(os.environ)
    with pytest.raises(FileNotFoundError), Stage(popups=False):
        pass
    assert dict(os.environ) == before
    assert homes(temporary) == []
