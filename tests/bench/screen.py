"""The terminal app over a ledger of 100,000 events: first paint, one refresh, and how soon a call is on the screen."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator

from tests.bench.rows import Row, row

EVENTS = 100_000
STARTS = 8
REFRESHES = 30


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["COSTMON_HOME"] = home
        try:
            _fill(home)
            yield row(
                "first paint, 100,000 events", [_first_paint(home) for _ in range(STARTS)], "ms", "≤ 1,000 ms"
            )
            yield row("one snapshot, 100,000 events", _snapshots(home), "ms", "")
            yield row("one refresh of the screen (snapshot + paint)", _refreshes(home), "ms", "≤ 100 ms")
            yield row("from a settled call to its row on the screen", _visible(home), "ms", "≤ 1,000 ms")
        finally:
            del os.environ["COSTMON_HOME"]


def _fill(home: str) -> None:
    """A day of 100,000 settled events of 16 models and 5 apps, as the shim would have written them."""
    from costmon.cli.budget import budget
    from costmon.shim.events import new_id
    from costmon.store import open_ledger

    with contextlib.redirect_stdout(io.StringIO()):
        budget.main(["set", "total", "1000USD"], standalone_mode=False)
    store = open_ledger(home)
    now = store.now()
    store.db.execute("begin immediate")
    for number in range(EVENTS):
        at = now - (EVENTS - number) * 800_000
        store.db.execute(
            """insert into event (id, created_at, local_day_at, machine, source, app, route, api, provider, model, state,
               outcome, usage_status, input_tokens, output_tokens, cost, currency, cost_status, settled_at)
               values (?, ?, ?, 'bench', 'shim', ?, ?, 'chat', 'openai', ?, 'settled', 'ok', 'reported', 400, 100,
               120000, 'USD', 'priced', ?)""",
            (
                new_id(at),
                at,
                at - at % 86_400_000_000,
                f"app{number % 5}",
                f"/r{number % 5}",
                f"model-{number % 16}",
                at,
            ),
        )
    store.db.execute("commit")
    store.close()


def _snapshots(home: str) -> list[float]:
    from costmon.monitor.view import build_snapshot
    from costmon.store import open_ledger

    store = open_ledger(home)
    samples = []
    for _ in range(REFRESHES):
        began = time.perf_counter()
        build_snapshot(store, mine=False)
        samples.append((time.perf_counter() - began) * 1000)
    store.close()
    return samples


def _refreshes(home: str) -> list[float]:
    """Snapshot and paint in one process, with a new event before each."""
    import asyncio

    return asyncio.run(_painted(home))


async def _painted(home: str) -> list[float]:
    from costmon.monitor.view import build_snapshot
    from costmon.store import open_ledger
    from costmon.tui.app import CostmonApp

    store = open_ledger(home)
    app = CostmonApp(_Silent())
    samples = []
    async with app.run_test(size=(120, 40)) as pilot:
        for number in range(REFRESHES):
            _one_event(home, f"refresh-{number}")
            began = time.perf_counter()
            app.snapshot = build_snapshot(store, mine=False)
            await pilot.pause()
            samples.append((time.perf_counter() - began) * 1000)
    store.close()
    return samples


class _Silent:
    def next_snapshot(self, timeout: float) -> None:
        time.sleep(timeout)

    def toggle(self) -> str:
        return ""

    def close(self) -> None:
        return None


def _first_paint(home: str) -> float:
    with _Terminal(home) as terminal:
        return terminal.wait_for(b"$1,000") * 1000


def _visible(home: str) -> list[float]:
    samples = []
    with _Terminal(home) as terminal:
        terminal.wait_for(b"$1,000")
        time.sleep(1.0)
        for number in range(10):
            model = f"seen-{number}-{os.urandom(2).hex()}"
            _one_event(home, model)
            samples.append(terminal.wait_for(model.encode()) * 1000)
            time.sleep(0.13 * (number % 5))
    return samples


def _one_event(home: str, model: str) -> None:
    from costmon.shim.recorder import Call, Outcome, Recorder

    recorder = Recorder(home)
    held = recorder.admit(Call("chat", "openai", "openai", model, "", 400, 100, source="track", cost=120000))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=120000))
    recorder.ledger.close()


class _Terminal:
    """`costmon` on a pseudo terminal of 120 x 40."""

    def __init__(self, home: str) -> None:
        self._began = time.perf_counter()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.update(COSTMON_HOME=home, TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
            os.execv(sys.executable, [sys.executable, "-m", "costmon"])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def __enter__(self) -> _Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGTERM)
        os.close(self._fd)
        os.waitpid(self._pid, 0)

    def wait_for(self, text: bytes) -> float:
        """Seconds since the start (first call) or since the call until `text` is painted."""
        began, self._began = self._began, 0.0
        began = began or time.perf_counter()
        seen = b""
        while time.perf_counter() - began < 20:
            ready, _, _ = select.select([self._fd], [], [], 0.1)
            if ready:
                seen += os.read(self._fd, 65536)
                if text in seen:
                    return time.perf_counter() - began
        raise TimeoutError(f"{text!r} did not appear")
