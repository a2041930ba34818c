"""When a model's prices hold: its rows by date and by window of the day or week, which one holds, and the next change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from costmon.shim.cards import PLAIN_CONTEXTS, Entry, Rates, moment_of, rates_at, resolve
from costmon.shim.timestamps import from_iso

_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AHEAD_DAYS = 8


class PriceRow(NamedTuple):
    """One row of a model's prices: from `since` until `until` (UTC, half-open, '' = open), within `window` ('' =
    always), for `context` ('' = the list price, else 'processing=batch'). `holds`: it is what counts now."""

    since: str
    until: str
    window: str
    context: str
    rates: Rates
    holds: bool


def price_rows(entry: Entry, at_us: int) -> tuple[PriceRow, ...]:
    """Every list price of `entry` as written; the last one that is active at `at_us` (µs UTC) holds."""
    rows = entry.get("prices", ())
    active = [index for index, row in enumerate(rows) if _active(row, at_us)]
    return tuple(
        _row(entry, row, "", holds=index == (active[-1] if active else -1)) for index, row in enumerate(rows)
    )


def variant_rows(entry: Entry, at_us: int) -> tuple[PriceRow, ...]:
    """The prices of other contexts (batch, flex, priority …); they replace only the rates they name."""
    return tuple(
        _row(entry, variant, _context(variant["when"]), holds=_active(variant, at_us))
        for variant in entry.get("variants", ())
        if variant["rates"] and not set(variant["when"].values()) <= PLAIN_CONTEXTS
    )


def since_of(entry: Entry, at_us: int) -> str:
    """From when on the list prices of `at_us` hold (UTC), '' if from the beginning or unknown."""
    rows = reversed(entry.get("prices", ()))
    return str(next((row.get("from", "") for row in rows if _active(row, at_us)), ""))


def next_change(entry: Entry, at_us: int) -> int | None:
    """The first instant (µs UTC) after `at_us` at which the list prices differ: a date, or a window within the next
    eight days."""
    now = rates_at(entry, moment_of(at_us))
    edges = sorted({edge for row in entry.get("prices", ()) for edge in _edges(row, at_us) if edge > at_us})
    return next((edge for edge in edges if rates_at(entry, moment_of(edge)) != now), None)


def _row(entry: Entry, row: Mapping[str, Any], context: str, *, holds: bool) -> PriceRow:
    plain = {"id": entry["id"], "prices": [{"rates": row["rates"]}]}
    card = resolve(plain, "", 0, {}, "", "")
    return PriceRow(
        row.get("from", ""), row.get("until", ""), _window(row), context, card.rates if card else {}, holds
    )


def _active(row: Mapping[str, Any], at_us: int) -> bool:
    return bool(rates_at({"prices": [row]}, moment_of(at_us)))


def _context(when: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(when.items()))


def _window(row: Mapping[str, Any]) -> str:
    """'01:00-04:00 UTC', 'Mon 01:00-04:00, Tue …' or ''."""
    if "time" in row:
        opens, closes = row["time"]
        return f"{opens}-{closes} UTC"
    if "week" not in row:
        return ""
    by_hours: dict[str, list[str]] = {}
    for opens, closes in row["week"]:
        day, minute = divmod(opens, 1440)
        whole = (opens, closes) == (0, 7 * 1440)
        hours = f"{_clock(minute)}-{_clock(minute + closes - opens)}"
        by_hours.setdefault("always" if whole else hours, []).append(_DAYS[day % 7])
    return ", ".join(f"{_days(days)} {hours}" for hours, days in by_hours.items()) + " UTC"


def _clock(minute: int) -> str:
    hours, minutes = divmod(minute, 60)
    return f"{hours:02d}:{minutes:02d}"


def _days(days: list[str]) -> str:
    """'Mon-Fri' for days in a row, else each."""
    places = [_DAYS.index(day) for day in days]
    if len(days) > 2 and places == list(range(places[0], places[0] + len(places))):
        return f"{days[0]}-{days[-1]}"
    return " ".join(days)


def _edges(row: Mapping[str, Any], at_us: int) -> Iterator[int]:
    for key in ("from", "until"):
        if key in row:
            text = row[key] if "T" in row[key] else f"{row[key]}T00:00:00"
            instant = from_iso(f"{text}+00:00")
            if instant is not None:
                yield instant
    midnight = at_us - at_us % _DAY_US
    if "time" in row:
        minutes = [int(text[:2]) * 60 + int(text[3:5]) for text in row["time"]]
        for day in range(_AHEAD_DAYS):
            yield from (midnight + day * _DAY_US + minute * _MINUTE_US for minute in minutes)
    if "week" in row:
        monday = at_us - at_us % _MINUTE_US - moment_of(at_us).minute * _MINUTE_US
        for week in range(2):
            start = monday + week * 7 * _DAY_US
            yield from (start + minute * _MINUTE_US for pair in row["week"] for minute in pair)
