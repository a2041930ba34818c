"""The card an event was priced by, found again: by the same names, in the same order, at the same instant as the shim.

An event keeps the name that was asked for; the shim looks for the model that answered first. Where that was another one,
the card that the event's price_version names tells which. Cards are looked up once for each stretch of time in which no
price of any of these names changes, not once for each event.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from costmon.shim.cards import Card, resolve
from costmon.shim.matching import Entry, find
from costmon.shim.policy import Policy
from costmon.shim.prices import Prices
from costmon.shim.timestamps import to_us
from costmon.shim.usage import APIS, CHAT, provider_of

_MINUTE_US = 60_000_000
_WEEK = 7 * 1440
_THURSDAY = 3 * 1440  # 1970-01-01
_Layer = tuple[int, str, str, list[Entry]]
_Name = tuple[str, str]
_Asked = tuple[str, str, str | None, str, str, str | None]


class Asked(NamedTuple):
    """What a card is looked up by; `version` is the price_version the event has."""

    provider: str
    model: str
    service_tier: str | None
    api: str
    endpoint: str
    version: str | None


class _Answered(NamedTuple):
    """What prices the model that answered: its entries, and its card at an instant."""

    entries: list[Entry]
    look: Callable[[int], Card | None]


class Cards:
    """The cards of one ledger's catalogue and config, as they are now."""

    def __init__(self, db: sqlite3.Connection, rules: Policy) -> None:
        self._db = db
        self._hosts = rules.hosts
        self._prices = Prices()
        self._everything = _Everything()
        self._timelines: dict[_Asked, _Timeline] = {}

    def card(self, asked: _Asked, at: int) -> Card | None:
        """The card that prices `asked` (the fields of an Asked) at `at` (µs UTC), None when nothing does."""
        timeline = self._timelines.get(asked)
        if timeline is None:
            timeline = self._timelines[asked] = self._timeline(Asked._make(asked))
        return timeline.card(at)

    def assumed(self, provider: str, at: int, setting: str, usage: dict[str, int]) -> int:
        """What enforcement assumes such a call costs, nano USD."""
        return self._prices.assumed(
            self._db, provider, provider, at, "dearest" if setting == "refuse" else setting, usage
        )

    def keep(self, card: Card, now: int) -> None:
        """Inside a transaction: the ledger keeps every card it ever used."""
        self._prices.keep(self._db, card, now)

    def committed(self) -> None:
        """The transaction of the last `keep` is in the ledger."""
        self._prices.committed()

    def _timeline(self, asked: Asked) -> _Timeline:
        anywhere = self._anywhere(asked)
        entries = self._everything.entries(self._db, asked.provider, asked.model, anywhere=anywhere)
        stored = self._stored(asked.version)
        tier = asked.service_tier or ""
        answered = None
        if stored is not None and stored[0] not in {(provider, entry["id"]) for provider, entry in entries}:
            answered = self._answered(stored[0], stored[1], tier)

        def look(at: int) -> Card | None:
            own = self._prices.card(self._db, asked.provider, asked.model, at, tier, anywhere=anywhere)
            if answered is None or (own is not None and own.source == "user"):
                return own
            return answered.look(at) or own

        return _Timeline([*(entry for _, entry in entries), *(answered.entries if answered else ())], look)

    def _answered(self, name: _Name, digest: str, tier: str) -> _Answered | None:
        """By the name of the card itself: the model that answered was another than the one that was asked for."""
        provider, model = name
        found = [
            (source, version, entry)
            for _, source, version, models in self._everything.layers(self._db, provider)
            for entry in _by_id(models, model)
        ]
        if not found:
            return None
        context = {"service_tier": tier} if tier else {}

        def look(at: int) -> Card | None:
            cards = [
                resolve(entry, provider, at, context, source, version) for source, version, entry in found
            ]
            known = [card for card in cards if card is not None]
            first = known[0] if known else None
            # Two entries of one layer may bear one id.
            twins = [
                c for c in known if first is not None and (c.source, c.model) == (first.source, first.model)
            ]
            return next((card for card in twins if card.hash == digest), first)

        return _Answered([entry for *_, entry in found], look)

    def _stored(self, version: str | None) -> tuple[_Name, str] | None:
        """(provider, model) of the card a price_version names, and its hash."""
        digest = (version or "").rpartition(":")[2]
        row = self._db.execute("select card from rate_card where hash = ?", (digest,)).fetchone()
        if row is None:
            return None
        card = json.loads(row[0])
        return (card["provider"], card["model"]), digest

    def _anywhere(self, asked: Asked) -> bool:
        """Whether nothing but the shape of the call named its provider (see `shim.usage.hosts`)."""
        families = {api.family for api in APIS if api.name == asked.api} or {"openai", "anthropic"}
        if asked.provider not in families:
            return False
        api = CHAT._replace(family=asked.provider)
        host, _, port = asked.endpoint.rpartition(":")
        if not host or not port.isdecimal():
            host, port = asked.endpoint, ""
        number = int(port) if port else None
        found = provider_of(api, host, number, self._hosts)
        if found.provider != asked.provider:  # the config has named the host since
            found = provider_of(api, host, number, {})
        return found.anywhere


class _Everything(Prices):
    """Looks as the shim does, past every entry it finds: what it sees may price the name at one time or another."""

    def __init__(self) -> None:
        super().__init__()
        self._bare: dict[str, list[_Layer]] = {}
        self._seen: list[tuple[str, Entry]] = []

    def entries(
        self, db: sqlite3.Connection, provider: str, model: str, *, anywhere: bool
    ) -> list[tuple[str, Entry]]:
        """(provider, entry) of all of them."""
        self._seen = []
        self._find(db, provider, model, 0, "", anywhere=anywhere)
        return self._seen

    def layers(self, db: sqlite3.Connection, provider: str) -> list[_Layer]:
        """A provider's rows of the catalogue."""
        return [(*row, list(models)) for *row, models in super()._of(db, provider)]  # type: ignore[misc]

    def _of(self, db: sqlite3.Connection, provider: str) -> Any:
        if provider not in self._bare:
            self._bare[provider] = [
                (layer, source, version, [_Seen(entry, provider, self._see) for entry in models])
                for layer, source, version, models in self.layers(db, provider)
            ]
        return self._bare[provider]

    def _see(self, provider: str, entry: Entry) -> None:
        self._seen.append((provider, entry))


class _Seen(dict[str, Any]):
    """An entry without prices, that tells when it is asked for them."""

    def __init__(self, entry: Entry, provider: str, see: Callable[[str, Entry], None]) -> None:
        super().__init__({key: value for key, value in entry.items() if key not in ("prices", "variants")})
        self._see, self._provider, self._entry = see, provider, entry

    def get(self, key: str, default: Any = None, /) -> Any:
        if key == "prices":
            self._see(self._provider, self._entry)
        return super().get(key, default)


class _Timeline:
    """One name's cards over time: `look` is asked once for each stretch between two edges."""

    def __init__(self, entries: Iterable[Entry], look: Any) -> None:
        rows = [row for entry in entries for row in (*entry.get("prices", ()), *entry.get("variants", ()))]
        dated = {row[end] for row in rows for end in ("from", "until") if row.get(end) is not None}
        self._edges = sorted(_instant(text) for text in dated)
        self._minutes = sorted({minute for row in rows for minute in _week_minutes(row)})
        self._look = look
        self._cards: dict[tuple[int, int], Card | None] = {}

    def card(self, at: int) -> Card | None:
        minute = 0
        if self._minutes:
            minute = bisect_right(self._minutes, (at // _MINUTE_US + _THURSDAY) % _WEEK)
        stretch = (bisect_right(self._edges, at), minute)
        if stretch not in self._cards:
            self._cards[stretch] = self._look(at)
        return self._cards[stretch]


def _by_id(models: list[Entry], model: str) -> list[Entry]:
    named = [entry for entry in models if entry["id"] == model and "alias" not in entry]
    if named:
        return named
    entry = find(models, model)
    return [entry] if entry is not None and "alias" not in entry else []


def _instant(text: str) -> int:
    at = datetime.fromisoformat(text)
    return to_us(at if at.tzinfo else at.replace(tzinfo=UTC))


def _week_minutes(row: dict[str, Any]) -> Iterator[int]:
    """The minutes since Monday 00:00 UTC at which a row's windows open and close."""
    for window in row.get("week", ()):
        yield from window
    for text in row.get("time", ()):
        hours, minutes = text.split(":")[:2]
        yield from (day * 1440 + int(hours) * 60 + int(minutes) for day in range(7))
