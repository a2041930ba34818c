"""The one repricing nobody has to ask for: calls of unknown price, once a price file gives them one.

The 15-minute sums tell where there are such calls, so that a ledger without any costs nothing. Bounded work at a time;
the run is in the log like any other, and may be reverted.
"""

from __future__ import annotations

import time

from costmon.monitor.compile.settings import put, setting
from costmon.monitor.compile.writing import transaction
from costmon.monitor.reprice import runs
from costmon.monitor.reprice.judge import Judge
from costmon.monitor.reprice.runs import ENGINE, UNKNOWN_ONLY, RepriceError
from costmon.monitor.reprice.scope import BATCH, Scope
from costmon.monitor.reprice.work import look, steps
from costmon.shim import policy
from costmon.store import Store

REASON = "price became known"
WITHIN_US = 90 * 86_400_000_000
AT_ONCE_S = 0.2
_DONE = "repriced_stamp"
_SEARCH = "repriced_to"


def price_known(store: Store, at_once_s: float = AT_ONCE_S) -> bool:
    """Go on, for about `at_once_s`, with giving unknown calls of the last 90 days the price that is known now.

    Returns whether there is more to do. Does nothing unless the prices have changed since it was last done, or while
    somebody else reprices. Raises LedgerBusy.
    """
    db = store.db
    stamp = setting(db, "prices_stamp") or ""
    if setting(db, _DONE) == stamp:
        return False
    try:
        with runs.alone(store.home, wait_s=0.0):
            more = _work(store, stamp, time.monotonic() + at_once_s)
    except RepriceError:
        return True
    if not more:
        transaction(db, lambda: put(db, _DONE, stamp))
    return more


def _work(store: Store, stamp: str, until: float) -> bool:
    judge = Judge(store.db, policy.load(store.db))
    run = _begun(store)
    while True:
        if run is None:
            run = _search(store, judge, stamp, until)
        if run is None:
            return setting(store.db, _SEARCH) != f"{stamp} end"
        for _ in steps(store, run, judge):
            if time.monotonic() >= until:
                return True
        run = None


def _begun(store: Store) -> runs.Run | None:
    """A run of ours that is not done, of an engine before this perhaps."""
    return next(
        (
            run
            for run in runs.runs(store.db)
            if run.state == "running" and (run.by, run.kind) == (ENGINE, UNKNOWN_ONLY)
        ),
        None,
    )


def _search(store: Store, judge: Judge, stamp: str, until: float) -> runs.Run | None:
    """A new run from the first event on whose price is known now; None: not found in time, or there is none."""
    db, now = store.db, store.now()
    begun, _, after = (setting(db, _SEARCH) or "").rpartition(" ")
    after = after if begun == stamp and after != "end" else ""
    first = db.execute(
        "select min(slot_at) from rollup_quarter where slot_at >= ? and unpriced > 0", (now - WITHIN_US,)
    ).fetchone()[0]
    scope = Scope(since=max(first or now, now - WITHIN_US), until=now + 1, only_unknown=True)
    while True:
        events, report = look(db, judge, scope, after)
        if report.events:
            since = max(scope.since or 0, events[0].settled.created_at)
            return _begin(store, scope._replace(since=since), now)
        ended = len(events) < BATCH
        after = "end" if ended else events[-1].settled.id
        if ended or time.monotonic() >= until:
            _remember(store, f"{stamp} {after}")
            return None


def _begin(store: Store, scope: Scope, now: int) -> runs.Run:
    def work() -> runs.Run:
        return runs.begin(store.db, UNKNOWN_ONLY, scope, reason=REASON, by=ENGINE, now=now)

    return transaction(store.db, work)


def _remember(store: Store, reached: str) -> None:
    transaction(store.db, lambda: put(store.db, _SEARCH, reached))
