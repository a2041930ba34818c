"""The collector: what the engine does for resources. One process at a time, the one that holds the engine's lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from sqlite3 import Connection
from typing import NamedTuple

from costmon.sources.resources import rows
from costmon.sources.resources.advance import (
    BATCH,
    MEASURED,
    Tariff,
    account_run,
    count,
    fill_with_runs,
    flush,
    follow_boot,
)
from costmon.sources.resources.books import Books
from costmon.sources.resources.definitions import Definitions, configured, instant, parse
from costmon.sources.resources.pieces import slot_of, whole_second
from costmon.sources.resources.probes import Host, ProbeError, Reading
from costmon.sources.resources.rows import Meter, Run
from costmon.sources.resources.trust import ClockTrust, passed

MEASURE_EVERY_S = 60.0
ROUNDS = 4
PAUSE_S = 0.02
CLOCK_JUMPED = (
    "the clock stands far ahead of when costmon last looked; if it stays there for a minute, the time until then is"
    " accounted"
)


class Seen(NamedTuple):
    """What a probe gave: a reading, None for nothing new, or what went wrong."""

    reading: Reading | None
    problem: str = ""


class Collector:
    """Accounts for every configured resource. Not thread-safe.

    Args:
        host: where readings are from; default: this machine.
        clock: seconds that pass, whatever is done to the wall clock.
    """

    def __init__(self, host: Host | None = None, clock: Callable[[], float] = passed) -> None:
        self._host = Host() if host is None else host
        self._trust = ClockTrust(clock)
        self._doubted: bool | None = None
        self._measured_at: float | None = None
        self.behind = False
        """Whether the last `collect` left work that was due: a long gap is caught up in many of them."""

    def collect(
        self, db: Connection, now_us: int, *, changed_us: int | None = None, measure: bool = False
    ) -> None:
        """Account for what is due at `now_us`.

        Args:
            changed_us: when the configuration was last edited, for what changed while nobody looked; default: now.
            measure: measure now, whenever that was done last.

        A clock that jumped ahead is believed once it has stayed there for a minute; until then nothing is accounted, and
        every resource has that as its problem.

        `behind` tells whether that was all. Raises sqlite3.Error when the ledger cannot be written; then nothing has
        happened.
        """
        definitions = configured(db)
        if not definitions.written and not rows.meters(db):
            self.behind = False
            return
        if self._doubts(db, now_us):
            self.behind = False
            return
        if measure or self._measurement_is_due():
            self._measured_at = time.monotonic()
            seen = self._measure(definitions, MEASURED)
        else:
            seen = self._measure(definitions, ("folder",)) if self._host.summing else {}
        if not seen and not _due(db, definitions, rows.meters(db), now_us):
            self.behind = False
            return
        changed = now_us if changed_us is None else min(now_us, changed_us)
        for _ in range(ROUNDS):
            self.behind = _round(db, definitions, seen, now_us, changed) >= BATCH
            if not self.behind:
                return
            seen = {}
            time.sleep(PAUSE_S)  # apps that wait for the ledger go first

    def _doubts(self, db: Connection, now_us: int) -> bool:
        """Whether the clock may be wrong; the ledger says so, for every process that shows it."""
        known = rows.newest(db) if self._trust.first else None
        doubts = not self._trust.believes(now_us, known)
        if doubts != self._doubted:
            rows.put_doubt(db, CLOCK_JUMPED, doubts=doubts)
            self._doubted = doubts
        return doubts

    def _measurement_is_due(self) -> bool:
        return self._measured_at is None or time.monotonic() - self._measured_at >= MEASURE_EVERY_S

    def _measure(self, definitions: Definitions, follows: tuple[str, ...]) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        for name, written in definitions.written.items():
            resource = parse(written)
            if resource.follows in follows:
                try:
                    found[name] = Seen(self._host.read(resource))
                except ProbeError as error:
                    found[name] = Seen(None, str(error))
                except OSError as error:
                    found[name] = Seen(None, f"nothing could be measured ({error.strerror})")
        return found


def _due(db: Connection, definitions: Definitions, meters: Mapping[str, Meter], now_us: int) -> bool:
    """Whether anything but a measurement is to be done."""
    if {name: meter.definition for name, meter in meters.items()} != definitions.written:
        return True
    slot = slot_of(now_us)
    return any(run.due(slot) > run.accounted_until and run.by != "host" for run in rows.unaccounted(db))


def _round(
    db: Connection, definitions: Definitions, seen: Mapping[str, Seen], now_us: int, changed_us: int
) -> int:
    """One transaction; how many events it wrote."""
    db.execute("begin immediate")
    try:
        books = Books(db, definitions.zone, now_us)
        _Round(books, definitions, seen, changed_us).run()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return books.events


class _Round:
    """One transaction of the collector."""

    def __init__(
        self, books: Books, definitions: Definitions, seen: Mapping[str, Seen], changed_us: int
    ) -> None:
        self._books = books
        self._definitions = definitions
        self._seen = seen
        self._changed = whole_second(changed_us)
        self._now = whole_second(books.now)
        self._runs: dict[str, list[Run]] = {}
        for run in rows.unaccounted(books.db):
            self._runs.setdefault(run.resource, []).append(run)

    def run(self) -> None:
        """Every resource, those no longer configured among them."""
        meters = rows.meters(self._books.db)
        wanted = self._definitions.written
        # What is measured goes first: a long catching up of something else must not keep it from being counted in time.
        by_the_clock = {name for name, written in wanted.items() if parse(written).follows not in MEASURED}
        for name in sorted({*meters, *wanted}, key=lambda name: (name in by_the_clock, name)):
            meter = meters.get(name)
            if meter is None:
                self._begin(name, wanted[name])
            elif meter.definition == wanted.get(name):
                self._go_on(meter)
            else:
                closed = self._close(meter, wanted.get(name))
                if closed is not None and name in wanted:
                    self._begin(name, wanted[name], closed)

    def _tariff(self, written: str) -> Tariff:
        resource = parse(written)
        return Tariff(resource, self._definitions.price_of(resource))

    def _begin(self, name: str, written: str, before: Meter | None = None) -> None:
        """A resource is configured for the first time, or otherwise than before."""
        resource = parse(written)
        now = self._now
        meter = Meter(name, written, now, now, now, 0, False, {}, "")
        if before is not None:
            old = parse(before.definition)
            same = (old.kind, old.follows, old.target) == (resource.kind, resource.follows, resource.target)
            meter = meter._replace(
                first_seen_at=before.first_seen_at if same else now,
                since_at=before.counted_until if same else now,
                counted_until=before.counted_until if same else now,
                reading=before.reading if same else {},
            )
        if resource.follows == "clock":
            zone = self._definitions.zone
            fill_with_runs(self._books, meter, instant(resource.since, zone), instant(resource.until, zone))
        rows.put_meter(self._books.db, meter)
        self._runs[name] = [run for run in rows.unaccounted(self._books.db) if run.resource == name]
        self._go_on(meter)

    def _go_on(self, meter: Meter) -> None:
        """Account for what is over, and take in what was measured."""
        tariff = self._tariff(meter.definition)
        seen = self._seen.get(meter.resource)
        before = meter
        if seen is not None:
            meter = meter._replace(note=seen.problem)
            if tariff.resource.follows == "uptime":
                if seen.reading is not None:
                    meter = follow_boot(self._books, meter, seen.reading)
                    found = rows.unaccounted(self._books.db)
                    self._account([run for run in found if run.resource == meter.resource], tariff)
            else:
                meter = self._measured(meter, tariff, seen)
        if tariff.resource.follows != "uptime":
            self._account(self._runs.get(meter.resource, []), tariff)
        if meter != before:
            rows.put_meter(self._books.db, meter)

    def _measured(self, meter: Meter, tariff: Tariff, seen: Seen) -> Meter:
        reading = seen.reading
        if seen.problem and tariff.resource.follows == "gpu":
            reading = {}  # from now on nothing is known of it: no cost is made up
        elif seen.problem and meter.reading:
            meter = meter._replace(estimated=True)
        return count(self._books, meter, tariff, reading, self._now)[0]

    def _account(self, runs: list[Run], tariff: Tariff) -> None:
        slot = slot_of(self._now)
        for run in runs:
            # A run that has ended is accounted to its end at once.
            until = self._now if run.stopped_at is not None and run.stopped_at <= self._now else slot
            account_run(self._books, run, tariff, until)

    def _close(self, meter: Meter, wanted: str | None) -> Meter | None:
        """Account for a resource by the definition it had, up to when that was changed; None while that is not done."""
        tariff = self._tariff(meter.definition)
        follows = tariff.resource.follows
        until = min(self._changed, meter.counted_until) if follows == "uptime" else self._changed
        for run in self._runs.get(meter.resource, []):
            if not account_run(self._books, run, tariff, until):
                return None
        if follows in MEASURED and follows != "uptime":
            meter, done = count(self._books, meter, tariff, None, until)
            meter = flush(self._books, meter, tariff) if done else meter
            rows.put_meter(self._books.db, meter)
            if not done:
                return None
        if wanted is None or _moves_otherwise(meter.definition, wanted):
            for run in rows.runs(self._books.db, meter.resource):
                if run.stopped_at is None or run.stopped_at > self._now:
                    rows.stop_run(self._books.db, run, until)
        if wanted is None:
            rows.forget_meter(self._books.db, meter.resource)
        return meter


def _moves_otherwise(before: str, after: str) -> bool:
    old, new = parse(before), parse(after)
    return (old.kind, old.follows) != (new.kind, new.follows)
