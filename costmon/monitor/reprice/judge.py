"""What an event would cost by the prices of now: a pure comparison of its usage with what the ledger says."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from costmon.monitor.reprice.cards import Cards
from costmon.shim import cards, policy
from costmon.shim.booking import METER, MOST, ORPHAN
from costmon.shim.cards import Card
from costmon.shim.policy import Policy
from costmon.sources.resources import TAKEN_BACK, Tariffs
from costmon.store.corrections import COLUMNS as _SETTLED
from costmon.store.corrections import Judgement, Settled

# Why an event keeps its cost.
UNCHANGED = "unchanged"
STATED = "stated"
FREE = "free"
UNBILLED = "unbilled"
HELD = "held"
NO_USAGE = "no usage"
UNKNOWN = "unknown"
GONE = "gone"
LOCKED = "locked"
RESOURCE = "resource"
TAKEN = "taken back"
REASONS = {
    STATED: "the app or the provider stated their cost",
    FREE: "their host is free by the config",
    UNBILLED: "they were not billed",
    HELD: "they were settled at their reservation (crashed, cut off or timed out)",
    NO_USAGE: "their answer carried no usage",
    UNKNOWN: "their price is still unknown",
    GONE: "their price is gone; --allow-unknown makes their cost unknown",
    LOCKED: "their period is locked",
    RESOURCE: "resources keep the price they had; --model NAME prices one anew",
    TAKEN: "their time was taken back",
}
_UNITS = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    "reasoning_tokens",
)
COLUMNS = f"{_SETTLED}, note, usage_status, service_tier, api, endpoint, units, {', '.join(_UNITS[2:])}"
_WIDTH = len(Settled._fields)


class Event(NamedTuple):
    """A settled event with what it used."""

    settled: Settled
    note: str | None
    usage_status: str | None
    service_tier: str | None
    api: str
    endpoint: str
    units: str | None
    counts: tuple[int | None, ...]
    """Of the units after input and output tokens."""


class Verdict(NamedTuple):
    """What an event should say, and the card that says so (None: unknown now)."""

    judgement: Judgement
    card: Card | None


def event_of(row: tuple[Any, ...]) -> Event:
    """A row of COLUMNS."""
    return Event._make((Settled._make(row[:_WIDTH]), *row[_WIDTH : _WIDTH + 6], row[_WIDTH + 6 :]))


class Judge:
    """The prices and rates of one ledger as they are now.

    Args:
        allow_unknown: a priced event whose price is gone becomes unknown.
        resources: events of resources that had a price are priced anew too.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        rules: Policy,
        *,
        allow_unknown: bool = False,
        resources: bool = False,
    ) -> None:
        self._db = db
        self.cards = Cards(db, rules)
        self._tariffs = Tariffs(db)
        self.rules = rules
        self._unknown_price = rules.unknown_price
        self._allow_unknown = allow_unknown
        self._resources = resources

    def current(self) -> Judge:
        """This one, or a new one once the config or the prices have changed."""
        if policy.generation(self._db) == self.rules.generation:
            return self
        rules = policy.load(self._db)
        return Judge(self._db, rules, allow_unknown=self._allow_unknown, resources=self._resources)

    def verdict(self, event: Event) -> Verdict | str:
        """The event's new judgement, or why it keeps the one it has."""
        old = event.settled
        if old.source == METER:
            return self._of_meter(event)
        kept = _kept(event)
        if kept:
            return kept
        usage = usage_of(event)
        if not usage:
            return NO_USAGE
        # A plain tuple: an Asked is made for the first of many events only.
        asked = (old.provider, old.model, event.service_tier, event.api, event.endpoint, old.price_version)
        card = self.cards.card(asked, old.created_at)
        priced = cards.price(card, usage) if card is not None else None
        if card is None or priced is None or priced.nano is None:
            return self._without_price(event, usage)
        status = "estimated" if event.usage_status == "estimated" else priced.status
        if (priced.nano, card.currency, status) == (old.cost, old.currency, old.cost_status) and (
            old.price_version or ""
        ).endswith(card.hash):
            return UNCHANGED
        version = cards.price_version(card)
        return Verdict(Judgement(priced.nano, card.currency, status, version, priced.nano), card)

    def _of_meter(self, event: Event) -> Verdict | str:
        """A resource's price has no dates where the config states it: what had one keeps it, unless asked for by name."""
        old = event.settled
        if event.note == TAKEN_BACK:
            return TAKEN
        if event.note == ORPHAN:
            return HELD
        if old.cost is not None and not self._resources:
            return RESOURCE
        card = self._tariffs.card(old.model, old.created_at)
        priced = cards.price(card, usage_of(event)) if card is not None else None
        if card is None or priced is None or priced.nano is None or priced.nano > MOST:
            return self._resource_without_price(old)
        status = (
            "estimated" if event.usage_status == "estimated" and priced.status == "priced" else priced.status
        )
        if (priced.nano, card.currency, status) == (old.cost, old.currency, old.cost_status) and (
            old.price_version or ""
        ).endswith(card.hash):
            return UNCHANGED
        version = cards.price_version(card)
        return Verdict(Judgement(priced.nano, card.currency, status, version, priced.nano), card)

    def _resource_without_price(self, old: Settled) -> Verdict | str:
        """As it would be accounted now: nothing is assumed of a resource."""
        if old.cost is None:
            return UNKNOWN
        return (
            Verdict(Judgement(None, old.currency, "unknown", None, 0), None) if self._allow_unknown else GONE
        )

    def _without_price(self, event: Event, usage: dict[str, int]) -> Verdict | str:
        old = event.settled
        if old.cost is None:
            return UNKNOWN
        if not self._allow_unknown:
            return GONE
        charge, currency = old.cost, old.currency
        if "input_tokens" in usage:
            charge, currency = (
                self.cards.assumed(old.provider, old.created_at, self._unknown_price, usage),
                "USD",
            )
        return Verdict(Judgement(None, currency, "unknown", None, charge), None)


def usage_of(event: Event) -> dict[str, int]:
    """What the event used, as its card is asked: without the total, which is no unit of its own."""
    old = event.settled
    usage: dict[str, int] = {}
    if old.input_tokens is not None:
        usage["input_tokens"] = old.input_tokens
    if old.output_tokens is not None:
        usage["output_tokens"] = old.output_tokens
    for name, count in zip(_UNITS[2:], event.counts, strict=True):
        if count is not None:
            usage[name] = count
    if event.units:
        usage.update(json.loads(event.units))
    return usage


def _kept(event: Event) -> str:
    """Why the event's cost is no judgement of ours that could be made anew; '' when it is one."""
    old, usage = event.settled, event.usage_status
    if old.source != "shim" or old.cost_status == "reported":
        return STATED
    if old.price_version == "config:free":
        return FREE
    if event.note == ORPHAN:
        return HELD
    if old.outcome != "ok" and usage != "reported":
        return UNBILLED if usage == "none" and old.cost == 0 and old.outcome == "error" else HELD
    return NO_USAGE if usage not in ("reported", "estimated") else ""
