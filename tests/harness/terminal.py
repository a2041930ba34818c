"""A real terminal: an own tmux server with one pane, driven by keys and read as text.

Textual draws on standard error: a program run here must not redirect it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.harness import need


@dataclass(frozen=True, slots=True)
class Terminal:
    """One pane of a tmux server of its own, behind the socket file `socket`."""

    socket: str

    def text(self) -> str:
        """What the screen shows now."""
        return self._tmux("capture-pane", "-p", "-t", "t")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names: k, Enter, C-c."""
        self._tmux("send-keys", "-t", "t", *keys)

    def resize(self, columns: int, lines: int) -> None:
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(lines))

    def wait_for(self, text: str, seconds: float = 15.0) -> float:
        """Wait until the screen shows `text`; how many seconds that took. Fails the test when it never does."""
        began = time.monotonic()
        while text not in (screen := self.text()):
            if time.monotonic() - began > seconds:
                pytest.fail(f"waited {seconds:g} s for {text!r}; the terminal shows:\n{screen}")
            time.sleep(0.02)
        return time.monotonic() - began

    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._run("has-session", "-t", "t").returncode == 0

    def _tmux(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )


@contextmanager
def terminal(
    command: Sequence[str], env: dict[str, str], folder: str, columns: int = 110, lines: int = 42
) -> Iterator[Terminal]:
    """A terminal in which `command` runs in `folder` with exactly `env`; everything in it ends with the block."""
    need("tmux")
    sockets = tempfile.mkdtemp(prefix="costmon-tmux-")
    shown = Terminal(os.path.join(sockets, "s"))
    # A size in the environment (a parallel test run leaves one) would win over the terminal's own.
    own = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")}
    whole = {**own, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "tmux-256color", "COLORTERM": "truecolor"}
    line = shlex.join(["exec", "env", "-i", *(f"{name}={value}" for name, value in whole.items()), *command])
    try:
        shown._tmux(
            *("new-session", "-d", "-s", "t", "-x", str(columns), "-y", str(lines), "-c", folder), line
        )
        yield shown
    finally:
        shown._run("kill-server")
        shutil.rmtree(sockets, ignore_errors=True)
