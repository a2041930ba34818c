"""Real processes that use the `schedule` library."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.schedulers import kit
from tests.shim.battery.kit import now_us

SECOND = kit.SECOND
ACCELERATED = (
    kit.PRELUDE
    + """
import json, time
import schedule
planned = []
def work():
    planned.append(round(job.next_run.timestamp() * 1e6))
    call()
job = schedule.every(0.05).seconds.do(work)
while len(planned) < {runs}:
    schedule.run_pending()
    time.sleep(0.002)
print(json.dumps(planned))
"""
)


def follow(home: Path, tmp_path: Path, runs: int) -> None:
    """Every run is a row at the time the library meant it for, and the next one is known at once."""
    with kit.running(tmp_path / "app.py", ACCELERATED.format(runs=runs), TZ="Asia/Seoul") as child:
        first = kit.until(lambda: kit.next_run(home, "work"))
        assert abs(first - now_us()) < 2 * SECOND
        kit.until(lambda: kit.next_run(home, "work") > first or child.poll() is not None)
        (planned,) = kit.finished(child)
    rows = kit.job_runs(home)
    assert [row["planned_at"] for row in rows] == planned
    assert len(rows) == runs
    assert {(row["source"], row["outcome"], row["plan"]) for row in rows} == {
        ("schedule", "ok", "every 0.05s")
    }
    assert all(0 <= row["started_at"] - row["planned_at"] < SECOND for row in rows)
    assert kit.plans(home) == {}
    kit.assert_attributed(home)


def test_runs_and_plans(costmon_home: Path, tmp_path: Path) -> None:
    """Twelve runs are twelve rows."""
    follow(costmon_home, tmp_path, 12)


@pytest.mark.slow
def test_two_hundred_runs(costmon_home: Path, tmp_path: Path) -> None:
    """Two hundred are two hundred."""
    follow(costmon_home, tmp_path, 200)
    kit.assert_as_planned(costmon_home)


CHANGES = (
    kit.PRELUDE
    + """
import schedule
def work(ticker="A"):
    call()
def bad():
    call()
    raise KeyError("secret text")
@costmon.job("momentum", every="60m")
def named():
    call()
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
)


def test_the_ledger_follows_every_change_of_plan(costmon_home: Path, tmp_path: Path) -> None:
    """Each way to set up a job, and to take it back."""
    with kit.running(tmp_path / "app.py", CHANGES, TZ="Asia/Seoul") as child:

        def after(line: str) -> dict[str, tuple[str, str]]:
            assert kit.ask(child, line) == "done"
            return {job: (row["plan"], row["zone"]) for job, row in kit.plans(costmon_home).items()}

        assert after("one = schedule.every(5).minutes.do(work)") == {"work": ("every 5m", "")}
        nine = {"work": ("every 5m", ""), "work 2": ("cron 0 9 * * *", "Asia/Seoul")}
        assert after("schedule.every().day.at('09:00').do(work, 'B').tag('x')") == nine
        at = datetime.fromtimestamp(kit.next_run(costmon_home, "work 2") / SECOND, UTC)
        assert (at.hour, at.minute, at.second) == (0, 0, 0)  # nine in Seoul
        assert after("schedule.cancel_job(one)") == {"work 2": ("cron 0 9 * * *", "Asia/Seoul")}
        assert after("schedule.clear('x')") == {}
        for said, plan in (
            ("every().hour.at(':30')", "cron 30 * * * *"),
            ("every().friday.at('10:15')", "cron 15 10 * * 5"),
            ("every().sunday.at('10:15')", "cron 15 10 * * 0"),
            ("every().day.at('10:15:30')", "every 24h"),
            ("every(3).days.at('10:15')", "every 3d"),
            ("every().minute.at(':17')", "every 1m"),
            ("every(2).weeks", "every 14d"),
            ("every(5).to(10).minutes", "schedule every 5 to 10 minutes"),
        ):
            zone = "Asia/Seoul" if plan.startswith("cron") else ""
            assert after(f"schedule.{said}.do(work)") == {"work": (plan, zone)}
            assert after("schedule.clear()") == {}


def test_failed_runs_last_runs_and_named_jobs(costmon_home: Path, tmp_path: Path) -> None:
    """A run that raises has failed; a job that ends itself is planned no more; a function's own name and plan win."""
    with kit.running(tmp_path / "app.py", CHANGES) as child:
        for line in (
            "schedule.every().hour.do(lambda: (call(), schedule.CancelJob)[1])",
            "schedule.every().hour.do(named)",
            "schedule.run_all()",
            "schedule.every().hour.do(bad)",
            "try: schedule.jobs[-1].run()\nexcept KeyError: pass".replace("\n", "\\n"),
        ):
            line = f"exec({line!r}.replace(chr(92) + 'n', chr(10)))" if line.startswith("try") else line
            assert kit.ask(child, line) == "done"
        assert sorted(kit.plans(costmon_home)) == ["bad", "momentum"]
    rows = {row["job"]: row for row in kit.job_runs(costmon_home)}
    assert {job: row["outcome"] for job, row in rows.items()} == {
        "<lambda>": "ok", "momentum": "ok", "bad": "error",
    }  # fmt: skip
    assert rows["momentum"]["plan"] == "every 60m"
    assert rows["momentum"]["planned_at"] is None  # run_all does not wait for the time
    kit.assert_attributed(costmon_home)


def test_another_module_of_that_name_is_left_alone(costmon_home: Path, tmp_path: Path) -> None:
    """An app's own schedule.py is its own."""
    (tmp_path / "schedule.py").write_text("class Job:\n    def run(self): return 7\nclass Scheduler: pass\n")
    with kit.running(
        tmp_path / "app.py", kit.PRELUDE + "import schedule\nprint([schedule.Job().run()])"
    ) as child:
        assert kit.finished(child) == [[7]]
    assert not costmon_home.exists()
