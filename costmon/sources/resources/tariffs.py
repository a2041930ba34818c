"""The rate cards of resources, for pricing their events anew."""

from __future__ import annotations

from sqlite3 import Connection

from costmon.pricing.files.resources import ResourceRate, card_at
from costmon.shim.cards import Card
from costmon.shim.timestamps import to_datetime
from costmon.sources.resources.definitions import configured, parse
from costmon.sources.resources.pieces import Months, month_seconds


class Tariffs:
    """The prices of the resources that are configured now, as the ledger has them.

    An event of source 'meter' has the resource's name as its model, and its usage (with `before`, what the month had used)
    in `units`; `shim.cards.price(card, units)` is what it costs.
    """

    def __init__(self, db: Connection) -> None:
        self._definitions = configured(db)
        self._months = Months(self._definitions.zone)
        self._cards: dict[tuple[str, ResourceRate, int, int], Card | None] = {}

    def card(self, name: str, at_us: int) -> Card | None:
        """The card of the resource `name` at `at_us` (µs UTC); None when it is not configured or has no price then."""
        written = self._definitions.written.get(name)
        if written is None:
            return None
        resource = parse(written)
        price = self._definitions.price_of(resource)
        if price is None:
            return None
        rate, month = price.rate_at(at_us), self._months.at(at_us)
        if rate is None:
            return None
        key = (name, rate, month.start_us, to_datetime(at_us).year)
        if key not in self._cards:
            self._cards[key] = card_at(
                price, at_us, month_seconds(month), provider=resource.provider, model=resource.name
            )
        return self._cards[key]
