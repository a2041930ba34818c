"""Traffic to a provider that no hook saw is noticed, told once, and never at the cost of the app."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import events as ledger
from tests.harness.cli import environ
from tests.harness.mock_server import MockServer, mock_server
from tests.harness.venvs import ROOT
from tests.shim.battery import kit

# Names of providers lead to the loopback server; the event is raised as the interpreter's own lookup raises it.
APP = """
import socket, sys
real = socket.getaddrinfo
def local(host, port, *more, **named):
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.rstrip(".").endswith(".com"):
        sys.audit("socket.getaddrinfo", host, port, 0, 0, 0)
        host = "127.0.0.1"
    return real(host, port, *more, **named)
socket.getaddrinfo = local
import costmon
costmon.instrument(app="trader")
PORT = int(sys.argv[1])
URL = f"http://api.openai.com:{PORT}/v1/chat/completions"
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'
def spin(seconds):
    import time
    until = time.monotonic() + seconds
    while time.monotonic() < until: pass
def raw(url=URL):
    import urllib.request
    return urllib.request.urlopen(urllib.request.Request(url, BODY, {"content-type": "application/json"})).read()
"""
UNSEEN = {
    "urllib": "assert b'usage' in raw()",
    "a thread": "import threading; t = threading.Thread(target=raw); t.start(); t.join()",
    "http.client": """
import http.client
connection = http.client.HTTPConnection("api.openai.com", PORT)
connection.request("POST", "/v1/chat/completions", BODY)
assert connection.getresponse().status == 200
""",
    "asyncio streams": """
import asyncio
async def main():
    reader, writer = await asyncio.open_connection("API.OpenAI.com.", PORT)
    writer.write(b"POST /v1/chat/completions HTTP/1.0\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (len(BODY), BODY))
    assert b"200" in await reader.readline()
    writer.close()
asyncio.run(main())
""",
    "a child by multiprocessing": """
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=raw)
worker.start(); worker.join(); assert worker.exitcode == 0
""",
}
SEEN = {
    "httpx": "import httpx; assert httpx.post(URL, content=BODY, trust_env=False).status_code == 200",
    "httpx, not metered": "import httpx; httpx.get(f'http://api.openai.com:{PORT}/v1/models', trust_env=False)",
    "async httpx": """
import asyncio, httpx
async def main():
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.post(URL, content=BODY)).status_code == 200
asyncio.run(main())
""",
    "openai": """
import openai
client = openai.OpenAI(api_key="x", base_url=f"http://api.openai.com:{PORT}/v1", max_retries=0)
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
""",
    "requests": "import requests; assert requests.post(URL, data=BODY).status_code == 200",
    "aiohttp": """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session, session.post(URL, data=BODY) as response:
        assert response.status == 200
asyncio.run(main())
""",
    "a tracked function": "costmon.track('whisper', cost_per_call='0.01')(raw)()",
    "a tracked coroutine": """
import asyncio
@costmon.track("whisper", cost_per_call="0.01")
async def call():
    return await asyncio.to_thread(raw)
asyncio.run(call())
""",
    "a lookup alone": "socket.getaddrinfo('api.openai.com', 443)",
    "another host": "raw(URL.replace('api.openai.com', 'www.example.com'))",
    "a path seen a moment later": """
import httpx
raw()
httpx.get(f"http://api.openai.com:{PORT}/v1/models", trust_env=False)
""",
}


@pytest.fixture
def server() -> Iterator[MockServer]:
    with mock_server() as running:
        yield running


def app(home: Path, server: MockServer, then: str, **env: str) -> None:
    """An instrumented process that does `then`; it must end well and silently."""
    port = server.base.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-c", APP + then, port],
        env=environ(home, PYTHONPATH=ROOT, **env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def notices(home: Path) -> list[dict[str, Any]]:
    return ledger.rows(home, "select * from notice order by kind, subject, app") if home.exists() else []


@pytest.mark.parametrize("how", UNSEEN)
def test_traffic_past_every_hook_is_told(how: str, server: MockServer, costmon_home: Path) -> None:
    """A call to a provider by a client costmon does not hook is written down once, with the app and the host."""
    app(costmon_home, server, UNSEEN[how])
    assert server.received  # it did reach the server
    (found,) = notices(costmon_home)
    assert (found["kind"], found["subject"], found["app"]) == ("unseen", "api.openai.com", "trader")
    assert found["calls"] == 1
    assert ledger.events(costmon_home) == []


def test_a_tracked_call_hides_only_what_is_looked_up_while_it_runs(
    server: MockServer, costmon_home: Path
) -> None:
    """An app that tracks a call every few seconds is still told of its other traffic, before and after each."""
    app(
        costmon_home,
        server,
        """
tracked = costmon.track("coupang", cost_per_call="0.01")
def refused():
    raise KeyError
tracked(int)()
raw()
with tracked:
    raw(URL.replace("openai", "anthropic"))
try:
    tracked(refused)()
except KeyError:
    pass
from costmon.shim import runtime
assert runtime.tracking == set()
""",
    )
    assert len(server.received) == 2
    assert [found["subject"] for found in notices(costmon_home)] == ["api.openai.com"]


@pytest.mark.parametrize("how", SEEN)
def test_what_is_accounted_for_raises_no_alarm(how: str, server: MockServer, costmon_home: Path) -> None:
    """Hooked clients, tracked calls, mere lookups and other hosts are not told of."""
    if how in ("requests", "aiohttp"):
        pytest.importorskip(how)
    app(costmon_home, server, SEEN[how])
    assert notices(costmon_home) == []


def test_a_call_that_waited_for_long_is_no_stranger(server: MockServer, costmon_home: Path) -> None:
    """A hooked call that waits past the window before it connects is known by its answer."""
    app(
        costmon_home,
        server,
        """
import asyncio, httpx
from costmon.shim import connections
connections.BEFORE_S, connections.GRACE_S = 0.05, 30.0
class Waiting(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        await asyncio.sleep(0.3)
        return await super().handle_async_request(request)
async def main():
    async with httpx.AsyncClient(trust_env=False, transport=Waiting()) as client:
        assert (await client.post(URL, content=BODY)).status_code == 200
asyncio.run(main())
""",
    )
    assert notices(costmon_home) == []
    assert len(ledger.events(costmon_home)) == 1


def test_an_app_that_runs_for_ever_is_told_of_while_it_runs(server: MockServer, costmon_home: Path) -> None:
    """No exit is needed: the next connection, or sleep, after the grace period tells, and once an hour at most."""
    kit.connect(costmon_home).close()  # costmon has run here
    app(
        costmon_home,
        server,
        """
import os, time
from costmon.shim import connections
connections.GRACE_S = 0.2
raw()
time.sleep(0.25)
time.sleep(0)
for _ in range(5):
    raw()
    time.sleep(0.21)
time.sleep(0)
os._exit(0)
""",
    )
    assert len(server.received) == 6
    (found,) = notices(costmon_home)
    assert (found["subject"], found["calls"]) == ("api.openai.com", 1)


def test_the_next_use_of_costmon_tells_of_an_earlier_stranger(server: MockServer, costmon_home: Path) -> None:
    """An app that never sleeps and looks nothing up any more is told of when it next uses costmon."""
    kit.connect(costmon_home).close()
    app(
        costmon_home,
        server,
        """
import os, time
from costmon.shim import connections
connections.GRACE_S, connections.BEFORE_S = 0.1, 0.0
raw()
spin(0.1)
costmon.guard()
os._exit(0)
""",
    )
    assert [found["subject"] for found in notices(costmon_home)] == ["api.openai.com"]


def test_a_host_of_the_config_counts_and_a_free_one_does_not(server: MockServer, costmon_home: Path) -> None:
    """Hosts the operator named are watched like the known ones, by the interpreter's own lookup; free ones are not."""
    port = server.base.rpartition(":")[2]
    for free, wanted in (("false", ["localhost"]), ("true", [])):
        home = costmon_home / free
        kit.set_setting(home, "hosts", f'{{"localhost:{port}": {{"provider": "openai", "free": {free}}}}}')
        app(
            home,
            server,
            """
import httpx
httpx.post(f"http://127.0.0.1:{PORT}/v1/chat/completions", content=BODY, trust_env=False)
raw(f"http://localhost:{PORT}/v1/chat/completions")
""",
        )
        assert [found["subject"] for found in notices(home)] == wanted


def test_a_forked_child_tells_of_its_own_alone(server: MockServer, costmon_home: Path) -> None:
    """What the parent waits for is told by the parent, once, not by each of its children too."""
    app(
        costmon_home,
        server,
        """
import os
raw()

for _ in range(3):
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
""",
    )
    (found,) = notices(costmon_home)
    assert found["calls"] == 1


@pytest.mark.parametrize("switch", [{"COSTMON_AUDIT": "0"}, {"COSTMON_ENABLED": "0"}])
def test_it_can_be_switched_off(switch: dict[str, str], server: MockServer, costmon_home: Path) -> None:
    """`COSTMON_AUDIT=0` sets no audit hook at all."""
    app(costmon_home, server, "from costmon.shim import audit; assert not audit._installed; raw()", **switch)
    assert server.received
    assert notices(costmon_home) == []


def test_a_broken_ledger_costs_the_app_nothing(server: MockServer, costmon_home: Path) -> None:
    """With rubbish in place of the ledger the call goes through and the app ends as ever."""
    costmon_home.mkdir()
    (costmon_home / "ledger.db").write_bytes(b"rubbish" * 1000)
    app(costmon_home, server, "import logging; logging.getLogger('costmon').disabled = True; raw(); raw()")
    assert len(server.received) == 2


def test_a_locked_ledger_holds_up_no_lookup(server: MockServer, costmon_home: Path) -> None:
    """While another process holds the ledger a notice waits; the app does not."""
    db = kit.connect(costmon_home)
    db.execute("begin immediate")
    app(
        costmon_home,
        server,
        """
import os, time
from costmon.shim import connections
connections.GRACE_S = 0.1
raw()
spin(0.1)
from costmon.shim import ledger, notices  # the imports are not what is timed
began = time.perf_counter()
time.sleep(0)
took = time.perf_counter() - began
assert took < 0.1, took
assert "api.openai.com" in connections.runtime.unexplained  # it could not be told
os._exit(0)
""",
    )
    db.execute("rollback")
    db.close()
    assert notices(costmon_home) == []


def test_odd_lookups_pass(costmon_home: Path) -> None:
    """Names that are None, bytes, empty, endless or no text at all, and sockets that are not IP: the hook has no opinion."""
    from costmon.shim import audit, runtime

    odd: list[tuple[str, tuple[Any, ...]]] = [
        ("socket.getaddrinfo", (None, 80, 0, 0, 0)),
        ("socket.getaddrinfo", (b"\xff\xfe.com", b"https", 0, 0, 0)),
        ("socket.getaddrinfo", ("", None, 0, 0, 0)),
        ("socket.getaddrinfo", ("x" * 100_000, "no such service", 0, 0, 0)),
        ("socket.getaddrinfo", (7, object(), 0, 0, 0)),
        ("socket.getaddrinfo", ()),
        ("socket.gethostbyname", ("a.b",)),
        ("socket.connect", (None, "/run/some.sock")),
        ("socket.connect", (None, b"\0abstract")),
        ("socket.connect", (None, ("::1", 443, 0, 0))),
        ("socket.connect", (None, (1, 2))),
        ("socket.connect", (None,)),
        ("time.sleep", ()),
    ]
    for event, args in odd:
        audit._hook(event, args)
    assert runtime.unexplained == {}
    audit._hook("socket.connect", (None, (b"API.openai.com", 443)))  # the control
    assert list(runtime.unexplained) == ["api.openai.com"]
    assert not costmon_home.exists()


def test_a_flood_of_names_is_bounded() -> None:
    """A crawler that asks for any number of providers' subdomains fills no memory."""
    from costmon.shim import audit, connections, runtime

    for number in range(10_000):
        audit._hook("socket.getaddrinfo", (f"x{number}.openai.azure.com", 443, 0, 0, 0))
    assert len(runtime.unexplained) == connections.MAX_WAITING


COST = """
import sys, time
from costmon.shim import audit
def loop(event=sys.audit):
    began = time.perf_counter_ns()
    for _ in range(2_000):
        event("os.listdir", ".")
    return (time.perf_counter_ns() - began) / 2_000
without = min(loop() for _ in range(50))
audit.install()
print(min(loop() for _ in range(50)) - without)
"""


def test_every_other_event_costs_next_to_nothing() -> None:
    """An app that imports, opens and compiles pays at most half a microsecond an event."""
    costs = [float(kit.python(COST, COSTMON_HOME="/nowhere").stdout) for _ in range(3)]
    assert min(costs) <= 500, costs
