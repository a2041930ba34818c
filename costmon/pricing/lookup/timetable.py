"""When a model's prices hold: its rows by date and by window of the day or week, which one holds, and the next change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from costmon.shim.cards import PLAIN_CONTEXTS, Card, Entry, Rates, moment_of, rates_at, resolve
from costmon.shim.timestamps import from_iso, until_text

_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AHEAD_DAYS = 8
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_A_MONDAY_US = 4 * _DAY_US  # 1970-01-05


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


class Share(NamedTuple):
    """A part of the week (0 to 1) in which the same cards hold, one for each context that was asked for; None where
    there is no price."""

    cards: tuple[Card | None, ...]
    share: Fraction


def week_shares(
    entry: Entry, provider: str, at_us: int, contexts: Sequence[Mapping[str, str]], source: str, version: str
) -> tuple[Share, ...]:
    """What holds in which share of a week by the rows of the date `at_us` (µs UTC), to the second; the shares sum to
    1, the largest comes first. One share when no price depends on the hour."""
    weekly = _of_date(entry, at_us)
    rows = [*weekly["prices"], *weekly["variants"]]
    cuts = sorted({0, _WEEK_S, *(cut for row in rows for cut in _cuts(row) if 0 < cut < _WEEK_S)})
    found: dict[tuple[str, ...], Share] = {}
    for start, end in pairwise(cuts):
        instant = _A_MONDAY_US + start * 1_000_000
        cards = tuple(resolve(weekly, provider, instant, one, source, version) for one in contexts)
        key = tuple(card.hash if card is not None else "" for card in cards)
        before = found[key].share if key in found else Fraction(0)
        found[key] = Share(cards, before + Fraction(end - start, _WEEK_S))
    return tuple(sorted(found.values(), key=lambda one: -one.share))


def date_change(entry: Entry, at_us: int, until_us: int) -> int | None:
    """The first instant in (`at_us`, `until_us`) from which prices of another date hold, whatever the hour; None without
    one."""
    now = _of_date(entry, at_us)
    rows = [*entry.get("prices", ()), *entry.get("variants", ())]
    dates = sorted({edge for row in rows for edge in _dates(row) if at_us < edge < until_us})
    return next((edge for edge in dates if _of_date(entry, edge) != now), None)


def windows_of(entry: Entry, at_us: int) -> tuple[str, ...]:
    """The hours, as texts, in which another list price holds by the rows of that date; () when there are none."""
    return tuple(dict.fromkeys(filter(None, (_window(row) for row in _of_date(entry, at_us)["prices"]))))


def window_said(entry: Entry, at_us: int) -> str:
    """Which window's price holds at `at_us` and until when, as a sentence; '' when no price depends on the hour."""
    if not windows_of(entry, at_us):
        return ""
    held = next((row.window for row in price_rows(entry, at_us) if row.holds), "")
    said = f"the price of {held} holds"
    if not held:
        said = f"the usual price holds, not that of {' or '.join(windows_of(entry, at_us))}"
    change = next_change(entry, at_us)
    return f"at {until_text(at_us)} {said}" + (
        f"; it changes on {until_text(change)}" if change is not None else ""
    )


def _of_date(entry: Entry, at_us: int) -> Entry:
    """`entry` with the rows whose dates take in `at_us`, and without the dates."""
    stamp = moment_of(at_us).stamp

    def of_date(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in row.items() if key not in ("from", "until")}
            for row in rows
            if row.get("from", "") <= stamp and stamp < row.get("until", "9999")
        ]

    return {
        **entry,
        "prices": of_date(entry.get("prices", ())),
        "variants": of_date(entry.get("variants", ())),
    }


def _cuts(row: Mapping[str, Any]) -> Iterator[int]:
    """The seconds of the week at which a row's window opens and closes."""
    for pair in row.get("week", ()):
        yield from (minute * 60 for minute in pair)
    for text in row.get("time", ()):
        second = sum(int(part) * unit for part, unit in zip(text.split(":"), (3600, 60, 1), strict=False))
        yield from (day * _DAY_S + second for day in range(7))


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


def _dates(row: Mapping[str, Any]) -> Iterator[int]:
    for key in ("from", "until"):
        if key in row:
            text = row[key] if "T" in row[key] else f"{row[key]}T00:00:00"
            instant = from_iso(f"{text}+00:00")
            if instant is not None:
                yield instant


def _edges(row: Mapping[str, Any], at_us: int) -> Iterator[int]:
    yield from _dates(row)
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
