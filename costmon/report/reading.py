"""Read what an incident report needs from the ledger and the switch. Reads only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from costmon import paths
from costmon.insight.schedule.judge import watch
from costmon.insight.schedule.record import plan_of_record
from costmon.insight.schedule.values import Announcement, Gap, PlanOfRecord, Run
from costmon.monitor.lock import holder
from costmon.monitor.schedule import load, misfires
from costmon.monitor.schedule.judging import is_alive
from costmon.monitor.schedule.load import DAY_US, Name, Names
from costmon.monitor.schedule.spans import gaps
from costmon.report.values import ASKED, DAY, MISFIRE, Facts, JobFacts, Sums
from costmon.shim import policy, switch
from costmon.shim.clock import from_system, system_clock
from costmon.shim.money import Money, Rate, convert
from costmon.store import Store, incidents, queries, schedules
from costmon.store.schedules import MisfireRow, RunSums

_FAR = 400 * DAY_US
RateOf = Callable[[str], Rate | None]


class Stretch(NamedTuple):
    """What a report is about. `until` None = now, where it goes on."""

    since: int
    until: int
    after: int
    why: str


def read(store: Store, since: int | None, until: int | None, job: str, now: int | None = None) -> Facts:
    """Everything about [since, until]; without `since` about the latest misfire (of `job`), or else the last 24 hours."""
    db, now = store.db, store.now() if now is None else now
    settings = queries.settings(db)
    zone, currency = settings.get("time_zone") or "UTC", settings.get("display_currency") or "USD"
    rules = policy.load(db)

    def rate(base: str) -> Rate | None:
        return rules.rate(base, currency, now)

    rows = [row for row in schedules.misfires(db, now - _FAR) if job in ("", row.job)]
    latest = max((row for row in rows if row.kind == MISFIRE), key=lambda row: row.first_at, default=None)
    stretch = _stretch(since, until, now, latest, _end_of(db, latest) if latest is not None else 0)
    watching = holder(store.home) is not None
    reader = _Jobs(db, stretch, now, zone, currency, rate, rows, watching=watching)
    wanted = [latest.job] if latest is not None and stretch.why == MISFIRE else [job] if job else None
    blocks = switch.standing(paths.switch_dir(store.home), now)
    return Facts(
        now=now,
        zone=zone,
        currency=currency,
        since=stretch.since,
        until=stretch.until,
        after=stretch.after,
        why=stretch.why,
        job=job,
        jobs=reader.jobs(wanted),
        alerts=tuple(_alerts(store, stretch)),
        refusals=tuple(incidents.refusals(db, stretch.since, stretch.after)),
        overrides=tuple(incidents.overrides(db, stretch.since, stretch.after)),
        notices=tuple(incidents.notices(db, stretch.since, stretch.until)),
        moves=tuple(incidents.moves(db, stretch.since, stretch.after)),
        blocks=tuple(blocks),
        gaps=_gaps(db, stretch.since, stretch.until, now, watching=watching),
        spent=_spent(incidents.spent(db, stretch.since, stretch.until), currency, rate),
    )


def _end_of(db: sqlite3.Connection, row: MisfireRow) -> int:
    """When the last of its runs ended: their calls are of them."""
    names = (row.job, row.job.partition("/")[2] or row.job)
    return max(row.last_at, *(incidents.ended(db, name, row.first_at, row.last_at) for name in names))


def _stretch(
    since: int | None, until: int | None, now: int, latest: MisfireRow | None, ended: int
) -> Stretch:
    if since is not None or until is not None:
        end = min(until, now) if until is not None else now
        return Stretch(since if since is not None else end - DAY_US, end, end, ASKED)
    if latest is None:
        return Stretch(now - DAY_US, now, now, DAY)
    end = now if latest.state == "open" else min(now, ended)
    return Stretch(latest.first_at, end, min(now, end + DAY_US), MISFIRE)


def _gaps(db: sqlite3.Connection, since: int, until: int, now: int, *, watching: bool) -> tuple[Gap, ...]:
    """When nobody watched in [since, until]; `watching`: an engine runs now, so that it is not so up to now."""
    found = gaps(schedules.spans(db, since), since, now, watching=watching)
    return tuple(gap._replace(end_at=min(gap.end_at, until)) for gap in found if gap.start_at < until)


def _alerts(store: Store, at: Stretch) -> list[incidents.AlertRow]:
    """Alerts are claimed and sent in real time; where the home's clock is another one, their times are told by that."""
    convert = from_system(store.home)
    if convert is None:
        return incidents.alerts(store.db, at.since, at.after)
    rows = [
        row._replace(
            claimed_at=convert(row.claimed_at),
            sent_at=convert(row.sent_at) if row.sent_at is not None else None,
        )
        for row in incidents.alerts(store.db, 0, system_clock())
    ]
    return [row for row in rows if at.since <= row.claimed_at <= at.after]


class _Jobs:
    """The jobs of a stretch, each judged as of its end."""

    def __init__(
        self,
        db: sqlite3.Connection,
        stretch: Stretch,
        now: int,
        zone: str,
        currency: str,
        rate: RateOf,
        rows: Sequence[MisfireRow],
        *,
        watching: bool,
    ) -> None:
        self._db, self._at, self._now = db, stretch, now
        self._zone, self._currency, self._rate = zone, currency, rate
        self._rows = [row for row in rows if row.first_at <= stretch.until and row.last_at >= stretch.since]
        self._force = load.in_force(queries.settings(db))
        self._back = stretch.since - DAY_US
        self._gaps = _gaps(db, self._back, stretch.until, now, watching=watching)
        self._announced = [one for one in load.announced(db, stretch.since) if one.first_at <= stretch.until]
        pairs = {(one.app, one.job) for one in self._announced}
        pairs |= set(incidents.jobs_that_ran(db, stretch.since, stretch.until))
        self._names = Names(self._force.jobs, pairs)

    def jobs(self, wanted: Sequence[str] | None) -> tuple[JobFacts, ...]:
        known = self._names.by_name
        names = [Name(name, name) for name in wanted or () if name not in known]
        names += [name for text, name in sorted(known.items()) if wanted is None or text in wanted]
        return tuple(map(self._job, names))

    def _job(self, name: Name) -> JobFacts:
        """Runs of the day before are judged too: a restart or a catch-up shows by what was before it."""
        announced = tuple(one for one in self._announced if self._names.has(name, one.app, one.job))
        rows_of = incidents.runs(self._db, name.job, self._back, self._at.until)
        sums = self._untold(rows_of) | self._sums(name)
        runs = self._runs(name, rows_of[: incidents.MOST_RUNS], sums)
        rows = [row for row in self._rows if row.job == name.name]
        row = max((row for row in rows if row.kind == MISFIRE), key=lambda one: one.last_at, default=None)
        evidence = _evidence(row)
        record = self._record(name, announced, evidence)
        at = self._at
        alive = self._alive(announced, runs)
        watched = watch(name.name, record, runs, announced, self._gaps, alive, at.until, since=self._back)
        found = watched.misfire
        every = evidence.get("every_us") if row is not None else found.every_us if found is not None else None
        inside = tuple(one for one in watched.judged if at.since <= one.run.started_at)
        return JobFacts(
            name=name.name,
            record=record,
            plan=misfires.spelled(record.plan, record.zone, self._zone),
            announced=announced,
            judged=inside,
            missed=tuple(one for one in watched.missed if one >= at.since),
            sums={one.run.id: sums[one.run.id] for one in inside if one.run.id in sums},
            kind=str(evidence.get("kind") or "")
            if row is not None
            else found.kind
            if found is not None
            else "",
            every_us=every if isinstance(every, int) and every > 0 else None,
            going_on=row.state == "open"
            if row is not None
            else bool(found and found.going_on) and at.until == self._now,
            cut=len(rows_of) > incidents.MOST_RUNS,
        )

    def _alive(self, announced: Sequence[Announcement], runs: Sequence[Run]) -> dict[str, bool | None]:
        """Who lives now lived then; who is gone now may have."""
        owners = {one.owner for one in announced} | {run.owner for run in runs} - {""}
        found = {owner: is_alive(owner) for owner in owners}
        return found if self._at.until == self._now else {owner: True for owner in owners if found[owner]}

    def _record(
        self, name: Name, announced: tuple[Announcement, ...], evidence: dict[str, Any]
    ) -> PlanOfRecord:
        """As it was when the misfire was recorded: the config may have been mended since."""
        if isinstance(evidence.get("plan"), str) and evidence.get("said_by"):
            fields = (evidence["plan"], str(evidence.get("zone") or self._zone), str(evidence["said_by"]))
            return PlanOfRecord(*fields, str(evidence.get("plan_who") or ""))
        config = self._names.config.get(name.name)
        floor = self._force.schedules.floor_us
        return plan_of_record(name.name, config, announced, floor, self._zone, now=self._at.until)

    def _runs(self, name: Name, rows: Sequence[tuple[Any, ...]], sums: Mapping[str, Sums]) -> tuple[Run, ...]:
        found = []
        for row in rows:
            of = sums.get(row[0], _nothing(self._currency))
            cost = of.money.nano if of.exact else None
            counts = (of.calls, of.errors, of.input_tokens, of.output_tokens, cost, of.unpriced)
            found.append(Run._make((*row[:12], bool(row[12]), *counts)))
        return load.best_told([run for run in found if self._names.has(name, run.app, run.job)])

    def _untold(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, Sums]:
        """What runs cost that a log or the life of a process tells of, in apps whose calls nobody records: unknown."""
        told = [(row[0], row[1]) for row in rows if row[3] in load.TOLD]
        unseen = {app for app in {app for _, app in told} if not load.calls_seen(self._db, app, self._back)}
        return {run: _nothing(self._currency)._replace(unpriced=1) for run, app in told if app in unseen}

    def _sums(self, name: Name) -> dict[str, Sums]:
        found: dict[str, Sums] = {}
        for one in incidents.sums(self._db, name.job, self._back, self._at.until):
            before = found.get(one.run_id, _nothing(self._currency))
            found[one.run_id] = before.plus(_of(one, self._currency, self._rate))
        return found


def _nothing(currency: str) -> Sums:
    return Sums(Money(0, currency))


def _of(one: RunSums | incidents.SpentRow, currency: str, rate: RateOf) -> Sums:
    found = rate(one.currency) if one.cost and one.currency else None
    lost = (Money(one.cost, one.currency),) if one.cost and found is None else ()
    known = convert(one.cost, found) if found is not None else 0
    return Sums(
        Money(known, currency),
        one.calls,
        one.errors,
        one.input_tokens,
        one.output_tokens,
        one.unpriced,
        lost,
        one.estimated,
    )


def _spent(rows: Sequence[incidents.SpentRow], currency: str, rate: RateOf) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for row in rows:
        found[row.app] = found.get(row.app, _nothing(currency)).plus(_of(row, currency, rate))
    return found


def _evidence(row: MisfireRow | None) -> dict[str, Any]:
    try:
        found = json.loads(row.evidence) if row is not None else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
