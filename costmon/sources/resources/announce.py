"""`costmon meter start` and `stop`: a person tells when a resource runs, or ran."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import NamedTuple, TypeVar

from costmon.config.values import Resource
from costmon.errors import ConfigError
from costmon.shim.timestamps import to_datetime
from costmon.sources.resources import rows
from costmon.sources.resources.advance import Tariff, account_run, can_take_back, take_back
from costmon.sources.resources.books import Books
from costmon.sources.resources.definitions import Definitions, configured, parse
from costmon.sources.resources.pieces import whole_second
from costmon.sources.resources.rows import Meter, Run

Say = Callable[[int], str]
MOST_BACK_US = 10 * 86_400 * 1_000_000
"""A forgotten stop can be told of so much later: taking back is one transaction."""
_T = TypeVar("_T")


class Announced(NamedTuple):
    """The run that was started or stopped; `changed` is False when it was so already. None: it does not run."""

    run: Run | None
    changed: bool


def start(
    db: Connection,
    name: str,
    at_us: int,
    now_us: int,
    by: str,
    say: Say = lambda at: str(to_datetime(at)),
    *,
    long_ago: bool = False,
) -> Announced:
    """The resource `name` runs from `at_us` on.

    Args:
        at_us, now_us: µs UTC; seconds count whole.
        by: who says so.
        say: how an instant is written in an error.
        long_ago: it may have started more than 10 days ago, further than it can be taken back.

    Raises ConfigError: there is no such resource, it runs by itself, the time lies ahead, is too long ago or within another
    run.
    """
    at, now = whole_second(at_us), whole_second(now_us)
    definitions = configured(db)
    written = _started_by_hand(definitions, name)
    _not_ahead(name, at, now, say)

    def work() -> Announced:
        found = rows.runs(db, name)
        running = next((run for run in found if run.stopped_at is None), None)
        if running is not None and at >= running.started_at:
            return Announced(running, False)
        overlapping = next((run for run in found if run.stopped_at is None or at < run.stopped_at), None)
        if overlapping is not None:
            if overlapping.stopped_at is None:
                raise ConfigError(f"{name} runs since {say(overlapping.started_at)} already; stop it first")
            raise ConfigError(
                f"{name} ran from {say(overlapping.started_at)} to {say(overlapping.stopped_at)} already; start it at the"
                " end of that or later, or tell with --until when it stopped"
            )
        if now - at > MOST_BACK_US and not long_ago:
            raise ConfigError(
                f"{say(at)} is more than 10 days ago, and all that time would be accounted for good; if {name} did start"
                " then, add --yes"
            )
        if name not in rows.meters(db):
            rows.put_meter(db, Meter(name, written, now, now, now, 0, False, {}, ""))
        rows.start_run(db, name, at, None, by)
        return Announced(rows.runs(db, name, count=1)[0], True)

    return _written(db, work)


def tell(
    db: Connection,
    name: str,
    at_us: int,
    until_us: int,
    now_us: int,
    by: str,
    say: Say = lambda at: str(to_datetime(at)),
) -> Announced:
    """The resource `name` ran from `at_us` to `until_us`, perhaps before runs that are known; what it cost is accounted at
    once. Not `changed`: that run is known.

    What a run has used of a month's free amount is settled in the order in which runs are told of. So nothing is put
    before a run that goes on: its accounts may yet be taken back.

    Raises ConfigError: there is no such resource, it runs by itself or now, the time lies ahead, is too long ago, is
    settled or within another run.
    """
    at, until, now = whole_second(at_us), whole_second(until_us), whole_second(now_us)
    definitions = configured(db)
    written = _started_by_hand(definitions, name)
    _not_ahead(name, until, now, say)
    if at >= until:
        raise ConfigError(f"{name} cannot have run until {say(until)} when it started at {say(at)}")
    if now - at > MOST_BACK_US:
        earliest = say(now - MOST_BACK_US)
        raise ConfigError(
            f"{say(at)} is too long ago; a run that is told of later starts at {earliest} or later"
        )

    def work() -> Announced:
        locked, found = rows.locked_until(db), rows.runs(db, name)
        known = next((run for run in found if (run.started_at, run.stopped_at) == (at, until)), None)
        if known is not None:
            return Announced(known, False)
        _room_for(name, found, at, until, locked, say)
        if name not in rows.meters(db):
            rows.put_meter(db, Meter(name, written, now, now, now, 0, False, {}, ""))
        rows.start_run(db, name, at, until, by)
        return Announced(next(run for run in rows.runs(db, name) if run.started_at == at), True)

    found = _written(db, work)
    return _accounted(db, definitions, name, now, found)


def _room_for(name: str, found: list[Run], at: int, until: int, locked: int, say: Say) -> None:
    """Whether a run [at, until) can still be told of beside the runs that are known. Raises ConfigError."""
    if at < locked:
        raise ConfigError(f"the bill up to {say(locked)} is locked; {name} can only have run after that")
    running = next((run for run in found if run.stopped_at is None), None)
    if running is not None:
        raise ConfigError(
            f"{name} runs since {say(running.started_at)}, and what it uses is accounted as it goes; stop it first, then"
            " tell of the run before"
        )
    within = next(
        (
            run
            for run in found
            if run.started_at < until and run.stopped_at is not None and at < run.stopped_at
        ),
        None,
    )
    if within is not None and within.stopped_at is not None:
        raise ConfigError(
            f"{name} ran from {say(within.started_at)} to {say(within.stopped_at)} already; leave that time out"
        )


def stop(
    db: Connection, name: str, at_us: int, now_us: int, say: Say = lambda at: str(to_datetime(at))
) -> Announced:
    """The resource `name` stopped at `at_us`; what it cost until then is accounted at once, and what was accounted for
    later is taken back. When it does not run, its last run is shortened to `at_us`, within 10 days.

    Raises ConfigError: there is no such resource, it runs by itself, the time lies ahead, before the start, or so long
    ago that it cannot be taken back.
    """
    at, now = whole_second(at_us), whole_second(now_us)
    definitions = configured(db)
    _started_by_hand(definitions, name)
    _not_ahead(name, at, now, say)

    def work() -> Announced:
        found = rows.runs(db, name)
        last = next((run for run in found if run.stopped_at is None), None)
        if last is None:
            last = next((run for run in found if run.stopped_at != run.started_at), None)
            if last is None or last.stopped_at is None or at >= last.stopped_at:
                return Announced(last or next(iter(found), None), False)
        if at < last.started_at:
            raise ConfigError(f"{name} started only at {say(last.started_at)}; stop it at a time after that")
        if last.stopped_at is not None and now - at > MOST_BACK_US:
            raise ConfigError(
                f"{say(at)} is too long ago; a run that is over ends at {say(now - MOST_BACK_US)} or later"
            )
        if at < last.accounted_until:
            _check_open(db, name, last, at, say)
            books, tariff = Books(db, definitions.zone, now), _tariff(db, definitions, name)
            if not can_take_back(books, last, tariff, at):
                raise ConfigError(
                    f"another run of {name} was told of after the one that ended at {say(last.due(now))}; only what was"
                    " accounted last can be taken back"
                )
            take_back(books, last, tariff, at)
        else:
            rows.stop_run(db, last, at)
        return Announced(last._replace(stopped_at=at), True)

    return _accounted(db, definitions, name, now, _written(db, work))


def _accounted(db: Connection, definitions: Definitions, name: str, now: int, found: Announced) -> Announced:
    """What has ended costs at once."""
    while not _written(db, lambda: _account(db, definitions, name, now)):
        pass  # a run that costmon has not seen for long takes several transactions
    if found.run is None:
        return found
    return found._replace(run=next((run for run in rows.runs(db, name) if run.id == found.run.id), None))


def _account(db: Connection, definitions: Definitions, name: str, now: int) -> bool:
    books, tariff = Books(db, definitions.zone, now), _tariff(db, definitions, name)
    ended = [run for run in rows.unaccounted(db) if run.resource == name and run.stopped_at is not None]
    return all(account_run(books, run, tariff, now) for run in ended)


def _tariff(db: Connection, definitions: Definitions, name: str) -> Tariff:
    meter = rows.meters(db).get(name)
    resource = parse(meter.definition if meter is not None else definitions.written[name])
    return Tariff(resource, definitions.price_of(resource))


def _check_open(db: Connection, name: str, run: Run, at: int, say: Say) -> None:
    """What has been accounted since `at` can still be taken back. Raises ConfigError."""
    locked = rows.locked_until(db)
    if at < min(locked, run.accounted_until):
        raise ConfigError(f"the bill up to {say(locked)} is locked; stop {name} at a time after that")
    if run.accounted_until - at > MOST_BACK_US:
        earliest = say(run.accounted_until - MOST_BACK_US)
        raise ConfigError(
            f"{name} is accounted up to {say(run.accounted_until)}; stop it at {earliest} or later"
        )


def _started_by_hand(definitions: Definitions, name: str) -> str:
    """The definition of a resource that `costmon meter` may start. Raises ConfigError."""
    if name not in definitions.written:
        names = ", ".join(sorted(definitions.written)) or "none yet"
        raise ConfigError(
            f'no resource is named "{name}" (there are: {names}); add a [resource.{_key(name)}] table to config.toml'
        )
    resource = parse(definitions.written[name])
    if resource.follows != "runs":
        raise ConfigError(
            f"{name} needs no start and stop: {_reason(resource)}; change that in config.toml first"
        )
    return definitions.written[name]


def _reason(resource: Resource) -> str:
    if resource.follows != "clock":
        return f"it is measured ({resource.follows})"
    return {"time": "it is always on", "flat": "it is a subscription"}.get(
        resource.kind, "its amount is announced"
    )


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else f'"{name}"'


def _not_ahead(name: str, at: int, now: int, say: Say) -> None:
    if at > now:
        raise ConfigError(f"{say(at)} lies ahead (it is {say(now)}); tell of {name} when it has happened")


def _written(db: Connection, work: Callable[[], _T]) -> _T:
    db.execute("begin immediate")
    try:
        result = work()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return result
