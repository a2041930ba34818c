"""The newest and the previous major of each SDK, on the HTTP client each of them uses: one table, every cell the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import answers
from tests.harness.cli import COSTMON, environ
from tests.harness.events import events
from tests.harness.mock_server import Received, Reply, json_reply, mock_server, usual
from tests.harness.venvs import ROOT, environment

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]
SETS = {
    "newest": ["openai>=3.52,<4", "anthropic>=2.11,<3"],
    "previous": ["openai>=2,<3", "anthropic<1"],
}
# Cost of the usual answer, and what is reserved for the early closed one, in nano USD.
COSTS = {
    "openai chat": (7_260_000, 5_015_000),  # 1000 x 2.5 + 200 x 1.25 + 451 x 10; reserved 6 x 2.5 + 500 x 10
    "openai responses": (7_260_000, 5_012_500),  # reserved 5 x 2.5 + 500 x 10
    "openai embeddings": (24_000, 0),  # 1200 x 0.02
    "anthropic messages": (3_275_000, 2_508_000),  # 1000 x 1 + 200 x 0.1 + 451 x 5; reserved 8 x 1 + 500 x 5
}
DRIVER = str(Path(__file__).with_name("driver.py"))


def answer(received: Received) -> Reply:
    """By what the app says: an error, a retry, or the usual."""
    said = json.dumps(received.body)
    if '"error"' in said:
        return json_reply({"error": {"message": "we fell over", "type": "server_error"}}, 500)
    if '"retry"' in said and received.headers.get("x-stainless-retry-count") == "0":
        return json_reply({"error": {"message": "slow down"}}, 429, headers={"retry-after-ms": "10"})
    return usual(received)


@pytest.mark.parametrize("name", SETS)
def test_every_client_mode_and_case(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each attempt is one event with the exact cost, and the app sees what the SDK promises, on every major."""
    python = environment("conformance", *SETS[name])
    with mock_server(answer) as server:
        done = subprocess.run(
            [*COSTMON, "run", "--no-watch", "--", python, DRIVER, server.base],
            cwd=ROOT,
            env=environ(tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        attempts = len(server.received)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    found = events(tmp_path)
    assert len(found) == attempts
    cells = {cell: verdict(cell, saw, found) for cell, saw in report["seen"].items()}
    with capsys.disabled():
        sys.stdout.write(table(report, cells))
    assert set(cells.values()) == {"ok"}, {cell: text for cell, text in cells.items() if text != "ok"}


def verdict(cell: str, saw: str, found: list[dict[str, Any]]) -> str:
    """'ok', or what is wrong with one cell."""
    client, _, case = cell.split("/")
    cost, held = COSTS[client]
    mine = [(e["state"], e["outcome"], e["status_code"], e["cost"]) for e in found if e["route"] == cell]
    paid = ("settled", "ok", 200, cost)
    wanted: dict[str, tuple[str, list[Any]]] = {
        "plain": ("", [paid]),
        "stream": ("".join(answers.TEXT), [paid]),
        "early close": ("closed", [("settled", "dropped", 200, held)]),
        "error": ("InternalServerError 500", [("settled", "error", 500, 0)]),
        "retry": ("", [("settled", "error", 429, 0), paid]),
        "refused": ("SpendBlocked", []),
    }
    text, rows = wanted[case]
    right = saw == text if text else "Error" not in saw
    return "ok" if right and mine == rows else f"saw {saw!r}, recorded {mine}, expected {rows}"


def table(report: dict[str, Any], cells: dict[str, str]) -> str:
    """Client and mode down, cases across."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"\n{versions} (on {' and '.join(report['clients'])})"]
    lines.append(f"{'':28}" + "".join(f"{case:>13}" for case in cases_of(cells)))
    for row in dict.fromkeys(cell.rpartition("/")[0] for cell in cells):
        marks = [_mark(cells.get(f"{row}/{case}")) for case in cases_of(cells)]
        lines.append(f"{row.replace('/', ', '):28}" + "".join(f"{mark:>13}" for mark in marks))
    return "\n".join(lines) + "\n"


def cases_of(cells: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(cell.rpartition("/")[2] for cell in cells))


def _mark(cell: str | None) -> str:
    if cell is None:
        return "-"
    return "ok" if cell == "ok" else "FAIL"
