"""A ledger with jobs in it, and one engine's rounds by a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from costmon.monitor.schedule.judging import Judging
from costmon.monitor.schedule.keeper import Rounds
from costmon.shim.events import new_id
from costmon.shim.timestamps import to_us
from costmon.store import Store, open_ledger

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = to_us(datetime(2026, 11, 18, 12, tzinfo=UTC))
"""A Wednesday."""
RUN_NANO = 1_200_000
"""4,000 input and 1,000 output tokens of gpt-4o-mini: $0.0012."""


class World:
    """One engine over one ledger. `now` is what its clock shows; `told` counts how often it had something to tell."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "DEMO").touch()
        self.home = home
        self.now = NOON
        self.told = 0
        self.store: Store = open_ledger(str(home))
        self.store.now = lambda: self.now
        self.judging = Judging()
        self.rounds: Rounds | None = None
        self.watched: int | None = None
        """Since when an engine before this one has watched."""

    def tell(self) -> None:
        self.told += 1

    def step(self, at: int | None = None) -> None:
        """Everything an engine does in its rounds, now."""
        self.now = self.now if at is None else at
        if self.rounds is None:
            if self.watched is not None:
                self.write("insert into watch_span (start_at, end_at) values (?, ?)", self.watched, self.now)
            self.rounds = Rounds(self.store, self.judging, self.tell)
        self.rounds._due.clear()
        self.rounds.step()

    def write(self, sql: str, *values: Any) -> None:
        self.store.db.execute("begin immediate")
        self.store.db.execute(sql, values)
        self.store.db.execute("commit")

    def rows(self, sql: str, *values: Any) -> list[Any]:
        return self.store.db.execute(sql, values).fetchall()

    def configure(self, **told: Any) -> None:
        """As the compiled config says it."""
        empty = {"floor_us": HOUR, "crontab": False, "systemd": False, "apscheduler": [], "compose": []}
        text = json.dumps(
            {"jobs": told.get("jobs", []), "schedules": {**empty, **told.get("schedules", {})}, "logs": []}
        )
        self.write(
            "insert into setting values ('schedules', ?) on conflict do update set value = excluded.value",
            text,
        )

    def announce(self, job: str, plan: str, owner: str, at: int, *, app: str = "bot", **more: Any) -> None:
        """As a process does with each of its runs."""
        row = {
            "source": "app",
            "zone": "",
            "who": owner,
            "next_run_at": None,
            "first_at": at,
            "seen_at": at,
        } | more
        names = ", ".join(row)
        self.write(
            f"insert into announcement (job, app, plan, owner, {names}) values (?, ?, ?, ?, {', '.join('?' * len(row))})"
            " on conflict do update set plan = excluded.plan, seen_at = excluded.seen_at, ended_at = null,"
            " next_run_at = excluded.next_run_at",
            *(job, app, plan, owner, *row.values()),
        )

    def run(self, job: str, owner: str, at: int, *, app: str = "bot", **more: Any) -> str:
        """A run that took five seconds and cost $0.0012."""
        cost = more.pop("cost", RUN_NANO)
        row = {
            "id": new_id(at), "app": app, "job": job, "source": "app", "owner": owner, "who": owner, "plan": "",
            "started_at": at, "ended_at": at + 5 * SECOND, "outcome": "ok",
        } | more  # fmt: skip
        self.write(
            f"insert into job_run ({', '.join(row)}) values ({', '.join('?' * len(row))})",
            *row.values(),
        )
        if row["plan"] and row["source"] == "app":
            self.announce(job, str(row["plan"]), owner, at, app=app)
        self.write(
            "insert into rollup_run (run_id, currency, calls, cost, unpriced) values (?, 'USD', 1, ?, ?)",
            *(row["id"], cost or 0, cost is None),
        )
        return str(row["id"])


@contextmanager
def world(home: Path) -> Iterator[World]:
    made = World(home)
    try:
        yield made
    finally:
        if made.rounds is not None:
            made.rounds.close()
        made.store.close()
