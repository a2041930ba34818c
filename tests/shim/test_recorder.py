"""What the shim tells the app's own log, and nothing more."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from costmon.monitor.lock import EngineLock
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "nobody would warn" in record.message]


def test_the_app_is_told_once_when_nobody_would_warn(
    costmon_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a budget and no engine, the app's log says once that no pop-up would come."""
    kit.add_budget(costmon_home, 10**12)
    recorder = Recorder(str(costmon_home))
    with caplog.at_level(logging.WARNING, logger="costmon"):
        kit.spend(recorder, 5)
        kit.spend(recorder, 5)
    assert len(said(caplog)) == 1


def test_a_running_engine_is_nothing_to_talk_about(
    costmon_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody warns, the app's log stays empty."""
    kit.add_budget(costmon_home, 10**12)
    lock = EngineLock(str(costmon_home))
    assert lock.acquire()
    with caplog.at_level(logging.WARNING, logger="costmon"):
        kit.spend(Recorder(str(costmon_home)), 5)
    lock.release()
    assert caplog.records == []
