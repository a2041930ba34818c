"""What providers say was spent, as the ledger keeps it, and what the ledger itself says of the same stretches of time.

Every function takes the connection first. Times are µs since 1970 UTC, money is nano of the named currency; currencies
are never added up here. The ledger's own sums come from the rollup of quarter hours, so that they fit a provider's days; the
fees of subscriptions are left out of them, the hours of servers are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.shim.booking import SLOT_US
from costmon.store.retention import KEEP_US

DAY_US = 86_400_000_000
_FLAT_UNIT = "subscription_seconds"
_DAYS = 90  # what a ledger keeps that no config was compiled into yet


class SourceRow(NamedTuple):
    """A source as it was last polled; `about` is what the poller wrote of its kind, `notes` what an answer lacked."""

    name: str
    kind: str
    provider: str
    about: dict[str, Any]
    every_us: int
    state: str
    reason: str
    polled_at: int | None
    ok_at: int | None
    notes: tuple[str, ...]


class BucketRow(NamedTuple):
    """A stretch [start_at, end_at) a source accounted for; `complete`: the provider said that nothing is missing."""

    source: str
    start_at: int
    end_at: int
    first_at: int
    fetched_at: int
    grew_at: int
    revisions: int
    complete: bool


class FigureRow(NamedTuple):
    """One group of one line ('usage', 'tax', 'credit') of a bucket."""

    source: str
    start_at: int
    end_at: int
    line: str
    model: str
    label: str
    project: str
    api_key: str
    currency: str
    amount: int


class UsageRow(NamedTuple):
    """What one group of a bucket used; None = the provider does not say."""

    source: str
    start_at: int
    end_at: int
    model: str
    project: str
    api_key: str
    requests: int | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None


class BalanceRow(NamedTuple):
    """A balance as long as it stayed the same; amounts are decimal texts in major units of `unit`."""

    source: str
    label: str
    unit: str
    first_at: int
    last_at: int
    amount: str
    limit_amount: str | None
    resets_at: int | None
    per_hour: str | None
    spendable: bool


class OwnRow(NamedTuple):
    """What the ledger says of a provider's model in one stretch of time, in one currency ('' = calls without a price).

    The sums are those of `store.queries.Sums`; `reserved` is of calls still in flight, which are not among the `calls`.
    """

    start_at: int
    provider: str
    model: str
    currency: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    estimated: int = 0
    partial: int = 0
    estimated_cost: int = 0
    assumed: int = 0
    reserved: int = 0


class Reach(NamedTuple):
    """How far back the ledger can be asked: before `kept_from` its quarter hours are forgotten, before `began_at`
    nothing was written yet (None: nothing was ever written)."""

    kept_from: int
    began_at: int | None


_SOURCE = "name, kind, provider, about, every_us, state, reason, polled_at, ok_at, notes"


def sources(db: Connection) -> list[SourceRow]:
    """Every source that was ever polled or announced, by name."""
    rows = db.execute(f"select {_SOURCE} from source order by name").fetchall()  # noqa: S608 - names are ours
    return [SourceRow._make((*row[:3], _object(row[3]), *row[4:9], tuple(_texts(row[9])))) for row in rows]


def buckets(db: Connection, start_at: int, end_at: int) -> list[BucketRow]:
    """The buckets of all sources that overlap [start_at, end_at), oldest first."""
    rows = db.execute(
        f"select {_names(BucketRow)} from figure_bucket where end_at > ? and start_at < ?"  # noqa: S608
        " order by source, start_at",
        (start_at, end_at),
    )
    return [BucketRow._make((*row[:-1], bool(row[-1]))) for row in rows]


def figures(db: Connection, start_at: int, end_at: int) -> list[FigureRow]:
    """The provider figures of all sources in the buckets that overlap [start_at, end_at)."""
    rows = db.execute(
        f"select {_names(FigureRow)} from figure where end_at > ? and start_at < ?",  # noqa: S608
        (start_at, end_at),
    )
    return [FigureRow._make(row) for row in rows]


def usage(db: Connection, start_at: int, end_at: int) -> list[UsageRow]:
    """The usage all sources told of buckets that overlap [start_at, end_at)."""
    rows = db.execute(
        f"select {_names(UsageRow)} from figure_usage where end_at > ? and start_at < ?",  # noqa: S608
        (start_at, end_at),
    )
    return [UsageRow._make(row) for row in rows]


def balances(db: Connection, since: int) -> list[BalanceRow]:
    """Every balance that was seen at or after `since`, each with the one before it, oldest first."""
    rows = db.execute(
        f"""select {_names(BalanceRow)} from balance as b where last_at >= coalesce(
                (select max(first_at) from balance as o
                 where o.source = b.source and o.label = b.label and o.unit = b.unit and o.first_at < ?), ?)
            order by source, label, unit, first_at""",  # noqa: S608
        (since, since),
    )
    return [BalanceRow._make((*row[:-1], bool(row[-1]))) for row in rows]


def stamp(db: Connection) -> tuple[object, ...]:
    """Changes whenever a figure, a bucket or a balance was read anew; cheap."""
    return tuple(
        db.execute(
            """select (select count(*) from source), (select max(polled_at) from source),
                      (select count(*) from figure_bucket), (select max(fetched_at) from figure_bucket),
                      (select max(last_at) from balance)"""
        ).fetchone()
    )


_OWN = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cost",
    "unpriced",
    "estimated",
    "partial",
    "estimated_cost",
)


def own_days(db: Connection, start_at: int, end_at: int, providers: Iterable[str] = ()) -> list[OwnRow]:
    """What the ledger says of [start_at, end_at) by UTC day, provider, model and currency; `start_at` of a row is its
    midnight. Both ends must be quarter hours. Without `providers` all of them."""
    return _own(db, start_at, end_at, f"slot_at - slot_at % {DAY_US}", list(providers), DAY_US)


def own_between(db: Connection, start_at: int, end_at: int, providers: Iterable[str] = ()) -> list[OwnRow]:
    """The same for one stretch that is no UTC day; `start_at` of every row is that of the stretch."""
    found = _own(db, start_at, end_at, str(int(start_at)), list(providers), 0)
    return [row._replace(start_at=start_at) for row in found]


def fits(start_at: int, end_at: int) -> bool:
    """Whether [start_at, end_at) begins and ends on quarter hours, as the ledger's sums do."""
    return start_at % SLOT_US == 0 and end_at % SLOT_US == 0 and start_at < end_at


def reach(db: Connection, now: int) -> Reach:
    """From when on the ledger's own sums can be had."""
    first = db.execute("select min(slot_at) from rollup_quarter").fetchone()[0]
    day = db.execute("select min(day_at) from rollup_day").fetchone()[0]
    read = db.execute("select min(first_at) from figure_bucket").fetchone()[0]
    seen = db.execute("select min(first_at) from balance").fetchone()[0]
    known = [at for at in (first, day, read, seen) if at is not None]
    days = _days_kept(db)
    kept_from = 0
    if days:
        cutoff = now - max(days * DAY_US, KEEP_US)
        # What is left goes oldest first: from the oldest slot on everything is there.
        kept_from = cutoff if first is None else min(cutoff, first)
    return Reach(kept_from, min(known) if known else None)


def providers_seen(db: Connection, start_at: int, end_at: int) -> list[tuple[str, int]]:
    """(provider, calls) of everyone an app called in [start_at, end_at), meters left out."""
    return db.execute(
        """select provider, sum(calls) from rollup_quarter where slot_at >= ? and slot_at < ?
           group by provider having sum(calls) > 0 order by 2 desc, 1""",
        (start_at, end_at),
    ).fetchall()


def providers_since(db: Connection, at: int) -> list[str]:
    """The providers apps called on the operator's days from that of `at` on, the busiest first, meters left out."""
    rows = db.execute(
        """select provider from rollup_day where day_at > ? - 86400000000 and provider <> ''
           group by provider having sum(calls) > 0 order by sum(calls) desc, 1 limit 50""",
        (at,),
    )
    return [str(row[0]) for row in rows]


def _own(
    db: Connection, start_at: int, end_at: int, at: str, providers: list[str], day_us: int
) -> list[OwnRow]:
    among = f" and provider in ({', '.join('?' * len(providers))})" if providers else ""
    flat = _flat(db)
    # Meters make no calls: a model that is called as a subscription is has some.
    usage = f" and not (calls = 0 and model in ({', '.join('?' * len(flat))}))" if flat else ""
    sums = ", ".join(f"sum({name})" for name in (*_OWN, "assumed"))
    settled = db.execute(
        f"select {at}, provider, model, currency, {sums} from rollup_quarter"  # noqa: S608 - names are ours
        f" where slot_at >= ? and slot_at < ?{among}{usage} group by 1, 2, 3, 4",
        (start_at, end_at, *providers, *flat),
    )
    found = {row[:4]: OwnRow._make((*row, 0)) for row in settled}
    flying = db.execute(
        "select created_at, provider, model, currency, reserved from reservation"  # noqa: S608
        f" where created_at >= ? and created_at < ?{among}",
        (start_at, end_at, *providers),
    )
    for created_at, provider, model, currency, reserved in flying:
        key = (created_at - created_at % day_us if day_us else start_at, provider, model, currency)
        row = found.get(key) or OwnRow(*key)
        found[key] = row._replace(reserved=row.reserved + reserved)
    return list(found.values())


def _flat(db: Connection) -> list[str]:
    """The subscriptions, also those that are no longer configured: their fee is on no bill of usage."""
    kinds = {
        name: _object(text).get("kind") for name, text in db.execute("select resource, definition from meter")
    }
    gone = {
        row[0]
        for row in db.execute("select distinct resource from meter_month where unit = ?", (_FLAT_UNIT,))
    }
    return sorted({name for name, kind in kinds.items() if kind == "flat"} | (gone - kinds.keys()))


def _days_kept(db: Connection) -> int:
    row = db.execute("select value from setting where key = 'retention_events'").fetchone()
    try:
        return int(row[0]) if row is not None else _DAYS
    except ValueError:
        return _DAYS


def _names(row: type[Any]) -> str:
    return ", ".join(row._fields)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _texts(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
