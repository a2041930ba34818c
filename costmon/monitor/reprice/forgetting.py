"""What is old leaves the ledger, once an hour and a little at a time (the rules are `costmon.store.retention`'s)."""

from __future__ import annotations

import time

from costmon.budget.periods import period_at
from costmon.monitor.compile.settings import setting
from costmon.monitor.compile.writing import transaction
from costmon.store import Store
from costmon.store.retention import cutoffs, prune, prune_figures, prune_schedules

EVERY_S = 3600.0
AT_ONCE_S = 0.2


class Forgetting:
    """The hourly round of one engine."""

    def __init__(self) -> None:
        self._next = 0.0

    def forget(self, store: Store, at_once_s: float = AT_ONCE_S) -> bool:
        """Remove what is due, for about `at_once_s`; whether there is more to do. Raises LedgerBusy."""
        if time.monotonic() < self._next:
            return False
        db, now = store.db, store.now()
        month = period_at("month", setting(db, "time_zone") or "UTC", now).start_us
        kept = cutoffs(db, now, _days(store, "events", 90), _days(store, "aggregates", 365), month)
        until = time.monotonic() + at_once_s
        while True:
            more = transaction(db, lambda: prune(db, kept)).more
            more = more or transaction(db, lambda: prune_figures(db, kept, now))
            if not more and not transaction(db, lambda: prune_schedules(db, kept, now)):
                self._next = time.monotonic() + EVERY_S
                return False
            if time.monotonic() >= until:
                return True


def _days(store: Store, what: str, default: int) -> int:
    """As the config says; a ledger compiled before there was such a setting has the default."""
    return int(setting(store.db, f"retention_{what}") or default)
