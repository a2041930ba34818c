"""What `costmon poll` prints of a source: its state, and every figure with its window, age and state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from shutil import get_terminal_size
from typing import Any, NamedTuple

from costmon.cli.budget import table
from costmon.cli.values import wrapped
from costmon.insight.reconcile import bucket_state
from costmon.monitor.figures import is_ahead, source_status
from costmon.monitor.snapshot import BalanceStatus, SourceStatus
from costmon.shim.events import clean
from costmon.shim.money import format_money, to_nano
from costmon.shim.timestamps import to_datetime, to_us
from costmon.sources.providers.polling.byhand import Done
from costmon.sources.providers.protocol import USAGE
from costmon.store import Store
from costmon.store import figures as rows

_DAY = timedelta(days=1)


class Shown(NamedTuple):
    """A bucket with its figures; `state` as in `insight.values`, times µs."""

    bucket: rows.BucketRow
    figures: tuple[rows.FigureRow, ...]
    state: str


@dataclass(frozen=True, slots=True)
class Round:
    """A source after one round by hand: what the ledger has of it now. `said` is why nothing was read, if nothing was."""

    status: SourceStatus
    buckets: tuple[Shown, ...]
    usage: tuple[rows.UsageRow, ...]
    said: str
    requests: int
    bytes: int
    now: int


def round_of(store: Store, done: Done) -> Round:
    """What to print of `done`: the figures since the month began, and all that the round brought home."""
    now, name = store.now(), done.polled.name
    status = next(one for one in source_status(store.db, now) if one.name == name)
    month = to_datetime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts = [bucket.start for bucket in done.turn.reading.buckets] if done.turn.reading is not None else []
    since, until = to_us(min([month, *starts])), now + 400 * 86_400_000_000
    figures: dict[tuple[int, int], list[rows.FigureRow]] = {}
    for row in rows.figures(store.db, since, until):
        if row.source == name:
            figures.setdefault((row.start_at, row.end_at), []).append(row)
    settles_us = next((one.about.get("settles_us") for one in rows.sources(store.db) if one.name == name), 0)
    buckets = [
        Shown(
            bucket,
            tuple(sorted(figures.get((bucket.start_at, bucket.end_at), ()), key=_largest_first)),
            bucket_state(
                end=bucket.end_at,
                fetched_at=bucket.fetched_at,
                complete=bucket.complete,
                settles_us=int(settles_us or 0),
                ok_at=to_us(status.ok_at) if status.ok_at is not None else None,
                every_us=int(status.every / timedelta(microseconds=1)),
                now=now,
            ),
        )
        for bucket in rows.buckets(store.db, since, until)
        if bucket.source == name
    ]
    usage = [row for row in rows.usage(store.db, since, until) if row.source == name]
    traffic = done.turn.traffic
    return Round(status, tuple(buckets), tuple(usage), _said(done), traffic.requests, traffic.bytes, now)


def _largest_first(row: rows.FigureRow) -> tuple[object, ...]:
    return (row.line != USAGE, row.line, -row.amount, row.model, row.label, row.project, row.api_key)


def _said(done: Done) -> str:
    """Why this round asked nobody; '' when it did, or when what it says is in the source's state."""
    refused = done.turn.refused
    if done.elsewhere:
        return "read by another costmon just now"
    if refused is None:
        return "" if done.turn.booked else "another costmon read it meanwhile; this answer was dropped"
    until = f" until {to_datetime(refused.until):%H:%M} UTC" if refused.until is not None else ""
    said = {
        "often": f"it was read as often this hour as is allowed; not asked again{until}",
        "asked to wait": f"the provider asked to wait; not asked again{until}",
        "busy": "another costmon is reading it, and has not finished",
    }
    return said.get(refused.why, "not asked")


# --- for people ---


def to_text(one: Round) -> list[str]:
    """The lines of one source."""
    status = one.status
    lines = [wrapped(_headline(one), "")]
    if status.reason:
        lines.append(wrapped(f"{clean(status.reason, 500)}", "  "))
    if one.said:
        lines.append(wrapped(one.said, "  "))
    figures = list(_rows(one))
    if figures:
        lines.append(table(_fitted([_TITLES, *figures])))
    if status.month is not None:
        lines.append(f"  this month: {month_text(status)}")
    lines += [f"  {line}" for line in map(balance_text, status.balances)]
    lines += [wrapped(f"note: {note}", "  ") for note in status.notes]
    lines += [wrapped(f"lacks: {text}", "  ") for text in status.lacks]
    return lines


_TITLES = ("DAY (UTC)", "WHAT", "PROJECT, KEY", "AMOUNT", "STATE", "AGE")


def _headline(one: Round) -> str:
    status = one.status
    at = f" at {clean(status.host, 60)}" if status.host else ""
    head = f"{clean(status.name)} ({clean(status.title)}{at}): "
    if status.state == "ok":
        head += "ok"
    elif status.ok_at is None:
        head += f"NOT READ ({status.state or 'never'}), no figure yet"
    else:
        age = age_of(to_us(status.ok_at), one.now)
        head += f"NOT READ ({status.state}), the figures are {age} old"
    requests = "1 request" if one.requests == 1 else f"{one.requests} requests"
    return f"{head} · {requests}, {size(one.bytes)}" if one.requests else head


def _rows(one: Round) -> Iterator[tuple[str, ...]]:
    """A row for each figure; days in a row on which nothing was billed are one."""
    empty: list[Shown] = []
    for shown in (*one.buckets, None):
        if empty and (shown is None or shown.figures or not _goes_on(empty[-1], shown)):
            yield _row(empty, None, one.now)
            empty = []
        if shown is not None and not shown.figures:
            empty.append(shown)
        elif shown is not None:
            yield from (_row([shown], row, one.now) for row in shown.figures)


def _fitted(cells: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """WHAT and PROJECT, KEY cut so that the table fits the terminal (80 columns in a pipe)."""
    width = max(80, get_terminal_size((80, 24)).columns)
    sizes = [max(len(row[column]) for row in cells) for column in range(len(_TITLES))]
    room = width - sum(sizes) + sizes[1] + sizes[2] - 2 * (len(_TITLES) - 1)
    whose = min(sizes[2], max(15, room - sizes[1]))
    return [(row[0], _cut(row[1], room - whose), _cut(row[2], whose), *row[3:]) for row in cells]


def _cut(text: str, most: int) -> str:
    """Cut in the middle: the end often tells input from output."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


def _goes_on(before: Shown, after: Shown) -> bool:
    same = (before.state, before.bucket.complete) == (after.state, after.bucket.complete)
    return same and before.bucket.end_at == after.bucket.start_at


def _row(of: list[Shown], row: rows.FigureRow | None, now: int) -> tuple[str, ...]:
    first, last = of[0].bucket, of[-1].bucket
    age = age_of(min(shown.bucket.fetched_at for shown in of), now)
    window = window_text(to_datetime(first.start_at), to_datetime(last.end_at))
    state = of[0].state if first.complete else f"{of[0].state}, incomplete"
    if row is None:
        return (window, "nothing", "", "0", state, age)
    what = row.label or row.model or "all"
    what = what if row.line == USAGE else f"{row.line}: {what}"
    whose = ", ".join(filter(None, (row.project, row.api_key)))
    return (window, clean(what, 200), clean(whose, 200), format_money(row.amount, row.currency), state, age)


def status_table(sources: list[SourceStatus], now: int) -> str:
    """How each source stands; traffic is what an hour has, of the last 24."""
    titles = ("SOURCE", "STATE", "READ", "NEXT", "THIS MONTH", "REQ/H", "KB/H", "FEE")
    return table([titles, *(_cells(source, now) for source in sources)])


def _cells(source: SourceStatus, now: int) -> tuple[str, ...]:
    at = to_datetime(now)
    state = source.state or "new"
    if source.reading:
        state = "reading"
    elif source.stale and state == "ok":
        state = "stale"
    return (
        clean(source.name, 20),
        state,
        f"{age_of(to_us(source.ok_at), now)} ago" if source.ok_at is not None else "never",
        _next(source, at),
        _month_cell(source),
        f"{source.requests_day / 24:.1f}",
        f"{source.bytes_day / 24 / 1000:.1f}",
        f"{format_money(*source.fee)} a request" if source.fee is not None else "-",
    )


def _next(source: SourceStatus, at: datetime) -> str:
    if source.next_at is None:
        return "when changed" if source.state else "due"
    return "due" if source.next_at <= at else f"in {span(source.next_at - at)}"


def remarks(source: SourceStatus, now: int) -> Iterator[str]:
    """What else there is to say of a source, in sentences."""
    if source.reason:
        yield clean(source.reason, 500)
        if source.next_at is None:
            yield f"asked again when its key or its settings change, or by: costmon poll --once --source {source.name}"
    if source.stale and source.ok_at is not None and is_ahead(to_us(source.ok_at), now):
        yield (
            f"it was read when the clock said {source.ok_at:%Y-%m-%d %H:%M} UTC, which is still to come; none of its "
            "figures is final before it is read again"
        )
    if source.fees_day is not None and source.fees_day.nano:
        yield f"its {source.requests_day} requests of the last 24 hours cost {format_money(*source.fees_day)}"
    if source.month_missing_days or source.month_others:
        yield f"this month: {month_text(source)}"
    for balance in source.balances:
        yield balance_text(balance)
    yield from source.notes


def _month_cell(source: SourceStatus) -> str:
    if source.month is None:
        return "-"
    more = " + …" if source.month_others else ""
    least = "≥ " if source.month_missing_days else ""
    return f"{least}{format_money(*source.month)}{more} {source.month_state}"


def month_text(source: SourceStatus) -> str:
    """'$12.40, partial', '≥ $3.10 + ₩200, settling, 2 days missing'."""
    if source.month is None:
        return "unknown"
    sums = " + ".join(format_money(*money) for money in (source.month, *source.month_others))
    missing = source.month_missing_days
    if not missing:
        return f"{sums} {source.month_state}"
    return f"≥ {sums} {source.month_state}, {missing} day{'s' if missing > 1 else ''} missing"


def balance_text(balance: BalanceStatus) -> str:
    """'balance $12.30 of $20.00, runs out about 2026-12-03, 4 min old'."""
    what = "balance" if balance.spendable else "left of a limit"
    name = f" {clean(balance.label, 40)}" if balance.label else ""
    parts = [f"{what}{name}: {_quantity(balance.amount, balance.unit)}"]
    if balance.limit is not None:
        parts[0] += f" of {_quantity(balance.limit, balance.unit)}"
    if balance.per_hour is not None:
        parts.append(f"{_quantity(balance.per_hour, balance.unit)} an hour")
    if balance.run_out is not None:
        parts.append(f"runs out about {balance.run_out:%Y-%m-%d}")
    if balance.resets_at is not None:
        parts.append(f"filled up on {balance.resets_at:%Y-%m-%d}")
    return ", ".join([*parts, f"{span(balance.age)} old"])


def _quantity(amount: Any, unit: str) -> str:
    if len(unit) == 3 and unit.isascii() and unit.isupper() and abs(amount) < 10**9:
        return format_money(to_nano(amount), unit)
    text = f"{amount:,f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {clean(unit, 30)}"


def window_text(start: datetime, end: datetime) -> str:
    """'2026-11-20', '2026-11' for a whole month, else both ends."""
    if end - start == _DAY and start.hour == 0 and start.minute == 0:
        return f"{start:%Y-%m-%d}"
    if start.day == end.day == 1 and timedelta(days=28) <= end - start <= timedelta(days=31):
        return f"{start:%Y-%m}"
    if start.hour == end.hour == 0:
        return f"{start:%m-%d} – {end - _DAY:%m-%d}"
    return f"{start:%m-%d %H:%M} – {end:%m-%d %H:%M}"


def span(length: timedelta) -> str:
    """'12 s', '3 min', '5 h', '2 d'."""
    seconds = max(0, int(length.total_seconds()))
    for size_s, unit in ((172_800, "d"), (7200, "h"), (120, "min")):
        if seconds >= size_s:
            return f"{seconds // {'d': 86_400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


def age_of(at: int, now: int) -> str:
    """How long ago `at` was (µs UTC); '?' where a clock that was ahead told it."""
    return "?" if is_ahead(at, now) else span(timedelta(microseconds=max(0, now - at)))


def size(count: int) -> str:
    """'812 bytes', '12.3 KB'."""
    return f"{count} bytes" if count < 1000 else f"{count / 1000:,.1f} KB"
