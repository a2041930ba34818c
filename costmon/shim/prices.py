"""Rate cards for the calls of this process: looked up in the ledger's compiled catalogue, then kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from costmon.shim import cards, catalogue, matching
from costmon.shim.events import Usage
from costmon.shim.faults import guarded
from costmon.shim.money import NANO, divide_half_even

if TYPE_CHECKING:
    from sqlite3 import Connection

# Where a model of an unknown host is looked for after its API's family: the makers themselves.
MAKERS = (
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "x-ai",
    "cohere",
    "moonshotai",
    "zhipuai",
    "minimax",
)
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_MAX_CACHED = 2000
_BASE = 2
_LAST_RESORT_PER_TOKEN = (
    75_000  # nano USD: $75 per million, the dearest maker's list price of a current text model
)
_Rows = list[tuple[int, str, str, Iterable[dict[str, Any]]]]


class Prices:
    """The catalogue of one ledger, as far as this process needed it."""

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}
        self._cards: dict[tuple[str, str, str, int], cards.Card | None] = {}
        self._dearest: dict[str, cards.Card | None] = {}
        self._kept: set[str] = set()
        self._pending: set[str] = set()
        self._step_us = _MINUTE_US  # for so long a card holds: prices seldom change within a minute

    def card(
        self, db: Connection, provider: str, model: str, at: int, tier: str, *, anywhere: bool
    ) -> cards.Card | None:
        """The card of `model` at `at` (µs UTC), or None when its price is unknown.

        `anywhere`: the host is no known provider, so a catalogue model of any maker costs its list price.
        """
        asked = tier + ("*" if anywhere else "")
        key = (provider, model, asked, at // self._step_us)
        if key in self._cards:
            return self._cards[key]
        if len(self._cards) >= _MAX_CACHED:
            self._cards.clear()
        found = self._find(db, provider, model, at, tier, anywhere=anywhere)
        # Only now are the rows known, and with them how long a card holds.
        self._cards[provider, model, asked, at // self._step_us] = found
        return found

    def assumed(self, db: Connection, provider: str, family: str, at: int, setting: str, usage: Usage) -> int:
        """What enforcement assumes a call of unknown price costs, nano USD.

        `setting` is `dearest` (the provider's dearest current text model) or a rate in USD per million tokens.
        """
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        if setting not in ("dearest", "refuse"):
            from decimal import Decimal

            rate = Decimal(setting)
            return divide_half_even(int(rate * NANO) * tokens, 1_000_000)
        card = self._dearest_of(db, provider, at) or self._dearest_of(db, family, at)
        plain = {name: usage.get(name, 0) for name in ("input_tokens", "output_tokens")}
        priced = price(card, plain) if card is not None and card.currency == "USD" else None
        if priced is None:
            return _LAST_RESORT_PER_TOKEN * tokens
        return priced.nano or 0

    def keep(self, db: Connection, card: cards.Card, now: int) -> None:
        """Every card ever used stays in the ledger, so that its costs can be explained for good."""
        if card.hash not in self._kept:
            db.execute(
                "insert or ignore into rate_card (hash, card, source, version, first_seen_at) values (?, ?, ?, ?, ?)",
                (card.hash, card.canonical, card.source, card.version, now),
            )
            self._pending.add(card.hash)

    def committed(self) -> None:
        """The transaction of the last `keep` is in the ledger."""
        if self._pending:
            self._kept |= self._pending
            self._pending.clear()

    def _find(
        self, db: Connection, provider: str, model: str, at: int, tier: str, *, anywhere: bool
    ) -> cards.Card | None:
        context = {"service_tier": tier} if tier else {}
        names = [(provider, model)]
        if anywhere:
            served = matching.served_by(model)
            names = [*([served] if served else ()), *names]
            names += [(maker, model) for maker in MAKERS if maker != provider]
        for name, spelling in names:
            card = cards.find_card(lambda of: self._of(db, of), name, spelling, at, context)
            if card is not None:
                return card
        return None

    def _of(self, db: Connection, provider: str) -> _Rows:
        if provider not in self._rows:
            found = db.execute(
                "select layer, source, version, models from catalog where provider = ? order by layer",
                (provider,),
            ).fetchall()
            self._rows[provider] = [
                (layer, str(source), str(version), models)
                for layer, source, version, text in found
                if (models := _models(text)) is not None
            ]
            if any(_changes_within_a_minute(layer, text) for layer, *_, text in found):
                self._step_us = _SECOND_US
        return self._rows[provider]

    def _dearest_of(self, db: Connection, provider: str, at: int) -> cards.Card | None:
        if provider not in self._dearest:
            layers = self._of(db, provider)
            found = [
                guarded("find a price to assume", catalogue.dearest, models, provider, at, source, version)
                for _, source, version, models in layers[-1:]
            ]
            self._dearest[provider] = found[0] if found else None
        return self._dearest[provider]


def price(card: cards.Card, usage: Usage) -> cards.Priced | None:
    """`cards.price`, and None for a card that cannot price, being made of a broken entry."""
    return guarded("price a call", cards.price, card, usage)


def _models(text: object) -> Iterable[dict[str, Any]] | None:
    """The entries of a row, None if it has none."""
    try:
        if not isinstance(text, str):
            raise TypeError
        found = matching.Models(text) if "\n" in text else json.loads(text)
        if not isinstance(found, list | matching.Models):
            raise TypeError
        return found
    except Exception as error:
        matching.odd(error)
        return None


def _changes_within_a_minute(layer: int, text: object) -> bool:
    """Whether a row has a price that may change on a second that is no full minute."""
    if not isinstance(text, str):
        return False
    if layer == _BASE:  # has dates, and times of day with or without seconds
        return any(part.partition("]")[0].count(":") > 2 for part in text.split('"time":[')[1:])
    import re

    return re.search(r'T\d\d:\d\d:(?!00)\d\d"', text) is not None
