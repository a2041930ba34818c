"""Names and plans of many jobs: each stays itself, and thousands hold nobody up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from costmon.shim import faults
from costmon.shim.jobs import announcer, late
from costmon.shim.jobs.announcer import Announcer, Entry
from costmon.shim.jobs.books import Plan
from tests.schedulers.kit import until
from tests.shim.battery import kit


def names(told: Announcer, *works: tuple[Any, ...]) -> list[str]:
    return [told.name(("s", number), "send", work, "every 5m") for number, work in enumerate(works)]


def announced(home: Path) -> list[Any]:
    return kit.rows(home, "select job, plan, next_run_at, ended_at is null from announcement order by job")


def test_names_tell_work_apart_and_stay() -> None:
    """The same work shares a name, a freed number is given again, and what the app's == says is not asked."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise KeyError

    told, odd = Announcer("test"), Odd()
    assert names(told, ("a",), ("b",), ("a",), (odd,), (Odd(),), (odd,), ([1],)) == [
        "send", "send 2", "send", "send 3", "send 4", "send 3", "send 5",
    ]  # fmt: skip
    told.free(("s", 1))
    assert told.name("new", "send", ("c",), "every 5m") == "send 2"
    assert told.name("more", "send", ("d",), "every 5m") == "send 6"
    assert told.name("more", "other", ("x",), "") == "send 6"
    told.free(("s", 0))
    assert told.name("again", "send", ("a",), "every 5m") == "send"
    assert told.name("apart", "send", (True,), "") != told.name("too", "send", (1,), "")


def test_ten_thousand_jobs_are_named_and_a_thousand_announced(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs grows with the number of jobs, not with its square; that there are more is said once."""
    said: list[str] = []
    monkeypatch.setattr(announcer, "report", lambda _, message: said.append(message))
    told, began = Announcer("test"), time.monotonic()
    for number in range(10_000):
        name = told.name((1, number), "send", (number,), "every 5m")
        told.plan((1, number), Entry(name, Plan("every 5m", "", number)))
        if number % 100 == 0:
            told.tell()
    assert time.monotonic() - began < 2
    assert len(said) == 1
    until(lambda: costmon_home.exists() and len(announced(costmon_home)) == announcer.MOST_JOBS)
    for number in range(10_000):
        told.drop((1, number))
    told.tell()
    until(lambda: not any(row[3] for row in announced(costmon_home)))


def test_only_the_last_of_a_plan_is_written(costmon_home: Path) -> None:
    """While the ledger is busy plans change and jobs go; then what holds is written, in one go and by itself."""
    faults._said.clear()
    told = Announcer("test")

    def plan(name: str, at: int) -> None:
        told.plan((1, name), Entry(name, Plan("every 5m", "", at)))
        told.tell()

    plan("a", 1)
    assert announced(costmon_home) == [("a", "every 5m", 1, 1)]
    other = kit.connect(costmon_home)
    other.isolation_level = None
    other.execute("begin immediate")
    began = time.monotonic()
    for at in range(2, 40):
        plan("a", at)
        plan("b", 10**30 + at)
    told.drop((1, "a"))
    told.tell()
    assert time.monotonic() - began < 1
    assert len(late.mine()) == 2
    other.execute("commit")
    other.close()
    until(lambda: announced(costmon_home) == [("a", "every 5m", 1, 0), ("b", "every 5m", None, 1)])
