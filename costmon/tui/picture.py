"""A picture of the terminal, made without one."""

from __future__ import annotations

import asyncio
import re

from costmon.monitor.snapshot import Snapshot
from costmon.tui.app import CostmonApp

# Textual's picture names web fonts; ours must make no request when it is looked at.
_FONTS = re.compile(r"@font-face\s*{[^}]*}\s*")


class _Still:
    """A source with one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._left = [snapshot]

    def next_snapshot(self, timeout: float) -> Snapshot | None:
        import time

        if self._left:
            return self._left.pop()
        time.sleep(min(timeout, 0.05))
        return None

    def toggle(self) -> str:
        return ""

    def close(self) -> None:
        pass


def save_picture(
    snapshot: Snapshot, path: str, size: tuple[int, int] = (110, 34), theme: str = "costmon-dark"
) -> None:
    """Write an SVG file of what a terminal of `size` (columns, rows) would show. Not inside an event loop."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(_FONTS.sub("", asyncio.run(_draw(snapshot, size, theme))))


async def _draw(snapshot: Snapshot, size: tuple[int, int], theme: str) -> str:
    app = CostmonApp(_Still(snapshot), theme=theme)
    app.clock = lambda: 0.0
    async with app.run_test(size=size) as pilot:
        while app.snapshot is None:
            await pilot.pause(0.02)
        await pilot.pause()
        await pilot.pause(0.1)
        return app.export_screenshot(title="costmon")
