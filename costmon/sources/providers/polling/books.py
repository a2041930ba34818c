"""What a round leaves in the ledger: each bucket's figures replaced as a whole, or, when it failed, only why.

Every function works inside its caller's transaction. Times are µs UTC, amounts nano; see `shim.schema` for the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from fractions import Fraction

from costmon.shim.events import clean
from costmon.shim.money import NANO, divide_half_even, format_money, to_nano
from costmon.shim.timestamps import to_datetime, to_us
from costmon.sources.providers.http import Traffic
from costmon.sources.providers.polling import accounts, balances
from costmon.sources.providers.polling.breaker import about, holds, note
from costmon.sources.providers.polling.rhythm import HOUR_US, Standing
from costmon.sources.providers.polling.rounds import Polled
from costmon.sources.providers.protocol import TAX, USAGE, Figure, Reading, SourceError, Usage

_MAX_TEXT = 200
_MAX_REASON = 500
_MAX_NOTES = 20
_EXACT = Context(prec=60)
Key = tuple[str, str, str, str, str, str]
"""Line, model, label, project, API key (its name at the provider), currency."""
Span = tuple[int, int]
_OFF = "sources_off"
_TABLES = ("figure", "figure_bucket", "figure_usage", "balance", "poll_hour")


def register(db: sqlite3.Connection, polled: Sequence[Polled]) -> None:
    """A row for every source that is switched on, and none for others: figures without one are compared with nothing.

    Figures wait for their source to come back; under another kind it starts afresh, as they are another provider's.
    """
    present = {
        name: f"{kind} {about(db, name).get('figures_of') or ''}".strip()
        for name, kind in db.execute("select name, kind from source").fetchall()
    }
    off = _switched_off(db)
    wanted = {one.name: one for one in polled if one.source.enabled}
    left = {name: what for name, what in (off | present).items() if name not in wanted}
    for name, one in wanted.items():
        kind, _, account = (off | present).get(name, one.source.kind).partition(" ")
        if kind != one.source.kind:
            _forget(db, name)
        _describe(db, one)
        if kind == one.source.kind and name not in present and account:
            note(db, name, figures_of=account)
    gone = present.keys() & left.keys()
    for name in gone:
        db.execute("delete from source where name = ?", (name,))
    if gone:  # one that read the same account as one of these is free to
        db.execute("update source set next_at = null where state = 'config'")
    if left != off:
        db.execute(
            "insert into setting values (?1, ?2) on conflict (key) do update set value = ?2",
            (_OFF, json.dumps(left)),
        )


def _switched_off(db: sqlite3.Connection) -> dict[str, str]:
    """Sources whose figures are here, but which are not in the config now: their kind, and the figures' account."""
    row = db.execute("select value from setting where key = ?", (_OFF,)).fetchone()
    return dict(json.loads(row[0])) if row is not None else {}


def book(
    db: sqlite3.Connection,
    polled: Polled,
    reading: Reading,
    now: int,
    probe: str,
    plan: Standing,
    traffic: Traffic,
    *,
    wide: bool = False,
    account: str = "",
) -> bool:
    """Write what the round `probe` brought home; False when another round has taken over: then only its traffic counts.

    account: whose figures they are; those of another one go.
    """
    name = polled.name
    count(db, name, now, traffic, failed=False)
    if not holds(db, name, probe):
        return False
    if accounts.is_other(db, name, account):
        accounts.drop(db, name)
    doubt = _write_figures(db, polled, reading, now)
    _write_usage(db, name, reading)
    balances.write(db, polled, reading.balances, now)
    notes = [clean(text, _MAX_REASON) for text in (*filter(None, [doubt]), *reading.notes)][:_MAX_NOTES]
    db.execute(
        "update source set state = 'ok', reason = '', status_code = null, polled_at = ?1, ok_at = ?1, next_at = ?2,"
        " failures = 0, opened_at = null, probe = null, probe_until = null, notes = ?3 where name = ?4",
        (now, plan.next_at, json.dumps(notes, ensure_ascii=False), name),
    )
    note(db, name, doubted=bool(doubt))
    if account:
        note(db, name, figures_of=account)
    if wide and not doubt:
        note(db, name, wide_at=now)
    return True


def book_failure(
    db: sqlite3.Connection,
    polled: Polled,
    error: SourceError,
    now: int,
    probe: str,
    plan: Standing,
    traffic: Traffic,
) -> bool:
    """Write why the round `probe` failed; no figure changes. False when another round has taken over."""
    count(db, polled.name, now, traffic, failed=True)
    if not holds(db, polled.name, probe):
        return False
    db.execute(
        "update source set state = ?, reason = ?, status_code = ?, polled_at = ?, next_at = ?, failures = ?,"
        " opened_at = ?, probe = null, probe_until = null where name = ?",
        (
            *(plan.state, clean(str(error), _MAX_REASON), error.status, now, plan.next_at),
            *(plan.failures, plan.opened_at, polled.name),
        ),
    )
    return True


# --- figures ---


def oldest(db: sqlite3.Connection, name: str) -> datetime | None:
    """When the oldest bucket of the source begins."""
    (start,) = db.execute("select min(start_at) from figure_bucket where source = ?", (name,)).fetchone()
    return None if start is None else to_datetime(start)


def _write_figures(db: sqlite3.Connection, polled: Polled, reading: Reading, now: int) -> str:
    """Returns why the answer is doubted, '' if it is not."""
    share = polled.source.tax_included
    of: dict[Span, list[Figure]] = {_span(bucket.start, bucket.end): [] for bucket in reading.buckets}
    for figure in reading.figures:
        of[_span(figure.start, figure.end)].append(figure)
    if reading.whole:
        _clear_others(db, polled.name, of)
    new = {span: amounts(figures, share) for span, figures in of.items()}
    fallen = {} if reading.whole else _fallen(db, polled.name, new, now)
    partial = reading.partial or bool(fallen)
    for bucket in reading.buckets:
        span = _span(bucket.start, bucket.end)
        if span in fallen or (fallen and not _covers(new[span], _held(db, polled.name, span))):
            continue
        if reading.whole or not partial or not _is_less(db, polled.name, span, new[span]):
            complete = bucket.complete and not partial
            _write_bucket(db, polled.name, span, new[span], now, complete=complete)
    return _doubt(fallen) if fallen else ""


def _fallen(
    db: sqlite3.Connection, name: str, new: dict[Span, dict[Key, int]], now: int
) -> dict[Span, dict[Key, int]]:
    """What is on file of the closed buckets with money, if the answer has none in any of them; else nothing.

    A provider that loses its records answers like one of whom nothing was ever bought.
    """
    found = {}
    for span, amounts_of in new.items():
        if span[1] <= now and any((held := _held(db, name, span)).values()):
            if any(amounts_of.values()):
                return {}
            found[span] = held
    return found


def _doubt(fallen: dict[Span, dict[Key, int]]) -> str:
    sums: dict[str, int] = {}
    for held in fallen.values():
        for key, nano in held.items():
            if key[0] == USAGE:
                sums[key[-1]] = sums.get(key[-1], 0) + nano
    money = " + ".join(format_money(nano, currency) for currency, nano in sorted(sums.items()) if nano)
    first, last = (to_datetime(span[0]) for span in (min(fallen), max(fallen)))
    days = f"{first:%Y-%m-%d}" if first == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return (
        f"the last answer tells nothing of all that was billed before ({days}{f', {money}' if money else ''}), which is "
        "not believed: these figures are kept as they were; compare them with the provider's own page"
    )


def _is_less(db: sqlite3.Connection, name: str, span: Span, new: dict[Key, int]) -> bool:
    """Whether a bucket of an answer that lacks something has less in it than the whole one that is on file."""
    complete = db.execute(
        "select complete from figure_bucket where source = ? and start_at = ? and end_at = ?", (name, *span)
    ).fetchone()
    return complete is not None and bool(complete[0]) and not _covers(new, _held(db, name, span))


def _write_bucket(
    db: sqlite3.Connection, name: str, span: Span, new: dict[Key, int], now: int, *, complete: bool
) -> None:
    """Replace the figures of one bucket."""
    before = db.execute(
        "select fetched_at from figure_bucket where source = ? and start_at = ? and end_at = ?", (name, *span)
    ).fetchone()
    old = _held(db, name, span)
    _clear_overlapping(db, name, span)
    changed = new != old
    if changed:
        _delete(db, "figure", name, span)
        db.executemany(
            "insert into figure (source, start_at, end_at, line, model, label, project, api_key, currency, amount)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(name, *span, *key, amount) for key, amount in new.items()],
        )
    # Growing while it lasts is no revision: that is a change of what was read after its end.
    revised = before is not None and changed and before[0] >= span[1]
    db.execute(
        "insert into figure_bucket (source, start_at, end_at, first_at, fetched_at, grew_at, revisions, complete)"
        " values (?1, ?2, ?3, ?4, ?4, ?4, 0, ?5) on conflict (source, start_at, end_at) do update set"
        " fetched_at = excluded.fetched_at, complete = excluded.complete, revisions = revisions + ?6,"
        " grew_at = iif(?7, excluded.grew_at, grew_at)",
        (name, *span, now, int(complete), int(revised), int(changed)),
    )


def amounts(figures: Iterable[Figure], tax_included: Decimal = Decimal(0)) -> dict[Key, int]:
    """Nano of every group of one bucket: exact sums, rounded once, half to even; tax taken out of usage, to the nano.

    Raises SourceError for a sum no ledger can hold.
    """
    exact: dict[Key, Decimal] = {}
    for figure in figures:
        texts = (clean(text, _MAX_TEXT) for text in (figure.model, figure.label, figure.project, figure.key))
        key: Key = (figure.line, *texts, figure.currency)  # type: ignore[assignment]
        exact[key] = _EXACT.add(exact.get(key, Decimal(0)), figure.amount)
    found: dict[Key, int] = {}
    for key, amount in exact.items():
        whole = to_nano(amount)
        net = _net(amount, tax_included) if key[0] == USAGE else whole
        for part, nano in ((key, net), ((TAX, *key[1:]), whole - net)):
            if nano or part == key:
                found[part] = found.get(part, 0) + nano
    if any(abs(nano) >= 2**63 for nano in found.values()):
        raise SourceError("schema", "an amount in the answer is impossible; the last good figures are kept")
    return found


def _net(amount: Decimal, tax_included: Decimal) -> int:
    if not tax_included:
        return to_nano(amount)
    net = Fraction(amount) / (1 + Fraction(tax_included)) * NANO
    return divide_half_even(net.numerator, net.denominator)


def _covers(new: dict[Key, int], old: dict[Key, int]) -> bool:
    """Whether no currency has less usage in `new`."""

    def total(of: dict[Key, int], currency: str) -> int:
        return sum(nano for key, nano in of.items() if key[0] == USAGE and key[-1] == currency)

    return all(total(new, currency) >= total(old, currency) for currency in {key[-1] for key in old})


def _held(db: sqlite3.Connection, name: str, span: Span) -> dict[Key, int]:
    rows = db.execute(
        "select line, model, label, project, api_key, currency, amount from figure"
        " where source = ? and start_at = ? and end_at = ?",
        (name, *span),
    )
    return {(row[0], row[1], row[2], row[3], row[4], row[5]): row[6] for row in rows}


def _clear_others(db: sqlite3.Connection, name: str, kept: Container[Span]) -> None:
    """What the source no longer has: a bill that was taken out of its folder."""
    for span in db.execute("select start_at, end_at from figure_bucket where source = ?", (name,)).fetchall():
        if span not in kept:
            for table in ("figure", "figure_usage", "figure_bucket"):
                _delete(db, table, name, span)


def _clear_overlapping(db: sqlite3.Connection, name: str, span: Span) -> None:
    """Another cut of the same time, from before a setting was changed, would count it twice."""
    found = db.execute(
        "select start_at, end_at from figure_bucket where source = ? and start_at < ? and end_at > ?",
        (name, span[1], span[0]),
    ).fetchall()
    for other in found:
        if other != span:
            for table in ("figure", "figure_bucket"):
                _delete(db, table, name, other)


# --- usage ---


def _write_usage(db: sqlite3.Connection, name: str, reading: Reading) -> None:
    """An answer without any counts lacks them: what was known stays."""
    if not reading.usage:
        return
    of: dict[Span, list[Usage]] = {_span(bucket.start, bucket.end): [] for bucket in reading.buckets}
    for usage in reading.usage:
        of.setdefault(_span(usage.start, usage.end), []).append(usage)
    for span, parts in of.items():
        _delete(db, "figure_usage", name, span)
        db.executemany(
            "insert into figure_usage (source, start_at, end_at, model, project, api_key, requests, input_tokens,"
            " cached_tokens, output_tokens) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(name, *span, *group, *counts) for group, counts in _grouped(parts).items()],
        )


def _grouped(parts: Iterable[Usage]) -> dict[tuple[str, ...], list[int | None]]:
    """Added up by model, project and key; a sum of which a part is not known is not known."""
    found: dict[tuple[str, ...], list[int | None]] = {}
    for part in parts:
        group = tuple(clean(text, _MAX_TEXT) for text in (part.model, part.project, part.key))
        counts = [part.requests, part.input_tokens, part.cached_tokens, part.output_tokens]
        sums = found.setdefault(group, [0, 0, 0, 0])
        found[group] = [
            None if a is None or b is None else min(a + b, 2**63 - 1)
            for a, b in zip(sums, counts, strict=True)
        ]
    return found


# --- the source's row ---


def _describe(db: sqlite3.Connection, polled: Polled) -> None:
    kind = polled.kind
    db.execute(
        "insert into source (name, kind, provider, host, every_us) values (?1, ?2, ?3, ?4, ?5)"
        " on conflict (name) do update set kind = ?2, provider = ?3, host = ?4, every_us = ?5"
        " where kind <> ?2 or provider <> ?3 or host <> ?4 or every_us <> ?5",
        (polled.name, polled.source.kind, polled.provider, polled.host, polled.rhythm.every_us),
    )
    if kind is None:
        return
    note(
        db,
        polled.name,
        title=kind.title,
        series=kind.series,
        settles_us=round(kind.settles_after.total_seconds()) * 1_000_000,
        lacks=list(kind.lacks),
        overlaps=kind.overlaps,
        fee=[str(kind.fee[0]), kind.fee[1]] if kind.fee is not None else None,
    )


def _forget(db: sqlite3.Connection, name: str) -> None:
    db.execute("delete from source where name = ?", (name,))
    for table in _TABLES:
        db.execute(f"delete from {table} where source = ?", (name,))  # noqa: S608 - names are ours


def count(db: sqlite3.Connection, name: str, now: int, traffic: Traffic, *, failed: bool) -> None:
    """Add to the hour; `polls` was counted when the round began."""
    db.execute(
        "insert into poll_hour (source, hour_at, requests, bytes, failures) values (?1, ?2, ?3, ?4, ?5)"
        " on conflict (source, hour_at) do update set requests = requests + ?3, bytes = bytes + ?4,"
        " failures = failures + ?5",
        (name, now - now % HOUR_US, traffic.requests, traffic.bytes, int(failed)),
    )


def _delete(db: sqlite3.Connection, table: str, name: str, span: Span) -> None:
    db.execute(
        f"delete from {table} where source = ? and start_at = ? and end_at = ?",  # noqa: S608 - names are ours
        (name, *span),
    )


def _span(start: datetime, end: datetime) -> Span:
    return to_us(start), to_us(end)
