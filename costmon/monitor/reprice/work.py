"""A repricing at work: batch after batch, each read and judged without a lock, then written in one short transaction.

A batch that somebody has changed in between (a budget that adopted its events, say) is judged again inside the
transaction. A run that is stopped in the middle has its last whole batch in the log, and goes on behind it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from costmon import paths
from costmon.monitor.compile.writing import transaction
from costmon.monitor.reprice import runs
from costmon.monitor.reprice.judge import LOCKED, Event, Judge, Verdict
from costmon.monitor.reprice.report import Report, SkipKey
from costmon.monitor.reprice.runs import REVERT, RepriceError, Run
from costmon.monitor.reprice.scope import BATCH, Scope, read, read_between
from costmon.shim import policy
from costmon.shim.cards import Card
from costmon.store import Store
from costmon.store.corrections import Corrections, Judgement, add_revision, settled_events
from costmon.store.folding import folded, unfold

CHECKPOINT_BYTES = 4 * 1024 * 1024
YIELD_S = 0.01
Told = Callable[[Run], None]


class _Judged(NamedTuple):
    """A batch and what it comes to."""

    events: list[Event]
    corrections: Corrections
    cards: list[Card]
    report: Report
    locked: int
    judge: Judge


def preview(store: Store, scope: Scope) -> Report:
    """What repricing `scope` would change now; nothing is written."""
    judge = _judge_of(store, scope)
    whole, after = Report(), ""
    while True:
        events, report = look(store.db, judge, scope, after)
        whole.add(report)
        if len(events) < BATCH:
            return whole
        after = events[-1].settled.id


def _judge_of(store: Store, scope: Scope) -> Judge:
    """Resources are priced anew only where the scope names one."""
    named = scope.model is not None
    return Judge(store.db, policy.load(store.db), allow_unknown=scope.allow_unknown, resources=named)


def look(db: sqlite3.Connection, judge: Judge, scope: Scope, after: str) -> tuple[list[Event], Report]:
    """The next batch of the scope, and what repricing it would change."""
    events = read(db, scope, after, BATCH)
    return events, _judge(judge, events, runs.locked_until(db)).report


def reprice(
    store: Store, kind: str, scope: Scope, *, reason: str, by: str, told: Told = lambda _: None
) -> Run:
    """Reprice every event of the scope that was created by now; returns the finished run.

    Raises RepriceError when another process reprices, or a run was stopped in the middle; LedgerBusy when others hold
    the ledger for 5 s (the run is in the log and may be continued).
    """
    with runs.alone(store.home):
        _refuse_interrupted(store)
        now = store.now()
        until = now + 1 if scope.until is None else min(scope.until, now + 1)
        scope = scope._replace(until=until)
        run = transaction(store.db, lambda: runs.begin(store.db, kind, scope, reason=reason, by=by, now=now))
        return _work(store, run, told)


def resume(store: Store, run_id: int, told: Told = lambda _: None) -> Run:
    """Go on with a run that was stopped in the middle, by the prices of now. Raises as `reprice` does."""
    with runs.alone(store.home):
        run = runs.run_of(store.db, run_id)
        if run.state != "running":
            raise RepriceError(f"run {run_id} is {run.state}: there is nothing to continue")
        if run.kind == REVERT and run.reverts is not None:
            return _take_back(store, runs.run_of(store.db, run.reverts), run, told)
        begun = runs.unfinished_revert(store.db, run_id)
        if begun is not None:
            raise RepriceError(f"run {run_id} is being taken back: costmon reprice continue {begun.id}")
        return _work(store, run, told)


def revert(store: Store, run_id: int, *, reason: str, by: str, told: Told = lambda _: None) -> Run:
    """Give every event of a run back what it said before; returns the run that did it.

    Raises RepriceError when it was reverted already, or its events were repriced again since; else as `reprice`.
    """
    with runs.alone(store.home):
        run = runs.run_of(store.db, run_id)
        _refuse_revert(store.db, run)
        begun = runs.unfinished_revert(store.db, run_id)
        if begun is not None:
            return _take_back(store, run, begun, told)
        if run.state != "running":
            _refuse_interrupted(store)
        now = store.now()
        taking = transaction(
            store.db,
            lambda: runs.begin(store.db, REVERT, run.scope, reason=reason, by=by, now=now, reverts=run_id),
        )
        return _take_back(store, run, taking, told)


# --- forwards -----------------------------------------------------------------------------------------------------


def _work(store: Store, run: Run, told: Told) -> Run:
    judge = _judge_of(store, run.scope)
    for step in steps(store, run, judge):
        run = step
        told(run)
    return run


def steps(store: Store, run: Run, judge: Judge) -> Iterator[Run]:
    """The run after each of its batches; the last one is done."""
    while run.state == "running":
        judge = judge.current()
        run = _step(store, run, judge)
        yield run
        _keep_log_short(store)


def _step(store: Store, run: Run, judge: Judge) -> Run:
    """Reprice the next batch."""
    db = store.db
    version = _version(db)
    judged = _judge(judge, read(db, run.scope, run.done_to, BATCH), runs.locked_until(db))

    def write() -> Run:
        found = judged
        if _version(db) != version:
            found = _again(db, run, judge, judged)
        reached = judged.events[-1].settled.id if judged.events else ""
        return _write(store, run, found, reached, ended=len(judged.events) < BATCH)

    done = transaction(db, write)
    judge.cards.committed()
    _let_others_in(db, version)
    return done


def _again(db: sqlite3.Connection, run: Run, judge: Judge, judged: _Judged) -> _Judged:
    """The batch as it is now that nobody else can write."""
    if not judged.events:
        return judged
    events = read_between(db, run.scope, run.done_to, judged.events[-1].settled.id)
    now, locked = judge.current(), runs.locked_until(db)
    same = now is judge and (events, locked) == (judged.events, judged.locked)
    return judged if same else _judge(now, events, locked)


def _judge(judge: Judge, events: list[Event], locked_until: int) -> _Judged:
    corrections = Corrections(judge.rules)
    cards: dict[str, Card] = {}
    report = Report()
    for event in events:
        settled = event.settled
        verdict = judge.verdict(event)
        if isinstance(verdict, Verdict):
            if settled.created_at < locked_until:
                report.left(settled, LOCKED)
                continue
            corrections.add(settled, verdict.judgement)
            report.changed((settled, verdict.judgement))
            if verdict.card is not None:
                cards[verdict.card.hash] = verdict.card
        else:
            report.left(settled, verdict)
    return _Judged(events, corrections, list(cards.values()), report, locked_until, judge)


def _write(store: Store, run: Run, judged: _Judged, reached: str, *, ended: bool) -> Run:
    db = store.db
    state = db.execute("select state from reprice_run where id = ?", (run.id,)).fetchone()[0]
    if state != "running":
        raise RepriceError(f"run {run.id} is {state} by now")
    judged.corrections.write(db, run.id)
    for card in judged.cards:
        judged.judge.cards.keep(card, run.at)
    report = run.report
    report.add(judged.report)
    old, new = report.totals()
    run = run._replace(
        state="done" if ended else "running",
        events=report.events,
        old_total=old,
        new_total=new,
        ended_at=store.now() if ended else None,
        done_to=reached or run.done_to,
        report=report,
    )
    runs.record(db, run)
    return run


# --- backwards ----------------------------------------------------------------------------------------------------


def _take_back(store: Store, run: Run, taking: Run, told: Told) -> Run:
    while taking.state == "running":
        version = _version(store.db)
        taking = transaction(store.db, lambda taking=taking: _take_back_batch(store, run, taking))  # type: ignore[misc]
        told(taking)
        _keep_log_short(store)
        _let_others_in(store.db, version)
    return taking


def _take_back_batch(store: Store, run: Run, taking: Run) -> Run:
    """The next events of `run`, in one transaction; a locked period stays as it is."""
    db, report = store.db, taking.report
    rows = db.execute(
        "select event_id, cost, currency, cost_status, price_version, charge, charges from cost_revision"
        " where run_id = ? and event_id > ? order by event_id limit ?",
        (run.id, taking.done_to, BATCH),
    ).fetchall()
    locked = runs.locked_until(db)
    current = {event.id: event for event in settled_events(db, [row[0] for row in rows])}
    corrections = Corrections(policy.load(db))
    for event_id, *judged, charges in rows:
        event = current.get(event_id)
        if event is None:
            raise RepriceError(
                f"run {run.id} cannot be reverted: the ledger has lost event {event_id}; reprice again instead"
            )
        if event.created_at < locked:
            report.left(event, LOCKED)
            continue
        change = add_revision(corrections, event, Judgement(*judged), charges)
        if change is not None:
            report.changed(change)
    corrections.write(db)
    ended = len(rows) < BATCH and not _take_back_day(db, run, report, locked)
    old, new = report.totals()
    taking = taking._replace(
        state="done" if ended else "running",
        events=report.events,
        old_total=old,
        new_total=new,
        ended_at=store.now() if ended else None,
        done_to=rows[-1][0] if rows else taking.done_to,
        report=report,
    )
    runs.record(db, taking)
    if ended:
        # What a lock kept can be taken back once it is lifted; the rest of an interrupted run is not to be gone on with.
        state = "done" if LOCKED in report.reasons() else "reverted"
        db.execute("update reprice_run set state = ? where id = ?", (state, run.id))
    return taking


def _take_back_day(db: sqlite3.Connection, run: Run, report: Report, locked: int) -> bool:
    """Move the sums of a day whose events are no longer kept in detail; False when there is no such day left."""
    found = unfold(db, run.id, locked)
    if found is not None:
        report.add(Report.from_json(json.dumps({"groups": found.groups})))
        return True
    for kept in folded(db, run.id):
        for provider, model, *_, events in (group[:7] for group in kept.groups):
            key = SkipKey(LOCKED, str(provider), str(model))
            report.skipped[key] = report.skipped.get(key, 0) + int(str(events))
    return False


def _refuse_revert(db: sqlite3.Connection, run: Run) -> None:
    if run.kind == REVERT:
        raise RepriceError(
            f"run {run.id} took run {run.reverts} back and is no repricing itself; reprice again instead"
        )
    if run.state == "reverted":
        raise RepriceError(f"run {run.id} is reverted already")
    later = db.execute(
        "select id from reprice_run where id > ? and state <> 'reverted' and kind <> ? order by id desc",
        (run.id, REVERT),
    ).fetchall()
    for (other,) in later:
        again = db.execute(
            "select count(*) from cost_revision a where run_id = ? and exists"
            " (select 1 from cost_revision b where b.run_id = ? and b.event_id = a.event_id)",
            (run.id, other),
        ).fetchone()[0]
        again += sum(day.events for day in folded(db, run.id) if day.next_run == other)
        if again:
            raise RepriceError(
                f"run {run.id} cannot be reverted: {_events(again)} repriced again by run {other}; revert that first"
            )


def _events(count: int) -> str:
    return "1 of its events was" if count == 1 else f"{count:,} of its events were"


# --- both ---------------------------------------------------------------------------------------------------------


def _refuse_interrupted(store: Store) -> None:
    waiting = runs.interrupted(store.db)
    if waiting is not None:
        undo = waiting.reverts if waiting.kind == REVERT else waiting.id
        raise RepriceError(
            f"run {waiting.id} was stopped in the middle; go on with it (costmon reprice continue {waiting.id}) or take"
            f" it back (costmon reprice revert {undo}) first"
        )


def _version(db: sqlite3.Connection) -> int:
    """Changes when another connection has committed."""
    return int(db.execute("pragma data_version").fetchone()[0])


def _let_others_in(db: sqlite3.Connection, version: int) -> None:
    """Pause if somebody else has written since `version`: batch upon batch would keep them waiting."""
    if _version(db) != version:
        time.sleep(YIELD_S)


def _keep_log_short(store: Store) -> None:
    """The write-ahead log of a million events would be as large as the ledger."""
    try:
        size = os.stat(paths.ledger_file(store.home) + "-wal").st_size
    except OSError:
        return
    if size > CHECKPOINT_BYTES:
        store.checkpoint()
