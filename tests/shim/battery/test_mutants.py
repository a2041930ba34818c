"""Whatever breaks inside the shim, the app sees its own results and its own exceptions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mock_server import MockServer, Received, Reply, json_reply, mock_server, usual
from tests.harness.ports import free_port
from tests.shim.battery import kit

ROOT = Path(__file__).resolve().parents[3]


def answer(received: Received) -> Reply:
    if received.body.get("model") == "fails":
        return json_reply({"error": {"message": "no", "type": "invalid_request_error"}}, 400)
    return usual(received)


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server(answer) as running:
        yield running


def broken_one_by_one(home: Path, server: MockServer, share: str) -> list[dict[str, Any]]:
    """Every function of that share, broken once; a home with a budget, so that all of admission runs."""
    kit.add_budget(home, 10**12)
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.shim.battery.mutants",
            str(home), server.base, f"http://127.0.0.1:{free_port()}", share,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


# The last frame before the app's own: each is one `try` around everything else, or as little as can be.
GUARDS = {
    "costmon.shim.faults.guarded", "costmon.shim.faults.report",
    "costmon.shim.hooks.Finder.find_spec", "costmon.shim.hooks.http._begin", "costmon.shim.hooks.http._follow",
    *(
        f"costmon.shim.hooks.exchange.Exchange.{name}"
        for name in ("admit", "admit_async", "closed", "end", "feed", "follow", "raised", "_has_answer")
    ),
    "costmon.shim.instrument.guard", "costmon.shim.instrument.instrument", "costmon.shim.runtime.at_exit",
    *(f"costmon.shim.track._Run.{name}" for name in ("__init__", "failed", "returned", "start", "start_async")),
    "costmon.shim.recorder.Recorder.admit", "costmon.shim.recorder.Recorder.admit_async",
}  # fmt: skip
# These run where the app defines a function, and say ValueError there by design.
DEFINING = {
    "costmon.__getattr__", "costmon.shim.track._amount",
    *(
        f"costmon.shim.track.track.{name}"
        for name in ("__init__", "__call__", "_function", "_coroutine", "_generator", "_async_generator")
    ),
}  # fmt: skip


def judge(found: list[dict[str, Any]]) -> None:
    wrong = [entry for entry in found if entry["wrong"] and entry["name"] not in GUARDS | DEFINING]
    assert [entry["name"] for entry in wrong] == [], wrong
    unfired = [entry["name"] for entry in found if not entry["fired"]]
    assert len(unfired) <= len(found) // 10, unfired  # the faults were there
    print(f"{len(found)} functions, {len(unfired)} not reached once broken")


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_tenth_of_the_shim_broken(costmon_home: Path, server: MockServer) -> None:
    """Every tenth function raises whenever it is called: results, exceptions and streams are as without costmon."""
    judge(broken_one_by_one(costmon_home, server, "3/10"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_function_of_the_shim_broken(costmon_home: Path, server: MockServer) -> None:
    """The same for each function that the calls of an app ever reach."""
    judge(broken_one_by_one(costmon_home, server, "0/1"))
