"""Other majors of every client, each set in an environment of its own: one table for each, every cell right.

pytest -m conformance -s -n 0
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.table import comparable, run, table, verdicts
from tests.harness.venvs import ROOT, environment

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]
SETS = {
    "newest": [
        "openai>=3.52,<4", "anthropic>=2.11,<3", "groq>=1.7,<2", "google-genai>=3.4,<4", "mistralai>=3.7,<4",
        "cohere>=7.3,<8", "ollama>=0.6,<0.7", "boto3>=1.44,<2", "requests>=2.34,<3", "urllib3>=2.8,<3",
        "aiohttp>=3.14,<4", "httpx>=0.28", "httpx2>=2.16",
    ],
    "previous": [
        "openai>=2.40,<3", "anthropic>=0.70,<1", "groq>=0.30,<1", "google-genai>=2.30,<3", "mistralai>=2.10,<3",
        "cohere>=6,<7", "ollama>=0.5,<0.6", "boto3>=1.40,<1.42", "requests>=2.31,<2.33", "urllib3>=1.26,<2",
        "aiohttp>=3.11,<3.13", "httpx>=0.28,<0.29", "httpx-aiohttp",
    ],
    # It pins the SDKs below it; its async calls go by httpx over aiohttp.
    "litellm": ["litellm>=1.105", "httpx-aiohttp"],
}  # fmt: skip
WITH_LITELLM = ["litellm to openai", "litellm to anthropic", "openai chat", "openai on aiohttp"]
OLD_TRANSPORTS = [
    "urllib3<2", "requests<2.30", "aiohttp<3.9", "httpx<0.28", "httpx2", "pytest>=8.3", "pytest-asyncio>=0.24",
    "pytest-timeout", "click", "tomlkit", "sqlite-utils",
]  # fmt: skip
TRANSPORT_TESTS = ["tests/hooks/test_transports.py", "tests/hooks/test_transport_calls.py"]


@pytest.mark.parametrize("name", SETS)
def test_every_client_mode_and_case(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger holds what the server's journal holds, each attempt once, and the app sees what it sees unwatched."""
    python = environment("conformance", *SETS[name])
    clients = WITH_LITELLM if name == "litellm" else []
    watched = run(python, tmp_path, clients)
    cells = verdicts(watched)
    with capsys.disabled():
        sys.stdout.write(table(watched.versions, cells))
    assert {cell: text for cell, text in cells.items() if text != "ok"} == {}
    alone = run(python, tmp_path, clients, watched=False)
    differ = [
        cell
        for cell in cells
        if not cell.endswith("/refused") and comparable(watched.seen[cell]) != comparable(alone.seen[cell])
    ]
    assert differ == []


def test_urllib3_and_aiohttp_as_they_were(tmp_path: Path) -> None:
    """The whole matrix of reading and leaving answers, on urllib3 1.26, requests 2.29 and aiohttp 3.8."""
    python = environment("conformance", *OLD_TRANSPORTS)
    done = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--rootdir={ROOT}",
            "tests/hooks/test_transports.py",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
