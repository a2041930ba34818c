"""One piece of a resource's use becomes one event, charged to the budgets it counts against."""

from __future__ import annotations

import json
from sqlite3 import Connection

from costmon.config.values import Resource
from costmon.pricing.files.resources import UNITS, ResourcePrice, ResourceRate, card_at
from costmon.shim import booking, cards, policy
from costmon.shim.events import Attempt, Settlement
from costmon.shim.money import PAR, Rate, convert
from costmon.shim.timestamps import to_datetime
from costmon.shim.units import BEFORE
from costmon.sources.resources import rows
from costmon.sources.resources.pieces import Months, event_id, month_seconds

SOURCE = "meter"
TAKEN_BACK = "taken back"
"""The note of an event whose time turned out not to have been used."""
_Cards = dict[tuple[str, ResourceRate, int, int], "cards.Card | None"]


class Books:
    """The work of one transaction, which the caller holds."""

    def __init__(self, db: Connection, zone: str, now_us: int) -> None:
        self.db = db
        self.months = Months(zone)
        self.now = now_us
        self.events = 0
        self.missing_rates: set[tuple[str, str]] = set()
        self.policy = policy.load(db)
        self._used: dict[tuple[str, str, str], int] = {}
        self._cards: _Cards = {}
        self._kept: set[str] = set()
        booking.forget_day()

    def book(
        self,
        resource: Resource,
        price: ResourcePrice | None,
        start_us: int,
        end_us: int,
        amount: int,
        *,
        estimated: bool = False,
    ) -> None:
        """Account `amount` of a resource, used in [start, end) within one quarter hour at one price."""
        self.events += 1
        attempt = _attempt(event_id(resource.name, start_us), start_us, resource)
        found = self.db.execute("select note from event where id = ?", (attempt.id,)).fetchone()
        if found is not None and found[0] != TAKEN_BACK:
            return
        if found is not None:
            self._reopen(attempt.id)
        unit = UNITS[resource.kind]
        key = (resource.name, self.months.at(start_us).label, unit)
        before = self.used(*key)
        settlement = self._priced(
            self.card(resource, price, start_us), {unit: amount, BEFORE: before}, estimated
        )
        settlement = settlement._replace(duration_us=end_us - start_us)
        charges = self._charges(attempt, settlement.currency)
        booking.settle(self.db, attempt, charges, self.policy.machine, settlement)
        self._used[key] = before + amount
        if amount:
            rows.put_used(self.db, *key, before + amount)

    def shorten(self, resource: Resource, start_us: int, end_us: int, amount: int) -> None:
        """The event that begins at `start_us`, the last one of its resource, ended at `end_us` and was of `amount` only. It
        keeps its price; one of no length stays on record as taken back."""
        attempt = _attempt(event_id(resource.name, start_us), start_us, resource)
        units, version, estimated = self.db.execute(
            "select units, price_version, usage_status = 'estimated' from event where id = ?", (attempt.id,)
        ).fetchone()
        unit, before = UNITS[resource.kind], json.loads(units)[BEFORE]
        settlement = self._priced(self._kept_card(version), {unit: amount, BEFORE: before}, bool(estimated))
        settlement = settlement._replace(duration_us=end_us - start_us)
        if end_us == start_us:
            settlement = settlement._replace(cost=0, charge=0, cost_status="priced", note=TAKEN_BACK)
        self._shorten_revisions(attempt.id, {unit: amount, BEFORE: before}, settlement)
        self._reopen(attempt.id)
        booking.settle(self.db, attempt, [], self.policy.machine, settlement)
        key = (resource.name, self.months.at(start_us).label, unit)
        self._used[key] = before + amount
        rows.put_used(self.db, *key, before + amount)

    def _shorten_revisions(self, event: str, usage: dict[str, int], now: Settlement) -> None:
        """What the event said before it was priced anew, should that be taken back, is of the shorter time too."""
        if now.note == TAKEN_BACK:
            self.db.execute("delete from cost_revision where event_id = ?", (event,))
        found = self.db.execute(
            "select run_id, price_version, charges from cost_revision where event_id = ?", (event,)
        ).fetchall()
        for run, version, charges in found:
            then = self._priced(self._kept_card(version), usage, now.usage_status == "estimated")
            shares = [
                [*share[:3], min(convert(then.charge, Rate(*share[4:])), booking.MOST), *share[4:]]
                for share in json.loads(charges)
            ]
            self.db.execute(
                "update cost_revision set cost = ?, currency = ?, cost_status = ?, price_version = ?, charge = ?,"
                " charges = ? where run_id = ? and event_id = ?",
                (
                    *(then.cost, then.currency, then.cost_status, then.price_version, then.charge),
                    *(json.dumps(shares), run, event),
                ),
            )

    def _kept_card(self, version: str | None) -> cards.Card | None:
        """The card a price_version names."""
        source, _, rest = (version or "").partition("@")
        number, _, digest = rest.rpartition(":")
        row = self.db.execute("select card from rate_card where hash = ?", (digest,)).fetchone()
        if row is None:
            return None
        facts = json.loads(row[0])
        return cards.make_card(
            facts["provider"], facts["model"], facts["currency"], facts["rates"], source, number
        )

    def _reopen(self, event: str) -> None:
        """Let the event be settled anew, as one is whose owner comes back."""
        self.db.execute("update event set note = ? where id = ?", (booking.ORPHAN, event))

    def used(self, resource: str, month: str, unit: str) -> int:
        """How much of it the month has used so far."""
        key = (resource, month, unit)
        if key not in self._used:
            self._used[key] = rows.used(self.db, *key)
        return self._used[key]

    def card(self, resource: Resource, price: ResourcePrice | None, at_us: int) -> cards.Card | None:
        """The rate card of a resource at an instant, None when its price is unknown."""
        rate = price.rate_at(at_us) if price is not None else None
        if price is None or rate is None:
            return None
        month = self.months.at(at_us)
        key = (resource.name, rate, month.start_us, to_datetime(at_us).year)
        if key not in self._cards:
            self._cards[key] = card_at(
                price, at_us, month_seconds(month), provider=resource.provider, model=resource.name
            )
        return self._cards[key]

    def _priced(self, card: cards.Card | None, usage: dict[str, int], estimated: bool) -> Settlement:
        cost, status, version, currency = None, "unknown", None, ""
        if card is not None:
            found = cards.price(card, usage)
            if found.nano is not None and found.nano <= booking.MOST:
                cost, status, currency = found.nano, found.status, card.currency
                version = cards.price_version(card)
                self._keep(card)
        return Settlement(
            settled_at=self.now,
            outcome="ok",
            usage_status="estimated" if estimated else "reported",
            usage=usage,
            cost=cost,
            currency=currency,
            cost_status="estimated" if estimated and status == "priced" else status,
            charge=cost or 0,
            price_version=version,
            note="measured over a gap" if estimated else None,
        )

    def _charges(self, attempt: Attempt, currency: str) -> list[booking.Charge]:
        """What each budget that counts it is charged; a period from before the budget was, nothing."""
        labels = {
            "provider": attempt.provider,
            "model": attempt.model,
            "app": attempt.app,
            "route": "",
            "job": "",
        }
        found = []
        for budget in self.policy.matching(labels):
            period = policy.period_at(self.db, budget, attempt.created_at)
            # Nothing is charged while there is no price; once there is one, the budget is there to be charged.
            rate = self.policy.rate(currency, budget.currency, attempt.created_at) if currency else PAR
            if rate is None:
                self.missing_rates.add((currency, budget.currency))
            elif period.start <= attempt.created_at < period.end:
                found.append(booking.charge(budget, period, 0, rate))
        return found

    def _keep(self, card: cards.Card) -> None:
        if card.hash not in self._kept:
            self._kept.add(card.hash)
            self.db.execute(
                "insert or ignore into rate_card (hash, card, source, version, first_seen_at) values (?, ?, ?, ?, ?)",
                (card.hash, card.canonical, card.source, card.version, self.now),
            )


def _attempt(event: str, at_us: int, resource: Resource) -> Attempt:
    return Attempt(
        event, at_us, SOURCE, resource.app, "", "", False, resource.kind, resource.provider, resource.name, "", 0, 0, 0,
        "", False,
    )  # fmt: skip
