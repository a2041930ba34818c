"""The whole demo as one context manager: home, server and apps come up together and leave nothing behind."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from contextlib import ExitStack
from threading import Thread
from types import TracebackType
from typing import NamedTuple

import costmon
from costmon.demo.child import URL
from costmon.demo.home import make_home, remove_home, start_clock
from costmon.demo.server import DemoServer
from costmon.demo.vendor import MadeUpVendor
from costmon.monitor.engine import read_config
from costmon.store import open_ledger

DAY_S = 72.0
APPS = ("trader", "chatbot")
ESSENTIAL = "chatbot"
_LEAVE_S = 1.5


class Said(NamedTuple):
    """One line of an app's own. `kind` is 'ok', 'failed', 'refused', 'ended' (the process is gone) or 'log'."""

    app: str
    kind: str
    text: str


class Stage:
    """While it is entered, `COSTMON_HOME` of this process is the demo's and no other COSTMON_* variable is set.

    Args:
        day_s: real seconds of a simulated day.
        keep: leave the home when it ends.
        popups: whether the engine shows native notifications.
    """

    def __init__(self, *, day_s: float = DAY_S, keep: bool = False, popups: bool = True) -> None:
        self.home = ""
        self._day_s = day_s
        self._keep = keep
        self._popups = popups
        self._said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._ending = False
        self._listeners: list[Thread] = []
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            self.home = make_home(self._day_s, popups=self._popups)
            if not self._keep:
                stack.callback(remove_home, self.home)
            stack.callback(_restore_environment, dict(os.environ))
            _enter_home(self.home)
            _prepare(self.home)
            start_clock(self.home, self._day_s)
            server = DemoServer(MadeUpVendor(self.home, self._day_s))
            stack.callback(server.close)
            apps: list[subprocess.Popen[bytes]] = []
            stack.callback(self._end, apps)
            apps += [self._start(app, server.url) for app in APPS]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def lines(self) -> list[Said]:
        """What the apps have said since the last call."""
        found = []
        while not self._said.empty():
            found.append(self._said.get())
        return found

    def complaints(self) -> list[Said]:
        """The last line of each app's log. The shim's own faults end there, so a good run leaves none."""
        last = [(app, _last_line(os.path.join(self.home, f"{app}.log"))) for app in APPS]
        return [Said(app, "log", line) for app, line in last if line]

    def _start(self, app: str, url: str) -> subprocess.Popen[bytes]:
        root = os.path.dirname(os.path.dirname(os.path.abspath(costmon.__file__)))
        search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        log_path = os.path.join(self.home, f"{app}.log")
        with open(log_path, "ab") as log:
            # -P: the folder the user happens to be in must not shadow a module. A session of its own: Ctrl-C is ours.
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", f"costmon.demo.{app}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": search, URL: url},
                start_new_session=True,
            )
        listener = Thread(target=self._listen, args=(app, process, log_path), name=f"demo-{app}", daemon=True)
        listener.start()
        self._listeners.append(listener)
        return process

    def _listen(self, app: str, process: subprocess.Popen[bytes], log_path: str) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for raw in output:
                try:
                    line = json.loads(raw)
                    self._said.put(Said(app, str(line["kind"]), str(line["text"])))
                except (ValueError, KeyError, TypeError):
                    continue
        if not self._ending:
            self._said.put(Said(app, "ended", f"the process ended: {_last_line(log_path) or 'no word left'}"))

    def _end(self, apps: list[subprocess.Popen[bytes]]) -> None:
        """Closing an app's standard input ends it; one that does not go is killed. All are waited for."""
        self._ending = True
        for process in apps:
            assert process.stdin is not None
            process.stdin.close()
        deadline = time.monotonic() + _LEAVE_S
        for process in apps:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for listener in self._listeners:
            listener.join(1.0)


def _enter_home(home: str) -> None:
    for name in [name for name in os.environ if name.startswith("COSTMON_")]:
        del os.environ[name]
    os.environ["COSTMON_HOME"] = home


def _restore_environment(before: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("COSTMON_")]:
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if name.startswith("COSTMON_")})


def _prepare(home: str) -> None:
    """Create the ledger with budgets and prices, so that the apps' first calls count already."""
    store = open_ledger(home)
    try:
        read_config(store)
    finally:
        store.close()


def _last_line(path: str) -> str:
    """'' for a log that is empty or gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
