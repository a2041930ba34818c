"""A source that delivers what a test puts into it, and helpers to read the screen like a person."""

from __future__ import annotations

import queue
from collections.abc import Callable

from textual.pilot import Pilot

from costmon.monitor.snapshot import Snapshot
from costmon.tui.app import CostmonApp


class Script:
    """Delivers snapshots and raises exceptions in the order given; then whatever `put` adds."""

    def __init__(
        self, *items: Snapshot | BaseException, toggled: Callable[[], str] = lambda: "Done."
    ) -> None:
        self.items: queue.Queue[Snapshot | BaseException] = queue.Queue()
        for item in items:
            self.items.put(item)
        self.toggles = 0
        self.closed = False
        self._toggled = toggled

    def put(self, item: Snapshot | BaseException) -> None:
        self.items.put(item)

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        try:
            item = self.items.get(timeout=min(timeout, 0.05))
        except queue.Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    def toggle(self) -> str:
        self.toggles += 1
        return self._toggled()

    def close(self) -> None:
        self.closed = True


def make_app(source: Script, theme: str = "") -> CostmonApp:
    app = CostmonApp(source, theme=theme)
    app.clock = lambda: 0.0
    return app


def later(app: CostmonApp, seconds: float) -> None:
    """Let the app's clock show `seconds` after the last snapshot."""
    app.clock = lambda: seconds
    app._tick()


async def settled(pilot: Pilot[None], until: Callable[[], bool]) -> None:
    """Wait, at most 5 s, until something is so, and drawn."""
    for _ in range(250):
        if until():
            break
        await pilot.pause(0.02)
    assert until()
    await pilot.pause()
    await pilot.pause()


async def first_paint(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, CostmonApp)
    await settled(pilot, lambda: app.snapshot is not None)


def screen_lines(app: CostmonApp) -> list[str]:
    """The whole screen as text, one string per row."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    rows = ["".join(segment.text for segment in strip) for strip in strips]
    assert len(rows) == height
    assert width > 0
    return rows


def screen_text(app: CostmonApp) -> str:
    return "\n".join(screen_lines(app))


def footer(app: CostmonApp) -> str:
    return screen_lines(app)[-1]


def toasts(app: CostmonApp) -> str:
    """What the toasts say, before they are wrapped."""
    return "\n".join(toast.message for toast in app._notifications)
