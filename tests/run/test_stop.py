"""One key in the real terminal app stops a shell loop, a Python app and a Node script within one call; then they go on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import need
from tests.harness.cli import COSTMON, costmon, environ
from tests.harness.mock_server import MockServer
from tests.harness.terminal import Terminal, terminal
from tests.harness.venvs import ROOT
from tests.run.conftest import Start, wait_until

pytestmark = pytest.mark.system
Write = Callable[..., str]
STOPPED, FREE = "Allow", "Stop all"
"""What the footer offers under `k`."""

# Each makes one call, then looks again: a line of the log is one call.
SHELL_CHECK = "while :; do if {costmon} check -q --app loop; then echo x >> {log}; fi; sleep 0.05; done"
SHELL_TEST = 'while :; do if [ ! -e "$COSTMON_HOME/switch/all" ]; then echo x >> {log}; fi; sleep 0.05; done'
NODE = """
const fs = require("fs");
setInterval(() => {{
  if (!fs.existsSync(process.env.COSTMON_HOME + "/switch/all")) fs.appendFileSync({log!r}, "x\\n");
}}, 50);
"""
PYTHON = """
import httpx, sys, time
body = {{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": "hi"}}], "max_tokens": 50}}
while True:
    try:
        httpx.post(sys.argv[1] + "/v1/chat/completions", json=body, trust_env=False)
    except Exception as error:
        if type(error).__name__ != "SpendBlocked":
            raise
    else:
        open({log!r}, "a").write("x\\n")
    time.sleep(0.05)
"""


@pytest.fixture
def screen(home: Path) -> Iterator[Terminal]:
    """`costmon` in a terminal."""
    costmon(home, "budget", "set", "total", "10USD", "--period", "day")
    with terminal(COSTMON, environ(home), ROOT, columns=160) as shown:
        shown.wait_for(FREE)
        yield shown
        shown.press("q")
        wait_until(lambda: not shown.alive())


class Spender:
    """A program that makes calls until it is stopped; its log has one line for each."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log = log

    def calls(self) -> int:
        return self._log.read_text().count("\n") if self._log.exists() else 0


@pytest.fixture
def spenders(
    home: Path, tmp_path: Path, app: Write, start: Start, foreign: str, server: MockServer
) -> Iterator[list[Spender]]:
    """A shell loop of each kind, a Python app and a Node script, all calling."""
    need("node", "sh")
    found = {name: Spender(name, tmp_path / f"{name}.log") for name in ("check", "test", "node", "python")}
    logs = {name: str(spender._log) for name, spender in found.items()}
    check = f"env PYTHONPATH={ROOT} {' '.join(COSTMON)}"
    commands = [
        ["sh", "-c", SHELL_CHECK.format(costmon=check, log=logs["check"])],
        ["sh", "-c", SHELL_TEST.format(log=logs["test"])],
        ["node", app(NODE.format(log=logs["node"]), "spend.js")],
    ]
    running = [subprocess.Popen(command, env=environ(home)) for command in commands]
    start(foreign, app(PYTHON.format(log=logs["python"])), server.base)
    try:
        yield list(found.values())
    finally:
        for process in running:
            process.kill()
            process.wait()


def go_on(spenders: list[Spender], calls: int = 2) -> None:
    """Wait until each has made so many more calls."""
    before = {spender.name: spender.calls() for spender in spenders}
    wait_until(lambda: all(s.calls() >= before[s.name] + calls for s in spenders), 20)


def test_one_key_stops_everything_and_lets_it_go_on(
    screen: Terminal, spenders: list[Spender], home: Path, server: MockServer
) -> None:
    """After `k` no program makes more than the one call it had begun; after a second `k` all of them go on."""
    go_on(spenders)
    for _ in range(2):
        screen.press("k")
        wait_until(lambda: (home / "switch" / "all").exists())
        stopped = {spender.name: spender.calls() for spender in spenders}
        screen.wait_for(STOPPED)
        time.sleep(1.5)
        after = {spender.name: spender.calls() for spender in spenders}
        assert all(after[name] <= stopped[name] + 1 for name in stopped), (stopped, after)
        reached = len(server.received)
        time.sleep(0.3)
        assert {spender.name: spender.calls() for spender in spenders} == after
        assert len(server.received) == reached
        screen.press("k")
        screen.wait_for(FREE)
        go_on(spenders)


def test_a_call_is_on_the_screen_within_a_second(
    screen: Terminal, server: MockServer, app: Write, start: Start, foreign: str
) -> None:
    """From the moment the app has its answer until the model's name and cost stand in a real terminal."""
    script = app(
        """
import httpx, sys
for model in sys.stdin:
    body = {"model": model.strip(), "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
    httpx.post(sys.argv[1] + "/v1/chat/completions", json=body, trust_env=False)
    print("done", flush=True)
""",
        "visible.py",
    )
    process = start(foreign, script, server.base)
    assert process.stdin is not None
    assert process.stdout is not None
    taken = []
    for model in ("gpt-4o", "gpt-4o-mini", "claude-haiku-4-5", "gpt-4.1", "o3-mini"):
        time.sleep(0.37)  # at any phase of the screen's own rhythm
        process.stdin.write(f"{model}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        taken.append(screen.wait_for(model if model != "gpt-4o" else "gpt-4o ", 5))
    screen.wait_for("visible")
    assert max(taken) < 1.0, taken
    print("seconds until visible:", [round(seconds, 2) for seconds in taken], file=sys.stderr)
