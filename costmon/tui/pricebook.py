"""Prices and exchange rates for the pages that work with them, and who opens them for the app."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

from costmon import paths
from costmon.pricing.lookup.listing import Listed, listed
from costmon.pricing.lookup.show import Catalogue, Found, open_catalogue
from costmon.shim.clock import clock_of
from costmon.shim.money import PAR, Rate

if TYPE_CHECKING:
    from costmon.shim.policy import Policy

_MINUTE_US = 60_000_000
_MOST_KEPT = 400


class PriceBook:
    """What prices and rates were when it was opened. Looking something up takes up to 0.1 s: do it in a worker.

    Args:
        currency: the display currency.
        assumed_output: output tokens of a call that says nothing of them.
        now: µs UTC by the clock of the home.
        problems: one sentence for each part that could not be read.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        currency: str = "USD",
        rate: Callable[[str, str, int], Rate | None] | None = None,
        assumed_output: int = 1000,
        now: Callable[[], int],
        problems: tuple[str, ...] = (),
    ) -> None:
        self.catalogue = catalogue
        self.currency = currency
        self.assumed_output = assumed_output
        self.problems = (*catalogue.problems, *problems)
        self._rate = rate
        self._now = now
        self._found: dict[tuple[str, int], Found | None] = {}
        self._rows: tuple[Listed, ...] = ()
        self._rows_at = 0

    def now(self) -> int:
        """µs UTC, cut to the minute."""
        now = self._now()
        return now - now % _MINUTE_US

    def find(self, model: str, at_us: int) -> Found | None:
        """What `model` is priced by; None is unknown."""
        key = (model, at_us)
        if key not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[key] = self.catalogue.find(model, None, at_us)
        return self._found[key]

    def similar(self, model: str) -> tuple[str, ...]:
        """Names like an unknown one, to suggest; never to price by."""
        return self.catalogue.similar(model)

    def rate(self, base: str, quote: str, at_us: int) -> Rate | None:
        """Units of `quote` for one of `base`; None when no rate is on file."""
        if base == quote:
            return PAR
        return self._rate(base, quote, at_us) if self._rate is not None else None

    def rows(self) -> tuple[Listed, ...]:
        """Every model with its prices of now (to the quarter of an hour), by provider and name."""
        now = self.now()
        if not self._rows or abs(now - self._rows_at) >= 15 * _MINUTE_US:
            self._rows, self._rows_at = tuple(listed(self.catalogue, now)), now
        return self._rows

    def names(self) -> tuple[str, ...]:
        """Every model's name once, in order, to complete what is being typed."""
        found = {
            entry["id"]
            for provider in self.catalogue.providers
            for _, _, _, models in self.catalogue.layers(provider)
            for entry in models
            if entry["id"] != "*"
        }
        return tuple(sorted(found, key=lambda name: (name.lower(), name)))

    def about(self) -> str:
        """'genai-prices 0.2.3, checked 11 days ago': how old the prices are."""
        if not self.catalogue.source:
            return "the bundled prices cannot be read"
        return f"{self.catalogue.source} {self.catalogue.version}{self._checked(self.catalogue.checked)}"

    def _checked(self, checked: date | None) -> str:
        if checked is None:
            return ""
        days = (datetime.fromtimestamp(self._now() // 1_000_000, UTC).date() - checked).days
        if days < 1:
            return ", checked today"
        return f", checked {days} day{'' if days == 1 else 's'} ago"


class PriceSource(Protocol):
    """`open` is called in a worker thread, each time a page that needs prices comes up."""

    def open(self) -> PriceBook:
        """The prices and rates of now. Whatever it raises is shown, and it is asked again the next time."""
        ...


class HomePrices:
    """The prices and rates of this process's home; files that have not changed are not read again."""

    def __init__(self) -> None:
        self._read: tuple[object, Catalogue] | None = None
        self._book: PriceBook | None = None

    def open(self) -> PriceBook:
        home = paths.state_home()
        user_file = paths.user_prices_file()
        stamp = (home, *_stamps(user_file))
        if self._read is None or self._read[0] != stamp:
            self._read, self._book = (stamp, open_catalogue(user_file)), None
        policy, currency, problem = _rates(home)
        book = PriceBook(
            self._read[1],
            currency=currency,
            rate=policy.rate if policy else None,
            assumed_output=policy.assumed_output if policy else 1000,
            now=clock_of(home),
            problems=(problem,) if problem else (),
        )
        if self._book is not None:
            book._rows, book._rows_at = self._book._rows, self._book._rows_at
        self._book = book
        return book


def _rates(home: str) -> tuple[Policy | None, str, str]:
    """(exchange rates and assumptions, the display currency, what is wrong) as the ledger has them compiled."""
    from costmon.errors import LedgerError
    from costmon.shim import policy
    from costmon.store import open_ledger

    if not os.path.exists(paths.ledger_file()):
        return None, "USD", ""
    try:
        store = open_ledger(home)
    except LedgerError as error:
        return None, "USD", f"no exchange rates: {error}"
    try:
        row = store.db.execute("select value from setting where key = 'display_currency'").fetchone()
        return policy.load(store.db), (row[0] if row and row[0] else "USD"), ""
    finally:
        store.close()


def _stamps(user_file: str) -> list[tuple[str, int, int]]:
    """Every price file with its time and size."""
    from costmon.pricing.catalog.layers import user_files

    folder = paths.bundled("pricing")
    try:
        files = [*user_files(user_file), *(os.path.join(folder, name) for name in sorted(os.listdir(folder)))]
    except OSError:
        return []
    found = []
    for path in files:
        try:
            stat = os.stat(path)
        except OSError:
            continue
        found.append((path, stat.st_mtime_ns, stat.st_size))
    return found
