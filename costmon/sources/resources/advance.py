"""Bring a resource's accounts up to an instant. Everything here runs inside the caller's transaction.

What follows the clock is a run (`meter_run`) with a cursor of its own, so that it can be caught up after any gap. What is
measured collects in its meter until a quarter hour is over.
"""

from __future__ import annotations

from typing import NamedTuple

from costmon.config.values import Resource
from costmon.pricing.files.resources import UNITS, ResourcePrice
from costmon.sources.resources import rows
from costmon.sources.resources.books import Books
from costmon.sources.resources.pieces import SECOND_US, billed, next_cut, pieces, share, slot_of, whole_second
from costmon.sources.resources.probes import Reading, moved
from costmon.sources.resources.rows import Meter, Run

BATCH = 250
"""Events written in one transaction at most: a year that was missed is caught up in many."""
GAP_US = 300 * SECOND_US
"""Longer without a reading, what happened meanwhile is estimated."""
MEASURED = ("disk", "folder", "network", "gpu", "uptime")


class Tariff(NamedTuple):
    """A resource with its price, None = unknown."""

    resource: Resource
    price: ResourcePrice | None


# --- what follows the clock ---------------------------------------------------------------------------------


def account_run(books: Books, run: Run, tariff: Tariff, until_us: int) -> bool:
    """Account a run up to `until_us` (or its end); whether that was done within the batch."""
    resource, price = tariff
    at, seconds, end = run.accounted_until, run.billed, run.due(until_us)
    for start, stop in pieces(run.accounted_until, end, price):
        if books.events >= BATCH:
            break
        amount, seconds = use_of(books, tariff, run, seconds, start, stop)
        books.book(resource, price, start, stop, amount, estimated=run.estimated)
        at = stop
    if at > run.accounted_until:
        rows.accounted(books.db, run.id, at, seconds)
    return at >= end


def use_of(
    books: Books, tariff: Tariff, run: Run, seconds: int, start_us: int, stop_us: int
) -> tuple[int, int]:
    """(how much of the resource a piece of a run is, the seconds of the run billed with it)."""
    resource, price = tariff
    length = (stop_us - start_us) // SECOND_US
    if resource.kind == "storage":
        return resource.held * length, seconds
    if resource.kind == "transfer":
        month = books.months.at(start_us)
        return share(resource.held, month, stop_us) - share(resource.held, month, start_us), seconds
    if resource.kind == "flat":
        return length, seconds
    rate = price.rate_at(start_us) if price is not None else None
    so_far = billed(stop_us - run.started_at, rate.increment_s if rate is not None else 1)
    return max(0, so_far - seconds), max(seconds, so_far)


def can_take_back(books: Books, run: Run, tariff: Tariff, end_us: int) -> bool:
    """Whether nothing has been accounted for the resource after this run's use from `end_us` on."""
    months: set[str] = set()
    for start, _, amount, before in rows.booked_after(books.db, run, end_us):
        month = books.months.at(start).label
        if month not in months and before + amount != books.used(
            run.resource, month, UNITS[tariff.resource.kind]
        ):
            return False
        months.add(month)
    return True


def take_back(books: Books, run: Run, tariff: Tariff, end_us: int) -> None:
    """The run, the last of its resource to be accounted, had ended at `end_us` already: what was accounted for later was
    not used."""
    resource, price = tariff
    seconds = run.billed
    for start, end, amount, _ in rows.booked_after(books.db, run, end_us):
        seconds -= amount
        rate = price.rate_at(start) if price is not None else None
        step = rate.increment_s if rate is not None else 1
        kept = max(start, min(end, end_us))
        left = max(0, billed(kept - run.started_at, step) - seconds) if kept > start else 0
        books.shorten(resource, start, kept, min(left, amount))
        seconds += min(left, amount)
    rows.cut_run(books.db, run, end_us, seconds)


def fill_with_runs(books: Books, meter: Meter, since_us: int | None, until_us: int | None) -> None:
    """Let the clock run from `since_us` (or the meter's first instant) to `until_us` (or for ever), where no run covers
    that time yet."""
    start = whole_second(meter.first_seen_at if since_us is None else since_us)
    found = sorted(rows.runs(books.db, meter.resource), key=lambda run: run.started_at)
    for run in found:
        if run.stopped_at is None:
            if until_us is not None:
                rows.stop_run(books.db, run, until_us)
            if start < run.started_at:
                rows.start_run(books.db, meter.resource, start, run.started_at, "config")
            return
        if run.stopped_at <= start:
            continue
        if start < run.started_at:
            end = run.started_at if until_us is None else min(run.started_at, until_us)
            if start < end:
                rows.start_run(books.db, meter.resource, start, end, "config")
        start = max(start, run.stopped_at)
    if until_us is None or start < until_us:
        rows.start_run(books.db, meter.resource, start, until_us, "config")


def follow_boot(books: Books, meter: Meter, reading: Reading) -> Meter:
    """Let the run of this boot go on; end that of a boot before where it was last seen."""
    now, last = whole_second(books.now), meter.reading
    running = next((run for run in rows.runs(books.db, meter.resource) if run.stopped_at is None), None)
    same = bool(last) and (
        last["boot"] == reading["boot"]
        if reading["boot"]
        else reading["boot_at"] <= meter.counted_until + 2 * SECOND_US
    )
    if not same or running is None:
        if running is not None:
            rows.stop_run(books.db, running, whole_second(meter.counted_until), estimated=True)
        begun = max(whole_second(reading["boot_at"]), whole_second(meter.first_seen_at))
        if last:
            begun = max(begun, whole_second(meter.counted_until))
        rows.start_run(books.db, meter.resource, begun, None, "host")
    return meter._replace(reading=reading, counted_until=max(now, meter.counted_until))


# --- what is measured ---------------------------------------------------------------------------------------


def count(
    books: Books, meter: Meter, tariff: Tariff, reading: Reading | None, until_us: int
) -> tuple[Meter, bool]:
    """Count what was used up to `until_us`, then take over a new reading; whether the batch was enough for it."""
    if tariff.resource.follows == "network":
        meter = _pass(books, meter, tariff, until_us)
        return (_traffic(meter, tariff.resource, reading) if reading is not None else meter), True
    meter, done = _hold(books, meter, tariff, until_us)
    if done and reading is not None:
        meter = meter._replace(reading=reading)
    return meter, done


def flush(books: Books, meter: Meter, tariff: Tariff) -> Meter:
    """Make what is pending an event at once."""
    if meter.pending and meter.counted_until > meter.since_at:
        meter = _cut(books, meter, tariff, meter.counted_until)
    return meter


def _hold(books: Books, meter: Meter, tariff: Tariff, until_us: int) -> tuple[Meter, bool]:
    """The last reading holds until the next one; a busy GPU for five minutes at most."""
    level = _level(meter.reading)
    gap = until_us - meter.counted_until > GAP_US
    level_until = meter.counted_until + GAP_US if tariff.resource.follows == "gpu" else until_us
    while meter.counted_until < until_us:
        at = meter.counted_until
        if not meter.pending and (not level or at >= level_until):
            return meter._replace(since_at=until_us, counted_until=until_us, estimated=False), True
        if books.events >= BATCH:
            return meter, False
        cut = next_cut(meter.since_at, tariff.price)
        if cut <= at:  # its price file was edited meanwhile, and this piece has a change in it
            meter = _cut(books, meter, tariff, at)
            continue
        end = min(until_us, cut)
        held = max(0, min(end, level_until) - at) // SECOND_US
        meter = meter._replace(
            pending=meter.pending + level * held,
            counted_until=end,
            estimated=meter.estimated or (gap and held > 0),
        )
        if end == cut:
            meter = _cut(books, meter, tariff, cut)
    return meter, True


def _pass(books: Books, meter: Meter, tariff: Tariff, until_us: int) -> Meter:
    """What was counted before `until_us` is an event of its own quarter hour once that is over."""
    cut = next_cut(meter.since_at, tariff.price)
    if until_us >= cut:
        meter = _cut(books, meter, tariff, cut)
        since = max(cut, slot_of(until_us))
        while (cut := next_cut(since, tariff.price)) <= until_us:
            since = cut
        meter = meter._replace(since_at=since)
    return meter._replace(counted_until=max(until_us, meter.counted_until))


def _traffic(meter: Meter, resource: Resource, reading: Reading) -> Meter:
    if not meter.reading:
        return meter._replace(reading=reading)
    passed, missed = moved(meter.reading, reading, resource.count)
    gone = {name: values for name, values in meter.reading["nics"].items() if name not in reading["nics"]}
    kept = gone if meter.reading.get("boot") == reading.get("boot") else {}
    return meter._replace(
        pending=meter.pending + passed,
        estimated=meter.estimated or missed,
        reading={**reading, "nics": {**kept, **reading["nics"]}},
    )


def _cut(books: Books, meter: Meter, tariff: Tariff, at_us: int) -> Meter:
    """End the piece that has been counted at `at_us`."""
    if meter.pending:
        books.book(
            tariff.resource, tariff.price, meter.since_at, at_us, meter.pending, estimated=meter.estimated
        )
    return meter._replace(
        since_at=at_us, counted_until=max(at_us, meter.counted_until), pending=0, estimated=False
    )


def _level(reading: Reading) -> int:
    """What a reading counts for in a second."""
    return int(reading["bytes"] if "bytes" in reading else reading.get("busy", 0))
