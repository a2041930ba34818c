"""What the screens ask the ledger. Sums come from the rollups, so 10 million events cost what ten thousand do.

Every function takes the connection first; times are µs since 1970 UTC, money is nano of the named currency.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.shim import schema
from costmon.shim.events import id_floor

SLOT_US = 900 * 1_000_000


class Sums(NamedTuple):
    """The sums of a set of events in one currency; the last three are explained in `schema.SUMS`."""

    currency: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: int
    unpriced: int
    estimated: int
    partial: int = 0
    estimated_cost: int = 0
    assumed: int = 0


class Flying(NamedTuple):
    """A call in flight; `reserved` is nano of `currency`."""

    created_at: int
    provider: str
    model: str
    app: str
    route: str
    job: str
    reserved: int
    currency: str


class NamedSums(NamedTuple):
    name: str
    sums: Sums


class EventRow(NamedTuple):
    """One event as the feed shows it."""

    id: str
    created_at: int
    app: str
    provider: str
    model: str
    route: str
    api: str
    state: str
    outcome: str | None
    cost: int | None
    currency: str
    cost_status: str | None
    input_tokens: int | None
    output_tokens: int | None
    duration_us: int | None
    error: str | None
    note: str | None


class RefusalRow(NamedTuple):
    minute_at: int
    app: str
    provider: str
    model: str
    rule: str
    scope: str
    reason: str
    last_at: int
    calls: int
    dry_run: int = 0


class RefusedRow(NamedTuple):
    """The refusals of one rule and scope; those in a dry run apart."""

    rule: str
    scope: str
    dry_run: int
    reason: str
    last_at: int
    calls: int


class NoticeRow(NamedTuple):
    """Something the operator should be told once a day; `kind` as in `shim.notices`."""

    kind: str
    subject: str
    app: str
    day_at: int
    detail: str
    first_at: int
    last_at: int
    calls: int


_SUMS = f"currency, {', '.join(f'sum({name})' for name in schema.SUMS)}"


def sums_since(db: Connection, slot_at: int) -> list[Sums]:
    """Sums by currency of the quarter hours from `slot_at` on."""
    rows = db.execute(f"select {_SUMS} from rollup_quarter where slot_at >= ? group by currency", (slot_at,))  # noqa: S608
    return [Sums(*row) for row in rows]


def sums_of_day(db: Connection, day_at: int) -> list[Sums]:
    """Sums by currency of one local day."""
    rows = db.execute(f"select {_SUMS} from rollup_day where day_at = ? group by currency", (day_at,))  # noqa: S608
    return [Sums(*row) for row in rows]


def day_by(db: Connection, day_at: int, dimension: str) -> list[NamedSums]:
    """Sums of one local day by `model` or `app` and currency."""
    if dimension not in ("model", "app"):
        raise ValueError(f"no such dimension: {dimension}")
    sql = f"select {dimension}, {_SUMS} from rollup_day where day_at = ? group by {dimension}, currency"  # noqa: S608
    return [NamedSums(row[0], Sums(*row[1:])) for row in db.execute(sql, (day_at,))]


def slots_since(db: Connection, slot_at: int) -> list[tuple[int, str, int]]:
    """(quarter hour, currency, cost) from `slot_at` on."""
    return db.execute(
        "select slot_at, currency, sum(cost) from rollup_quarter where slot_at >= ? group by slot_at, currency",
        (slot_at,),
    ).fetchall()


def latest_events(db: Connection, count: int) -> list[EventRow]:
    """The newest events, newest first, calls in flight among them."""
    settled = db.execute(
        """select id, created_at, app, provider, model, route, api, state, outcome, cost, currency, cost_status,
                  input_tokens, output_tokens, duration_us, error, note
           from event order by id desc limit ?""",
        (count,),
    )
    flying = db.execute(
        """select id, created_at, app, provider, model, route, api, 'reserved', null, null, currency, null,
                  null, null, null, null, null
           from reservation order by id desc limit ?""",
        (count,),
    )
    rows = [EventRow(*row) for row in (*settled, *flying)]
    return sorted(rows, key=lambda row: row.id, reverse=True)[:count]


def latest_refusals(db: Connection, count: int) -> list[RefusalRow]:
    """The newest refusals, folded by minute, newest first."""
    rows = db.execute(
        """select minute_at, app, provider, model, rule, scope, reason, last_at, calls, dry_run
           from refusal order by minute_at desc, last_at desc limit ?""",
        (count,),
    )
    return [RefusalRow(*row) for row in rows]


def refused_since(db: Connection, at: int, *, dry_run: bool = False) -> int:
    """Calls refused in the minutes from `at` on; with `dry_run` those that only would have been."""
    sql = "select coalesce(sum(calls), 0) from refusal where minute_at >= ? and dry_run = ?"
    return int(db.execute(sql, (at, dry_run)).fetchone()[0])


def refused_by_rule(db: Connection, at: int, count: int) -> list[RefusedRow]:
    """The refusals from `at` on by rule and scope, each with its newest reason, newest first."""
    rows = db.execute(
        """select rule, scope, dry_run, reason, max(last_at), sum(calls) from refusal where minute_at >= ?
           group by rule, scope, dry_run order by 5 desc limit ?""",
        (at, count),
    )
    return [RefusedRow(*row) for row in rows]


def in_flight(db: Connection) -> list[Flying]:
    """Calls admitted and not yet settled."""
    columns = ", ".join(Flying._fields)
    return [Flying(*row) for row in db.execute(f"select {columns} from reservation")]  # noqa: S608 - names are ours


def uncertain_of(
    db: Connection, start_at: int, end_at: int, scope_key: str, scope_value: str, *, days: bool
) -> list[tuple[str, int, int, int]]:
    """(currency, cost that rests on estimates, calls with a part unpriced, calls estimated) of a scope in [start, end),
    by quarter hours or by the operator's local days."""
    table, slot = ("rollup_day", "day_at") if days else ("rollup_quarter", "slot_at")
    scope = "" if scope_key == "all" else f" and {scope_key} = ?"
    values = [start_at, end_at] + ([] if scope_key == "all" else [scope_value])
    return db.execute(
        f"select currency, sum(estimated_cost), sum(partial), sum(estimated) from {table}"  # noqa: S608 - names are ours
        f" where {slot} >= ? and {slot} < ?{scope} group by currency",
        values,
    ).fetchall()


def settings(db: Connection) -> dict[str, str]:
    """Every setting compiled into the ledger."""
    return dict(db.execute("select key, value from setting").fetchall())


def set_setting(db: Connection, key: str, value: str) -> None:
    """Write one setting in a transaction of its own."""
    db.execute("begin immediate")
    try:
        db.execute(
            "insert into setting values (?, ?) on conflict do update set value = excluded.value", (key, value)
        )
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise


def unpriced_models(db: Connection, day_at: int) -> list[tuple[str, str, int]]:
    """(provider, model, calls) without a price on one local day."""
    return db.execute(
        """select provider, model, sum(unpriced) from rollup_day where day_at = ? and unpriced > 0
           group by provider, model order by 3 desc limit 20""",
        (day_at,),
    ).fetchall()


def is_tracked(db: Connection, provider: str, model: str, since: int) -> bool:
    """Whether the newest event of `model` since an instant is a call the app itself states the cost of."""
    row = db.execute(
        "select source from event where id >= ? and provider = ? and model = ? order by id desc limit 1",
        (id_floor(since), provider, model),
    ).fetchone()
    return row is not None and row[0] == "track"


def failed_alerts(db: Connection, since: int) -> list[tuple[str, int, str]]:
    """(subject, level, detail) of alerts nobody could be shown since `since`."""
    rows: list[Any] = db.execute(
        "select subject, level, coalesce(detail, '') from alert where state = 'failed' and claimed_at >= ?",
        (since,),
    ).fetchall()
    return rows


def notices(db: Connection, since: int, count: int = 50) -> list[NoticeRow]:
    """The notices that were still coming in after `since`, newest first."""
    rows = db.execute(
        """select kind, subject, app, day_at, detail, first_at, last_at, calls
           from notice where last_at >= ? order by last_at desc, kind, subject, app limit ?""",
        (since, count),
    )
    return [NoticeRow(*row) for row in rows]


def base_catalog(db: Connection) -> tuple[str, str]:
    """(source, version) of the base price catalogue."""
    row = db.execute("select source, version from catalog where layer = 2 limit 1").fetchone()
    return (str(row[0]), str(row[1])) if row else ("", "")
