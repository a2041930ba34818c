"""`python -m costmon.demo.picture OUT.svg`: the README's picture, a still of the running demo at about 85 %."""

from __future__ import annotations

import sys
import time

from costmon.demo.home import BUDGET
from costmon.demo.screen import DemoFeed
from costmon.demo.stage import DAY_S, Stage
from costmon.monitor.snapshot import Snapshot
from costmon.tui.picture import save_picture

AT = 0.85
SIZE = (120, 34)


def take(at: float = AT, day_s: float = DAY_S) -> Snapshot:
    """The first snapshot of a demo of which so much of the budget is used. Raises TimeoutError after a whole day."""
    deadline = time.monotonic() + day_s
    with Stage(day_s=day_s, popups=False) as stage:
        feed = DemoFeed(stage)
        try:
            while time.monotonic() < deadline:
                snapshot = feed.next_snapshot(0.5)
                if snapshot is not None and _ratio(snapshot) >= at:
                    return snapshot
        finally:
            feed.close()
    raise TimeoutError(f"the demo did not spend {at:.0%} of its budget within {day_s:g} s")


def _ratio(snapshot: Snapshot) -> float:
    return next((budget.ratio for budget in snapshot.budgets if budget.name == BUDGET), 0.0)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m costmon.demo.picture OUT.svg", file=sys.stderr)
        return 2
    snapshot = take()
    save_picture(snapshot, arguments[0], size=SIZE)
    print(f"{arguments[0]}: the demo at {int(_ratio(snapshot) * 100)} %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
