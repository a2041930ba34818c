"""The founding incident, from the file that caused it to the report: seen before the first call, told at the second run
nobody planned, stopped, and accounted for to the cent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from costmon.store import open_ledger
from tests.harness.cli import COSTMON, costmon
from tests.harness.desk import Desk, desk, wait_for
from tests.harness.events import rows
from tests.harness.mock_server import MockServer, Received, Reply, json_reply, mock_server
from tests.harness.venvs import ROOT

__all__ = ["desk"]
pytestmark = pytest.mark.system

SCHEDULER = Path(__file__).with_name("scheduler.py")
FILES = Path(__file__).parents[1] / "data" / "incident"
NOON = int(datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp() * 1_000_000)
RATE = 120
"""So much faster than real time: five minutes pass in 2.5 s."""
MONTH_END = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1_000_000)
RUN = 1_200_000
"""Nano USD: 4,000 x $0.15 + 1,000 x $0.60, per million."""


def answer(received: Received) -> Reply:
    message = {"role": "assistant", "content": "hold"}
    usage = {"prompt_tokens": 4000, "completion_tokens": 1000, "total_tokens": 5000}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json_reply(
        {"id": f"chat-{time.monotonic_ns()}", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
         "choices": [choice], "usage": usage}
    )  # fmt: skip


@contextmanager
def process(env: dict[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(15)


@pytest.fixture
def fast(costmon_home: Path) -> Iterator[MockServer]:
    """A home whose clock runs fast, and the provider."""
    with mock_server(answer) as server:
        costmon_home.mkdir()
        (costmon_home / "DEMO").touch()
        (costmon_home / "clock.json").write_text(
            json.dumps({"real_at": time.time_ns() // 1000, "at": NOON, "rate": RATE})
        )
        host = server.base.removeprefix("http://")
        (costmon_home / "config.toml").write_text(f'time_zone = "UTC"\n[hosts]\n"{host}" = "openai"\n')
        open_ledger(str(costmon_home)).close()
        yield server


def test_the_audit_sees_it_before_the_first_call(costmon_home: Path) -> None:
    """Two schedulers, 5 minutes where 60 were meant: $2.42 a week that need not be spent."""
    done = costmon(costmon_home, "audit", str(FILES), "--tokens", "4000/1000", "--json", check=False)
    said = json.loads(done.stdout)
    found = {one["rule"] for one in said["findings"] if one["severity"] != "note"}
    assert done.returncode == 1
    assert found == {
        *("doubled-scheduler", "interval-differs", "interval-floor"),
        *("key-shape", "scheduler-on", "costly-model"),
    }
    assert rows(costmon_home, "select * from event") == []


def test_it_is_told_stopped_and_accounted_for(fast: MockServer, desk: Desk, costmon_home: Path) -> None:
    """A quarter of a cent is spent when the pop-up comes; nothing more is when the job has been stopped."""
    home = costmon_home
    env = desk.env | {"COSTMON_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT)])}

    def service(name: str, every: str) -> tuple[dict[str, str], str, str, str, str, str]:
        return env | {"COSTMON_APP": name}, sys.executable, str(SCHEDULER), fast.base, every, "99"

    def runs(app: str) -> list[dict[str, object]]:
        return rows(home, f"select * from job_run where app = '{app}' order by started_at")

    with ExitStack() as parts:
        parts.enter_context(process(env, *COSTMON, "watch", "--quiet"))
        wait_for(lambda: bool(rows(home, "select * from watch_span")), "the engine to watch")
        parts.enter_context(process(*service("worker", "60m")))
        wait_for(lambda: len(runs("worker")) == 1, "the planned run")
        parts.enter_context(process(*service("api", "5m")))
        told = "select * from alert where kind = 'misfire' and state = 'sent'"
        wait_for(lambda: bool(rows(home, told)), "the misfire to be told")
        (alert,) = rows(home, told)
        (shown,) = [one for one in desk.history() if "trade" in one.title]
        costmon(home, "kill", "job=trade")
        stopped = len(fast.received)
        before = len(runs("api"))
        wait_for(lambda: len(runs("api")) >= before + 2, "two runs more")
        assert len(fast.received) <= stopped + 1  # one may have been on its way
        reached = len(fast.received)

    assert alert["title"] == shown.title == "costmon: trade runs every 5m, planned every 60m"
    assert alert["body"].startswith("2 runs nobody planned since ")
    assert "They cost $0.0024 so far" in alert["body"]
    check_report(home, reached)


def check_report(home: Path, reached: int) -> None:
    """Every figure by hand: so many calls reached the provider, one of them planned."""
    events = rows(home, "select cost, input_tokens, output_tokens from event")
    assert [tuple(row.values()) for row in events] == [(RUN, 4000, 1000)] * reached
    unplanned = rows(home, "select * from job_run where app = 'api' order by started_at")
    (misfire,) = rows(home, "select * from misfire where kind = 'misfire'")
    assert misfire["first_at"] == unplanned[0]["started_at"]

    said = json.loads(costmon(home, "incident", "--json").stdout)
    (job,) = said["jobs"]
    assert (job["job"], job["plan"], job["every_us"], job["planned"]) == (
        "trade",
        "every 60m",
        300_000_000,
        0,
    )
    assert job["extra"]["calls"] == reached - 1
    assert Decimal(job["extra"]["cost"]["amount"]) == Decimal(RUN * (reached - 1)).scaleb(-9)
    (process,) = job["processes"]
    assert (process["app"], process["announced"], process["unplanned"]) == (
        "api",
        "every 5m",
        job["unplanned"],
    )
    free = [row["started_at"] for row in unplanned if row["outcome"] == "ok"]
    left = (MONTH_END - 1 - free[-1]) // 300_000_000
    assert Decimal(job["projected_cost"]["amount"]) == Decimal(RUN * (len(free) + left)).scaleb(-9)
    assert said["told_at"] < said["stopped_at"]
    assert [(one["kind"], one["state"]) for one in said["alerts"]] == [("misfire", "sent")]
    assert [(one["action"], one["scope"]) for one in said["switch"]] == [("kill", "job=trade")]
    assert [one["rule"] for one in said["refusals"]] == ["switch"]
    story = [
        one["kind"] for one in said["timeline"] if one["kind"] != "gap"
    ]  # the engine has been stopped by now
    assert story == [
        "announced",
        "announced",
        "unplanned",
        "unplanned",
        "alert",
        "switch",
        "refused",
        "unplanned",
    ]

    text = costmon(home, "incident").stdout
    assert "trade` ran" in text
    assert "It was stopped by hand at" in text
