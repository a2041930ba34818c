"""Provider figures while the engine runs: a thread that polls, and what the Snapshot shows of sources."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from costmon import config as configuration
from costmon import paths
from costmon.errors import ConfigError, CostmonError
from costmon.insight.reconcile import bucket_state, worst
from costmon.insight.runway import LOOK_BACK_US, Seen, run_out
from costmon.monitor.snapshot import BalanceStatus, SourceStatus
from costmon.shim.events import clean
from costmon.shim.faults import report
from costmon.shim.money import Money, to_nano
from costmon.shim.owner import is_gone
from costmon.shim.timestamps import to_datetime, to_us
from costmon.store import open_ledger

if TYPE_CHECKING:
    from costmon.config.values import Source
    from costmon.sources.providers.polling.keeper import Keeper

_STOP_WITHIN_S = 2.0
_AGAIN_S = 20.0
_LOOK_EVERY_S = 2.0
HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US
_UNREAD_RHYTHMS = 3
_AHEAD_US = 60 * 1_000_000
"""A time further ahead than this was written by a clock that was ahead, and tells nothing."""


def register_sources(db: sqlite3.Connection, sources: Sequence[Source]) -> None:
    """Let the ledger know the sources of the config at once, whether or not anybody polls: one that was removed or switched
    off is shown no more."""
    if not sources and not db.execute("select exists (select 1 from source)").fetchone()[0]:
        return
    from costmon.sources.providers.polling import books
    from costmon.sources.providers.polling.rounds import resolve

    resolved = [resolve(source) for source in sources]
    db.execute("begin immediate")
    try:
        books.register(db, resolved)
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise


class FigureKeeper(Thread):
    """Polls the configured sources in a thread of its own, with its own event loop and ledger connection."""

    def __init__(self, home: str) -> None:
        super().__init__(name="costmon-figures", daemon=True)
        self._home = home
        self._trouble = ""
        self._ending = Event()
        self._keeper: Keeper | None = None
        self._seen = (0, 0)
        self._known: bool | None = None

    @property
    def trouble(self) -> str:
        """Why nothing is polled at all, or ''."""
        return "" if self._keeper is not None and self._keeper.well else self._trouble

    def stop(self) -> None:
        """Poll no more, within 2 s; a round under way is given up."""
        self._ending.set()
        if self._keeper is not None:
            self._keeper.stop()
        self.join(_STOP_WITHIN_S)

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                if self._needed():
                    self._poll()
                self._trouble = ""
            except (CostmonError, sqlite3.Error, OSError) as error:
                self._trouble = f"provider figures wait: {clean(str(error), 200)}"
            except Exception as error:
                report("poll", f"polling failed ({type(error).__name__}); it starts again")
                self._trouble = f"provider figures wait: polling failed ({type(error).__name__})"
            self._ending.wait(_AGAIN_S if self._trouble else _LOOK_EVERY_S)

    def _needed(self) -> bool:
        """Whether there is a source, or was: until then nothing of HTTP is loaded. A config that is wrong names none."""
        if self._sources_named():
            return True
        if self._known is None:
            store = open_ledger(self._home)
            try:
                self._known = bool(store.db.execute("select exists (select 1 from source)").fetchone()[0])
            finally:
                store.close()
        return self._known

    def _sources_named(self) -> bool:
        path = paths.config_file()
        try:
            status = os.stat(path)
            if (status.st_mtime_ns, status.st_size) == self._seen:
                return False
            self._seen = (status.st_mtime_ns, status.st_size)
            return bool(configuration.load(path).sources)
        except (OSError, ConfigError):
            return False

    def _poll(self) -> None:
        """Until `stop`, or until the ledger is another file."""
        from costmon.sources.providers.polling.keeper import Keeper

        self._seen, self._known = (0, 0), True
        self._keeper = Keeper(self._home)
        if not self._ending.is_set():
            asyncio.run(self._keeper.run())


# --- what the Snapshot shows --------------------------------------------------------------------------------

_COLUMNS = "name, kind, provider, host, about, every_us, state, reason, polled_at, ok_at, next_at, probe, probe_until, notes"


class _Row(NamedTuple):
    name: str
    kind: str
    provider: str
    host: str
    about: str
    every_us: int
    state: str
    reason: str
    polled_at: int | None
    ok_at: int | None
    next_at: int | None
    probe: str | None
    probe_until: int | None
    notes: str


class _Month(NamedTuple):
    """What a provider billed since the month began; `missing` counts days of it nobody knows."""

    sums: tuple[Money, ...]
    state: str
    missing: int


def source_status(db: sqlite3.Connection, now: int) -> tuple[SourceStatus, ...]:
    """Every source as of `now` (µs UTC), by name."""
    rows = db.execute(f"select {_COLUMNS} from source order by name").fetchall()  # noqa: S608
    return tuple(_status(db, _Row._make(row), now) for row in rows)


def source_problems(sources: Iterable[SourceStatus]) -> list[str]:
    """One line for each source that fails; one whose provider asked to wait is none until its figures are old."""
    found = []
    for source in sources:
        if source.state in ("", "ok") or (source.state == "rate_limited" and not source.stale):
            continue
        kept = f" · the figures of {source.ok_at:%Y-%m-%d %H:%M} UTC are kept" if source.ok_at else ""
        found.append(f"source {clean(source.name)}: {clean(source.reason, 300)}{kept}")
    return found


def _status(db: sqlite3.Connection, row: _Row, now: int) -> SourceStatus:
    about = _about(row.about)
    month = _month(db, row, about, now)
    day, hour = _traffic(db, row.name, now - 23 * HOUR_US, now), _traffic(db, row.name, now, now)
    fee = about.get("fee")
    return SourceStatus(
        name=row.name,
        kind=row.kind,
        provider=row.provider,
        host=row.host,
        title=str(about.get("title") or row.kind),
        state=row.state,
        reason=row.reason,
        polled_at=_at(row.polled_at),
        ok_at=_at(row.ok_at),
        next_at=_at(_next_at(row, now)),
        every=timedelta(microseconds=row.every_us),
        reading=_is_reading(row, now),
        stale=row.ok_at is not None
        and (is_ahead(row.ok_at, now) or now - row.ok_at >= _UNREAD_RHYTHMS * max(1, row.every_us)),
        rounds_hour=hour[0],
        requests_hour=hour[1],
        bytes_hour=hour[2],
        rounds_day=day[0],
        requests_day=day[1],
        bytes_day=day[2],
        failures_day=day[3],
        month=month.sums[0] if month is not None else None,
        month_others=month.sums[1:] if month is not None else (),
        month_state=month.state if month is not None else "unknown",
        month_missing_days=month.missing if month is not None else 0,
        lacks=_texts(about.get("lacks")),
        notes=_texts(_json(row.notes)),
        overlaps=bool(about.get("overlaps")),
        fee=Money(to_nano(Decimal(fee[0])), fee[1]) if fee else None,
        balances=tuple(_balances(db, row, now)),
    )


def is_ahead(at: int, now: int) -> bool:
    """Whether `at` (µs UTC) was told by a clock that was ahead of this one."""
    return at > now + _AHEAD_US


def _next_at(row: _Row, now: int) -> int | None:
    """When it is due; a plan of a clock that was ahead is void, and the next round is due now."""
    from costmon.sources.providers.polling.rhythm import Rhythm, furthest

    if row.next_at is None or row.next_at <= now + furthest(row.state, Rhythm(row.every_us)) + HOUR_US:
        return row.next_at
    return now


def _is_reading(row: _Row, now: int) -> bool:
    from costmon.sources.providers.polling.rhythm import LEASE_US

    held = row.probe_until is not None and now < row.probe_until <= now + LEASE_US
    return row.probe is not None and held and not is_gone(row.probe.partition(" ")[0])


def _month(db: sqlite3.Connection, row: _Row, about: dict[str, Any], now: int) -> _Month | None:
    """The usage lines of this UTC month; None where nothing of it was ever read."""
    begins = to_datetime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = to_us(begins)
    buckets, sums = _kept(
        db, ("month", row.name), (row.ok_at, start), lambda: _read_month(db, row.name, start)
    )
    if not buckets:
        return None
    states = [
        bucket_state(
            end=end,
            fetched_at=fetched_at,
            complete=bool(complete),
            settles_us=int(about.get("settles_us") or 0),
            ok_at=row.ok_at,
            every_us=row.every_us,
            now=now,
        )
        for _, end, fetched_at, complete in buckets
    ]
    if about.get("doubted"):
        states.append("partial")
    missing = _uncovered_days(start, now, [(first, last) for first, last, *_ in buckets])
    if missing:
        states.append("partial")
    return _Month(sums or (Money(0, "USD"),), worst(states), missing)


def _read_month(
    db: sqlite3.Connection, name: str, start: int
) -> tuple[list[tuple[int, int, int, int]], tuple[Money, ...]]:
    """The buckets since `start`, and the sum of their usage in each currency, the largest first."""
    buckets = db.execute(
        "select start_at, end_at, fetched_at, complete from figure_bucket where source = ? and start_at >= ?"
        " order by start_at",
        (name, start),
    ).fetchall()
    sums: dict[str, int] = {}
    for currency, nano in db.execute(
        "select currency, amount from figure where source = ? and start_at >= ? and line = 'usage'",
        (name, start),
    ):
        sums[currency] = sums.get(currency, 0) + nano
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return buckets, tuple(Money(nano, currency) for currency, nano in ordered)


def _uncovered_days(start: int, end: int, spans: Iterable[tuple[int, int]]) -> int:
    """How many days of [start, end), begun ones too, no span covers; spans in order."""
    gap, reached = 0, start
    for first, last in spans:
        gap += max(0, min(first, end) - reached)
        reached = max(reached, last)
    gap += max(0, end - reached)
    return -(-gap // DAY_US)


def _traffic(db: sqlite3.Connection, name: str, since: int, until: int) -> tuple[int, int, int, int]:
    """Rounds, requests, bytes and failures in the clock's hours from that of `since` to that of `until`."""
    row = db.execute(
        "select coalesce(sum(polls), 0), coalesce(sum(requests), 0), coalesce(sum(bytes), 0),"
        " coalesce(sum(failures), 0) from poll_hour where source = ? and hour_at between ? and ?",
        (name, since - since % HOUR_US, until - until % HOUR_US),
    ).fetchone()
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])


def _balances(db: sqlite3.Connection, row: _Row, now: int) -> Iterable[BalanceStatus]:
    """What the last good answer told."""
    told = row.ok_at or 0
    found = db.execute(
        "select label, unit, amount, limit_amount, resets_at, per_hour, spendable, max(first_at), last_at from balance"
        " where source = ? and last_at >= ? and first_at <= ? group by label, unit order by label, unit",
        (row.name, told, told or now),
    ).fetchall()
    for label, unit, amount, limit, resets_at, per_hour, spendable, _, last_at in found:
        runway = _runway(db, row.name, label, unit, last_at, per_hour) if spendable else None
        yield BalanceStatus(
            label=label,
            amount=Decimal(amount),
            unit=unit,
            limit=Decimal(limit) if limit is not None else None,
            resets_at=_at(resets_at),
            per_hour=Decimal(per_hour) if per_hour is not None else None,
            spendable=bool(spendable),
            seen_at=to_datetime(last_at),
            age=timedelta(microseconds=max(0, now - last_at)),
            run_out=runway,
        )


def _runway(
    db: sqlite3.Connection, name: str, label: str, unit: str, last_at: int, per_hour: str | None
) -> datetime | None:
    """When a balance is used up, as of when it was last seen."""
    rate = Decimal(per_hour) if per_hour is not None else None

    def find() -> datetime | None:
        history = db.execute(
            "select first_at, last_at, amount, resets_at from balance where source = ? and label = ? and unit = ?"
            " and last_at >= ? and first_at <= ? order by first_at",
            (name, label, unit, last_at - LOOK_BACK_US, last_at),
        )
        seen = [Seen(first, last, Decimal(amount), resets_at) for first, last, amount, resets_at in history]
        found = run_out(seen, last_at, rate)
        return to_datetime(found.at) if found is not None and found.at is not None else None

    return _kept(db, ("runway", name, label, unit), (last_at, per_hour), find)


_T = TypeVar("_T")
_held: dict[tuple[str, ...], tuple[object, object]] = {}
"""A Snapshot is made every two seconds, a source is read every few minutes: what only a round changes is kept in between,
by ledger, with the version it is of."""


def _kept(
    db: sqlite3.Connection, key: tuple[str, ...], version: tuple[object, ...], make: Callable[[], _T]
) -> _T:
    found = db.execute("select value from setting where key = 'hash_key'").fetchone()
    if found is None or None in version[:1]:
        return make()
    known = _held.get((found[0], *key))
    if known is None or known[0] != version:
        _held[found[0], *key] = known = (version, make())
    return cast("_T", known[1])


def _about(text: str) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return (
        tuple(clean(item, 500) for item in value if isinstance(item, str)) if isinstance(value, list) else ()
    )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _at(us: int | None) -> datetime | None:
    return to_datetime(us) if us is not None else None
