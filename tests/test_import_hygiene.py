"""What a host app pays: the standard library and nothing else, no thread, no socket, and hardly an import before the
first call. Static contracts cannot see a lazy import, so this looks at a running process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import costmon
from tests.harness.events import events
from tests.harness.venvs import ROOT

# An HTTP client with httpx's shape and nothing behind it.
STUB = """
import json
class SyncByteStream: pass
class AsyncByteStream: pass
class URL:
    path, host, port, query = "/v1/chat/completions", "api.openai.com", None, b""
class Request:
    method, url, headers = "POST", URL(), {}
    def __init__(self, body):
        self.content = json.dumps(body).encode()
class Response:
    status_code = 200
    def __init__(self, parts):
        self.headers = {"content-type": "text/event-stream" if len(parts) > 1 else "application/json"}
        if len(parts) > 1:
            self.stream = Stream(parts)
        else:
            self.content = self._content = parts[0]
class Stream(SyncByteStream):
    def __init__(self, parts):
        self.parts = parts
    def __iter__(self):
        yield from self.parts
    def close(self):
        pass
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}
class Client:
    def send(self, request, *, stream=False):
        if stream:
            last = json.dumps({"id": "s", "choices": [], "usage": USAGE}).encode()
            return Response([b"data: " + last + b"\\n\\n", b"data: [DONE]\\n\\n"])
        return Response([json.dumps({"id": "p", "usage": USAGE}).encode()])
class AsyncClient:
    async def send(self, request, *, stream=False):
        return Client.send(self, request, stream=stream)
"""

LOOK = """
import sys
sys.path[:0] = [{stub!r}, {root!r}]
before = set(sys.modules)
def loaded():
    return sorted(set(sys.modules) - before)
def state():
    import os, threading
    sockets = [fd for fd in os.listdir("/proc/self/fd") if is_socket(os, fd)] if os.path.isdir("/proc/self/fd") else []
    tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    return [threading.active_count(), tasks, len(sockets)]
def is_socket(os, fd):
    try:
        return os.readlink("/proc/self/fd/" + fd).startswith("socket:")
    except OSError:
        return False
steps = {{}}
import costmon
steps["import"] = loaded()
costmon.instrument(app="host")
steps["instrument"] = loaded()
{then}
steps["end"] = loaded()
import json
json.dump([steps, state()], sys.stdout)
"""

CALLS = """
import asyncio, httpx
body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
client = httpx.Client()
client.send(httpx.Request(body))
response = client.send(httpx.Request({**body, "stream": True}), stream=True)
assert len(list(response.stream)) == 2
response.stream.close()
asyncio.run(httpx.AsyncClient().send(httpx.Request(body)))
@costmon.track("coupang", cost_per_call="0.01")
def search():
    return 1
with costmon.job("trade", every="60m"), costmon.context(route="/x"):
    search()
costmon.guard()
open(__import__("os").path.join(__import__("os").environ["COSTMON_HOME"], "switch", "all"), "w").close()
try:
    client.send(httpx.Request(body))
except costmon.SpendBlocked:
    pass
else:
    raise AssertionError("not refused")
"""


def look(tmp_path: Path, home: Path, then: str = "") -> tuple[dict[str, list[str]], list[int]]:
    """(modules loaded after each step, [threads, tasks, sockets] at the end) of a fresh interpreter."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "httpx.py").write_text(STUB)
    code = LOOK.format(root=ROOT, stub=str(tmp_path / "stub"), then=then)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={"COSTMON_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: tuple[dict[str, list[str]], list[int]] = json.loads(done.stdout)
    return found


def foreign(modules: list[str]) -> set[str]:
    """Top-level names that are neither the standard library's nor ours nor the stub."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"costmon", "httpx"}


def test_a_watched_app_loads_the_standard_library_only(tmp_path: Path) -> None:
    """Import, instrument, plain, streamed and async calls, a tracked call, a job and a refusal: nothing else is loaded."""
    home = tmp_path / "home"
    (home / "switch").mkdir(parents=True)
    steps, (threads, tasks, sockets) = look(tmp_path, home, CALLS)
    assert foreign(steps["end"]) == set()
    assert "costmon.shim.ledger" in steps["end"]  # the calls really went through all of it
    assert [(event["api"], event["cost"]) for event in events(home)] == [
        *[("chat", 3_500_000)] * 3,  # 1000 x 2.5 + 100 x 10 = 3500 millionths of a dollar
        ("call", 10_000_000),
    ]
    assert (threads, tasks, sockets) == (1, 1, 0)


def test_only_the_shim_is_loaded(tmp_path: Path) -> None:
    """No part of costmon that is not the shim enters a host, so nothing heavy can follow it in."""
    home = tmp_path / "home"
    (home / "switch").mkdir(parents=True)
    steps, _ = look(tmp_path, home, CALLS)
    ours = {name for name in steps["end"] if name.partition(".")[0] == "costmon"}
    assert {name for name in ours if not name.startswith("costmon.shim")} == {
        "costmon",
        "costmon.errors",
        "costmon.paths",
    }


def test_importing_and_instrumenting_stays_light(tmp_path: Path) -> None:
    """Until the first call a host has none of the slower modules of the standard library from us, and no files."""
    steps, (threads, tasks, sockets) = look(tmp_path, tmp_path / "home")
    assert foreign(steps["import"]) == set()
    heavy = {
        "sqlite3",
        "json",
        "decimal",
        "asyncio",
        "dataclasses",
        "inspect",
        "typing",
        "tomllib",
        "pathlib",
    }
    heavy |= {
        "logging",
        "socket",
        "subprocess",
        "threading",
        "urllib.request",
        "hashlib",
        "uuid",
        "datetime",
        "re",
    }
    assert heavy & set(steps["instrument"]) == set()
    assert (threads, tasks, sockets) == (1, 1, 0)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "name", ["instrument", "track", "job", "guard", "context", "SpendBlocked", "count_tokens"]
)
def test_the_public_names_are_there(name: str) -> None:
    """Everything the README tells an app to use can be reached from `costmon`."""
    assert name in costmon.__all__
    assert getattr(costmon, name) is not None
    with pytest.raises(AttributeError):
        _ = costmon.no_such_name  # type: ignore[attr-defined]
