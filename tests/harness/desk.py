"""A private desktop: an X screen nobody sees (Xvfb), a session bus of its own, and a real daemon (dunst).

Every process is this test's own and is ended by it; display number and bus address are free ones, so tests
may run in parallel. The bus has no service folders, so D-Bus activation starts no other daemon unseen.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import need

_WAIT_S = 15.0
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><keep_umask/><listen>unix:tmpdir={folder}</listen><auth>EXTERNAL</auth>{services}
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""
# A duplicate must be seen as one, and nothing may be dropped.
_DUNST = """[global]
history_length = 10000
notification_limit = 0
stack_duplicates = false
markup = full
width = 420
format = "<b>%s</b>\\n%b"
""" + "".join(
    # dunst's history leaves the urgency out; a rule writes it into the category.
    f'[is_{urgency}]\nmsg_urgency = {urgency}\nset_category = "{urgency}"\n'
    for urgency in ("low", "normal", "critical")
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One notification as the daemon displayed it. `body` holds markup."""

    id: int
    app: str
    title: str
    body: str
    urgency: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A running desktop. `env` is the whole environment for programs that shall live on it."""

    folder: Path
    env: dict[str, str]
    calls_file: Path

    def history(self) -> list[Shown]:
        """Everything the daemon displayed so far, in the order of arrival; this clears the screen."""
        self._dunstctl("close-all")
        wait_for(lambda: self._on_screen() == 0, "the notifications to close")
        rows = json.loads(self._dunstctl("history"))["data"][0]
        return sorted((_shown(row) for row in rows), key=lambda shown: shown.id)

    def calls(self) -> int:
        """How many Notify calls passed over the bus, replacements and repeats included."""
        return self.calls_file.read_text().count("member=Notify\n")

    def screenshot(self, path: Path) -> None:
        """Write the whole screen to `path` (PNG)."""
        need("import")
        time.sleep(0.4)  # dunst paints from its main loop; the bus answers earlier
        subprocess.run(["import", "-window", "root", str(path)], env=self.env, check=True, timeout=_WAIT_S)

    def _on_screen(self) -> int:
        return int(self._dunstctl("count", "displayed")) + int(self._dunstctl("count", "waiting"))

    def _dunstctl(self, *arguments: str) -> str:
        command = ["dunstctl", *arguments]
        done = subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=_WAIT_S)
        return done.stdout.decode()


@contextmanager
def desktop(folder: Path, *, daemon: bool = True, markup: str = "full") -> Iterator[Desk]:
    """A desktop in `folder`; skips where a part of it is missing.

    Args:
        daemon: whether a notification daemon runs on it.
        markup: 'full', or 'no' for a daemon that shows plain text only.
    """
    need("Xvfb", "dbus-daemon", "dbus-send", "dbus-monitor", "dunst", "dunstctl")
    with ExitStack() as parts:
        env = private_environment(folder)
        env["DISPLAY"] = screen(parts, env)
        env["DBUS_SESSION_BUS_ADDRESS"] = start_bus(parts, folder, env)
        desk = Desk(folder, env, folder / "calls.log")
        if daemon:
            _start_dunst(parts, desk, markup)
        yield desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A private desktop with dunst; the test itself sees its display and bus in os.environ."""
    folder = tmp_path / "desk"
    folder.mkdir()
    with desktop(folder) as running, pytest.MonkeyPatch.context() as patch:
        for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
            patch.setenv(name, running.env[name])
        patch.delenv("WAYLAND_DISPLAY", raising=False)
        yield running


def screen(parts: ExitStack, env: dict[str, str]) -> str:
    """Start an X screen nobody sees, which ends with `parts`; return its name."""
    need("Xvfb")
    command = ["Xvfb", "-displayfd", "{fd}", "-screen", "0", "900x500x24", "-nolisten", "tcp"]
    return ":" + _start_and_read(parts, env, command)


def start_bus(parts: ExitStack, folder: Path, env: dict[str, str], *, services: bool = False) -> str:
    """Start a session bus that ends with `parts`; return its address. With `services` it starts the system's on demand."""
    need("dbus-daemon")
    config = folder / "bus.conf"
    known = "<standard_session_servicedirs/>" if services else ""
    config.write_text(_BUS.format(folder=tempfile.gettempdir(), services=known))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address={fd}"]
    return _start_and_read(parts, env, command)


def start(parts: ExitStack, env: dict[str, str], command: list[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start `command`, silent, ended (by its own process id) with `parts`."""
    quiet: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    process = subprocess.Popen(command, env=env, **{**quiet, **more})
    parts.callback(_end, process)
    return process


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until `condition()`; fails the test after 15 s."""
    until = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < until, f"waited {_WAIT_S:g} s for {what}"
        time.sleep(0.02)


def owned(env: dict[str, str], name: str = "org.freedesktop.Notifications") -> bool:
    """Whether somebody owns `name` on the session bus of `env`."""
    question = ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner"]
    command = ["dbus-send", "--session", "--print-reply=literal", f"--dest={question[0]}", *question[1:]]
    done = subprocess.run(
        [*command, f"string:{name}"], env=env, capture_output=True, timeout=_WAIT_S, check=False
    )
    return b"true" in done.stdout


def private_environment(folder: Path) -> dict[str, str]:
    """The environment of a user whose home and XDG folders are below `folder`."""
    env = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    env |= {"HOME": str(folder), "LC_ALL": "C.UTF-8"}
    for name in ("RUNTIME_DIR", "CONFIG_HOME", "DATA_HOME", "CACHE_HOME", "STATE_HOME"):
        home = folder / name.lower()
        home.mkdir(mode=0o700, exist_ok=True)
        env[f"XDG_{name}"] = str(home)
    return env


def _start_dunst(parts: ExitStack, desk: Desk, markup: str) -> None:
    with open(desk.calls_file, "wb") as calls:
        rule = "interface='org.freedesktop.Notifications',member='Notify'"
        start(parts, desk.env, ["dbus-monitor", "--session", rule], stdout=calls)
    wait_for(lambda: desk.calls_file.stat().st_size > 0, "dbus-monitor")
    config = desk.folder / "dunstrc"
    config.write_text(_DUNST.replace("markup = full", f"markup = {markup}"))
    start(parts, desk.env, ["dunst", "-conf", str(config)])
    wait_for(lambda: owned(desk.env), "dunst to take its name")


def _start_and_read(parts: ExitStack, env: dict[str, str], command: list[str]) -> str:
    """Start a program that writes one line to the descriptor put in for '{fd}'; return the line."""
    reading, writing = os.pipe()
    try:
        given = [part.replace("{fd}", str(writing)) for part in command]
        start(parts, env, given, pass_fds=(writing,))
    finally:
        os.close(writing)
    with open(reading, "rb") as answer:
        ready, _, _ = select.select([answer], [], [], _WAIT_S)
        line = answer.readline().decode().strip() if ready else ""
    assert line, f"{command[0]} did not start"
    return line


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _shown(row: dict[str, dict[str, Any]]) -> Shown:
    value = {name: entry["data"] for name, entry in row.items()}
    return Shown(value["id"], value["appname"], value["summary"], value["body"], value["category"])
