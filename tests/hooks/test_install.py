"""However an app builds and imports its clients, each attempt is seen exactly once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import openai
import pytest

import costmon
from tests.harness.cli import environ
from tests.harness.events import events
from tests.harness.mock_server import MockServer
from tests.harness.venvs import ROOT
from tests.hooks.clients import CHAT, COST, LIBRARIES, NAMES, post

both = pytest.mark.parametrize("library", LIBRARIES, ids=NAMES)
ORDERS = {
    "before": "import costmon; costmon.instrument(); import {0}; import openai",
    "after": "import {0}; import openai; import costmon; costmon.instrument()",
    "twice": "import costmon; costmon.instrument(); costmon.instrument(app='again'); import {0}; costmon.instrument()",
    "from": "from {0} import Client; import costmon; costmon.instrument()",
    "find-spec": "import costmon, importlib.util; costmon.instrument(); importlib.util.find_spec('{0}'); import {0}",
    "resources": "import costmon, importlib.resources, pkgutil; costmon.instrument(); import {0}; "
    "assert {0}.__spec__.loader is {0}.__loader__; assert pkgutil.get_data('{0}', '__init__.py'); "
    "assert importlib.resources.files('{0}').is_dir()",
}


@pytest.mark.parametrize("library", NAMES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.conformance
def test_the_order_of_imports_does_not_matter(
    order: str, library: str, server: MockServer, home: Path
) -> None:
    """Instrumented before or after the client was imported, once or more often: one event, and no complaint."""
    code = ORDERS[order].format(library) + f"\nimport {library}, sys\n"
    code += f"with {library}.Client(trust_env=False) as c: c.post(sys.argv[1] + '/v1/chat/completions', json={CHAT})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, server.base],
        env=environ(home, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [event["cost"] for event in events(home)] == [COST]


START = "import costmon; costmon.instrument()"
ODD_ORDERS = {
    "requests-before": f"{START}; import requests",
    "requests-after": f"import requests; {START}",
    "urllib3-submodule": f"{START}; from urllib3.poolmanager import PoolManager; import requests",
    "pool-kept": f"from urllib3 import PoolManager; kept = PoolManager(); {START}; import requests",
    "session-kept": f"import requests; requests.post = requests.Session().post; {START}",
    "lazy": f"{START}; import importlib.util as u, sys; spec = u.find_spec('urllib3'); "
    "spec.loader = u.LazyLoader(spec.loader); m = u.module_from_spec(spec); sys.modules['urllib3'] = m; "
    "spec.loader.exec_module(m); import requests",
    "reloaded": f"{START}; import importlib, urllib3, requests; importlib.reload(urllib3)",
    "thread": "import threading; t = threading.Thread(target=lambda: exec('import costmon; costmon.instrument()')); "
    "t.start(); t.join(); import requests",
    "aiohttp-before": f"{START}; import aiohttp",
    "aiohttp-after": f"import aiohttp; {START}",
    "aiohttp-submodule": f"{START}; from aiohttp.client import ClientSession; import aiohttp",
    "botocore-after": f"import requests, botocore.client; {START}",
}
POST_BY = {
    "requests": "requests.post(sys.argv[1] + '/v1/chat/completions', json=BODY)",
    "aiohttp": """
import asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        await (await session.post(sys.argv[1] + '/v1/chat/completions', json=BODY)).read()
asyncio.run(main())
""",
}


@pytest.mark.parametrize("order", ODD_ORDERS)
def test_odd_ways_to_import_the_other_clients(order: str, server: MockServer, home: Path) -> None:
    """However requests, urllib3 or aiohttp get into the process, before or after costmon: one event, and no complaint."""
    client = "aiohttp" if order.startswith("aiohttp") else "requests"
    code = f"{ODD_ORDERS[order]}\nimport sys\nBODY = {CHAT}\n{POST_BY[client]}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, server.base],
        env=environ(home, PYTHONPATH=ROOT, NO_PROXY="*"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [event["cost"] for event in events(home)] == [COST]


@both
@pytest.mark.usefixtures("watched")
def test_a_client_that_sends_through_another_counts_once(
    library: ModuleType, server: MockServer, home: Path
) -> None:
    """A transport of the app's own that uses a second client is one attempt, not two."""

    class Relay(library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            with library.Client(trust_env=False) as inner:
                answer = inner.post(str(request.url), content=request.content)
            return library.Response(answer.status_code, content=answer.content)

    answer = post(library, server.base, transport=Relay())
    assert answer.status_code == 200
    assert len(server.received) == len(events(home)) == 1


@pytest.mark.usefixtures("watched")
def test_an_sdk_with_a_client_of_the_apps_own(server: MockServer, home: Path) -> None:
    """`http_client=` and `with_options` are seen like the SDK's default client."""
    with httpx2.Client(trust_env=False) as mine:
        client = openai.OpenAI(base_url=server.base + "/v1", api_key="k", http_client=mine)
        client.with_options(timeout=5).chat.completions.create(**CHAT)
    assert [event["cost"] for event in events(home)] == [COST]


@both
@pytest.mark.usefixtures("watched")
def test_a_subclassed_client_is_seen_once(library: ModuleType, server: MockServer, home: Path) -> None:
    """A client class that overrides `send` and calls the original is one attempt."""

    class Mine(library.Client):  # type: ignore[misc, name-defined]
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **kwargs)

    with Mine(trust_env=False) as client:
        client.post(server.base + "/v1/chat/completions", json=CHAT)
    assert [event["cost"] for event in events(home)] == [COST]


@both
@pytest.mark.usefixtures("watched")
def test_labels_follow_tasks_and_threads(library: ModuleType, server: MockServer, home: Path) -> None:
    """Calls of concurrent tasks bear the labels of their own context, not their neighbour's."""

    async def one(route: str) -> None:
        with costmon.context(route=route, job="batch"):
            async with library.AsyncClient(trust_env=False) as client:
                await client.post(server.base + "/v1/chat/completions", json=CHAT)

    async def main() -> None:
        await asyncio.gather(*(one(f"/{number}") for number in range(8)))

    asyncio.run(main())
    assert sorted(event["route"] for event in events(home)) == [f"/{number}" for number in range(8)]
    assert {(event["app"], event["job"]) for event in events(home)} == {("test", "batch")}


@both
@pytest.mark.usefixtures("watched")
def test_base_urls_of_any_shape(library: ModuleType, server: MockServer, home: Path) -> None:
    """A call is known by the end of its path, whatever the gateway puts before it and on whatever host it is."""
    with library.Client(trust_env=False) as client:
        for path in (
            "/v1/chat/completions",
            "/openai/deployments/gpt-4o/chat/completions?api-version=1",
            "/a/b/c/chat/completions/",
        ):
            client.post(server.base + path, json=CHAT)
    assert [(event["provider"], event["cost"]) for event in events(home)] == [("openai", COST)] * 3
    assert {event["endpoint"] for event in events(home)} == {server.base.removeprefix("http://")}
