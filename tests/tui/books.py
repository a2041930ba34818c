"""Price books for tests: the bundled catalogue, rates of a made-up day, and a clock that stands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache

from costmon.pricing.lookup.show import Catalogue, open_catalogue
from costmon.shim.money import Rate
from costmon.shim.timestamps import to_us
from costmon.tui.pricebook import PriceBook

from .samples import NOW

NOW_US = to_us(NOW)
WON = {("USD", "KRW"): Rate(1380, 1), ("KRW", "USD"): Rate(1, 1380)}


@cache
def bundled() -> Catalogue:
    return open_catalogue(None)


def book(currency: str = "USD", catalogue: Catalogue | None = None, rates: object = WON) -> PriceBook:
    known = dict(rates)  # type: ignore[call-overload]
    return PriceBook(
        catalogue or bundled(),
        currency=currency,
        rate=lambda base, quote, at: known.get((base, quote)),
        now=lambda: NOW_US,
    )


class Shelf:
    """A source that has a book, counts how often it is opened, and may fail or wait."""

    def __init__(self, made: Callable[[], PriceBook] = book) -> None:
        self.opened = 0
        self.gate = threading.Event()
        self.gate.set()
        self._made = made
        self._book: PriceBook | None = None

    def open(self) -> PriceBook:
        self.opened += 1
        self.gate.wait(5)
        if self._book is None:
            self._book = self._made()
        return self._book
