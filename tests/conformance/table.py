"""Runs the driver against a server that nobody here wrote, and lays that server's journal beside the ledger: a table."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance import driver
from tests.harness import answers
from tests.harness.aimock import Aimock, aimock
from tests.harness.cli import COSTMON, environ
from tests.harness.events import events
from tests.harness.mock_server import Received, Reply, mock_server
from tests.harness.venvs import ROOT

TEXT = "Grüße, 세계 💸 and good night"
INPUT, OUTPUT = 1237, 451
"""Tokens of every answer of a model that talks, as the fixtures say."""
CASES = driver.CASES
_USAGE = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "input_tokens": INPUT,
    "output_tokens": OUTPUT,
}
_ANSWER = {"content": TEXT, "usage": _USAGE}
_VECTOR = {"embedding": [0.25, -0.5, 0.125]}
_FAILED = {"error": {"message": "we fell over", "type": "server_error"}, "status": 500}
_LIMITED = {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429}
# Random or dated parts of an answer: ids, times, and how long something took.
_CHANGING = re.compile(
    r'"(?:id|created|created_at|x-request-id|date|item_id|total_duration|response_id|obfuscation)": '
    r'(?:"[^"]*"|[\d.]+)|(?:chatcmpl|resp|msg|req|item|rs|fc)[-_][\w-]{8,}|\\"created\\":\d+|generate-\w+'
    r"|(?:created|created_at)=[\d.]+|\d{4}-\d\d-\d\dT[\d:.]+Z",
    re.IGNORECASE,
)


class Run(NamedTuple):
    """What the app saw of each cell, what each cell said, what the ledger and the server's journal hold."""

    seen: dict[str, Any]
    words: dict[str, str]
    versions: dict[str, str]
    events: list[dict[str, Any]]
    journal: list[dict[str, Any]]
    stderr: str


def run(python: str, folder: Path, clients: list[str], *, watched: bool = True) -> Run:
    """The driver under `python`, run by costmon or, for comparison, by itself."""
    home = folder / ("watched" if watched else "alone")
    command = [*COSTMON, "run", "--no-watch", "--"] if watched else []
    path = {} if watched else {"PYTHONPATH": ROOT}
    with server(folder) as mock, mock_server(_bedrock) as own:
        done = subprocess.run(
            [*command, python, driver.__file__, mock.base, *clients],
            cwd=ROOT,
            env=environ(
                home,
                **path,
                APP_STREAMS_OF_BEDROCK=own.base,
                LITELLM_LOCAL_MODEL_COST_MAP="True",
                NO_PROXY="*",
            ),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        journal = mock.journal() + [
            {"body": received.body, "response": {"status": 200}} for received in own.received
        ]
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    return Run(report["seen"], report["words"], report["versions"], events(home), journal, done.stderr)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Aimock]:
    """aimock with an answer for each thing a cell says: `hi`, `error`, and `retry` (limited once, then answered)."""
    fixtures = []
    for client, modes in _everything():
        for mode in modes:
            words = driver.words(f"{client}/{mode}/retry")
            key, answer = ("inputText", _VECTOR) if "embeddings" in client else ("userMessage", _ANSWER)
            fixtures.append({"match": {key: words, "sequenceIndex": 0}, "response": _LIMITED})
            fixtures.append({"match": {key: words, "sequenceIndex": 1}, "response": answer})
    for words, both in (("error", (_FAILED, _FAILED)), ("hi", (_ANSWER, _VECTOR))):
        for key, answer in zip(("userMessage", "inputText"), both, strict=True):
            fixtures.append({"match": {key: words}, "response": answer})
    path = folder / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}))
    with aimock(folder, "-l", "10", fixtures=path) as mock:
        yield mock


def _bedrock(received: Received) -> Reply:
    """Bedrock's streams: boto3 cannot read aimock's, which have empty members."""
    whole = answers.bedrock_converse_events if "converse" in received.path else answers.bedrock_invoke_events
    return Reply(whole(), content_type="application/vnd.amazon.eventstream", chunked=True, pause_s=0.01)


def _everything() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every client the driver knows, installed here or not."""
    for client in driver.EVERY_CLIENT:
        yield client, ("sync", "async")


def verdicts(found: Run) -> dict[str, str]:
    """Each cell: 'ok', or what is wrong with it."""
    return {cell: _verdict(cell, found) for cell in found.seen}


def _verdict(cell: str, found: Run) -> str:
    case = cell.rpartition("/")[2]
    mine = [event for event in found.events if event["route"] == cell]
    reached = [e for e in found.journal if found.words[cell] in json.dumps(e["body"], ensure_ascii=False)]
    statuses = [entry["response"]["status"] for entry in reached]
    saw = found.seen[cell]
    raised = saw.get("raised", "") if isinstance(saw, dict) else ""
    if case == "refused":
        wrong = raised != "SpendBlocked" or reached or mine
        return f"raised {raised or 'nothing'}, {len(reached)} reached the server" if wrong else "ok"
    if [event["status_code"] for event in mine] != statuses:
        return f"the server answered {statuses}, recorded {[event['status_code'] for event in mine]}"
    wanted = {"error": [500], "retry": [429, 200]}.get(case, [200])
    if statuses != wanted:
        return f"the server answered {statuses}: the driver is wrong"
    if any(event["state"] != "settled" for event in mine):
        return "not settled"
    return _answer(cell, case, saw, raised, mine)


def _answer(cell: str, case: str, saw: Any, raised: str, mine: list[dict[str, Any]]) -> str:
    last = mine[-1]
    if any(event["cost"] != 0 for event in mine if event["status_code"] != 200):
        return f"an error was charged: {[event['cost'] for event in mine]}"
    if case == "error":
        return "ok" if last["outcome"] == "error" else f"outcome {last['outcome']}"
    if raised:
        return f"the app saw {raised}"
    if case == "early close":
        return "ok" if last["outcome"] in ("dropped", "ok") else f"outcome {last['outcome']}"
    if last["outcome"] != "ok":
        return f"outcome {last['outcome']}"
    counts = last["input_tokens"], last["output_tokens"]
    expected = _counts(cell)
    if expected is not None and (counts != expected or last["usage_status"] != "reported"):
        return f"counted {counts} ({last['usage_status']}), the server said {expected}"
    if "embeddings" not in cell and case != "stream" and TEXT not in json.dumps(saw, ensure_ascii=False):
        return "the app did not see the text"
    return "ok"


def _counts(cell: str) -> tuple[int, int] | None:
    """What the server said it used; None where it says nothing or its own estimate of it."""
    client, _, case = cell.split("/")
    if client in ("openai embeddings", "ollama") or (client in ("groq", "mistral") and case == "stream"):
        return None
    if client.startswith("bedrock") and case == "stream":
        return answers.INPUT, answers.OUTPUT
    return INPUT, OUTPUT


def comparable(saw: Any) -> str:
    """What the app saw, without what differs from call to call."""
    return _CHANGING.sub("~", json.dumps(saw, ensure_ascii=False, sort_keys=True))


def table(versions: dict[str, str], cells: dict[str, str]) -> str:
    """Client and mode down, cases across."""
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"\n{named}", f"{'':30}" + "".join(f"{case:>13}" for case in CASES)]
    for row in dict.fromkeys(cell.rpartition("/")[0] for cell in cells):
        marks = [_mark(cells.get(f"{row}/{case}")) for case in CASES]
        lines.append(f"{row.replace('/', ', '):30}" + "".join(f"{mark:>13}" for mark in marks))
    lines += [f"  {cell}: {text}" for cell, text in cells.items() if text != "ok"]
    return "\n".join(lines) + "\n"


def _mark(cell: str | None) -> str:
    if cell is None:
        return "-"
    return "ok" if cell == "ok" else "FAIL"
