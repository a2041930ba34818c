"""Jobs announce their runs, label their calls and never fail for our reasons."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import costmon
from costmon.shim.context import labels
from costmon.shim.jobs import interval_us
from tests.shim.battery import kit

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ("60m", 3600), ("1h30m", 5400), ("45s", 45), ("90 s", 90), ("2d", 172_800), ("1w", 604_800), (90, 90),
        (0.5, 0.5), ("1.5h", 5400), ("30min", 1800), ("10 sec", 10), ("1 hour", 3600), ("1H", 3600),
    ],
)  # fmt: skip
def test_an_interval_people_would_write(every: str | float, seconds: float) -> None:
    """'60m' and 3600 mean the same."""
    assert interval_us(every) == seconds * SECOND


@pytest.mark.parametrize(
    "every",
    ["", " ", "soon", "m", "60", "1x", "-5m", "0m", "0s", 0, -1, float("nan"), float("inf"), True, None, [],
     "9" * 400 + "d", "1h 30", "60m; rm -rf /"],
)  # fmt: skip
def test_an_interval_nobody_can_read(every: object) -> None:
    """A typing error in every= is a clear ValueError when the program starts."""
    with pytest.raises(ValueError, match="is no interval"):
        interval_us(every)  # type: ignore[arg-type]


def row(home: Path) -> dict[str, object]:
    names = (
        "app",
        "name",
        "every_us",
        "next_run_at",
        "started_at",
        "ended_at",
        "outcome",
        "runs",
        "failures",
    )
    (found,) = kit.rows(home, f"select {', '.join(names)} from job")
    return dict(zip(names, found, strict=True))


def test_a_run_is_announced(costmon_home: Path) -> None:
    """The screen shows when the job ran, how it ended and when it runs next."""
    before = kit.now_us()
    with costmon.context(app="trader"), costmon.job("trade", every="60m"):
        assert labels()[2] == "trade"
        during = row(costmon_home)
    assert (during["app"], during["name"], during["outcome"], during["runs"]) == (
        "trader",
        "trade",
        "running",
        1,
    )
    assert before <= int(str(during["started_at"])) <= kit.now_us()
    assert during["next_run_at"] == int(str(during["started_at"])) + 3600 * SECOND
    after = row(costmon_home)
    assert (after["outcome"], after["runs"], after["failures"]) == ("ok", 1, 0)
    assert labels()[2] == ""


def test_a_failed_run_counts_as_one(costmon_home: Path) -> None:
    """A job that raises is shown as failed, and its exception passes through."""

    @costmon.job("trade", every=60)
    def run() -> None:
        raise KeyError("secret text")

    for _ in range(2):
        with pytest.raises(KeyError):
            run()
    found = row(costmon_home)
    assert (found["outcome"], found["runs"], found["failures"]) == ("error", 2, 2)


async def test_a_coroutine_job(costmon_home: Path) -> None:
    """An async job is announced for as long as it runs, not only until its first await."""

    @costmon.job("poll")
    async def run() -> str:
        await asyncio.sleep(0)
        return str(row(costmon_home)["outcome"]) + labels()[2]

    assert await run() == "runningpoll"
    assert row(costmon_home)["outcome"] == "ok"


def test_a_hostile_name_is_harmless(costmon_home: Path) -> None:
    """A job named with escape codes, or a megabyte long, is a short plain line."""
    with costmon.job("\x1b[31m\n" + "x" * 1_000_000):
        pass
    assert str(row(costmon_home)["name"]).startswith("[31mx")
    assert len(str(row(costmon_home)["name"])) == 200


def test_a_job_runs_without_a_ledger(costmon_home: Path) -> None:
    """Where the ledger cannot be made the job runs all the same."""
    costmon_home.write_text("a file where the folder should be")
    ran = []
    with costmon.job("trade", every="1h"):
        ran.append(labels()[2])
    assert ran == ["trade"]


def test_switched_off_it_writes_nothing(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COSTMON_ENABLED=0 leaves no trace of a job."""
    monkeypatch.setenv("COSTMON_ENABLED", "0")
    with costmon.job("trade", every="1h"):
        pass
    assert not costmon_home.exists()
