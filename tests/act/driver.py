"""A monitor reduced to its alerts, as a program of its own: tests start, race and kill it.

    python driver.py LEDGER NOW_US NOTIFIER PERIODS

Delivers the five levels of PERIODS periods at the time NOW_US; prints how many alerts it sent. NOTIFIER is
'desktop', or a file to which every send appends one line. With '!before' or '!after' appended it dies of
SIGKILL around the first send; with '!slow' each send takes 10 ms.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from costmon.act.alerts import Alert, deliver
from costmon.act.channels import Delivery, Notifier
from costmon.act.channels.desktop import DesktopNotifier
from costmon.shim.schema import STEPS

LEVELS = (70, 80, 90, 95, 100)
DAY_US = 86_400_000_000


class FileNotifier:
    """Appends one line per notification: whole lines even from several processes."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
        os.write(self._file, f"{replaces}\n".encode())
        return Delivery(True, "file", "written")


class DyingNotifier:
    """Dies like a monitor whose machine loses power, before or after a notification; or is only slow."""

    def __init__(self, inner: Notifier, when: str) -> None:
        self._inner = inner
        self._when = when

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
        if self._when == "slow":
            time.sleep(0.01)
            return self._inner.send(title, body, urgency, replaces)
        if self._when == "after":
            assert self._inner.send(title, body, urgency, replaces).ok
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def open_ledger(path: Path | str) -> sqlite3.Connection:
    """A ledger connection as the engine has it; makes the tables of a new file."""
    db = sqlite3.connect(path, timeout=0.05, isolation_level=None)
    if db.execute("pragma user_version").fetchone()[0] == 0:
        db.execute("pragma journal_mode = wal")
        for _name, statements in STEPS:
            for statement in statements:
                db.execute(statement)
        db.execute("pragma user_version = 1")
    return db


def alerts(periods: int) -> list[Alert]:
    return [
        Alert(
            kind="level",
            subject="total",
            limit_version=1,
            period_at=period * DAY_US,
            level=level,
            title=f'costmon: budget "total" reached {level} %',
            body=f"Spent ${level / 1000:.3f} of $0.10 today ({level} %).",
            urgency="critical" if level >= 95 else "normal",
        )
        for period in range(periods)
        for level in LEVELS
    ]


def _notifier(spec: str) -> Notifier:
    target, _, dies = spec.partition("!")
    inner: Notifier = DesktopNotifier() if target == "desktop" else FileNotifier(target)
    return DyingNotifier(inner, dies) if dies else inner


def main(ledger: str, now_us: str, notifier: str, periods: str) -> None:
    with closing(open_ledger(ledger)) as db:
        now = int(now_us)
        done = deliver(db, alerts(int(periods)), _notifier(notifier), lambda: now, f"driver {os.getpid()}")
    print(len(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
