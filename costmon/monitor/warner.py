"""Warnings, off the engine's thread: a desktop that hangs must not freeze the screen or the next tick."""

from __future__ import annotations

import os
import sqlite3
from threading import Event, Thread

from costmon.act.alerts import Alert, Crossing, Notice, deliver, level_alerts, notice_alert
from costmon.act.channels import Notifier
from costmon.act.channels.desktop import DesktopNotifier
from costmon.act.channels.none import NullNotifier
from costmon.budget.rows import Uncertain, period_band, read_budgets, uncertain
from costmon.budget.status import BudgetRow, PeriodRow, standing
from costmon.errors import CostmonError
from costmon.monitor.reconciled import UnloggedAlerts
from costmon.monitor.schedule import misfires
from costmon.shim import policy
from costmon.shim.clock import system_clock
from costmon.shim.money import Money
from costmon.shim.timestamps import to_datetime
from costmon.store import Store, open_ledger
from costmon.store.queries import notices, settings

DAY_US = 86_400 * 1_000_000


class Warner(Thread):
    """Delivers every level a budget has reached and every notice, each once.

    `trouble` is why the last one could not be shown, or ''.
    """

    def __init__(self, home: str) -> None:
        super().__init__(name="costmon-warner", daemon=True)
        self.trouble = ""
        self._home = home
        self._wake = Event()
        self._ending = Event()
        self._unlogged = UnloggedAlerts()

    def look(self) -> None:
        """Something may have crossed a level."""
        self._wake.set()

    def stop(self) -> None:
        """Finish what is under way, within 5 s."""
        self._ending.set()
        self._wake.set()
        self.join(5.0)

    def run(self) -> None:
        store: Store | None = None
        while True:
            self._wake.wait(timeout=10.0)
            self._wake.clear()
            try:
                store = store or open_ledger(self._home)
                self._deliver(store)
            except (CostmonError, sqlite3.Error, OSError) as error:
                self.trouble = f"warnings wait: {error}"
                store = None
            if self._ending.is_set():
                if store is not None:
                    store.close()
                return

    def _deliver(self, store: Store) -> None:
        alerts = [*due_alerts(store), *self._unlogged.due(store.db, store.now())]
        if not alerts:
            return
        notifier: Notifier = NullNotifier() if settings(store.db).get("desktop") == "0" else DesktopNotifier()
        for _, outcome in deliver(store.db, alerts, notifier, system_clock, f"{os.getpid()}"):
            self.trouble = "" if outcome.ok else f"a warning could not be shown: {outcome.detail}"


def due_alerts(store: Store) -> list[Alert]:
    """One alert for each level each budget has reached in its current period, each notice of a day, and each job that does
    not keep to its plan, sent or not."""
    now = store.now()
    rate = policy.load(store.db).rate
    levels = [
        alert
        for row, period in read_budgets(store.db, now)
        for alert in level_alerts(_crossing(row, period, now, uncertain(store.db, row, period, rate, now)))
    ]
    told = [
        Notice(row.kind, row.subject, row.app, row.day_at, row.detail)
        for row in notices(store.db, now - DAY_US)
    ]
    jobs = misfires.due(store.db, now, settings(store.db).get("time_zone") or "UTC")
    return [*levels, *map(notice_alert, told), *jobs]


def _crossing(row: BudgetRow, period: PeriodRow, now: int, unsure: Uncertain) -> Crossing:
    at = standing(row, period, now)
    found = period_band(period, unsure)
    return Crossing(
        budget=row.name,
        scope=row.scope,
        limit_version=row.limit_version,
        levels=row.levels,
        level=at.level,
        ratio=at.ratio,
        spent=Money(at.used, row.currency),
        limit=Money(row.amount, row.currency),
        period=row.period,
        start=to_datetime(period.start_us),
        end=to_datetime(period.end_us),
        time_zone=row.time_zone,
        at_95=row.at_95,
        at_100=row.at_100,
        unpriced=period.unpriced,
        low=Money(found.low, row.currency),
        high=None if found.high is None else Money(found.high, row.currency),
        crosses_at=to_datetime(at.crosses_at) if at.crosses_at is not None else None,
    )
