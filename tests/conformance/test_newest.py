"""The newest release of every client, as the tests' own environment has them: one table, every cell right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.table import comparable, run, table, verdicts

pytestmark = [pytest.mark.conformance, pytest.mark.system, pytest.mark.timeout(300)]
# litellm pins the SDKs it is built on, so it has an environment of its own; see test_sdk_majors.
CLIENTS = [
    "openai chat", "openai responses", "openai embeddings", "anthropic", "groq", "google-genai", "mistral", "cohere",
    "ollama", "bedrock converse", "bedrock invoke", "httpx", "httpx2", "requests", "urllib3", "aiohttp",
]  # fmt: skip


def test_every_client_mode_and_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger holds what the server's journal holds, each attempt once, and the app sees what it sees unwatched."""
    watched = run(sys.executable, tmp_path, CLIENTS)
    cells = verdicts(watched)
    with capsys.disabled():
        sys.stdout.write(table(watched.versions, cells))
    assert {cell: text for cell, text in cells.items() if text != "ok"} == {}
    assert {cell.split("/")[0] for cell in cells} == set(CLIENTS)
    plain = run(sys.executable, tmp_path, CLIENTS, watched=False)
    assert plain.events == []
    for cell in cells:
        if not cell.endswith("/refused"):
            assert comparable(watched.seen[cell]) == comparable(plain.seen[cell]), cell
