"""Everything known of one model's price, over the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen

from costmon.pricing.lookup.listing import Listed
from costmon.pricing.lookup.timetable import PriceRow, next_change, price_rows, variant_rows
from costmon.shim.cards import LAYERS, Card, Entry, Rates, price_version, resolve
from costmon.shim.timestamps import to_datetime
from costmon.tui import keys
from costmon.tui import lines as picture
from costmon.tui.format import safe
from costmon.tui.lines import EMPTY, Line, line, wrapped
from costmon.tui.pricebook import PriceBook
from costmon.tui.pricelist import per_text, price_text
from costmon.tui.widgets.panel import Panel

_MOST = 12


class CardPanel(Panel):
    """Lines that depend on nothing but the width."""

    can_focus = True

    def __init__(self, make: Callable[[int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def _compute(self, width: int) -> list[Line]:
        return [picture.crop(one, width) for one in self._make(width)] if width > 0 else []


class RateCardPage(ModalScreen[None]):
    BINDINGS = [  # noqa: RUF012
        Binding("escape,enter,q,o", "dismiss", "Close", id="card.close"),
        *keys.SWITCH,
        keys.THEME,
    ]

    def __init__(self, book: PriceBook, listed: Listed) -> None:
        super().__init__()
        at_us = book.now()
        found = card_of(book, listed, at_us)
        self._panel = CardPanel(lambda width: card_lines(found, listed, book.about(), at_us, width))
        self._panel.border_title = Content(safe(f"{listed.provider} {listed.model}"))
        self._panel.border_subtitle = "esc closes"

    def compose(self) -> ComposeResult:
        yield self._panel


def card_of(book: PriceBook, listed: Listed, at_us: int) -> tuple[Card, Entry] | None:
    """The card of one row of the list. Two entries of a provider may have one name: it is the one with the row's
    prices."""
    for layer, source, version, entries in book.catalogue.layers(listed.provider):
        for entry in entries:
            if LAYERS[layer] != listed.layer or entry["id"] != listed.model:
                continue
            card = resolve(entry, listed.provider, at_us, {}, source, version)
            if card is not None and card.rates == listed.rates:
                return card, entry
    return None


def card_lines(
    found: tuple[Card, Entry] | None, listed: Listed, about: str, at_us: int, width: int
) -> list[Line]:
    """The card that holds now, every price by date, window and context, and where it is from."""
    if found is None:
        return wrapped(
            "This price has changed since the list was made; close it and open it again.", width, "warn"
        )
    card, entry = found
    lines = wrapped(safe(f"{price_version(card)} · layer {listed.layer}"), width, "dim")
    if "file" in entry:
        lines += wrapped(f"in the price file {safe(str(entry['file']))}", width, "dim")
    elif listed.layer == "base":
        lines += wrapped(about, width, "dim")
    if entry.get("deprecated"):
        lines += wrapped("The provider has announced its end.", width, "warn")
    rows = price_rows(entry, at_us)
    since = f" since {listed.since[:10]}" if listed.since else ""
    lines += [EMPTY, line((f"Now{since}", "name")), *_rates(card.rates, card.currency)]
    change = next_change(entry, at_us)
    if change is not None:
        lines += wrapped(f"The next change is on {to_datetime(change):%Y-%m-%d %H:%M} UTC.", width, "warn")
    for row in rows if len(rows) > 1 else ():
        lines += _row(row, card.currency, width)
    for row in variant_rows(entry, at_us):
        lines += _row(row, card.currency, width)
    return lines


def _row(row: PriceRow, currency: str, width: int) -> list[Line]:
    dates = f"{row.since[:16] or 'the beginning'} to {row.until[:16] or 'further notice'}"
    parts = [safe(row.context), dates, safe(row.window), "holds now" if row.holds else ""]
    head = " · ".join(part for part in parts if part)
    style = "name" if row.holds else "dim"
    return [EMPTY, *wrapped(head, width, style, _MOST), *_rates(row.rates, currency)]


def _rates(rates: Rates, currency: str) -> list[Line]:
    texts = {unit: price_text(rate["price"], currency) for unit, rate in rates.items()}
    room = max(map(len, texts.values()), default=0)
    lines: list[Line] = []
    for unit, rate in rates.items():
        lines.append(line((f"  {texts[unit]:>{room}}", "strong"), f" per {per_text(unit, rate['per'])}"))
        lines += [line(f"  {'':>{room}} ", (text, "dim")) for text in _steps(rate, currency)]
    return lines


def _steps(rate: dict[str, Any], currency: str) -> list[str]:
    tiers = [
        f"above {above:,} input tokens {price_text(price, currency)} for all of them"
        for above, price in rate.get("tiers", ())
    ]
    graduated = [
        f"each above {_amount(above)} in a month {price_text(price, currency)}"
        for above, price in rate.get("graduated", ())
    ]
    return [*tiers, *graduated]


def _amount(above: object) -> str:
    return f"{above:,}" if isinstance(above, int) else str(above)
