"""Every test gets a costmon home of its own and an untouched shim; nobody's real home is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from costmon.shim import catalogue

_HARNESS = "COSTMON_TEST_"  # what steers the tests themselves
# Real processes, locks, terminals, desktops, servers and clocks have moods of their own on a busy machine: a test that fails
# gets one more chance, and the report says so (RERUN). What is wrong fails twice, also where hypothesis found it.
_RERUNS = 1
_LONG = (
    *("demo", "story", "run", "enforcement", "credentials", "tui", "hooks", "life", "schedulers"),
    *("monitor", "act", "guard_cases"),
)

# A law without a number of its own is tried this often here; HYPOTHESIS_PROFILE=default tries it 100 times.
settings.register_profile("quick", max_examples=40, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


_seed_rows = catalogue.seed_rows


@lru_cache(maxsize=2)
def _rows_of(path: str, _changed_at: int) -> list[tuple[str, int, str, str, str]]:
    return _seed_rows(path)


# Thousands of tests make a ledger of their own, and turning the price list into its rows is most of that: it is done once.
catalogue.seed_rows = lambda path: _rows_of(path, os.stat(path).st_mtime_ns)


@pytest.fixture(autouse=True)
def costmon_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`COSTMON_HOME`, not created yet: the first call makes it, as on a new machine."""
    home = tmp_path / "home"
    for name in [key for key in os.environ if key.startswith("COSTMON_") and not key.startswith(_HARNESS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COSTMON_HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    forget()
    yield home
    forget()


def forget() -> None:
    """Bring back the shim's process-wide state to that of a fresh process."""
    from costmon.shim import booking, connections, context, faults, notices, runtime, switch

    for recorder in runtime._recorders.values():
        recorder.ledger.close()
    runtime._recorders.clear()
    runtime.abandoned.clear()
    runtime.streaming.clear()
    connections._own_process()
    notices.forget()
    context._process = context.Labels()
    faults._said.clear()
    switch._touched.clear()
    if hasattr(booking, "_day"):
        booking._day = (0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=_RERUNS))
    # Files are handed out in this order: with the long ones first no worker is left alone with one at the end.
    here = Path(__file__).parent
    places = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path.relative_to(here).parts[0], len(_LONG)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under COSTMON_TEST_NO_SKIP a skipped test is a gap, so the run fails. A process that a failed test left behind would
    keep the run from ending."""
    if hasattr(session.config, "workerinput"):
        for child in psutil.Process().children(recursive=True):
            child.kill()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        os.environ.get("COSTMON_TEST_NO_SKIP") == "1"
        and reporter is not None
        and reporter.stats.get("skipped")
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
