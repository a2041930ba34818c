"""The demo in a real terminal (tmux): what it shows, the k key, and leaving."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.driver import COMMAND, environment, homes, processes, wait_for
from tests.harness import need

pytestmark = pytest.mark.system


class Terminal:
    """One tmux server of this test's own, with one window."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._socket = str(folder / "tmux.sock")
        command = f"{shlex.join(COMMAND)}; echo LEFT=$?; sleep 60"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", command, env=env)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=15)
        return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo puts its home."""
    path = tmp_path / "t"
    path.mkdir()
    return path


@pytest.fixture
def terminal(tmp_path: Path, folder: Path) -> Iterator[Terminal]:
    need("tmux")
    env = {**environment(folder), "LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"}
    found = Terminal(tmp_path, env)
    yield found
    found.close()


def _feed(screen: str) -> list[tuple[str, str]]:
    """(app, state) of the calls on the screen, newest first."""
    rows = re.findall(r"\d\d:\d\d:\d\d +(trader|chatbot) .*?(REFUSED|ok|in flight|error)", screen)
    return [(app, state) for app, state in rows if state != "in flight"]


def _newest(screen: str) -> dict[str, str]:
    """The state of the newest call of each app."""
    return dict(reversed(_feed(screen)))


def test_k_stops_both_apps_and_frees_them(terminal: Terminal, folder: Path) -> None:
    """k refuses both apps at their next call, k again lets them go on, and q leaves nothing behind."""
    wait_for(lambda: "SIMULATION" in terminal.screen(), 15, "the badge")
    wait_for(lambda: re.search(r"daily.*/ \$1\.00", terminal.screen()), 15, "the gauge")
    wait_for(lambda: set(_newest(terminal.screen())) == {"trader", "chatbot"}, 40, "calls of both apps")
    terminal.press("k")
    wait_for(lambda: "BLOCKED" in terminal.screen(), 5, "the block on the screen")
    both_refused = {"trader": "REFUSED", "chatbot": "REFUSED"}
    wait_for(lambda: _newest(terminal.screen()) == both_refused, 20, "both apps refused")
    states = [state for _, state in _feed(terminal.screen())]
    # A fast demo fills the whole feed with refusals before we look.
    passed = next((number for number, state in enumerate(states) if state != "REFUSED"), len(states))
    assert "REFUSED" not in states[passed:], "a call came through after the first refusal"
    terminal.press("k")
    wait_for(lambda: "REFUSED" not in _newest(terminal.screen()).values(), 20, "both apps going on")
    terminal.press("q")
    wait_for(lambda: "LEFT=0" in terminal.screen(), 10, "the end")
    assert "Traceback" not in terminal.screen()
    assert processes(folder) == []
    assert homes(folder) == []


def test_ctrl_c_leaves_at_once(terminal: Terminal, folder: Path) -> None:
    """Ctrl-C is taken at its word, with everything cleaned up and the terminal restored."""
    wait_for(lambda: "SIMULATION" in terminal.screen(), 15, "the badge")
    terminal.press("C-c")
    wait_for(lambda: "LEFT=0" in terminal.screen(), 10, "the end")
    assert processes(folder) == []
    assert homes(folder) == []
