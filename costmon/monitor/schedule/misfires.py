"""Plans that did not hold, kept in the ledger from their first run to their last, and what is told of them.

Evidence is JSON: kind, plan, zone, said_by and plan_who (the plan of record they were judged against), announcer (who else
announces it), who ran it and who_apps (for which apps), twice (where a doubled job runs), accept (how to), announced (what
they announce), every_us (how often they run), cost, tonight and month (nano of currency, null = unknown), and whether to
tell it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import zip_longest
from sqlite3 import Connection
from typing import Any

from costmon.act.alerts import Alert
from costmon.act.schedules import DAY_US, MISFIRE, MISSED, Misfired, Missed, misfire_alert, missed_alert
from costmon.budget.periods import period_at
from costmon.insight.schedule import costs
from costmon.insight.schedule.values import ANNOUNCED, DOUBLED, UNEXPECTED, Judged, Misfire, PlanOfRecord
from costmon.monitor.schedule import parties
from costmon.monitor.schedule.judging import JobState
from costmon.monitor.schedule.projected import misfires_every
from costmon.monitor.schedule.wording import rough as rough
from costmon.monitor.schedule.wording import said_by as said_by
from costmon.monitor.schedule.wording import spelled as spelled
from costmon.shim.events import clean
from costmon.shim.money import Money
from costmon.shim.timestamps import to_datetime
from costmon.store import schedules
from costmon.store.schedules import MisfireRow

_PASSING = ("tonight", "month")
"""Evidence that changes by itself, and is written with the rest."""


class Changes:
    """What brings the rows in line with what was judged; `news`: one is new, or has ended."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, tuple[object, ...]]] = []
        self.news = False

    def write(self, db: Connection) -> None:
        """Inside the caller's transaction."""
        for sql, values in self.statements:
            db.execute(sql, values)

    def add(self, sql: str, *values: object, news: bool = False) -> None:
        self.statements.append((sql, values))
        self.news = self.news or news


def changes(db: Connection, states: Iterable[JobState], now: int) -> Changes:
    """Reads only."""
    found = Changes()
    known: dict[tuple[str, str], list[MisfireRow]] = {}
    for row in schedules.misfires(db, now - DAY_US * 9):
        known.setdefault((row.kind, row.job), []).append(row)
    for state in states:
        _misfire(found, state, known.pop((MISFIRE, state.name.name), []))
        _missed(found, state, known.pop((MISSED, state.name.name), []))
    for rows in known.values():  # jobs nobody knows any more
        _end(found, next((row for row in rows if row.state == "open"), None))
    return found


def due(db: Connection, now: int, zone: str) -> list[Alert]:
    """What is to be told: of everything that goes on today's alert, of a misfire that ended within a day its first."""
    found = []
    for row in schedules.misfires(db, now - DAY_US):
        evidence = _read(row)
        if not evidence.get("alert", True):
            continue
        day = max(0, now - row.first_at) // DAY_US if row.state == "open" else 0
        if row.kind == MISFIRE:
            found.append(misfire_alert(misfired(row, evidence, zone)._replace(day=day)))
        elif row.state == "open":
            found.append(missed_alert(missed(row, evidence, zone)._replace(day=day)))
    return found


def misfired(row: MisfireRow, evidence: dict[str, Any], zone: str) -> Misfired:
    """A row as the text of its alert needs it."""
    currency = str(evidence.get("currency") or "USD")

    def money(key: str) -> Money | None:
        nano = evidence.get(key)
        return Money(nano, currency) if isinstance(nano, int) else None

    every = evidence.get("every_us")
    who = [str(one) for one in evidence.get("who") or ()]
    apps = [str(one) for one in evidence.get("who_apps") or ()]
    source, announcer = str(evidence.get("said_by") or ""), str(evidence.get("announcer") or "")
    said = "" if source == ANNOUNCED and not announcer else said_by(source, announcer)
    return Misfired(
        id=row.id,
        job=clean(row.job),
        kind=str(evidence.get("kind") or ""),
        first=to_datetime(row.first_at),
        last=to_datetime(row.last_at),
        runs=row.runs,
        who=parties.named(zip_longest(who, apps[: len(who)], fillvalue="")),
        plan=spelled(str(evidence.get("plan") or ""), str(evidence.get("zone") or ""), zone),
        fact=f"every {rough(every)}" if isinstance(every, int) and every > 0 else "",
        said_by=said,
        cost=money("cost"),
        tonight=money("tonight"),
        month=money("month"),
        zone=zone,
        over=row.state != "open",
        twice=[clean(str(one)) for one in evidence.get("twice") or ()],
        accept=clean(str(evidence.get("accept") or ""), 500),
    )


def missed(row: MisfireRow, evidence: dict[str, Any], zone: str) -> Missed:
    last = evidence.get("last_at")
    return Missed(
        id=row.id,
        job=clean(row.job),
        first=to_datetime(row.first_at),
        last=to_datetime(last) if isinstance(last, int) else None,
        runs=row.runs,
        plan=spelled(str(evidence.get("plan") or ""), str(evidence.get("zone") or ""), zone),
        said_by=said_by(str(evidence.get("said_by") or ""), str(evidence.get("plan_who") or "")),
        zone=zone,
    )


def _misfire(changes: Changes, state: JobState, rows: list[MisfireRow]) -> None:
    row = next((row for row in rows if row.state == "open"), None)
    found = state.watched.misfire
    if found is None or (not found.going_on and row is None and _is_told(found, rows, state.watched.now)):
        _end(changes, row)
        return
    evidence, first, runs = _evidence(state, found), found.first_at, found.runs
    if (
        row is not None and row.first_at < found.first_at
    ):  # its beginning lies further back than runs are judged
        fresh = _since(state, row.last_at)
        first, runs = row.first_at, row.runs + len(fresh)
        evidence["cost"] = _added(_read(row).get("cost"), [one.run.cost for one in fresh])
    after = MisfireRow(
        row.id if row is not None else 0,
        MISFIRE,
        state.name.name,
        first,
        found.last_at,
        runs,
        "open" if found.going_on else "over",
        "",
    )
    _put(changes, row, after, evidence)


def _missed(changes: Changes, state: JobState, rows: list[MisfireRow]) -> None:
    row = next((row for row in rows if row.state == "open"), None)
    watched = state.watched
    if not watched.missing:
        _end(changes, row)
        return
    ran = [one.run.started_at for one in watched.judged]
    last = ran[-1] if ran else None
    absent = [at for at in watched.missed if last is None or at > last]
    first = min([*absent, *([row.first_at] if row is not None else [])], default=watched.now)
    evidence = {**_of_plan(state, watched.plan), "last_at": last}
    after = MisfireRow(
        row.id if row is not None else 0,
        MISSED,
        state.name.name,
        first,
        max([*absent, first]),
        max(1, len(absent), row.runs if row is not None else 0),
        "open",
        "",
    )
    _put(changes, row, after, evidence)


def _put(changes: Changes, row: MisfireRow | None, after: MisfireRow, evidence: dict[str, Any]) -> None:
    text = json.dumps(evidence, ensure_ascii=False)
    if row is None:
        changes.add(
            "insert into misfire (kind, job, first_at, last_at, runs, state, evidence) values (?, ?, ?, ?, ?, ?, ?)",
            *(*after[1:7], text),
            news=True,
        )
    elif row[:7] != after[:7] or _lasting(_read(row)) != _lasting(evidence):
        changes.add(
            "update misfire set first_at = ?, last_at = ?, runs = ?, state = ?, evidence = ? where id = ?",
            *(*after[3:7], text, row.id),
            news=row.state != after.state,
        )


def _end(changes: Changes, row: MisfireRow | None) -> None:
    if row is not None:
        changes.add("update misfire set state = 'over' where id = ?", row.id, news=True)


def _is_told(found: Misfire, rows: Iterable[MisfireRow], now: int) -> bool:
    """Whether a misfire that is over is in the books, or too old to be news."""
    return found.last_at < now - DAY_US or any(row.last_at >= found.first_at for row in rows)


def _since(state: JobState, after: int) -> list[Judged]:
    return [one for one in state.watched.judged if one.verdict in UNEXPECTED and one.run.started_at > after]


def _added(before: object, more: list[int | None]) -> int | None:
    if not isinstance(before, int) or None in more:
        return None
    return before + sum(cost or 0 for cost in more)


def _evidence(state: JobState, found: Misfire) -> dict[str, Any]:
    now, going = state.watched.now, state.going if found.going_on else ()
    ends = {
        key: period_at(kind, state.zone, now).end_us for key, kind in (("tonight", "day"), ("month", "month"))
    }
    return {
        **_of_plan(state, state.against),
        "kind": found.kind,
        "who": list(found.who),
        "who_apps": [one.app for one in parties.culprits(state)],
        "announcer": parties.announcer(state),
        "twice": parties.both(state) if found.kind == DOUBLED else [],
        "accept": parties.accept(state),
        "announced": found.plan,
        "every_us": misfires_every(state.watched),
        "cost": found.cost,
        "currency": state.currency,
        **{key: costs.ahead(0, None, going, now, until) for key, until in ends.items()},
    }


def _of_plan(state: JobState, plan: PlanOfRecord) -> dict[str, Any]:
    return {
        "plan": plan.plan,
        "zone": plan.zone,
        "said_by": plan.said_by,
        "plan_who": plan.who,
        "apps": list(state.apps),
        "alert": state.alert,
    }


def _lasting(evidence: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in evidence.items() if key not in _PASSING}


def _read(row: MisfireRow) -> dict[str, Any]:
    try:
        found = json.loads(row.evidence)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
