"""What repricings did to events that leave the ledger, summed by day: a run can be taken back after its events are gone.

Of each run `revision_day` keeps what taking it back adds to the sums of a day, `revision_rest` what it adds to budgets
and says in its report. Everything here runs inside the caller's transaction; times are µs UTC, money is nano.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from costmon.shim.policy import load as load_policy
from costmon.shim.schema import DIMENSIONS, SUMS
from costmon.store.corrections import (
    Change,
    Corrections,
    Judgement,
    Settled,
    add_revision,
    move_budgets,
    move_days,
    settled_events,
)

Group = list[object]
"""[provider, model, version now, version then, currency now, currency then, events, cost now, cost then, unknown now,
unknown then]: a group of a run's report."""
_KEY = 6
_COLUMNS = f"{DIMENSIONS}, {', '.join(SUMS)}"
_DIMENSIONS = len(DIMENSIONS.split(", "))


class Rest(NamedTuple):
    """Events of one day that a run has priced and the ledger no longer keeps; `groups` as in its report."""

    day_at: int
    next_run: int
    events: int
    groups: list[Group]


class _Fold:
    """What taking one run back adds to one day."""

    def __init__(self, corrections: Corrections) -> None:
        self.corrections = corrections
        self.first_at = 0
        self.events = 0
        self.groups: list[Group] = []

    def add(self, event: Settled, then: Judgement, charges: str) -> None:
        change = add_revision(self.corrections, event, then, charges)
        if change is None:
            return
        self.first_at = min(self.first_at or event.created_at, event.created_at)
        self.events += 1
        self.groups.append(_group(change))


def fold(db: sqlite3.Connection, ids: list[str]) -> None:
    """Before the events of `ids` go: keep what each run that still stands has changed of them."""
    revisions = _revisions(db, ids)
    if not revisions:
        return
    rules = load_policy(db)
    folds: dict[tuple[int, int, int], _Fold] = {}
    for event in settled_events(db, revisions):
        now, later = event, 0
        for run, *then, charges in reversed(revisions[event.id]):
            key = (run, event.local_day_at, later)
            if key not in folds:
                folds[key] = _Fold(Corrections(rules))
            folds[key].add(now, Judgement(*then), charges)
            # The run before left the event as this one found it.
            now, later = Settled._make((*event[: -len(then) - 1], *then, charges)), run
    for key, found in folds.items():
        if found.events:
            _keep(db, key, found)


def unfold(db: sqlite3.Connection, run_id: int, locked_until: int) -> Rest | None:
    """Take the run back for one more day that no lock holds; None when there is none left."""
    row = db.execute(
        "select day_at, next_run, events, report, budgets from revision_rest where run_id = ? and first_at >= ?"
        " order by day_at, next_run limit 1",
        (run_id, locked_until),
    ).fetchone()
    if row is None:
        return None
    day, later, events, report, budgets = row
    key = (run_id, day, later)
    sums = db.execute(f"select {_COLUMNS} from revision_day where {_SAME}", key)  # noqa: S608 - names are ours
    move_days(db, {(day, *found[:_DIMENSIONS]): list(found[_DIMENSIONS:]) for found in sums})
    move_budgets(db, {(str(budget), str(start)): moves for budget, start, *moves in json.loads(budgets)})
    for table in ("revision_day", "revision_rest"):
        db.execute(f"delete from {table} where {_SAME}", key)  # noqa: S608
    return Rest(day, later, events, json.loads(report))


def folded(db: sqlite3.Connection, run_id: int) -> list[Rest]:
    """The days of a run that can still be taken back though their events are gone."""
    rows = db.execute(
        "select day_at, next_run, events, report from revision_rest where run_id = ? order by day_at, next_run",
        (run_id,),
    )
    return [Rest(day, later, events, json.loads(report)) for day, later, events, report in rows]


def forget_folded(db: sqlite3.Connection, before: int) -> None:
    """Days before `before` are no longer summed: nothing of them can be taken back."""
    for table in ("revision_day", "revision_rest"):
        db.execute(f"delete from {table} where day_at < ?", (before,))  # noqa: S608


def _revisions(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """{event: what it said before each run, the oldest run first}."""
    wanted = json.dumps(list(ids))
    found: dict[str, list[tuple[Any, ...]]] = {}
    for (run,) in db.execute("select id from reprice_run where state <> 'reverted' order by id").fetchall():
        rows = db.execute(
            "select event_id, run_id, cost, currency, cost_status, price_version, charge, charges from cost_revision"
            " where run_id = ? and event_id in (select value from json_each(?))",
            (run, wanted),
        )
        for event_id, *revision in rows:
            found.setdefault(event_id, []).append(tuple(revision))
    return found


def _keep(db: sqlite3.Connection, key: tuple[int, int, int], found: _Fold) -> None:
    days, budgets = found.corrections.moves()
    db.executemany(_ADD_DAY, [(*key, *place[1:], *sums) for place, sums in days.items() if any(sums)])
    row = db.execute(
        f"select first_at, events, budgets, report from revision_rest where {_SAME}",  # noqa: S608
        key,
    ).fetchone()
    first_at, events, known, report = row or (found.first_at, 0, "[]", "[]")
    moves = {(str(budget), str(start)): sums for budget, start, *sums in json.loads(known)}
    for place, more in budgets.items():
        moves[place] = [a + b for a, b in zip(moves.get(place, [0, 0, 0]), more, strict=True)]
    db.execute(
        "insert or replace into revision_rest (run_id, day_at, next_run, first_at, events, budgets, report)"
        " values (?, ?, ?, ?, ?, ?, ?)",
        (
            *(*key, min(first_at, found.first_at), events + found.events),
            json.dumps(
                [[int(budget), int(start), *sums] for (budget, start), sums in moves.items() if any(sums)]
            ),
            json.dumps(_grouped([*json.loads(report), *found.groups])),
        ),
    )


def _group(change: Change) -> Group:
    now, then = change
    return [
        *(
            now.provider,
            now.model,
            now.price_version or "",
            then.price_version or "",
            now.currency,
            then.currency,
        ),
        *(1, now.cost or 0, then.cost or 0, int(now.cost is None), int(then.cost is None)),
    ]


def _grouped(groups: list[Group]) -> list[Group]:
    found: dict[tuple[object, ...], Group] = {}
    for group in groups:
        key = tuple(group[:_KEY])
        known = found.get(key)
        sums = group[_KEY:]
        if known is not None:
            sums = [a + b for a, b in zip(known[_KEY:], sums, strict=True)]  # type: ignore[operator]
        found[key] = [*key, *sums]
    return list(found.values())


_SAME = "run_id = ? and day_at = ? and next_run = ?"
_ADD_DAY = (
    f"insert into revision_day (run_id, day_at, next_run, {_COLUMNS})"  # noqa: S608 - names are ours
    f" values ({', '.join('?' * (3 + _DIMENSIONS + len(SUMS)))})"
    f" on conflict do update set {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
