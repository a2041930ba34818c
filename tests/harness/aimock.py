"""@copilotkit/aimock: an LLM server that nobody here wrote, with a journal of what really reached it.

It is a node program, installed once into `.cache/aimock` below the project (COSTMON_TEST_AIMOCK_DIR may name a folder
that has it already) and offline from then on.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import need
from tests.harness.ports import free_port
from tests.harness.venvs import CACHE, locked

PACKAGE = "@copilotkit/aimock@1.43.0"
FIXTURES = Path(__file__).with_name("aimock.json")
_START_S = 15.0


@dataclass(frozen=True, slots=True)
class Aimock:
    """A running server. `base` is what Anthropic's SDK takes as base URL; OpenAI's takes `base + "/v1"`."""

    base: str

    def journal(self) -> list[dict[str, Any]]:
        """Every attempt that reached the server, oldest first: method, path, body, response status."""
        with urllib.request.urlopen(f"{self.base}/__aimock/journal?limit=10000", timeout=5) as answer:
            entries: list[dict[str, Any]] = json.load(answer)
        return [entry for entry in entries if entry["method"] == "POST"]

    def forget(self) -> None:
        """Empty the journal."""
        question = urllib.request.Request(f"{self.base}/__aimock/reset", data=b"{}", method="POST")
        urllib.request.urlopen(question, timeout=5).close()


@contextmanager
def aimock(folder: Path, *flags: str, fixtures: Path = FIXTURES) -> Iterator[Aimock]:
    """A server that answers from `fixtures`; `folder` takes its log, `flags` are llmock's own."""
    need("node")
    port = free_port()
    command = ["node", str(_program()), "-p", str(port), "-f", str(fixtures), "-c", "4", *flags]
    with open(folder / "aimock.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            server = Aimock(f"http://127.0.0.1:{port}")
            _await(server, process, folder / "aimock.log")
            yield server
        finally:
            process.terminate()
            process.wait(10)


def _program() -> Path:
    folder = Path(os.environ.get("COSTMON_TEST_AIMOCK_DIR") or CACHE / "aimock")
    program = folder / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    with locked("aimock"):
        if not program.exists():
            need("npm")
            folder.mkdir(parents=True, exist_ok=True)
            command = [
                "npm",
                "i",
                "--ignore-scripts",
                "--no-fund",
                "--no-audit",
                "--prefix",
                str(folder),
                PACKAGE,
            ]
            subprocess.run(command, check=True, capture_output=True, timeout=170)
    return program


def _await(server: Aimock, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            server.journal()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"aimock did not start: {log.read_text()}")
            time.sleep(0.05)
        else:
            return
