"""Time cut into the pieces that become events, and how much of a resource a piece is. Pure; µs UTC, whole seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from costmon.budget.periods import Period, period_at
from costmon.pricing.files.resources import ResourcePrice

SECOND_US = 1_000_000
SLOT_US = 900 * SECOND_US


def slot_of(at_us: int) -> int:
    """The start of the quarter hour that contains `at_us`."""
    return at_us - at_us % SLOT_US


def whole_second(at_us: int) -> int:
    """The second that contains `at_us`."""
    return at_us - at_us % SECOND_US


def next_cut(at_us: int, price: ResourcePrice | None) -> int:
    """Where the piece that begins at `at_us` ends at the latest: its quarter hour does, or its price."""
    end = slot_of(at_us) + SLOT_US
    change = price.next_change(at_us) if price is not None else None
    return end if change is None else min(end, change)


def pieces(start_us: int, end_us: int, price: ResourcePrice | None) -> Iterator[tuple[int, int]]:
    """The pieces that tile [start, end)."""
    while start_us < end_us:
        cut = min(end_us, next_cut(start_us, price))
        yield start_us, cut
        start_us = cut


def stretches(
    start_us: int, end_us: int, price: ResourcePrice | None, months: Months
) -> Iterator[tuple[int, int]]:
    """[start, end) cut only where a month or a price ends: what it comes to in all is what its pieces come to."""
    while start_us < end_us:
        change = price.next_change(start_us) if price is not None else None
        cut = min(end_us, months.at(start_us).end_us, end_us if change is None else change)
        yield start_us, cut
        start_us = cut


def billed(elapsed_us: int, increment_s: int) -> int:
    """The seconds that are billed for a run so long: begun steps of `increment_s` count whole."""
    return -(-elapsed_us // (increment_s * SECOND_US)) * increment_s


def share(total: int, month: Period, at_us: int) -> int:
    """How much of a month's `total` has been used by `at_us`, if it is used evenly; the shares of pieces add up to it."""
    return total * (at_us - month.start_us) // (month.end_us - month.start_us)


def event_id(resource: str, start_us: int) -> str:
    """The id of the event of a resource's piece that begins at `start_us`: a UUIDv7 that is always the same, so that a
    piece can be accounted once only."""
    digits = f"{start_us // 1000:012x}"[-12:]
    mixed = int.from_bytes(hashlib.sha256(f"{start_us}\0{resource}".encode()).digest()[:10], "big")
    tail = (
        f"{0x7000 | mixed >> 68 & 0xFFF:04x}{0x8000 | mixed >> 52 & 0x3FFF:04x}{mixed & (1 << 48) - 1:012x}"
    )
    return f"{digits[:8]}-{digits[8:]}-{tail[:4]}-{tail[4:8]}-{tail[8:]}"


class Months:
    """The calendar months of a zone; the one asked for last is at hand."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._last = Period(0, 0, "")

    def at(self, at_us: int) -> Period:
        """The month that contains `at_us`."""
        if not self._last.start_us <= at_us < self._last.end_us:
            self._last = period_at("month", self.zone, at_us)
        return self._last


def month_seconds(month: Period) -> int:
    """Its real length."""
    return (month.end_us - month.start_us) // SECOND_US
