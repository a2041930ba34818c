"""What a call will cost, before it leaves, and what it did cost, after: tokens, rate cards, and the unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costmon.errors import SpendBlocked
from costmon.shim import cards
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Attempt, Usage, clean
from costmon.shim.money import convert
from costmon.shim.outputs import Outputs
from costmon.shim.policy import Policy
from costmon.shim.prices import Prices, price
from costmon.shim.units import OUTPUT_BYTES

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.cards import Card


class Estimate(NamedTuple):
    """What to reserve, nano of `currency`. `assumed`: the price is unknown, and this is what enforcement assumes."""

    nano: int
    currency: str
    assumed: bool = False
    output_tokens: int = 0


class Cost(NamedTuple):
    """What a call cost: `nano` of `currency`, None = unknown. `charge` is what budgets are charged, in the currency
    of the attempt's reservation."""

    nano: int | None
    currency: str
    status: str
    charge: int
    version: str | None = None


class Costing:
    """This process's prices, and what it learned of its models' answers."""

    def __init__(self) -> None:
        self._prices = Prices()
        self._outputs: dict[tuple[str, str, str], Outputs] = {}

    def forget_prices(self) -> None:
        """The compiled catalogue may have changed."""
        self._prices = Prices()

    def committed(self) -> None:
        """The last settlement is in the ledger."""
        self._prices.committed()

    def learned(self, attempt: Attempt, o: Outcome) -> Outcome:
        """The outcome, after learning from its usage if that was reported; if its output was counted by the text that
        came, counted by the tokens per byte that this app's and model's reported answers have taught."""
        outputs = self._outputs.get((attempt.app, attempt.provider, attempt.model))
        if outputs is None or o.usage is None:
            return o
        if not o.estimated:
            tokens = o.usage.get("output_tokens", 0)
            outputs.add(tokens, o.text_bytes)
            if o.text_bytes and tokens and outputs.known_texts <= _KEPT_TEXTS:
                return o._replace(usage={**o.usage, OUTPUT_BYTES: o.text_bytes})  # for the processes to come
            return o
        counted = outputs.tokens_in(o.text_bytes) if o.text_bytes else None
        if counted is None:
            return o
        total = o.usage.get("input_tokens", 0) + counted
        return o._replace(usage={**o.usage, "output_tokens": counted, "total_tokens": total})

    def estimate(self, db: Connection, rules: Policy, call: Call, app: str, now: int) -> Estimate:
        """The reservation of a call at `now` (µs UTC). Raises SpendBlocked if its price is unknown and must not be."""
        if call.cost is not None or call.source != "shim":
            return Estimate(call.cost or 0, call.currency)
        output = self._expected_output(db, rules, call, app) if call.has_output else 0
        if call.free:
            return Estimate(0, call.currency, output_tokens=output)
        usage = {"input_tokens": call.input_tokens, "output_tokens": output, **(call.units or {})}
        output = usage["output_tokens"]
        card = self._card(db, call, call.model, now, "")
        priced = price(card, usage) if card is not None else None
        if card is not None and priced is not None:
            nano = priced.nano or (0 if card.plan.free else 1)  # what is not free always counts
            return Estimate(nano, card.currency, output_tokens=output)
        if rules.unknown_price == "refuse":
            raise _unpriced(call)
        assumed = self._prices.assumed(db, call.provider, call.family, now, rules.unknown_price, usage)
        return Estimate(assumed or 1, "USD", assumed=True, output_tokens=output)

    def cost(self, db: Connection, rules: Policy, held: Open, o: Outcome) -> Cost:
        """What a finished attempt cost."""
        attempt, call = held.attempt, held.call
        currency = attempt.currency
        if call.source != "shim":
            stated = o.cost if o.cost is not None else call.cost
            unknown = Cost(None, currency, "unknown", 0)
            return unknown if stated is None else Cost(stated, currency, "reported", stated, "stated:app")
        if call.free:
            return Cost(0, currency, "free", 0, "config:free")
        if not o.charged:
            return Cost(0, currency, "priced", 0)
        if o.cost is not None and not o.estimated:
            rate = rules.rate("USD", currency, attempt.created_at)
            charge = convert(o.cost, rate) if rate is not None else attempt.estimate
            return Cost(o.cost, "USD", "reported", charge, f"reported:{call.provider}")
        if o.usage is None and o.outcome == "ok":
            return Cost(
                None, currency, "unknown", attempt.estimate
            )  # answered, but the wire carried no usage
        card = self._card_of(db, call, attempt, o)
        if card is None:
            return self._assumed(db, rules, held, o)
        return self._priced(db, rules, attempt, o, card)

    def _priced(self, db: Connection, rules: Policy, attempt: Attempt, o: Outcome, card: Card) -> Cost:
        self._prices.keep(db, card, attempt.created_at)
        version = cards.price_version(card)
        priced = price(card, _units(_usage(attempt, o)))
        if priced is None or priced.nano is None:  # not one of the reported units has a price
            return Cost(None, card.currency, "unknown", attempt.estimate, version)
        rate = rules.rate(card.currency, attempt.currency, attempt.created_at)
        charge = convert(priced.nano, rate) if rate is not None else attempt.estimate
        cost = priced.nano
        if o.at_least_reserved and charge < attempt.estimate:
            charge = attempt.estimate
            cost = attempt.estimate if card.currency == attempt.currency else cost
        status = "estimated" if o.estimated or o.usage is None else priced.status
        return Cost(cost, card.currency, status, charge, version)

    def _assumed(self, db: Connection, rules: Policy, held: Open, o: Outcome) -> Cost:
        """The price is unknown: the cost stays so, and budgets are charged what is assumed."""
        attempt, call = held.attempt, held.call
        setting = "dearest" if rules.unknown_price == "refuse" else rules.unknown_price
        assumed = self._prices.assumed(
            db, call.provider, call.family, attempt.created_at, setting, _usage(attempt, o)
        )
        rate = rules.rate("USD", attempt.currency, attempt.created_at)
        charge = convert(assumed, rate) if rate is not None else attempt.estimate
        # Seconds, pages or searches of an unknown price have no tokens to assume a price by.
        no_tokens = o.usage is not None and "input_tokens" not in o.usage
        least = attempt.estimate if o.at_least_reserved or no_tokens else 0
        return Cost(None, attempt.currency, "unknown", max(charge, least))

    def _card_of(self, db: Connection, call: Call, attempt: Attempt, o: Outcome) -> Card | None:
        """The card of the model that answered, else of the one that was asked for; the operator's own price for either
        comes first."""
        at, tier = attempt.created_at, o.service_tier
        answered = self._card(db, call, o.model, at, tier)
        if answered is not None and (answered.source == "user" or o.model == call.model):
            return answered
        asked = self._card(db, call, call.model, at, tier)
        return asked if answered is None or (asked is not None and asked.source == "user") else answered

    def _card(self, db: Connection, call: Call, model: str, at: int, tier: str) -> Card | None:
        name = clean(model)  # a server may name a model of any length
        if not name:
            return None
        return self._prices.card(db, call.provider, name, at, clean(tier, 40), anywhere=call.anywhere)

    def _expected_output(self, db: Connection, rules: Policy, call: Call, app: str) -> int:
        key = (app, clean(call.provider), clean(call.model))
        if key not in self._outputs:
            rows = db.execute(_RECENT_OUTPUTS, key).fetchall()
            self._outputs[key] = Outputs((row[0] or 0, _text_bytes(row[1])) for row in reversed(rows))
        return self._outputs[key].expected(call.max_output, rules.assumed_output)


def _unpriced(call: Call) -> SpendBlocked:
    return SpendBlocked(
        f'the price of {clean(call.model, 80)} ({clean(call.provider, 40)}) is unknown and unknown_price = "refuse"; '
        "add the model to prices.toml (costmon prices check prints the lines)",
        scope=f"model={clean(call.model)}",
        rule="price",
    )


def _usage(attempt: Attempt, o: Outcome) -> Usage:
    """The usage that is known, else what was estimated."""
    return o.usage or {"input_tokens": attempt.input_tokens, "output_tokens": attempt.output_tokens}


def _units(usage: Usage) -> Usage:
    """The usage without the total, which is no unit of its own."""
    return {name: count for name, count in usage.items() if name != "total_tokens"}


def _text_bytes(units: str | None) -> int:
    """The bytes of text an earlier answer had, of an event's `units`; 0 when they were not kept."""
    if not units or OUTPUT_BYTES not in units:
        return 0
    import json

    return int(json.loads(units).get(OUTPUT_BYTES, 0))


_KEPT_TEXTS = 20  # of each process; later ones would hardly change the ratio, and every event would grow
_RECENT_OUTPUTS = """select output_tokens, units from
    (select app, provider, model, output_tokens, units, usage_status from event order by id desc limit 2000)
    where app = ? and provider = ? and model = ? and usage_status = 'reported' limit 100"""
