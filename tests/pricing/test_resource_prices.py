"""Prices of servers, storage, traffic and subscriptions in price files, and the cards made of them."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from costmon.errors import PriceError
from costmon.monitor.prices import compile_prices
from costmon.pricing.files.resources import card_at, from_json, read_resource, to_json
from costmon.pricing.files.where import Where
from costmon.shim.cards import price
from costmon.shim.timestamps import from_iso
from costmon.store import open_ledger
from costmon.store.queries import settings

NANO = 10**9
HOUR = 3600
GB = 10**9
EGRESS = """
resource = "aws-ec2-egress"
kind = "transfer"
currency = "USD"
source = "https://example.org/prices"
checked = 2026-11-20
[[rate]]
until = 2024-02-01
per = "GB"
amount = 0.12
[[rate]]
from = 2024-02-01
per = "GB"
amount = 0.09
free = 100
tiers = [{ above = 10_240, amount = 0.085 }, { above = 51_200, amount = 0.07 }]
"""


def read(text: str, *, dated: bool = False):
    table = tomllib.loads(text, parse_float=Decimal)
    return read_resource(Where("prices.toml") / "price" / 0, table, dated=dated)


def at(text: str) -> int:
    found = from_iso(text + "T00:00:00+00:00")
    assert found is not None
    return found


def cost(card, **usage: int) -> int | None:
    return price(card, usage).nano


def test_a_month_of_traffic_by_hand():
    found = read(EGRESS, dated=True)
    card = card_at(found, at("2026-11-20"))
    assert card is not None
    assert cost(card, transfer_bytes=100 * GB) == 0
    assert cost(card, transfer_bytes=101 * GB) == 90_000_000
    # 10,140 x 0.09 + 40,960 x 0.085 + 8,800 x 0.07
    assert cost(card, transfer_bytes=60_000 * GB) == (912_600 + 3_481_600 + 616_000) * 1_000_000
    assert cost(card, transfer_bytes=GB, before=10_240 * GB) == 85_000_000


def test_the_rate_of_its_day_holds():
    found = read(EGRESS)
    old = card_at(found, at("2024-01-31"))
    assert old is not None
    assert cost(old, transfer_bytes=GB) == 120_000_000
    assert found.next_change(at("2024-01-31")) == at("2024-02-01")
    assert found.next_change(at("2024-02-01")) is None
    assert card_at(read(EGRESS.replace("until = 2024-02-01", "until = 2023-01-01")), at("2023-06-01")) is None


@pytest.mark.parametrize(
    ("kind", "per", "more", "unit", "count", "nano"),
    [
        ("time", "hour", "", "resource_seconds", HOUR, NANO),
        ("time", "day", "", "resource_seconds", 24 * HOUR, NANO),
        ("time", "month", "", "resource_seconds", 720 * HOUR, NANO),
        ("time", "month", 'month = "730h"', "resource_seconds", 730 * HOUR, NANO),
        ("storage", "GB-month", "", "storage_byte_seconds", 730 * HOUR * GB, NANO),
        ("storage", "GB-month", 'month = "calendar"', "storage_byte_seconds", 720 * HOUR * GB, NANO),
        ("storage", "GiB-month", "", "storage_byte_seconds", 730 * HOUR * 2**30, NANO),
        ("transfer", "GiB", "", "transfer_bytes", 2**30, NANO),
        ("flat", "month", "", "subscription_seconds", 720 * HOUR, NANO),
        ("flat", "day", "", "subscription_seconds", 720 * HOUR, 30 * NANO),
        ("flat", "year", "", "subscription_seconds", 365 * 24 * HOUR, NANO),
    ],
)
def test_what_a_price_is_per(kind, per, more, unit, count, nano):
    found = read(
        f'resource = "r"\nkind = "{kind}"\ncurrency = "USD"\n[[rate]]\nper = "{per}"\namount = 1\n{more}\n'
    )
    card = card_at(found, at("2026-11-20"), 720 * HOUR, provider="own", model="mine")
    assert card is not None
    assert (card.provider, card.model, card.currency) == ("own", "mine", "USD")
    assert cost(card, **{unit: count}) == nano


def test_a_leap_year_costs_the_same():
    found = read('resource = "r"\nkind = "flat"\ncurrency = "USD"\n[[rate]]\nper = "year"\namount = 366\n')
    card = card_at(found, at("2028-02-10"))
    assert card is not None
    assert cost(card, subscription_seconds=24 * HOUR) == NANO


def test_equal_prices_are_one_card():
    text = 'resource = "r"\nkind = "time"\ncurrency = "KRW"\n[[rate]]\nper = "hour"\namount = {}\n'
    one, other = (card_at(read(text.format(amount)), 0) for amount in ("2450", "2450.00"))
    assert one is not None
    assert other is not None
    assert one.hash == other.hash


def test_prices_come_back_from_the_ledger():
    found = read(EGRESS)._replace(source="builtin", version="2026.11.20")
    assert from_json(to_json({found.name: found})) == {found.name: found}
    assert from_json("") == {}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'kind = "transfer"',
            'kind = "traffic"',
            'price[1].kind is \'traffic\'; write "time" or "storage" or',
        ),
        ('currency = "USD"', "", "price[1] has no currency; add `currency = …`"),
        ('currency = "USD"', 'currency = "usd"', "price[1].currency is 'usd'; write three capital letters"),
        ("amount = 0.12", "amount = -1", "price[1].rate[1].amount is -1, below zero"),
        ("amount = 0.12", "amount = nan", "price[1].rate[1].amount is NaN; write a number"),
        ("amount = 0.12", "amount = inf", "price[1].rate[1].amount is Infinity; write a number"),
        ("amount = 0.12", 'amount = "0.12"', "price[1].rate[1].amount is '0.12'; write a number"),
        ("amount = 0.12", "amount = true", "price[1].rate[1].amount is 'True'; write a number"),
        ("amount = 0.12", "amount = 1e-10", "has more than 9 decimals"),
        ("amount = 0.12", "amount = 1e12", "is over 1,000,000,000"),
        ("amount = 0.12", "", "price[1].rate[1] has no amount"),
        (
            'per = "GB"\namount = 0.12',
            'per = "hour"\namount = 0.12',
            "price[1].rate[1].per is 'hour'; a price of kind transfer",
        ),
        ("until = 2024-02-01", "until = 2024-03-01", "price[1].rate[2] overlaps price[1].rate[1] in time"),
        ("until = 2024-02-01", "", "price[1].rate[2] overlaps price[1].rate[1] in time"),
        ("until = 2024-02-01", "until = 2024-02-01T00:00:00", "has no time zone"),
        ("until = 2024-02-01", 'until = "2024"', "must be a date or time without quotes"),
        ("from = 2024-02-01", "from = 2024-02-01\nuntil = 2024-01-01", "until is not after from"),
        ("free = 100", "free = 100.5", "free is '100.5'; write a whole number from 0 on"),
        ("free = 100", "free = 20_000", "tiers[1].above is 10240, not above 20000"),
        ("free = 100", "increment_s = 60", "increment_s is for kind time, not transfer"),
        ("free = 100", 'month = "30d"', 'month is \'30d\'; write "730h" or "calendar"'),
        ("amount = 0.085", "price = 0.085", "tiers[1].price is no key known here"),
        ('source = "https://example.org/prices"', "", "price[1] has no source"),
        ("checked = 2026-11-20", 'checked = "2026"', "checked must be a date without quotes"),
        ("free = 100", "fre = 100", "price[1].rate[2].fre is no key known here"),
    ],
)
def test_a_wrong_price_is_named_in_one_sentence(old, new, says):
    assert old in EGRESS
    with pytest.raises(PriceError) as caught:
        read(EGRESS.replace(old, new, 1), dated=True)
    message = str(caught.value)
    assert message.startswith("prices.toml: price[1]")
    assert says in message
    assert "\n" not in message


def test_a_resource_without_a_rate():
    with pytest.raises(PriceError, match=r"has no \[\[price.rate\]\]"):
        read('resource = "r"\nkind = "time"\ncurrency = "USD"\n')


def test_the_users_resources_reach_the_ledger(costmon_home):
    """A file that breaks keeps what it last gave."""
    costmon_home.mkdir(mode=0o700)
    file = costmon_home / "prices.toml"
    good = 'schema = 1\n[[price]]\nresource = "my-vm"\nkind = "time"\ncurrency = "KRW"\n'
    file.write_text(good + '[[price.rate]]\nper = "hour"\namount = 2450\nincrement_s = 60\n')
    store = open_ledger(str(costmon_home))
    try:
        assert compile_prices(store)
        found = from_json(settings(store.db)["resource_prices"])["my-vm"]
        assert (found.kind, found.currency, found.source) == ("time", "KRW", "user")
        assert (found.rates[0].price, found.rates[0].increment_s) == (2450 * NANO, 60)
        file.write_text(good)
        assert compile_prices(store)
        assert "has no [[price.rate]]" in settings(store.db)["prices_error"]
        assert from_json(settings(store.db)["resource_prices"])["my-vm"] == found
    finally:
        store.close()
