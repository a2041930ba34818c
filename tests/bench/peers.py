"""`python -m tests.bench.peers [TOOL ...]`: other tools beside costmon, each paired against the plain SDK in its process.

Every tool has an environment of its own with the newest openai that it accepts, made once and kept in `.cache`. Nothing
leaves the machine: the provider is on loopback and exporters go nowhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

import pytest

from tests.bench.paired import CALLERS, PLAIN, added, cpu
from tests.bench.rows import median, percentile
from tests.bench.server import server
from tests.bench.tool_app import EACH, TOOL
from tests.bench.tools import TOOLS, Tool
from tests.harness.venvs import ROOT, environment

_HEAD = (
    "tool", "per call µs", "p99", "cpu", "plain µs", "per stream µs", "cpu", "1,000 calls s", "cpu",
    "100 async µs", "cpu", "memory MB", "init s", "durable", "enforces", "openai",
)  # fmt: skip
_WIDTHS = (12, 12, 9, 7, 9, 14, 8, 14, 7, 13, 8, 10, 7, 8, 11, 8)


class Figures(NamedTuple):
    """One tool's line; None = it did not run, and `note` says why."""

    cells: tuple[str, ...] | None
    note: str


def main(names: list[str]) -> None:
    tools = [tool for tool in TOOLS if not names or tool.name in names]
    print(_line(_HEAD), flush=True)
    notes = []
    for tool in tools:
        figures = of(tool)
        print(_line(figures.cells or (tool.name, "did not run")), flush=True)
        notes.append(f"{tool.name}: {figures.note}")
    print("\n" + "\n".join(notes))


def of(tool: Tool) -> Figures:
    """Install, measure and describe one tool."""
    try:
        python = environment("bench-" + tool.packages[-1], *tool.packages)
    except pytest.fail.Exception as error:
        return Figures(None, f"cannot be installed: {str(error)[-300:]}")
    try:
        found = _run(python, "measure", tool)
        memory = [
            _run(python, "memory", tool)["mb"] - _run(python, "memory", TOOLS[0])["mb"] for _ in range(3)
        ]
    except subprocess.CalledProcessError as error:
        return Figures(None, f"does not run: {error.stderr[-600:]}")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    hooked = f"; patches {', '.join(found['patched'])}" if found["patched"] else ""
    return Figures(_cells(tool, found, median(memory)), f"{tool.how} ({versions}){hooked}")


def _cells(tool: Tool, found: dict[str, Any], memory: float) -> tuple[str, ...]:
    """All but `plain`, `memory` and `init` is what the tool adds; `cpu` is the processor time in what stands before it."""
    callers = [median(added(found["callers"], mode)) / (CALLERS * EACH) for mode in (TOOL, cpu(TOOL))]
    return (
        tool.name,
        f"{median(added(found['calls'], TOOL)):,.0f}",
        f"{percentile(added(found['calls'], TOOL), 99):,.0f}",
        f"{median(added(found['calls'], cpu(TOOL))):,.0f}",
        f"{median(found['calls'][PLAIN]):,.0f}",
        *(f"{median(added(found['streams'], mode)):,.0f}" for mode in (TOOL, cpu(TOOL))),
        *(f"{seconds:.2f}" for seconds in found["thousand"]),
        *(f"{each:,.0f}" for each in callers),
        f"{memory:.1f}",
        f"{found['init']:.2f}",
        tool.durable,
        tool.enforces,
        found["versions"]["openai"],
    )


def _run(python: str, what: str, tool: Tool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home, server() as base:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COSTMON_")}
        environ |= {"COSTMON_HOME": home, "PYTHONPATH": ROOT, "HOME": home}
        if tool.name == "costmon":
            code = "from tests.bench.capture import write_budgets; write_budgets('normal')"
            subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, check=True)
        command = [python, "-m", "tests.bench.tool_app", what, tool.name, base]
        done = subprocess.run(
            command, env=environ, cwd=home, capture_output=True, text=True, timeout=900, check=True
        )
        if tool.name == "costmon" and what == "measure":
            _prove(home, done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _prove(home: str, output: str) -> None:
    """A figure of a shim that recorded nothing would be a lie."""
    import sqlite3

    with sqlite3.connect(os.path.join(home, "ledger.db")) as db:
        settled = db.execute(
            "select count(*) from event where state = 'settled' and cost is not null"
        ).fetchone()[0]
    found = json.loads(output)
    assert settled >= len(found["calls"][TOOL]) + len(found["streams"][TOOL]) + 1000, settled


def _line(cells: tuple[str, ...]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)).rstrip()


if __name__ == "__main__":
    main(sys.argv[1:])
